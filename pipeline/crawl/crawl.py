"""A crawl from its seeds to its books: rounds of Beam phases over state in files.

A round is one shuffle of the engine: the shards fetch, what they found is grouped by the shard that it belongs to, and each shard
is prepared for the next round. After every round the books must balance: every URL that was discovered was fetched, disallowed,
failed, skipped, or is still in the frontier.
"""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel

from pipeline import storage, tasks
from pipeline.crawl import frontier
from pipeline.crawl.cdx import merge_indexes
from pipeline.crawl.config import CrawlSettings
from pipeline.crawl.frontier import Item
from pipeline.crawl.judge import Earlier
from pipeline.crawl.log import read_log
from pipeline.crawl.rounds import (
    CrawlPlan,
    Prepared,
    ShardDone,
    ShardItem,
    fetch_shard,
    plant_seeds,
    prepare_shard,
    version,
)
from pipeline.crawl.scope import Scope
from pipeline.crawl.warc import warc_date
from pipeline.engine import Engine, RunnerSettings, engines
from pipeline.errors import UserError
from pipeline.output import OutputFolder, differences

MANIFEST, INDEX = "crawl.json", "index.cdxj"


class Books(BaseModel):
    """What became of URLs, up to and with a round."""

    rounds: int = 0
    """Rounds done."""
    requests: int = 0
    discovered: int = 0
    fetched: int = 0
    disallowed: int = 0
    failed: int = 0
    skipped: int = 0
    frontier: tuple[int, ...] = ()
    """URLs that wait, by shard."""
    reasons: dict[str, int] = {}
    wake: float | None = None
    """When the first of what waits can be done, where the last round made no request."""
    stopped: str = ""
    """Why no further round was begun: `done`, `rounds`, `pages`, `waiting`."""

    @property
    def waiting(self) -> int:
        """URLs that wait."""
        return sum(self.frontier)

    def check(self) -> None:
        """Check that they balance.

        Raises:
            UserError: with exit code 1, when they do not.
        """
        done = self.fetched + self.disallowed + self.failed + self.skipped
        if self.discovered != done + self.waiting:
            raise UserError(
                f"the books of the crawl do not balance after round {self.rounds}: {self.discovered:,} URLs discovered, "
                f"{done:,} done, {self.waiting:,} in the frontier. Its result must not be trusted; please report this.",
                exit_code=1,
            )


def crawl(
    settings: CrawlSettings,
    seeds: Sequence[str],
    output: str,
    runner: RunnerSettings,
    *,
    overwrite: bool = False,
    again: bool = False,
    quiet: bool | None = None,
) -> Books:
    """Crawl, or go on where an earlier process stopped or was killed.

    Args:
        settings: of the crawl.
        seeds: URLs to begin with.
        output: folder of the result, local.
        runner: where the shards are worked on.
        overwrite: whether a crawl of other seeds or settings may be replaced.
        again: whether the pages of a finished crawl are visited once more; unchanged ones leave revisit records.
        quiet: no progress on standard error.

    Raises:
        UserError: for settings or seeds that cannot be; with exit code 1 when the books do not balance.
    """
    _check(settings, seeds, output)
    folder = OutputFolder(output)
    with folder.locked():
        identity, books = _begin(settings, seeds, output, overwrite)
        plan = CrawlPlan(
            output=output,
            settings=_without_ends(settings),
            seeds=tuple(seeds),
            round=-1,
            year=int(identity["started"][:4]),
        )
        with engines(runner, quiet) as make:
            engine = make(storage.join(folder.work, "tasks"))
            rounds = _Rounds(plan, settings, engine, books)
            if again and books.stopped == "done":
                rounds.visit_again()
            books = rounds.run()
        index = storage.list_files(storage.join(output, "work", "cdx"), ".cdxj")
        merge_indexes(index, storage.join(output, INDEX))
        _write_manifest(output, identity, books)
    return books


