"""Harvest: a split of raw input -> Parquet chunks of text and measures, in one pass (DESIGN, idea 4).

A chunk file has a row for every document that was read. `status` is `kept`, `rejected` (with the stage, rule, value and
bound) or `failed` (with the stage and the error); only kept rows carry their text. Once a document fails a rule, it is not
measured further, unless the plan keeps all measures, so that other thresholds can be tried without the input.

An exception fails one document: the chunk is halved until the document at fault stands alone. A document whose processing
takes the whole process down is found by the retry, which notes each document before it begins with it.
"""

from __future__ import annotations

import functools
import itertools
import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from filters.measures import Column
from pipeline import progress, storage, tasks
from pipeline.chunks import READ_SCHEMA, Chunk, HarvestedChunk, Split
from pipeline.errors import UserError
from pipeline.rules import Bound, Rule, check_rules, first_failures, value_text
from pipeline.sources import ReadSettings, SplitReader
from pipeline.stages import Stage, StageSettings, build_stages

EXCERPT = 400
"""Characters of a rejected document that are kept, redacted, as an example for the report."""

LEDGER = (
    Column("status", pa.string(), "kept, rejected or failed"),
    Column("stage", pa.string(), "the stage that rejected the document, or in which it failed"),
    Column("rule", pa.string(), "the rule that it failed first, or the reason of the failure"),
    Column("value", pa.float64(), "the measured value, where it is a number"),
    Column("detail", pa.string(), "the measured value, or the error, as text"),
    Column("threshold", pa.string(), "the bound of the rule"),
    Column("excerpt", pa.string(), "beginning of a rejected document's text, redacted"),
)

_DEATHS = 2
"""How often a document must take its process down, alone and with nothing beside it, to be given up as failed."""


class HarvestPlan(BaseModel, frozen=True, extra="forbid"):
    """All that a worker needs to harvest a split.

    `reading` has the settings of each source. `deferred` names the stages whose rules are applied in the decide phase,
    because a global decision (duplicates) comes before them in the recipe. `failure_limit` is the share of failed documents
    above which the run stops: at once where the first split of an input is as bad, else when all splits are read and joined
    (a split that begins in the middle may have mistaken an archive inside the archive for it, and be read again).
    """

    folder: str
    reading: dict[str, ReadSettings]
    stages: StageSettings
    rules: dict[str, Bound]
    deferred: tuple[str, ...] = ("lines", "quality")
    keep_measures: bool = False
    failure_limit: float = 0.2


class HarvestReceipt(BaseModel, frozen=True):
    """What a split became: its chunks in order, and what was read where.

    `first` and `end` are the offsets of the first record and behind the last: the splits of a shard must join.
    `stage_seconds` are seconds of processor time by stage, for the chunks that this task made (not those it found made).
    """

    split: Split
    chunks: list[HarvestedChunk]
    first: int
    end: int
    failed: int
    records: dict[str, int]
    stage_seconds: dict[str, float] = {}


class ChunkCounts(BaseModel, frozen=True):
    """The counts that a chunk file carries in its metadata."""

    rows: int
    bytes: int
    failed: int
    text_bytes: int


class HarvestSplit(BaseModel, frozen=True):
    """The item of the harvest: a split, and its weight for balancing.

    The files of the harvest are named after `key`: a split that is harvested again from another offset has another one.
    """

    key: str
    split: Split
    weight: int = 0


