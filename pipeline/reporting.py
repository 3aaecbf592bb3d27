"""From a run's decisions to its report: histograms and examples are gathered here, pages are made by `pipeline.report`.

The histograms' edges need the range of each column over all chunks, so they are a pass of their own over compact columns;
examples are picked from the summaries first, and only the chunks that hold one are opened for their text.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel

from pipeline import storage
from pipeline.chunks import HarvestedChunk
from pipeline.contamination import ContaminationPlan
from pipeline.contamination_report import contamination_report, write_decisions
from pipeline.decide import Settled, read_ledger
from pipeline.harvest import rows_of, schema_of
from pipeline.output import OutputFolder
from pipeline.publish import published_columns
from pipeline.report import model
from pipeline.report.card import write_card
from pipeline.report.histograms import choose_edges, count_values
from pipeline.report.html import write_report
from pipeline.stages import StageSettings
from pipeline.summary import Candidate, ChunkSummary, ReportRule, positions

if TYPE_CHECKING:
    from pipeline.engine import Engine

EXCERPT = 600
"""Characters of a document that an example shows."""

LONG = 5_000
"""Characters of a document that are kept to compare copies."""

CLUSTERS = 10
"""Largest clusters of duplicates that the report shows, and members of each."""


class Edges(BaseModel, frozen=True):
    """The bins of one rule's histogram; `position` is the rule's place in the recipe."""

    column: str
    position: int
    edges: tuple[float, ...]


class HistogramPlan(BaseModel, frozen=True):
    """What counting a chunk's values needs."""

    rules: tuple[ReportRule, ...]
    edges: tuple[Edges, ...]


class SettledChunk(BaseModel, frozen=True):
    """A chunk with its final ledger."""

    key: str
    chunk: HarvestedChunk
    ledger: str


class Tallies(BaseModel):
    """Per column: counts of the bins, then below, above, missing."""

    counts: dict[str, list[int]]


def count_chunk(item: SettledChunk, plan: HistogramPlan) -> Tallies:
    """Count the values of a chunk's documents that reached each rule."""
    places = positions(read_ledger(item.ledger), plan.rules)
    table = rows_of(item.chunk, [each.column for each in plan.edges])
    counts = {}
    for each in plan.edges:
        values = table[each.column].combine_chunks().filter(pa.array(places >= each.position))
        tally = count_values(_numbers(values), np.array(each.edges))
        counts[each.column] = [*(int(c) for c in tally.counts), tally.below, tally.above, tally.nulls]
    return Tallies(counts=counts)


def _numbers(values: pa.Array) -> Any:
    """Values in their own type with NaN for missing ones; integers stay integers where none is missing."""
    if values.null_count == 0:
        return values.to_numpy(zero_copy_only=False)
    wide = values if pa.types.is_floating(values.type) else values.cast(pa.float64())
    return wide.fill_null(np.nan).to_numpy(zero_copy_only=False)


class ExampleItem(BaseModel, frozen=True):
    """Rows of a chunk to show; of the `long` ones as much text as `corpusmill inspect duplicates` compares."""

    key: str
    chunk: HarvestedChunk
    ledger: str
    rows: tuple[int, ...]
    long: tuple[int, ...] = ()


class NoSettings(BaseModel, frozen=True):
    """For tasks that need nothing but their item."""


class Shown(BaseModel):
    """Examples by row."""

    examples: dict[int, model.Example]


def read_examples(item: ExampleItem, shared: NoSettings) -> Shown:  # noqa: ARG001 - a task's signature
    """The documents of some rows as examples."""
    rows = pa.array(item.rows, pa.int64())
    table = rows_of(item.chunk, ["id", "url", "title", "source", "text", "excerpt"]).take(rows)
    details = read_ledger(item.ledger).take(rows)["detail"].to_pylist()
    shown = {}
    for row, found, detail in zip(item.rows, table.to_pylist(), details, strict=True):
        text = found["text"] or found["excerpt"] or detail or ""
        shown[row] = model.Example(
            id=found["id"],
            url=found["url"],
            title=found["title"],
            source=found["source"],
            text=text[: LONG if row in item.long else EXCERPT],
        )
    return Shown(examples=shown)


