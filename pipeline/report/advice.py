"""What a person should look at after a run, derived from its counts, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.report.formats import number, percent, plural
from pipeline.report.hostile import plain
from pipeline.report.model import RunReport, RunWarning

FAILURE_SHARE = 0.01
"""Failures above this share of a source's documents are warned of."""
GREEDY_SHARE = 0.5
"""A rule that fires on more than this share of the documents is warned of."""


def advise(report: RunReport) -> list[RunWarning]:
    """The warnings that follow from a report's counts, the gravest first."""
    found = [
        *_books(report),
        *_funnel(report),
        *_nothing_published(report),
        *_decontamination(report),
        *_failures(report),
        *_greedy_rules(report),
        *_idle_rules(report),
        *_deduplication(report),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda warning: order[warning.level])


def all_warnings(report: RunReport) -> list[RunWarning]:
    """The caller's warnings and the derived ones, the gravest first; of two with one title the caller's."""
    titles = {warning.title for warning in report.warnings}
    found = [*report.warnings, *(warning for warning in advise(report) if warning.title not in titles)]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda warning: order[warning.level])


def _books(report: RunReport) -> Iterator[RunWarning]:
    wrong = {source: books.missing for source, books in sorted(report.books.items()) if not books.balances}
    if wrong:
        yield RunWarning(
            title="The books do not balance",
            detail="; ".join(
                f"{plain(source)}: {plural(abs(missing), 'document')} "
                f"{'unaccounted for' if missing > 0 else 'counted twice'}"
                for source, missing in wrong.items()
            ),
            advice="Do not use this output. Run again into an empty folder; if it happens again, "
            "report it with manifest.json.",
            level="error",
        )


def _funnel(report: RunReport) -> Iterator[RunWarning]:
    """The funnel is counted apart from the books; where they disagree, one of them is wrong."""
    if not report.stages or not report.books:
        return
    leaving = [(report.total.read, "documents are read")]
    leaving += [(stage.remaining, f"leave {plain(stage.name)}") for stage in report.stages]
    entering = [(stage.entered, f"enter {plain(stage.name)}") for stage in report.stages]
    entering += [(report.total.published, "are published")]
    gaps = [
        f"{number(before)} {left}, {number(after)} {entered}"
        for (before, left), (after, entered) in zip(leaving, entering, strict=True)
        if before != after
    ]
    if gaps:
        yield RunWarning(
            title="The funnel and the books disagree",
            detail="; ".join(gaps),
            advice="Trust the table of books, which is checked per source, and report this with "
            "manifest.json.",
        )


def _nothing_published(report: RunReport) -> Iterator[RunWarning]:
    total = report.total
    if total.read and not total.published:
        yield RunWarning(
            title="Nothing was published",
            detail=f"{plural(total.read, 'document')} read, none left.",
            advice="The funnel below shows where they went; the first rule of that stage is the "
            "place to look.",
            level="error",
        )


def _decontamination(report: RunReport) -> Iterator[RunWarning]:
    contamination = report.contamination
    if contamination is None:
        yield RunWarning(
            title="Decontamination did not run",
            detail="No document was compared with the benchmarks.",
            advice="A model trained on this output cannot be evaluated fairly. Add a decontamination "
            "section to the configuration, or run the decontam command on the output.",
        )
        return
    absent = [*contamination.skipped, *contamination.missing]
    if absent:
        yield RunWarning(
            title=f"{plural(len(absent), 'benchmark was', 'benchmarks were')} not compared",
            detail=_listed(absent),
            advice="Put their files under the benchmark root and decide again, or do not report "
            "scores on them.",
        )
    if contamination.unit == "none" and contamination.with_match:
        yield RunWarning(
            title="Contaminated documents were published",
            detail=f"{plural(contamination.with_match, 'document')} with a match; the unit is none, so that "
            "matches are only reported.",
            advice="Decide again with --unit document before training on this output.",
        )
    if contamination.forced:
        yield RunWarning(
            title="The rule any was forced on a small corpus",
            detail=f"{number(contamination.with_match)} of {plural(contamination.documents, 'document')} "
            f"({percent(contamination.with_match, contamination.documents)}) match.",
            advice="Ordinary 4-grams are rare in a small corpus, so this rule removes ordinary text. Use the "
            "rule item, or give --usage with counts of a bigger corpus.",
        )


def _failures(report: RunReport) -> Iterator[RunWarning]:
    high = [
        f"{plain(source)}: {number(books.failed_total)} of {number(books.read)} "
        f"({percent(books.failed_total, books.read)})"
        for source, books in sorted(report.books.items())
        if books.failed_total > FAILURE_SHARE * books.read
    ]
    if high:
        yield RunWarning(
            title=f"More than {FAILURE_SHARE:.0%} of the documents failed",
            detail="; ".join(high),
            advice="Read the tracebacks under Failures. Failures with one cause usually mean a "
            "damaged input or a defect, and what fails is not a random sample of the corpus.",
        )


def _greedy_rules(report: RunReport) -> Iterator[RunWarning]:
    for rule in report.rules:
        fired = rule.rejected if rule.would_reject is None else max(rule.rejected, rule.would_reject)
        if rule.measured and fired > GREEDY_SHARE * rule.measured:
            yield RunWarning(
                title=f"{plain(rule.name)} fires on {percent(fired, rule.measured)} of the documents "
                "that reach it",
                detail=f"{number(fired)} of {number(rule.measured)} fail “{plain(rule.bound)}” in "
                f"stage {plain(rule.stage)}.",
                advice="Look at its histogram and at ten dropped documents. If they read well, the "
                "bound has the wrong unit or direction, or does not suit this source; change it and decide "
                "again from the stored measures.",
            )


def _idle_rules(report: RunReport) -> Iterator[RunWarning]:
    unreached = [rule.name for rule in report.rules if not rule.measured]
    idle = [
        rule.name for rule in report.rules if rule.measured and not rule.rejected and not rule.would_reject
    ]
    if idle:
        yield RunWarning(
            title=f"{plural(len(idle), 'rule')} never fired",
            detail=_listed(idle),
            advice="On a small run this can be chance. Otherwise see in the histogram whether the "
            "threshold lies outside of the values, and whether an earlier rule already removes what this one "
            "is for.",
            level="note" if len(report.rules) > len(idle) else "warning",
        )
    if unreached:
        yield RunWarning(
            title=f"No document reached {plural(len(unreached), 'rule')}",
            detail=_listed(unreached),
            advice="Everything was removed before, or the column was never measured: check the "
            "column's name and the order.",
        )


def _deduplication(report: RunReport) -> Iterator[RunWarning]:
    if report.duplicates is None:
        yield RunWarning(
            title="Deduplication did not run",
            detail="Repeated documents are still in the output.",
            advice="If the inputs were not deduplicated before, add a deduplication section to the "
            "configuration.",
            level="note",
        )


def _listed(names: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(plain(name) for name in names[:most])
    return f"{shown} and {number(len(names) - most)} more" if len(names) > most else shown