def harvest_split(item: HarvestSplit, plan: HarvestPlan) -> HarvestReceipt:
    """The chain of one split, without Beam: read, measure, apply the rules, write.

    Raises:
        UserError: when more than `failure_limit` of at least a hundred documents failed.
    """
    reader = SplitReader(item.split, plan.reading[item.split.source])
    suspects = _Suspects(storage.join(plan.folder, "suspects", f"{item.key}.json"))
    chunks, rows, failed = [], 0, 0
    clock = _Clock()
    for chunk in reader:
        clock.lap("read")
        path = storage.join(plan.folder, f"{item.key}-{chunk.key.index:05d}.parquet")
        counts = _finished(path)
        if counts is None:
            batch = harvest_chunk(chunk, plan, suspects, clock)
            counts = _write(path, batch, chunk)
            clock.lap("write")
        chunks.append(
            HarvestedChunk(key=chunk.key.name, path=path, rows=counts.rows, text_bytes=counts.text_bytes)
        )
        rows, failed = rows + counts.rows, failed + counts.failed
        progress.add(documents=counts.rows, bytes=counts.bytes)
        if item.split.start == 0:
            check_failures(item.split.path, failed, rows, plan)
    progress.add(tasks=1)
    suspects.close()
    return HarvestReceipt(
        split=item.split,
        chunks=chunks,
        first=reader.first_offset,
        end=reader.end_offset,
        failed=failed,
        records=dict(sorted(reader.records.items())),
        stage_seconds=clock.seconds,
    )


def check_failures(where: str, failed: int, rows: int, plan: HarvestPlan) -> None:
    """Stop where too many documents failed.

    Raises:
        UserError: when more than `failure_limit` of the documents, and at least a hundred, failed.
    """
    if failed >= 100 and failed > plan.failure_limit * rows:
        raise UserError(
            f"{where}: {failed:,} of {rows:,} documents failed, more than the limit of {plan.failure_limit:.0%} "
            f"(`failure_limit`). The errors are in {plan.folder}; mend the input, or raise the limit.",
            1,
        )


class _Clock:
    """Processor time of this process by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, stage: str) -> None:
        """Count the time since the last lap for a stage."""
        now = time.process_time()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def harvest_chunk(
    chunk: Chunk, plan: HarvestPlan, suspects: _Suspects | None = None, clock: _Clock | None = None
) -> pa.RecordBatch:
    """All documents of a chunk with their measures and the ledger's columns."""
    stages, rules = _chain(plan.model_dump_json())
    ledger = _Ledger(chunk.batch, plan.keep_measures)
    for stage in stages:
        applied = [] if stage.name in plan.deferred else [r for r in rules if r.stage == stage.name]
        docs = ledger.alive_documents()
        made, errors = _isolated(stage.run, docs, suspects if stage.name == "extract" else None)
        ledger.record(stage, made, errors)
        ledger.apply(stage, applied)
        if clock is not None:
            clock.lap(stage.name)
    return ledger.finish(_redactor(plan.stages))


@functools.lru_cache(maxsize=4)
def _chain(plan_json: str) -> tuple[list[Stage], list[Rule]]:
    plan = HarvestPlan.model_validate_json(plan_json)
    stages = build_stages(plan.stages)
    return stages, check_rules(plan.rules, {stage.name: stage.columns for stage in stages})


def harvest_schema(settings: StageSettings) -> list[Column]:
    """The measured columns of a harvest in order, without what every source gives."""
    return [column for stage in build_stages(settings)[1:] for column in stage.made]


