"""Decide: compact columns -> what becomes of every document (DESIGN, idea 4). No text is read, no document is moved.

In the recipe's order: duplicates, the rules that come after them, decontamination. The decisions of a chunk are an Arrow
file beside it with the ledger's columns, a row per document; `publish` joins the two by row.

    duplicates        pipeline.dedup, over all chunks
    decide_chunk      duplicates and deferred rules; counts the benchmark n-grams of the documents that are left
    settle_chunk      decontamination against the counts (pipeline.contamination); summary for manifest and report
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import contamination, storage
from pipeline.blocks import Block, Partition
from pipeline.chunks import HarvestedChunk
from pipeline.contamination import HITS, ContaminationPlan
from pipeline.dedup.earlier import EarlierRuns
from pipeline.dedup.survivors import Removals, removed_in, table_of
from pipeline.harvest import LEDGER, rows_of, schema_of
from pipeline.rules import Bound, Rule, check_rules, first_failures, value_text
from pipeline.stages import StageSettings, build_stages
from pipeline.summary import ChunkSummary, ReportRule, summarise

if TYPE_CHECKING:
    from pipeline.engine import Engine

DUPLICATE_RULES = {
    "exact_text": "duplicates.exact_text",
    "exact_url": "duplicates.exact_url",
    "fuzzy": "duplicates.fuzzy",
}


class DecidePlan(BaseModel, frozen=True, extra="forbid"):
    """All that a worker needs to decide a chunk. `removals` are deduplication's decisions, if it ran; `earlier` says which
    survivors are documents of earlier runs.
    """

    folder: str
    stages: StageSettings
    rules: dict[str, Bound]
    deferred: tuple[str, ...]
    keep_measures: bool = False
    removals: tuple[Removals, ...] | None = None
    earlier: EarlierRuns = EarlierRuns()
    contamination: ContaminationPlan | None = None
    examples: int = 10


class ChunkItem(BaseModel, frozen=True):
    """A chunk to decide; its key names its decisions."""

    key: str
    chunk: HarvestedChunk
    weight: int = 0


class Decided(BaseModel):
    """The first half of a chunk's decisions: documents left, and where its n-gram counts lie."""

    kept: int
    blocks: list[Block] = []


class Settled(BaseModel):
    """A chunk's decisions: where they lie, what they add up to.

    `matches` is the file of its benchmark matches, `cuts` that of the texts that lost some; `effect`
    and `benchmarks` are as in `contamination.Judgement`.
    """

    key: str
    path: str
    summary: ChunkSummary
    matches: str | None = None
    cuts: str | None = None
    effect: dict[str, list[int]] = {}
    benchmarks: dict[str, int] = {}


def ledger_path(folder: str, key: str) -> str:
    """Where the decisions of a chunk lie."""
    return storage.join(folder, "ledger", f"{key}.arrow")


def decide_chunk(item: ChunkItem, plan: DecidePlan) -> Decided:
    """Apply duplicates and deferred rules to a chunk; write its ledger and its n-gram counts."""
    rules = [rule for rule in _rules(plan) if plan.keep_measures or rule.stage in plan.deferred]
    table = rows_of(item.chunk, _columns(plan, rules))
    ledger = _Decisions(table)
    if plan.keep_measures:
        ledger.apply([rule for rule in rules if rule.stage not in plan.deferred], table)
    if plan.removals is not None:
        ledger.remove_duplicates(plan.removals, plan.earlier, item.chunk)
    ledger.apply([rule for rule in rules if rule.stage in plan.deferred], table)
    _write_ledger(ledger_path(plan.folder, item.key), ledger.table())
    blocks = []
    if plan.contamination is not None:
        hits = table[HITS].combine_chunks().filter(pa.array(ledger.kept()))
        blocks = contamination.count_chunk(item.key, plan.contamination, hits)
    return Decided(kept=int(ledger.kept().sum()), blocks=blocks)


class Screened(BaseModel):
    """Where the columns of a chunk lie that deduplication reads, with the status that the early rules give."""

    path: str


def screen_chunk(item: ChunkItem, plan: DecidePlan) -> Screened:
    """Apply the rules that come before deduplication, for a harvest that has applied none (`keep_measures`)."""
    rules = [rule for rule in _rules(plan) if rule.stage not in plan.deferred]
    # Texts are read again only by exact verification, which compares the candidates' shingles.
    exact = plan.stages.dedup is not None and plan.stages.dedup.verify == "exact"
    hidden = ("excerpt", HITS, "lines.hashes", *(() if exact else ("text",)))
    names = [name for name in schema_of(item.chunk).names if name not in hidden]
    table = rows_of(item.chunk, names)
    ledger = _Decisions(table)
    ledger.apply(rules, table)
    status = pa.array(ledger.fields["status"], pa.string())
    path = storage.join(plan.folder, "screened", f"{item.key}.parquet")
    with storage.write_atomically(path) as file:
        pq.write_table(table.set_column(table.schema.get_field_index("status"), "status", status), file)
    return Screened(path=path)


def screen(chunks: Sequence[HarvestedChunk], plan: DecidePlan, engine: Engine) -> list[HarvestedChunk]:
    """The chunks as deduplication shall see them when the harvest has kept all measures."""
    items = [ChunkItem(key=chunk.key, chunk=chunk, weight=chunk.rows) for chunk in chunks]
    engine.run("screen", screen_chunk, items, plan)
    paths = {item.key: storage.join(plan.folder, "screened", f"{item.key}.parquet") for item in items}
    return [chunk.model_copy(update={"path": paths[chunk.key]}) for chunk in chunks]


def _columns(plan: DecidePlan, rules: Sequence[Rule]) -> list[str]:
    names = ["id", *(column.name for column in LEDGER), *(rule.name for rule in rules)]
    return [*names, HITS] if plan.contamination is not None else names


