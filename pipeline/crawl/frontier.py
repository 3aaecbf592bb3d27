"""The frontier: URLs that are known and not yet done with, in Parquet, one file for each shard and round.

A URL is known by `key`: the digest of its canonical form. It belongs to the shard of its registered domain, so that all hosts of a
domain are driven by one worker and no two workers ever ask the same host.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.crawl.hosts import registered_domain
from pipeline.crawl.settings import UrlSettings
from pipeline.crawl.urls import Url, canonical, url_key

PAGE, SITEMAP = "page", "sitemap"

SCHEMA = pa.schema(
    [
        pa.field("key", pa.binary(16), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("depth", pa.int32(), nullable=False),
        pa.field("redirects", pa.int32(), nullable=False),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("via", pa.string()),
        pa.field("earlier", pa.string()),
    ]
)


class Item(NamedTuple):
    """A URL of the frontier."""

    key: bytes
    url: str
    """In normal form, as it was found: what is requested."""
    host: str
    kind: str = PAGE
    """`page` or `sitemap`."""
    depth: int = 0
    """Links between a seed and it; for a sitemap, indexes above it."""
    redirects: int = 0
    """Redirects in a row that led to it."""
    attempts: int = 0
    """Requests that came to nothing."""
    via: str | None = None
    """Where it was found."""
    earlier: str | None = None
    """What an earlier visit left (`Earlier`, JSON), where this is another one."""

    @property
    def order(self) -> tuple[bool, int, bytes]:
        """Sitemaps first, then by distance; the key makes the order the same whatever the workers."""
        return (self.kind == PAGE, self.depth, self.key)


def item_key(url: Url, settings: UrlSettings) -> bytes:
    """What a URL is known by: the digest of its canonical form."""
    return url_key(canonical(url, settings))


def make_item(url: Url, settings: UrlSettings, **fields: object) -> Item:
    """The item of a URL."""
    return Item(item_key(url, settings), url.text, url.host, **fields)  # type: ignore[arg-type]


def shard_of(host: str, shards: int) -> int:
    """The shard of a host."""
    digest = hashlib.blake2b(
        registered_domain(host).encode(), digest_size=8, person=b"corpusmill.shard"
    ).digest()
    return int.from_bytes(digest, "little") % shards


def nearest(items: Iterable[Item]) -> dict[bytes, Item]:
    """Of the items of each key the one nearest to a seed."""
    found: dict[bytes, Item] = {}
    for item in items:
        there = found.get(item.key)
        if there is None or (item.redirects, item.depth, item.url) < (
            there.redirects,
            there.depth,
            there.url,
        ):
            found[item.key] = item
    return found


def encode(items: Sequence[Item]) -> bytes:
    """Items as a Parquet file in memory."""
    columns: list[Sequence[Any]] = list(zip(*items, strict=True)) if items else [()] * len(SCHEMA)
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def decode(data: bytes) -> list[Item]:
    """The items of `encode`."""
    columns = pq.read_table(pa.BufferReader(data), use_threads=False).to_pydict()
    return [Item(*row) for row in zip(*(columns[field.name] for field in SCHEMA), strict=True)]


def write_items(path: str, items: Sequence[Item]) -> None:
    """Write a file of the frontier, whole or not at all."""
    storage.write_bytes(path, encode(items))


def read_items(path: str) -> list[Item]:
    """The items of a file; none where there is no file."""
    return decode(storage.read_bytes(path)) if storage.exists(path) else []
