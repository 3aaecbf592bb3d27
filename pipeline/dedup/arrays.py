"""Packed arrays in files: what deduplication shuffles instead of documents.

A document is its ordinal (uint32: position of its row among all rows of the run), an edge between two
documents is one uint64 (`first << 32 | second`). A task writes one file whose blocks each hold the packed
arrays of one partition; the engine hands the blocks of a partition to one reduce task.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import BaseModel

from pipeline import storage
from pipeline.blocks import Block

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]

MAX_DOCUMENTS = 2**32 - 1
"""Ordinals are 32 bits wide."""

_M1 = np.uint64(0xFF51AFD7ED558CCD)
_M2 = np.uint64(0xC4CEB9FE1A85EC53)


class Blocks(BaseModel):
    """A task's result: where its packed arrays lie, and what it counted."""

    blocks: list[Block] = []
    counts: dict[str, int] = {}


@njit(cache=True, nogil=True, inline="always")
def mix64(x: np.uint64) -> np.uint64:
    """MurmurHash3's 64-bit finaliser: a bijection whose output bits each depend on all input bits."""
    x = np.uint64(x)
    x ^= x >> np.uint64(33)
    x *= _M1
    x ^= x >> np.uint64(33)
    x *= _M2
    x ^= x >> np.uint64(33)
    return x


@njit(cache=True, nogil=True)
def _mix_all(values: Any) -> Any:
    out = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        out[i] = mix64(np.uint64(values[i]))
    return out


def mixed(values: U64 | U32) -> U64:
    """`mix64` of every value."""
    return _mix_all(values)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True, inline="always")
def partition_of(hashed: np.uint64, partitions: np.uint64) -> np.int64:
    """The partition of a well-mixed hash: its high bits, scaled."""
    return np.int64(((hashed >> np.uint64(32)) * partitions) >> np.uint64(32))


@njit(cache=True, nogil=True)
def _spread(hashes: Any, partitions: int) -> Any:
    count = np.uint64(partitions)
    starts = np.zeros(partitions + 1, np.int64)
    for i in range(len(hashes)):
        starts[partition_of(hashes[i], count) + 1] += 1
    for p in range(partitions):
        starts[p + 1] += starts[p]
    nexts = starts[:-1].copy()
    order = np.empty(len(hashes), np.uint32)
    for i in range(len(hashes)):
        at = partition_of(hashes[i], count)
        order[nexts[at]] = np.uint32(i)
        nexts[at] += 1
    return order, starts


def spread(hashes: U64, partitions: int) -> tuple[U32, I64]:
    """Order that sorts items by the partition of their hash (its high bits), stably; and where each partition
    starts.
    """
    if len(hashes) > MAX_DOCUMENTS:
        raise ValueError(f"{len(hashes)} items are too many for one task; use a smaller `task_rows`")
    return _spread(hashes, partitions)  # type: ignore[no-any-return]


def partitions_for(items: int, item_bytes: int, partition_bytes: int) -> int:
    """How many partitions keep each at or below `partition_bytes` on average; at least one."""
    return max(1, -(-items * item_bytes // partition_bytes))


def pack(first: U32, second: U32) -> U64:
    """Edges as single numbers, which sort by first, then second."""
    return (first.astype(np.uint64) << np.uint64(32)) | second.astype(np.uint64)


def unpack(edges: U64) -> tuple[U32, U32]:
    """The two documents of each edge."""
    return (edges >> np.uint64(32)).astype(np.uint32), edges.astype(np.uint32)


def view_of(array: npt.NDArray[Any]) -> memoryview:
    """The bytes of an array (of a contiguous one: not copied)."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The distinct values, ascending. `numpy.unique` (2.4) hashes before it sorts: for 6 million edges 7.5 s,
    not .05 s.
    """
    ordered = np.sort(values)
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


class BlockWriter:
    """Appends the packed arrays of one partition after the other to a file."""

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self._path, self._file, self._offset = path, file, 0
        self.blocks: list[Block] = []

    def add(self, partition: int, *arrays: npt.NDArray[Any]) -> None:
        """Write arrays behind each other as one block; nothing is written where all are empty."""
        length = sum(array.nbytes for array in arrays)
        if length == 0:
            return
        for array in arrays:
            self._file.write(view_of(array))
        block = Block(partition=partition, path=self._path, offset=self._offset, length=length)
        self.blocks.append(block)
        self._offset += length

    def add_spread(self, hashes: U64, partitions: int, *columns: npt.NDArray[Any]) -> None:
        """Write parallel arrays, partitioned by hash; within a partition the order is kept."""
        if partitions == 1:
            self.add(0, *columns)
            return
        order, starts = spread(hashes, partitions)
        for p in range(partitions):
            here = order[starts[p] : starts[p + 1]]
            self.add(p, *(column[here] for column in columns))


@contextlib.contextmanager
def write_blocks(path: str) -> Iterator[BlockWriter]:
    """A file of blocks, which appears when the block of code ends."""
    with storage.write_atomically(path) as file:
        yield BlockWriter(path, file)


def read_into(block: Block, *outs: memoryview, at: int = 0) -> None:
    """Fill buffers, one after the other, from position `at` of a block.

    Raises:
        ValueError: where the file ends early.
    """
    with storage.open_read(block.path) as file:
        file.seek(block.offset + at)
        for out in outs:
            _fill(file, out, block.path)


def _fill(file: IO[bytes], out: memoryview, path: str) -> None:
    done = 0
    while done < len(out):
        piece = file.read(min(len(out) - done, 1 << 24))
        if not piece:
            raise ValueError(f"{path} ends early: {len(out) - done} bytes are missing")
        out[done : done + len(piece)] = piece
        done += len(piece)


def read_blocks(blocks: Iterable[Block], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The values of blocks of one array each, in the order given."""
    listed = list(blocks)
    out = np.empty(sum(block.length for block in listed), np.uint8)
    view, done = view_of(out), 0
    for block in listed:
        read_into(block, view[done : done + block.length])
        done += block.length
    return out.view(dtype)


def edge_batches(blocks: Sequence[Block], batch_bytes: int) -> Iterator[U64]:
    """The edges of blocks in pieces of at most `batch_bytes` (at least one edge)."""
    step = max(8, batch_bytes // 8 * 8)
    for block in blocks:
        for at in range(0, block.length, step):
            batch = np.empty(min(step, block.length - at) // 8, np.uint64)
            read_into(block, view_of(batch), at=at)
            yield batch


def open_array(path: str, dtype: npt.DTypeLike, width: int = 0) -> npt.NDArray[Any]:
    """A flat file as an array (rows of `width` values where it is not 0), mapped into memory where the file
    is local.
    """
    kind = np.dtype(dtype)
    if not storage.is_local(path):
        flat = np.frombuffer(storage.read_bytes(path), kind)
    elif storage.size(path) == 0:
        flat = np.empty(0, kind)
    else:
        flat = np.asarray(np.memmap(storage.local_path(path), kind, mode="r"))
    return flat.reshape(-1, width) if width else flat


def write_array(path: str, *arrays: npt.NDArray[Any]) -> None:
    """Write arrays behind each other as one flat file."""
    with storage.write_atomically(path) as file:
        for array in arrays:
            file.write(view_of(array))
