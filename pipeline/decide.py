"""Decide: compact columns -> what becomes of every document (DESIGN, idea 4). No text is read, no document is moved.

In the recipe's order: duplicates, the rules that come after them, decontamination. The decisions of a chunk are an Arrow
file beside it with the ledger's columns, a row per document; `publish` joins the two by row.

    duplicates        pipeline.dedup, over all chunks
    decide_chunk      duplicates and deferred rules; counts the benchmark n-grams of the documents that are left
    sum_usage         adds up those counts (a shuffle of packed ids and counts)
    settle_chunk      decontamination against the counts; summary of the chunk for manifest and report
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from pipeline import storage
from pipeline.blocks import Block, Partition
from pipeline.chunks import HarvestedChunk
from pipeline.dedup.earlier import EarlierRuns
from pipeline.dedup.survivors import Removals, removed_in, table_of
from pipeline.harvest import LEDGER, rows_of, schema_of
from pipeline.rules import Bound, Rule, check_rules, first_failures, value_text
from pipeline.stages import StageSettings, build_stages
from pipeline.summary import ChunkSummary, ReportRule, summarise

if TYPE_CHECKING:
    from pipeline.engine import Engine

NGRAMS_PER_PARTITION = 1 << 24
"""Benchmark n-grams whose counts one reduce task adds up: 64 MiB of uint32."""

DUPLICATE_RULES = {
    "exact_text": "duplicates.exact_text",
    "exact_url": "duplicates.exact_url",
    "fuzzy": "duplicates.fuzzy",
}
CONTAMINATION_RULE = "decontamination.item"


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
    ngrams: int = 0
    threshold: int = 0
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


class Usage(BaseModel):
    """Where the counts of a partition of n-grams lie (uint32, dense), and how many n-grams were found at all."""

    partition: int
    path: str
    found: int


class Settled(BaseModel):
    """A chunk's decisions: where they lie, what they add up to."""

    key: str
    path: str
    summary: ChunkSummary


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
    blocks = _write_hits(item.key, plan, table, ledger.kept()) if plan.ngrams else []
    return Decided(kept=int(ledger.kept().sum()), blocks=blocks)


class Screened(BaseModel):
    """Where the columns of a chunk lie that deduplication reads, with the status that the early rules give."""

    path: str


def screen_chunk(item: ChunkItem, plan: DecidePlan) -> Screened:
    """Apply the rules that come before deduplication, for a harvest that has applied none (`keep_measures`)."""
    rules = [rule for rule in _rules(plan) if rule.stage not in plan.deferred]
    # Texts are read again only by exact verification, which compares the candidates' shingles.
    exact = plan.stages.dedup is not None and plan.stages.dedup.verify == "exact"
    hidden = ("excerpt", "decontamination.hits", "lines.hashes", *(() if exact else ("text",)))
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
    return [*names, "decontamination.hits"] if plan.ngrams else names


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


