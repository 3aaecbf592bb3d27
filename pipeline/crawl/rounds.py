"""The two tasks of a round, and the files between them.

    OUT/work/round-00003/frontier-0002.parquet    what shard 2 has to do in round 3
    OUT/work/round-00003/hosts-0002.parquet       what is known of its hosts
    OUT/work/round-00003/journal-0002.jsonl       what happens while it is done
    OUT/work/round-00003/left-0002.parquet        what it left undone
    OUT/work/round-00003/found-0002.blocks        what it found, by the shard that it belongs to
    OUT/work/seen/00003-0002.parquet              keys that shard 2 got to know of when round 3 was prepared
    OUT/log/00003-0002.parquet                    what became of URLs
    OUT/warc/00003-0002-00000.warc.gz             pages

`fetch_shard` does a shard's part of a round; `prepare_shard` makes the next round's part from what all shards found. Each file is
written whole or not at all but the journal and the WARC file that is open (`journal`), so a task that dies is simply done again.
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import storage
from pipeline.blocks import Block, Partition
from pipeline.crawl import frontier, hosts_state, log
from pipeline.crawl.config import CrawlSettings
from pipeline.crawl.fetch import Fetcher
from pipeline.crawl.frontier import Item, shard_of
from pipeline.crawl.hosts import registered_domain
from pipeline.crawl.journal import Archive, Journal
from pipeline.crawl.ledger import told_item
from pipeline.crawl.policy import Reason
from pipeline.crawl.scope import Scope
from pipeline.crawl.shard import ShardRound
from pipeline.crawl.traps import Traps
from pipeline.crawl.urls import parse_url


class CrawlPlan(BaseModel, frozen=True):
    """What all tasks of a round share."""

    output: str
    settings: CrawlSettings
    seeds: tuple[str, ...]
    round: int
    """The round that is done; the one before the first, -1, only finds the seeds."""
    year: int
    """Of the crawl's beginning, for calendars."""

    def path(self, name: str, shard: int, number: int | None = None) -> str:
        """A file of a shard and round."""
        number = self.round if number is None else number
        stem, _, ending = name.partition(".")
        return storage.join(
            self.output,
            "work",
            f"round-{number:05d}" if number >= 0 else "seeds",
            f"{stem}-{shard:04d}.{ending}",
        )

    def seen(self, shard: int, number: int) -> str:
        """The keys that a shard got to know of when a round was prepared."""
        return storage.join(self.output, "work", "seen", f"{number:05d}-{shard:04d}.parquet")

    def log(self, shard: int, number: int, kind: str = "") -> str:
        """A log file."""
        return storage.join(self.output, "log", f"{number:05d}-{shard:04d}{kind}.parquet")


class ShardItem(BaseModel, frozen=True):
    """A shard's part of a round."""

    key: str
    shard: int
    weight: int = 0


class ShardDone(BaseModel, frozen=True):
    """What a shard did."""

    key: str
    blocks: tuple[Block, ...]
    requests: int
    outcomes: dict[str, int]
    reasons: dict[str, int]
    left: int
    wake: float | None = None
    """When the first of what it left can be done."""
    warcs: int = 0


class Prepared(BaseModel, frozen=True):
    """A shard's part of the next round."""

    key: str
    shard: int
    frontier: int
    """URLs in it."""
    discovered: int
    """URLs that were new."""
    skipped: int
    """Those of them that are not taken."""
    reasons: dict[str, int]


def version() -> str:
    """The version of this package."""
    return importlib.metadata.version("corpusmill")


def plant_seeds(item: ShardItem, plan: CrawlPlan) -> ShardDone:
    """The seeds as if a round had found them. `item` is the only one."""
    items = [frontier.make_item(parse_url(seed), plan.settings.urls) for seed in plan.seeds]
    blocks = _write_found(plan, item.shard, items)
    return ShardDone(key=item.key, blocks=blocks, requests=0, outcomes={}, reasons={}, left=0)