def _check(settings: CrawlSettings, seeds: Sequence[str], output: str) -> None:
    if not settings.contact:
        raise UserError(
            "a crawler must say whom to complain to: give --contact with an e-mail address or the URL of a page."
        )
    if not storage.is_local(output):
        raise UserError(f"{output}: a crawl is written to a local folder (or one that all workers mount).")
    if not seeds:
        raise UserError("no seeds: name URLs, or files of them with --seeds.")
    Scope(settings.scope, seeds)


def _without_ends(settings: CrawlSettings) -> CrawlSettings:
    """Without what says only when to stop: it may change between two commands."""
    budget = settings.budget.model_copy(update={"max_rounds": 1, "max_pages": None, "patience_seconds": 0.0})
    return settings.model_copy(update={"budget": budget})


def _begin(
    settings: CrawlSettings, seeds: Sequence[str], output: str, overwrite: bool
) -> tuple[dict[str, Any], Books]:
    """The identity and books of the crawl in the folder, or of a new one."""
    storage.remove_temporaries(output)
    path = storage.join(output, MANIFEST)
    # Round-tripped through JSON, to be compared with what is read from it.
    wanted = json.loads(
        json.dumps({"seeds": list(seeds), "settings": _without_ends(settings).model_dump(mode="json")})
    )
    if storage.exists(path):
        found = json.loads(storage.read_bytes(path))
        changed = differences({name: found["identity"].get(name) for name in wanted}, wanted)
        if not changed:
            return found["identity"], Books.model_validate(found["books"])
        if not overwrite:
            raise UserError(
                f"{output} holds a crawl of other seeds or settings:\n"
                + "\n".join(f"  {line}" for line in changed)
                + "\nUse another --output, or --overwrite to replace it."
            )
        storage.remove(path)
    for name in ("warc", "log", INDEX):
        if storage.exists(storage.join(output, name)):
            if not overwrite:
                raise UserError(
                    f"{output} already holds `{name}`, which no crawl is known to have left there. "
                    "Use another --output, or --overwrite to replace it."
                )
            storage.remove(storage.join(output, name))
    for name in ("seen", "cdx", "tasks", "seeds"):
        storage.remove(storage.join(output, "work", name))
    for number in range(100_000):
        rest = storage.join(output, "work", f"round-{number:05d}")
        if not storage.exists(rest):
            break
        storage.remove(rest)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    identity = {**wanted, "version": version(), "started": now}
    _write_manifest(output, identity, Books())
    return identity, Books()


def _write_manifest(output: str, identity: dict[str, Any], books: Books) -> None:
    content = {"identity": identity, "books": books.model_dump(mode="json")}
    storage.write_bytes(storage.join(output, MANIFEST), (json.dumps(content, indent=1) + "\n").encode())


