"""Publish: text + decisions -> final shards, balanced by bytes; and the lists of what was rejected and what failed.

Documents keep the order of the inputs. Shard k of n holds the documents whose text begins in the k-th n-th of all kept text,
so the shards depend on the documents alone, not on chunks, workers or runner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from filters.measures import Column
from pipeline import progress, storage
from pipeline.chunks import READ_SCHEMA, HarvestedChunk
from pipeline.contamination import HITS, REMOVED_CHARACTERS
from pipeline.decide import Settled, read_ledger
from pipeline.extract import measure_text
from pipeline.harvest import harvest_schema, rows_of
from pipeline.repeated import REMOVED, RepeatedLinesSettings, without_repeated
from pipeline.stages import READ_COLUMNS, StageSettings

if TYPE_CHECKING:
    from pipeline.engine import Engine

ROW_GROUP_BYTES = 64 << 20
"""Text bytes of a row group: what a reader holds at once, and what one task of the next run reads."""

LEDGER_ROWS = 1_000_000
"""Documents of one task that writes `rejected/` and `failed/`."""

NOT_PUBLISHED = (HITS, "lines.hashes")

REJECTED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("record", pa.string()),
        ("stage", pa.string()),
        ("rule", pa.string()),
        ("value", pa.float64()),  # the measured value, where it is a number
        ("threshold", pa.string()),  # the bound of the rule
        ("detail", pa.string()),  # the measured value, the surviving copy, or the benchmark, as text
    ]
)
FAILED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("record", pa.string()),
        (
            "stage",
            pa.string(),
        ),  # the stage in which it failed; `read` where the record itself could not be read
        ("error", pa.string()),  # the reason to count by: of the reader, or the type of the exception
        ("detail", pa.string()),
    ]
)


class PublishSettings(BaseModel, frozen=True, extra="forbid"):
    """How the final shards are cut and written.

    256 MiB of text is about 100 MB of Parquet: large enough for an object store, small enough to be one task's input.
    """

    shard_bytes: int = 256 << 20
    """Bytes of text in a shard of `documents/`, at most about."""
    compression_level: int = 6
    """Level of zstd."""


class PublishPlan(BaseModel, frozen=True, extra="forbid"):
    """All that a worker needs to write a shard. `repeated` is the file of repeated lines, where they are to be removed."""

    output: str
    stages: StageSettings
    publish: PublishSettings
    repeated: str | None = None
    repeated_lines: RepeatedLinesSettings | None = None


class Part(BaseModel, frozen=True):
    """A chunk, its final ledger, its texts without benchmark matches (where these are cut out), and the position of its
    first kept text byte among all kept text."""

    chunk: HarvestedChunk
    ledger: str
    offset: int
    cuts: str | None = None


class Shard(BaseModel, frozen=True):
    """A shard to write: the range of kept text that it holds and the chunks in which that lies."""

    key: str
    path: str
    start: int
    stop: int
    parts: tuple[Part, ...]
    weight: int = 0


class Written(BaseModel):
    """A file of the output."""

    path: str
    rows: int
    bytes: int
    text_bytes: int = 0


class WrittenFiles(BaseModel):
    """Files that one task wrote."""

    files: list[Written]


def published_columns(settings: StageSettings) -> list[Column]:
    """The columns of `documents/`, in order."""
    about = {
        "id": "stable identifier of the document",
        "source": "source that it came from",
        "snapshot": "crawl or release of that source",
        "url": "address",
        "date": "date of capture or publication, ISO 8601",
        "record": "where it lay in the input: file@offset",
        "text": "the text",
        "title": "title of the page",
    }
    first = [Column(name, READ_SCHEMA.field(name).type, text) for name, text in about.items()]
    measured = [column for column in harvest_schema(settings) if column.name not in NOT_PUBLISHED]
    return [*first, *READ_COLUMNS, *measured] if settings.extraction is not None else [*first, *measured]


def _schema(columns: Sequence[Column], settings: StageSettings) -> pa.Schema:
    # A later run compares its signatures with these (`--against`) only where they were made alike.
    described = {"minhash": settings.minhash.described}
    return pa.schema(
        [
            pa.field(
                column.name, column.type, metadata={"about": column.about, **described.get(column.name, {})}
            )
            for column in columns
        ]
    )


def plan_shards(
    chunks: Sequence[HarvestedChunk], settled: Sequence[Settled], plan: PublishPlan
) -> list[Shard]:
    """The final shards: at least one, so that an empty result is a readable data set too."""
    parts, offset = [], 0
    for chunk, decided in zip(chunks, settled, strict=True):
        parts.append(Part(chunk=chunk, ledger=decided.path, offset=offset, cuts=decided.cuts))
        offset += decided.summary.published_bytes
    count = max(1, -(-offset // plan.publish.shard_bytes))
    edges = [offset * k // count for k in range(count + 1)]
    edges[-1] += 1  # a last document without bytes begins at the very end
    ends = [*(part.offset for part in parts[1:]), offset]
    shards, low = [], 0
    for k in range(count):
        while low < len(parts) - 1 and ends[low] < edges[k]:
            low += 1
        inside = [part for part in parts[low:] if part.offset < edges[k + 1]] if parts else []
        name = f"part-{k:05d}-of-{count:05d}.parquet"
        path = storage.join(plan.output, "documents", name)
        shards.append(
            Shard(
                key=name,
                path=path,
                start=edges[k],
                stop=edges[k + 1],
                parts=tuple(inside),
                weight=edges[k + 1] - edges[k],
            )
        )
    return shards


def write_shard(item: Shard, plan: PublishPlan) -> Written:
    """Write one shard of `documents/`."""
    stored = _schema(published_columns(plan.stages), plan.stages)
    schema = stored
    if _is_cut(plan.stages):
        schema = schema.append(_field(REMOVED_CHARACTERS))
    if plan.repeated_lines is not None:
        schema = schema.append(_field(REMOVED))
    rows = text_bytes = 0
    with storage.write_atomically(item.path) as file:
        with pq.ParquetWriter(
            file, schema, compression="zstd", compression_level=plan.publish.compression_level
        ) as writer:
            for table in _row_groups(_edited(_kept(item, stored, cut=_is_cut(plan.stages)), plan)):
                writer.write_table(table)
                rows += table.num_rows
                text_bytes += int(pc.sum(pc.binary_length(table["text"])).as_py() or 0)
        size = file.tell()
    progress.add(documents=rows, bytes=text_bytes, tasks=1)
    return Written(path=item.path, rows=rows, bytes=size, text_bytes=text_bytes)


def _is_cut(stages: StageSettings) -> bool:
    """Whether documents may lose a part of their text to decontamination."""
    if stages.decontamination is None or stages.decontamination_index is None:
        return False
    return stages.decontamination.unit in ("section", "span")


def _field(column: Column) -> pa.Field:
    return pa.field(column.name, column.type, metadata={"about": column.about})


def _kept(shard: Shard, schema: pa.Schema, *, cut: bool) -> Iterator[pa.Table]:
    """The kept documents of the shard's range, a chunk at a time."""
    for part in shard.parts:
        kept = np.asarray(pc.equal(read_ledger(part.ledger)["status"], "kept"))
        table = rows_of(part.chunk, schema.names).filter(pa.array(kept))
        lengths = pc.binary_length(table["text"]).to_numpy().astype(np.int64)
        starts = part.offset + np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(lengths) else lengths
        inside = (starts >= shard.start) & (starts < shard.stop)
        if cut:
            table = _without_matches(table.cast(schema), np.flatnonzero(kept), part.cuts)
            yield table.filter(pa.array(inside))
        else:
            yield table.filter(pa.array(inside)).cast(schema)


