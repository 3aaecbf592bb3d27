"""What a run says of decontamination: its two tables in `decisions/`, and its part of the report.

decisions/contaminated.parquet    every place where a document holds benchmark text that is not common usage
decisions/ngram_usage.parquet     every benchmark n-gram that the corpus holds, with its documents (decontam.usage)
decisions/benchmarks.parquet      how much of each benchmark the published documents hold (decontam.exposure)
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from decontam import naming
from decontam.exposure import Exposure, exposure_table, exposures
from decontam.ngrams import NgramIndex
from decontam.rule import THRESHOLDS, U32
from decontam.settings import RuleName
from pipeline import storage
from pipeline.chunks import HarvestedChunk
from pipeline.contamination import (
    CUTS,
    MATCHES,
    ContaminationPlan,
    open_index,
    open_usage,
    rule_name,
    write_usage_table,
)
from pipeline.decide import Settled, read_ledger
from pipeline.harvest import rows_of
from pipeline.output import OutputFolder
from pipeline.report import contamination as model
from pipeline.report.base import Example
from pipeline.summary import ChunkSummary

SHOWN = 5
"""Contaminated documents shown per benchmark."""

COMMON = 20
"""Benchmark n-grams of common usage that the report lists."""

TABLE = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("url", pa.string()),
        *(each for each in MATCHES if each.name != "row"),
    ]
)


@dataclass
class Matches:
    """What `decisions/contaminated.parquet` adds up to, and the rows of it that the report shows."""

    documents: dict[str, int] = field(default_factory=collections.Counter)
    """Benchmark -> documents with a match."""
    contaminated: int = 0
    shown: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    edited: int = 0
    removed_characters: int = 0

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Count the matches of a chunk."""
        self.contaminated += len({row["id"] for row in rows})
        for row in rows:
            # The lowest ids are an unbiased sample, and the same whatever the order of the chunks.
            best = self.shown.setdefault(row["benchmark"], [])
            best.append(row)
            best.sort(key=lambda each: (each["id"], each["start"]))
            del best[SHOWN:]


def write_decisions(
    folder: OutputFolder,
    chunks: Sequence[HarvestedChunk],
    settled: Sequence[Settled],
    plan: ContaminationPlan,
) -> Matches:
    """Write the tables of matches and of n-grams; what the matches add up to."""
    matches = Matches()
    path = folder.within("decisions", "contaminated.parquet")
    with storage.write_atomically(path) as file, pq.ParquetWriter(file, TABLE, compression="zstd") as writer:
        for chunk, each in zip(chunks, settled, strict=True):
            for benchmark, documents in each.benchmarks.items():
                matches.documents[benchmark] += documents
            if each.matches is None:
                continue
            found = read_ledger(each.matches)
            named = rows_of(chunk, ["id", "url"]).take(found["row"])
            table = pa.table(
                {**{name: named[name] for name in named.column_names}, **_columns(found)}
            ).select(TABLE.names)
            writer.write_table(table.cast(TABLE))
            matches.add(table.to_pylist())
            cuts = read_ledger(each.cuts) if each.cuts is not None else CUTS.empty_table()
            matches.edited += cuts.num_rows
            matches.removed_characters += sum(cuts["removed_characters"].to_pylist())
    with storage.write_atomically(folder.within("decisions", "ngram_usage.parquet")) as file:
        write_usage_table(file, plan, chunks, [_before(plan, chunk) for chunk in chunks])
    return matches


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: table[name] for name in table.column_names}


def _before(plan: ContaminationPlan, chunk: HarvestedChunk) -> str:
    """The ledger that says which documents were counted: those that were left before decontamination."""
    from pipeline.decide import ledger_path

    return ledger_path(plan.folder, chunk.key)


