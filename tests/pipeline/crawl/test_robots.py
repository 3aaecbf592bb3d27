"""RFC 9309: the layer over robotexclusionrulesparser against a plain statement of the RFC, and each rule at its boundary."""

from __future__ import annotations

import re
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.crawl.robots import LIMIT, RobotsFile
from pipeline.crawl.robots_rules import spell_pattern, url_path

# --- the RFC, stated plainly -------------------------------------------------------------------------------------------

UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def octets(text: str) -> list[str]:
    """2.2.2: a list of octets in one spelling, each one character or a %XX."""
    raw, done, at = text.encode(), [], 0
    while at < len(raw):
        triplet = raw[at : at + 3].decode("latin-1")
        if re.fullmatch("%[0-9A-Fa-f]{2}", triplet):
            character = chr(int(triplet[1:], 16))
            done.append(character if character in UNRESERVED else triplet.upper())
            at += 3
        else:
            character = chr(raw[at])
            plain = character in UNRESERVED or character in "!#$&'()*+,/:;=?@[]"
            done.append(character if plain else f"%{raw[at]:02X}")
            at += 1
    return done


def reference_matches(pattern: str, path: str) -> bool:
    """2.2.3, by the set of places where the pattern can be in the path."""
    wanted = octets(pattern)
    there = [{"*": "%2A", "$": "%24"}.get(octet, octet) for octet in octets(path)]
    anchored = wanted[-1:] == ["$"]
    places = {0}
    for octet in wanted[:-1] if anchored else wanted:
        if octet == "*":
            places = set(range(min(places), len(there) + 1)) if places else set()
        else:
            literal = "%24" if octet == "$" else octet
            places = {at + 1 for at in places if at < len(there) and there[at] == literal}
    return len(there) in places if anchored else bool(places)


def reference_allowed(lines: list[str], agent: str, path: str) -> bool:
    """2.2.1 and 2.2.2 over a list of lines."""
    groups: list[tuple[set[str], list[tuple[bool, str]]]] = []
    in_names = False
    for line in lines:
        found = re.fullmatch(r"\s*([A-Za-z-]+)\s*:\s*(.*?)\s*", line.partition("#")[0])
        name = found[1].lower() if found else ""
        if found and name == "user-agent":
            if not in_names:
                groups.append((set(), []))
            groups[-1][0].add(found[2].lower())
            in_names = True
        elif found and name in ("allow", "disallow"):
            if groups and found[2]:
                groups[-1][1].append((name == "allow", found[2]))
            in_names = False
    mine = [rules for names, rules in groups if agent.lower() in names]
    mine = mine or [rules for names, rules in groups if "*" in names]
    matching = [
        (sum(map(len, octets_of_pattern(pattern))), allow)
        for rules in mine
        for allow, pattern in rules
        if reference_matches(pattern, path)
    ]
    return path == "/robots.txt" or max(matching, default=(0, True))[1]


def octets_of_pattern(pattern: str) -> list[str]:
    """The pattern's octets; a `$` inside it is the octet %24."""
    spelt = octets(pattern)
    return [octet if octet != "$" or at == len(spelt) - 1 else "%24" for at, octet in enumerate(spelt)]


# --- properties --------------------------------------------------------------------------------------------------------

pieces = st.sampled_from(
    [
        "/",
        "a",
        "b",
        "ab",
        "*",
        "$",
        "%41",
        "%2f",
        "%2F",
        "%7e",
        "~",
        "é",
        "%C3%A9",
        "?",
        "%3F",
        "%24",
        "%2A",
        "%",
        ".",
        "A",
    ]
)
patterns = st.builds(
    lambda first, rest: first + "".join(rest),
    st.sampled_from(["/", "/a", "/*", "*"]),
    st.lists(pieces, max_size=5),
)
paths = st.builds(lambda rest: "/" + "".join(rest), st.lists(pieces, max_size=6))
tokens = st.sampled_from(["bot", "Bot", "botx", "other-bot", "*", "none"])
rules = st.builds(
    lambda field, space, value, end: f"{field}{space}:{space}{value}{end}",
    st.sampled_from(["Allow", "Disallow", "disallow", "ALLOW"]),
    st.sampled_from(["", " ", "\t"]),
    st.one_of(patterns, patterns, patterns, st.just("")),
    st.sampled_from(["", "  ", " # said", "#"]),
)
lines = st.one_of(
    st.builds("User-agent: {}".format, tokens),
    rules,
    rules,
    st.sampled_from(
        [
            "",
            "# note",
            "Crawl-delay: 3",
            "Sitemap: https://h.test/s.xml",
            "Noindex: /",
            "nonsense",
            ":",
            "x-disallow: /",
        ]
    ),
)


