"""Rules: their checks, their bounds to the last unit, and the order in which they apply."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters.measures import Column
from pipeline.errors import UserError
from pipeline.rules import Bound, Rule, check_rules, first_failures

WORDS = Column("gopher.word_count", pa.int32(), "words")
SCORE = Column("language_score", pa.float32(), "probability")
LANGUAGE = Column("language", pa.string(), "ISO code")
STAGES = {"language": [LANGUAGE, SCORE], "quality": [WORDS]}


def fails(column: Column, bound: dict, values: list) -> list[bool]:
    return Rule(column, "s", Bound.model_validate(bound)).fails(pa.array(values, column.type)).tolist()


@pytest.mark.parametrize(
    ("bound", "values", "expected"),
    [
        ({"min": 50}, [49, 50, 51], [True, False, False]),
        ({"max": 50}, [49, 50, 51], [False, False, True]),
        ({"min": 50, "max": 51}, [49, 50, 51, 52], [True, False, False, True]),
        ({"in": [200]}, [200, 404], [False, True]),
        ({"not_in": [200]}, [200, 404], [True, False]),
        ({"min": 50}, [None], [True]),
        ({"min": 50, "missing": "keep"}, [None], [False]),
        ({"min": 49.5}, [49, 50], [True, False]),
    ],
)
def test_bounds_of_integers(bound: dict, values: list, expected: list) -> None:
    assert fails(WORDS, bound, values) == expected


def test_a_float32_equal_to_its_bound_passes() -> None:
    below = float(np.nextafter(np.float32(0.65), np.float32(0)))
    assert fails(SCORE, {"min": 0.65}, [0.65, below]) == [False, True]
    assert fails(SCORE, {"max": 0.1}, [np.float32(0.1), float("nan")]) == [False, True]


def test_lists_of_text() -> None:
    assert fails(LANGUAGE, {"in": ["en", "de"]}, ["en", "fr", None]) == [False, True, True]
    assert fails(LANGUAGE, {"not_in": [""]}, ["en", ""]) == [False, True]


def test_unknown_column_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"gopher\.word_count"):
        check_rules({"gopher.wordcount": Bound(min=1)}, STAGES)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("language", Bound(min=1)),
        ("language_score", Bound(in_=("a",))),
        ("gopher.word_count", Bound(in_=("x",))),
    ],
)
def test_bounds_that_a_type_cannot_have(name: str, bound: Bound) -> None:
    with pytest.raises(UserError, match=name):
        check_rules({name: bound}, STAGES)


@pytest.mark.parametrize("bound", [{}, {"min": 2, "max": 1}, {"minimum": 1}, {"missing": "perhaps"}])
def test_wrong_bounds(bound: dict) -> None:
    with pytest.raises(ValidationError):
        Bound.model_validate(bound)


def test_rules_apply_by_stage_then_as_written() -> None:
    rules = check_rules(
        {"gopher.word_count": Bound(min=5), "language_score": Bound(min=0.5), "language": Bound(in_=("en",))},
        STAGES,
    )
    assert [rule.name for rule in rules] == ["language_score", "language", "gopher.word_count"]
    columns = {
        "language_score": pa.array([0.9, 0.1, 0.9, 0.9], pa.float32()),
        "language": pa.array(["en", "fr", "fr", "en"]),
        "gopher.word_count": pa.array([1, 1, 1, 9], pa.int32()),
    }
    assert first_failures(columns, rules, 4).tolist() == [2, 0, 1, -1]


@given(st.lists(st.one_of(st.none(), st.floats(width=32))), st.floats(0, 1), st.floats(0, 1))
def test_agrees_with_the_plain_statement(values: list, low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    expected = [
        v is None or v != v or not (np.float32(low) <= np.float32(v) <= np.float32(high)) for v in values
    ]
    assert fails(SCORE, {"min": low, "max": high}, values) == expected
