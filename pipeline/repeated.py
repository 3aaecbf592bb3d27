"""Removal of lines that more than so many documents share, over the whole corpus.

The harvest keeps the hashes of each document's lines (`lines.hashes`); after all decisions the documents that hold each line
are counted over what will be published, by a shuffle of packed (hash, count) records; the lines above the limit go to one sorted
file, and `publish` takes them out of the texts. Measures describe the text before this edit; `text.bytes` and `text.characters`
the text after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field

from filters.measures import Column
from pipeline import storage
from pipeline.blocks import Block, Partition
from pipeline.chunks import HarvestedChunk
from pipeline.harvest import rows_of
from pipeline.stages import LINE_HASHES as HASHES

if TYPE_CHECKING:
    from pipeline.engine import Engine

REMOVED = Column("lines.repeated", pa.int32(), "lines removed because many documents of the corpus hold them")

_RECORD = np.dtype([("hash", "<u8"), ("documents", "<u4")])

PARTITION_BYTES = 128 << 20
"""Records that one reduce task adds up."""

LINES_PER_DOCUMENT = 50
"""A guess that the number of partitions follows from; a wrong one changes memory, not results."""


class RepeatedLinesSettings(BaseModel, frozen=True, extra="forbid"):
    """Lines of at least `min_words` words that more than `max_documents` published documents hold are removed.

    Six words spare headings and bylines. A hundred documents: in CCNet a paragraph seen twice in a shard goes; over a whole
    corpus that would take quotations too, so the limit is where text becomes furniture. Off by default.
    """

    max_documents: int = Field(default=100, ge=1)
    min_words: int = Field(default=6, ge=1)


class CountPlan(BaseModel, frozen=True):
    """What counting needs."""

    folder: str
    settings: RepeatedLinesSettings
    partitions: int


class CountItem(BaseModel, frozen=True):
    """A chunk with its final ledger."""

    key: str
    chunk: HarvestedChunk
    ledger: str


class Counted(BaseModel):
    """Where the counts of a chunk's lines lie."""

    blocks: list[Block]


class Repeated(BaseModel):
    """The repeated lines of a partition: a file of ascending hashes."""

    path: str
    lines: int


def count_lines(item: CountItem, plan: CountPlan) -> Counted:
    """Count, per line, the published documents of a chunk that hold it; packed by partition of the hash."""
    from pipeline.decide import read_ledger

    kept = pc.equal(read_ledger(item.ledger)["status"], "kept").combine_chunks()
    lists = rows_of(item.chunk, [HASHES.name])[HASHES.name].combine_chunks().filter(kept)
    hashes, counts = np.unique(np.asarray(pc.list_flatten(lists), np.uint64), return_counts=True)
    records = np.empty(len(hashes), _RECORD)
    records["hash"], records["documents"] = hashes, counts
    # Hashes are uniform: their high bits part them evenly, and keep partitions in ascending order.
    bounds = np.searchsorted(hashes, _lower_bounds(plan.partitions))
    path = storage.join(plan.folder, "counts", f"{item.key}.bin")
    blocks = []
    with storage.write_atomically(path) as file:
        for index, (low, high) in enumerate(zip(bounds, [*bounds[1:], len(hashes)], strict=True)):
            if high > low:
                offset, length = int(low) * _RECORD.itemsize, int(high - low) * _RECORD.itemsize
                blocks.append(Block(partition=index, path=path, offset=offset, length=length))
        file.write(records.tobytes())
    return Counted(blocks=blocks)


def _lower_bounds(partitions: int) -> npt.NDArray[np.uint64]:
    return np.array([(1 << 64) * index // partitions for index in range(partitions)], np.uint64)


def find_repeated(item: Partition, plan: CountPlan) -> Repeated:
    """The lines of a partition that more documents hold than the limit."""
    pieces = []
    for block in item.blocks:
        with storage.open_read(block.path) as file:
            file.seek(block.offset)
            pieces.append(np.frombuffer(file.read(block.length), _RECORD))
    records = np.concatenate(pieces)
    hashes, places = np.unique(records["hash"], return_inverse=True)
    totals = np.bincount(places, weights=records["documents"]).astype(np.int64)
    repeated = hashes[totals > plan.settings.max_documents].astype("<u8")
    path = storage.join(plan.folder, "repeated", f"{item.key}.bin")
    storage.write_bytes(path, repeated.tobytes())
    return Repeated(path=path, lines=len(repeated))


def find_repeated_lines(
    chunks: Sequence[HarvestedChunk],
    ledgers: Sequence[str],
    settings: RepeatedLinesSettings,
    engine: Engine,
    folder: str,
) -> tuple[str, int]:
    """Count all lines; the path of one file with the repeated ones' hashes (ascending uint64), and their number."""
    documents = sum(chunk.rows for chunk in chunks)
    size = documents * LINES_PER_DOCUMENT * _RECORD.itemsize
    plan = CountPlan(folder=folder, settings=settings, partitions=max(1, -(-size // PARTITION_BYTES)))
    items = [
        CountItem(key=chunk.key, chunk=chunk, ledger=ledger)
        for chunk, ledger in zip(chunks, ledgers, strict=True)
    ]
    found: list[Repeated] = engine.shuffle("repeated", count_lines, items, find_repeated, plan)
    path = storage.join(folder, "repeated.bin")
    with storage.write_atomically(path) as file:
        for each in found:
            file.write(storage.read_bytes(each.path))
    return path, sum(each.lines for each in found)


def without_repeated(table: pa.Table, path: str, settings: RepeatedLinesSettings) -> pa.Table:
    """Published rows without their repeated lines, with `lines.repeated` and the text's sizes measured again."""
    from filters.repeated import remove_lines
    from filters.words import index_words
    from pipeline.extract import measure_text

    repeated = np.frombuffer(storage.read_bytes(path), "<u8")
    text = table["text"].combine_chunks()
    edited, removed = remove_lines(text, index_words(text), repeated, settings.min_words)
    new = {"text": edited, REMOVED.name: pa.array(removed, pa.int32()), **measure_text(edited)}
    for name, values in new.items():
        if name in table.column_names:
            table = table.set_column(table.schema.get_field_index(name), name, values)
        else:
            table = table.append_column(name, values)
    return table
