"""What a round of a shard writes: for each thing that happens its capture, if it has one, and then its line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.crawl import warc
from pipeline.crawl.cdx import cdx_line
from pipeline.crawl.config import CrawlSettings
from pipeline.crawl.fetch import Answer, Fetcher
from pipeline.crawl.frontier import PAGE, Item
from pipeline.crawl.hosts_state import HostState
from pipeline.crawl.journal import Archive, Journal
from pipeline.crawl.judge import Earlier, Judgement
from pipeline.crawl.robots_fetch import RobotsRequest
from pipeline.crawl.urls import Url, parse_url


@dataclass(frozen=True)
class Job:
    """A request to be made, or under way."""

    kind: Literal["page", "robots", "tdm", "ai"]
    host: str
    """Whose pace it follows."""
    url: Url
    origin: str
    item: Item | None = None
    robots: RobotsRequest | None = None
    why: tuple[str | None, int | None] = (None, None)
    """The line of robots.txt that allowed it, and its number."""


class Ledger:
    """Writes the journal and the archive of a round.

    Args:
        settings: of the crawl.
        journal: for the lines.
        archive: for the captures.
        fetcher: knows how requests were sent.
        number: of the round.
    """

    def __init__(
        self, settings: CrawlSettings, journal: Journal, archive: Archive, fetcher: Fetcher, number: int
    ) -> None:
        self._settings, self._journal, self._archive, self._fetcher = settings, journal, archive, fetcher
        self._number = number
        self._told: dict[bytes, tuple[int, int]] = {}
        self._unsynced = 0

    def append(self, event: dict[str, Any]) -> None:
        """Add a line."""
        self._journal.append(event)

    def resume(self, event: dict[str, Any]) -> None:
        """Take up what a line of a killed process told."""
        for item in map(told_item, event.get("found", ())):
            self._told[item.key] = (item.redirects, item.depth)

    def finish(
        self,
        item: Item,
        at: float,
        judged: Judgement,
        job: Job | None = None,
        answer: Answer | None = None,
        state: HostState | None = None,
    ) -> None:
        """Write what became of an item: its capture, then its line, with its host's state where it was asked."""
        row = self.row(item.kind, parse_url(item.url), answer, outcome=judged.outcome, at=at)
        row.update(
            key=item.key.hex(),
            reason=judged.reason,
            detail=judged.detail[:500],
            line=judged.line,
            depth=item.depth,
            attempts=item.attempts,
            via=item.via,
            canonical=judged.canonical,
            problems=",".join(judged.problems) or None,
        )
        event: dict[str, Any] = {"row": row}
        if job is not None and job.why[0] is not None:
            row.update(detail=judged.detail[:500] or job.why[0], line=judged.line or job.why[1])
        if judged.keep and job is not None and answer is not None and item.kind == PAGE:
            event["cdx"] = self._keep(item, judged, job, answer, row)
            event["archive"] = [self._archive.part, self._archive.size]
        if judged.found:
            event["found"] = self.tell(judged.found)
        if state is not None:
            event["state"] = self.state_of(state)
        self._journal.append(event)
        self._archive.roll()
        self._unsynced += 1
        if self._unsynced >= self._settings.sync_pages:
            self._unsynced = 0
            self._archive.sync()
            self._journal.sync()

    def _keep(self, item: Item, judged: Judgement, job: Job, answer: Answer, row: dict[str, Any]) -> str:
        """Write a capture; its CDXJ line. The row is told where it lies."""
        earlier = Earlier.model_validate_json(item.earlier) if item.earlier else None
        digest, profile = warc.payload_digest(answer.body), None
        if judged.unchanged is not None:
            digest, profile = judged.unchanged.digest, warc.NOT_MODIFIED
        elif earlier is not None and earlier.digest == digest:
            profile = warc.IDENTICAL
            row["reason"] = "revisit:identical"
        about = {
            "via": item.via or "",
            "hopsFromSeed": str(item.depth),
            "fetchTimeMs": f"{answer.seconds * 1000:.0f}",
            "robots": f"{job.why[0]}, line {job.why[1]}" if job.why[0] else "no rule forbids it",
            "canonical": judged.canonical or "",
        }
        found = warc.Capture(
            url=item.url,
            date=warc.warc_date(answer.started),
            ip=answer.ip,
            request=self._fetcher.request_head(answer.request),
            head=answer.head,
            body=b"" if profile else answer.body,
            truncated=answer.truncated,
            metadata={name: value for name, value in about.items() if value},
            profile=profile,
            refers_to=(earlier.record, earlier.url, earlier.date) if earlier and profile else None,
        )
        written, name, offset = self._archive.write(found, digest)
        row.update(
            digest=digest,
            warc=name,
            offset=offset,
            length=written.length,
            record=written.record_id,
            etag=answer.header("etag"),
            last_modified=answer.header("last-modified"),
        )
        return cdx_line(
            item.url,
            found.date,
            status=answer.status or 0,
            mime="warc/revisit" if profile else answer.media_type,
            digest=digest,
            filename=name,
            offset=offset,
            length=written.length,
        )

    def row(
        self, kind: str, url: Url, answer: Answer | None, *, outcome: str, at: float | None = None
    ) -> dict[str, Any]:
        """A row of the log, as far as an answer tells."""
        row: dict[str, Any] = {
            "url": url.text,
            "key": None,
            "host": url.host,
            "kind": kind,
            "round": self._number,
            "outcome": outcome,
            "reason": "",
            "at": at if answer is None else answer.started,
        }
        if answer is not None:
            row.update(
                reason=answer.error or "",
                detail=answer.detail[:500],
                status=answer.status,
                seconds=round(answer.seconds, 4),
                bytes=len(answer.body),
                mime=answer.media_type[:100] or None,
                truncated=answer.truncated,
                ip=answer.ip,
            )
        return row

    @staticmethod
    def state_of(state: HostState) -> dict[str, Any]:
        """What the journal keeps of a host after each of its requests."""
        return {
            "host": state.host,
            "next_at": state.next_at,
            "last_end": state.last_end,
            "last_seconds": state.last_seconds,
            "errors": state.errors,
            "pages": state.pages,
            "ip": state.ip,
        }

    def tell(self, found: Iterable[Item]) -> list[list[Any]]:
        """Items that this round has not told of yet, or not as near to a seed, as the journal keeps them."""
        told = []
        for item in found:
            distance = (item.redirects, item.depth)
            if item.key not in self._told or distance < self._told[item.key]:
                self._told[item.key] = distance
                told.append([item.key.hex(), *item[1:6], item.via])
        return told


def told_item(told: list[Any]) -> Item:
    """The item of a journal's `found`."""
    key, url, host, kind, depth, redirects, via = told
    return Item(bytes.fromhex(key), url, host, kind, depth, redirects, 0, via)
