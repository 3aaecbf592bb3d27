from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from pipeline.report.model import Books, Example, Histogram, RunReport
from tests.pipeline.report.example import READ, example_report


def test_a_report_survives_json() -> None:
    report = example_report()
    assert RunReport.model_validate_json(report.model_dump_json()) == report


def test_values_that_json_lacks_survive() -> None:
    for value in (math.inf, -math.inf, True, 3, 0.5, "en", None):
        example = Example(id="0", value=value)
        back = Example.model_validate_json(example.model_dump_json())
        assert back.value == value
        assert type(back.value) is type(value)
    assert math.isnan(
        float(Example.model_validate_json(Example(id="0", value=math.nan).model_dump_json()).value or 0)
    )


def test_the_total_is_the_sum_of_the_sources() -> None:
    total = example_report().total
    assert total.read == READ
    assert total.balances
    assert total.published == READ - total.rejected_total - total.failed_total


def test_a_surplus_in_one_source_does_not_hide_a_loss_in_another() -> None:
    report = RunReport(
        job="web",
        title="t",
        output="o",
        corpusmill_version="0",
        books={"a": Books(read=10, published=9), "b": Books(read=10, published=11)},
    )
    assert report.total.balances
    assert not report.balances
    assert (report.books["a"].missing, report.books["b"].missing) == (1, -1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"edges": [0, 1], "counts": [1, 2]},
        {"edges": [0, 0, 1], "counts": [1, 2]},
        {"edges": [1, 0], "counts": [1]},
        {"edges": [0], "counts": []},
        {"edges": [-1, 5], "counts": [1], "scale": "log"},
        {"edges": [0, 1], "counts": [-1]},
    ],
)
def test_an_impossible_histogram_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Histogram.model_validate(wrong)


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="publishd"):
        Books.model_validate({"read": 1, "publishd": 1})
