"""What a chunk's decisions add up to: the counts of the books, ranges, and candidates for examples.

Summaries of chunks are small and add up; no order of adding changes the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from pipeline.chunks import HarvestedChunk
from pipeline.harvest import rows_of, schema_of
from pipeline.rules import Bound, Rule


class ReportRule(BaseModel, frozen=True):
    """A rule as the report lists it, in recipe order. `bound` is None for decisions that are not bounds of a column."""

    name: str
    stage: str
    bound: Bound | None = None
    numeric: bool = False


class Candidate(BaseModel, frozen=True):
    """A document that may be shown as an example: where it is, its measured value, and how it ranks among others."""

    chunk: str
    row: int
    id: str
    rank: float
    value: float | str | None = None


class RuleSummary(BaseModel):
    """One rule over a chunk: documents that reached it, that it rejected, that fail it whatever came before in its stage."""

    reached: int = 0
    rejected: int = 0
    failing: int = 0
    minimum: float | None = None
    maximum: float | None = None
    values: dict[str, int] = {}
    missing: int = 0
    dropped: list[Candidate] = []
    kept: list[Candidate] = []


class SourceSummary(BaseModel):
    """The books of one source."""

    read: int = 0
    published: int = 0
    rejected: dict[str, int] = {}
    failed: dict[str, int] = {}


class StageSummary(BaseModel):
    """Documents that a stage took out, and the bytes of their text."""

    rejected: int = 0
    failed: int = 0
    text_bytes: int = 0


class ChunkSummary(BaseModel):
    """Everything that manifest, report and publishing need to know of a chunk."""

    documents: int = 0
    published_bytes: int = 0
    extracted_bytes: int = 0
    raw_bytes: int = 0
    words: int = 0
    sources: dict[str, SourceSummary] = {}
    stages: dict[str, StageSummary] = {}
    rules: dict[str, RuleSummary] = {}
    languages: dict[str, int] = {}


TOP_VALUES = 20
"""Distinct text values of a column that a chunk's summary keeps."""


def summarise(
    chunk: HarvestedChunk, ledger: pa.Table, rules: Sequence[ReportRule], examples: int
) -> ChunkSummary:
    """The summary of a chunk's final ledger."""
    bounded = [rule.name for rule in rules if rule.bound is not None]
    measured = ("text.bytes", "http.bytes", "gopher.word_count", "language")
    names = ["id", "source", *bounded, *measured]
    there = set(schema_of(chunk).names)
    table = rows_of(chunk, [name for name in dict.fromkeys(names) if name in there])
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    status = np.array(ledger["status"].to_pylist(), object)
    kept = status == "kept"
    summary = ChunkSummary(
        documents=chunk.rows,
        published_bytes=_sum(columns.get("text.bytes"), kept),
        extracted_bytes=_sum(columns.get("text.bytes"), np.ones(chunk.rows, bool)),
        raw_bytes=_sum(columns.get("http.bytes"), np.ones(chunk.rows, bool)),
        words=_sum(columns.get("gopher.word_count"), kept),
        sources=_sources(columns["source"], ledger),
        stages=_stages(ledger, columns.get("text.bytes")),
    )
    if "language" in columns:
        summary.languages = _counts(columns["language"].filter(pa.array(kept)))
    places = positions(ledger, rules)
    ids = np.array(columns["id"].to_pylist(), dtype=str)
    starts = {rule.stage: position for position, rule in reversed(list(enumerate(rules)))}
    for position, rule in enumerate(rules):
        summary.rules[rule.name] = _rule(
            chunk, rule, (starts[rule.stage], position), places, kept, columns, ids, examples
        )
    return summary


def _sum(values: pa.Array | None, where: np.ndarray) -> int:
    return 0 if values is None else int(pc.sum(values.filter(pa.array(where))).as_py() or 0)


def _counts(values: pa.Array) -> dict[str, int]:
    pairs = pc.value_counts(values.drop_null()).to_pylist()
    return {str(pair["values"]): pair["counts"] for pair in sorted(pairs, key=lambda p: str(p["values"]))}


def _sources(source: pa.Array, ledger: pa.Table) -> dict[str, SourceSummary]:
    table = pa.table({"source": source, "status": ledger["status"], "rule": ledger["rule"]})
    found: dict[str, SourceSummary] = {}
    for row in table.group_by(["source", "status", "rule"]).aggregate([([], "count_all")]).to_pylist():
        books = found.setdefault(row["source"], SourceSummary())
        count = row["count_all"]
        books.read += count
        if row["status"] == "kept":
            books.published += count
        else:
            side = books.rejected if row["status"] == "rejected" else books.failed
            side[row["rule"]] = side.get(row["rule"], 0) + count
    return found


def _stages(ledger: pa.Table, text_bytes: pa.Array | None) -> dict[str, StageSummary]:
    sizes = text_bytes if text_bytes is not None else pa.nulls(ledger.num_rows, pa.int64())
    table = ledger.select(["stage", "status"]).append_column("bytes", pc.fill_null(sizes, 0))
    found: dict[str, StageSummary] = {}
    for row in (
        table.group_by(["stage", "status"]).aggregate([([], "count_all"), ("bytes", "sum")]).to_pylist()
    ):
        if row["status"] == "kept":
            continue
        stage = found.setdefault(row["stage"], StageSummary())
        setattr(stage, row["status"], getattr(stage, row["status"]) + row["count_all"])
        stage.text_bytes += row["bytes_sum"]
    return found


