"""What a page says about itself: title, date, author, canonical address, language, robots, licence.

    columns = page_metadata(batch["html"], batch["url"])      # pa.Array of each of COLUMNS

A kernel finds the few tags that tell (`metadata_scan`); what they say is brought to one form (`metadata_values`). All values
are what the page claims. Hostile pages cost what their length says, and give nulls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from filters.measures import Column
from pipeline.extraction import metadata_scan as scan
from pipeline.extraction.blocks import documents, html_column
from pipeline.extraction.math_scan import attributes_of
from pipeline.extraction.metadata_jsonld import described
from pipeline.extraction.metadata_values import (
    author_names,
    clean,
    iso_date,
    language_tag,
    text_of,
    web_address,
    without_site,
)

COLUMNS = (
    Column("title", pa.string(), "title of the page, without the name of its site"),
    Column("page.date", pa.string(), "when the page says that it was published, ISO 8601"),
    Column("page.author", pa.string(), "authors that the page names, `; ` between them"),
    Column("page.canonical_url", pa.string(), "address that the page gives as its own, absolute, http(s)"),
    Column("page.language_hint", pa.string(), "language that the page claims, BCP 47"),
    Column("page.robots", pa.string(), "robots meta tags, `agent: content`, one a line, as they stand"),
    Column("page.license_url", pa.string(), "licence that the page links as its own, absolute, http(s)"),
)

_DATES = """
article:published_time og:article:published_time datepublished parsely-pub-date article:published published_time
sailthru.date citation_publication_date citation_online_date dc.date.issued dcterms.issued dcterms.created pubdate
publishdate publish-date publish_date publication_date published_at published-date dc.date.created dc.date dc:date
dcterms.date datecreated date rnews:datepublished cxenseparse:publishtime shareaholic:article_published_time
""".split()  # noqa: SIM905 - readable
_AUTHORS = """
author citation_author dc.creator dcterms.creator article:author_name parsely-author sailthru.author article:author
og:article:author byl article_author
""".split()  # noqa: SIM905 - readable
_SITES = (
    "og:site_name",
    "application-name",
    "apple-mobile-web-app-title",
    "twitter:site",
    "cre",
    "dc.publisher",
)
_LANGUAGES = ("content-language", "og:locale", "dc.language", "language")
_AGENT = re.compile(r"robots|[a-z0-9]*bot(?:-(?:news|image|video|mobile))?|[a-z0-9]*spider|slurp|teoma")
_CREATIVE_COMMONS = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(?:licenses/[a-z-]+|publicdomain/(?:zero|mark))/\d", re.I
)
_WORD = re.compile(r"\w+")
_PUBLISHED = ("datepublished", "pubdate", "published", "entry-date", "post-date", "dt-published", "dateline")


@dataclass
class _Page:
    """The telling tags of one page, by what they tell."""

    metas: dict[str, list[str]] = field(default_factory=dict)
    robots: list[str] = field(default_factory=list)
    title: str | None = None
    headings: list[str] = field(default_factory=list)
    language: str | None = None
    base: str | None = None
    canonical: str | None = None
    times: list[str] = field(default_factory=list)
    other_times: list[str] = field(default_factory=list)
    licenses: list[str] = field(default_factory=list)
    licence_links: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)

    def first(self, names: Sequence[str]) -> list[str]:
        """What the `<meta>` elements of these names say, in the order of the names."""
        return [value for name in names for value in self.metas.get(name, ())]


def page_metadata(
    html: Sequence[str] | pa.Array, urls: Sequence[str | None] | pa.Array
) -> dict[str, pa.Array]:
    """The columns of `COLUMNS` for the pages of a chunk; null where a page says nothing that can be read."""
    data, starts, ends = documents(html_column(html))
    addresses = urls.to_pylist() if isinstance(urls, pa.Array | pa.ChunkedArray) else list(urls)
    rows = [
        _describe(_read(data, start, end), url)
        for start, end, url in zip(starts.tolist(), ends.tolist(), addresses, strict=True)
    ]
    return {column.name: pa.array([row[column.name] for row in rows], column.type) for column in COLUMNS}


def one_page_metadata(page: str, url: str | None) -> dict[str, str | None]:
    """The metadata of one page."""
    made = page_metadata([page], [url])
    return {name: values[0].as_py() for name, values in made.items()}


def _read(data: np.ndarray, start: int, end: int) -> _Page:
    page, in_head = _Page(), True
    for tag in scan.found_tags(data, start, end):
        if tag.kind in (scan.BODY, scan.MAIN):
            in_head = False
        elif tag.kind == scan.TITLE:
            page.title = page.title or clean(tag.inside)
        elif tag.kind == scan.SCRIPT:
            page.scripts.append(tag.inside)
        elif tag.kind == scan.H1:
            page.headings.extend(text for text in [text_of(tag.inside)] if text and len(page.headings) < 5)
        else:
            _take(page, tag.kind, attributes_of(tag.attributes), in_head)
    return page


def _take(page: _Page, kind: int, attributes: dict[str, str], in_head: bool) -> None:
    """Note what a tag's attributes say."""
    if kind == scan.META:
        _take_meta(page, attributes)
    elif kind == scan.HTML:
        page.language = page.language or attributes.get("lang") or attributes.get("xml:lang")
    elif kind == scan.BASE:
        page.base = page.base or attributes.get("href")
    elif kind == scan.TIME:
        _take_time(page, attributes)
    elif kind in (scan.LINK, scan.A):
        relations = attributes.get("rel", "").lower().split()
        href = attributes.get("href", "")
        if kind == scan.LINK and in_head and "canonical" in relations:
            page.canonical = page.canonical or href
        if "license" in relations:
            page.licenses.append(href)
        elif kind == scan.A and _CREATIVE_COMMONS.match(href):
            page.licence_links.append(href)


