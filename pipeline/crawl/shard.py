"""A round of one shard: many hosts, one event loop, each host asked by one connection at its own pace.

Per host, in this order: robots.txt of the origin where its verdict has expired, tdmrep.json and ai.txt beside it, then its URLs,
each after asking the policy. A host is in one of three places: in the heap until it may be asked again, under way with one
request, or done for this round. Everything that happens is a line of the journal before the next thing happens.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.crawl import robots_fetch
from pipeline.crawl.config import CrawlSettings
from pipeline.crawl.fetch import Answer, Fetcher, Request
from pipeline.crawl.frontier import SITEMAP, Item, make_item
from pipeline.crawl.hosts_state import HostState, OriginState
from pipeline.crawl.journal import Archive, Journal
from pipeline.crawl.judge import Earlier, Judge, Judgement
from pipeline.crawl.ledger import Job, Ledger
from pipeline.crawl.policy import Policy, Reason
from pipeline.crawl.robots import LIMIT
from pipeline.crawl.robots_fetch import RobotsAnswer, RobotsRequest, RobotsVerdict
from pipeline.crawl.urls import Url, UrlError, parse_url

CONCURRENCY = 2_000
"""Requests under way at once, of one shard."""

_BESIDE = {"tdm": "/.well-known/tdmrep.json", "ai": "/ai.txt"}
_MOST_BESIDE = 512 << 10
_MOST_ROBOTS_DECODED = 8 << 20


@dataclass
class _Host:
    """A host in this round."""

    state: HostState
    items: deque[Item] = field(default_factory=deque)
    jobs: deque[Job] = field(default_factory=deque)
    """What comes before the items."""
    left: list[Item] = field(default_factory=list)
    """Items that wait for a later round."""
    is_busy: bool = False
    """Whether a request is under way."""
    is_queued: bool = False
    """Whether it is in the heap."""
    is_waiting: bool = False
    """Whether it waits for another host, where its robots.txt is redirected to."""

    def park(self) -> None:
        """Leave all items for a later round."""
        self.left += self.items
        self.items.clear()


class ShardRound:
    """Drives the hosts of a shard until nothing is left to do, or the time is up.

    Args:
        settings: of the crawl.
        fetcher: makes the requests.
        journal: where everything is written.
        archive: where pages are written.
        items: the shard's part of the frontier.
        hosts: states of its hosts.
        number: of the round, for the log.
    """

    def __init__(
        self,
        settings: CrawlSettings,
        fetcher: Fetcher,
        journal: Journal,
        archive: Archive,
        items: Iterable[Item],
        hosts: dict[str, HostState],
        number: int = 0,
    ) -> None:
        self._settings, self._fetcher, self._archive = settings, fetcher, archive
        self._policy = Policy(settings.policy)
        self._judge = Judge(settings, self._policy)
        self._ledger = Ledger(settings, journal, archive, fetcher, number)
        self._types = frozenset(settings.limits.media_types)
        self._heap: list[tuple[float, int, str]] = []
        self._turns = itertools.count()
        self._ip_next: dict[str, float] = {}
        self._ip_pages: dict[str, int] = defaultdict(int)
        self.requests = 0
        self.hosts = {name: _Host(state) for name, state in hosts.items()}
        self._items = list(items)

    def resume(self, events: Iterable[dict[str, Any]]) -> None:
        """Take up what the journal of a killed process tells."""
        done: set[bytes] = set()
        attempts: dict[bytes, int] = {}
        begun: dict[str, float] = {}
        for event in events:
            if "start" in event:
                begun[event["start"]] = event["at"]
                continue
            if "state" in event:
                state = HostState.model_validate(event["state"])
                origins = self._host(state.host).state.origins
                self._host(state.host).state = state.model_copy(update={"origins": origins})
                begun.pop(state.host, None)
            if "origin" in event:
                host = self._host(parse_url(event["origin"]).host)
                host.state.origins[event["origin"]] = OriginState.model_validate(event["says"])
            if "row" in event:
                self._note(event["row"], event["row"]["key"], done, attempts)
            self._ledger.resume(event)
        now = self._fetcher.now()
        for name in begun:  # a request was under way when the process died
            self._host(name).state.last_end = now
        self._items = [
            item._replace(attempts=attempts.get(item.key, item.attempts))
            for item in self._items
            if item.key not in done
        ]

    @staticmethod
    def _note(row: dict[str, Any], key: str | None, done: set[bytes], attempts: dict[bytes, int]) -> None:
        if key is None:
            return
        if row["outcome"] == "retry":
            attempts[bytes.fromhex(key)] = row["attempts"]
        else:
            done.add(bytes.fromhex(key))

    def run(self) -> None:
        """Do the round."""
        self._queue()
        deadline = self._fetcher.now() + self._settings.budget.round_seconds
        while True:
            now = self._fetcher.now()
            while self._heap and self._heap[0][0] <= now <= deadline and self._fetcher.active < CONCURRENCY:
                host = self.hosts[heapq.heappop(self._heap)[2]]
                host.is_queued = False
                self._turn(host, now)
            next_at = self._heap[0][0] if self._heap else deadline
            if not self._fetcher.active and (not self._heap or next_at > deadline or now > deadline):
                break
            wait = 1.0 if now > deadline else min(max(next_at - now, 0.0), 1.0)
            if self._fetcher.active >= CONCURRENCY:
                wait = 1.0
            for answer in self._fetcher.wait(wait):
                self._take(answer)
        self._archive.close()

    def left(self) -> list[Item]:
        """What waits for a later round, in order."""
        items = [item for host in self.hosts.values() for item in (*host.left, *host.items)]
        return sorted(items, key=lambda item: (item.host, item.order))

    def wake(self) -> float | None:
        """When the first of what is left can be done; None where nothing is."""
        times = []
        for host in self.hosts.values():
            if host.left or host.items:
                silent = [
                    origin.verdict.expires_at
                    for origin in host.state.origins.values()
                    if origin.verdict.reason.startswith("unreachable")
                ]
                times.append(max(host.state.next_at, min(silent, default=0.0)))
        return min(times, default=None)

    # --- scheduling ---------------------------------------------------------------------------------------------------

    def _host(self, name: str) -> _Host:
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = _Host(HostState(host=name))
        return host

    def _queue(self) -> None:
        for item in sorted(self._items, key=lambda item: item.order):
            self._host(item.host).items.append(item)
        most = self._settings.budget.pages_per_host_round
        for host in list(self.hosts.values()):
            while len(host.items) > most:
                host.left.append(host.items.pop())
            if host.items:
                self._wait(host)

    def _wait(self, host: _Host) -> None:
        """Put a host into the heap for the time when it may be asked again."""
        if (host.jobs or (host.items and not host.is_waiting)) and not host.is_queued and not host.is_busy:
            host.is_queued = True
            heapq.heappush(self._heap, (self._ready_at(host), next(self._turns), host.state.host))

    def _ready_at(self, host: _Host) -> float:
        state, polite = host.state, self._settings.politeness
        delay = max(polite.delay, min(polite.delay_factor * state.last_seconds, polite.max_delay))
        for origin in state.origins.values():
            asked = self._policy.crawl_delay(origin.verdict.robots)
            if asked is not None and asked <= polite.max_crawl_delay:
                delay = max(delay, asked)
        ready = max(state.next_at, state.last_end + delay if state.last_end else 0.0)
        return max(ready, self._ip_next.get(state.ip, 0.0)) if state.ip else ready

    def _turn(self, host: _Host, now: float) -> None:
        """Begin the next request of a host, unless it has to wait after all."""
        ready = self._ready_at(host)
        if (
            ready > now
        ):  # its address was asked for another host meanwhile, or robots.txt asks for more patience
            self._wait(host)
            return
        if host.state.ip and self._ip_pages[host.state.ip] >= self._settings.politeness.max_pages_per_ip:
            host.park()
        job = host.jobs.popleft() if host.jobs else self._next(host, now)
        if job is not None:
            host.is_busy = True
            self._start(job, now)

    def _start(self, job: Job, now: float) -> None:
        state = self.hosts[job.host].state
        if state.ip:
            self._ip_next[state.ip] = now + self._settings.politeness.ip_delay
            self._ip_pages[state.ip] += 1
        self._ledger.append({"start": job.host, "at": now})
        self.requests += 1
        self._fetcher.start(self._request(job))

    def _request(self, job: Job) -> Request:
        if job.kind == "robots":
            verdict = self._verdict_of(job)
            asked = robots_fetch.conditional_headers(verdict) if verdict is not None else {}
            return Request(job.url, tuple(asked.items()), max_bytes=LIMIT + 1, tag=job)
        if job.item is None:
            return Request(job.url, max_bytes=_MOST_BESIDE, tag=job)
        if job.item.kind == SITEMAP:
            return Request(job.url, max_bytes=self._settings.sitemap.max_bytes, tag=job)
        known = Earlier.model_validate_json(job.item.earlier).headers() if job.item.earlier else ()
        return Request(job.url, known, media_types=self._types, tag=job)

    def _verdict_of(self, job: Job) -> RobotsVerdict | None:
        says = self._host(parse_url(job.origin).host).state.origins.get(job.origin)
        return says.verdict if says is not None else None

    def _next(self, host: _Host, now: float) -> Job | None:
        """The next request of a host that may be made; refusals on the way go to the log."""
        while host.items:
            item = host.items[0]
            url = parse_url(item.url)
            says = host.state.origins.get(url.origin)
            if says is None or not robots_fetch.is_current(says.verdict, now):
                asked = robots_fetch.first_request(url.origin)
                return Job("robots", url.host, parse_url(asked.url), url.origin, robots=asked)
            beside = self._beside(url, says)
            if beside is not None:
                return beside
            host.items.popleft()
            if says.verdict.reason == "unreachable:address":
                self._ledger.finish(
                    item, now, Judgement("failed", "address", "it leads to no public address")
                )
                continue
            is_silent = says.verdict.reason.startswith("unreachable")
            if is_silent and says.silent < self._settings.politeness.max_attempts:
                host.left.append(item)
                continue
            reason, rule, line = self._allowed(says.verdict, url)
            if reason is None:
                return Job("page", host.state.host, url, url.origin, item, why=(rule, line))
            outcome = "skipped" if reason.name.startswith("crawl-delay") else "disallowed"
            self._ledger.finish(item, now, Judgement(outcome, reason.name, reason.detail, reason.line))  # type: ignore[arg-type]
        return None

    def _allowed(self, verdict: RobotsVerdict, url: Url) -> tuple[Reason | None, str | None, int | None]:
        decision = self._policy.fetch(verdict, url.text)
        if decision.reason is not None:
            return decision.reason, None, None
        delay = self._policy.crawl_delay(verdict.robots)
        if delay is not None and delay > self._settings.politeness.max_crawl_delay:
            return Reason(f"crawl-delay:{delay:g}", "longer than politeness.max_crawl_delay"), None, None
        return None, decision.decision.rule, decision.decision.line

    def _beside(self, url: Url, says: OriginState) -> Job | None:
        """The request for what stands beside robots.txt, where it has not been read since robots.txt was."""
        if says.beside_at is not None or says.verdict.kind == "disallow_all":
            return None
        wanted: list[Literal["tdm", "ai"]] = []
        if self._settings.policy.tdm_reservation and says.tdm is None:
            wanted.append("tdm")
        if self._settings.policy.ai_txt and says.ai is None:
            wanted.append("ai")
        for kind in wanted:
            target = parse_url(url.origin + _BESIDE[kind])
            if self._policy.fetch(says.verdict, target.text).allowed:
                return Job(kind, url.host, target, url.origin)
        return None

    # --- answers ------------------------------------------------------------------------------------------------------

    def _take(self, answer: Answer) -> None:
        job: Job = answer.request.tag
        host = self.hosts[job.host]
        host.is_busy = False
        end = answer.started + answer.seconds
        host.state.last_end = max(end, self._fetcher.now())
        host.state.last_seconds = answer.seconds
        host.state.ip = answer.ip or host.state.ip
        if host.state.ip and answer.ip:
            known = self._ip_next.get(answer.ip, 0.0)
            self._ip_next[answer.ip] = max(known, answer.started + self._settings.politeness.ip_delay)
        if job.kind == "robots":
            self._take_robots(job, host, answer)
        elif job.item is None:
            self._take_beside(job, host, answer)
        else:
            self._take_page(job, job.item, host, answer)
        self._wait(host)

    def _take_robots(self, job: Job, host: _Host, answer: Answer) -> None:
        assert job.robots is not None  # noqa: S101 - jobs of this kind carry one
        owner = self._host(parse_url(job.origin).host)
        before = owner.state.origins.get(job.origin)
        step = robots_fetch.advance(
            job.robots,
            robots_answer(answer),
            now=self._fetcher.now(),
            previous=before.verdict if before else None,
            settings=self._settings.robots,
        )
        event = {
            "row": self._ledger.row("robots", job.url, answer, outcome="fetched"),
            "state": self._ledger.state_of(host.state),
        }
        if isinstance(step, RobotsRequest):
            target = parse_url(step.url)
            event["row"].update(outcome="skipped", reason="redirect", detail=step.url)
            self._ledger.append(event)
            onward = Job("robots", target.host, target, job.origin, robots=step)
            asked = self._host(target.host)
            asked.jobs.append(onward)
            owner.is_waiting = asked is not owner
            self._wait(asked)
            return
        owner.is_waiting = False
        silent = (before.silent if before else 0) + 1 if step.reason.startswith("unreachable") else 0
        says = OriginState(verdict=step, silent=silent)
        owner.state.origins[job.origin] = says
        event["row"].update(reason=step.reason)
        self._ledger.append(
            {
                **event,
                "origin": job.origin,
                "says": says.model_dump(mode="json"),
                "found": self._ledger.tell(self._sitemaps(job.origin, step)),
            }
        )
        self._wait(owner)

    def _sitemaps(self, origin: str, verdict: RobotsVerdict) -> list[Item]:
        found = []
        for address in verdict.robots.sitemaps if self._settings.sitemaps else ():
            try:
                url = parse_url(address, origin + "/robots.txt")
            except UrlError:
                continue
            found.append(make_item(url, self._settings.urls, kind=SITEMAP, via=origin + "/robots.txt"))
        return found[: self._settings.sitemap.max_sitemaps]

    def _take_beside(self, job: Job, host: _Host, answer: Answer) -> None:
        says = host.state.origins[job.origin]
        text = ""
        if answer.status is not None and 200 <= answer.status < 300 and answer.error is None:
            body = answer.decoded(_MOST_BESIDE)
            text = (body.raw or b"").decode("utf-8", "replace") if body is not None else ""
        says = OriginState.model_validate({**dict(says), job.kind: text})
        if self._beside(job.url, says) is None:
            says = says.model_copy(update={"beside_at": self._fetcher.now()})
        host.state.origins[job.origin] = says
        row = self._ledger.row(job.kind, job.url, answer, outcome="fetched" if text else "failed")
        self._ledger.append(
            {
                "row": row,
                "state": self._ledger.state_of(host.state),
                "origin": job.origin,
                "says": says.model_dump(mode="json"),
            }
        )

    def _take_page(self, job: Job, item: Item, host: _Host, answer: Answer) -> None:
        judged = self._judge.judge(item, answer, host.state.origins[job.origin])
        polite = self._settings.politeness
        state = host.state
        if judged.is_host_error:
            state.errors += 1
            pause = min(polite.backoff * 2 ** (state.errors - 1), polite.max_backoff)
            if judged.retry_after is not None and judged.retry_after > polite.max_backoff:
                judged.outcome, judged.reason = "failed", f"retry-after:{judged.retry_after:.0f}"
                state.errors = max(state.errors, polite.max_host_errors)
            state.next_at = state.last_end + max(pause, judged.retry_after or 0.0)
        elif answer.status is not None:
            state.errors = 0
            state.pages += 1
        attempts = item.attempts + 1
        if judged.outcome == "retry" and attempts >= polite.max_attempts:
            judged.outcome = "failed"
        self._ledger.finish(item._replace(attempts=attempts), answer.started, judged, job, answer, state)
        if judged.outcome == "retry":
            host.items.append(item._replace(attempts=attempts))
        if state.errors >= 2 * polite.max_host_errors:
            for each in (*host.items, *host.left):
                self._ledger.finish(each, answer.started, Judgement("failed", "host:errors", judged.reason))
            host.items.clear()
            host.left.clear()
        elif state.errors >= polite.max_host_errors:
            host.park()


def robots_answer(answer: Answer) -> RobotsAnswer:
    """An answer as the rules about robots.txt take it; one that broke off is none."""
    if answer.error is not None or answer.status is None:
        return RobotsAnswer(error=answer.error or "empty")
    body = answer.decoded(_MOST_ROBOTS_DECODED)
    if body is None or body.raw is None:
        return RobotsAnswer(error="encoding")
    return RobotsAnswer(
        status=answer.status, headers=dict(reversed(answer.headers)), body=body.raw[: LIMIT + 1]
    )
