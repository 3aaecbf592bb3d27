"""The report of a run as one self-contained HTML page.

The page asks for nothing from anywhere: its style, charts and few lines of script are inline, and a content
security policy that names them by hash forbids everything else, whatever the documents shown in it contain.
It reads without scripts, in light and dark, on a telephone and on paper.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.report import charts, contamination_view, formats, hostile
from pipeline.report.advice import all_warnings
from pipeline.report.charts import Part, Row
from pipeline.report.model import Books, DuplicateReport, RuleReport, RunReport, StageCount

MOST_ROWS = 200
"""Rows of a table that stands folded."""
MOST_SOURCES = 8
"""Sources with a column of their own."""
SHOWN_ROWS = 20
"""Rows, groups or clusters shown of an open-ended list."""
MOST_BENCHMARKS = 2000
"""Benchmarks of a table that stands folded."""
TOP_VALUES = 12
"""Bars for the most frequent values of a text column."""
CLUSTER_SIZES = (2, 3, 4, 5, 10, 20, 50, 100, 1000, 10_000)

_SCRIPT = """
(function () {
  var all = function () { return document.querySelectorAll('details.examples'); };
  var button = document.getElementById('unfold');
  button.hidden = false;
  button.onclick = function () {
    var open = button.getAttribute('aria-pressed') !== 'true';
    all().forEach(function (one) { one.open = open; });
    button.setAttribute('aria-pressed', open);
    button.textContent = open ? 'Fold all examples' : 'Unfold all examples';
  };
})();
"""


def write_report(report: RunReport) -> str:
    """The page as text. The same report gives the same page, byte for byte."""
    style = _resource("style.css")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            total=report.total,
            verdict=_unbroken(verdict(report)),
            warnings=all_warnings(report),
            policy=_policy(style, _SCRIPT),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(_SCRIPT),  # noqa: S704 - our own text
            outcome=outcome_bar(report.total, 18),
            facts=_facts(report),
            matrix=_reason_matrix(report),
            largest_failures=sorted(report.failures, key=lambda group: (-group.count, group.reason)),
        )
    )


def verdict(report: RunReport) -> str:
    """The run in one sentence."""
    total = report.total
    counts = (
        f"{formats.plural(total.read, 'document')} read, {formats.number(total.published)} published "
        f"({formats.percent(total.published, total.read)}), {formats.number(total.rejected_total)} rejected, "
        f"{formats.number(total.failed_total)} failed"
    )
    wrong = sum(not books.balances for books in report.books.values())
    if not wrong:
        return f"{counts}; the books balance."
    return f"{counts}; the books of {formats.plural(wrong, 'source')} do not balance."


def _unbroken(sentence: str) -> str:
    """The sentence with each number kept on one line with the word that follows it."""
    return re.sub(r"(?<=\d) (?=[a-z(])", "\N{NO-BREAK SPACE}", sentence)


def outcome_bar(books: Books, height: int = 14) -> Markup:
    """What became of the documents of a source, as one bar."""
    parts = [
        Part("kept", books.published, "published"),
        Part("rejected", books.rejected_total, "rejected"),
        Part("failed", books.failed_total, "failed"),
        Part("mixed", max(0, books.missing), "unaccounted for"),
    ]
    return charts.stacked_bar(parts, max(books.read, sum(part.count for part in parts)), height)


def _facts(report: RunReport) -> list[tuple[str, str, str]]:
    """What ran, as name, figure and remark."""
    read_bytes = sum(file.bytes for file in report.inputs)
    cpu = sum(timing.cpu for timing in report.timings)
    wall = sum(timing.wall for timing in report.timings) if report.elapsed is None else report.elapsed
    total = report.total
    facts = [
        ("Input", formats.size(read_bytes), formats.plural(len(report.inputs), "file")),
        ("Documents in", formats.number(total.read), formats.plural(len(report.books), "source")),
        ("Documents out", formats.number(total.published), formats.percent(total.published, total.read)),
    ]
    before = next((stage.bytes_in for stage in report.stages if stage.bytes_in is not None), None)
    after = next((stage.bytes_out for stage in reversed(report.stages) if stage.bytes_out is not None), None)
    if after is not None:
        share = f"{formats.percent(after, before)} of {formats.size(before)}" if before else ""
        facts.append(("Text out", formats.size(after), share))
    if report.output_bytes is not None:
        facts.append(("Shards", formats.size(report.output_bytes), "as stored"))
    if report.timings:
        facts.append(
            ("Wall time", formats.duration(wall), "" if report.elapsed is not None else "sum of the stages")
        )
        facts.append(("CPU time", formats.duration(cpu), f"{cpu / wall:.1f} cores busy" if wall else ""))
    return facts


def _reason_matrix(report: RunReport) -> dict[str, Any]:
    """Documents by reason (rows, in recipe order) and source (columns; all but the largest few together)."""
    by_size = sorted(report.books.items(), key=lambda item: (-item[1].read, item[0]))
    columns: list[tuple[str, list[Books]]] = [
        (source, [books]) for source, books in sorted(by_size[:MOST_SOURCES])
    ]
    if len(by_size) > MOST_SOURCES:
        rest = by_size[MOST_SOURCES:]
        columns.append((f"{len(rest)} others", [books for _, books in rest]))
    total = report.total
    recipe = {rule.name: index for index, rule in enumerate(report.rules)}
    rows = []
    for kind, reasons in (("rejected", total.rejected), ("failed", total.failed)):
        for reason in sorted(reasons, key=lambda name: (recipe.get(name, len(recipe)), -reasons[name], name)):
            cells = [sum(getattr(books, kind).get(reason, 0) for books in group) for _, group in columns]
            rows.append((kind, reason, cells, reasons[reason]))
    return {"sources": [source for source, _ in columns], "rows": rows}


def rule_chart(rule: RuleReport, index: int) -> Markup:
    """The rule's histogram or bar chart; nothing where neither was counted."""
    title = f"{rule.name}, {rule.bound}"
    if rule.histogram is not None:
        return charts.histogram(rule.histogram, rule.limits, f"rule-{index}", title)
    if not rule.values:
        return Markup("")
    shown = rule.values[:TOP_VALUES]
    rows = [
        Row(formats.measured(entry.value), entry.count, "rejected" if entry.rejected else "kept")
        for entry in shown
    ]
    rest = rule.values[len(shown) :]
    if rest:
        rows.append(Row(f"{len(rest)} other values", sum(entry.count for entry in rest), "mixed"))
    return charts.bar_rows(rows, f"rule-{index}", title, rule.measured)