class _Examples:
    """Gathers the rows wanted by all parts of the report, reads them in one phase, gives them out."""

    def __init__(self, chunks: Sequence[HarvestedChunk], settled: Sequence[Settled]) -> None:
        self._chunks = {chunk.key: (chunk, each.path) for chunk, each in zip(chunks, settled, strict=True)}
        self._bases = np.array([chunk.base for chunk in chunks], np.int64)
        self._keys = [chunk.key for chunk in chunks]
        self._wanted: dict[str, set[int]] = collections.defaultdict(set)
        self._long: dict[str, set[int]] = collections.defaultdict(set)
        self._found: dict[tuple[str, int], model.Example] = {}

    def want(self, candidates: Iterable[Candidate]) -> None:
        for candidate in candidates:
            self._wanted[candidate.chunk].add(candidate.row)

    def want_ordinal(self, ordinal: int, *, long: bool = False) -> tuple[str, int]:
        """Ask for the document of an ordinal; where it lies."""
        at = int(np.searchsorted(self._bases, ordinal, side="right")) - 1
        place = (self._keys[at], int(ordinal - self._bases[at]))
        self._wanted[place[0]].add(place[1])
        if long:
            self._long[place[0]].add(place[1])
        return place

    def read(self, engine: Engine) -> None:
        items = [
            ExampleItem(
                key=key,
                chunk=self._chunks[key][0],
                ledger=self._chunks[key][1],
                rows=tuple(sorted(rows)),
                long=tuple(sorted(self._long[key])),
            )
            for key, rows in sorted(self._wanted.items())
        ]
        results = engine.run("examples", read_examples, items, NoSettings())
        for item, result in zip(items, results, strict=True):
            self._found.update({(item.key, row): example for row, example in result.examples.items()})

    def at(self, place: tuple[str, int], value: Any = None) -> model.Example:
        return self._found[place].model_copy(update={"value": value})

    def survivor(self, member: dict[str, Any]) -> model.Example:
        """What survives in the place of a removed document; one of an earlier run is not read."""
        survivor = member["survivor"]
        return survivor if isinstance(survivor, model.Example) else self.at(survivor)

    def all(self, candidates: Iterable[Candidate]) -> list[model.Example]:
        return [self.at((each.chunk, each.row), each.value) for each in candidates]


def write_reports(
    plan: Any,
    stages: StageSettings,
    chunks: list[HarvestedChunk],
    settled: list[Settled],
    total: ChunkSummary,
    manifest: dict[str, Any],
    duplicates: Any,
    contamination: ContaminationPlan | None,
    published: Any,
    engine: Engine,
) -> None:
    """Write `report.html`, the data card and `decisions/`."""
    from pipeline.run import report_rules

    rules = report_rules(plan)
    folder = OutputFolder(plan.output)
    examples = _Examples(chunks, settled)
    for summary in total.rules.values():
        examples.want([*summary.dropped, *summary.kept])
    clusters = _largest_clusters(duplicates, examples) if duplicates is not None else []
    matches = write_decisions(folder, chunks, settled, contamination) if contamination is not None else None
    failures = _failures(settled, chunks, examples)
    examples.read(engine)
    histograms = _histograms(rules, chunks, settled, total, engine)
    report = model.RunReport(
        job=plan.job,
        title=f"{plan.job}: {', '.join(plan.config.sources)}",
        output=plan.output,
        created=manifest["created"],
        corpusmill_version=manifest["corpusmill"],
        versions=manifest["versions"],
        inputs=_inputs(plan, chunks),
        stages=_stages(manifest),
        books={
            name: model.Books(**account) for name, account in manifest["books"].items() if name != "total"
        },
        rules=[_rule(rule, total, histograms, examples) for rule in rules if rule.bound is not None],
        duplicates=_duplicates(duplicates, plan, clusters, examples),
        contamination=contamination_report(
            folder, contamination, plan.config.decontamination, manifest, total, matches, published
        )
        if contamination is not None and matches is not None
        else None,
        failures=[
            model.FailureGroup(reason=reason, count=count, examples=[examples.at(place) for place in places])
            for reason, count, places in failures
        ],
        timings=_timings(manifest),
        warnings=_warnings(plan),
        config_yaml=yaml.safe_dump(
            plan.config.model_dump(mode="json", by_alias=True, exclude_none=True),
            sort_keys=False,
            allow_unicode=True,
        ),
        elapsed=manifest["cost"]["wall_seconds"],
        output_bytes=manifest["bytes"]["documents"],
        languages=manifest["languages"],
        columns=[
            model.ColumnNote(name=column.name, type=str(column.type), about=column.about)
            for column in published_columns(stages)
        ],
    )
    storage.write_bytes(folder.within("report.html"), write_report(report).encode())
    storage.write_bytes(folder.within("README.md"), write_card(report).encode())
    if duplicates is not None:
        storage.write_bytes(
            folder.within("decisions", "duplicates.parquet"), storage.read_bytes(duplicates.table)
        )
        _write_clusters(folder, clusters, examples)


