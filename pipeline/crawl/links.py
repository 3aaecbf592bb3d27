"""What a page says about other pages and about itself: outlinks with their `rel`, canonical, alternates, meta elements.

The bytes are decoded as the web job decodes them (`pipeline.sources.charset`) and parsed by resiliparse, under bounds; nothing
in a page raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resiliparse.parse.html import HTMLTree

from pipeline.crawl.settings import LinkSettings
from pipeline.crawl.urls import Url, UrlError, parse_url
from pipeline.sources.charset import decode_html

_WANTED = "base[href], a[href], area[href], link[href], meta[content], iframe[src], frame[src]"
_KINDS = {"a": "anchor", "area": "anchor", "iframe": "frame", "frame": "frame"}
_FOLLOWED_RELS = frozenset(
    ("next", "prev", "alternate", "canonical", "amphtml", "start", "index", "contents", "chapter")
)
_FEED = frozenset(("application/rss+xml", "application/atom+xml"))
_REFRESH = re.compile(r"\s*[0-9.]*\s*[;,\s]\s*(?:url\s*=\s*)?['\"]?([^'\"]+)", re.IGNORECASE)


class Link(NamedTuple):
    """An outlink."""

    url: Url
    rel: tuple[str, ...]
    """Values of `rel`, in lower case, as written."""
    kind: str
    """`anchor`, `frame`, `link` (a `<link>` to a page) or `refresh`."""


@dataclass
class Page:
    """What was read from a page."""

    base: Url
    """What its links are relative to."""
    links: list[Link] = field(default_factory=list)
    """In the order of the page, each address and `rel` once."""
    metas: list[tuple[str, str]] = field(default_factory=list)
    """Name (lower case) and content of the meta elements; `http-equiv="X-Robots-Tag"` is given as `robots`."""
    canonical: Url | None = None
    """The address that the page calls its own; None where it names none, or several."""
    alternates: list[tuple[str, Url]] = field(default_factory=list)
    """Language tag and address of the page in other languages (hreflang)."""
    feeds: list[Url] = field(default_factory=list)
    """RSS and Atom feeds."""
    refused: int = 0
    """Links that are no URLs to crawl: other schemes, user information, broken."""
    truncated: bool = False
    """Whether a bound cut the page or its links."""


def read_page(
    body: bytes, url: Url, *, charset: str | None = None, settings: LinkSettings | None = None
) -> Page:
    """Read the links of an HTML page.

    Args:
        body: after any Content-Encoding was undone.
        url: where it came from, after redirects.
        charset: of the Content-Type header.
        settings: the bounds.
    """
    settings = settings or LinkSettings()
    text, encoding = decode_html(body[: settings.max_bytes], charset)
    reader = _Reader(Page(url, truncated=len(body) > settings.max_bytes), encoding, settings)
    document = HTMLTree.parse(text).document
    # Sliced: to iterate a collection of resiliparse 2.0 takes time quadratic in its length.
    elements = document.query_selector_all(_WANTED)[:] if document is not None else ()
    reader.find_base(elements)
    for element in elements:
        reader.read(element)
    return reader.finished()


class _Reader:
    def __init__(self, page: Page, encoding: str, settings: LinkSettings) -> None:
        self.page = page
        self.encoding = "utf-8" if encoding.startswith("utf-16") else encoding
        self.settings = settings
        self._seen: set[tuple[str, tuple[str, ...]]] = set()
        self._parsed: dict[str, Url | None] = {}
        self._canonicals: set[Url] = set()

    def find_base(self, elements: Any) -> None:
        """The first `<base href>` counts, wherever it stands (HTML, 4.2.3)."""
        for element in elements:
            if element.tag == "base":
                self.page.base = self._parse(element.getattr("href")) or self.page.base
                self._parsed.clear()
                return

    def read(self, element: Any) -> None:
        tag = element.tag
        if tag in _KINDS:
            address = element.getattr("href" if _KINDS[tag] == "anchor" else "src")
            self._add(address, _rels(element.getattr("rel")), _KINDS[tag])
        elif tag == "link":
            self._read_link(element)
        elif tag == "meta":
            self._read_meta(element)

    def finished(self) -> Page:
        if len(self._canonicals) == 1:
            self.page.canonical = next(iter(self._canonicals))
        return self.page

    def _read_link(self, element: Any) -> None:
        rels = _rels(element.getattr("rel"))
        address = element.getattr("href")
        if not _FOLLOWED_RELS.intersection(rels):
            return
        url = self._parse(address)
        if url is None:
            return
        if (element.getattr("type") or "").strip().lower() in _FEED:
            self.page.feeds.append(url)
            return
        if "canonical" in rels:
            self._canonicals.add(url)
        elif "alternate" in rels:
            language = element.getattr("hreflang")
            if not language:
                return  # another style sheet, another format
            self.page.alternates.append((language.strip().lower(), url))
        self._add(address, rels, "link")

    def _read_meta(self, element: Any) -> None:
        if len(self.page.metas) >= self.settings.max_metas:
            self.page.truncated = True
            return
        content = element.getattr("content") or ""
        equivalent = (element.getattr("http-equiv") or "").strip().lower()
        if equivalent == "refresh":
            target = _REFRESH.match(content)
            if target is not None:
                self._add(target[1].strip(), (), "refresh")
            return
        name = "robots" if equivalent == "x-robots-tag" else (element.getattr("name") or "").strip().lower()
        if name:
            self.page.metas.append((name, content))

    def _add(self, address: str | None, rels: tuple[str, ...], kind: str) -> None:
        url = self._parse(address)
        if url is None or (url.text, rels) in self._seen:
            return
        if len(self.page.links) >= self.settings.max_links:
            self.page.truncated = True
            return
        self._seen.add((url.text, rels))
        self.page.links.append(Link(url, rels, kind))

    def _parse(self, address: str | None) -> Url | None:
        if address is None or address.startswith("#"):
            return None
        if address not in self._parsed:
            try:
                self._parsed[address] = parse_url(address, self.page.base, encoding=self.encoding)
            except UrlError:
                self._parsed[address] = None
                self.page.refused += 1
        return self._parsed[address]


def _rels(rel: str | None) -> tuple[str, ...]:
    return tuple(rel.lower().split()) if rel else ()
