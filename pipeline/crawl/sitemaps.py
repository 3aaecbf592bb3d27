"""Sitemaps (sitemaps.org 0.9): urlsets, indexes, feeds and lists of lines, plain or gzipped, read in blocks under bounds.

The XML parser sees no entity that a document could define: an ampersand that begins none of XML's own five entities or a character
reference is text, as is common in sitemaps, and a document type is never read further than its name. A sitemap that breaks off
or breaks a bound keeps what came before, and says so in `problems`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

from pipeline.crawl.settings import SitemapSettings
from pipeline.crawl.urls import Url, UrlError, parse_url, url_key

_BLOCK = 64 << 10
_LONGEST_TEXT = 8 << 10
_GZIP = b"\x1f\x8b"
_BARE_AMPERSAND = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});)")
_UTF16 = (
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"<\0?\0", "utf-16-le"),
    (b"\0<\0?", "utf-16-be"),
)
_DECLARED = re.compile(rb"^\s*<\?xml[^>]*\?>")
_DATE = re.compile(
    r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2}(?:T[0-9:.]{5,15}(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?", re.IGNORECASE
)


class SitemapEntry(NamedTuple):
    """An address of a sitemap."""

    url: Url
    lastmod: str | None
    """A W3C date as written (`2026-03-01`, `2026-03-01T10:00:00Z`): comparable as text up to its precision."""


@dataclass
class Sitemap:
    """What a sitemap lists. An index lists sitemaps, everything else pages."""

    is_index: bool = False
    entries: list[SitemapEntry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Words for the ledger: `truncated:bytes`, `truncated:urls`, `xml`, `gzip`, `doctype`, `refused` (with how many)."""


def parse_sitemap(body: bytes, base: str | Url, settings: SitemapSettings | None = None) -> Sitemap:
    """Read a sitemap; nothing in it raises.

    Args:
        body: as served, after any Content-Encoding was undone.
        base: the address that it came from.
        settings: the bounds.
    """
    reader = _Reader(base, settings or SitemapSettings())
    blocks = _text(body, reader)
    first = next(blocks, b"")
    if first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        reader.read_xml(first, blocks)
    else:
        reader.read_lines(first, blocks)
    if reader.refused:
        reader.sitemap.problems.append(f"refused:{reader.refused}")
    return reader.sitemap


class SitemapGuard:
    """Which sitemaps of a host are still to be read: no one twice, none too deep, not too many."""

    def __init__(self, settings: SitemapSettings | None = None) -> None:
        self._settings = settings or SitemapSettings()
        self._seen: set[bytes] = set()

    def refuses(self, url: Url, depth: int = 0) -> str | None:
        """Why a sitemap is not read: `sitemap:seen`, `sitemap:depth`, `sitemap:many`; None where it is, and is noted.

        Args:
            url: of the sitemap.
            depth: indexes above it.
        """
        key = url_key(url)
        if key in self._seen:
            return "sitemap:seen"
        if depth > self._settings.max_depth:
            return "sitemap:depth"
        if len(self._seen) >= self._settings.max_sitemaps:
            return "sitemap:many"
        self._seen.add(key)
        return None


def _text(body: bytes, reader: _Reader) -> Iterator[bytes]:
    """The decompressed content in blocks of UTF-8 (or another ASCII superset), at most `max_bytes` of it."""
    left = reader.settings.max_bytes
    blocks = _decompressed(body, reader) if body.startswith(_GZIP) else _cut(body)
    decoder = None
    for number, block in enumerate(blocks):
        if len(block) > left:
            reader.problem("truncated:bytes")
            block = block[:left]
            if not block:
                return
        left -= len(block)
        if number == 0:
            decoder = next((name for mark, name in _UTF16 if block.startswith(mark)), None)
        if decoder is not None:
            # Rare and small; decoded as a whole, so that the rest sees one encoding.
            rest = b"".join(blocks)[: max(left, 0)]
            text = (block + rest).decode(decoder, "replace").lstrip("\ufeff").encode()
            yield from _cut(_DECLARED.sub(b"", text))
            return
        yield block


def _cut(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), _BLOCK):
        yield body[at : at + _BLOCK]