def contamination_report(
    folder: OutputFolder,
    plan: ContaminationPlan,
    settings: Any,
    manifest: dict[str, Any],
    total: ChunkSummary,
    matches: Matches,
    published: U32,
) -> model.ContaminationReport:
    """The report's part on decontamination; also writes `decisions/benchmarks.parquet`."""
    index = open_index(plan.index)
    header, account = index.header, manifest["decontamination"]
    name = rule_name(plan.rule)
    summary = total.rules.get(name)
    measured = exposures(index, published)
    with storage.write_atomically(folder.within("decisions", "benchmarks.parquet")) as file:
        pq.write_table(exposure_table(measured), file, compression="zstd")
    ids, uses = _watched(index, plan)
    exempted = np.flatnonzero(uses >= plan.threshold)
    found = _items_found(index, ids[uses < plan.threshold], plan.rule)
    return model.ContaminationReport(
        documents=summary.reached if summary is not None else 0,
        removed=summary.rejected if summary is not None else 0,
        edited=matches.edited,
        contaminated=matches.contaminated,
        removed_characters=matches.removed_characters,
        shortest=header.min_words,
        longest=header.max_words,
        rule=plan.rule,
        unit=plan.unit,
        parts=header.parts,
        forced=plan.rule == "any" and settings.force and settings.usage is None,
        common_usage=plan.threshold,
        threshold_note=_note(settings, manifest),
        usage=model.UsageTable(path=settings.usage) if settings.usage is not None else None,
        effects=_effects(account, plan.threshold),
        ngrams=index.size,
        exempted=len(exempted),
        common=_common(index, ids[exempted], uses[exempted], plan.rule),
        benchmarks=_benchmarks(index, matches, found, measured),
        skipped=list(header.skipped),
        missing=list(header.missing),
    )


def _watched(index: NgramIndex, plan: ContaminationPlan) -> tuple[U32, np.ndarray]:
    """The n-grams that the rule looks at and that were found, and their uses, the usage table's among them."""
    usage = open_usage(plan)
    found = [ids for ids, _ in usage.own()]
    ids = np.concatenate([np.zeros(0, np.uint32), *found])
    if plan.rule == "item":
        ids = ids[index.is_item(ids)]
    return ids, usage.of(ids)


def _items_found(index: NgramIndex, ids: U32, rule: RuleName) -> dict[int, int]:
    """Benchmark (its number) -> items of which the corpus holds an n-gram that is not common usage."""
    _, units = naming.units_of(index, ids, rule)
    units = np.unique(units)
    benchmarks = np.asarray(index.unit_benchmarks)[units]
    items = [f"{benchmark}\n{item}" for benchmark, item in zip(benchmarks, _taken(index, units), strict=True)]
    counts = collections.Counter(int(name.split("\n", 1)[0]) for name in set(items))
    return dict(counts)


def _taken(index: NgramIndex, units: np.ndarray) -> list[str]:
    names: list[str] = pa.array(index.unit_items).take(pa.array(units)).to_pylist()
    return names


def _note(settings: Any, manifest: dict[str, Any]) -> str:
    if settings.threshold != "auto":
        return ""
    return f"auto: 1000 x {manifest['bytes']['extracted_text'] / 1e9:,.3g} GB of text / 6.5 GB, between 10 and 1000"


def _effects(account: dict[str, Any], threshold: int) -> list[model.Effect]:
    effects = []
    for rule, counts in account["effect"].items():
        limits = {limit: counts[str(limit)] for limit in THRESHOLDS} | {threshold: counts["chosen"]}
        effects += [
            model.Effect(rule=rule, threshold=limit, documents=limits[limit]) for limit in sorted(limits)
        ]
    return effects


def _common(index: NgramIndex, ids: U32, uses: np.ndarray, rule: RuleName) -> list[model.NgramCount]:
    top = np.lexsort((ids, -uses))[:COMMON]
    rows = naming.describe(index, ids[top], rule).to_pylist()
    return [
        model.NgramCount(words=row["words"], count=count, benchmark=row["benchmark"], item=row["item"])
        for row, count in zip(rows, uses[top].tolist(), strict=True)
    ]


def _benchmarks(
    index: NgramIndex, matches: Matches, found: dict[int, int], measured: Sequence[Exposure]
) -> list[model.BenchmarkHits]:
    by_key = {each.benchmark: each for each in measured}
    return [
        model.BenchmarkHits(
            name=each.key,
            items=each.items,
            matchable=each.matchable,
            too_short=each.too_short,
            template=each.only_template,
            items_found=found.get(number, 0),
            documents=matches.documents.get(each.key, 0),
            template_texts=[template.text for template in each.templates],
            columns_read="; ".join(
                f"{part} from {', '.join(columns)}" for part, columns in each.columns.items() if columns
            ),
            matches=[_match(row) for row in matches.shown.get(each.key, [])],
            exposure=by_key.get(each.key),
        )
        for number, each in enumerate(index.header.benchmarks)
    ]


def _match(row: dict[str, Any]) -> model.Match:
    return model.Match(
        document=Example(id=row["id"], url=row["url"], text=""),
        **{
            name: row[name]
            for name in ("item", "n", "words", "part", "before", "match", "after", "shared_by")
        },
        documents=row["documents"],
    )
