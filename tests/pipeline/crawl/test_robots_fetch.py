"""What each answer for /robots.txt means, and for how long."""

from __future__ import annotations

import hashlib

import pytest

from pipeline.crawl.robots_fetch import (
    RobotsAnswer,
    RobotsRequest,
    RobotsVerdict,
    advance,
    conditional_headers,
    first_request,
    is_current,
)
from pipeline.crawl.settings import RobotsFetchSettings

ORIGIN = "https://h.test"
DAY = 86_400.0
NOW = 1_000_000_000.0
RULES = b"User-agent: *\nDisallow: /private\n"


def verdict(answer: RobotsAnswer, now: float = NOW, **more: object) -> RobotsVerdict:
    got = advance(first_request(ORIGIN), answer, now=now, **more)  # type: ignore[arg-type]
    assert isinstance(got, RobotsVerdict)
    return got


def allows(got: RobotsVerdict, path: str = "/private/x") -> bool:
    return got.decide("bot", ORIGIN + path).allowed


def test_rules_are_read_kept_and_recorded() -> None:
    got = verdict(RobotsAnswer(status=200, body=RULES, headers={"ETag": '"1"', "Last-Modified": "yesterday"}))
    assert (got.kind, got.reason, got.status, got.url) == ("rules", "rules", 200, ORIGIN + "/robots.txt")
    assert got.sha256 == hashlib.sha256(RULES).hexdigest()
    assert (got.fetched_at, got.expires_at) == (NOW, NOW + DAY)
    assert not allows(got)
    assert allows(got, "/open")
    assert conditional_headers(got) == {"If-None-Match": '"1"', "If-Modified-Since": "yesterday"}
    assert RobotsVerdict.model_validate_json(got.model_dump_json()) == got
    assert [is_current(got, at) for at in (NOW - 1, NOW, NOW + DAY - 1, NOW + DAY)] == [
        False,
        True,
        True,
        False,
    ]
    assert not is_current(None, NOW)


@pytest.mark.parametrize("status", [400, 404, 410, 418, 451, 499])
def test_no_file_allows(status: int) -> None:
    got = verdict(RobotsAnswer(status=status, body=RULES))
    assert (got.kind, got.reason, got.body) == ("allow_all", f"status:{status}", b"")
    assert allows(got)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_file_forbids_unless_the_setting_says_as_the_rfc(status: int) -> None:
    got = verdict(RobotsAnswer(status=status))
    assert (got.kind, allows(got, "/")) == ("disallow_all", False)
    assert got.decide("bot", ORIGIN + "/").rule == f"status:{status}"
    assert got.decide("bot", ORIGIN + "/robots.txt").allowed
    assert allows(verdict(RobotsAnswer(status=status), settings=RobotsFetchSettings(refusing_statuses=())))


@pytest.mark.parametrize("status", [100, 304, 408, 425, 429, 500, 503, 599, 600])
def test_an_origin_that_cannot_answer_forbids_for_an_hour(status: int) -> None:
    got = verdict(RobotsAnswer(status=status, body=b"User-agent: *\nAllow: /\n"))
    assert (got.kind, got.reason) == ("disallow_all", f"unreachable:status {status}")
    assert got.expires_at == NOW + 3600
    assert got.unreachable_since == NOW


def test_no_answer_forbids() -> None:
    got = verdict(RobotsAnswer(error="dns"))
    assert (got.kind, got.reason, got.status) == ("disallow_all", "unreachable:dns", None)


@pytest.mark.parametrize(
    ("wish", "seconds"), [("7200", 7200), ("5", 3600), ("99999999", DAY), ("soon", 3600), ("-1", 3600)]
)
def test_retry_after_within_bounds(wish: str, seconds: float) -> None:
    got = verdict(RobotsAnswer(status=503, headers={"Retry-After": wish}))
    assert got.expires_at == NOW + seconds


