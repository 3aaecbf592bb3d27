"""Block lists: which URLs are one, what a list blocks, and that no URL and no file does harm."""

from __future__ import annotations

import io
import json
import random
import tarfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import _blocklist_kernels as kernels
from filters import blocklist_build
from filters.blocklist import (
    AMBIGUOUS_WORDS,
    SURE_WORDS,
    Blocklist,
    BlocklistError,
    BlocklistSettings,
    blocklist,
    default_words,
    hash_text,
    open_blocklist,
    split_url,
    url_prefixes,
)
from filters.blocklist_build import ListError, build, hash_entries, parse_line, read_list
from filters.pii_candidates import text_bounds
from filters.words import index_words


@pytest.fixture
def opened(tmp_path):
    def make(
        entries: list[str], points: dict[str, int] | None = None, parts: tuple[str, ...] = ()
    ) -> Blocklist:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.bin"
        path.write_bytes(build(entries, points, parts)[0])
        return open_blocklist(str(path))

    return make


def blocks(listed: Blocklist, *urls: str | None) -> list[bool | None]:
    answers: list[bool | None] = listed.blocks(pa.array(urls, pa.large_string())).to_pylist()
    return answers


# --- what is compared ---


@pytest.mark.parametrize(
    ("url", "host", "rest"),
    [
        ("https://www.Example.com/A/b/?Q=1#top", "example.com", "/a/b/?q=1"),
        ("example.com", "example.com", ""),
        ("example.com:8080/x/", "example.com", "/x"),
        ("//example.com./", "example.com", ""),
        ("http://user:pa@ss@example.com:80/", "example.com", ""),
        ("http:\\\\example.com\\x", "example.com", "/x"),
        ("  http://exa\tmple.com/\n", "example.com", ""),
        ("http://ex%61mple.com/%61", "example.com", "/%61"),
        ("http://bücher.example/ä", "xn--bcher-kva.example", "/ä"),
        ("http://joe.blogspot.de/p", "joe.blogspot.com", "/p"),
        ("http://joe.blogspot.co.uk", "joe.blogspot.com", ""),
        ("http://a.joe.blogspot.com.br/", "a.joe.blogspot.com", ""),
        ("http://joe.blogspot.com", "joe.blogspot.com", ""),
        ("http://blogspot.de", "blogspot.de", ""),
        ("http://joe.blogspot.info", "joe.blogspot.info", ""),
        ("http://joe.notblogspot.de", "joe.notblogspot.de", ""),
        ("http://www.com", "www.com", ""),
        ("http://[2a00::1]:80/x", "[2a00::1]", "/x"),
        ("", "", ""),
        ("http://", "", ""),
        ("///", "", ""),
        ("http://?x", "", ""),
    ],
)
def test_host_and_rest(url, host, rest):
    assert split_url(url) == (host, rest)


def test_the_hash_is_fixed():
    assert hash_text("") == 0x9C2E61B2814FD091
    assert hash_text("example.com") == 0x613E15DD77AEF3B5
    assert len({hash_text("a" * size) for size in range(40)}) == 40


PIECES = ["http://", "https:", "//", "/", "www.", "a", "B.c", ".", "example.com", "blogspot", ".co.uk", ".de"]
PIECES += [
    ".com",
    "-",
    "_",
    ":",
    ":80",
    "@",
    "%41",
    "?q=1",
    "&",
    "#",
    "\\",
    " ",
    "\t",
    "é",
    "中",
    "[",
    "]",
    "\x7f",
]
urls = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=2)), max_size=14).map("".join)


def kernel_form(url: str) -> tuple[str, str] | None:
    data, starts, ends = text_bounds(pa.array([url], pa.large_string()))
    scratch = np.zeros(kernels.MAX_URL + 64, np.uint8)
    host, size, state = kernels.normalise(
        kernels.address(data), np.uint64(starts[0]), np.uint64(ends[0]), scratch
    )
    if state == kernels.SLOW:
        return None
    return scratch[:host].tobytes().decode(), scratch[host:size].tobytes().decode()


