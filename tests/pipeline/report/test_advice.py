from __future__ import annotations

import pytest

from pipeline.report.advice import advise, all_warnings
from pipeline.report.model import Books, RuleReport, RunReport, RunWarning
from tests.pipeline.report.example import example_report


def titles(report: RunReport) -> dict[str, str]:
    return {warning.title: warning.level for warning in advise(report)}


def with_books(**books: Books) -> RunReport:
    return example_report().model_copy(update={"books": books, "stages": []})


def with_rule(**fields: object) -> RunReport:
    rule = RuleReport.model_validate(
        {"name": "gopher.word_count", "stage": "Gopher", "bound": "min 50", "measured": 100, "rejected": 9}
        | fields
    )
    return example_report().model_copy(update={"rules": [rule]})


def test_a_calm_run_has_nothing_grave_to_report() -> None:
    assert titles(example_report()) == {
        "3 benchmarks were not compared": "warning",
        "2 rules never fired": "note",
    }


def test_every_warning_says_what_to_do() -> None:
    empty = RunReport(
        job="web", title="t", output="o", corpusmill_version="0", books={"a": Books(read=9, published=0)}
    )
    assert len(advise(empty)) >= 4
    assert all(warning.detail and warning.advice for warning in advise(empty))


def test_unbalanced_books_are_an_error_and_come_first() -> None:
    report = with_books(
        good=Books(read=3, published=3), lost=Books(read=9, published=7), twice=Books(read=1, published=2)
    )
    first = advise(report)[0]
    assert (first.title, first.level) == ("The books do not balance", "error")
    assert first.detail == "lost: 2 documents unaccounted for; twice: 1 document counted twice"


def test_a_funnel_that_contradicts_the_books_is_reported() -> None:
    report = example_report()
    wrong = report.stages[2].model_copy(update={"rejected": report.stages[2].rejected + 1})
    broken = report.model_copy(update={"stages": [*report.stages[:2], wrong, *report.stages[3:]]})
    (found,) = [warning for warning in advise(broken) if warning.title == "The funnel and the books disagree"]
    assert (
        found.detail
        == f"{wrong.remaining} leave {wrong.name}, {wrong.remaining + 1} enter {report.stages[3].name}"
    )
    assert "The funnel and the books disagree" not in titles(report)


@pytest.mark.parametrize(("failed", "warned"), [(0, False), (10, False), (11, True)])
def test_failures_above_one_in_a_hundred_are_reported_per_source(failed: int, warned: bool) -> None:
    report = with_books(
        large=Books(read=100_000, published=100_000),
        small=Books(read=1000, published=1000 - failed, failed={"E": failed}),
    )
    assert ("More than 1% of the documents failed" in titles(report)) == warned


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({"rejected": 50}, False),
        ({"rejected": 51}, True),
        ({"would_reject": 51}, True),
        ({"would_reject": 50}, False),
    ],
)
def test_a_rule_that_fires_on_more_than_half_is_reported(fields: dict[str, int], warned: bool) -> None:
    assert any("gopher.word_count fires on" in title for title in titles(with_rule(**fields))) == warned


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"rejected": 0}, "1 rule never fired"),
        ({"rejected": 0, "would_reject": 0}, "1 rule never fired"),
        ({"rejected": 0, "measured": 0}, "No document reached 1 rule"),
    ],
)
def test_a_rule_that_never_fired_is_reported(fields: dict[str, int], title: str) -> None:
    assert title in titles(with_rule(**fields))


def test_a_rule_that_would_have_fired_has_not_been_idle() -> None:
    assert not any("never fired" in title for title in titles(with_rule(rejected=0, would_reject=3)))


def test_missing_decontamination_and_deduplication_are_reported() -> None:
    report = example_report().model_copy(update={"contamination": None, "duplicates": None})
    assert titles(report)["Decontamination did not run"] == "warning"
    assert titles(report)["Deduplication did not run"] == "note"


def test_nothing_published_is_an_error() -> None:
    assert (
        titles(with_books(a=Books(read=2, published=0, rejected={"r": 2})))["Nothing was published"]
        == "error"
    )
    assert "Nothing was published" not in titles(with_books())


def test_the_callers_warning_stands_in_for_the_derived_one() -> None:
    own = RunWarning(title="Decontamination did not run", detail="by wish", advice="none", level="note")
    report = example_report().model_copy(update={"contamination": None, "warnings": [own]})
    found = [warning for warning in all_warnings(report) if warning.title == own.title]
    assert found == [own]
