"""The worker processes of one machine: balanced, bounded, and not undone by the death of a worker.

Beam's in-process runner is one thread; the work of its elements is done here, by spawned processes that know only the name
of a task and its JSON (nothing is pickled from `__main__`). At most one task a worker is handed out at a time, longest
first, so uneven splits balance. When a worker dies (out of memory, a crash in native code) the tasks that were running are
done again one at a time, so that the one at fault is known; a task that has killed its worker `ATTEMPTS` times ends the run.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from pipeline import progress
from pipeline.errors import UserError
from pipeline.tasks import Call, perform

ATTEMPTS = 8
"""How often a task may take its worker down: once beside others, then alone. A retried harvest leaves out the documents that
are known by then to kill (see `pipeline.harvest`), two deaths for each."""

_current: WorkerPool | None = None


@dataclass
class _Running:
    call: Call
    attempt: int


class WorkerPool:
    """A fixed number of spawned processes that perform calls; used through `using_pool`."""

    def __init__(self, workers: int, progress_folder: str | None = None) -> None:
        self.workers = workers
        self._progress_folder = progress_folder
        self._executor: concurrent.futures.ProcessPoolExecutor | None = None

    def run(self, calls: Sequence[Call]) -> Iterator[str]:
        """Perform the calls, largest `weight` first, and yield each result (JSON) as it is ready.

        Raises:
            UserError: raised by a task; or when a task keeps killing its worker.
        """
        waiting = deque((call, 0) for call in sorted(calls, key=lambda call: -call.weight))
        suspects: deque[tuple[Call, int]] = deque()
        running: dict[concurrent.futures.Future[str], _Running] = {}
        try:
            while waiting or suspects or running:
                self._hand_out(waiting, suspects, running)
                done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                broken = False
                for future in done:
                    task = running.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        broken = True
                        suspects.append((task.call, task.attempt + 1))
                if broken:
                    suspects.extend((task.call, task.attempt + 1) for task in running.values())
                    running.clear()
                    self._discard()
        finally:
            if running:
                self._discard(kill=True)

    def _hand_out(
        self,
        waiting: deque[tuple[Call, int]],
        suspects: deque[tuple[Call, int]],
        running: dict[concurrent.futures.Future[str], _Running],
    ) -> None:
        # A suspect runs alone, so that a second death tells which task is at fault.
        queue, limit = (suspects, 1) if suspects else (waiting, self.workers)
        while queue and len(running) < limit:
            call, attempt = queue.popleft()
            if attempt >= ATTEMPTS:
                raise UserError(
                    f"{call.key}: its worker process died {attempt} times (out of memory, or a crash in native code). "
                    "Run again with fewer --workers or a smaller `chunk_bytes`; finished work is kept.",
                    exit_code=1,
                )
            running[self._ready().submit(perform, call, attempt)] = _Running(call, attempt)

    def _ready(self) -> concurrent.futures.ProcessPoolExecutor:
        if self._executor is None:
            self._executor = concurrent.futures.ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(os.getpid(), self._progress_folder),
            )
        return self._executor

    def _discard(self, *, kill: bool = False) -> None:
        executor, self._executor = self._executor, None
        if executor is None:
            return
        processes = list((getattr(executor, "_processes", None) or {}).values())
        executor.shutdown(wait=not kill, cancel_futures=True)
        if kill:
            for process in processes:
                process.kill()

    def close(self) -> None:
        """End the worker processes."""
        self._discard()


def _start_worker(parent: int, progress_folder: str | None) -> None:
    """Set up a worker: one thread for every library, its progress counters, and an end when its parent is gone."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    progress.start(progress_folder)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process soon after its parent was killed, so that no orphan goes on writing."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextlib.contextmanager
def using_pool(workers: int, progress_folder: str | None = None) -> Iterator[WorkerPool]:
    """Make a pool the current one of this process for the length of the block.

    Libraries read their thread counts when they are imported, so the workers' environment is set here, before they start.
    """
    global _current
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    before = {name: os.environ.get(name) for name in single}
    os.environ.update(single)
    pool = WorkerPool(workers, progress_folder)
    previous, _current = _current, pool
    try:
        yield pool
    finally:
        _current = previous
        pool.close()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def current_pool() -> WorkerPool | None:
    """The pool of this process, or None on a remote worker, where a task runs in the worker itself."""
    return _current
