from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report import hostile

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=80)
MUST_SHOW = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


@pytest.mark.parametrize(
    "code",
    [0x00, 0x08, 0x1B, 0x7F, 0x85, 0x9B, 0x200B, 0x202E, 0x2028, 0x2066, 0x2069, 0xFEFF, 0xE0041, 0xD800],
)
def test_steering_characters_are_named(code: int) -> None:
    text = f"a{chr(code)}b"
    assert hostile.plain(text) == f"a⟨U+{code:04X}⟩b"
    assert hostile.excerpt(text) == f'<bdi dir="auto">a<span class="ctl">U+{code:04X}</span>b</bdi>'
    assert hostile.lines(text) == f"a⟨U+{code:04X}⟩b"


def test_a_run_of_one_control_is_named_once() -> None:
    assert hostile.plain("\x00" * 50) == "⟨U+0000 ×50⟩"


@settings(max_examples=200, deadline=None)
@given(ANY_TEXT)
def test_nothing_hostile_is_left(text: str) -> None:
    for shown in (
        hostile.plain(text),
        hostile.label(text),
        hostile.excerpt(text),
        hostile.lines(text),
        hostile.block(text),
    ):
        assert MUST_SHOW.search(shown) is None
        shown.encode("utf-8")
    for markup in (hostile.label(text), hostile.excerpt(text), hostile.address(text)):
        assert re.sub(r"</?(bdi|span|a)( [a-z]+=\"[^\"<>]*\")*>", "", markup).count("<") == 0


@settings(max_examples=100, deadline=None)
@given(st.text("abcdefghi äß漢字 \u200c\u200d", min_size=1, max_size=60))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert hostile.plain(text) == re.sub(" +", " ", text).strip()


def test_line_ends_are_marked_in_excerpts_only() -> None:
    assert hostile.plain("one \r\n\n two\tthree") == "one two three"
    assert hostile.excerpt("one \r\n\n two") == '<bdi dir="auto">one <span class="nl">↵</span> two</bdi>'


def test_long_text_is_cut_and_its_length_told() -> None:
    shown = hostile.excerpt("x" * 2**20)
    assert len(shown) < 600
    assert "1,048,576 characters in all" in shown
    assert hostile.plain("y" * 1000, 10) == "y" * 10 + "…"


def test_piled_accents_are_thinned() -> None:
    piled = "z" + "\u0301" * 300
    assert sum(unicodedata.combining(c) > 0 for c in hostile.plain(piled, 400)) == 4


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a?b=c&d=%E2%80%AE#e",
        "http://example.org:8080/",
        "https://例え.jp/道",
        "HTTPS://EXAMPLE.ORG/",
    ],
)
def test_web_addresses_become_links_that_send_nothing_along(url: str) -> None:
    shown = hostile.address(url)
    assert shown.startswith(f'<a href="{hostile.escape(url)}" rel="noopener noreferrer nofollow">')


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        " https://example.org",
        "https://exam\nple.org",
        "https://example.org/\u202egnp.exe",
        "https://",
        "//example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://[broken/",
        "https://example.org/" + "a" * 3000,
    ],
)
def test_any_other_address_is_text(url: str) -> None:
    assert "<a" not in hostile.address(url)


def test_an_address_cannot_leave_its_attribute() -> None:
    shown = hostile.address('https://example.org/"onmouseover="alert(1)')
    assert shown.count('"') == 6  # href, rel, dir
    assert "&#34;" in shown


def test_long_addresses_keep_their_host_and_their_end() -> None:
    shown = hostile.address("https://example.org/" + "a" * 300 + "/the-end.html")
    assert ">https://example.org/" in shown
    assert "/the-end.html</bdi>" in shown
    assert hostile.address(None) == hostile.address("") == ""
