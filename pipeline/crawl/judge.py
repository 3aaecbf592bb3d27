"""What an answer to a request for a page amounts to: a page to keep, links, a redirect, a failure, or a reason to come back.

Pure: no network, no clock, no state of hosts.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Literal

from pydantic import BaseModel

from pipeline.crawl import frontier
from pipeline.crawl.config import CrawlSettings
from pipeline.crawl.fetch import Answer
from pipeline.crawl.frontier import Item, item_key, make_item
from pipeline.crawl.hosts_state import OriginState
from pipeline.crawl.links import Page, read_page
from pipeline.crawl.policy import Policy, Reason
from pipeline.crawl.sitemaps import parse_sitemap
from pipeline.crawl.urls import Url, UrlError, parse_url

Outcome = Literal["fetched", "disallowed", "failed", "skipped", "retry"]

_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)
_HTML = ("text/html", "application/xhtml+xml", "")
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
_MOST_KEYS = 100_000
_TRANSIENT = (408, 425, 500, 502, 504, 520, 521, 522, 523, 524)


class Earlier(BaseModel, frozen=True, extra="forbid"):
    """What is known of a page from an earlier visit."""

    url: str
    date: str
    record: str
    digest: str
    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Fields that let the server answer 304."""
        known = (("If-None-Match", self.etag), ("If-Modified-Since", self.last_modified))
        return tuple((name, value) for name, value in known if value)


@dataclass
class Judgement:
    """What is to be done about an answer."""

    outcome: Outcome
    reason: str = ""
    detail: str = ""
    line: int | None = None
    is_host_error: bool = False
    """Whether the host is to be left alone for a while."""
    retry_after: float | None = None
    """Seconds that the server asked for."""
    keep: bool = False
    """Whether the answer goes into the archive."""
    unchanged: Earlier | None = None
    """The earlier visit, where the server says that nothing changed since (304)."""
    found: list[Item] = field(default_factory=list)
    canonical: str | None = None
    problems: list[str] = field(default_factory=list)


