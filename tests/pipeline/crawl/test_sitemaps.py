"""Sitemaps of every kind, and those that mean harm."""

from __future__ import annotations

import gzip
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.crawl.settings import SitemapSettings
from pipeline.crawl.sitemaps import SitemapGuard, parse_sitemap
from pipeline.crawl.urls import parse_url

BASE = "https://h.test/maps/sitemap.xml"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'


def urlset(*urls: str) -> bytes:
    return (HEAD + "".join(f"<url><loc>{url}</loc></url>" for url in urls) + "</urlset>").encode()


def addresses(body: bytes, **bounds: int) -> tuple[list[str], list[str]]:
    sitemap = parse_sitemap(body, BASE, SitemapSettings(**bounds))
    return [entry.url.text for entry in sitemap.entries], sitemap.problems


def test_urlset() -> None:
    body = (
        HEAD
        + "<url>\n<loc> https://h.test/a?b=1&amp;c=2&d=3 </loc><lastmod>2026-03-01T10:00:00+02:00</lastmod>"
        "<priority>1</priority></url><url><lastmod>last week</lastmod><loc>/ä</loc></url><url></url></urlset>"
    ).encode()
    sitemap = parse_sitemap(body, BASE)
    assert not sitemap.is_index
    assert [(entry.url.text, entry.lastmod) for entry in sitemap.entries] == [
        ("https://h.test/a?b=1&c=2&d=3", "2026-03-01T10:00:00+02:00"),
        ("https://h.test/%C3%A4", None),
    ]
    assert sitemap.problems == []


def test_index_and_extensions() -> None:
    index = b"<sitemapindex><sitemap><loc>/a.xml.gz</loc><lastmod>2026</lastmod></sitemap></sitemapindex>"
    sitemap = parse_sitemap(index, BASE)
    assert sitemap.is_index
    assert [(entry.url.path, entry.lastmod) for entry in sitemap.entries] == [("/a.xml.gz", "2026")]
    images = b"<urlset xmlns:i='x'><url><loc>/p</loc><i:image><i:loc>/p.jpg</i:loc></i:image></url></urlset>"
    assert addresses(images) == (["https://h.test/p"], [])


def test_feeds() -> None:
    rss = b"<rss><channel><link>/home</link><item><title>x</title><link>/1</link></item></channel></rss>"
    atom = (
        b"<feed xmlns='http://www.w3.org/2005/Atom'><link href='/home'/><entry><link rel='edit' href='/e'/>"
        b"<link href='/2'/><updated>2026-01-01</updated></entry></feed>"
    )
    assert addresses(rss)[0] == ["https://h.test/1"]
    sitemap = parse_sitemap(atom, BASE)
    assert [(entry.url.path, entry.lastmod) for entry in sitemap.entries] == [("/2", "2026-01-01")]


def test_lines() -> None:
    body = b"\xef\xbb\xbfhttps://h.test/a\r\n\n  https://h.test/b\nmailto:x\nhttps://h.test/c"
    assert addresses(body) == ([f"https://h.test/{x}" for x in "abc"], ["refused:1"])
    many = "\n".join(f"https://h.test/{number}" for number in range(20_000)).encode()
    assert addresses(many)[0] == [f"https://h.test/{number}" for number in range(20_000)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings(encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?><urlset><url><loc>/ä</loc></url></urlset>'
    assert addresses(text.encode(encoding)) == (["https://h.test/%C3%A4"], [])


def test_gzip() -> None:
    body = gzip.compress(urlset("/a")[:60]) + gzip.compress(urlset("/a")[60:])
    assert addresses(body) == (["https://h.test/a"], [])
    cut = gzip.compress(urlset(*(f"/{number}" for number in range(50_000))))
    found, problems = addresses(cut[: len(cut) // 2])
    assert 0 < len(found) < 50_000
    assert "gzip" in problems
    assert addresses(b"\x1f\x8bnothing") == ([], ["gzip"])


def test_bounds_are_exact() -> None:
    body = urlset("/a", "/b", "/c")
    assert addresses(body, max_urls=3) == ([f"https://h.test/{x}" for x in "abc"], [])
    assert addresses(body, max_urls=2) == ([f"https://h.test/{x}" for x in "ab"], ["truncated:urls"])
    assert addresses(body, max_bytes=len(body))[1] == []
    assert addresses(body, max_bytes=len(body) - 1)[1] == ["truncated:bytes"]
    assert len(addresses(body, max_bytes=len(body) - 30)[0]) == 2


def test_a_bomb_stops_at_the_bound() -> None:
    bomb = gzip.compress(b"<urlset>" + b" " * (64 << 20))
    tracemalloc.start()
    assert addresses(bomb, max_bytes=1 << 20) == ([], ["truncated:bytes"])
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">',
        '<!ENTITY b SYSTEM "file:///etc/passwd">',
        '<!ENTITY % b "x">%b;',
    ],
)
def test_entities_are_not_expanded(declared: str) -> None:
    body = f"<!DOCTYPE urlset [{declared}]><urlset><url><loc>/x&b;</loc></url></urlset>".encode()
    assert addresses(body) == ([], ["doctype"])
    assert addresses(b"<!DOCTYPE urlset><urlset><url><loc>/x</loc></url></urlset>")[0] == ["https://h.test/x"]


def test_undeclared_entities_are_text() -> None:
    assert addresses(b"<urlset><url><loc>/x?a&nbsp;b</loc></url></urlset>")[0] == [
        "https://h.test/x?a&nbsp;b"
    ]


def test_depth_and_length_are_bounded() -> None:
    assert addresses(b"<a>" * 100_000)[1] == ["xml"]
    assert addresses(urlset("/" + "a" * 5_000_000)) == ([], ["refused:1"])


def test_broken_xml_keeps_what_came_before() -> None:
    assert addresses(urlset("/a", "/b").replace(b"/b</loc>", b"/b</url>"))[0] == ["https://h.test/a"]
    assert addresses(b"<html><body>Not found</body></html>") == ([], [])
    assert addresses(b"") == ([], [])


def test_ampersands_at_the_edges_of_blocks() -> None:
    block = 1 << 16
    for padding in range(block - len(HEAD) - 45, block - len(HEAD) - 5):
        body = HEAD.encode() + b" " * padding + b"<url><loc>/x?a&amp;b&c&#38;d</loc></url></urlset>"
        assert addresses(body) == (["https://h.test/x?a&b&c&d"], []), padding


def test_the_guard_lets_no_sitemap_come_twice() -> None:
    guard = SitemapGuard(SitemapSettings(max_depth=1, max_sitemaps=2))
    first, second, third = (parse_url(f"https://h.test/{name}") for name in "abc")
    assert guard.refuses(first) is None
    assert guard.refuses(first, 1) == "sitemap:seen"
    assert guard.refuses(second, 2) == "sitemap:depth"
    assert guard.refuses(second, 1) is None
    assert guard.refuses(third) == "sitemap:many"


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"<urlset>", b"\x1f\x8b\x08\0", b"\xff\xfe", b"<?xml "])
)
def test_nothing_raises(body: bytes, head: bytes) -> None:
    parse_sitemap(head + body, BASE)


def test_many_ampersands_take_no_time() -> None:
    before = time.process_time()
    addresses(b"<urlset><url><loc>" + b"&" * 3_000_000 + b"</loc></url></urlset>")
    assert time.process_time() - before < 5