def test_redirects_are_followed_five_times_to_any_host() -> None:
    step: RobotsRequest | RobotsVerdict = first_request(ORIGIN)
    targets = ["/r", "//other.test/robots.txt", "http://h.test/x", "y", "https://third.test:8443/robots.txt"]
    seen = []
    for target in targets:
        assert isinstance(step, RobotsRequest)
        step = advance(step, RobotsAnswer(status=302, headers={"location": target}), now=NOW)
        assert isinstance(step, RobotsRequest)
        seen.append(step.url)
    assert seen == [
        "https://h.test/r",
        "https://other.test/robots.txt",
        "http://h.test/x",
        "http://h.test/y",
        "https://third.test:8443/robots.txt",
    ]
    final = advance(step, RobotsAnswer(status=200, body=RULES), now=NOW)
    assert isinstance(final, RobotsVerdict)
    assert (final.origin, final.url) == (ORIGIN, seen[-1])  # the verdict is the first authority's
    one_more = advance(step, RobotsAnswer(status=301, headers={"Location": "/z"}), now=NOW)
    assert isinstance(one_more, RobotsVerdict)
    assert (one_more.kind, one_more.reason) == ("disallow_all", "redirects")
    lenient = RobotsFetchSettings(too_many_redirects="allow_all")
    as_rfc = advance(step, RobotsAnswer(status=301, headers={"Location": "/z"}), now=NOW, settings=lenient)
    assert isinstance(as_rfc, RobotsVerdict)
    assert as_rfc.kind == "allow_all"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Location": "ftp://h.test/robots.txt"},
        {"Location": "file:///etc/passwd"},
        {"Location": "http://"},
    ],
)
def test_redirects_that_lead_nowhere_forbid(headers: dict[str, str]) -> None:
    got = verdict(RobotsAnswer(status=301, headers=headers))
    assert got.kind == "disallow_all"
    assert got.reason.startswith("unreachable:redirect")


def test_a_page_of_html_has_no_rules_and_is_counted() -> None:
    got = verdict(RobotsAnswer(status=200, body=b"\n<!DOCTYPE html><html><body>Welcome</body></html>"))
    assert (got.kind, got.reason) == ("rules", "rules:html")
    assert allows(got)


def test_rules_count_whatever_their_type() -> None:
    body = b"<html>\nUser-agent: *\nDisallow: /private\n"
    assert not allows(verdict(RobotsAnswer(status=200, headers={"Content-Type": "text/html"}, body=body)))
    assert allows(verdict(RobotsAnswer(status=204)))


def test_a_file_too_long_is_told() -> None:
    got = verdict(RobotsAnswer(status=200, body=RULES + b"#" * 512_000))
    assert got.reason == "rules:truncated"
    assert not allows(got)


def test_not_modified_renews_the_rules() -> None:
    before = verdict(RobotsAnswer(status=200, body=RULES))
    got = verdict(RobotsAnswer(status=304), now=NOW + DAY, previous=before)
    assert (got.body, got.fetched_at, got.expires_at) == (RULES, NOW + DAY, NOW + 2 * DAY)


def silent_for(days: float, settings: RobotsFetchSettings, body: bytes | None = RULES) -> RobotsVerdict:
    """The verdict after so many days of 503, asked once a day."""
    got = verdict(RobotsAnswer(status=200, body=body)) if body is not None else None
    start = NOW + DAY
    for day in (*range(int(days)), days):
        got = verdict(RobotsAnswer(status=503), now=start + day * DAY, previous=got, settings=settings)
    assert got is not None
    return got


def test_thirty_days_of_silence() -> None:
    default = RobotsFetchSettings()
    assert silent_for(29.9, default).kind == "disallow_all"
    after = silent_for(30, default)
    assert (after.kind, after.reason) == ("rules", "silent:status 503")
    assert not allows(after)
    assert allows(after, "/open")
    assert silent_for(60, default).unreachable_since == after.unreachable_since
    assert silent_for(30, default, body=None).kind == "disallow_all"
    assert silent_for(30, RobotsFetchSettings(after_silence="allow"), body=None).kind == "allow_all"
    assert silent_for(30, RobotsFetchSettings(after_silence="disallow")).kind == "disallow_all"


def test_an_answer_ends_the_silence() -> None:
    silent = silent_for(20, RobotsFetchSettings())
    back = verdict(RobotsAnswer(status=404), now=NOW + 30 * DAY, previous=silent)
    assert (back.kind, back.unreachable_since) == ("allow_all", None)
    again = verdict(RobotsAnswer(status=500), now=NOW + 31 * DAY, previous=back)
    assert again.unreachable_since == NOW + 31 * DAY


def test_the_rfc_bounds_the_settings() -> None:
    for wrong in (
        {"cache_seconds": DAY + 1},
        {"max_redirects": 4},
        {"silence_seconds": DAY},
        {"limit": 1000},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RobotsFetchSettings(**wrong)  # type: ignore[arg-type]
