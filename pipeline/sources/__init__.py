"""Sources: the records of a split as chunks of documents, in the columns of `READ_SCHEMA`.

    discover.plan_splits   globs, lists and URLs -> splits
    SplitReader            a split -> chunks, and where reading began and ended
    charset.decode_html    the bytes of a page -> its text

Every record that should be a document becomes one row: a document, or a failure with its `error` (a reason
to count by) and `message` (for a person). Records of other kinds are counted in `SplitReader.records`.
Nothing is dropped without a trace.

Splitting is invisible: any split size gives the same rows with the same ids in the same order. The proof is
in the offsets: `end_offset` of a split is `first_offset` of the next one. A reader that starts in the
middle of a file has to recognise a record; should it take an archive inside an archive for the archive
itself, the offsets do not meet.

Ids come from what a document is, never from where it lies, so that they survive renaming and splitting.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, PositiveInt

from pipeline.chunks import READ_SCHEMA, Chunk, ChunkKey, Split, document_id

Row = dict[str, Any]
"""Columns of `READ_SCHEMA` of one record; what is left out is null."""

_ROW_OVERHEAD = 512
"""Bytes that a row is taken to need beside its values."""


class TextColumns(BaseModel, frozen=True, extra="forbid"):
    """Which columns (JSONL: fields) of a text source hold what. `a.b` names the field b inside the column a.

    `text` must be there; the others are taken where they are.
    """

    text: str = "text"
    """The text; a source without it is an error."""
    id: str | None = "id"
    """What identifies a document in its source."""
    url: str | None = "url"
    """Its address."""
    date: str | None = "date"
    """When it was published or captured, ISO 8601."""
    title: str | None = "title"
    """Its title."""


class ReadSettings(BaseModel, frozen=True, extra="forbid"):
    """How records are read, and the bounds that keep memory bounded whatever the input holds.

    A chunk is closed at `chunk_rows` rows, or before `chunk_bytes` bytes of bodies, whichever comes first.
    A body of more than `max_bytes` is not loaded: its row has no `raw`, and `http.bytes` says how long it
    is. A JSON line of more than `max_line_bytes` is a failure.
    """

    snapshot: str | None = None
    chunk_rows: PositiveInt = 1000
    chunk_bytes: PositiveInt = 32 << 20
    max_bytes: PositiveInt = 20 << 20
    max_line_bytes: PositiveInt = 64 << 20
    columns: TextColumns = TextColumns()


@dataclass
class Tally:
    """What a reader has seen: where its first record began, where the next would begin, records by kind."""

    first_offset: int
    end_offset: int
    records: Counter[str] = field(default_factory=Counter)


class SplitReader:
    """The documents of a split, as chunks.

    Iterating reads the split, each time from its start; memory stays within a few times `chunk_bytes`. Once
    exhausted:

        first_offset  where the first record of this split begins: a byte of the stored file (Parquet: a row
        group) end_offset    where the first record after this split begins, or the end of the file; the
        next split's first records       records seen by kind (WARC: by type; others: `document`), and
        `failed`

    Raises (while iterating):
        UserError: when a Parquet file lacks the text column.
        OSError: when the file cannot be read.
    """

    def __init__(self, split: Split, settings: ReadSettings) -> None:
        self.split = split
        self.settings = settings
        self._tally = Tally(split.start, split.start)

    @property
    def first_offset(self) -> int:
        """Where the first record of the split begins."""
        return self._tally.first_offset

    @property
    def end_offset(self) -> int:
        """Where the first record after the split begins."""
        return self._tally.end_offset

    @property
    def records(self) -> Counter[str]:
        """Records seen by kind."""
        return self._tally.records

    def __iter__(self) -> Iterator[Chunk]:
        self._tally = Tally(self.split.start, self.split.start)
        # `map` keeps no chunk alive while the next one is read.
        return map(self._chunk, itertools.count(), self._batches(self._tally))

    def _chunk(self, index: int, batch: pa.RecordBatch) -> Chunk:
        failed = batch.num_rows - batch["error"].null_count
        if failed:
            self._tally.records["failed"] += failed
        return Chunk(ChunkKey(self.split.source, self.split.shard, self.split.index, index), batch)

    def _batches(self, tally: Tally) -> Iterator[pa.RecordBatch]:
        # The readers are imported where they are used: they need the names above.
        if self.split.format == "parquet":
            from pipeline.sources.parquet import read_batches

            return read_batches(self.split, self.settings, tally)
        if self.split.format == "jsonl":
            from pipeline.sources import jsonl

            return cut(jsonl.read_rows(self.split, self.settings, tally), self.settings)
        from pipeline.sources import warc

        return cut(warc.read_rows(self.split, self.settings, tally), self.settings)


def read_split(split: Split, settings: ReadSettings) -> Iterator[Chunk]:
    """The chunks of a split; use `SplitReader` to know afterwards what was seen, and where."""
    return iter(SplitReader(split, settings))


def cut(rows: Iterable[Row], settings: ReadSettings) -> Iterator[pa.RecordBatch]:
    """Rows as batches of at most `chunk_rows` rows and `chunk_bytes` bytes; a larger row stands alone."""
    held: list[Row] = []
    size = 0
    for row in rows:
        more = row_bytes(sum(len(value) for value in row.values() if isinstance(value, bytes | str)))
        if held and (len(held) == settings.chunk_rows or size + more > settings.chunk_bytes):
            yield _batch(held)
            size = 0
        held.append(row)
        size += more
    if held:
        yield _batch(held)


def _batch(rows: list[Row]) -> pa.RecordBatch:
    """The rows as a batch; empties the list, so that bodies are not held twice while the batch is used."""
    arrays = [
        _bodies([row.pop("raw", None) for row in rows])
        if field.name == "raw"
        else pa.array([row.get(field.name) for row in rows], field.type)
        for field in READ_SCHEMA
    ]
    rows.clear()
    return pa.RecordBatch.from_arrays(arrays, schema=READ_SCHEMA)


def _bodies(bodies: list[bytes | None]) -> pa.Array:
    """`pa.array(bodies, pa.large_binary())`, in memory of the right size from the start."""
    offsets = np.zeros(len(bodies) + 1, np.int64)
    np.cumsum([len(body or b"") for body in bodies], out=offsets[1:])
    valid = pa.array([body is not None for body in bodies]).buffers()[1]
    data = pa.py_buffer(b"".join(body or b"" for body in bodies))
    return pa.Array.from_buffers(pa.large_binary(), len(bodies), [valid, pa.py_buffer(offsets), data])


def row_bytes(body: int) -> int:
    """The bytes that a row with so many bytes of values counts for when chunks are cut."""
    return body + _ROW_OVERHEAD


def content_id(source: str, kind: str, digest: str) -> str:
    """The id of something without a URL: of its content. `kind` keeps apart what cannot be compared."""
    return document_id(source, kind, digest)


def lies_at(split: Split, place: int | str) -> str:
    """The `record` column: the input and the place in it."""
    return f"{split.shard}@{place}"


def failure(split: Split, settings: ReadSettings, *, error: str, message: str, **columns: Any) -> Row:
    """The row of a record that could not be read; `id` and `record` are among the columns."""
    return {
        "source": split.source,
        "snapshot": settings.snapshot,
        "error": error,
        "message": message,
        **columns,
    }


def whole_text(text: str) -> str:
    """Text that UTF-8 can hold: each lone surrogate (an escape like `\\ud800` in JSON) becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
