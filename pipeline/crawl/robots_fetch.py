"""What the answers to a request for /robots.txt mean (RFC 9309, 2.3 and 2.4), as a state machine without network or clock.

The crawler asks `first_request(origin)` what to fetch, does it, and hands the outcome to `advance`, which gives the next request (a
redirect) or the verdict. A verdict belongs to the origin first asked, whatever host answered, and is kept as JSON beside the
pages it decided about.

| outcome | verdict |
| --- | --- |
| 2xx | the rules of the body, whatever its type; a page of HTML has none |
| 3xx | followed, five times at most, also to other hosts |
| 401, 403 | nothing may be fetched (RFC: everything may; a setting) |
| 408, 425, 429, 5xx, no answer, an answer that makes no sense | nothing may be fetched, asked again soon |
| other 4xx | everything may be fetched |
| 304 | the earlier verdict, for another day |

After 30 days of silence the last rules that were read are obeyed again, where there are any (a setting).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.crawl.robots import LIMIT, Decision, RobotsFile
from pipeline.crawl.settings import RobotsFetchSettings
from pipeline.crawl.urls import UrlError, parse_url

_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_SECONDS = re.compile(r"[0-9]{1,9}")

Kind = Literal["rules", "allow_all", "disallow_all"]


class RobotsRequest(BaseModel, frozen=True, extra="forbid"):
    """What to fetch next for an origin."""

    origin: str
    """The authority that the verdict is for: scheme, host, and port unless it is the default."""
    url: str
    redirects: int = 0
    """Redirects followed so far."""


class RobotsAnswer(BaseModel, frozen=True, extra="forbid"):
    """The outcome of one request, redirects not followed.

    `body` holds what was read: at most `robots.LIMIT` octets, and one more where there were more.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    status: int | None = None
    """The HTTP status; None where there was no answer (name, connection, TLS, time-out, refused address)."""
    error: str | None = None
    """Why there was no answer."""
    headers: Mapping[str, str] = Field(default_factory=dict)
    body: bytes = b""


class RobotsVerdict(BaseModel, frozen=True, extra="forbid"):
    """What may be fetched from an origin, why, and until when that holds. Times are seconds since 1970, UTC."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    origin: str
    kind: Kind
    reason: str
    """`rules`, `rules:html`, `rules:truncated`, `status:404`, `unreachable:dns`, `redirects` ...: the ledger's word for it."""
    status: int | None
    url: str
    """Where the last answer came from."""
    fetched_at: float
    expires_at: float
    sha256: str | None = None
    """Of the body that the rules were read from."""
    body: bytes = b""
    """That body, to be parsed again; empty unless the kind is `rules`."""
    etag: str | None = None
    last_modified: str | None = None
    unreachable_since: float | None = None
    """When an origin that gives no answer first gave none."""
    last_rules: bytes | None = None
    """Of an unreachable origin: the rules read before, still to be obeyed one day."""

    @cached_property
    def robots(self) -> RobotsFile:
        """The rules as a file: those read, or the two lines that the verdict amounts to."""
        if self.kind == "rules":
            return RobotsFile.parse(self.body)
        return RobotsFile.parse(b"" if self.kind == "allow_all" else b"User-agent: *\nDisallow: /\n")

    def decide(self, tokens: str | list[str] | tuple[str, ...], url: str) -> Decision:
        """Decide about a URL of the origin; without rules the reason stands in for a line."""
        if self.kind == "rules":
            return self.robots.decide(tokens, url)
        decision = self.robots.decide(tokens, url)
        return decision if decision.line is None else Decision(False, self.reason, None, None, None)


def first_request(origin: str) -> RobotsRequest:
    """The request that an origin's verdict begins with. `origin` is as `Url.origin` gives it."""
    return RobotsRequest(origin=origin, url=origin + "/robots.txt")


def is_current(verdict: RobotsVerdict | None, now: float) -> bool:
    """Whether a verdict still holds; else robots.txt is asked for again before anything else."""
    return verdict is not None and verdict.fetched_at <= now < verdict.expires_at


def conditional_headers(verdict: RobotsVerdict | None) -> dict[str, str]:
    """Headers that let a server answer 304 where its file is still the one the verdict was read from."""
    if verdict is None or verdict.kind != "rules":
        return {}
    known = {"If-None-Match": verdict.etag, "If-Modified-Since": verdict.last_modified}
    return {name: value for name, value in known.items() if value}


