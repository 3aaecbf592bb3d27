"""Exact copies, by hash: one record a document, found before any band is looked at.

Texts go first. Of the documents with one text the best by the survivor rule stands for the others; of those
that are left, the documents of one URL are treated likewise by their own rule. Neither kind of copy enters
the fuzzy stage; what becomes of the copies in the end is decided for whole clusters (`survivors`).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import BaseModel

from pipeline import storage
from pipeline.blocks import Block, Partition
from pipeline.dedup.arrays import (
    U32,
    U64,
    Blocks,
    mixed,
    open_array,
    pack,
    read_blocks,
    unpack,
    write_array,
    write_blocks,
)
from pipeline.dedup.earlier import NOBODY
from pipeline.dedup.keys import DOCUMENT, GroupDocuments

RECORD = np.dtype(
    [
        ("hi", "<u8"),
        ("lo", "<u8"),
        ("rank", "<u8"),
        ("id_hi", "<u8"),
        ("id_lo", "<u8"),
        ("ordinal", "<u4"),
    ]
)

WORKING_BYTES = 4 * RECORD.itemsize
"""What a reduce task needs per record: as read, as sorted, its columns, its order."""

UNIQUE, SAME_URL, SAME_TEXT = 0, 1, 2
"""Levels: how a document relates to its exact copies. Only documents of level `UNIQUE` enter the fuzzy stage.
"""


class ExactGroup(BaseModel, frozen=True):
    """A group, and the copies in it that an earlier pass found."""

    key: str
    group: GroupDocuments
    texts: tuple[Block, ...] = ()
    urls: tuple[Block, ...] = ()


class ExactSettings(BaseModel, frozen=True):
    """What the exact tasks depend on. `bases` are the first ordinals of all groups, `earlier` is that of the documents
    of earlier runs, which are nobody's copies.
    """

    folder: str
    kind: Literal["text", "url"]
    partitions: int
    bases: tuple[int, ...]
    earlier: int = NOBODY


class Levels(BaseModel):
    """A group's file of levels (uint8 a document), and how many documents have each."""

    key: str
    path: str
    counts: dict[str, int]


def write_hashes(item: ExactGroup, shared: ExactSettings) -> Blocks:
    """Task: the hash records of a group's documents, packed by partition."""
    group = item.group
    documents = open_array(group.path("documents"), DOCUMENT)
    ordinals = open_array(group.path("ordinals"), np.uint32)
    if shared.kind == "text":
        rows = np.flatnonzero(documents["has_text"])
    else:
        rows = np.flatnonzero((documents["url"] != 0) & (levels_of(item, ordinals) == UNIQUE))
    records = np.empty(len(rows), RECORD)
    chosen = documents[rows]
    records["ordinal"] = ordinals[rows]
    records["id_hi"], records["id_lo"] = chosen["id_hi"], chosen["id_lo"]
    high, low, rank = ("text_hi", "text_lo", "rank") if shared.kind == "text" else ("url", None, "url_rank")
    # Mixing is a bijection: in one scope different hashes stay different.
    records["hi"] = mixed(chosen[high] + chosen["scope"])
    records["lo"] = 0 if low is None else chosen[low]
    records["rank"] = chosen[rank]
    with write_blocks(storage.join(shared.folder, f"hashes-{item.key}.bin")) as writer:
        writer.add_spread(records["hi"].copy(), shared.partitions, records)
    return Blocks(blocks=writer.blocks, counts={"records": len(rows)})


def find_copies(item: Partition, shared: ExactSettings) -> Blocks:
    """Task: of the records of each hash all but the best, as edges (best, copy), packed by the group of the
    copy.
    """
    edges = copies(read_blocks(item.blocks, RECORD))
    edges = edges[unpack(edges)[1] < shared.earlier]
    with write_blocks(storage.join(shared.folder, f"copies-{item.key}.bin")) as writer:
        add_by_group(writer.add, edges, unpack(edges)[1], shared.bases)
    return Blocks(blocks=writer.blocks, counts={"copies": len(edges)})


def add_by_group(add: Any, rows: npt.NDArray[Any], ordinals: U32, bases: tuple[int, ...]) -> None:
    """Write rows as one block per group that an ordinal of theirs lies in, in the order of the ordinals."""
    order = np.argsort(ordinals, kind="stable")
    rows, ordinals = rows[order], ordinals[order]
    cuts = np.searchsorted(ordinals, np.array((*bases[1:], 2**32), np.uint64))
    start = 0
    for index, stop in enumerate(cuts.tolist()):
        add(index, rows[start:stop])
        start = stop


def copies(records: npt.NDArray[Any]) -> U64:
    """Edges from the best record of each hash (by rank, then id, then ordinal) to every other of it."""
    keys = (records["lo"], records["hi"]) if records["lo"].any() else (records["hi"],)
    ordered = records[np.lexsort(keys)]
    best = _best(*(ordered[name].copy() for name in ("hi", "lo", "rank", "id_hi", "id_lo", "ordinal")))
    others = best != np.arange(len(ordered))
    return pack(ordered["ordinal"][best[others]], ordered["ordinal"][others])


@njit(cache=True, nogil=True)
def _best(hi: Any, lo: Any, rank: Any, id_hi: Any, id_lo: Any, ordinal: Any) -> Any:
    """For each of the sorted records the position of the best with the same hash."""
    count = len(hi)
    best = np.empty(count, np.int64)
    start = 0
    while start < count:
        stop = start + 1
        b = start
        while stop < count and hi[stop] == hi[start] and lo[stop] == lo[start]:
            if (rank[stop], id_hi[stop], id_lo[stop], ordinal[stop]) < (
                rank[b],
                id_hi[b],
                id_lo[b],
                ordinal[b],
            ):
                b = stop
            stop += 1
        best[start:stop] = b
        start = stop
    return best


def levels_of(item: ExactGroup, ordinals: U32) -> npt.NDArray[np.uint8]:
    """The level of each document of a group, from the copies found so far."""
    levels = np.full(len(ordinals), UNIQUE, np.uint8)
    for blocks, level in ((item.urls, SAME_URL), (item.texts, SAME_TEXT)):
        levels[np.searchsorted(ordinals, unpack(read_blocks(blocks, np.uint64))[1])] = level
    return levels


def write_levels(item: ExactGroup, shared: ExactSettings) -> Levels:
    """Task: the levels of a group's documents, as a flat file in the order of their ordinals."""
    levels = levels_of(item, open_array(item.group.path("ordinals"), np.uint32))
    path = storage.join(shared.folder, f"levels-{item.key}.bin")
    write_array(path, levels)
    names = {"unique": UNIQUE, "same_url": SAME_URL, "same_text": SAME_TEXT}
    return Levels(
        key=item.key, path=path, counts={name: int((levels == level).sum()) for name, level in names.items()}
    )
