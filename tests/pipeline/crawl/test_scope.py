"""What a crawl takes, and the shapes of URLs without end: each bound on both of its sides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.crawl.scope import Scope, language_hint
from pipeline.crawl.settings import ScopeSettings, TrapSettings
from pipeline.crawl.traps import Traps, shape
from pipeline.crawl.urls import parse_url
from pipeline.errors import UserError


def refusal(scope: Scope, url: str, depth: int = 0) -> str | None:
    reason = scope.refuses(parse_url(url), depth)
    return None if reason is None else reason.name


@pytest.mark.parametrize(
    ("around", "inside", "outside"),
    [
        (
            "host",
            ["http://www.example.co.uk:8080/x"],
            ["http://example.co.uk/", "http://a.www.example.co.uk/"],
        ),
        (
            "domain",
            ["http://example.co.uk/", "https://a.b.example.co.uk/"],
            ["http://other.co.uk/", "http://co.uk/"],
        ),
        ("anywhere", ["http://other.test/"], []),
    ],
)
def test_around_the_seeds(around: str, inside: list[str], outside: list[str]) -> None:
    scope = Scope(ScopeSettings.model_validate({"around": around}), ["https://www.example.co.uk/start"])
    assert [refusal(scope, url) for url in inside] == [None] * len(inside)
    assert [refusal(scope, url) for url in outside] == [f"scope:{around}"] * len(outside)


def test_listed_and_blocked_domains() -> None:
    scope = Scope(
        ScopeSettings(domains=("Docs.test",), blocked_domains=("private.docs.test",)), ["http://a.test"]
    )
    assert refusal(scope, "http://docs.test/") is None
    assert refusal(scope, "http://x.docs.test/") is None
    assert refusal(scope, "http://notdocs.test/") == "scope:domain"
    assert refusal(scope, "http://x.private.docs.test/") == "scope:blocked"


def test_block_lists(tmp_path: Path) -> None:
    path = tmp_path / "blocked.txt"
    path.write_text(
        "# a list\n0.0.0.0 ads.test\n*.spam.test  # and below\nh.test/private/\nhttps://h.test/x?y\n\n"
    )
    scope = Scope(ScopeSettings(around="anywhere", block_lists=(str(path),)))
    blocked = ["http://ads.test/", "http://a.spam.test/", "http://h.test/private/1", "http://h.test/x?yz"]
    assert [refusal(scope, url) for url in blocked] == ["scope:blocked"] * 4
    assert [refusal(scope, url) for url in ("http://h.test/x", "http://h.test/", "http://test/")] == [
        None
    ] * 3


def test_wrong_block_lists_and_seeds_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.txt"):
        Scope(ScopeSettings(block_lists=(str(tmp_path / "missing.txt"),)))
    (tmp_path / "wrong.txt").write_text("fine.test\na..b\n")
    with pytest.raises(UserError, match="line 2"):
        Scope(ScopeSettings(block_lists=(str(tmp_path / "wrong.txt"),)))
    with pytest.raises(UserError, match="ftp://x"):
        Scope(ScopeSettings(), ["ftp://x"])


def test_depth() -> None:
    scope = Scope(ScopeSettings(around="anywhere", max_depth=2))
    assert refusal(scope, "http://h.test/", 2) is None
    assert refusal(scope, "http://h.test/", 3) == "scope:depth"


def test_suffixes() -> None:
    scope = Scope(ScopeSettings(around="anywhere"))
    assert refusal(scope, "http://h.test/a.JPG?x") == "scope:suffix"
    assert refusal(scope, "http://h.test/a?x=.jpg") is None
    assert refusal(scope, "http://h.test/a.html") is None


@pytest.mark.parametrize(
    ("url", "language"),
    [
        ("http://h.test/de/x", "de"),
        ("http://h.test/pt-BR/x", "pt"),
        ("http://h.test/zh_hans/x", "zh"),
        ("http://fr.h.test/x", "fr"),
        ("http://h.test/x?a=1&lang=es", "es"),
        ("http://de.h.test/x?hl=en-GB", "en"),
        ("http://h.test/my/account", None),
        ("http://uk.h.test/", None),
        ("http://h.test/x/de", None),
        ("http://h.test/qq/", None),
        ("http://h.test/deep", None),
        ("http://de.test/", None),
    ],
)
def test_language_hints(url: str, language: str | None) -> None:
    assert language_hint(parse_url(url)) == language


def test_languages() -> None:
    scope = Scope(ScopeSettings(around="anywhere", languages=("en",)))
    assert refusal(scope, "http://h.test/de/x") == "scope:language"
    assert refusal(scope, "http://h.test/en/x") is None
    assert refusal(scope, "http://h.test/x") is None


# --- traps -------------------------------------------------------------------------------------------------------------

traps = Traps(TrapSettings(), year=2026)


def trap(target: str) -> str | None:
    reason = traps.refuses(parse_url("http://h.test" + target, max_length=10_000))
    return None if reason is None else reason.name


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/" + "/".join(map(str, range(20))), None),
        ("/" + "/".join(map(str, range(21))), "trap:depth"),
        ("/" + "a" * 255, None),
        ("/" + "a" * 256, "trap:segment"),
        ("/a/a", None),
        ("/a/a/a", "trap:repeat"),
        ("/a/b/a/b/c", None),
        ("/x/a/b/a/b/a/b", "trap:repeat"),
        ("/a/b/c/a/b/c/a/b/c/d", "trap:repeat"),
        ("/a/1/a/2/a/3/a/4", None),
        ("/a/1/a/2/a/3/a/4/a", "trap:repeat"),
        ("/a//a//b", None),
        ("/?" + "&".join("x" * 20), None),
        ("/?" + "&".join("x" * 21), "trap:parameters"),
        ("/calendar/2027/01", None),
        ("/calendar/2028/01", "trap:calendar"),
        ("/events/1989-12-31/", "trap:calendar"),
        ("/calendar/1990/", None),
        ("/events?date=2031-01-01", "trap:calendar"),
        ("/x?tribe-bar-date=2028-01", "trap:calendar"),
        ("/x?year=2026&month=3", None),
        ("/products/3000/1", None),
        ("/x?d=20310101", None),
    ],
)
def test_traps(target: str, expected: str | None) -> None:
    assert trap(target) == expected


def test_shapes() -> None:
    def of(target: str) -> str:
        return shape(parse_url("http://h.test" + target))

    assert of("/2026/01/02/x") == of("/1999/12/31/x") == "/0/0/0/x"
    assert of("/item/3f2504e04f8911d3") == of("/item/0123456789abcdef") == "/item/#"
    assert of("/list?page=2&sort=a") == of("/list?sort=b&page=9&page=1") == "/list?page&sort"
    assert of("/facade/decades") == "/facade/decades"


def repeats(segments: list[str], most: int) -> bool:
    """Whether some run of one to four segments stands more than `most` times in a row."""
    return any(
        segments[at : at + length] * (most + 1) == segments[at : at + length * (most + 1)]
        for length in range(1, 5)
        for at in range(len(segments) - length * (most + 1) + 1)
    )


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from("abc"), max_size=14), st.integers(1, 3))
def test_repeats_are_those_of_the_plain_statement(segments: list[str], most: int) -> None:
    bounds = TrapSettings(max_repeats=most, max_same_segment=100)
    reason = Traps(bounds, 2026).refuses(parse_url("http://h.test/" + "/".join(segments)))
    assert (reason is not None) is repeats(segments, most)
