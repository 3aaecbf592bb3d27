"""What pages say about themselves: each value by each way of saying it, and hostile pages."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.extraction.metadata import COLUMNS, one_page_metadata, page_metadata
from pipeline.extraction.metadata_jsonld import MAX_BYTES, described
from pipeline.extraction.metadata_scan import MAX_TAGS, NAMES, found_tags
from pipeline.extraction.metadata_values import (
    author_names,
    clean,
    iso_date,
    language_tag,
    web_address,
    without_site,
)

URL = "https://www.example.org/a/b.html"


def said(head: str, body: str = "", url: str | None = URL) -> dict[str, str | None]:
    found = one_page_metadata(f"<!doctype html><html><head>{head}</head><body>{body}</body></html>", url)
    return {name.removeprefix("page."): value for name, value in found.items() if value is not None}


def meta(name: str, content: str, key: str = "name") -> str:
    return f'<meta {key}="{name}" content="{content}">'


def ld(value: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(value)}</script>'


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2020-10-28T14:19:38+00:00", "2020-10-28T14:19:38+00:00"),
        ("2020-10-28T14:19:38.123Z", "2020-10-28T14:19:38+00:00"),
        ("2020-10-28 14:19", "2020-10-28T14:19:00"),
        ("2020-10-28T14:19:38-0700", "2020-10-28T14:19:38-07:00"),
        ("2020-10-28T14:19:38+0530", "2020-10-28T14:19:38+05:30"),
        ("2020-10-28", "2020-10-28"),
        ("2020/1/5", "2020-01-05"),
        ("20200105", "2020-01-05"),
        ("20200105T120000Z", "2020-01-05T12:00:00+00:00"),
        ("1603894778", "2020-10-28T14:19:38+00:00"),
        ("1603894778000", "2020-10-28T14:19:38+00:00"),
        ("Wed, 28 Oct 2020 14:19:38 GMT", "2020-10-28T14:19:38+00:00"),
        ("October 28, 2020", "2020-10-28"),
        ("28 Oct. 2020", "2020-10-28"),
        ("Posted on Sept 3rd, 2020", "2020-09-03"),
        ("30/4/2020", "2020-04-30"),
        ("4/30/2020", "2020-04-30"),
        ("5.4.2020", "2020-04-05"),
        ("4/4/2020", "2020-04-04"),
        ("3/4/2020", None),
        ("2020-13-01", None),
        ("2020-02-30", None),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01", None),
        ("0000000000", None),
        ("2020-10-28T25:61", "2020-10-28"),
        ("Maybe 28, 2020", None),
        ("yesterday", None),
        ("", None),
        ("9" * 500, None),
        (None, None),
    ],
)
def test_dates(text: str | None, date: str | None) -> None:
    assert iso_date(text) == date


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789-/.:TZ+ JanFebMon,", max_size=40))
def test_a_date_is_iso_and_a_day_of_the_calendar(text: str) -> None:
    date = iso_date(text)
    assert date is None or 1900 <= datetime.datetime.fromisoformat(date).year <= 2100


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("en", "en"),
        ("EN_us", "en-US"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("de, en", "de"),
        ("english", None),
        ("{{lang}}", None),
        ("und", None),
        ("", None),
        (None, None),
    ],
)
def test_languages(text: str | None, tag: str | None) -> None:
    assert language_tag(text) == tag


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("/x?y=1#z", "https://www.example.org/x?y=1"),
        ("c.html", "https://www.example.org/a/c.html"),
        ("//cdn.example.com/x", "https://cdn.example.com/x"),
        ("HTTP://Example.com/x", "HTTP://Example.com/x"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("mailto:a@b.c", None),
        ("http://", None),
        ("https://localhost/", "https://localhost/"),
        ("http://intranet/x", None),
        ("https://exa mple.com", None),
        ("https://[::1", None),
        ('"><script>', None),
        ("", None),
        ("x" * 5000, None),
    ],
)
def test_addresses(given: str, address: str | None) -> None:
    found = web_address(given, URL)
    assert (found and found.replace("http://E", "HTTP://E")) == address


@pytest.mark.parametrize(
    ("title", "made"),
    [
        ("How to bake | Example", "How to bake"),
        ("Example - How to bake", "How to bake"),
        ("How to bake – Bread – Example Site", "How to bake – Bread"),
        ("A well-known fact", "A well-known fact"),
        ("Example", "Example"),
        ("News | Headline of the day | Sport", "Headline of the day | Sport"),
        ("Turning off - the light - Forum of Light", "Turning off - the light"),
        ("Cats | Dogs", "Cats | Dogs"),
    ],
)
def test_titles_lose_the_name_of_their_site(title: str, made: str) -> None:
    headings = ["Turning off - the light", "Headline of the day | Sport"]
    assert without_site(title, ["Example Site"], "www.example.org", headings) == made


def test_title() -> None:
    og = meta("og:title", "A &amp;amp; B | Example", "property")
    assert said(og + "<title>Other</title>")["title"] == "A & B"
    assert said("<title>\n A  b &lt; c </title>")["title"] == "A b < c"
    assert said("", "<h1>The <b>heading</b><!-- x --></h1>")["title"] == "The heading"
    assert (
        said("<title>Example</title>" + meta("og:site_name", "Example"), "<h1>Real</h1>")["title"] == "Real"
    )
    assert (
        said("<title>Ten best big blue boats - buy</title>", "<h1>Ten big blue boats</h1>")["title"]
        == "Ten big blue boats"
    )
    assert said("<title>Ten boats</title>", "<h1>Our shop</h1>")["title"] == "Ten boats"
    assert said("<title>a</title><svg><title>b</title></svg>")["title"] == "a"
    assert "title" not in said("")


def test_date_of_the_page_comes_before_others() -> None:
    article = ld({"@type": "NewsArticle", "datePublished": "2020-01-02", "dateModified": "2021-01-01"})
    published = meta("article:published_time", "2020-03-04", "property")
    marked = '<time class="entry-date updated" datetime="2020-05-06">'
    assert said(article + published, marked)["date"] == "2020-01-02"
    assert said(published, marked)["date"] == "2020-03-04"
    assert said("", marked)["date"] == "2020-05-06"
    assert said("", '<time datetime="2020-07-08">')["date"] == "2020-07-08"
    assert "date" not in said("", '<time datetime="2020-07-08"></time><time datetime="2020-07-09">')
    assert "date" not in said(meta("article:modified_time", "2020-03-04", "property"))


def test_authors() -> None:
    people = [{"@type": "Person", "name": "Ann Lee"}, "Bo Li", {"@id": "#c"}]
    graph = {
        "@graph": [
            {"@type": "Person", "@id": "#c", "name": "C. Doe"},
            {"@type": "BlogPosting", "author": people},
        ]
    }
    assert said(ld(graph) + meta("author", "Wrong"))["author"] == "Ann Lee; Bo Li; C. Doe"
    assert said(meta("author", "By Ann Lee"))["author"] == "Ann Lee"
    twice = (
        meta("citation_author", "Lee, Ann")
        + meta("citation_author", "Li, Bo")
        + meta("citation_author", "LI, BO")
    )
    assert said(twice)["author"] == "Lee, Ann; Li, Bo"
    assert said(meta("article:author", "https://facebook.com/x", "property")) == {}
    assert author_names(["@handle", "  ", "12345", "{{author}}"]) is None
    assert author_names(["Byron Katie"]) == "Byron Katie"


def test_canonical_address() -> None:
    link = '<link rel="shortlink canonical" href="/x#y">'
    assert said(link)["canonical_url"] == "https://www.example.org/x"
    assert (
        said('<base href="https://other.org/z/">' + '<link rel=canonical href="x">')["canonical_url"]
        == "https://other.org/z/x"
    )
    assert (
        said(meta("og:url", "https://example.org/o", "property"))["canonical_url"] == "https://example.org/o"
    )
    assert said("", link) == {}  # not in the head: anybody can write one into a comment
    assert said('<link rel=canonical href="javascript:x">') == {}
    assert said('<link rel=canonical href="x">', url=None) == {}


def test_language() -> None:
    page = "<html lang=pt_br><head>" + meta("content-language", "de", "http-equiv")
    assert one_page_metadata(page, URL)["page.language_hint"] == "pt-BR"
    assert said(meta("content-language", "de", "http-equiv"))["language_hint"] == "de"
    assert said(meta("og:locale", "fr_CA", "property"))["language_hint"] == "fr-CA"


def test_robots_of_all_agents() -> None:
    tags = meta("ROBOTS", "NoIndex,  nofollow") + meta("googlebot-news", "nosnippet") + meta("GPTBot", "none")
    assert said(tags)["robots"] == "robots: NoIndex, nofollow\ngooglebot-news: nosnippet\ngptbot: none"
    assert (
        said(meta("robots_meta_tag", "x") + meta("botify-site-verification", "x") + meta("robots", " ")) == {}
    )


def test_licence() -> None:
    cc = "https://creativecommons.org/licenses/by/4.0/"
    assert said("", f'<a href="{cc}" rel="license noopener">x</a>')["license_url"] == cc
    assert said(f'<link rel="license" href="{cc}">')["license_url"] == cc
    assert said(ld({"@type": "Article", "license": cc}))["license_url"] == cc
    assert said("", f'<a href="{cc}">x</a><a href="{cc}deed.de">y</a>')["license_url"] == cc
    assert (
        said("", f'<a href="{cc}">x</a><a href="https://creativecommons.org/licenses/by-sa/3.0/">y</a>') == {}
    )
    assert said("", '<a href="/license-plates">x</a>') == {}


def test_json_ld_of_other_things_is_passed_over() -> None:
    review = {"@type": "Review", "datePublished": "2019-01-01", "author": "Wrong"}
    listed = {"@type": "ItemList", "itemListElement": [{"@type": "Article", "datePublished": "2018-01-01"}]}
    page = {"@type": "WebPage", "datePublished": "2020-01-01", "comment": [review]}
    found = described([json.dumps([listed, page]), "not json", "{", "[1, null]", json.dumps({"@type": 3})])
    assert (found.dates, found.authors) == (["2020-01-01"], [])
    article = {"@type": ["Article"], "dateCreated": "2020-02-02"}
    assert described([json.dumps([page, article])]).dates == ["2020-02-02", "2020-01-01"]
    assert described(['//<![CDATA[\n{"@type": "Article", "author": "A\tB"};\n//]]>']).authors == ["A\tB"]


def test_json_ld_is_bounded() -> None:
    assert described(["[" * 100_000]).dates == []
    assert described(['{"@graph":' * 50_000]).dates == []
    big = json.dumps({"@type": "Article", "datePublished": "2020-01-01", "x": "y" * MAX_BYTES})
    assert described([big]).dates == []
    nested: object = {"@type": "Article", "datePublished": "2020-01-01"}
    for _ in range(20):
        nested = {"@graph": [nested]}
    assert described([json.dumps(nested)]).dates == []


def test_what_is_no_tag_does_not_count() -> None:
    tag = meta("author", "Wrong")
    hidden = [
        f"<!-- {tag} -->",
        f"<script>'{tag}'</script>",
        f"<a title='{tag}'>",
        f"<textarea>{tag}</textarea>",
    ]
    hidden += [f"<noscript>{tag}</noscript>", f"<style>{tag}</style>", f"<svg>{tag}</svg>", tag[:-1]]
    for markup in hidden:
        assert one_page_metadata(markup, URL)["page.author"] is None, markup
    assert one_page_metadata("<p><META NAME=author content=Ann>", URL)["page.author"] == "Ann"


def test_hostile_pages() -> None:
    for page in (
        "",
        "\x00",
        "<",
        "<meta",
        "<" * 100_000,
        "<meta content='" * 20_000,
        "<h1>" * 20_000,
        "<title>" * 20_000,
    ):
        assert set(one_page_metadata(page, URL)) == {column.name for column in COLUMNS}
    data = memoryview(b"<meta>" * (MAX_TAGS + 100))
    assert len(list(found_tags(np.frombuffer(data, np.uint8), 0, len(data)))) == MAX_TAGS
    assert one_page_metadata("<h1>" + "x" * 10_000, URL)["title"] is None  # no title is that long


def test_columns() -> None:
    pages = pa.chunked_array(
        [["<title>a</title>", None], ["<title>ü</title>\ud800".encode("utf-8", "replace").decode()]]
    )
    made = page_metadata(pages, [URL, None, None])
    assert {name: values.type for name, values in made.items()} == {
        column.name: column.type for column in COLUMNS
    }
    assert made["title"].to_pylist() == ["a", None, "ü"]
    assert page_metadata(["<title>\ud800</title>"], [None])["title"].to_pylist() == ["\ufffd"]
    assert page_metadata([], [])["title"].to_pylist() == []


PIECES = (
    [f"<{name}" for name in NAMES]
    + [f"</{name}>" for name in NAMES]
    + [">", " ", '"', "'", "=", "<!--", "-->"]
)
PIECES += [
    "rel=license",
    "rel=canonical",
    " href=/x",
    ' name="author"',
    " content=Ann",
    "text",
    "&amp;",
    "é",
    "\ud800",
]
PIECES += [
    ' type="application/ld+json">',
    '{"@type":"Article","author":"B"}',
    "creativecommons.org/licenses/by/4.0",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from([URL, None, "http://[", "x"]))
def test_any_soup(pieces: list[str], url: str | None) -> None:
    page = "".join(pieces)
    made = one_page_metadata(page, url)
    assert made == one_page_metadata(page, url)
    for name in ("page.canonical_url", "page.license_url"):
        assert made[name] is None or made[name].startswith(("http://", "https://"))


def test_clean() -> None:
    assert clean(" a\n b &amp;quot; ") == 'a b "'
    assert clean(None) is None
    assert clean("x" * 3000) is None