@settings(deadline=None, max_examples=400)
@given(st.lists(lines, max_size=14), st.sampled_from(["\n", "\r\n", "\r"]), tokens, paths)
def test_decisions_are_those_of_the_rfc(content: list[str], end: str, agent: str, path: str) -> None:
    if agent == "*":  # not a name that a crawler can have
        agent = "bot"
    decision = RobotsFile.parse(end.join(content)).decide(agent, "https://h.test" + path)
    assert decision.allowed is reference_allowed(content, agent, path)


@settings(deadline=None, max_examples=300)
@given(patterns, paths)
def test_a_pattern_matches_as_the_rfc_says(pattern: str, path: str) -> None:
    decision = RobotsFile.parse(f"User-agent: *\nDisallow: {pattern}").decide("bot", path)
    assert decision.allowed is not reference_matches(pattern, path)


@settings(deadline=None, max_examples=200)
@given(st.lists(lines, max_size=10), tokens, paths)
def test_the_line_that_decided_is_named(content: list[str], agent: str, path: str) -> None:
    decision = RobotsFile.parse("\n".join(content)).decide(agent, path)
    if decision.line is None:
        assert decision.allowed
    else:
        assert decision.rule == content[decision.line - 1].partition("#")[0].strip()
        field, _, pattern = decision.rule.partition(":")
        assert decision.allowed is (field.strip().lower() == "allow")
        assert reference_matches(pattern.strip(), path)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300), st.text(max_size=10), st.text(max_size=30))
def test_nothing_raises(body: bytes, agent: str, url: str) -> None:
    parsed = RobotsFile.parse(body)
    assert parsed.decide(agent, url) == RobotsFile.parse(body).decide([agent], url)
    parsed.crawl_delay(agent), parsed.statements(agent)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=40))
def test_normal_octets_stay(raw: bytes) -> None:
    assert spell_pattern(spell_pattern(raw).encode()) == spell_pattern(raw)


# --- each rule at its boundary -----------------------------------------------------------------------------------------


def allowed(body: str | bytes, path: str, agent: str = "bot") -> bool:
    return RobotsFile.parse(body).decide(agent, path).allowed


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ("/fish", "/fish.html", False),
        ("/fish", "/Fish", True),
        ("/fish$", "/fish", False),
        ("/fish$", "/fish/", True),
        ("/fish$", "/fish?q", True),
        ("/*.php$", "/a.php", False),
        ("/*.php$", "/a.php.php", False),
        ("/*.php$", "/a.php5", True),
        ("/a*b*a$", "/aba", False),
        ("/a*b*a$", "/ab", True),
        ("/a*a$", "/a", True),
        ("/*b*b", "/ab", True),
        ("/*b*b", "/abb", False),
        ("/x%2Ay", "/x*y", False),
        ("/x%2Ay", "/xzy", True),
        ("/x%24", "/x$", False),
        ("/x%24", "/x", True),
        ("/a%2fb", "/a%2Fb", False),
        ("/a%2Fb", "/a/b", True),
        ("/%7Ejoe", "/~joe", False),
        ("/~joe", "/%7ejoe", False),
        ("/ツ", "/%e3%83%84", False),
        ("/100%off", "/100%25off", False),
        ("/*A", "/*", True),  # not the A of %2A
        ("/x%2", "/x%2A", True),
        ("/a b", "/a%20b", False),
        ("/a", "", True),
        ("/", "", False),
        ("/?", "?q", False),
    ],
)
def test_patterns(rule: str, path: str, expected: bool) -> None:
    assert allowed(f"User-agent: *\nDisallow: {rule}\n", "https://h.test" + path) is expected


def test_latin_1_octets_are_kept() -> None:
    body = b"User-agent: *\nDisallow: /caf\xe9\n"
    assert not allowed(body, "/caf%E9")
    assert allowed(body, "/caf%C3%A9")


def test_a_pattern_has_one_spelling() -> None:
    assert spell_pattern(b"/%e9%7e%2f*$%zz<\xe9$") == "/%E9~%2F*%24%25zz%3C%E9$"


