"""FineWeb's measures against their plain statement, and at the bounds of the paper."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from filters.fineweb import fineweb
from tests.filters import quality_rules as rules
from tests.filters.quality_texts import chunks, expected, measured

RULES = {
    "fineweb.line_punctuation": rules.line_punctuation,
    "fineweb.short_lines": rules.short_lines,
    "fineweb.duplicate_line_chars": rules.fineweb_duplicate_line_chars,
    "fineweb.newlines_per_word": rules.newlines_per_word,
}


@given(chunks())
@settings(max_examples=120, deadline=None)
def test_measures_are_those_of_the_plain_rules(texts: list[str]) -> None:
    columns = measured(fineweb, texts)
    assert set(columns) == set(RULES)
    for name, rule in RULES.items():
        assert columns[name] == expected(rule, texts), name


@pytest.mark.parametrize(
    ("column", "below", "above", "bound"),
    [
        ("line_punctuation", "a.\n" + "b\n" * 8, "a.\n" + "b\n" * 7, 0.12),
        ("line_punctuation", 'He said "no."\nx', "是的。\nx", 0.12),
        ("short_lines", "x" * 30 + "\n" + "x" * 31 + "\n" + "y" * 30, "é" * 30, 0.67),
        ("duplicate_line_chars", "a\na\n" + "b" * 98, "a\na\n" + "b" * 97, 0.0100001),
        ("newlines_per_word", "a b c\nd e f\n", "a b c\nd e\n", 0.34),
    ],
)
def test_each_measure_on_both_sides_of_a_bound(column: str, below: str, above: str, bound: float) -> None:
    low, high = measured(fineweb, [below, above])[f"fineweb.{column}"]
    assert low <= bound < high


def test_what_cannot_be_measured_is_null() -> None:
    columns = measured(fineweb, [None, "", " \n"])
    assert all(values == [None, None, None] for values in columns.values()), columns
