"""Splits in, chunks inside, receipts out: the small, deterministic things that a run is made of (DESIGN, idea 1).

A **split** is a part of one input file: a byte range, or a range of row groups. A **chunk** is a key and an Arrow
`RecordBatch` of about a thousand documents of one split. All names derive from the input, so that every output name and
every byte does too. Nothing here reads documents.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel

Format = Literal["warc", "jsonl", "parquet"]


class Split(BaseModel, frozen=True):
    """A part of one input file: what a single task reads.

    `start` and `stop` are byte offsets of the stored file (WARC, JSONL) or row-group numbers (Parquet). A record belongs
    to the split in whose range its first byte lies. `shard` is the input's name, unique in its source.
    """

    source: str
    shard: str
    path: str
    format: Format
    index: int
    start: int
    stop: int

    @property
    def key(self) -> str:
        """A unique name that can name a file."""
        return f"{self.source}-{safe_name(self.shard)}-{self.index:05d}"


@dataclass(frozen=True, order=True)
class ChunkKey:
    """Which chunk of which split of which input: stable, derived from the input, never random."""

    source: str
    shard: str
    split: int
    index: int

    @property
    def name(self) -> str:
        """A unique name that can name a file; sorts in reading order within a shard."""
        return f"{self.source}-{safe_name(self.shard)}-{self.split:05d}-{self.index:05d}"


@dataclass(frozen=True)
class Chunk:
    """A key and the documents under it."""

    key: ChunkKey
    batch: pa.RecordBatch


class HarvestedChunk(BaseModel, frozen=True):
    """A chunk as the harvest wrote it: a Parquet file with a row per document, rejected and failed ones included.

    `base` is the ordinal of its first row in the order of the run's inputs; a document's ordinal is `base + row`.
    `text_bytes` counts the text of its kept documents. `earlier` names the earlier run whose published shard this is; the
    run's own chunks have none.
    """

    key: str
    path: str
    rows: int
    base: int = 0
    text_bytes: int = 0
    earlier: str | None = None


# What every source gives for a document. `raw` is the body of a web page before extraction; sources of text give `text`
# and no `raw`. `error` names why a record could not be read (it is counted as failed), `message` says it to a person.
READ_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("snapshot", pa.string()),
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),
        pa.field("record", pa.string(), nullable=False),
        pa.field("raw", pa.large_binary()),
        pa.field("text", pa.large_string()),
        pa.field("title", pa.string()),
        pa.field("http.status", pa.int32()),
        pa.field("http.content_type", pa.string()),
        pa.field("http.charset", pa.string()),
        pa.field("http.bytes", pa.int64()),
        pa.field("warc.truncated", pa.string()),
        pa.field("error", pa.string()),
        pa.field("message", pa.string()),
    ]
)

_UNSAFE = re.compile(r"[^A-Za-z0-9_.=-]+")


def safe_name(name: str) -> str:
    """A name that is safe in a path; names that had to be changed or cut carry a digest, so that two never meet."""
    safe = _UNSAFE.sub("_", name).lstrip(".")
    if safe == name and len(name) <= 120:
        return name
    return f"{safe[-100:]}-{hashlib.blake2b(name.encode(), digest_size=6).hexdigest()}"


def document_id(source: str, *parts: str) -> str:
    """The stable id of a document: 32 hex digits (BLAKE2b-128) of its source and what identifies it there.

    Identity is a URL (with the capture date, where an archive holds several captures), a path or a content hash; never a
    position, which changes when a file does.
    """
    digest = hashlib.blake2b(digest_size=16, person=b"corpusmill.id.1")
    for part in (source, *parts):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def encode_batch(batch: pa.RecordBatch) -> bytes:
    """A batch as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def decode_batch(data: bytes) -> pa.RecordBatch:
    """The batch of an Arrow IPC stream written by `encode_batch`."""
    return pa.ipc.open_stream(pa.py_buffer(data)).read_next_batch()


def with_columns(batch: pa.RecordBatch, columns: dict[str, Any]) -> pa.RecordBatch:
    """The batch with columns added, or replaced where the name exists; order of the others is kept."""
    names = list(batch.schema.names)
    arrays = dict(zip(names, batch.columns, strict=True))
    for name, values in columns.items():
        if name not in arrays:
            names.append(name)
        arrays[name] = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.RecordBatch.from_arrays([arrays[name] for name in names], names=names)