def test_what_comes_before_the_path_and_the_fragment_do_not_matter() -> None:
    assert url_path("https://user@h.test:8080/a#b/c") == "/a"
    assert url_path("https://h.test?q#x") == "/?q"
    assert url_path("//a") == "//a"


def test_the_longest_rule_decides_and_allow_of_two_as_long() -> None:
    body = "User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/*.gif\nAllow: /x\nDisallow: /x\n"
    assert [allowed(body, path) for path in ("/a", "/a/b/c", "/a/b/c.gif", "/x")] == [
        False,
        True,
        False,
        True,
    ]


def test_robots_txt_itself_is_always_allowed() -> None:
    body = "User-agent: *\nDisallow: /\n"
    assert allowed(body, "https://h.test/robots.txt")
    assert not allowed(body, "/robots.txt?x")
    assert not allowed(body, "/a/robots.txt")


def test_groups_of_a_name_are_one() -> None:
    body = "User-agent: bot\nDisallow: /a\n\nUser-agent: x\nDisallow: /x\n\nUser-agent: BOT\nDisallow: /b\n"
    assert [allowed(body, path) for path in ("/a", "/b", "/x")] == [False, False, True]


def test_the_first_of_equal_lines_is_named() -> None:
    parsed = RobotsFile.parse("User-agent: a\nUser-agent: *\nDisallow: /x\n\nUser-agent: a\nDisallow: /x\n")
    assert parsed.decide("a", "/x").line == 3
    assert parsed.decide("b", "/x").line == 3


def test_a_group_without_rules_is_a_group() -> None:
    body = "User-agent: *\nDisallow: /\nUser-agent: bot\n"
    assert allowed(body, "/a")
    assert not allowed(body, "/a", "other")


def test_names_are_compared_as_wholes() -> None:
    for name in ("bot-news", "mybot", "b"):
        assert allowed(f"User-agent: {name}\nDisallow: /\n", "/a"), name
    assert not allowed("User-agent: *bot\nDisallow: /\n", "/a", "other")
    for name in ("bot/1.0", "BOT", "bot (compatible)", "bot*", "bot, other"):
        assert not allowed(f"User-agent: {name}\nDisallow: /\n", "/a"), name


def test_digits_belong_to_a_name_only_where_the_token_has_them() -> None:
    body = "User-agent: AI2Bot\nDisallow: /\n"
    assert not allowed(body, "/a", "ai2bot")
    assert not allowed(body, "/a", "ai")  # the RFC's reading of the name
    both = "User-agent: ai3\nDisallow: /b\nUser-agent: ai2bot\nDisallow: /a\n"
    assert [allowed(both, path, "ai") for path in ("/a", "/b")] == [False, False]
    assert [allowed(both, path, "ai2bot") for path in ("/a", "/b")] == [False, True]


def test_the_first_token_that_is_named_is_obeyed() -> None:
    body = RobotsFile.parse("User-agent: *\nDisallow: /\nUser-agent: Googlebot\nDisallow: /g\n")
    followed = body.decide(["Applebot", "Googlebot"], "/g")
    assert (followed.allowed, followed.group, followed.agent, followed.line) == (
        False,
        "Googlebot",
        "Googlebot",
        4,
    )
    assert body.decide(["Applebot", "Googlebot"], "/a").allowed
    everyones = body.decide(["Applebot"], "/a")
    assert (everyones.allowed, everyones.group, everyones.agent) == (False, "*", None)
    assert body.decide(["Applebot"], "/a", everyone=False).allowed
    assert body.names("googleBOT")
    assert not body.names("Applebot")
    assert not body.names("*")
    assert (
        body.named(("Applebot", "Googlebot", "*"))
        == body.named(("Applebot", "Googlebot", "*"))
        == ("Googlebot",)
    )


@pytest.mark.parametrize(
    "field", ["Disallow ", "DISALLOW", "dissallow", "Disalow", "diasllow", "disallaw", "\tDisallow"]
)
def test_spellings_of_disallow(field: str) -> None:
    assert not allowed(f"User-agent: *\n{field}: /a\n", "/a")


def test_mistakes_are_read_as_fetching_less() -> None:
    assert not allowed("user-agent bot\ndisallow /\n", "/a")
    assert not allowed("User-agent: *\nDisallow: private/\n", "/private/x")
    assert not allowed("User-agent: *\nDisallow: /\nAllow: open\nallow /open\n", "/open")
    assert allowed("User-agent: *\ndisallow everything\n", "/everything")