class _Ledger:
    """The documents of a chunk on their way through the stages, and what became of each."""

    def __init__(self, batch: pa.RecordBatch, keep_measures: bool) -> None:
        self.batch = batch
        self.rows = batch.num_rows
        self.keep_measures = keep_measures
        self.columns: dict[str, pa.Array] = {}
        self.excerpts: dict[int, str | None] = {}
        self.status = np.full(self.rows, "kept", object)
        self.fields: dict[str, np.ndarray] = {
            name: np.full(self.rows, None, object)
            for name in ("stage", "rule", "value", "detail", "threshold")
        }
        unreadable = np.flatnonzero(pc.is_valid(batch["error"]).to_numpy(zero_copy_only=False))
        for row in unreadable:
            self._fail(int(row), "read", batch["error"][row].as_py(), batch["message"][row].as_py())
        self.active = np.flatnonzero(self.status != "failed")
        self.current = batch.take(pa.array(self.active))

    def alive_documents(self) -> pa.RecordBatch:
        return self.current

    def _fail(self, row: int, stage: str, reason: str, message: str | None) -> None:
        self.status[row] = "failed"
        for name, value in (
            ("stage", stage),
            ("rule", reason),
            ("detail", message),
            ("value", None),
            ("threshold", None),
        ):
            self.fields[name][row] = value

    def record(self, stage: Stage, made: pa.RecordBatch, errors: dict[int, tuple[str, str]]) -> None:
        """Take a stage's result: its columns, and the documents that failed in it (by position)."""
        for position, (reason, message) in errors.items():
            self._fail(int(self.active[position]), stage.name, reason, message)
        good = np.array([p for p in range(len(self.active)) if p not in errors], np.int64)
        self.active = self.active[good]
        self.current = made
        for column in stage.made:
            self.columns[column.name] = self._scattered(made[column.name].cast(column.type))

    def apply(self, stage: Stage, rules: Sequence[Rule]) -> None:
        """Reject by the stage's rules. The first failure stays, also where all measures are kept."""
        if not rules:
            return
        columns = {rule.name: self.current[rule.name] for rule in rules}
        first = first_failures(columns, rules, len(self.active))
        for position in np.flatnonzero(first >= 0):
            rule, row = rules[first[position]], self.active[position]
            if self.status[row] != "kept":
                continue
            value = columns[rule.name][int(position)].as_py()
            self.status[row] = "rejected"
            self.fields["stage"][row], self.fields["rule"][row] = stage.name, rule.name
            self.fields["value"][row] = float(value) if isinstance(value, int | float) else None
            self.fields["detail"][row] = value_text(value)
            self.fields["threshold"][row] = rule.bound.text()
        if not self.keep_measures:
            self._remember_text(self.active[first >= 0], self.current.filter(pa.array(first >= 0)))
            self.current = self.current.filter(pa.array(first < 0))
            self.active = self.active[first < 0]

    def _remember_text(self, rows: np.ndarray, docs: pa.RecordBatch) -> None:
        """Hold the beginning of rejected documents, for the report."""
        beginnings = pc.utf8_slice_codeunits(docs["text"], 0, 4 * EXCERPT).to_pylist()
        self.excerpts.update(zip(rows.tolist(), beginnings, strict=True))

    def _scattered(self, values: pa.Array) -> pa.Array:
        """A column of the active documents as one of all documents, null elsewhere."""
        places = np.full(self.rows, -1, np.int64)
        places[self.active] = np.arange(len(self.active))
        return values.take(pa.array(places, mask=places < 0))

    def finish(self, redact: Callable[[list[str]], list[str]]) -> pa.RecordBatch:
        """The chunk's rows: what every source gives, the text of kept documents, measures, ledger."""
        kept = pa.array(self.status == "kept")
        text, title = self._scattered(self.current["text"]), self._scattered(self.current["title"])
        if not self.keep_measures:
            text = pc.if_else(kept, text, pa.scalar(None, text.type))
        names = [field.name for field in READ_SCHEMA if field.name not in ("raw", "error", "message")]
        columns = {name: self.batch[name] for name in names}
        columns |= {"text": text, "title": title, **self.columns}
        columns["status"] = pa.array(self.status.tolist(), pa.string())
        for name in ("stage", "rule", "detail", "threshold"):
            columns[name] = pa.array(self.fields[name].tolist(), pa.string())
        columns["value"] = pa.array(self.fields["value"].tolist(), pa.float64())
        columns["excerpt"] = self._excerpts(redact)
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _excerpts(self, redact: Callable[[list[str]], list[str]]) -> pa.Array:
        held = {row: text for row, text in self.excerpts.items() if text}
        cut = [text[:EXCERPT] for text in redact(list(held.values()))]
        excerpts = dict(zip(held, cut, strict=True))
        return pa.array([excerpts.get(row) for row in range(self.rows)], pa.string())


def _redactor(settings: StageSettings) -> Callable[[list[str]], list[str]]:
    """Redaction of excerpts: a document may have been rejected before its personal data were found."""
    if settings.pii is None:
        return lambda texts: texts

    def redact(texts: list[str]) -> list[str]:
        from filters import pii

        redacted, _ = pii.redact(pa.array(texts, pa.large_string()), settings.pii)
        return list(redacted.to_pylist())

    return redact


