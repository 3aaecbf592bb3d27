"""The contamination section of the page: what its tables show, computed from the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from decontam.exposure import Exposure
from decontam.settings import RuleName, Unit
from pipeline.report.contamination import BenchmarkHits, ContaminationReport, Effect
from pipeline.report.formats import number, percent, plural

RULES: dict[RuleName, str] = {
    "item": "one n for each item: its words, at most {longest}",
    "any": "every n from {shortest} to {longest}",
}
UNITS: dict[Unit, str] = {
    "document": "the whole document",
    "section": "the section with the match",
    "span": "the match and 200 characters on each side",
    "none": "nothing; matches are only reported",
}
OUTCOMES: dict[Unit, str] = {
    "document": "removed",
    "section": "changed",
    "span": "changed",
    "none": "matched",
}
"""What became of documents with a match, as a column's name says it."""

DEFINITIONS = ("GPT-3", "PaLM", "Llama 2", "Llama 3")


class Cell(NamedTuple):
    """One figure of the effect table; no effect where it was not counted."""

    effect: Effect | None
    chosen: bool


class EffectTable(NamedTuple):
    """Both rules by thresholds."""

    thresholds: list[int]
    rows: list[tuple[RuleName, list[Cell]]]


class Share(NamedTuple):
    """A figure of one definition: the share in short, and the counts behind it."""

    name: str
    text: str
    detail: str


def effect_table(report: ContaminationReport) -> EffectTable:
    """What both rules remove at each threshold, side by side, the chosen cell marked."""
    by_place = {(effect.rule, effect.threshold): effect for effect in report.effects}
    thresholds = sorted({effect.threshold for effect in report.effects})
    rules = [rule for rule in RULES if any(effect.rule == rule for effect in report.effects)]
    rows = [
        (
            rule,
            [
                Cell(by_place.get((rule, threshold)), (rule, threshold) == (report.rule, report.common_usage))
                for threshold in thresholds
            ],
        )
        for rule in rules
    ]
    return EffectTable(thresholds, rows)


def settings_of(report: ContaminationReport) -> list[tuple[str, str, str]]:
    """Rule, unit, threshold and what they rest on, as name, value and remark."""
    lengths = {"shortest": report.shortest, "longest": report.longest}
    forced = "; forced: this corpus is too small for it" if report.forced else ""
    shown: list[tuple[str, str, str]] = [
        ("Rule", report.rule, RULES[report.rule].format_map(lengths) + forced),
        ("Removed", report.unit, UNITS[report.unit]),
    ]
    if report.common_usage is not None:
        unit = plural(report.common_usage, "document")
        shown.append(("Common usage from", unit, report.threshold_note))
        shown.append(("Exempted by it", plural(report.exempted, "n-gram"), ""))
    if report.usage is not None:
        counted = (
            "" if report.usage.documents is None else f"{plural(report.usage.documents, 'document')} more"
        )
        shown.append(("Usage counted in", report.usage.path, counted))
    if report.parts:
        shown.append(("Parts compared", ", ".join(report.parts), ""))
    if report.ngrams is not None:
        shown.append(("N-grams indexed", number(report.ngrams), ""))
    return shown


def outcome_sentence(report: ContaminationReport) -> str:
    """What became of the documents with a match."""
    share = percent(report.with_match, report.documents)
    matched = f"{plural(report.with_match, 'document')} with a match ({share})"
    if report.unit == "none":
        return f"{matched}, none removed."
    if report.unit == "document":
        return f"{matched}, {number(report.removed)} removed."
    lost = (
        ""
        if report.removed_characters is None
        else f", {plural(report.removed_characters, 'character')} shorter in all"
    )
    return f"{matched}: {number(report.removed)} removed, {number(report.edited)} published{lost}."


def found_benchmarks(report: ContaminationReport) -> list[BenchmarkHits]:
    """The benchmarks with something found, most documents first."""
    found = [each for each in report.benchmarks if _is_found(each)]
    return sorted(found, key=lambda each: (-each.documents, -(each.items_found or 0), each.name))


def other_benchmarks(report: ContaminationReport) -> list[BenchmarkHits]:
    """The benchmarks with nothing found, by name."""
    return sorted((each for each in report.benchmarks if not _is_found(each)), key=lambda each: each.name)


def exposure_shares(exposure: Exposure | None) -> list[Share]:
    """The figure of each definition, as shares of the items that it can measure; dashes where none was."""
    if exposure is None:
        return [Share(name, "–", "") for name in DEFINITIONS]
    mean = exposure.llama3_mean_share
    gpt3, palm, llama2, llama3 = (
        getattr(exposure, f"{name}_measurable") for name in ("gpt3", "palm", "llama2", "llama3")
    )
    texts = (
        percent(exposure.gpt3_dirty, gpt3),
        percent(exposure.palm_contaminated, palm),
        percent(exposure.llama2_dirty, llama2),
        "–" if mean is None else percent(mean, 1),
    )
    details = (
        f"N = {exposure.gpt3_n}: {number(exposure.gpt3_dirty)} of {number(gpt3)} items dirty",
        f"{number(exposure.palm_contaminated)} of {number(palm)} items",
        f"of {plural(llama2, 'item')}: {number(exposure.llama2_clean)} clean, "
        f"{number(exposure.llama2_not_clean)} not clean, {number(exposure.llama2_not_dirty)} not dirty, "
        f"{number(exposure.llama2_dirty)} dirty",
        f"mean share {'–' if mean is None else percent(mean, 1)}; {number(exposure.llama3_above_half)} of "
        f"{plural(llama3, 'item')} above one half",
    )
    return [Share(*share) for share in zip(DEFINITIONS, texts, details, strict=True)]


def exposed(benchmarks: Iterable[BenchmarkHits]) -> list[tuple[str, Exposure]]:
    """The benchmarks that are in the published corpus by any definition, the most exposed first."""
    found = [
        (each.name, each.exposure) for each in benchmarks if each.exposure and _is_exposed(each.exposure)
    ]
    return sorted(found, key=lambda pair: (-(pair[1].llama3_mean_share or 0.0), -pair[1].gpt3_dirty, pair[0]))


def known(benchmarks: Sequence[BenchmarkHits], name: str) -> bool:
    """Whether any of the benchmarks has the figure."""
    return any(getattr(each, name) is not None for each in benchmarks)


def _is_found(benchmark: BenchmarkHits) -> bool:
    exposure = benchmark.exposure
    return bool(
        benchmark.documents or benchmark.items_found or (exposure is not None and _is_exposed(exposure))
    )


def _is_exposed(exposure: Exposure) -> bool:
    return bool(exposure.gpt3_dirty or exposure.palm_contaminated or exposure.llama2_not_clean) or bool(
        exposure.llama3_mean_share
    )