def _decompressed(body: bytes, reader: _Reader) -> Iterator[bytes]:
    """All gzip members. Made in blocks, so that a bomb stops at the bound and not at the end of memory."""
    while body:
        unpack = zlib.decompressobj(wbits=31)
        try:
            while not unpack.eof:
                block = unpack.decompress(body, _BLOCK)
                body = unpack.unconsumed_tail
                if block:
                    yield block
                elif not unpack.eof and not body:
                    reader.problem("gzip")
                    return
        except zlib.error:
            reader.problem("gzip")
            return
        body = unpack.unused_data if unpack.unused_data.startswith(_GZIP) else b""


class _EnoughError(Exception):
    """Raised out of the parser when no more is wanted."""


class _Reader:
    """Collects entries from XML events or lines."""

    def __init__(self, base: str | Url, settings: SitemapSettings) -> None:
        self.base = base
        self.settings = settings
        self.sitemap = Sitemap()
        self.refused = 0
        self._path: list[str] = []
        self._text: list[str] | None = None
        self._length = 0
        self._location: str | None = None
        self._lastmod: str | None = None

    def problem(self, word: str) -> None:
        if word not in self.sitemap.problems:
            self.sitemap.problems.append(word)

    def read_lines(self, first: bytes, blocks: Iterator[bytes]) -> None:
        """One address on each line."""
        held = first.removeprefix(b"\xef\xbb\xbf")
        try:
            for block in blocks:
                *lines, held = (held + block).splitlines(keepends=True) or [b""]
                for line in lines:
                    self._line(line)
                held = held[-_LONGEST_TEXT:]
            for line in held.splitlines():
                self._line(line)
        except _EnoughError:
            pass

    def _line(self, line: bytes) -> None:
        text = line.strip()
        if text:
            self._add(text.decode("utf-8", "replace"), None)

    def read_xml(self, first: bytes, blocks: Iterator[bytes]) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.EntityDeclHandler = self._entity
        held = first.lstrip(b" \t\r\n")
        try:
            for block in blocks:
                # What may be the beginning of an entity waits for the next block.
                ready, held = _before_open_ampersand(held)
                parser.Parse(_BARE_AMPERSAND.sub(b"&amp;", ready), False)
                held += block
            parser.Parse(_BARE_AMPERSAND.sub(b"&amp;", held), True)
        except expat.ExpatError:
            if "truncated:bytes" not in self.sitemap.problems:
                self.problem("xml")
        except _EnoughError:
            pass

    def _entity(self, *_: object) -> None:
        self.problem("doctype")
        raise _EnoughError

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2].lower()
        self._path.append(local)
        if len(self._path) == 1:
            self.sitemap.is_index = local == "sitemapindex"
        if len(self._path) > 64:
            self.problem("xml")
            raise _EnoughError
        if local in ("url", "sitemap", "item", "entry"):
            self._location = self._lastmod = None
        if (
            local == "link"
            and self._parent() == "entry"
            and attributes.get("rel", "alternate") == "alternate"
        ):
            self._location = self._location or attributes.get("href")  # Atom
        self._text, self._length = [], 0

    def _characters(self, text: str) -> None:
        if self._text is not None and self._length < _LONGEST_TEXT:
            self._text.append(text)
            self._length += len(text)

    def _end(self, name: str) -> None:
        local = name.rpartition(":")[2].lower()
        text = "".join(self._text or ()).strip()
        self._text = None
        parent = self._parent()
        self._path.pop()
        if local in ("loc", "link") and parent in ("url", "sitemap", "item") and text:
            self._location = self._location or text
        elif local in ("lastmod", "updated", "published") and parent in ("url", "sitemap", "entry"):
            self._lastmod = self._lastmod or text
        elif local in ("url", "sitemap", "item", "entry") and self._location:
            self._add(self._location, self._lastmod)
            self._location = None

    def _parent(self) -> str:
        return self._path[-2] if len(self._path) > 1 else ""

    def _add(self, location: str, lastmod: str | None) -> None:
        if len(self.sitemap.entries) >= self.settings.max_urls:
            self.problem("truncated:urls")
            raise _EnoughError
        try:
            url = parse_url(location, self.base)
        except UrlError:
            self.refused += 1
            return
        date = lastmod if lastmod and _DATE.fullmatch(lastmod) else None
        self.sitemap.entries.append(SitemapEntry(url, date))


def _before_open_ampersand(block: bytes) -> tuple[bytes, bytes]:
    at = block.rfind(b"&", max(len(block) - 12, 0))
    return (block, b"") if at < 0 or b";" in block[at:] else (block[:at], block[at:])