def advance(
    request: RobotsRequest,
    answer: RobotsAnswer,
    *,
    now: float,
    previous: RobotsVerdict | None = None,
    settings: RobotsFetchSettings | None = None,
) -> RobotsRequest | RobotsVerdict:
    """The next request, or the verdict.

    Args:
        request: what was fetched.
        answer: what came of it.
        now: seconds since 1970, UTC.
        previous: the origin's verdict before this one, which an unreachable origin and a 304 go back to.
        settings: limits and choices; the defaults where not given.
    """
    step = _Step(
        request,
        answer,
        {k.lower(): v for k, v in answer.headers.items()},
        now,
        settings or RobotsFetchSettings(),
    )
    status = answer.status
    if status is None:
        return step.unreachable(answer.error or "no answer", previous)
    if status == 304 and previous is not None and previous.kind == "rules":
        return step.unchanged(previous)
    if 200 <= status < 300:
        return step.rules()
    if status in (301, 302, 303, 307, 308):
        return step.redirected(previous)
    if status in step.settings.refusing_statuses:
        return step.verdict("disallow_all", f"status:{status}")
    if 400 <= status < 500 and status not in step.settings.busy_statuses:
        return step.verdict("allow_all", f"status:{status}")
    return step.unreachable(f"status {status}", previous)


class _Step:
    """One answer and what is needed to judge it."""

    def __init__(
        self,
        request: RobotsRequest,
        answer: RobotsAnswer,
        headers: dict[str, str],
        now: float,
        settings: RobotsFetchSettings,
    ) -> None:
        self.request = request
        self.answer = answer
        self.headers = headers
        self.now = now
        self.settings = settings

    def verdict(self, kind: Kind, reason: str, **more: object) -> RobotsVerdict:
        return RobotsVerdict.model_validate(
            {
                "origin": self.request.origin,
                "kind": kind,
                "reason": reason,
                "status": self.answer.status,
                "url": self.request.url,
                "fetched_at": self.now,
                "expires_at": self.now + self.settings.cache_seconds,
                **more,
            }
        )

    def rules(self) -> RobotsVerdict:
        """2.3.1.1: what was read is obeyed, whatever the server calls it."""
        body = self.answer.body
        reason = "rules"
        if _HTML.match(body[:4096]):
            reason = "rules:html"
        elif len(body) > LIMIT:
            reason = "rules:truncated"
        return self.verdict(
            "rules",
            reason,
            sha256=hashlib.sha256(body).hexdigest(),
            body=body,
            etag=self.headers.get("etag"),
            last_modified=self.headers.get("last-modified"),
        )

    def redirected(self, previous: RobotsVerdict | None) -> RobotsRequest | RobotsVerdict:
        """2.3.1.2: at least five are followed; where one leads nowhere, no rules were found."""
        location = self.headers.get("location")
        if location is None:
            return self.unreachable("redirect without location", previous)
        if self.request.redirects >= self.settings.max_redirects:
            return self.verdict(self.settings.too_many_redirects, "redirects")
        try:
            target = parse_url(location, base=self.request.url)
        except UrlError as refused:
            return self.unreachable(f"redirect to a refused address: {refused.reason}", previous)
        return RobotsRequest(
            origin=self.request.origin, url=target.text, redirects=self.request.redirects + 1
        )

    def unchanged(self, previous: RobotsVerdict) -> RobotsVerdict:
        """304: the file is the one that was read."""
        return previous.model_copy(
            update={"fetched_at": self.now, "expires_at": self.now + self.settings.cache_seconds}
        )

    def unreachable(self, why: str, previous: RobotsVerdict | None) -> RobotsVerdict:
        """2.3.1.4: complete disallow, until the origin has been silent for a reasonably long time."""
        since, last_rules = self.now, None
        if previous is not None:
            last_rules = previous.body if previous.kind == "rules" else previous.last_rules
            since = previous.unreachable_since if previous.unreachable_since is not None else self.now
        asked_again = {"expires_at": self.now + self._retry_seconds(), "unreachable_since": since}
        silent = self.now - since >= self.settings.silence_seconds
        if silent and self.settings.after_silence == "allow":
            return self.verdict("allow_all", f"silent:{why}", last_rules=last_rules, **asked_again)
        if silent and self.settings.after_silence == "last_rules" and last_rules is not None:
            return self.verdict(
                "rules",
                f"silent:{why}",
                body=last_rules,
                sha256=hashlib.sha256(last_rules).hexdigest(),
                **asked_again,
            )
        return self.verdict("disallow_all", f"unreachable:{why}", last_rules=last_rules, **asked_again)

    def _retry_seconds(self) -> float:
        """Retry-After, in seconds, up to the age of a cached file; else the setting. A date is left to the setting."""
        wish = self.headers.get("retry-after", "").strip()
        if _SECONDS.fullmatch(wish):
            return min(max(float(wish), self.settings.retry_seconds), self.settings.cache_seconds)
        return self.settings.retry_seconds