def cluster_chart(duplicates: DuplicateReport) -> Markup:
    """How many clusters there are of each size, sizes grouped."""
    bounds = [*CLUSTER_SIZES, None]
    rows = []
    for low, high in itertools.pairwise(bounds):
        if low is None:
            continue
        inside = {
            size: n for size, n in duplicates.sizes.items() if size >= low and (high is None or size < high)
        }
        if not inside:
            continue
        name = (
            f"{formats.number(low)} or more"
            if high is None
            else f"{low}"
            if high == low + 1
            else f"{low:,}–{high - 1:,}"
        )
        clusters, documents = sum(inside.values()), sum(size * n for size, n in inside.items())
        remark = f" {'cluster' if clusters == 1 else 'clusters'}, {formats.plural(documents, 'document')}"
        rows.append(Row(f"{name} documents", clusters, "kept", remark))
    return charts.bar_rows(rows, "clusters", "Clusters of duplicates by size")


def stage_bar(stage: StageCount, whole: int) -> Markup:
    """One stage of the funnel: what remains, what it removes, and the space of what was gone before."""
    parts = [
        Part("kept", stage.remaining, "remaining"),
        Part("rejected", stage.rejected, "rejected"),
        Part("failed", stage.failed, "failed"),
    ]
    return charts.stacked_bar(parts, max(whole, stage.entered))


def share_bar(count: float, whole: float, kind: str) -> Markup:
    """A small bar beside a figure."""
    return charts.stacked_bar([Part(kind, count)], whole, 8)


def _finalize(value: object) -> object:
    """What a template prints: numbers and markup as they are; any other string cut, its characters shown."""
    return hostile.plain(value, 4000) if isinstance(value, str) and not hasattr(value, "__html__") else value


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters |= {
        "number": formats.number,
        "size": formats.size,
        "duration": formats.duration,
        "measured": formats.measured,
        "label": hostile.label,
        "excerpt": hostile.excerpt,
        "address": hostile.address,
        "block": hostile.block,
        "traceback": _traceback,
        "groupby_order": _group_in_order,
        "count": _count,
    }
    environment.globals |= {
        "percent": formats.percent,
        "plural": formats.plural,
        "rate": formats.rate,
        "rule_chart": rule_chart,
        "cluster_chart": cluster_chart,
        "stage_bar": stage_bar,
        "share_bar": share_bar,
        "outcome_bar": outcome_bar,
        "cpu_bar": functools.partial(share_bar, kind="kept"),
        "passage": hostile.passage,
        "settings_of": contamination_view.settings_of,
        "outcome_sentence": contamination_view.outcome_sentence,
        "effect_table": contamination_view.effect_table,
        "exposure_shares": contamination_view.exposure_shares,
        "found_benchmarks": contamination_view.found_benchmarks,
        "other_benchmarks": contamination_view.other_benchmarks,
        "exposed": contamination_view.exposed,
        "known": contamination_view.known,
        "DEFINITIONS": contamination_view.DEFINITIONS,
        "OUTCOMES": contamination_view.OUTCOMES,
        "MOST_BENCHMARKS": MOST_BENCHMARKS,
        "MOST_ROWS": MOST_ROWS,
        "SHOWN_ROWS": SHOWN_ROWS,
    }
    return environment


def _count(value: int | None) -> str:
    """A count, or a dash where it is not known."""
    return "–" if value is None else formats.number(value)


def _traceback(text: str, limit: int = 4000) -> Markup:
    """The end of a traceback, which says what happened, with its lines kept."""
    cut = text if len(text) <= limit else f"…{text[-limit:]}"
    return hostile.block(cut)


def _group_in_order(
    rules: Sequence[RuleReport], attribute: str
) -> list[tuple[str, list[tuple[int, RuleReport]]]]:
    """Neighbours of one stage together, each rule with its number from 1."""
    numbered = itertools.groupby(enumerate(rules, start=1), key=lambda pair: getattr(pair[1], attribute))
    return [(str(key), list(group)) for key, group in numbered]


def _policy(*sources: str) -> str:
    """A content security policy that allows this style and this script, by hash, and nothing else."""
    style, script = (_hash(source) for source in sources)
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


@functools.cache
def _resource(name: str) -> str:
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")