@given(urls)
@settings(max_examples=800, deadline=None)
def test_the_kernel_brings_urls_to_the_same_form(url):
    form = kernel_form(url)
    assert form is None or form == split_url(url)


@pytest.mark.parametrize(
    "url", ["http://www.Example.com:80/A?b#c", "joe.blogspot.co.uk/x", "x.blogspot.com.br", "a_b-c.d/e//"]
)
def test_plain_urls_are_not_left_to_python(url):
    assert kernel_form(url) == split_url(url)


@given(st.lists(urls, max_size=6), st.lists(st.one_of(st.none(), urls), max_size=6))
@settings(max_examples=200, deadline=None)
def test_what_is_blocked_agrees_with_the_plain_statement(entries, asked):
    host, above, url = hash_entries(entries)
    listed = Blocklist(
        np.unique(host[(url == 0) & (above != 0)]),
        np.unique(url[url != 0]),
        *(np.zeros(0, kind) for kind in (np.uint64, np.int32)),
        (),
        {},
    )
    forms = [split_url(entry) for entry in entries]
    hosts = {host for host, rest in forms if host and not rest and host.partition(".")[2]}
    prefixes = {host + rest for host, rest in forms if rest}
    expected = []
    for each in asked:
        host_of, rest_of = split_url(each or "")
        labels = host_of.split(".")
        above_of = {".".join(labels[i:]) for i in range(len(labels))} if host_of else set()
        found = bool(above_of & hosts or (host_of and set(url_prefixes(host_of, rest_of)) & prefixes))
        expected.append(None if each is None else found)
    assert blocks(listed, *asked) == expected


# --- what a list blocks ---


def test_a_host_blocks_what_is_below_it(opened):
    listed = opened(["bad.example.com", "evil.org"])
    assert blocks(
        listed,
        "http://bad.example.com/x",
        "https://a.b.bad.example.com",
        "http://example.com",
        "http://www.evil.org",
    ) == [True, True, False, True]
    assert blocks(
        listed, "http://notevil.org", "http://evil.org.uk", "http://x.com/evil.org", "evil.org."
    ) == [
        False,
        False,
        False,
        True,
    ]
    assert blocks(listed, None, "") == [None, False]


def test_a_url_blocks_what_begins_like_it(opened):
    listed = opened(["http://site.org/~joe", "shop.org/?id=3"])
    assert (
        blocks(listed, "site.org/~joe", "site.org/~JOE/a/b", "site.org/~joe?x=1", "site.org/~joe#x")
        == [True] * 4
    )
    assert blocks(listed, "site.org", "site.org/~joey", "sub.site.org/~joe", "site.org/a/~joe") == [False] * 4
    assert blocks(listed, "shop.org/?id=3&x", "shop.org/?id=31") == [True, False]


def test_mirrors_of_a_blog_are_one(opened):
    listed = opened(["joe.blogspot.de", "ann.blogspot.com.br"])
    assert blocks(
        listed, "https://joe.blogspot.com/x", "http://joe.blogspot.co.uk", "http://ann.blogspot.fr"
    ) == [
        True,
        True,
        True,
    ]
    assert blocks(listed, "http://other.blogspot.de") == [False]


def test_public_suffixes_are_left_out_and_named(opened):
    entries = ["co.uk", "github.io", "blogspot.com", "evil.github.io", "x.ck", "www.ck", "com", "localhost"]
    content, built = build(entries)
    assert (built.read, built.hosts, built.suffixes, built.malformed) == (8, 2, 4, 2)
    assert built.named == ["co.uk", "github.io", "blogspot.com", "x.ck"]
    listed = opened(entries)
    assert blocks(
        listed, "http://a.co.uk", "http://evil.github.io", "http://good.github.io", "http://www.ck"
    ) == [
        False,
        True,
        False,
        True,
    ]
    assert listed.header["left_out"] == {"duplicates": 0, "malformed": 2, "suffixes": 4}
    assert content == build(entries[::-1])[0]


