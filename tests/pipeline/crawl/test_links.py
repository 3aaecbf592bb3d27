"""What a page says about other pages and itself."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.crawl.links import Page, read_page
from pipeline.crawl.settings import LinkSettings
from pipeline.crawl.urls import parse_url

URL = parse_url("https://h.test/dir/page?x")


def read(html: str | bytes, charset: str | None = None, **bounds: int) -> Page:
    body = html.encode() if isinstance(html, str) else html
    return read_page(body, URL, charset=charset, settings=LinkSettings(**bounds))


def links(html: str | bytes, charset: str | None = None) -> list[str]:
    return [link.url.text.removeprefix("https://h.test") for link in read(html, charset).links]


def test_links_in_order_each_once() -> None:
    page = read(
        '<a href="a">1</a><A HREF="/b#x" Rel="NoFollow ugc">2</a><area href=//o.test/c><a href="/b">3</a>'
        '<a href="a#again">4</a><iframe src="/f"></iframe><a href="/b" rel="nofollow ugc">5</a>'
    )
    assert [(link.url.text, link.rel, link.kind) for link in page.links] == [
        ("https://h.test/dir/a", (), "anchor"),
        ("https://h.test/b", ("nofollow", "ugc"), "anchor"),
        ("https://o.test/c", (), "anchor"),
        ("https://h.test/b", (), "anchor"),
        ("https://h.test/f", (), "frame"),
    ]
    assert not page.truncated


def test_entities_spaces_and_refused_addresses() -> None:
    page = read(
        "<a href=' /x?a=1&amp;b=2\n'>1</a><a href='javascript:x()'>2</a><a href='mailto:a@b.c'>3</a><a href='#top'>4</a>"
        "<a href='http://u:p@h.test/'>5</a><a>6</a><a href>7</a>"
    )
    assert [link.url.target for link in page.links] == ["/x?a=1&b=2", "/dir/page?x"]
    assert page.refused == 3


def test_base() -> None:
    assert links("<base href='/other/'><a href=x>1</a>") == ["/other/x"]
    assert links("<a href=x>1</a><base target=_top><base href='/one/'><base href='/two/'>") in (
        ["/dir/x"],
        ["/one/x"],
    )
    assert links("<base href='ftp://x/'><a href=x>1</a>") == ["/dir/x"]
    assert links("<base href='/a/'><base href='/b/'><a href=x>1</a>") == ["/a/x"]


def test_what_a_page_says_about_itself() -> None:
    page = read(
        "<head><meta name=Robots content='noindex, nofollow'><meta name='tdm-reservation' content=1><meta charset=utf-8>"
        "<meta http-equiv='X-Robots-Tag' content=noai><meta property='og:url' content=/y>"
        "<link rel=canonical href=/c><link rel='alternate' hreflang=DE-at href=/de><link rel=alternate media=print href=/p>"
        "<link rel=alternate type='application/rss+xml' href=/feed><link rel=stylesheet href=/s.css><link rel=next href=/2>"
    )
    assert page.metas == [("robots", "noindex, nofollow"), ("tdm-reservation", "1"), ("robots", "noai")]
    assert page.canonical == parse_url("/c", URL)
    assert page.alternates == [("de-at", parse_url("/de", URL))]
    assert page.feeds == [parse_url("/feed", URL)]
    assert [(link.url.path, link.kind) for link in page.links] == [
        ("/c", "link"),
        ("/de", "link"),
        ("/2", "link"),
    ]


def test_canonicals_that_disagree_say_nothing() -> None:
    assert read("<link rel=canonical href=/a><link rel=canonical href=/a>").canonical == parse_url("/a", URL)
    assert read("<link rel=canonical href=/a><link rel=canonical href=/b>").canonical is None
    assert read("<link rel=canonical href='mailto:x'>").canonical is None


def test_refresh() -> None:
    for content in ("0; url=/r", "5;URL='/r'", "0,/r", '0; "/r"'):
        page = read(f'<meta http-equiv=Refresh content="{content.replace(chr(34), "&quot;")}">')
        assert [(link.url.path, link.kind) for link in page.links] == [("/r", "refresh")], content
    assert links("<meta http-equiv=refresh content=30>") == []


def test_queries_are_in_the_encoding_of_the_page() -> None:
    html = "<meta charset=windows-1252><a href='/é?é'>x</a>".encode("windows-1252")
    assert links(html) == ["/%C3%A9?%E9"]
    assert links("<a href='?é'>x</a>".encode("utf-16")) == ["/dir/page?%C3%A9"]


def test_bounds() -> None:
    html = "".join(f"<a href=/{number}>x</a>" for number in range(10))
    page = read(html, max_links=9)
    assert (len(page.links), page.truncated) == (9, True)
    assert not read(html, max_links=10).truncated
    page = read(html, max_bytes=len("<a href=/0>x</a>") * 3)
    assert (len(page.links), page.truncated) == (3, True)
    page = read("<meta name=a content=b>" * 3, max_metas=2)
    assert (len(page.metas), page.truncated) == (2, True)


def test_what_is_no_link() -> None:
    assert (
        links("<!-- <a href=/a>x</a> --><script>'<a href=/b>'</script><style><a href=/c></style>text") == []
    )
    assert links(b"") == []
    assert links(b"%PDF-1.4 \x00\xff<a href") == []


def test_many_links_take_linear_time() -> None:
    html = "".join(f"<a href=/{number}>x</a>" for number in range(30_000))
    before = time.process_time()
    assert len(read(html, max_links=50_000).links) == 30_000
    assert time.process_time() - before < 5


def test_depth_does_no_harm() -> None:
    assert links("<div>" * 20_000 + "<a href=/x>x</a>") in ([], ["/x"])


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            [
                "<a href=",
                "<base href=",
                "<link rel=canonical href=",
                "/x",
                "'",
                '"',
                ">",
                "\x00",
                "é",
                "//",
                "</a>",
                " ",
            ]
        )
    )
)
def test_nothing_raises(pieces: list[str]) -> None:
    read("".join(pieces))
