"""What is known of lines, and the texts that are left without some of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.c4 import C4LineEdits
from filters.c4 import edit_lines as edit_c4
from filters.dclm import DclmLineEdits
from filters.dclm import edit_lines as edit_dclm
from filters.fineweb import fineweb
from filters.gopher import gopher_quality, gopher_repetition
from filters.lines import BULLET, ELLIPSIS, PUNCTUATED, duplicates, line_facts, lines_with
from filters.words import index_words
from tests.filters import quality_rules as rules
from tests.filters.quality_texts import chunks, column

PHRASES = ["use cookies", "é", "[", "漢字 x", "the"]


@given(chunks())
@settings(max_examples=120, deadline=None)
def test_facts_are_those_of_the_plain_rules(texts: list[str]) -> None:
    words = index_words(column(texts))
    facts = line_facts(words)
    lines = [line for text in texts for line in rules.lines_of(text)]
    pieces = [rules.pieces_of(line) for line in lines]
    stripped = [rules.strip_spaces(line) for line in lines]
    assert facts.blank.tolist() == [rules.is_blank(line) for line in lines]
    assert facts.characters.tolist() == [len(line) for line in lines]
    assert facts.pieces.tolist() == [len(of_line) for of_line in pieces]
    assert facts.longest_piece.tolist() == [max(map(len, of_line), default=0) for of_line in pieces]
    assert facts.upper.tolist() == [sum(map(rules.is_upper, line)) for line in lines]
    assert facts.numerals.tolist() == [sum(map(rules.is_number, line)) for line in lines]
    for bit, expected in (
        (BULLET, [line.startswith(("•", "-")) for line in stripped]),
        (ELLIPSIS, [line.endswith(("...", "…")) for line in stripped]),
        (PUNCTUATED, [line != "" and rules.is_terminal(line[-1]) for line in lines]),
    ):
        assert (facts.ends & bit != 0).tolist() == expected


@given(chunks())
@settings(max_examples=120, deadline=None)
def test_phrases_are_found_in_any_case(texts: list[str]) -> None:
    lines = [rules.ascii_lower(line) for text in texts for line in rules.lines_of(text)]
    found = lines_with(index_words(column(texts)), PHRASES)
    assert found.tolist() == [any(phrase in line for phrase in PHRASES) for line in lines]


@given(st.lists(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=30), max_size=5))
@settings(max_examples=100, deadline=None)
def test_duplicates_are_counted_within_each_document(documents: list[list[tuple[int, bool]]]) -> None:
    items = [item for document in documents for item in document]
    hashes = np.array([number << 60 | number for number, _ in items], np.uint64)
    skipped = np.array([skip for _, skip in items], np.bool_)
    offsets = np.concatenate(([0], np.cumsum([len(document) for document in documents]))).astype(np.int64)
    counts, characters = duplicates(offsets, hashes, np.full(len(items), 3, np.int32), skipped)
    kept = [[number for number, skip in document if not skip] for document in documents]
    assert counts.tolist() == [len(numbers) - len(set(numbers)) for numbers in kept]
    assert characters.tolist() == [3 * (len(numbers) - len(set(numbers))) for numbers in kept]


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_malformed_utf8_is_measured_and_edited_within_its_bounds(texts: list[bytes]) -> None:
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in texts]))).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
    text = pa.Array.from_buffers(pa.string(), len(texts), buffers)
    words = index_words(text)
    batch = pa.record_batch({"text": text})
    for measure in (gopher_quality, gopher_repetition, fineweb):
        assert all(len(values) == len(texts) for values in measure(batch, words).values())
    for made in (
        edit_c4(text, words, C4LineEdits(terminal_punctuation=True)),
        edit_dclm(text, words, DclmLineEdits()),
    ):
        left = made.text.cast(pa.binary()).to_pylist()
        assert all(len(rest) <= len(whole) for rest, whole in zip(left, texts, strict=True))


def test_an_empty_phrase_is_refused() -> None:
    with pytest.raises(ValueError, match="empty phrase"):
        lines_with(index_words(column(["a"])), ["a", ""])