def test_the_books_of_a_build_balance():
    entries = [
        "a.org",
        "A.org.",
        "http://www.a.org/",
        "b.org/x",
        "b.org/x/",
        "0.0.0.0 c.org d.org",
        "x y z",
        "# no",
    ]
    built = build(entries)[1]
    assert (built.read, built.hosts, built.urls, built.duplicates, built.malformed) == (8, 3, 1, 3, 1)


@pytest.mark.parametrize(
    ("line", "entries"),
    [
        ("example.com\n", ["example.com"]),
        ("  *.example.com  # spam", ["example.com"]),
        (".example.com", ["example.com"]),
        ("127.0.0.1\tlocalhost a.org b.org", ["a.org", "b.org"]),
        ("::1 localhost", []),
        ("||ads.example.com^", ["ads.example.com"]),
        ("||ads.example.com^$third-party", ["ads.example.com"]),
        ("||ads.example.com/banner", None),
        ("||*.example.com^", None),
        ("@@||good.com^", ["@@||good.com^"]),
        ("! comment", []),
        ("[Adblock Plus 2.0]", []),
        ("", []),
        ("two words", None),
        ("a*b.com", None),
        ("http://example.com/a#b", ["http://example.com/a#b"]),
    ],
)
def test_lines_of_lists(line, entries):
    assert parse_line(line) == entries


# --- words ---


def points(url: str | None, listed: Blocklist | None = None) -> int | None:
    answers: list[int | None] = (
        (listed or default_words()).adult_points(pa.array([url], pa.string())).to_pylist()
    )
    return answers[0]


def test_words_of_a_url_have_points():
    assert points("http://example.com/xxx") == 2
    assert points("http://example.com/XXX-xxx-porn") == 4
    assert points("http://example.com/sex-education") == 1
    assert points("http://hot.example.com/nude") == 2
    assert points("http://www.essex.ac.uk/sussex/analysis/classic") == 0
    assert points(None) is None
    assert not SURE_WORDS & AMBIGUOUS_WORDS


def test_words_and_parts_of_a_list_replace_ours(opened):
    listed = opened(["a.org"], {"foo": 2, "bar": 1}, ("freefoo",))
    assert points("http://x.org/foo_bar.xxx", listed) == 3
    assert points("http://x.org/myFree-Foos", listed) == 2
    assert points("http://x.org/xxx", opened(["a.org"])) == 2


@given(urls)
@settings(max_examples=200, deadline=None)
def test_points_agree_with_the_plain_statement(url):
    listed = {"a": 2, "b": 1, "com": 5, "example": 7, "blogspotblogspot": 11}
    words, values = blocklist_build.hashed_words(listed)
    none = np.zeros(0, np.uint64)
    found = set("".join(c if c.isascii() and c.isalnum() else " " for c in url).lower().split())
    assert points(url, Blocklist(none, none, words, values, (), {})) == sum(listed.get(w, 0) for w in found)


# --- the measure ---


def test_the_measure_makes_its_columns(tmp_path):
    path = tmp_path / "list.bin"
    path.write_bytes(build(["bad.org"])[0])
    docs = pa.record_batch({"url": pa.array(["http://bad.org/porn", None]), "text": pa.array(["", ""])})
    made = blocklist(BlocklistSettings(path=str(path)))(docs, index_words(docs["text"]))
    assert {name: column.to_pylist() for name, column in made.items()} == {
        "url.blocked": [1, None],
        "url.adult_words": [2, None],
    }
    assert [column.name for column in blocklist().columns] == ["url.adult_words"]
    assert blocklist()(docs, index_words(docs["text"]))["url.adult_words"].to_pylist() == [2, None]