def _inputs(plan: Any, chunks: Sequence[HarvestedChunk]) -> list[model.InputFile]:
    """Input files with the documents read from each; a chunk's key begins with its split's."""
    path_of = {split.key: split.path for split in plan.splits}
    documents: dict[str, int] = collections.Counter()
    for chunk in chunks:
        documents[path_of[chunk.key.rsplit("-", 1)[0]]] += chunk.rows
    return [
        model.InputFile(path=item["path"], bytes=item["bytes"], documents=documents[item["path"]])
        for item in plan.inputs
    ]


def _stages(manifest: dict[str, Any]) -> list[model.StageCount]:
    return [
        model.StageCount(
            name=row["stage"],
            entered=row["entered"],
            rejected=row["rejected"],
            failed=row["failed"],
            bytes_out=row["text_bytes"],
        )
        for row in manifest["funnel"]
    ]


def _timings(manifest: dict[str, Any]) -> list[model.Timing]:
    documents = manifest["books"]["total"]["read"]
    return [
        model.Timing(
            stage=cost["phase"], wall=cost["wall_seconds"], cpu=cost["cpu_seconds"], documents=documents
        )
        for cost in manifest["cost"]["phases"]
    ]


def _warnings(plan: Any) -> list[model.RunWarning]:
    if plan.config.decontamination.benchmarks is not None:
        return []
    return [
        model.RunWarning(
            title="Decontamination did not run",
            detail="No benchmarks were named, so published documents may hold benchmark questions.",
            advice="Run again with --benchmarks FILE.yaml and --benchmark-root FOLDER; see docs/decontamination.md.",
        )
    ]


def _rule(
    rule: ReportRule, total: ChunkSummary, histograms: dict[str, model.Histogram], examples: _Examples
) -> model.RuleReport:
    summary = total.rules.get(rule.name)
    if summary is None or rule.bound is None:
        return model.RuleReport(
            name=rule.name,
            stage=rule.stage,
            bound=rule.bound.text() if rule.bound else "",
            measured=0,
            rejected=0,
        )
    values = None
    if not rule.numeric:
        values = [
            model.ValueCount(value=value, count=count, rejected=_rejects(rule, value))
            for value, count in sorted(summary.values.items(), key=lambda pair: (-pair[1], pair[0]))[:20]
        ]
        if summary.missing:
            rejected = rule.bound.missing == "reject"
            values.append(model.ValueCount(value=None, count=summary.missing, rejected=rejected))
    return model.RuleReport(
        name=rule.name,
        stage=rule.stage,
        bound=rule.bound.text(),
        measured=summary.reached,
        rejected=summary.rejected,
        would_reject=summary.failing,
        histogram=histograms.get(rule.name),
        values=values,
        dropped=examples.all(summary.dropped),
        kept=examples.all(summary.kept),
    )


