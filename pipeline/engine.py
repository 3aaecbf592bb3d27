"""Phases as Beam pipelines over descriptors: the one place where the project meets Beam's runners.

`Engine.run` maps a task over items; `Engine.shuffle` maps, groups the packed blocks that the tasks wrote by partition, and
reduces. Elements are JSON strings of some hundred bytes (`StrUtf8Coder`, `VarIntCoder`: no pickling, all deterministic);
documents and keys stay in files. On one machine Beam's in-process runner is pinned by name (`DirectRunner` would try to
download another) and the tasks run in the worker pool; on Spark, Flink or Dataflow the same DoFn runs them in place.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from pydantic import BaseModel

from pipeline import pool, progress, storage, tasks
from pipeline.blocks import Block, Partition
from pipeline.chunks import safe_name
from pipeline.errors import UserError
from pipeline.tasks import Call, Done

LOCAL = "FnApiRunner"


class RunnerSettings(BaseModel, frozen=True, extra="forbid"):
    """Where a run's tasks are done. `options` are passed to Beam as they are; `workers` are local processes (0: this one)."""

    runner: str = "local"
    workers: int = 1
    options: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether the tasks run in this machine's worker pool."""
        return self.runner in ("local", LOCAL)


class PhaseCost(BaseModel):
    """What a phase cost: seconds of processor time in tasks, seconds passed, the largest task process.

    Processor time counts what finished tasks took when they were done, also by an earlier, interrupted run.
    """

    phase: str
    tasks: int
    cpu_seconds: float
    wall_seconds: float
    peak_rss: int


class _Spec(BaseModel, frozen=True):
    """How a DoFn makes calls of items: the task, its shared settings, the folder of its results."""

    task: str
    shared: str
    folder: str

    def call(self, key: str, item: str, weight: int = 0) -> Call:
        path = storage.join(self.folder, f"{safe_name(key)}.json")
        return Call(task=self.task, key=key, item=item, shared=self.shared, result_path=path, weight=weight)


class Perform(beam.DoFn):  # type: ignore[misc]
    """Item (JSON) -> result envelope (JSON), in the worker pool where there is one, else in place.

    With a pool the calls of a bundle are collected and handed out longest first when the bundle ends; the in-process
    runner has one bundle a stage, so all workers stay busy until the last task.
    """

    def __init__(self, spec: _Spec) -> None:
        self._spec = spec.model_dump_json()
        self._calls: list[Call] = []

    def start_bundle(self) -> None:
        """Forget the calls of an earlier bundle."""
        self._calls = []

    def process(self, element: str) -> Iterator[str]:
        """Do one item, or keep it for the end of the bundle."""
        key, weight, item = element.split("\t", 2)
        call = _Spec.model_validate_json(self._spec).call(key, item, int(weight))
        found = tasks.stored(call)
        if found is not None:
            yield found
        elif pool.current_pool() is None:
            yield tasks.perform(call)
        else:
            self._calls.append(call)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Hand the collected calls to the pool."""
        workers = pool.current_pool()
        if workers is None or not self._calls:
            return
        window = GlobalWindow()
        for envelope in workers.run(self._calls):
            yield WindowedValue(envelope, window.max_timestamp(), [window])


def _elements(items: Iterable[BaseModel]) -> list[str]:
    return [f"{item.key}\t{getattr(item, 'weight', 0)}\t{item.model_dump_json()}" for item in items]  # type: ignore[attr-defined]


def _lines(path: str) -> list[tuple[int, str]]:
    return list(enumerate(storage.read_bytes(path).decode().split("\n")))


def _values(element: tuple[int, Iterable[str]]) -> Iterable[str]:
    return element[1]


def _blocks(envelope: str, task: str) -> list[tuple[int, str]]:
    result = tasks.parse(task, envelope).result
    return [(block.partition, block.model_dump_json()) for block in result.blocks]


def _partition(element: tuple[int, Iterable[str]]) -> str:
    index, blocks = element
    ordered = sorted((Block.model_validate_json(block) for block in blocks), key=lambda b: (b.path, b.offset))
    return _elements([Partition(key=f"partition-{index:05d}", index=index, blocks=tuple(ordered))])[0]


class Engine:
    """Runs phases, keeps their results under `work`, and adds up what they cost."""

    def __init__(self, work: str, runner: RunnerSettings, display: progress.Display | None = None) -> None:
        self.work = work
        self.runner = runner
        self.costs: list[PhaseCost] = []
        self._display = display
        self._started = time.perf_counter()

    def run(
        self, phase: str, task: Callable[..., Any], items: Sequence[BaseModel], shared: BaseModel
    ) -> list[Any]:
        """Map a task over items; the results, in the order of the items' keys.

        Raises:
            UserError: raised by a task, or a run that a dying worker ended.
        """
        spec = self._spec(phase, task, shared)

        def build(start: beam.PCollection) -> beam.PCollection:
            return start | f"{phase}" >> beam.ParDo(Perform(spec)).with_output_types(str)

        self._execute(phase, items, build)
        return self._collect(phase, spec, [item.key for item in items])  # type: ignore[attr-defined]

    def shuffle(
        self,
        phase: str,
        map_task: Callable[..., Any],
        items: Sequence[BaseModel],
        reduce_task: Callable[..., Any],
        shared: BaseModel,
    ) -> list[Any]:
        """Map, group the blocks of the results by partition, reduce; the reduce results, by partition.

        Raises:
            UserError: as `run`.
        """
        mapper = self._spec(f"{phase}.map", map_task, shared)
        # The partitions are not known before the map: their results go to a folder named by all that they come from, so
        # that the folder holds those and no others.
        lineage = hashlib.blake2b(
            "\n".join([mapper.shared, *_elements(items)]).encode(), digest_size=8
        ).hexdigest()
        reducer = self._spec(f"{phase}.reduce-{lineage}", reduce_task, shared)

        def build(start: beam.PCollection) -> beam.PCollection:
            return (
                start
                | f"{phase}.map" >> beam.ParDo(Perform(mapper)).with_output_types(str)
                | f"{phase}.blocks" >> beam.FlatMap(_blocks, mapper.task).with_output_types(tuple[int, str])
                | f"{phase}.group" >> beam.GroupByKey()
                | f"{phase}.partitions" >> beam.Map(_partition).with_output_types(str)
                | f"{phase}.reduce" >> beam.ParDo(Perform(reducer)).with_output_types(str)
            )

        self._execute(phase, items, build)
        self._collect(f"{phase}.map", mapper, [item.key for item in items])  # type: ignore[attr-defined]
        keys = [path.rsplit("/", 1)[-1].removesuffix(".json") for path in storage.list_files(reducer.folder)]
        return self._collect(f"{phase}.reduce", reducer, keys)

    def build(self, phase: str, pipeline: beam.Pipeline, items_path: str) -> beam.PCollection:
        """The start of every phase: the items' file, read by one worker and spread over all."""
        return (
            pipeline
            | f"{phase}.items" >> beam.Create([items_path])
            | f"{phase}.lines" >> beam.FlatMap(_lines).with_output_types(tuple[int, str])
            # Grouping by line number spreads the items; `Reshuffle` would do it with pickled metadata.
            | f"{phase}.spread" >> beam.GroupByKey()
            | f"{phase}.elements" >> beam.FlatMap(_values).with_output_types(str)
        )

    def _spec(self, phase: str, task: Callable[..., Any], shared: BaseModel) -> _Spec:
        folder = storage.join(self.work, phase)
        return _Spec(task=tasks.task_name(task), shared=shared.model_dump_json(), folder=folder)

    def _execute(
        self,
        phase: str,
        items: Sequence[BaseModel],
        build: Callable[[beam.PCollection], beam.PCollection],
    ) -> None:
        if not items:
            return
        elements = _elements(items)
        path = storage.join(self.work, f"{phase}.items")
        storage.write_bytes(path, "\n".join(elements).encode())
        self._started = time.perf_counter()
        pipeline = beam.Pipeline(options=self.options())
        build(self.build(phase, pipeline, path))
        if self._display is None:
            _wait(pipeline)
            return
        with self._display.phase(phase, len(elements)):
            _wait(pipeline)

    def options(self) -> PipelineOptions:
        """Beam's options of this engine's runner."""
        runner = LOCAL if self.runner.is_local else self.runner.runner
        options = PipelineOptions([f"--runner={runner}", *self.runner.options])
        options.view_as(SetupOptions).save_main_session = False
        return options

    def _collect(self, phase: str, spec: _Spec, keys: Sequence[str]) -> list[Any]:
        done: list[Done[Any]] = []
        for key in sorted(keys):
            path = storage.join(spec.folder, f"{safe_name(key)}.json")
            done.append(tasks.parse(spec.task, storage.read_bytes(path).decode()))
        self.costs.append(
            PhaseCost(
                phase=phase,
                tasks=len(done),
                cpu_seconds=sum(each.cpu_seconds for each in done),
                wall_seconds=time.perf_counter() - self._started,
                peak_rss=max((each.peak_rss for each in done), default=0),
            )
        )
        return [each.result for each in done]


