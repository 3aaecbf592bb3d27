"""Reads a built mixture for training: in order, for one rank of many, and on from any point.

    reader = MixtureReader("mixture-out", rank=3, world=8)
    for sequence in reader:
        sequence["input_ids"], sequence["doc_lens"]
    state = reader.state_dict()          # {"plan": ..., "position": ...}

Sequences are numbered through all shards in order, and the shards are random samples of the mixture, so no shuffling is
needed. In step t the ranks together get the sequences `t * world` to `(t + 1) * world - 1`: what a global batch holds depends
on nothing else, and a state saved with one world is resumed exactly with another. The price is that every rank decodes all row
groups (some 80 million tokens a second of one core).

Needs no PyTorch; `torch_dataset` wraps a reader for a `DataLoader` where PyTorch is installed.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import UserError
from pipeline.mixture.layout import METADATA

I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class _Shard:
    path: str
    first: int
    """Number of its first sequence."""
    rows: int


class MixtureReader:
    """The sequences of one rank, as dictionaries of numpy arrays.

    `input_ids` (int32, `sequence_length` of them), `doc_lens` (int32; the last is padding where `n_pad` is not 0), `n_pad` and
    `position`, the sequence's number. Iterating begins where the state says and leaves the state behind the last sequence that
    was taken; after the end it begins anew.
    """

    def __init__(self, folder: str, *, rank: int = 0, world: int = 1, drop_last: bool = False) -> None:
        """Open a mixture.

        Args:
            folder: a built mixture, or its `sequences`.
            rank: which reader this is, from 0.
            world: how many readers there are.
            drop_last: whether the sequences of the last, incomplete step are left out, so that all ranks get equally many.

        Raises:
            UserError: when shards are missing or belong to different mixtures.
            ValueError: when the rank is not in the world.
        """
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is not one of a world of {world}")
        self.rank, self.world, self.drop_last = rank, world, drop_last
        self.about, self._shards = _find(folder)
        self.sequence_length: int = self.about["sequence_length"]
        self._position = 0

    @property
    def total(self) -> int:
        """Sequences of the mixture."""
        last = self._shards[-1]
        return last.first + last.rows

    def __len__(self) -> int:
        """Sequences that iterating from here gives this rank."""
        left = self._end() - self._position
        return max(0, -(-(left - self.rank) // self.world))

    def _end(self) -> int:
        left = self.total - self._position
        return self.total - (left % self.world if self.drop_last else 0)

    def state_dict(self) -> dict[str, Any]:
        """Where the next step begins: good for any rank, and for another world."""
        return {"plan": self.about["plan"], "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            UserError: when it is the state of another mixture.
        """
        if state["plan"] != self.about["plan"]:
            raise UserError(
                f"the state is of the mixture {state['plan']}, and this one is {self.about['plan']}: "
                "their sequences have nothing to do with each other."
            )
        self._position = int(state["position"])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        end = self._end()
        wanted = self._position + self.rank
        for shard in self._shards:
            if wanted < min(end, shard.first + shard.rows):
                for sequence in self._of_shard(shard, wanted, end):
                    wanted = sequence["position"] + self.world
                    # The step is done when its sequence has been taken, also where the consumer stops there.
                    self._position = wanted - self.rank
                    yield sequence
        self._position = 0

    def _of_shard(self, shard: _Shard, wanted: int, end: int) -> Iterator[dict[str, Any]]:
        """The sequences `wanted`, `wanted + world`, ... that lie in a shard."""
        columns = ["input_ids", "doc_lens", "n_pad"]
        with storage.open_read(shard.path) as file:
            parquet = pq.ParquetFile(file)
            first = shard.first
            for group in range(parquet.metadata.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                if wanted < min(end, first + rows):
                    table = parquet.read_row_group(group, columns=columns, use_threads=False)
                    ids, lens = _flat(table["input_ids"]), _flat(table["doc_lens"])
                    pads = table["n_pad"].to_numpy()
                    while wanted < min(end, first + rows):
                        row = wanted - first
                        yield {
                            "input_ids": ids[0][ids[1][row] : ids[1][row + 1]].copy(),
                            "doc_lens": lens[0][lens[1][row] : lens[1][row + 1]].copy(),
                            "n_pad": int(pads[row]),
                            "position": wanted,
                        }
                        wanted += self.world
                first += rows


def _flat(column: pa.ChunkedArray) -> tuple[I32, I32]:
    """The values of a column of lists, and where each list begins in them."""
    lists = column.combine_chunks()
    offsets = lists.offsets.to_numpy()
    return lists.flatten().to_numpy(), offsets - offsets[0]


def _find(folder: str) -> tuple[dict[str, Any], list[_Shard]]:
    """What the mixture's files say, and the shards in order."""
    inner = storage.join(folder, "sequences")
    paths = storage.list_files(inner, ".parquet") or storage.list_files(folder, ".parquet")
    if not paths:
        raise UserError(f"{folder} holds no sequences (no sequences/*.parquet); is the mixture built?")
    about: dict[str, Any] = {}
    shards, first = [], 0
    for index, path in enumerate(paths):
        with storage.open_read(path) as file:
            footer = pq.ParquetFile(file).metadata
        found = json.loads((footer.metadata or {}).get(METADATA.encode(), b"{}"))
        about = about or found
        if not found or {**found, "shard": index} != {**about, "shard": index} or found["shard"] != index:
            raise UserError(
                f"{path} is not shard {index} of one mixture: a shard is missing, or is another's."
            )
        shards.append(_Shard(path, first, footer.num_rows))
        first += footer.num_rows
    if len(paths) != about["shards"]:
        raise UserError(f"{folder} holds {len(paths)} of {about['shards']} shards.")
    return about, shards


def segment_ids(doc_lens: I32) -> I32:
    """For each token the number of its document in the sequence: attention may go where they are equal."""
    return np.repeat(np.arange(len(doc_lens), dtype=np.int32), doc_lens)


def position_ids(doc_lens: I32) -> I32:
    """For each token its place in its document (in this sequence)."""
    starts = np.cumsum(doc_lens) - doc_lens
    return (np.arange(int(doc_lens.sum())) - np.repeat(starts, doc_lens)).astype(np.int32)


def torch_dataset(reader: MixtureReader) -> Any:
    """The reader as a `torch.utils.data.IterableDataset`; `input_ids` become int64 tensors.

    With `num_workers` each worker takes its part of the rank's sequences, and a stateful loader asks each for its own state.

    Raises:
        ImportError: when PyTorch is not installed.
    """
    torch: Any = importlib.import_module("torch")
    data: Any = importlib.import_module("torch.utils.data")

    class Sequences(data.IterableDataset):  # type: ignore[misc]
        """The sequences of a reader."""

        world = reader.world

        def __iter__(self) -> Iterator[dict[str, Any]]:
            worker = data.get_worker_info()
            if worker is not None and reader.world == self.world:
                # This process has a copy of the reader of its own: make it one of more ranks.
                reader.rank += worker.id * reader.world
                reader.world *= worker.num_workers
            for sequence in reader:
                yield {
                    "input_ids": torch.from_numpy(sequence["input_ids"].astype(np.int64)),
                    "n_pad": sequence["n_pad"],
                    "position": sequence["position"],
                }

        def state_dict(self) -> dict[str, Any]:
            """The reader's state."""
            return reader.state_dict()

        def load_state_dict(self, state: dict[str, Any]) -> None:
            """Go on from a state."""
            reader.load_state_dict(state)

    return Sequences()
