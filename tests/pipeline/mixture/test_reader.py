"""The reader: every sequence once over all ranks, in one order, and on from any point with any world."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.engine import RunnerSettings
from pipeline.errors import UserError
from pipeline.mixture import sequences
from pipeline.mixture.build import build_mixture
from pipeline.mixture.reader import MixtureReader, position_ids, segment_ids, torch_dataset
from tests.pipeline.mixture import corpus


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "GROUP_ROWS", 20)  # several row groups
        build_mixture(corpus.settings(folder), str(folder / "out"), RunnerSettings(workers=0))
    return folder / "out"


@pytest.fixture(scope="module")
def rows(built: Path) -> list[dict[str, Any]]:
    return [
        row for path in sorted((built / "sequences").iterdir()) for row in pq.read_table(path).to_pylist()
    ]


def positions(reader: MixtureReader, most: int | None = None) -> list[int]:
    return [each["position"] for each in itertools.islice(reader, most)]


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_ranks_share_the_sequences(built: Path, rows: list[dict[str, Any]], world: int) -> None:
    found = {}
    for rank in range(world):
        reader = MixtureReader(str(built), rank=rank, world=world)
        mine = list(reader)
        assert len(mine) == len(reader)
        assert [each["position"] for each in mine] == list(range(rank, len(rows), world))
        found.update({each["position"]: each for each in mine})
    for at, row in enumerate(rows):
        assert found[at]["input_ids"].tolist() == row["input_ids"]
        assert found[at]["doc_lens"].tolist() == row["doc_lens"]
        assert found[at]["n_pad"] == row["n_pad"]


@pytest.mark.parametrize("taken", [0, 1, 30, 41])
@pytest.mark.parametrize(("before", "after"), [(1, 1), (3, 3), (2, 5), (4, 1)])
def test_reading_goes_on_in_another_world(
    built: Path, rows: list[dict[str, Any]], taken: int, before: int, after: int
) -> None:
    seen, states = [], []
    for rank in range(before):
        reader = MixtureReader(str(built), rank=rank, world=before)
        seen += positions(reader, taken)
        states.append(reader.state_dict())
    assert all(state == states[0] for state in states)
    for rank in range(after):
        reader = MixtureReader(str(built), rank=rank, world=after)
        reader.load_state_dict(states[0])
        expected = len(reader)
        rest = positions(reader)
        assert len(rest) == expected
        seen += rest
    assert sorted(seen) == list(range(len(rows)))


def test_dropping_the_last_step_keeps_ranks_even(built: Path, rows: list[dict[str, Any]]) -> None:
    world = next(n for n in (3, 5, 7) if len(rows) % n)
    readers = [MixtureReader(str(built), rank=r, world=world, drop_last=True) for r in range(world)]
    assert [len(reader) for reader in readers] == [len(rows) // world] * world
    assert [len(positions(reader)) for reader in readers] == [len(rows) // world] * world


def test_a_second_pass_begins_anew(built: Path) -> None:
    reader = MixtureReader(str(built), rank=1, world=2)
    assert positions(reader) == positions(reader)


def test_a_state_of_another_mixture_is_refused(built: Path) -> None:
    with pytest.raises(UserError, match="the state is of the mixture 0000"):
        MixtureReader(str(built)).load_state_dict({"plan": "0000", "position": 3})


def test_missing_shards_are_noticed(built: Path, tmp_path: Path) -> None:
    shards = sorted((built / "sequences").iterdir())
    for name, chosen in {"first": shards[1:], "middle": [shards[0], shards[2]], "last": shards[:2]}.items():
        (tmp_path / name).mkdir()
        for path in chosen:
            (tmp_path / name / path.name).symlink_to(path)
        with pytest.raises(UserError, match=r"a shard is missing|holds 2 of 3 shards"):
            MixtureReader(str(tmp_path / name))
    with pytest.raises(UserError, match="holds no sequences"):
        MixtureReader(str(tmp_path))
    with pytest.raises(ValueError, match="rank 2 is not one of a world of 2"):
        MixtureReader(str(built), rank=2, world=2)


def test_masks_follow_the_boundaries() -> None:
    lens = np.array([3, 1, 2], np.int32)
    assert segment_ids(lens).tolist() == [0, 0, 0, 1, 2, 2]
    assert position_ids(lens).tolist() == [0, 1, 2, 0, 0, 1]


def test_datasets_loads_the_files(built: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    files = str(built / "sequences" / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert loaded.num_rows == len(rows)
    assert loaded[5]["input_ids"] == rows[5]["input_ids"]
    assert loaded[5]["doc_id"] == rows[5]["doc_id"]
    streamed = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    assert [row["doc_lens"] for row in streamed] == [row["doc_lens"] for row in rows]


def test_pytorch_loads_the_files(built: Path, rows: list[dict[str, Any]]) -> None:
    torch_data = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed")
    reader = MixtureReader(str(built))
    loader = torch_data.DataLoader(torch_dataset(reader), batch_size=4)
    batch = next(iter(loader))
    assert batch["input_ids"].tolist() == [row["input_ids"] for row in rows[:4]]