def positions(ledger: pa.Table, rules: Sequence[ReportRule]) -> np.ndarray:
    """Per document the position of the rule that rejected it; just before the first rule of its stage where it failed;
    else past the last."""
    by_rule = {rule.name: at for at, rule in enumerate(rules)}
    by_stage: dict[str, int] = {}
    for at, rule in enumerate(rules):
        by_stage.setdefault(rule.stage, at)
    places = np.full(ledger.num_rows, float(len(rules)))
    rows = zip(
        ledger["status"].to_pylist(), ledger["stage"].to_pylist(), ledger["rule"].to_pylist(), strict=True
    )
    for row, (status, stage, rule) in enumerate(rows):
        if status == "rejected":
            places[row] = by_rule[rule]
        elif status == "failed":
            places[row] = by_stage.get(stage, 0) - 0.5
    return places


def _rule(
    chunk: HarvestedChunk,
    rule: ReportRule,
    position_in: tuple[int, int],
    places: np.ndarray,
    kept: np.ndarray,
    columns: dict[str, pa.Array],
    ids: np.ndarray,
    examples: int,
) -> RuleSummary:
    start, position = position_in
    reached = places >= position
    summary = RuleSummary(reached=int(reached.sum()), rejected=int((places == position).sum()))
    dropped = np.flatnonzero(places == position)
    if rule.bound is None:
        summary.failing = summary.rejected
        summary.dropped = _lowest(chunk, ids, None, dropped, None, examples)
        return summary
    values = columns[rule.name]
    # Rules are checked against their column when the plan is made; here only the bound is needed.
    checked = Rule(column=_Named(rule.name), stage=rule.stage, bound=rule.bound)  # type: ignore[arg-type]
    failing = checked.fails(values)
    summary.failing = int((failing & (places >= start)).sum())
    seen = values.filter(pa.array(reached))
    if rule.numeric:
        limits = pc.min_max(pc.if_else(pc.is_finite(seen), seen, None)).as_py() if len(seen) else {}
        summary.minimum, summary.maximum = limits.get("min"), limits.get("max")
        distance = _distance(values, rule.bound)
    else:
        top = sorted(_counts(seen).items(), key=lambda pair: (-pair[1], pair[0]))[:TOP_VALUES]
        summary.values, summary.missing, distance = dict(top), seen.null_count, None
    summary.dropped = _lowest(chunk, ids, values, dropped, None, examples)
    summary.kept = _lowest(chunk, ids, values, np.flatnonzero(kept), distance, examples)
    return summary


class _Named:
    """A column's name alone."""

    def __init__(self, name: str) -> None:
        self.name = name


def _distance(values: pa.Array, bound: Bound) -> np.ndarray:
    """How far each value is from the nearer of the bound's limits."""
    numbers = values.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    limits = [limit for limit in (bound.min, bound.max) if limit is not None]
    if not limits:
        return np.zeros(len(numbers))
    distance: np.ndarray = np.nan_to_num(
        np.min([np.abs(numbers - limit) for limit in limits], axis=0), nan=np.inf
    )
    return distance


def _lowest(
    chunk: HarvestedChunk,
    ids: np.ndarray,
    values: pa.Array | None,
    rows: np.ndarray,
    distance: np.ndarray | None,
    count: int,
) -> list[Candidate]:
    """The candidates that rank first: by distance where given, then by id (a hash: an unbiased sample)."""
    near = distance[rows] if distance is not None else np.zeros(len(rows))
    first = np.lexsort((rows, ids[rows], near))[:count]
    return [
        Candidate(chunk=chunk.key, row=row, id=str(ids[row]), rank=rank, value=_plain(values, row))
        for row, rank in zip(rows[first].tolist(), near[first].tolist(), strict=True)
    ]


def _plain(values: pa.Array | None, row: int) -> Any:
    value = values[row].as_py() if values is not None else None
    return float(value) if isinstance(value, int | float) else value


def add_up(summaries: Iterable[ChunkSummary], examples: int) -> ChunkSummary:
    """The summary of all chunks."""
    total = ChunkSummary()
    for each in summaries:
        for name in ("documents", "published_bytes", "extracted_bytes", "raw_bytes", "words"):
            setattr(total, name, getattr(total, name) + getattr(each, name))
        for source, books in each.sources.items():
            _add_books(total.sources.setdefault(source, SourceSummary()), books)
        for stage, counts in each.stages.items():
            sums = total.stages.setdefault(stage, StageSummary())
            for name in ("rejected", "failed", "text_bytes"):
                setattr(sums, name, getattr(sums, name) + getattr(counts, name))
        for rule, found in each.rules.items():
            _add_rule(total.rules.setdefault(rule, RuleSummary()), found, examples)
        _add_counts(total.languages, each.languages)
    return total


def _add_counts(into: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        into[name] = into.get(name, 0) + count


def _add_books(into: SourceSummary, more: SourceSummary) -> None:
    into.read, into.published = into.read + more.read, into.published + more.published
    _add_counts(into.rejected, more.rejected)
    _add_counts(into.failed, more.failed)


def _add_rule(into: RuleSummary, more: RuleSummary, examples: int) -> None:
    into.reached += more.reached
    into.rejected += more.rejected
    into.failing += more.failing
    into.missing += more.missing
    into.minimum = min((v for v in (into.minimum, more.minimum) if v is not None), default=None)
    into.maximum = max((v for v in (into.maximum, more.maximum) if v is not None), default=None)
    _add_counts(into.values, more.values)
    into.dropped = sorted([*into.dropped, *more.dropped], key=lambda c: (c.rank, c.id, c.chunk, c.row))[
        :examples
    ]
    into.kept = sorted([*into.kept, *more.kept], key=lambda c: (c.rank, c.id, c.chunk, c.row))[:examples]