class _Suspects:
    """Notes which document a task is at, once the task has taken a process down, and which ones it must leave out."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.careful = tasks.attempt() > 0
        self.deaths: dict[str, int] = {}
        if self.careful and storage.exists(path):
            notes = json.loads(storage.read_bytes(path))
            self.deaths = notes["deaths"]
            if notes["current"] is not None:
                self.deaths[notes["current"]] = self.deaths.get(notes["current"], 0) + 1

    def begin(self, document: str | None) -> None:
        """About to work on a document (None: with none)."""
        notes = {"current": document, "deaths": self.deaths}
        storage.write_bytes(self.path, json.dumps(notes).encode())

    def deadly(self, document: str) -> bool:
        return self.deaths.get(document, 0) >= _DEATHS

    def close(self) -> None:
        if self.careful:
            storage.remove(self.path)


def _isolated(
    run: Callable[[pa.RecordBatch], pa.RecordBatch], docs: pa.RecordBatch, suspects: _Suspects | None
) -> tuple[pa.RecordBatch, dict[int, tuple[str, str]]]:
    """Run a stage; documents that raise are left out and returned by position with reason and message."""
    if suspects is not None and suspects.careful:
        return _one_by_one(run, docs, suspects)
    try:
        return run(docs), {}
    except Exception as error:  # of any library: it fails one document, not the run
        if docs.num_rows == 0:
            raise  # no document is at fault
        if docs.num_rows == 1:
            return run(docs.slice(0, 0)), {0: _described(error)}
    half = docs.num_rows // 2
    return _joined(
        [_isolated(run, docs.slice(0, half), None), _isolated(run, docs.slice(half), None)], [0, half]
    )


def _one_by_one(
    run: Callable[[pa.RecordBatch], pa.RecordBatch], docs: pa.RecordBatch, suspects: _Suspects
) -> tuple[pa.RecordBatch, dict[int, tuple[str, str]]]:
    results = []
    for row, document in enumerate(docs["id"].to_pylist()):
        if suspects.deadly(document):
            reason = (
                "worker died",
                f"processing it ended the worker process {suspects.deaths[document]} times",
            )
            results.append((run(docs.slice(0, 0)), {0: reason}))
            continue
        suspects.begin(document)
        results.append(_isolated(run, docs.slice(row, 1), None))
    suspects.begin(None)
    return _joined(results, list(range(len(results)))) if results else (run(docs), {})


def _joined(
    results: list[tuple[pa.RecordBatch, dict[int, tuple[str, str]]]], starts: list[int]
) -> tuple[pa.RecordBatch, dict[int, tuple[str, str]]]:
    errors = {
        start + at: error
        for (_, found), start in zip(results, starts, strict=True)
        for at, error in found.items()
    }
    table = pa.Table.from_batches([batch for batch, _ in results]).combine_chunks()
    batches = table.to_batches()
    return (batches[0] if batches else results[0][0]), errors


def _described(error: Exception) -> tuple[str, str]:
    """The reason (the exception's type) and where it was raised. Its message is left out: it may quote the document."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = "; ".join(
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} in {frame.name}" for frame in frames
    )
    return type(error).__name__, where


def _finished(path: str) -> ChunkCounts | None:
    """The counts of a chunk file that an earlier run completed, or None where there is none."""
    if not storage.exists(path):
        return None
    with storage.open_read(path) as file:
        metadata = pq.read_metadata(file).metadata or {}
    return ChunkCounts.model_validate_json(metadata[b"corpusmill"])