def _take_meta(page: _Page, attributes: dict[str, str]) -> None:
    content = attributes.get("content", "")
    if not content.strip():
        return
    for key in ("property", "name", "itemprop", "http-equiv"):
        name = attributes.get(key, "").strip().lower()
        if name:
            page.metas.setdefault(name, []).append(content)
            if key == "name" and _AGENT.fullmatch(name) and len(page.robots) < 20:
                value = clean(content)
                page.robots.extend([f"{name}: {value}"] if value else [])


def _take_time(page: _Page, attributes: dict[str, str]) -> None:
    moment = attributes.get("datetime", "")
    if not moment:
        return
    marks = (attributes.get("class", "") + " " + attributes.get("itemprop", "")).lower().split()
    if "pubdate" in attributes or any(mark in _PUBLISHED for mark in marks):
        page.times.append(moment)
    else:
        page.other_times.append(moment)


def _describe(page: _Page, url: str | None) -> dict[str, str | None]:
    said = described(page.scripts)
    base = web_address(page.base, url) or url
    robots = "\n".join(page.robots) or None
    return {
        "title": _title(page, said.sites, url),
        "page.date": _date(page, said.dates),
        "page.author": author_names(said.authors) or _meta_authors(page),
        "page.canonical_url": web_address(page.canonical, base)
        or next((a for a in (web_address(v, base) for v in page.first(["og:url"])) if a), None),
        "page.language_hint": next(
            (tag for tag in map(language_tag, [page.language, *page.first(_LANGUAGES)]) if tag), None
        ),
        "page.robots": robots,
        "page.license_url": _license(page, said.licenses, base),
    }


def _meta_authors(page: _Page) -> str | None:
    """The first kind of `<meta>` that names authors."""
    return next((names for name in _AUTHORS if (names := author_names(page.first([name])))), None)


def _date(page: _Page, said: list[str]) -> str | None:
    """JSON-LD, then `<meta>`, then a `<time>` marked as publication, then the only `<time>` of the page."""
    other = page.other_times if len(set(page.other_times)) == 1 else []
    candidates = [*said, *page.first(_DATES), *page.times, *other]
    return next((date for date in map(iso_date, candidates[:100]) if date), None)


def _title(page: _Page, sites: list[str], url: str | None) -> str | None:
    """`og:title`, else `<title>`, without the site's name; the only `<h1>` where it has half its words or theirs.

    What readers see as the headline is the `<h1>`; the other two are often written for search engines and timelines.
    """
    try:
        host = urlsplit(url or "").hostname or ""
    except ValueError:
        host = ""
    names = [*sites, *(text for text in map(clean, page.first(_SITES)) if text)]
    heading = page.headings[0] if len(set(page.headings)) == 1 and page.headings[0] not in names else None
    for given in [*map(clean, page.first(["og:title"])), page.title]:
        title = without_site(given, names, host, page.headings) if given else ""
        if title and (not page.headings or title not in names):
            return heading if heading is not None and _alike(heading, title) else title
    return next(iter(page.headings), None) or page.title


def _alike(heading: str, title: str) -> bool:
    """Whether the one has at least half of its words in common with the other."""
    ours, theirs = (set(_WORD.findall(text.casefold())) for text in (heading, title))
    return 2 * len(ours & theirs) >= min(len(ours), len(theirs)) > 0


def _license(page: _Page, said: list[str], base: str | None) -> str | None:
    """What is marked as the page's licence; else the one Creative Commons licence that it links."""
    marked = [*page.licenses, *said, *page.first(["dcterms.license", "dc.rights.license", "dc.license"])]
    found = next((address for address in (web_address(each, base) for each in marked[:50]) if address), None)
    if found is None:
        links = {_licence_key(each) for each in page.licence_links}
        found = web_address(page.licence_links[0], base) if len(links) == 1 else None
    return found


def _licence_key(address: str) -> str:
    """A licence's address without scheme, language and deed."""
    found = _CREATIVE_COMMONS.match(address)
    return found[0].split("://", 1)[-1].removeprefix("www.").lower() if found else address
