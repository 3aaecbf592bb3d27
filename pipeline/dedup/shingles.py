"""Exact similarity, for `verify: exact`: the candidates' sets of shingles, made again from their texts.

Only documents with a candidate edge are read, after the band shuffle has told which they are. Per group:

    candidates-<group>.bin   uint32: ordinals, ascending
    offsets-<group>.bin      int64: where each document's shingles start, and the end
    shingles-<group>.bin     uint64: 64-bit shingle hashes, distinct and sorted within a document
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from pydantic import BaseModel

from filters.minhash import ShingleSets, shingle_hashes
from filters.words import index_words
from pipeline import storage
from pipeline.blocks import Partition
from pipeline.chunks import HarvestedChunk
from pipeline.dedup.arrays import (
    F32,
    I64,
    U32,
    U64,
    Blocks,
    distinct,
    edge_batches,
    open_array,
    read_blocks,
    unpack,
    write_array,
    write_blocks,
)
from pipeline.dedup.components import EdgeItem
from pipeline.dedup.exact import add_by_group
from pipeline.dedup.keys import Group
from pipeline.errors import UserError


class CandidateSettings(BaseModel, frozen=True):
    """What the tasks that list candidates depend on. `inputs` names the step the edges come from."""

    folder: str
    inputs: str
    bases: tuple[int, ...]
    batch_bytes: int


class Candidates(BaseModel):
    """The candidate documents of one group: its index, and a flat file of their ordinals."""

    group: int
    path: str


class ShingleGroup(BaseModel, frozen=True):
    """A group and its candidate documents, whose texts are to be read."""

    key: str
    group: Group
    candidates: str


class ShingleSettings(BaseModel, frozen=True):
    """What `read_shingles` depends on: words of a shingle, and the column of the text."""

    folder: str
    words: int
    column: str = "text"


class GroupShingles(BaseModel, frozen=True):
    """A group whose candidates' shingles are written."""

    key: str
    base: int
    folder: str
    candidates: str

    def path(self, column: str) -> str:
        """The flat file of a column."""
        return storage.join(self.folder, f"{column}-{self.key}.bin")


def write_candidates(item: EdgeItem, shared: CandidateSettings) -> Blocks:
    """Task: the documents of candidate edges, packed by their group."""
    with write_blocks(storage.join(shared.folder, f"nodes-{item.key}.bin")) as writer:
        for edges in edge_batches(item.blocks, shared.batch_bytes):
            nodes = distinct(np.concatenate(unpack(edges)))
            add_by_group(writer.add, nodes, nodes, shared.bases)
    return Blocks(blocks=writer.blocks)


def list_candidates(item: Partition, shared: CandidateSettings) -> Candidates:
    """Task: the candidate documents of a group, each once."""
    path = storage.join(shared.folder, f"candidates-{item.index:06d}.bin")
    write_array(path, distinct(read_blocks(item.blocks, np.uint32)))
    return Candidates(group=item.index, path=path)


def read_shingles(item: ShingleGroup, shared: ShingleSettings) -> GroupShingles:
    """Task: the shingles of a group's candidates.

    Raises:
        UserError: where a chunk file has no column of texts.
    """
    result = GroupShingles(
        key=item.key, base=item.group.base, folder=shared.folder, candidates=item.candidates
    )
    ordinals = open_array(item.candidates, np.uint32)
    lengths = [np.zeros(1, np.int64)]
    with storage.write_atomically(result.path("shingles")) as file:
        for chunk in item.group.chunks:
            low, high = np.searchsorted(ordinals, np.array([chunk.base, chunk.base + chunk.rows], np.uint64))
            if low == high:
                continue
            sets = _shingles(chunk, ordinals[low:high] - np.uint32(chunk.base), shared)
            file.write(sets.hashes.tobytes())
            lengths.append(np.diff(sets.offsets))
    write_array(result.path("offsets"), np.cumsum(np.concatenate(lengths)))
    return result


def _shingles(chunk: HarvestedChunk, rows: U32, settings: ShingleSettings) -> ShingleSets:
    with storage.open_read(chunk.path) as file:
        parquet = pq.ParquetFile(file)
        if settings.column not in parquet.schema_arrow.names:
            raise UserError(
                f"deduplication: {chunk.path} has no column {settings.column}, which `verify: exact` reads; "
                "use `verify: signature`"
            )
        text = parquet.read(columns=[settings.column])[settings.column].take(rows)
    return shingle_hashes(index_words(text.combine_chunks()), settings.words)


class Shingles(BaseModel, frozen=True):
    """Random access to the shingles of all candidates by ordinal."""

    groups: tuple[GroupShingles, ...]
    batch_bytes: int

    def similarity(self, first: U32, second: U32) -> F32:
        """Jaccard similarity of the shingle sets of pairs; sets are read `batch_bytes` or so at a time."""
        out = np.empty(len(first), np.float32)
        known, where = np.unique(np.concatenate([first, second]), return_inverse=True)
        left, right = where[: len(first)], where[len(first) :]
        sizes = self._sizes(known)
        read = np.cumsum(8 * (sizes[left] + sizes[right]))
        batches = read // self.batch_bytes
        cuts = np.flatnonzero(np.diff(batches)) + 1
        for pairs in np.split(np.arange(len(first)), cuts):
            nodes, at = np.unique(np.concatenate([left[pairs], right[pairs]]), return_inverse=True)
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[nodes])])
            sets = ShingleSets(offsets, self._hashes(known[nodes]))
            out[pairs] = sets.jaccard(at[: len(pairs)], at[len(pairs) :])
        return out

    def _located(self, ordinals: U32) -> Iterator[tuple[GroupShingles, slice, I64]]:
        bases = [group.base for group in self.groups]
        cuts = np.searchsorted(ordinals, np.array([*bases, 2**32], np.uint64))
        for index in np.flatnonzero(cuts[1:] > cuts[:-1]).tolist():
            here = slice(int(cuts[index]), int(cuts[index + 1]))
            group = self.groups[index]
            yield group, here, np.searchsorted(open_array(group.candidates, np.uint32), ordinals[here])

    def _sizes(self, ordinals: U32) -> I64:
        out = np.empty(len(ordinals), np.int64)
        for group, here, rows in self._located(ordinals):
            offsets = open_array(group.path("offsets"), np.int64)
            out[here] = offsets[rows + 1] - offsets[rows]
        return out

    def _hashes(self, ordinals: U32) -> U64:
        parts: list[npt.NDArray[np.uint64]] = [np.empty(0, np.uint64)]
        for group, _, rows in self._located(ordinals):
            offsets = open_array(group.path("offsets"), np.int64)
            hashes = open_array(group.path("shingles"), np.uint64)
            parts += [hashes[a:b] for a, b in zip(offsets[rows], offsets[rows + 1], strict=True)]
        return np.concatenate(parts)