def _rejects(rule: ReportRule, value: str) -> bool:
    bound = rule.bound
    allowed = bound is None or bound.in_ is None or value in map(str, bound.in_)
    return not allowed or (bound is not None and value in map(str, bound.not_in or ()))


def _histograms(
    rules: Sequence[ReportRule],
    chunks: Sequence[HarvestedChunk],
    settled: Sequence[Settled],
    total: ChunkSummary,
    engine: Engine,
) -> dict[str, model.Histogram]:
    """The histogram of every numeric rule whose column has a value."""
    types = {name: kind.to_pandas_dtype() for name, kind in _types(chunks).items()}
    scales, wanted = {}, []
    for position, rule in enumerate(rules):
        summary = total.rules.get(rule.name)
        if not rule.numeric or rule.bound is None or summary is None:
            continue
        low, high = summary.minimum, summary.maximum
        if low is None or high is None:
            continue
        edges, scales[rule.name] = choose_edges(low, high, rule.bound.text(), dtype=types[rule.name])
        wanted.append(Edges(column=rule.name, position=position, edges=tuple(float(edge) for edge in edges)))
    items = [
        SettledChunk(key=chunk.key, chunk=chunk, ledger=each.path)
        for chunk, each in zip(chunks, settled, strict=True)
    ]
    if not wanted:
        return {}
    shared = HistogramPlan(rules=tuple(rules), edges=tuple(wanted))
    sums: dict[str, np.ndarray] = {each.column: np.zeros(len(each.edges) + 2, np.int64) for each in wanted}
    for tallies in engine.run("histograms", count_chunk, items, shared):
        for column, counts in tallies.counts.items():
            sums[column] += np.array(counts, np.int64)
    return {
        each.column: model.Histogram(
            edges=list(each.edges),
            counts=[int(count) for count in sums[each.column][:-3]],
            scale=scales[each.column],
            below=int(sums[each.column][-3]),
            above=int(sums[each.column][-2]),
            nulls=int(sums[each.column][-1]),
        )
        for each in wanted
    }


def _types(chunks: Sequence[HarvestedChunk]) -> dict[str, pa.DataType]:
    """The type of every number in a chunk file; all chunks have one schema."""
    fields = schema_of(chunks[0]) if chunks else ()
    return {
        field.name: field.type
        for field in fields
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    }


def _failures(
    settled: Sequence[Settled], chunks: Sequence[HarvestedChunk], examples: _Examples
) -> list[tuple[str, int, list[tuple[str, int]]]]:
    """Reason, count, and where the first few of each reason lie."""
    found: dict[str, list[tuple[str, int]]] = {}
    counts: dict[str, int] = collections.Counter()
    for chunk, each in zip(chunks, settled, strict=True):
        if not any(books.failed for books in each.summary.sources.values()):
            continue
        ledger = read_ledger(each.path)
        for row, (status, reason) in enumerate(
            zip(ledger["status"].to_pylist(), ledger["rule"].to_pylist(), strict=True)
        ):
            if status != "failed":
                continue
            counts[reason] += 1
            places = found.setdefault(reason, [])
            if len(places) < 10:
                places.append(examples.want_ordinal(chunk.base + row))
    return [(reason, counts[reason], found[reason]) for reason in sorted(found)]