# --- hostile URLs, damaged files ---

HOSTILE = ["a.", "/", "?", "&/", "http://", "www.", "%", "é.", "@", ":", "[", "\\", "xn--", ".blogspot", "x-"]


@pytest.mark.parametrize("unit", HOSTILE)
def test_long_urls_take_linear_time_and_raise_nothing(unit, opened):
    listed = opened(["bad.org", "bad.org/x"], {"x": 1}, ("foo",))
    url = "http://" + (unit * (1_000_000 // len(unit)))
    array = pa.array([url, unit * 3, unit * 2000 + ".bad.org"])
    assert len(listed.blocks(array)) == len(listed.adult_points(array)) == 3


@given(st.lists(st.binary(max_size=60), max_size=5))
@settings(max_examples=150, deadline=None)
def test_bytes_that_are_no_text_raise_nothing(rows):
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    array = pa.Array.from_buffers(
        pa.large_string(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(rows))]
    )
    usual = default_words()
    listed = Blocklist(usual.hosts, usual.urls, usual.words, usual.points, ("foo",), {})
    assert len(listed.blocks(array)) == len(listed.adult_points(array)) == len(rows)


def test_damaged_files_are_refused(tmp_path):
    content = build(["a.org", "b.org/x"], {"w": 1})[0]
    header_end = 16 + int.from_bytes(content[8:16], "little")
    broken = {
        "empty": b"",
        "other": b"x" * 200,
        "cut": content[:-1],
        "long": content + b"\0",
        "length": content[:8] + b"\xff" * 8 + content[16:],
        "header": content[:16] + b"\0" * (header_end - 16) + content[header_end:],
        "counts": content.replace(b'"hosts": 1', b'"hosts": "'),
        "rule": content.replace(b"urls_v1", b"urls_v0"),
    }
    for name, data in broken.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(BlocklistError, match=r"corpusmill build|build it again"):
            open_blocklist(str(path))


def test_a_list_of_many_hosts_is_searched_right(opened):
    numbers = random.Random(7).sample(range(10**6), 3000)  # noqa: S311 - test data
    listed = opened([f"h{number}.org" for number in numbers[:1500]])
    answers = blocks(listed, *(f"http://www.h{number}.org/x" for number in numbers))
    assert answers == [True] * 1500 + [False] * 1500


def test_damaged_lists_are_named(tmp_path):
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b" + b"x" * 50)
    with pytest.raises(ListError, match=r"bad\.gz cannot be read"):
        list(read_list(tmp_path / "bad.gz"))
    with pytest.raises(ListError, match="none cannot be read"):
        list(read_list(tmp_path / "none"))


def datatrove_assets(folder, domains=b"bad.org\nx.blogspot.de\n"):
    folder.mkdir(parents=True)
    with tarfile.open(folder / "url_filterblacklistsv0_3_0.tar.gz", "w:gz") as archive:
        for name, content in (("urls", b"c.org/x\n"), ("domains", domains)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (folder / "banned_words.txt").write_text("Foo-1\n#mong\n")
    (folder / "soft_banned_words.txt").write_text("bar\n")
    (folder / "banned_subwords.txt").write_text("baz\n")


@pytest.mark.parametrize("inner", ["", "assets", "datatrove/assets"])
def test_the_lists_of_the_datatrove_package(tmp_path, inner):
    datatrove_assets(tmp_path / "p" / inner)
    package = blocklist_build.Datatrove(tmp_path / "p")
    assert [line.strip() for line in package.entries()] == ["c.org/x", "bad.org", "x.blogspot.de"]
    assert package.points() == {"bar": 1, "foo1": 2}
    assert package.parts() == ["baz"]
    with pytest.raises(ListError, match="give the datatrove wheel"):
        list(blocklist_build.Datatrove(tmp_path / "none").entries())
    assert json.loads(json.dumps(package.points())) == package.points()