def _write(path: str, batch: pa.RecordBatch, chunk: Chunk) -> ChunkCounts:
    status = batch["status"]
    counts = ChunkCounts(
        rows=batch.num_rows,
        bytes=int(pc.sum(chunk.batch["http.bytes"]).as_py() or pc.sum(batch["text.bytes"]).as_py() or 0),
        failed=int(pc.sum(pc.equal(status, "failed")).as_py() or 0),
        text_bytes=int(pc.sum(pc.binary_length(batch["text"])).as_py() or 0),
    )
    table = pa.Table.from_batches([batch]).replace_schema_metadata({"corpusmill": counts.model_dump_json()})
    with storage.write_atomically(path) as file:
        pq.write_table(table, file, compression="zstd", compression_level=3)
    return counts


def rows_of(chunk: HarvestedChunk, columns: Sequence[str]) -> pa.Table:
    """Some columns of a chunk file."""
    with storage.open_read(chunk.path) as file:
        return pq.read_table(file, columns=list(columns))


def schema_of(chunk: HarvestedChunk) -> pa.Schema:
    """The schema of a chunk file."""
    with storage.open_read(chunk.path) as file:
        return pq.read_schema(file)


def in_order(receipts: Sequence[HarvestReceipt]) -> list[HarvestedChunk]:
    """The chunks of all receipts in the order of the inputs, each with its base ordinal."""
    base, ordered = 0, []
    for receipt in sorted(receipts, key=lambda r: (r.split.source, r.split.shard, r.split.index)):
        for chunk in receipt.chunks:
            ordered.append(chunk.model_copy(update={"base": base}))
            base += chunk.rows
    return ordered


def join_splits(
    receipts: Sequence[HarvestReceipt], harvest: Callable[[list[HarvestSplit]], list[HarvestReceipt]]
) -> list[HarvestReceipt]:
    """Harvest again the splits that do not begin where the one before them ended, from there, until all meet.

    A reader that starts in the middle of a file may take an archive inside the archive for the archive itself. The first
    split of a shard begins at the beginning, so each end, in order along the shard, is where the next split must begin.
    A round goes one gap further in every shard; there are at most as many rounds as splits. What does not meet even so
    is left for `check_joined` to tell.
    """
    joined = list(receipts)
    for _ in range(len(joined)):
        items = _first_gaps(joined)
        if not items:
            break
        mended = {receipt.split.key: receipt for receipt in harvest(items)}
        joined = [mended.get(receipt.split.key, receipt) for receipt in joined]
    return joined


def _first_gaps(receipts: Sequence[HarvestReceipt]) -> list[HarvestSplit]:
    """Of each shard the first split that does not meet the one before it, to be read from that one's end.

    Where that end lies behind the split, nothing is left of it, and the next one is to be read from there too: a page
    that covers many splits takes one round. Splits that have been read from there already, in vain, are left out.
    """
    items, gaps = [], dict[tuple[str, str], int]()
    for before, after in _neighbours(receipts):
        shard = (after.split.source, after.split.shard)
        if before.end == after.first if shard not in gaps else before.split.stop > gaps[shard]:
            continue
        split = after.split.model_copy(update={"start": gaps.setdefault(shard, before.end)})
        if split != after.split:
            weight = max(0, split.stop - split.start)
            items.append(HarvestSplit(key=f"{split.key}-from-{split.start}", split=split, weight=weight))
    return items


def check_joined(receipts: Sequence[HarvestReceipt]) -> None:
    """Prove that no record was left out or read twice: each split begins where the one before it ended.

    Raises:
        UserError: naming the file and the offsets that do not meet.
    """
    for before, after in _neighbours(receipts):
        if before.end != after.first:
            raise UserError(
                f"{after.split.path}: the part that ends at byte {before.end:,} and the part that begins at byte "
                f"{after.first:,} do not meet, so records would be lost or read twice. "
                "Run again with `split_bytes: 0`, which reads every file as one part.",
                1,
            )


def _neighbours(receipts: Sequence[HarvestReceipt]) -> Iterator[tuple[HarvestReceipt, HarvestReceipt]]:
    ordered = sorted(receipts, key=lambda r: (r.split.source, r.split.shard, r.split.index))
    for before, after in itertools.pairwise(ordered):
        if (before.split.source, before.split.shard) == (after.split.source, after.split.shard):
            yield before, after