def fetch_shard(item: ShardItem, plan: CrawlPlan) -> ShardDone:
    """Do a shard's part of a round, or the rest of it where a process was killed at it."""
    settings, shard = plan.settings, item.shard
    prefix = f"{plan.round:05d}-{shard:04d}"
    journal = Journal(plan.path("journal.jsonl", shard))
    archive = Archive(
        storage.join(plan.output, "warc"),
        prefix,
        {
            "software": f"corpusmill {version()}",
            "format": "WARC File Format 1.1",
            "robots": "obey",
            "operator": settings.contact,
            "http-header-user-agent": settings.user_agent(version()),
        },
        level=settings.gzip_level,
        part_bytes=settings.part_bytes,
    )
    fetcher = Fetcher(
        settings.limits,
        settings.user_agent(version()),
        allow_private=settings.allow_private,
        connect_to=settings.connect_to,
        ca_file=settings.ca_file,
    )
    items = frontier.read_items(plan.path("frontier.parquet", shard))
    hosts = hosts_state.read_hosts(plan.path("hosts.parquet", shard))
    work = ShardRound(settings, fetcher, journal, archive, items, hosts, plan.round)
    work.resume(journal.recover(archive))
    try:
        work.run()
    finally:
        fetcher.close()
        journal.close()
    return _finish_shard(item, plan, work, journal)


def _finish_shard(item: ShardItem, plan: CrawlPlan, work: ShardRound, journal: Journal) -> ShardDone:
    """Turn the journal into the log, the index and what was found."""
    shard, left = item.shard, work.left()
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    requests = 0
    found: list[Item] = []
    index: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal requests
        for event in journal.events():
            requests += "start" in event
            found.extend(map(told_item, event.get("found", ())))
            if "cdx" in event:
                index.append(event["cdx"] + "\n")
            row = event.get("row")
            if row is None:
                continue
            if row["kind"] in log.COUNTED and row["outcome"] in log.OUTCOMES:
                outcomes[row["outcome"]] += 1
                reasons[f"{row['outcome']} {row['reason']}".strip()] += 1
            yield row

    log.write_log(plan.log(shard, plan.round), rows())
    storage.write_bytes(
        storage.join(plan.output, "work", "cdx", f"{plan.round:05d}-{shard:04d}.cdxj"),
        "".join(sorted(index)).encode(),
    )
    frontier.write_items(plan.path("left.parquet", shard), left)
    # Hosts of other shards are in it where a robots.txt is redirected to them; their state is their shard's.
    ours = (host.state for name, host in work.hosts.items() if shard_of(name, plan.settings.shards) == shard)
    hosts_state.write_hosts(plan.path("hosts.parquet", shard, plan.round + 1), ours)
    return ShardDone(
        key=item.key,
        blocks=_write_found(plan, shard, found),
        requests=requests,
        outcomes=dict(sorted(outcomes.items())),
        reasons=dict(sorted(reasons.items())),
        left=len(left),
        wake=work.wake(),
    )


def _write_found(plan: CrawlPlan, shard: int, items: Iterable[Item]) -> tuple[Block, ...]:
    """Items by the shard that they belong to. Every shard gets a block, if an empty one, so that each is prepared."""
    parts: list[list[Item]] = [[] for _ in range(plan.settings.shards)]
    for item in sorted(frontier.nearest(items).values(), key=lambda item: item.key):
        parts[shard_of(item.host, len(parts))].append(item)
    path = plan.path("found.blocks", shard)
    blocks, at = [], 0
    with storage.write_atomically(path) as file:
        for partition, part in enumerate(parts):
            data = frontier.encode(part)
            file.write(data)
            blocks.append(Block(partition=partition, path=path, offset=at, length=len(data)))
            at += len(data)
    return tuple(blocks)


def prepare_shard(item: Partition, plan: CrawlPlan) -> Prepared:
    """The next round's part of a shard: what it left, and what is new among all that was found."""
    shard, number = item.index, plan.round + 1
    found = frontier.nearest(_read_blocks(item.blocks))
    for key in _known(plan, shard, number, found):
        del found[key]
    left = frontier.read_items(plan.path("left.parquet", shard))
    taken, rows = _select(plan, sorted(found.values(), key=lambda each: (each.host, each.order)), shard)
    log.write_log(plan.log(shard, number, "-found"), rows)
    keys = pa.table({"key": pa.array(sorted(found), pa.binary(16))})
    with storage.write_atomically(plan.seen(shard, number)) as file:
        pq.write_table(keys, file, compression="zstd")
    items = sorted([*left, *taken], key=lambda each: (each.host, each.order))
    frontier.write_items(plan.path("frontier.parquet", shard, number), items)
    return Prepared(
        key=item.key,
        shard=shard,
        frontier=len(items),
        discovered=len(found),
        skipped=len(rows),
        reasons=dict(sorted(Counter(f"skipped {row['reason']}" for row in rows).items())),
    )