def _without_matches(table: pa.Table, rows: np.ndarray, cuts: str | None) -> pa.Table:
    """The documents with the texts that decontamination has left of them; `rows` are their rows in the chunk."""
    removed = np.zeros(len(rows), np.int64)
    if cuts is not None:
        left = read_ledger(cuts)
        places = np.searchsorted(rows, left["row"].to_numpy())
        texts = table["text"].to_pylist()
        for place, text in zip(places.tolist(), left["text"].to_pylist(), strict=True):
            texts[place] = text
        removed[places] = left["removed_characters"].to_numpy()
        column = pa.array(texts, table.schema.field("text").type)
        for name, values in {"text": column, **measure_text(column)}.items():
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    return table.append_column(_field(REMOVED_CHARACTERS), pa.array(removed))


def _edited(tables: Iterator[pa.Table], plan: PublishPlan) -> Iterator[pa.Table]:
    """The documents without the lines that many of them share, where that is asked for."""
    for table in tables:
        if plan.repeated is None or plan.repeated_lines is None:
            yield table
        else:
            yield without_repeated(table, plan.repeated, plan.repeated_lines)


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tables joined to row groups of about `ROW_GROUP_BYTES`."""
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        if table.num_rows == 0:
            continue
        held.append(table)
        size += table.nbytes
        if size >= ROW_GROUP_BYTES:
            yield pa.concat_tables(held).combine_chunks()
            held, size = [], 0
    if held:
        yield pa.concat_tables(held).combine_chunks()


class LedgerItem(BaseModel, frozen=True):
    """Chunks whose rejected and failed documents one task lists."""

    key: str
    parts: tuple[Part, ...]


def plan_ledgers(chunks: Sequence[HarvestedChunk], settled: Sequence[Settled]) -> list[LedgerItem]:
    """Groups of chunks of about `LEDGER_ROWS` documents; at least one."""
    groups: list[list[Part]] = [[]]
    rows = 0
    for chunk, decided in zip(chunks, settled, strict=True):
        if rows >= LEDGER_ROWS:
            groups.append([])
            rows = 0
        groups[-1].append(Part(chunk=chunk, ledger=decided.path, offset=0))
        rows += chunk.rows
    return [LedgerItem(key=f"part-{k:05d}", parts=tuple(group)) for k, group in enumerate(groups)]


def write_ledgers(item: LedgerItem, plan: PublishPlan) -> WrittenFiles:
    """Write a part of `rejected/` and of `failed/`."""
    files = []
    for folder, status, schema in (
        ("rejected", "rejected", REJECTED_SCHEMA),
        ("failed", "failed", FAILED_SCHEMA),
    ):
        path = storage.join(plan.output, folder, f"{item.key}.parquet")
        tables = [_listed(part, status, schema) for part in item.parts]
        table = pa.concat_tables([schema.empty_table(), *tables])
        with storage.write_atomically(path) as file:
            pq.write_table(table, file, compression="zstd", compression_level=6)
            size = file.tell()
        files.append(Written(path=path, rows=table.num_rows, bytes=size))
    return WrittenFiles(files=files)


def _listed(part: Part, status: str, schema: pa.Schema) -> pa.Table:
    ledger = read_ledger(part.ledger)
    table = rows_of(part.chunk, ["id", "source", "url", "record"])
    for name in ledger.column_names:
        table = table.append_column("error" if name == "rule" and status == "failed" else name, ledger[name])
    return table.filter(pc.equal(ledger["status"], status)).select(schema.names).cast(schema)


def publish(
    chunks: Sequence[HarvestedChunk], settled: Sequence[Settled], plan: PublishPlan, engine: Engine
) -> tuple[list[Written], list[Written]]:
    """Write everything; the files of `documents/`, and those of `rejected/` and `failed/`."""
    documents = engine.run("publish", write_shard, plan_shards(chunks, settled, plan), plan)
    ledgers = engine.run("ledgers", write_ledgers, plan_ledgers(chunks, settled), plan)
    return documents, [file for each in ledgers for file in each.files]
