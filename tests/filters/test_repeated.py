"""Repeated lines: hashes against their statement in plain Python, removal against sets of lines."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from filters.repeated import distinct_hashes, line_hashes, remove_lines
from filters.words import index_words, split_words, word_hash

texts = st.lists(
    st.lists(
        st.lists(st.sampled_from(["one", "Two", "drei", "四", "..."]), max_size=4).map(" ".join), max_size=5
    ).map("\n".join),
    max_size=5,
)


def plain_hash(line: str, min_words: int) -> int:
    words = split_words(line)
    if len(words) < min_words:
        return 0
    value = 0
    for word in words:
        value = (value + word_hash(word)) * 0x9E3779B97F4A7C15 % 2**64
    return value or 1


def column(values: list[str]) -> pa.Array:
    return pa.array(values, pa.large_string())


@given(texts, st.integers(1, 3))
def test_hashes_agree_with_the_statement(documents: list[str], min_words: int) -> None:
    index = index_words(column(documents))
    expected = [
        plain_hash(line, min_words)
        for text in documents
        for line in text.removesuffix("\n").split("\n")
        if text
    ]
    assert line_hashes(index, min_words).tolist() == expected


@given(texts, st.integers(1, 3))
def test_distinct_hashes_are_sets(documents: list[str], min_words: int) -> None:
    found = distinct_hashes(index_words(column(documents)), min_words).to_pylist()
    expected = [
        sorted({plain_hash(line, min_words) for line in text.split("\n")} - {0}) for text in documents
    ]
    assert found == expected


@given(texts, st.sets(st.sampled_from(["one", "one two", "四 四"])))
def test_repeated_lines_go_and_no_others(documents: list[str], repeated: set[str]) -> None:
    hashes = np.array(sorted(plain_hash(line, 1) for line in repeated), np.uint64)
    text = column(documents)
    edited, counts = remove_lines(text, index_words(text), hashes, 1)
    for before, after, count in zip(documents, edited.to_pylist(), counts.tolist(), strict=True):
        gone = [line for line in before.split("\n") if plain_hash(line, 1) in set(hashes.tolist())]
        assert count == len(gone)
        kept = [line for line in before.split("\n") if line not in gone and line.strip()]
        assert [line for line in after.split("\n") if line.strip()] == kept


def test_spelling_that_the_word_rule_folds_is_one_line() -> None:
    first, second = line_hashes(index_words(column(["We use COOKIES!\nwe use cookies"])), 1)
    assert first == second
