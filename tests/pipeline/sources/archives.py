"""Archives for tests, built record by record, and what reading them gives."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import zstandard

from pipeline.chunks import READ_SCHEMA
from pipeline.sources import ReadSettings, SplitReader
from pipeline.sources.discover import SourceConfig, plan_splits

DATE = "2026-01-02T03:04:05Z"
COMPRESSIONS = ["plain", "gzip", "zstd"]
SUFFIX = {"plain": ".warc", "gzip": ".warc.gz", "zstd": ".warc.zst"}
NOISE = hashlib.shake_128(b"noise").digest(10_000)
"""Bytes that do not compress."""
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def record(
    url: str | None = "http://example.org/",
    block: bytes = HTTP + b"<p>page</p>",
    kind: str = "response",
    length: int | None = None,
    content_type: str | None = "application/http; msgtype=response",
    extra: tuple[str, ...] = (),
) -> bytes:
    fields = [f"WARC-Type: {kind}", f"WARC-Date: {DATE}"]
    if url is not None:
        fields.append(f"WARC-Target-URI: {url}")
    if content_type is not None:
        fields.append(f"Content-Type: {content_type}")
    fields += [*extra, f"Content-Length: {len(block) if length is None else length}"]
    return b"WARC/1.0\r\n" + "\r\n".join(fields).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def page(name: str, body: bytes = b"<p>page</p>", head: bytes = HTTP) -> bytes:
    return record(f"http://example.org/{name}", head + body)


WARCINFO = record(None, b"software: test\r\n", "warcinfo", content_type="application/warc-fields")


def member(content: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(content, 6, mtime=0)
    if compression == "zstd":
        return zstandard.ZstdCompressor(write_checksum=True).compress(content)
    return content


def archive(folder: Path, records: list[bytes], compression: str = "gzip") -> Path:
    return stored(folder, b"".join(member(content, compression) for content in records), compression)


def stored(folder: Path, content: bytes, compression: str = "gzip") -> Path:
    path = folder / f"a{SUFFIX[compression]}"
    path.write_bytes(content)
    return path


def read(path: Path, split_bytes: int = 0, **reading: object) -> list[dict]:
    """All rows of a file; the offsets of its splits must meet."""
    rows, before = [], None
    for reader in readers(path, split_bytes, **reading):
        for chunk in reader:
            assert chunk.batch.schema.equals(READ_SCHEMA)
            rows += chunk.batch.to_pylist()
        assert before in (None, reader.first_offset)
        before = reader.end_offset
    assert before == path.stat().st_size
    return rows


def readers(path: Path, split_bytes: int = 0, **reading: object) -> list[SplitReader]:
    config = SourceConfig(name="web", inputs=(str(path),), reading=ReadSettings(**reading))
    return [SplitReader(split, config.reading) for split in plan_splits(config, split_bytes)]


def read_one(folder: Path, content: bytes, compression: str = "gzip", **reading: object) -> dict:
    rows = read(archive(folder, [WARCINFO, content], compression), **reading)
    assert len(rows) == 1
    return rows[0]


def outcomes(rows: list[dict]) -> list[str]:
    """What became of each record: the last part of a document's URL, or the reason of a failure."""
    return [row["error"] or row["url"].rpartition("/")[2] for row in rows]


def archive_in_archive(before: list[bytes], inner: list[bytes], after: list[bytes]) -> bytes:
    """A gzip archive with another one as a page, stored as it is: a reader that starts in it takes it for the outer."""
    nested = gzip.compress(
        page("archive", b"".join(member(content, "gzip") for content in inner)), 0, mtime=0
    )
    outer = [[member(content, "gzip") for content in records] for records in (before, after)]
    return b"".join([*outer[0], nested, *outer[1]])
