"""Room 5: components -> who survives, and the tables that say so.

A cluster is a component of copies (by text, by URL) and verified near-duplicates. Clusters of fewer than
`min_cluster_size` documents are left alone; of others the best `keep` survive. Where an earlier run has
published one of a cluster, none of this run's survives. Order: documents that stand
for their exact copies before those copies, then the survivor rule, then the smaller id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import storage
from pipeline.blocks import Block, Partition
from pipeline.chunks import HarvestedChunk
from pipeline.dedup.arrays import (
    F32,
    U32,
    U64,
    distinct,
    open_array,
    read_blocks,
    unpack,
    write_array,
    write_blocks,
)
from pipeline.dedup.columns import Columns
from pipeline.dedup.earlier import NOBODY, EarlierRuns
from pipeline.dedup.exact import SAME_TEXT, SAME_URL, UNIQUE, add_by_group
from pipeline.dedup.keys import format_ids

KINDS = ("fuzzy", "exact_url", "exact_text")
"""Why a document is a duplicate, by its level: the index into this is `REMOVED.kind`."""

REMOVED = np.dtype(
    [
        ("ordinal", "<u4"),
        ("survivor", "<u4"),
        ("similarity", "<f4"),
        ("kind", "u1"),
        ("cluster_size", "<u4"),
        ("id_hi", "<u8"),
        ("id_lo", "<u8"),
        ("survivor_hi", "<u8"),
        ("survivor_lo", "<u8"),
        ("cluster_hi", "<u8"),
        ("cluster_lo", "<u8"),
    ]
)
"""A removed document: its ordinal and id, those of the document that survives in its place, their similarity
(NaN where one
has no signature), the kind, the number of documents in the cluster and the cluster's id (the smallest id
in it)."""

TABLE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("surviving_id", pa.string(), nullable=False),
        pa.field("surviving_run", pa.string()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("similarity", pa.float32()),
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("cluster_size", pa.uint32(), nullable=False),
    ]
)
_ROW_GROUP = 131_072

WORKING_BYTES = 400
"""What a reduce task needs per labelled document: its record in two orders, sort keys, its removal as made
and as packed.
"""

Documents = npt.NDArray[Any]


class SurvivorSettings(BaseModel, frozen=True):
    """What the tasks of this room depend on. `inputs` names the step that the labels come from; documents from
    ordinal `earlier` on are of earlier runs.
    """

    folder: str
    inputs: str
    columns: Columns
    fuzzy: bool
    keep: int
    min_cluster_size: int
    earlier: int = NOBODY


class Removals(BaseModel):
    """The removed documents of one group of chunks, in the order of their ordinals: a flat file of `REMOVED`
    records.
    """

    base: int
    rows: int
    path: str
    documents: int


class Decided(BaseModel):
    """What one partition of clusters came to: where its removals lie, and how many clusters there are of each
    size.
    """

    blocks: list[Block]
    sizes: dict[int, int]
    kinds: dict[str, int]


def decide_clusters(item: Partition, shared: SurvivorSettings) -> Decided:
    """Task: the removals of a partition of labelled documents, packed by group."""
    labels = distinct(read_blocks(item.blocks, np.uint64))
    removed, sizes = choose(labels, shared)
    with write_blocks(storage.join(shared.folder, f"removed-{item.key}.bin")) as writer:
        add_by_group(writer.add, removed, removed["ordinal"].copy(), shared.columns.bases)
    return Decided(
        blocks=writer.blocks,
        sizes=sizes,
        kinds={kind: int((removed["kind"] == code).sum()) for code, kind in enumerate(KINDS)},
    )


def choose(labels: U64, settings: SurvivorSettings) -> tuple[npt.NDArray[Any], dict[int, int]]:
    """The removals of whole clusters (`label << 32 | ordinal`), and the number of clusters by size."""
    label, ordinal = unpack(labels)
    by_ordinal = np.argsort(ordinal)
    documents = settings.columns.documents(ordinal[by_ordinal])
    levels = settings.columns.document_levels(ordinal[by_ordinal])
    order = _preference(label[by_ordinal], documents, levels, ordinal[by_ordinal])
    label, ordinal = label[by_ordinal][order], ordinal[by_ordinal][order]
    documents, levels = documents[order], levels[order]
    starts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]]) if len(label) else np.empty(0, np.int64)
    sizes = np.diff(np.r_[starts, len(label)])
    best, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    goes = (np.arange(len(label)) - best >= settings.keep) & (size >= settings.min_cluster_size)
    # A published document is nobody's copy and has the best rank: where there is one, it is the best.
    goes |= ordinal[best] >= settings.earlier
    goes &= ordinal < settings.earlier
    out = np.empty(int(goes.sum()), REMOVED)
    out["ordinal"], out["survivor"] = ordinal[goes], ordinal[best[goes]]
    out["kind"], out["cluster_size"] = levels[goes], size[goes]
    out["id_hi"], out["id_lo"] = documents["id_hi"][goes], documents["id_lo"][goes]
    out["survivor_hi"], out["survivor_lo"] = documents["id_hi"][best[goes]], documents["id_lo"][best[goes]]
    smallest = _smallest_ids(label, documents, starts)
    cluster = np.repeat(smallest, sizes)[goes]
    out["cluster_hi"], out["cluster_lo"] = documents["id_hi"][cluster], documents["id_lo"][cluster]
    out["similarity"] = _similarities(out, documents[goes], documents[best[goes]], settings)
    each, counts = np.unique(sizes, return_counts=True)
    return out, dict(zip(each.tolist(), counts.tolist(), strict=True))


def _preference(label: U32, documents: Documents, levels: npt.NDArray[np.uint8], ordinal: U32) -> Any:
    """The order of clusters, and within each from the best document to the worst."""
    return np.lexsort((ordinal, documents["id_lo"], documents["id_hi"], documents["rank"], levels, label))


def _smallest_ids(label: U32, documents: Documents, starts: Any) -> Any:
    """For each cluster the position of the document with the smallest id."""
    return np.lexsort((documents["id_lo"], documents["id_hi"], label))[starts]


def _similarities(
    removed: npt.NDArray[Any], documents: Documents, survivors: Documents, settings: SurvivorSettings
) -> F32:
    """Estimated Jaccard similarity of removed documents and survivors; 1 where their texts are equal."""
    if settings.fuzzy:
        out = settings.columns.similarity(removed["ordinal"].copy(), removed["survivor"].copy())
    else:
        out = np.full(len(removed), np.nan, np.float32)
    same = documents["has_text"] & survivors["has_text"]
    for half in ("text_hi", "text_lo"):
        same &= documents[half] == survivors[half]
    out[same] = 1.0
    return out


class OrderSettings(BaseModel, frozen=True):
    """What `order_removals` depends on: the first ordinal and the rows of each group."""

    folder: str
    inputs: str
    groups: tuple[tuple[int, int], ...]


def order_removals(item: Partition, shared: OrderSettings) -> Removals:
    """Task: the removals of a group from all partitions, in the order of their ordinals."""
    removed = read_blocks(item.blocks, REMOVED)
    removed = removed[np.argsort(removed["ordinal"])]
    path = storage.join(shared.folder, f"group-{item.index:06d}.bin")
    write_array(path, removed)
    base, rows = shared.groups[item.index]
    return Removals(base=base, rows=rows, path=path, documents=len(removed))


def removed_in(removals: Sequence[Removals], chunk: HarvestedChunk) -> npt.NDArray[Any]:
    """The `REMOVED` records of a chunk, in the order of its rows; the row is `ordinal - chunk.base`."""
    for group in removals:
        if group.base <= chunk.base < group.base + max(group.rows, 1):
            removed = open_array(group.path, REMOVED)
            low, high = np.searchsorted(
                removed["ordinal"], np.array([chunk.base, chunk.base + chunk.rows], np.uint64)
            )
            return np.array(removed[low:high])
    return np.empty(0, REMOVED)


class TableItem(BaseModel, frozen=True):
    """What the cluster table is made of: the removals of all groups, in order."""

    key: str
    removals: tuple[Removals, ...]


class TableSettings(BaseModel, frozen=True):
    """Where the cluster table goes, and which documents are of earlier runs."""

    path: str
    inputs: str
    earlier: EarlierRuns = EarlierRuns()


class Table(BaseModel):
    """The cluster table and its number of rows."""

    path: str
    rows: int


def write_table(item: TableItem, shared: TableSettings) -> Table:
    """Task: one Parquet file with a row per removed document, in the order of the run's inputs."""
    rows = 0
    pending: list[npt.NDArray[Any]] = []
    with (
        storage.write_atomically(shared.path) as file,
        pq.ParquetWriter(file, TABLE, compression="zstd") as writer,
    ):
        for group in item.removals:
            pending.append(np.asarray(open_array(group.path, REMOVED)))
            rows += group.documents
            # Row groups are cut by count, not by group of chunks: the file is the same however those were
            # cut.
            pending = _write_full(writer, pending, shared.earlier, at_least=_ROW_GROUP)
        _write_full(writer, pending, shared.earlier, at_least=1)
    return Table(path=shared.path, rows=rows)