class Judge:
    """Judges the answers of one crawl."""

    def __init__(self, settings: CrawlSettings, policy: Policy) -> None:
        self._settings = settings
        self._policy = policy
        self._keys: dict[str, bytes] = {}
        """Keys of links seen lately: the pages of a site repeat each other's links."""

    def judge(self, item: Item, answer: Answer, origin: OriginState) -> Judgement:
        """What an answer amounts to.

        Args:
            item: what was asked for.
            answer: what came of it.
            origin: what the page's origin says about use.
        """
        status = answer.status
        if answer.error == "type":
            return Judgement("skipped", f"type:{answer.media_type[:60]}")
        if answer.error == "headers":
            return Judgement("failed", "headers", answer.detail)
        if answer.error is not None or status is None:
            word = answer.error or "empty"
            # An address that is refused, and bad certificates, do not mend themselves within a crawl.
            final = word in ("address", "tls", "protocol")
            return Judgement("failed" if final else "retry", word, answer.detail, is_host_error=not final)
        if status in _BUSY:
            return Judgement(
                "retry", f"status:{status}", is_host_error=True, retry_after=self._retry_after(answer)
            )
        if status in _TRANSIENT:
            return Judgement("retry", f"status:{status}", is_host_error=True)
        if status in _REDIRECTS:
            return self._redirect(item, answer)
        if status == 304 and item.earlier is not None:
            return Judgement(
                "fetched",
                "revisit:not-modified",
                keep=True,
                unchanged=Earlier.model_validate_json(item.earlier),
            )
        if not 200 <= status < 300:
            return self._error_page(answer, origin)
        return (
            self._sitemap(item, answer) if item.kind == frontier.SITEMAP else self._page(item, answer, origin)
        )

    def _retry_after(self, answer: Answer) -> float | None:
        """Seconds of Retry-After; a date is counted from the end of the answer."""
        wish = (answer.header("retry-after") or "").strip()
        if wish.isdigit() and len(wish) < 10:
            return float(wish)
        try:
            moment = parsedate_to_datetime(wish) if wish else None
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        if moment is None:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        return max(moment.timestamp() - answer.started - answer.seconds, 0.0)

    def _redirect(self, item: Item, answer: Answer) -> Judgement:
        location = answer.header("location")
        reason = f"redirect:{answer.status}"
        if not location:
            return Judgement("failed", f"{reason}:nowhere")
        try:
            target = parse_url(location, answer.request.url, max_length=self._settings.urls.max_length)
        except UrlError as refused:
            return Judgement("failed", f"{reason}:{refused.reason}", location[:200])
        if item.redirects >= self._settings.limits.max_redirects:
            return Judgement("failed", "redirect:many", target.text)
        found = make_item(
            target,
            self._settings.urls,
            kind=item.kind,
            depth=item.depth,
            redirects=item.redirects + 1,
            via=item.url,
        )
        if found.key == item.key:
            return Judgement("failed", "redirect:itself", target.text)
        return Judgement("skipped", reason, target.text, found=[found])

    def _error_page(self, answer: Answer, origin: OriginState) -> Judgement:
        keep = self._settings.limits.store_errors and not self._refusals(
            answer, origin, Page(answer.request.url)
        )
        return Judgement("failed", f"status:{answer.status}", keep=keep)

    def _refusals(self, answer: Answer, origin: OriginState, page: Page) -> list[Reason]:
        return self._policy.use(
            answer.request.url.text,
            robots=origin.verdict,
            headers=answer.headers,
            meta=page.metas,
            tdm=origin.tdm_rules,
            ai_txt=origin.ai_rules,
            media_type=answer.media_type or "text/html",
            now=answer.started,
        )

    def _page(self, item: Item, answer: Answer, origin: OriginState) -> Judgement:
        body = answer.decoded(self._settings.limits.max_bytes)
        if body is None:
            return Judgement("failed", "encoding", answer.header("content-encoding") or "")
        if body.raw is None:
            return Judgement("failed", "body:too-large", f"more than {body.length:,} bytes when decoded")
        page = Page(answer.request.url)
        if answer.media_type in _HTML:
            charset = _CHARSET.search(answer.header("content-type") or "")
            page = read_page(
                body.raw,
                answer.request.url,
                charset=charset[1] if charset else None,
                settings=self._settings.links,
            )
        refusals = self._refusals(answer, origin, page)
        made = Judgement("fetched", keep=True)
        if refusals:
            first = refusals[0]
            made = Judgement("disallowed", first.name, first.detail, first.line)
        made.canonical = page.canonical.text if page.canonical else None
        if page.truncated:
            made.problems.append("links:truncated")
        unfollowed = self._policy.follow(answer.headers, page.metas)
        if unfollowed is not None:
            made.problems.append(unfollowed.name)
        else:
            made.found = self._links(item, page)
        return made

    def _links(self, item: Item, page: Page) -> list[Item]:
        found: dict[bytes, Item] = {}
        for link in page.links:
            if self._policy.follow_link(link.rel) is None:
                key = self._key(link.url)
                if key not in found:
                    found[key] = Item(key, link.url.text, link.url.host, depth=item.depth + 1, via=item.url)
        found.pop(item.key, None)
        return list(found.values())

    def _key(self, url: Url) -> bytes:
        key = self._keys.get(url.text)
        if key is None:
            if len(self._keys) >= _MOST_KEYS:
                self._keys.clear()
            key = self._keys[url.text] = item_key(url, self._settings.urls)
        return key

    def _sitemap(self, item: Item, answer: Answer) -> Judgement:
        settings = self._settings.sitemap
        body = answer.decoded(settings.max_bytes)
        if body is None or body.raw is None:
            return Judgement("failed", "sitemap:encoding" if body is None else "sitemap:too-large")
        read = parse_sitemap(body.raw, answer.request.url, settings)
        if read.is_index and item.depth >= settings.max_depth:
            return Judgement("failed", "sitemap:depth")
        kind, depth = (frontier.SITEMAP, item.depth + 1) if read.is_index else (frontier.PAGE, 1)
        found = [
            make_item(entry.url, self._settings.urls, kind=kind, depth=depth, via=item.url)
            for entry in read.entries
        ]
        return Judgement("fetched", "sitemap", found=found, problems=read.problems)
