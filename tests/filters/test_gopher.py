"""Gopher's measures against their plain statement, and at the bounds that the recipe sets."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings

from filters.gopher import DUPLICATE_SIZES, TOP_SIZES, gopher_quality, gopher_repetition
from tests.filters import quality_rules as rules
from tests.filters.quality_texts import chunks, expected, measured

QUALITY = [
    "word_count",
    "mean_word_length",
    "hash_ratio",
    "ellipsis_ratio",
    "bullet_lines",
    "ellipsis_lines",
    "alpha_words",
    "stop_words",
]
REPETITION = ["duplicate_lines", "duplicate_paragraphs", "duplicate_line_chars", "duplicate_paragraph_chars"]


@given(chunks())
@settings(max_examples=120, deadline=None)
def test_quality_is_that_of_the_plain_rules(texts: list[str]) -> None:
    columns = measured(gopher_quality, texts)
    assert set(columns) == {f"gopher.{name}" for name in QUALITY}
    for name in QUALITY:
        assert columns[f"gopher.{name}"] == expected(getattr(rules, name), texts), name


@given(chunks())
@settings(max_examples=120, deadline=None)
def test_repetition_is_that_of_the_plain_rules(texts: list[str]) -> None:
    columns = measured(gopher_repetition, texts)
    for name in REPETITION:
        assert columns[f"gopher.{name}"] == expected(getattr(rules, name), texts), name
    for n in TOP_SIZES:
        plain = functools.partial(rules.top_ngram_chars, n=n)
        assert columns[f"gopher.top_{n}gram_chars"] == expected(plain, texts)
    for n in DUPLICATE_SIZES:
        plain = functools.partial(rules.duplicate_ngram_chars, n=n)
        name = f"gopher.duplicate_{n}gram_chars"
        assert columns[name] == expected(plain, texts), name


def test_repetition_of_few_words_in_long_documents() -> None:
    """Long runs and every period from 1 to 12, where most n-grams repeat: what random texts seldom have."""
    texts = [" ".join(f"w{i % period}" for i in range(90)) + f" end{period}" for period in range(1, 13)]
    texts += ["a b c d e f g h i j " * 3 + "x " + "c d e f g h i j k l " * 2]
    columns = measured(gopher_repetition, texts)
    for n in TOP_SIZES:
        plain = functools.partial(rules.top_ngram_chars, n=n)
        assert columns[f"gopher.top_{n}gram_chars"] == expected(plain, texts)
    for n in DUPLICATE_SIZES:
        plain = functools.partial(rules.duplicate_ngram_chars, n=n)
        values = columns[f"gopher.duplicate_{n}gram_chars"]
        assert values == expected(plain, texts)
        assert values[0] > 0.3


@pytest.mark.parametrize(
    ("column", "below", "above", "bound"),
    [
        ("word_count", "word " * 49, "word " * 50, 49.5),
        ("mean_word_length", "ab abc", "abc abcd", 2.9),
        ("hash_ratio", "# " + "w " * 10, "# " + "w " * 8, 0.1),
        ("ellipsis_ratio", "w " * 18 + "a… b...", "w " * 14 + "a… b...", 0.1),
        ("bullet_lines", "• a\n" * 9 + "b", " - a\n" * 10, 0.9),
        ("ellipsis_lines", "a ... \nb\nc\nd", "a… \n\nb...\nc", 0.3),
        ("alpha_words", "a b c 5 .", "a b c d .", 0.7),
        ("stop_words", "the The THE", "the and", 1.5),
        ("duplicate_lines", "a\na\nb\nc", "a\na\na\n\nb", 0.3),
        ("duplicate_paragraphs", "a\nb\n\na\nb\n\nc\n\nd", "a\nb\n\na\nb\n\nc", 0.3),
        ("duplicate_line_chars", "a\na\nbbbbbbbbbb", "a\na\na\nbbb", 0.2),
        ("duplicate_paragraph_chars", "a\n\na\n\nbbbbbbbbbb", "aaaa\n\naaaa\n\nbb", 0.2),
        ("top_2gram_chars", "a b c d e f g h i j k l m", "a b a b c d e f", 0.2),
    ],
)
def test_each_measure_on_both_sides_of_a_bound(column: str, below: str, above: str, bound: float) -> None:
    measure = gopher_quality if column in QUALITY else gopher_repetition
    low, high = measured(measure, [below, above])[f"gopher.{column}"]
    assert low <= bound < high


def test_what_cannot_be_measured_is_null_and_counts_are_zero() -> None:
    texts = [None, "", " \n \n"]
    columns = measured(gopher_quality, texts) | measured(gopher_repetition, texts)
    for name, values in columns.items():
        counted = name in ("gopher.word_count", "gopher.stop_words")
        assert values == ([0, 0, 0] if counted else [None, None, None]), name


def test_a_document_of_marks_has_no_mean_word_length() -> None:
    columns = measured(gopher_quality, ["??? !!!"])
    assert columns["gopher.mean_word_length"] == [None]
    assert columns["gopher.alpha_words"] == [0.0]


def test_a_text_shorter_than_an_ngram_repeats_none() -> None:
    columns = measured(gopher_repetition, ["one"])
    assert columns["gopher.top_2gram_chars"] == columns["gopher.duplicate_10gram_chars"] == [0.0]
