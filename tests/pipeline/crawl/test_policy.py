"""Each voice that can keep a page out, alone, with its reason; and that silence lets it in."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.crawl.opt_outs import TdmRules, is_past, robots_directives, usages
from pipeline.crawl.policy import Policy
from pipeline.crawl.robots import RobotsFile
from pipeline.crawl.robots_fetch import RobotsAnswer, RobotsVerdict, advance, first_request
from pipeline.crawl.settings import PolicySettings, read_policy
from pipeline.errors import UserError

URL = "https://h.test/a/page"
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()
policy = Policy()


def names(**voices: object) -> list[str]:
    """The reasons against a page about which only this is said."""
    return [reason.name for reason in policy.use(URL, now=NOW, **voices)]  # type: ignore[arg-type]


def test_silence_lets_a_page_in() -> None:
    assert names() == []
    quiet = RobotsFile.parse("User-agent: *\nAllow: /\n")
    assert names(robots=quiet, headers=[("Content-Type", "text/html")], meta=[("description", "noai")]) == []
    assert policy.fetch(quiet, URL) == (True, None, quiet.decide("Corpusmill", URL))


# --- robots.txt --------------------------------------------------------------------------------------------------------


def test_a_forbidden_page_names_its_line() -> None:
    robots = RobotsFile.parse("User-agent: *\n\nDisallow: /a\n")
    got = policy.fetch(robots, URL)
    assert not got.allowed
    assert got.reason == ("robots", "Disallow: /a (group *)", 3)


@pytest.mark.parametrize("token", PolicySettings().training_tokens)
def test_any_training_opt_out_keeps_a_page_out(token: str) -> None:
    robots = RobotsFile.parse(f"User-agent: {token}\nDisallow: /a/\n")
    assert names(robots=robots) == [f"robots:{token}"]
    assert policy.use("https://h.test/b", robots=robots, now=NOW) == []
    got = policy.fetch(robots, URL)
    assert got.reason is not None
    assert (got.allowed, got.reason.name, got.reason.line) == (False, f"robots:{token}", 2)
    assert Policy(PolicySettings(require_training_tokens_to_fetch=False)).fetch(robots, URL).allowed


def test_everyones_group_is_no_training_opt_out() -> None:
    robots = RobotsFile.parse("User-agent: *\nDisallow: /\nUser-agent: Corpusmill\nAllow: /\n")
    assert policy.fetch(robots, URL).allowed
    assert names(robots=robots) == []


def test_a_fallback_is_followed_only_where_we_are_not_named() -> None:
    named = {"product_token": "Applebot", "fallback_tokens": ["Googlebot"], "training_tokens": []}
    applebot = Policy(PolicySettings.model_validate(named))
    assert not applebot.fetch(RobotsFile.parse("User-agent: Googlebot\nDisallow: /\n"), URL).allowed
    both = RobotsFile.parse("User-agent: Googlebot\nDisallow: /\nUser-agent: Applebot\nDisallow: /b\n")
    assert applebot.fetch(both, URL).allowed
    assert policy.fetch(RobotsFile.parse("User-agent: Googlebot\nDisallow: /\n"), URL).allowed


def test_an_unreachable_origin_forbids_with_its_reason() -> None:
    verdict = advance(first_request("https://h.test"), RobotsAnswer(error="dns"), now=NOW)
    assert isinstance(verdict, RobotsVerdict)
    got = policy.fetch(verdict, URL)
    assert got.reason is not None
    assert (got.allowed, got.reason.name) == (False, "unreachable:dns")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("User-agent: *\nContent-Signal: search=yes, ai-train=no\n", ["content-signal:robots"]),
        ("User-agent: *\nContent-Signal: search=no, ai-train=yes\n", []),
        ("Content-Signal: ai-train=no\nUser-agent: *\nAllow: /\n", ["content-signal:robots"]),
        ("User-agent: *\nContent-Signal: /b ai-train=no\n", []),
        ("User-agent: *\nContent-Usage: train-ai=n\n", ["content-usage:robots"]),
        ("User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /a/ train-ai=y\n", []),
        (
            "User-agent: *\nContent-Usage: train-ai=y\nContent-Usage: /a/ train-ai=n\n",
            ["content-usage:robots"],
        ),
        (
            "User-agent: *\nContent-Usage: /a train-ai=y\nContent-Usage: /a train-ai=n\n",
            ["content-usage:robots"],
        ),
        ("User-agent: *\nContent-Usage: train-ai\n", []),
        # Our own group speaks for us; what it leaves unsaid, everyone's says.
        (
            "User-agent: *\nContent-Usage: train-ai=n\nDisallow:\nUser-agent: Corpusmill\nContent-Usage: train-ai=y\n",
            [],
        ),
        (
            "User-agent: *\nContent-Usage: train-ai=n\nDisallow:\nUser-agent: Corpusmill\nAllow: /\n",
            ["content-usage:robots"],
        ),
    ],
)
def test_content_signals_and_usages(lines: str, expected: list[str]) -> None:
    assert names(robots=RobotsFile.parse(lines)) == expected


def test_the_line_of_a_statement_is_named() -> None:
    robots = RobotsFile.parse("User-agent: *\nAllow: /\nContent-Signal: ai-train=no\n")
    assert policy.use(URL, robots=robots, now=NOW) == [
        ("content-signal:robots", "content-signal: ai-train=no", 3)
    ]


# --- headers and meta elements -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["noindex", "none", "noarchive", "nocache", "nosnippet", "noai", "noimageai"]
)
def test_each_directive(word: str) -> None:
    assert names(headers=[("X-Robots-Tag", f"all, {word.upper()}")]) == [f"x-robots-tag:{word}"]
    assert names(meta=[("Robots", f" follow ,{word}")]) == [f"meta-robots:{word}"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("googlebot: noindex", []),
        ("corpusmill: noindex", ["x-robots-tag:noindex"]),
        ("GPTBot: noai", ["x-robots-tag:noai"]),
        ("otherbot: noindex, noai", []),
        ("otherbot: noindex, gptbot: noai", ["x-robots-tag:noai"]),
        ("noindex, otherbot: nofollow", ["x-robots-tag:noindex"]),
        ("max-snippet:0", ["x-robots-tag:nosnippet"]),
        ("max-snippet: 20, max-image-preview:none", []),
        ("indexifembedded, nofollow, notranslate", []),
        ("unavailable_after: 25 Jun 2025 15:00:00 GMT", ["x-robots-tag:unavailable_after"]),
        ("unavailable_after: 25-Jun-2025 15:00:00 PST", ["x-robots-tag:unavailable_after"]),
        ("unavailable_after: Wed, 25 Jun 2025 15:00:00 GMT, nofollow", ["x-robots-tag:unavailable_after"]),
        ("unavailable_after: Wednesday, 25-Jun-25 15:00:00 GMT", ["x-robots-tag:unavailable_after"]),
        ("unavailable_after: 2025-06-25", ["x-robots-tag:unavailable_after"]),
        ("otherbot: unavailable_after: 2025-06-25", []),
        ("unavailable_after: 2027-06-25T10:00:00Z", []),
        ("Unavailable_After: Fri, 25 Jun 2027 15:00:00 GMT", []),
        ("unavailable_after: some day", ["x-robots-tag:unavailable_after"]),
        ("", []),
        (" , ,: ,", []),
    ],
)
def test_x_robots_tag(value: str, expected: list[str]) -> None:
    assert names(headers=[("x-robots-tag", value)]) == expected


def test_each_header_stands_for_itself() -> None:
    assert names(headers=[("X-Robots-Tag", "otherbot: noindex"), ("X-Robots-Tag", "noai")]) == [
        "x-robots-tag:noai"
    ]


def test_meta_elements_for_one_crawler() -> None:
    assert names(meta=[("googlebot", "noindex")]) == []
    assert names(meta=[("Corpusmill", "noindex"), ("gptbot", "noai")]) == [
        "meta-robots:noindex",
        "meta-robots:noai",
    ]


def test_content_usage_and_signal_headers() -> None:
    assert names(headers=[("Content-Usage", "search=y, train-ai=n;x=1")]) == ["content-usage:header"]
    assert names(headers=[("Content-Signal", "ai-train=no")]) == ["content-signal:header"]
    assert names(headers=[("Content-Usage", "train-ai=y"), ("Content-Signal", "search=no")]) == []


def test_following_links() -> None:
    assert policy.follow(headers=[("X-Robots-Tag", "nofollow")]) == (
        "x-robots-tag:nofollow",
        "x-robots-tag: nofollow",
        None,
    )
    assert policy.follow(meta=[("robots", "none")]) == ("meta-robots:none", "meta-robots: none", None)
    assert (
        policy.follow(meta=[("robots", "noindex")], headers=[("x-robots-tag", "otherbot: nofollow")]) is None
    )
    assert policy.follow_link(("ugc", "nofollow")) == ("rel:nofollow", 'rel="nofollow"', None)
    assert policy.follow_link(("ugc", "sponsored")) is None
    careless = Policy(PolicySettings(nofollow=False))
    assert careless.follow(meta=[("robots", "nofollow")]) is None
    assert careless.follow_link(("nofollow",)) is None


# --- reservations and ai.txt -------------------------------------------------------------------------------------------


def test_tdm_reservations() -> None:
    assert names(headers=[("TDM-Reservation", " 1 ")]) == ["tdm:header"]
    assert names(meta=[("tdm-reservation", "1")]) == ["tdm:meta"]
    assert names(headers=[("tdm-reservation", "0")], meta=[("tdm-reservation", "x")]) == []
    rules = TdmRules.parse(
        '[{"location": "/a/open*", "tdm-reservation": 0}, {"location": "/a", "tdm-reservation": 1},'
        ' {"location": "/*.pdf$", "tdm-reservation": "1", "tdm-policy": "https://h.test/p"}]'
    )
    assert names(tdm=rules) == ["tdm:file"]
    assert rules.reserved("https://h.test/a/open/1") is None  # the first that matches decides
    assert rules.reserved("https://h.test/x.pdf") == "/*.pdf$"
    assert rules.reserved("https://h.test/x.pdf?1") is None


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1, null]", b"[" * 100_000, b'[{"location": 3}]', b"\xff"], ids=range(6)
)
def test_a_broken_tdm_file_has_no_rules(body: bytes) -> None:
    assert TdmRules.parse(body).reserved(URL) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("User-Agent: *\nDisallow: /\n", ["ai.txt"]),
        ("User-Agent: *\nDisallow: *.html\n", ["ai.txt"]),
        ("User-Agent: *\nDisallow: *.jpg\nDisallow: *.txt\n", []),
        ("User-Agent: *\nAllow: *.html\nAllow: /\n", []),
        ("", []),
    ],
)
def test_ai_txt(body: str, expected: list[str]) -> None:
    assert names(ai_txt=RobotsFile.parse(body)) == expected


def test_reasons_are_all_given() -> None:
    got = names(
        headers=[("X-Robots-Tag", "noai"), ("TDM-Reservation", "1")], meta=[("robots", "noindex,noarchive")]
    )
    assert got == ["x-robots-tag:noai", "meta-robots:noindex", "meta-robots:noarchive", "tdm:header"]


# --- configuration -----------------------------------------------------------------------------------------------------


def test_everything_can_be_left_out() -> None:
    nothing = PolicySettings(
        training_tokens=(),
        directives=(),
        content_signals=(),
        content_usages=(),
        tdm_reservation=False,
        ai_txt=False,
    )
    robots = RobotsFile.parse(
        "User-agent: GPTBot\nDisallow: /\nUser-agent: *\nContent-Signal: ai-train=no\nAllow: /\n"
    )
    got = Policy(nothing).use(
        URL,
        robots=robots,
        headers=[("X-Robots-Tag", "noai"), ("TDM-Reservation", "1"), ("Content-Usage", "train-ai=n")],
        tdm=TdmRules.parse('[{"location": "/", "tdm-reservation": 1}]'),
        ai_txt=RobotsFile.parse("User-agent: *\nDisallow: /"),
        now=NOW,
    )
    assert got == []


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("training_tokens: [GPTBot]\n")
    assert read_policy(str(good)).training_tokens == ("GPTBot",)
    for text, said in (
        ("trainig_tokens: []", "trainig_tokens"),
        ("- 1", "map"),
        ("product_token: a b", "product_token"),
    ):
        wrong = tmp_path / "wrong.yaml"
        wrong.write_text(text)
        with pytest.raises(UserError, match=said):
            read_policy(str(wrong))
    with pytest.raises(UserError, match=r"missing\.yaml"):
        read_policy(str(tmp_path / "missing.yaml"))
    with pytest.raises(ValueError, match="product token"):
        PolicySettings(training_tokens=("GPT Bot",))


# --- hostile text ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(
    st.text(max_size=60),
    st.text(alphabet="unavailable_after: ,Wed0123-", max_size=60),
    st.binary(max_size=60),
)
def test_nothing_raises(text: str, dated: str, raw: bytes) -> None:
    for value in (text, dated):
        robots_directives([value])
        is_past(value, NOW)
        usages(value)
        policy.use(
            URL, headers=[("X-Robots-Tag", value), ("Content-Usage", value)], meta=[(value, value)], now=NOW
        )
    TdmRules.parse(raw).reserved(text)
