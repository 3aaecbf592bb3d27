"""The engine on the in-process runner: mapping, shuffling, resuming, failing; and what crosses Beam's boundaries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest

from pipeline import pool
from pipeline.engine import Engine, RunnerSettings
from pipeline.errors import UserError
from tests.pipeline import toy

NUMBERS = [toy.Number(key=f"n{i}", value=i, weight=i) for i in range(8)]


@contextlib.contextmanager
def engine(work: Path, workers: int = 0) -> Iterator[Engine]:
    made = Engine(str(work), RunnerSettings())
    if not workers:
        yield made
        return
    with pool.using_pool(workers):
        yield made


@pytest.mark.parametrize("workers", [0, 2])
def test_run_maps_and_returns_in_key_order(tmp_path: Path, workers: int) -> None:
    with engine(tmp_path, workers) as made:
        results = made.run("squares", toy.square, NUMBERS, toy.Settings())
    assert [result.value for result in results] == [i * i for i in range(8)]


@pytest.mark.parametrize("workers", [0, 2])
def test_shuffle_groups_the_blocks(tmp_path: Path, workers: int) -> None:
    settings = toy.Settings(work=str(tmp_path), partitions=3)
    with engine(tmp_path, workers) as made:
        results = made.shuffle("sum", toy.spread, NUMBERS, toy.total, settings)
    everything = [n for number in NUMBERS for n in range(number.value)]
    assert [result.value for result in results] == [
        sum(n for n in everything if n % 3 == index) for index in range(3)
    ]


def test_finished_tasks_are_not_done_again(tmp_path: Path) -> None:
    with engine(tmp_path) as made:
        made.run("squares", toy.square, NUMBERS, toy.Settings())
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "squares").iterdir()}
        os.unlink(tmp_path / "squares" / "n3.json")
        made.run("squares", toy.square, NUMBERS, toy.Settings())
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "squares").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"n3.json"}


def test_other_settings_are_done_again(tmp_path: Path) -> None:
    with engine(tmp_path) as made:
        made.run("squares", toy.square, NUMBERS[:1], toy.Settings())
        before = (tmp_path / "squares" / "n0.json").read_text()
        made.run("squares", toy.square, NUMBERS[:1], toy.Settings(partitions=9))
    assert (tmp_path / "squares" / "n0.json").read_text() != before


@pytest.mark.parametrize("workers", [0, 1])
def test_a_users_mistake_arrives_as_itself(tmp_path: Path, workers: int) -> None:
    with engine(tmp_path, workers) as made, pytest.raises(UserError) as caught:
        made.run("fail", toy.fail, NUMBERS[4:5], toy.Settings())
    assert str(caught.value) == "n4: the number 4 is not liked"


def test_a_dead_worker_is_replaced_and_its_task_done_again(tmp_path: Path) -> None:
    with engine(tmp_path, 2) as made:
        results = made.run("die", toy.die_once, NUMBERS, toy.Settings())
    assert [result.value for result in results] == list(range(8))


def test_a_task_that_keeps_killing_its_worker_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "ATTEMPTS", 2)
    with engine(tmp_path, 2) as made, pytest.raises(UserError, match="n1: its worker process died") as caught:
        made.run("die", toy.die_always, NUMBERS[1:2], toy.Settings())
    assert caught.value.exit_code == 1


def test_nothing_is_pickled_between_stages(tmp_path: Path) -> None:
    """Every coder of the shuffle's graph is a plain one: no FastPrimitivesCoder or pickle at a boundary."""
    made = Engine(str(tmp_path), RunnerSettings())
    seen: list[str] = []

    def capture(pipeline: beam.Pipeline) -> None:
        proto = pipeline.to_runner_api()
        for transform in proto.components.transforms.values():
            if transform.spec.urn == "beam:transform:group_by_key:v1":
                for name in transform.inputs.values():
                    coder = proto.components.coders[proto.components.pcollections[name].coder_id]
                    seen.extend(_urns(proto, coder))

    original = Engine._execute

    def execute(self, phase, items, build):
        pipeline = beam.Pipeline()
        build(self.build(phase, pipeline, "items"))
        capture(pipeline)
        return original(self, phase, items, build)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "_execute", execute)
        made.shuffle("sum", toy.spread, NUMBERS, toy.total, toy.Settings(work=str(tmp_path)))
    assert len(seen) >= 2
    assert not [urn for urn in seen if "pickle" in urn or "fast_primitives" in urn.lower()], seen


def _urns(proto, coder) -> list[str]:
    urns = [coder.spec.urn]
    for inner in coder.component_coder_ids:
        urns += _urns(proto, proto.components.coders[inner])
    return urns