def _write_hits(key: str, plan: DecidePlan, table: pa.Table, kept: np.ndarray) -> list[Block]:
    """Count, per n-gram, the documents of the chunk that hold it: packed (uint32 id, uint32 count) by range of ids."""
    from decontam.rule import count_hits

    hits = table["decontamination.hits"].combine_chunks().filter(pa.array(kept))
    ids, counts = count_hits(hits, plan.ngrams)
    packed = np.stack([ids, counts], axis=1).astype("<u4")
    path = storage.join(plan.folder, "hits", f"{key}.bin")
    blocks, offset = [], 0
    with storage.write_atomically(path) as file:
        for partition in range(-(-plan.ngrams // NGRAMS_PER_PARTITION)):
            here = packed[(ids // NGRAMS_PER_PARTITION) == partition]
            if not len(here):
                continue
            file.write(here.tobytes())
            blocks.append(Block(partition=partition, path=path, offset=offset, length=here.nbytes))
            offset += here.nbytes
    return blocks


def sum_usage(item: Partition, plan: DecidePlan) -> Usage:
    """Add up the document counts of a range of n-grams over all chunks."""
    first = item.index * NGRAMS_PER_PARTITION
    totals = np.zeros(min(NGRAMS_PER_PARTITION, plan.ngrams - first), np.uint32)
    for block in item.blocks:
        with storage.open_read(block.path) as file:
            file.seek(block.offset)
            packed = np.frombuffer(file.read(block.length), "<u4").reshape(-1, 2)
        totals[packed[:, 0] - first] += packed[:, 1]
    path = usage_path(plan.folder, item.index)
    storage.write_bytes(path, totals.astype("<u4").tobytes())
    return Usage(partition=item.index, path=path, found=int((totals > 0).sum()))


def usage_path(folder: str, partition: int) -> str:
    """Where the counts of a partition of n-grams lie."""
    return storage.join(folder, "usage", f"{partition:05d}.bin")


def read_usage(folder: str, ngrams: int) -> np.ndarray:
    """Per n-gram id, the number of documents that held it after deduplication and the quality rules."""
    totals = np.zeros(ngrams, np.uint32)
    for partition in range(-(-ngrams // NGRAMS_PER_PARTITION)):
        path = usage_path(folder, partition)
        if storage.exists(path):
            values = np.frombuffer(storage.read_bytes(path), "<u4")
            totals[partition * NGRAMS_PER_PARTITION :][: len(values)] = values
    return totals


class SettlePlan(BaseModel, frozen=True, extra="forbid"):
    """What settling a chunk needs beside the decide plan: the rules in the order of the report."""

    decide: DecidePlan
    report: tuple[ReportRule, ...]


def settle_chunk(item: ChunkItem, plan: SettlePlan) -> Settled:
    """Decontaminate what is left of a chunk, write its final ledger, and summarise it."""
    decide = plan.decide
    ledger = read_ledger(ledger_path(decide.folder, item.key))
    if decide.ngrams:
        ledger = _decontaminate(item, decide, ledger)
    path = storage.join(decide.folder, "final", f"{item.key}.arrow")
    _write_ledger(path, ledger)
    summary = summarise(item.chunk, ledger, plan.report, decide.examples)
    return Settled(key=item.key, path=path, summary=summary)


def _decontaminate(item: ChunkItem, plan: DecidePlan, ledger: pa.Table) -> pa.Table:
    from decontam.ngrams import NgramIndex
    from decontam.rule import contaminated

    hits = rows_of(item.chunk, ["decontamination.hits"])["decontamination.hits"].combine_chunks()
    dirty, first, count = contaminated(hits, read_usage(plan.folder, plan.ngrams), plan.threshold)
    decisions = _Decisions(ledger)
    kept = pc.equal(ledger["status"], "kept").to_numpy()
    index = NgramIndex.open(plan.stages.decontamination_index)  # type: ignore[arg-type]
    listed = []
    for row in np.flatnonzero(dirty & kept):
        found = index.explain(int(first[row]))
        words = " ".join(found.words)
        listed.append((int(row), found.benchmark, found.item, found.part, found.n, words, int(count[row])))
        decisions.reject(
            int(row),
            "decontamination",
            CONTAMINATION_RULE,
            float(count[row]),
            f"{found.benchmark} item {found.item} ({found.part}), {found.n} words: {words}",
            f"used by fewer than {plan.threshold} documents",
        )
    columns = list(zip(*listed, strict=True)) or [()] * len(CONTAMINATED)
    table = pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, CONTAMINATED, strict=True)],
        CONTAMINATED,
    )
    _write_ledger(contaminated_path(plan.folder, item.key), table)
    return decisions.table()


CONTAMINATED = pa.schema(
    [
        ("row", pa.int64()),  # the row in the chunk; not published
        ("benchmark", pa.string()),  # the benchmark's key
        ("item", pa.string()),  # the item's id
        ("part", pa.string()),  # the part of the item: prompt, choices, answer or passage
        ("n", pa.int32()),  # words of the n-gram at fault
        ("words", pa.string()),  # the n-gram, as the word rule folds it
        ("documents", pa.int64()),  # documents of the corpus that hold it
    ]
)
"""A contaminated document and the first n-gram at fault."""


def contaminated_path(folder: str, key: str) -> str:
    """Where the contaminated documents of a chunk are listed."""
    return storage.join(folder, "contaminated", f"{key}.arrow")


def decide(
    chunks: Sequence[HarvestedChunk], plan: DecidePlan, report: Sequence[ReportRule], engine: Engine
) -> list[Settled]:
    """All decisions of a run, by chunk, in the order of the chunks."""
    items = [ChunkItem(key=chunk.key, chunk=chunk, weight=chunk.rows) for chunk in chunks]
    if plan.ngrams:
        engine.shuffle("decide", decide_chunk, items, sum_usage, plan)
    else:
        engine.run("decide", decide_chunk, items, plan)
    settled = engine.run("settle", settle_chunk, items, SettlePlan(decide=plan, report=tuple(report)))
    by_key = {each.key: each for each in settled}
    return [by_key[chunk.key] for chunk in chunks]
