"""Words are cut as the plain rule says, on any text, and counted exactly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.words import MOREMUR_FACTORS, MOREMUR_SHIFTS
from tests.tokenizer.conftest import corpus, reference_counts, reference_words, texts
from tokenizer.errors import TokenizerError
from tokenizer.words import WordCounts, WordTable

M64 = 2**64 - 1


def counted(column: pa.Array, tab_runs: int = 8) -> dict[bytes, int]:
    table = WordTable(tab_runs)
    table.add_text(column)
    return dict(table.counts().items())


def moremur(value: int) -> int:
    for shift, factor in zip(MOREMUR_SHIFTS, MOREMUR_FACTORS, strict=False):
        value = ((value ^ value >> shift) * factor) & M64
    return value ^ value >> MOREMUR_SHIFTS[-1]


def spelling_hash(word: bytes) -> int:
    """`spelling_v1`, stated plainly."""
    state = 0x9E3779B97F4A7C15 ^ (len(word) * 0xD6E8FEB86659FD93 & M64)
    for start in range(0, len(word), 8):
        state = moremur(state ^ int.from_bytes(word[start : start + 8], "little"))
    return state


@given(st.lists(st.one_of(st.none(), texts()), max_size=6), st.booleans(), st.sampled_from([1, 2, 8]))
@settings(max_examples=200, deadline=None)
def test_counts_agree_with_the_reference(documents: list[str | None], large: bool, tab_runs: int) -> None:
    column = pa.array(documents, pa.large_string() if large else pa.string())
    assert counted(column, tab_runs) == reference_counts((text or "" for text in documents), tab_runs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("\n\n", []),
        ("one two", ["one", " two"]),
        (" one", [" one"]),
        ("one ", ["one", " "]),
        ("one  two", ["one", "  two"]),
        ("one\n two", ["one", " two"]),
        ("   ", ["   "]),
        ("a\r\nb", ["a\r", "b"]),
        ("a\tb", ["a\x1fb"]),
        ("\t" * 8, ["\x1f"]),
        ("\t" * 9, ["\x1f\x1f"]),
        ("\t" * 17 + "x", ["\x1f\x1f\x1fx"]),
        ("a\u2581b", ["a", " b"]),
        ("a\u2581 \u2581b", ["a", "   b"]),
        ("\u2581", [" "]),
        ("a\u2585b", ["a\x1fb"]),
        ("a\u2580b\u2582", ["a\u2580b\u2582"]),  # their bytes begin as those of U+2581 do
        ("a\u2028b\x0bc\x85d\xa0e", ["a\u2028b\x0bc\x85d\xa0e"]),  # lines end at newlines only
        ("x" * 200, ["x" * 200]),
        ("x" * 63 + " y", ["x" * 63, " y"]),
        ("x" * 64 + " y", ["x" * 64, " y"]),
    ],
)
def test_cuts(text: str, words: list[str]) -> None:
    assert reference_words(text) == words
    assert counted(pa.array([text])) == Counter(word.encode() for word in words)


def test_documents_do_not_run_into_each_other() -> None:
    assert counted(pa.array(["a", "b", " c"])) == {b"a": 1, b"b": 1, b" c": 1}


def test_a_cut_character_at_the_end_of_a_document_is_not_completed_by_the_next() -> None:
    whole = pa.py_buffer("a\u2581b".encode())  # split inside of U+2581, as no valid column is
    offsets = pa.py_buffer(np.array([0, 2, 5], np.int32))
    column = pa.StringArray.from_buffers(2, offsets, whole)
    assert counted(column) == {b"a\xe2": 1, b"\x96\x81b": 1}


@given(st.lists(texts(12), min_size=1, max_size=8), st.data())
@settings(max_examples=50, deadline=None)
def test_a_slice_counts_its_own_documents(documents: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(documents) - 1))
    stop = data.draw(st.integers(start, len(documents)))
    assert counted(pa.array(documents)[start:stop]) == reference_counts(documents[start:stop])


def test_tables_grow() -> None:
    documents = [" ".join(f"w{number:x}" * (1 + number % 5) for number in range(start, start + 20_000))
                 for start in (0, 10_000)]  # fmt: skip
    documents.append("long" * 100_000)
    assert counted(pa.array(documents)) == reference_counts(documents)


def test_counts_add_up_over_tables() -> None:
    documents = corpus(12)
    total = WordTable()
    for document in documents:
        part = WordTable()
        part.add_text(pa.array([document]))
        total.add(part.counts())
    assert dict(total.counts().items()) == reference_counts(documents)


def test_counts_are_sorted_by_the_hash_of_the_rule() -> None:
    table = WordTable()
    table.add_text(pa.array(corpus(6)))
    words = table.counts()
    assert words.hashes.tolist() == [spelling_hash(words.word(index)) for index in range(len(words))]
    assert words.hashes.tolist() == sorted(words.hashes.tolist())
    assert words.occurrences == sum(reference_counts(corpus(6)).values())


@given(st.lists(st.binary(max_size=30), unique=True, min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_words(words: list[bytes]) -> None:
    ends = np.cumsum([0, *map(len, words)]).astype(np.int64)
    data = np.frombuffer(b"".join(words), np.uint8)
    table = WordTable()
    given_words = WordCounts(np.zeros(0, np.uint64), np.arange(1, len(words) + 1), ends, data)
    table.add(given_words)
    table.add(given_words)
    found = table.counts()
    assert dict(found.items()) == {word: 2 * count for count, word in enumerate(words, start=1)}
    assert found.hashes.tolist() == sorted(map(spelling_hash, words))


@pytest.mark.parametrize("column", [pa.array([1]), pa.array([b"x"]), pa.array([["a"]])])
def test_other_types_are_refused(column: pa.Array) -> None:
    with pytest.raises(TokenizerError, match="string or large_string"):
        counted(column)


@pytest.mark.parametrize("offsets", [[0, 3, 1, 4], [0, 9, 4]])
def test_damaged_offsets_are_refused(offsets: list[int]) -> None:
    bounds = pa.py_buffer(np.array(offsets, np.int32))
    column = pa.StringArray.from_buffers(len(offsets) - 1, bounds, pa.py_buffer(b"abcd"))
    with pytest.raises(TokenizerError, match="do not ascend"):
        counted(column)


def test_tab_runs_are_at_least_one() -> None:
    with pytest.raises(TokenizerError, match="at least 1"):
        WordTable(0)