class _Rounds:
    """The rounds of a crawl, one after the other."""

    def __init__(self, plan: CrawlPlan, settings: CrawlSettings, engine: Engine, books: Books) -> None:
        self._plan, self._settings, self._engine, self.books = plan, settings, engine, books

    def run(self) -> Books:
        """Rounds until there is nothing to do, or enough was done."""
        if not self.books.frontier:
            self._plant()
        while not self._is_over():
            self._round()
        return self.books

    def visit_again(self) -> None:
        """Put every page that was fetched into the frontier once more. In the books it is discovered a second time.

        The state of the hosts is at its last; robots.txt is asked again where its verdict has expired.
        """
        number, shards = self.books.rounds, self._settings.shards
        waiting = []
        for shard in range(shards):
            paths = [self._plan.log(shard, each) for each in range(number)]
            items = visited(path for path in paths if storage.exists(path))
            frontier.write_items(self._plan.path("frontier.parquet", shard, number), items)
            waiting.append(len(items))
        found = self.books.discovered + sum(waiting)
        self.books = self.books.model_copy(
            update={"frontier": tuple(waiting), "discovered": found, "stopped": "", "wake": None}
        )
        self._write()

    def _write(self) -> None:
        path = storage.join(self._plan.output, MANIFEST)
        _write_manifest(self._plan.output, json.loads(storage.read_bytes(path))["identity"], self.books)

    def _is_over(self) -> bool:
        books, budget = self.books, self._settings.budget
        books.stopped = ""
        if not books.waiting:
            books.stopped = "done"
        elif books.rounds >= budget.max_rounds:
            books.stopped = "rounds"
        elif budget.max_pages is not None and books.fetched >= budget.max_pages:
            books.stopped = "pages"
        elif books.wake is not None:
            wait = books.wake - time.time()
            if wait > budget.patience_seconds:
                books.stopped = "waiting"
            else:
                time.sleep(max(wait, 0.0))
        return bool(books.stopped)

    def _plant(self) -> None:
        seeds = [ShardItem(key="seeds", shard=0)]
        prepared = self._engine.shuffle("seeds", plant_seeds, seeds, prepare_shard, self._plan)
        self._account([], prepared)

    def _round(self) -> None:
        number = self.books.rounds
        phase = f"round-{number:05d}"
        items = [
            ShardItem(key=f"shard-{shard:04d}", shard=shard, weight=waiting)
            for shard, waiting in enumerate(self.books.frontier)
        ]
        plan = self._plan.model_copy(update={"round": number})
        prepared = self._engine.shuffle(phase, fetch_shard, items, prepare_shard, plan)
        name = tasks.task_name(fetch_shard)
        results = storage.list_files(storage.join(self._engine.work, f"{phase}.map"), ".json")
        done = [tasks.parse(name, storage.read_bytes(path).decode()).result for path in results]
        self.books = self.books.model_copy(update={"rounds": number + 1})
        self._account(done, prepared)

    def _account(self, done: Sequence[ShardDone], prepared: Sequence[Prepared]) -> None:
        """Add a round to the books, check them, and write them: what was written is not done again."""
        books = self.books
        reasons = Counter(books.reasons)
        for found in (*(each.reasons for each in done), *(each.reasons for each in prepared)):
            reasons.update(found)
        requests = sum(each.requests for each in done)
        wakes = [each.wake for each in done if each.wake is not None]
        added = {
            name: sum(each.outcomes.get(name, 0) for each in done)
            for name in ("fetched", "disallowed", "failed")
        }
        skipped = sum(each.outcomes.get("skipped", 0) for each in done) + sum(
            each.skipped for each in prepared
        )
        is_idle = not requests and not any(each.discovered for each in prepared)
        self.books = books.model_copy(
            update={
                **{name: getattr(books, name) + count for name, count in added.items()},
                "requests": books.requests + requests,
                "skipped": books.skipped + skipped,
                "discovered": books.discovered + sum(each.discovered for each in prepared),
                "frontier": tuple(each.frontier for each in sorted(prepared, key=lambda each: each.shard)),
                "reasons": dict(sorted(reasons.items())),
                "wake": min(wakes, default=None) if is_idle and done else None,
            }
        )
        self.books.check()
        self._write()


def visited(paths: Iterable[str]) -> list[Item]:
    """The pages that logs say were fetched, each once, with what its latest visit left."""
    found: dict[str, Item] = {}
    for row in read_log(paths):
        if row["kind"] != frontier.PAGE or row["outcome"] != "fetched" or row["record"] is None:
            continue
        before = found.get(row["key"])
        earlier = Earlier(
            url=row["url"],
            date=warc_date(row["at"]),
            record=row["record"],
            digest=row["digest"],
            etag=row["etag"],
            last_modified=row["last_modified"],
        )
        if before is not None and before.earlier is not None and row["reason"].startswith("revisit"):
            # The record that holds the body is still the one before.
            there = Earlier.model_validate_json(before.earlier)
            kept = {
                "etag": earlier.etag or there.etag,
                "last_modified": earlier.last_modified or there.last_modified,
            }
            earlier = there.model_copy(update=kept)
        found[row["key"]] = Item(
            bytes.fromhex(row["key"]),
            row["url"],
            row["host"],
            depth=row["depth"],
            via=row["via"],
            earlier=earlier.model_dump_json(),
        )
    return sorted(found.values(), key=lambda item: (item.host, item.order))