def _largest_clusters(duplicates: Any, examples: _Examples) -> list[list[dict[str, Any]]]:
    """The removed documents of the largest clusters, with where they and their survivors lie."""
    from pipeline.dedup.arrays import open_array
    from pipeline.dedup.survivors import REMOVED, table_of

    found: list[np.ndarray] = []
    for removals in duplicates.removals:
        removed = np.asarray(open_array(removals.path, REMOVED))
        if len(removed):
            found.append(removed)
    if not found:
        return []
    table = np.concatenate(found)
    order = np.lexsort(
        (
            table["id_lo"],
            table["id_hi"],
            table["cluster_lo"],
            table["cluster_hi"],
            -table["cluster_size"].astype(np.int64),
        )
    )
    clusters: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for at in order:
        row = table[at]
        key = (int(row["cluster_hi"]), int(row["cluster_lo"]))
        if key not in clusters and len(clusters) == CLUSTERS:
            break
        members = clusters.setdefault(key, [])
        if len(members) < CLUSTERS:
            shown = table_of(table[at : at + 1], duplicates.earlier).to_pylist()[0]
            run = shown["surviving_run"]
            members.append(
                {
                    "size": int(row["cluster_size"]),
                    "kind": int(row["kind"]),
                    "similarity": float(row["similarity"]),
                    "place": examples.want_ordinal(int(row["ordinal"]), long=True),
                    "run": run,
                    "survivor": examples.want_ordinal(int(row["survivor"]), long=True)
                    if run is None
                    else _published(shown["surviving_id"], run),
                }
            )
    return list(clusters.values())


def _published(identifier: str, run: str) -> model.Example:
    """A document of an earlier run; its text is not read."""
    return model.Example(id=identifier, title=f"{identifier} in {run}", text=f"Published earlier, in {run}.")


CLUSTER_SCHEMA = pa.schema(
    [
        ("cluster", pa.int32()),
        ("size", pa.int64()),
        ("kind", pa.string()),
        ("similarity", pa.float32()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("text", pa.string()),
        ("surviving_id", pa.string()),
        ("surviving_run", pa.string()),  # the earlier run that published it; its text is not shown
        ("surviving_url", pa.string()),
        ("surviving_text", pa.string()),
    ]
)
"""`decisions/clusters.parquet`: members of the largest clusters beside what survives, for `corpusmill inspect duplicates`."""


def _write_clusters(folder: OutputFolder, clusters: list[list[dict[str, Any]]], examples: _Examples) -> None:
    from pipeline.dedup.survivors import KINDS

    rows = []
    for number, members in enumerate(clusters):
        for member in members:
            copy, survivor = examples.at(member["place"]), examples.survivor(member)
            rows.append(
                {
                    "cluster": number,
                    "size": member["size"],
                    "kind": KINDS[member["kind"]],
                    "similarity": None if np.isnan(member["similarity"]) else member["similarity"],
                    **{name: getattr(copy, name) for name in ("id", "url", "text")},
                    "surviving_run": member["run"],
                    **{f"surviving_{name}": getattr(survivor, name) for name in ("id", "url", "text")},
                }
            )
    with storage.write_atomically(folder.within("decisions", "clusters.parquet")) as file:
        pq.write_table(pa.Table.from_pylist(rows, CLUSTER_SCHEMA), file, compression="zstd")


def _duplicates(
    duplicates: Any, plan: Any, clusters: list[list[dict[str, Any]]], examples: _Examples
) -> model.DuplicateReport | None:
    if duplicates is None:
        return None
    from pipeline.dedup.survivors import KINDS

    settings = plan.config.dedup
    return model.DuplicateReport(
        documents=duplicates.documents,
        removed=duplicates.removed,
        sizes=duplicates.clusters_by_size,
        method=(
            f"{settings.bands} bands of {settings.rows} MinHash values over word {plan.config.minhash.ngram}-grams, "
            f"verified by {settings.verify}, threshold {settings.threshold:g}, scope {settings.scope}"
        ),
        clusters=[
            model.Cluster(
                size=members[0]["size"],
                kind=KINDS[members[0]["kind"]],
                survivor=examples.survivor(members[0]),
                members=[
                    examples.at(
                        member["place"], None if np.isnan(member["similarity"]) else member["similarity"]
                    )
                    for member in members
                ],
            )
            for members in clusters
        ],
    )