def test_rules_outside_groups_count_for_nobody_and_are_reported() -> None:
    parsed = RobotsFile.parse("Disallow: /a\nUser-agent: x\nDisallow: /b\nthe end\n")
    assert parsed.decide("bot", "/a").allowed
    assert parsed.ignored == ((1, "Disallow: /a"), (4, "the end"))


@pytest.mark.parametrize(
    "mark", [b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\xef"], ids=["none", "whole", "two octets", "one octet"]
)
def test_byte_order_marks(mark: bytes) -> None:
    assert not allowed(mark + b"User-agent: *\nDisallow: /a\n", "/a")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16(encoding: str) -> None:
    body = "User-agent: *\nDisallow: /ä\n".encode(encoding)
    assert (
        not allowed(b"" + body, "/%C3%A4") or encoding != "utf-16"
    )  # without a mark only the ASCII part is read
    assert not allowed("User-agent: *\nDisallow: /a\n".encode(encoding), "/a")


def test_the_limit_cuts_at_a_line() -> None:
    head = b"User-agent: *\nDisallow: /first\n"
    tail = b"Disallow: /last\n"
    full = head + b"#" * (LIMIT - len(head) - len(tail) - 1) + b"\n" + tail
    assert len(full) == LIMIT
    assert not RobotsFile.parse(full).truncated
    assert not allowed(full, "/last")
    longer = RobotsFile.parse(full + b"Disallow: /over\n")
    assert longer.truncated
    assert not longer.decide("bot", "/last").allowed
    assert longer.decide("bot", "/over").allowed
    cut = RobotsFile.parse(head + b"Allow: /first/open", limit=len(head) + 10)
    assert not cut.decide("bot", "/first/open").allowed
    assert RobotsFile.parse(b"x" * (LIMIT + 1)).decide("bot", "/").allowed


def test_crawl_delay() -> None:
    parsed = RobotsFile.parse(
        "User-agent: a\nCrawl-delay: 5\nUser-agent: b\nDisallow: /x\nCrawl-delay: 7.5\n"
        "User-agent: *\nCrawl-delay: nan\nCrawl-delay: -1\nCrawl-delay: 1e999\nCrawl-delay: soon\n"
    )
    assert parsed.crawl_delay("a") == 7.5  # the longest; the line between the names does not end their run
    assert parsed.crawl_delay("b") == 7.5
    assert parsed.crawl_delay("c") is None
    assert not parsed.decide("a", "/x").allowed


def test_sitemaps_and_statements() -> None:
    parsed = RobotsFile.parse(
        "Content-Signal: ai-train=no\nUser-agent: bot\nSitemap: https://h.test/a.xml # one\nContent-Usage: /x train-ai=n\n"
        "Disallow:\nSITEMAP:https://h.test/a.xml\nSitemap: /b.xml\n"
    )
    assert parsed.sitemaps == ("https://h.test/a.xml", "/b.xml")
    assert [(each.field, each.value, each.line, each.group) for each in parsed.statements("bot")] == [
        ("content-signal", "ai-train=no", 1, "*"),
        ("content-usage", "/x train-ai=n", 4, "bot"),
    ]
    assert [each.line for each in parsed.statements("other")] == [1]


def test_many_names_of_many_rules_take_no_room() -> None:
    names = "".join(f"User-agent: x{number}\n" for number in range(15_000))
    body = names + "".join(f"Allow: /{number}\n" for number in range(17_000))
    tracemalloc.start()
    parsed = RobotsFile.parse(body)
    for number in range(100):
        assert parsed.decide(f"x{number}", "/16999").line == 32_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_hostile_patterns_take_no_time() -> None:
    stars = "User-agent: *\nDisallow: /" + "*a" * 200_000 + "$\n"
    nearly = (
        "User-agent: *\n"
        + f"Disallow: /*{'a' * 98}b\n" * 3
        + "".join(f"Disallow: /*{i:04}\n" for i in range(9000))
    )
    url = "https://h.test/" + "a" * 4000
    for body in (stars, nearly, "User-agent: *\n" + "Disallow: /**********************a\n" * 10_000):
        parsed = RobotsFile.parse(body)
        before = time.process_time()
        parsed.decide("bot", url)
        assert time.process_time() - before < 1.0
