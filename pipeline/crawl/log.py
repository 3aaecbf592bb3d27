"""The log of a crawl: a row for each request, and for each URL that was refused without one.

`outcome` of a URL (kinds `page` and `sitemap`) is one of `fetched`, `disallowed`, `failed`, `skipped`; each URL has one such row.
Requests that are to be made again have rows of outcome `retry`. `reason` is the ledger's word, `detail` the line of robots.txt,
header or message behind it. Rows of kind `robots`, `tdm` and `ai` are requests for the files beside the pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage

OUTCOMES = ("fetched", "disallowed", "failed", "skipped")
COUNTED = ("page", "sitemap")
"""Kinds of rows that the books count."""

SCHEMA = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("key", pa.string()),
        pa.field("host", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("round", pa.int32(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("line", pa.int32()),
        pa.field("status", pa.int32()),
        pa.field("at", pa.float64()),
        pa.field("seconds", pa.float64()),
        pa.field("bytes", pa.int64()),
        pa.field("mime", pa.string()),
        pa.field("truncated", pa.string()),
        pa.field("ip", pa.string()),
        pa.field("depth", pa.int32()),
        pa.field("attempts", pa.int32()),
        pa.field("via", pa.string()),
        pa.field("canonical", pa.string()),
        pa.field("problems", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("warc", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("record", pa.string()),
        pa.field("etag", pa.string()),
        pa.field("last_modified", pa.string()),
    ]
)
_BATCH = 5_000


def write_log(path: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as a Parquet file, whole or not at all; holds some thousands of them."""
    with storage.write_atomically(path) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) >= _BATCH:
                writer.write_table(pa.Table.from_pylist(batch, SCHEMA))
                batch = []
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, SCHEMA))


def read_log(paths: Iterable[str], columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of log files, one after the other."""
    for path in paths:
        with storage.open_read(path) as file:
            for batch in pq.ParquetFile(file).iter_batches(_BATCH, columns=columns, use_threads=False):
                yield from batch.to_pylist()