@contextlib.contextmanager
def engines(runner: RunnerSettings, quiet: bool | None = None) -> Iterator[Callable[[str], Engine]]:
    """Makes engines that share a worker pool and a display, each with a folder for the results of its tasks."""
    with contextlib.ExitStack() as stack:
        counters = stack.enter_context(progress.counting())
        is_quiet = not sys.stderr.isatty() if quiet is None else quiet
        display = stack.enter_context(progress.Display(counters, quiet=is_quiet))
        if runner.is_local and runner.workers:
            stack.enter_context(pool.using_pool(runner.workers, counters))
        yield lambda work: Engine(work, runner, display)


@functools.cache
def _quiet_beam() -> None:
    logging.getLogger("apache_beam").setLevel(logging.ERROR)


def _wait(pipeline: beam.Pipeline) -> None:
    """Run to the end; a task's UserError comes back as itself, not as Beam wraps it."""
    _quiet_beam()
    try:
        pipeline.run().wait_until_finish()
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, UserError):
                raise UserError(str(cause).split(" [while running")[0], exit_code=cause.exit_code) from error
            cause = cause.__cause__ or cause.__context__
        raise


def unknown_options(settings: RunnerSettings) -> list[str]:
    """Options that no part of Beam knows: misspelt ones, which Beam itself would ignore."""
    known: set[str] = set()
    for options in PipelineOptions.__subclasses__():
        parser = _KnownOptions()
        add = getattr(options, "_add_argparse_args", None)
        if add is not None:
            add(parser)
        known |= parser.names
    given = [option.split("=", 1)[0] for option in settings.options if option.startswith("--")]
    stray = [option for option in settings.options[:1] if not option.startswith("-")]
    return [*stray, *(option for option in given if option not in known)]


class _KnownOptions(argparse.ArgumentParser):
    """Collects the names of options that are added to it."""

    def __init__(self) -> None:
        super().__init__(add_help=False)
        self.names: set[str] = set()

    def add_argument(self, *names: Any, **_: Any) -> Any:
        """Note the names of an option."""
        self.names.update(names)