def _read_blocks(blocks: Iterable[Block]) -> Iterator[Item]:
    for block in blocks:
        with storage.open_read(block.path) as file:
            file.seek(block.offset)
            yield from frontier.decode(file.read(block.length))


def _known(plan: CrawlPlan, shard: int, number: int, found: dict[bytes, Item]) -> list[bytes]:
    """Those of the keys that the shard got to know of in earlier rounds. The files are read in pieces: they are the only
    part of a crawl's state that grows with all that it ever saw."""
    known: list[bytes] = []
    wanted = pa.array(list(found), pa.binary(16))
    for earlier in range(number):
        path = plan.seen(shard, earlier)
        if not found or not storage.exists(path):
            continue
        with storage.open_read(path) as file:
            for batch in pq.ParquetFile(file).iter_batches(1 << 16, use_threads=False):
                keys = batch.column("key")
                known += keys.filter(pc.is_in(keys, value_set=wanted)).to_pylist()
    return known


def _select(plan: CrawlPlan, found: list[Item], shard: int) -> tuple[list[Item], list[dict[str, Any]]]:
    """Which of the new URLs are taken; rows of the log for the others."""
    settings = plan.settings
    scope, traps = Scope(settings.scope, plan.seeds), Traps(settings.traps, plan.year)
    budget = _Budget(settings, _counts(plan, shard))
    taken: list[Item] = []
    rows: list[dict[str, Any]] = []
    for item in found:
        url = parse_url(item.url)
        depth = item.depth if item.kind == frontier.PAGE else 0
        reason = scope.refuses(url, depth) or traps.refuses(url) or budget.refuses(item)
        if reason is None:
            taken.append(item)
        else:
            rows.append(_skipped(item, reason, plan.round + 1))
    _write_counts(plan, shard, budget.counts)
    return taken, rows


def _skipped(item: Item, reason: Reason, number: int) -> dict[str, Any]:
    return {
        "url": item.url,
        "key": item.key.hex(),
        "host": item.host,
        "kind": item.kind,
        "round": number,
        "outcome": "skipped",
        "reason": reason.name,
        "detail": reason.detail,
        "depth": item.depth,
        "attempts": 0,
        "via": item.via,
    }


def _counts(plan: CrawlPlan, shard: int) -> dict[str, Counter[str]]:
    """URLs of each kind by host, taken before this round."""
    counts: dict[str, Counter[str]] = {frontier.PAGE: Counter(), frontier.SITEMAP: Counter()}
    path = plan.path("taken.parquet", shard)
    if storage.exists(path):
        with storage.open_read(path) as file:
            for row in pq.read_table(file, use_threads=False).to_pylist():
                counts[row["kind"]][row["host"]] = row["count"]
    return counts


def _write_counts(plan: CrawlPlan, shard: int, counts: dict[str, Counter[str]]) -> None:
    rows = [
        {"kind": kind, "host": host, "count": count}
        for kind, hosts in sorted(counts.items())
        for host, count in sorted(hosts.items())
        if count
    ]
    schema = pa.schema([("kind", pa.string()), ("host", pa.string()), ("count", pa.int64())])
    with storage.write_atomically(plan.path("taken.parquet", shard, plan.round + 1)) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema), file)


class _Budget:
    """Shares of hosts and domains."""

    def __init__(self, settings: CrawlSettings, counts: dict[str, Counter[str]]) -> None:
        self._budget, self._most_sitemaps = settings.budget, settings.sitemap.max_sitemaps
        self.counts = counts
        self._domains = Counter(registered_domain(host) for host in set().union(*counts.values()))

    def refuses(self, item: Item) -> Reason | None:
        """Why a URL is beyond its host's or domain's share; None where it is not, and is counted."""
        counts = self.counts[item.kind]
        if not any(item.host in known for known in self.counts.values()):
            domain = registered_domain(item.host)
            if self._domains[domain] >= self._budget.hosts_per_domain:
                return Reason("budget:hosts", domain)
            self._domains[domain] += 1
        most = self._budget.pages_per_host if item.kind == frontier.PAGE else self._most_sitemaps
        if counts[item.host] >= most:
            return Reason("budget:host" if item.kind == frontier.PAGE else "sitemap:many", item.host)
        counts[item.host] += 1
        return None