def _rules(plan: DecidePlan) -> list[Rule]:
    stages = build_stages(plan.stages)
    return check_rules(plan.rules, {stage.name: stage.columns for stage in stages})


class _Decisions:
    """The ledger columns of a chunk, as they change."""

    def __init__(self, table: pa.Table) -> None:
        self.fields: dict[str, list[Any]] = {
            column.name: table[column.name].to_pylist() for column in LEDGER if column.name != "excerpt"
        }

    def kept(self) -> np.ndarray:
        return np.array([status == "kept" for status in self.fields["status"]], bool)

    def reject(
        self, row: int, stage: str, rule: str, value: float | None, detail: str, threshold: str
    ) -> None:
        found = ("rejected", stage, rule, value, detail, threshold)
        for name, entry in zip(
            ("status", "stage", "rule", "value", "detail", "threshold"), found, strict=True
        ):
            self.fields[name][row] = entry

    def remove_duplicates(
        self, removals: Sequence[Removals], earlier: EarlierRuns, chunk: HarvestedChunk
    ) -> None:
        removed = removed_in(removals, chunk)
        rows = (removed["ordinal"].astype(np.int64) - chunk.base).tolist()
        for row, found in zip(rows, table_of(removed, earlier).to_pylist(), strict=True):
            rule = DUPLICATE_RULES[found["kind"]]
            published = f" in {found['surviving_run']}" if found["surviving_run"] else ""
            self.reject(
                row,
                "duplicates",
                rule,
                found["similarity"],
                f"copy of {found['surviving_id']}{published}",
                "one of each",
            )

    def apply(self, rules: Sequence[Rule], table: pa.Table) -> None:
        columns = {rule.name: table[rule.name].combine_chunks() for rule in rules}
        first = first_failures(columns, rules, table.num_rows)
        for row in np.flatnonzero((first >= 0) & self.kept()):
            rule = rules[first[row]]
            value = columns[rule.name][int(row)].as_py()
            number = float(value) if isinstance(value, int | float) else None
            self.reject(int(row), rule.stage, rule.name, number, value_text(value), rule.bound.text())

    def table(self) -> pa.Table:
        types = {column.name: column.type for column in LEDGER}
        return pa.table({name: pa.array(values, types[name]) for name, values in self.fields.items()})


def _write_ledger(path: str, table: pa.Table) -> None:
    with storage.write_atomically(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def read_ledger(path: str) -> pa.Table:
    """The decisions of a chunk."""
    with storage.open_read(path) as file:
        return pa.ipc.open_file(file).read_all()


def sum_usage(item: Partition, plan: DecidePlan) -> contamination.Counted:
    """Add up the document counts of a range of n-grams over all chunks."""
    assert plan.contamination is not None  # noqa: S101 - there are no blocks without it
    return contamination.sum_usage(item, plan.contamination)


class SettlePlan(BaseModel, frozen=True, extra="forbid"):
    """What settling a chunk needs beside the decide plan: the rules in the order of the report."""

    decide: DecidePlan
    report: tuple[ReportRule, ...]


def settle_chunk(item: ChunkItem, plan: SettlePlan) -> Settled:
    """Decontaminate what is left of a chunk, write its final ledger, and summarise it."""
    decide = plan.decide
    ledger = read_ledger(ledger_path(decide.folder, item.key))
    settled: dict[str, Any] = {}
    if decide.contamination is not None:
        ledger, settled = _decontaminate(item, decide.contamination, ledger)
    path = storage.join(decide.folder, "final", f"{item.key}.arrow")
    _write_ledger(path, ledger)
    summary = summarise(item.chunk, ledger, plan.report, decide.examples)
    return Settled(key=item.key, path=path, summary=summary, **settled)


def _decontaminate(
    item: ChunkItem, plan: ContaminationPlan, ledger: pa.Table
) -> tuple[pa.Table, dict[str, Any]]:
    decisions = _Decisions(ledger)
    judged = contamination.judge(item.chunk, plan, decisions.kept())
    rule = contamination.rule_name(plan.rule)
    bound = f"used by fewer than {plan.threshold} documents"
    for row, uses, detail in zip(judged.rows, judged.uses, judged.details, strict=True):
        decisions.reject(row, "decontamination", rule, float(uses), detail, bound)
    settled: dict[str, Any] = {"effect": judged.effect, "benchmarks": judged.benchmarks}
    for name, table in (("matches", judged.matches), ("cuts", judged.cuts)):
        if table.num_rows:
            settled[name] = storage.join(plan.folder, name, f"{item.key}.arrow")
            _write_ledger(settled[name], table)
    return decisions.table(), settled


def count_ngrams(chunks: Sequence[HarvestedChunk], plan: DecidePlan, engine: Engine) -> list[ChunkItem]:
    """Duplicates, deferred rules, and the counts of benchmark n-grams in what they leave."""
    items = [ChunkItem(key=chunk.key, chunk=chunk, weight=chunk.rows) for chunk in chunks]
    if plan.contamination is not None:
        engine.shuffle("decide", decide_chunk, items, sum_usage, plan)
    else:
        engine.run("decide", decide_chunk, items, plan)
    return items


def decide(
    chunks: Sequence[HarvestedChunk], plan: DecidePlan, report: Sequence[ReportRule], engine: Engine
) -> list[Settled]:
    """All decisions of a run, by chunk, in the order of the chunks."""
    items = count_ngrams(chunks, plan, engine)
    settled = engine.run("settle", settle_chunk, items, SettlePlan(decide=plan, report=tuple(report)))
    by_key = {each.key: each for each in settled}
    return [by_key[chunk.key] for chunk in chunks]