def _write_full(
    writer: Any, pending: list[npt.NDArray[Any]], earlier: EarlierRuns, at_least: int
) -> list[npt.NDArray[Any]]:
    if sum(map(len, pending)) < at_least:
        return pending
    removed = np.concatenate(pending)
    while len(removed) >= at_least:
        writer.write_table(table_of(removed[:_ROW_GROUP], earlier), row_group_size=_ROW_GROUP)
        removed = removed[_ROW_GROUP:]
    return [removed]


def table_of(removed: npt.NDArray[Any], earlier: EarlierRuns) -> pa.Table:
    """Removals as rows of the cluster table; `surviving_run` is null where a document of this run survives."""
    kinds = pa.DictionaryArray.from_arrays(removed["kind"].astype(np.int8), list(KINDS)).cast(pa.string())
    columns = [
        format_ids(removed["id_hi"], removed["id_lo"]),
        format_ids(removed["survivor_hi"], removed["survivor_lo"]),
        earlier.of(removed["survivor"].copy()),
        kinds,
        pa.array(removed["similarity"].copy(), from_pandas=True),
        format_ids(removed["cluster_hi"], removed["cluster_lo"]),
        pa.array(removed["cluster_size"].copy()),
    ]
    return pa.Table.from_arrays(columns, schema=TABLE)


assert (UNIQUE, SAME_URL, SAME_TEXT) == (0, 1, 2)  # noqa: S101  (KINDS is indexed by level)
