"""How far a run is: counters that worker processes keep in small shared files, and the display that adds them up.

Each worker maps one file of int64 counters and only ever adds to its own, so nothing is locked and a killed worker cannot
hold anybody up. The display is quiet where standard error is not a terminal.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_FIELDS = ("documents", "bytes", "tasks")
_mine: np.ndarray | None = None


def start(folder: str | None) -> None:
    """Begin counting in this process (in a worker: once, when it starts)."""
    global _mine
    if folder is None:
        return
    path = os.path.join(folder, f"{os.getpid()}.counters")
    _mine = np.memmap(path, dtype=np.int64, mode="w+", shape=(len(_FIELDS),))


def add(*, documents: int = 0, bytes: int = 0, tasks: int = 0) -> None:  # noqa: A002
    """Count work done by this process; does nothing where nobody displays it."""
    if _mine is not None:
        _mine[:] += (documents, bytes, tasks)


@dataclass(frozen=True)
class Totals:
    """What all processes have counted so far."""

    documents: int = 0
    bytes: int = 0
    tasks: int = 0


def totals(folder: str) -> Totals:
    """Add up the counters of all processes."""
    sums = np.zeros(len(_FIELDS), np.int64)
    for entry in os.scandir(folder):
        if entry.name.endswith(".counters") and entry.stat().st_size >= sums.nbytes:
            sums += np.fromfile(entry.path, dtype=np.int64, count=len(_FIELDS))
    return Totals(*(int(value) for value in sums))


class Display:
    """One line per phase: tasks done, documents and bytes per second, time left."""

    def __init__(self, folder: str, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._folder = folder
        self._quiet = quiet
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )

    @contextlib.contextmanager
    def phase(self, name: str, total: int, done: int = 0) -> Iterator[None]:
        """Show a phase of `total` tasks, `done` of which were found finished."""
        if self._quiet:
            yield
            return
        first = totals(self._folder)
        line = self._progress.add_task(name, total=total, completed=done, rate="")
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.3):
                self._update(line, first, done)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._update(line, first, done)
            self._progress.stop_task(line)

    def _update(self, line: object, first: Totals, done: int) -> None:
        now = totals(self._folder)
        seconds = max(self._progress.tasks[line].elapsed or 0.0, 0.001)  # type: ignore[call-overload]
        documents, size = now.documents - first.documents, now.bytes - first.bytes
        rate = f"{documents / seconds:,.0f} docs/s  {size / seconds / 1e6:,.1f} MB/s" if documents else ""
        self._progress.update(line, completed=done + now.tasks - first.tasks, rate=rate)  # type: ignore[arg-type]

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


@contextlib.contextmanager
def counting() -> Iterator[str]:
    """A folder for the counters of a run's processes, removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix="corpusmill-progress-") as folder:
        yield folder
