from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from decontam.rule import contaminated, count_hits, resolve_threshold

HITS = pa.array([[0, 2], [], None, [2], [1, 2]], pa.list_(pa.uint32()))


def test_counts_are_of_documents() -> None:
    ids, counts = count_hits(HITS, 4)
    assert ids.tolist() == [0, 1, 2]
    assert counts.tolist() == [1, 1, 3]


def test_counts_of_a_slice_and_of_nothing() -> None:
    ids, counts = count_hits(HITS.slice(3), 4)
    assert (ids.tolist(), counts.tolist()) == ([1, 2], [1, 2])
    ids, counts = count_hits(HITS.slice(1, 2), 4)
    assert (ids.tolist(), counts.tolist()) == ([], [])


def test_hits_of_another_index_are_refused() -> None:
    with pytest.raises(ValueError, match="n-gram 2 is not one of the 2"):
        count_hits(HITS, 2)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (1, [False, False, False, False, False]),
        (2, [True, False, False, False, True]),
        (3, [True, False, False, False, True]),
        (4, [True, False, False, True, True]),
    ],
)
def test_an_ngram_that_reaches_the_threshold_is_common_usage(threshold: int, expected: list[bool]) -> None:
    mask, _, _ = contaminated(HITS, np.array([1, 1, 3, 0]), threshold)
    assert mask.tolist() == expected


def test_the_first_offending_ngram_and_its_count_are_given() -> None:
    mask, ngrams, counts = contaminated(HITS, np.array([1, 1, 3, 0]), 3)
    assert mask.tolist() == [True, False, False, False, True]
    assert ngrams.tolist() == [0, -1, -1, -1, 1]
    assert counts.tolist() == [1, -1, -1, -1, 1]


def test_hits_as_they_come_back_from_parquet_are_the_same() -> None:
    chunked = pa.chunked_array([HITS.slice(0, 2), HITS.slice(2)]).cast(pa.large_list(pa.uint32()))
    mask, ngrams, _ = contaminated(chunked, np.array([1, 1, 3, 0]), 4)
    assert mask.tolist() == [True, False, False, True, True]
    assert ngrams.tolist() == [0, -1, -1, 2, 1]


@pytest.mark.parametrize(
    ("corpus_bytes", "expected"),
    [
        (0, 10),
        (65_000_000, 10),
        (66_000_000, 10),
        (71_500_000, 11),
        (653_000_000, 100),
        (6_500_000_000, 1000),
        (10**13, 1000),
    ],
)
def test_auto_follows_the_size_of_the_corpus_between_its_bounds(corpus_bytes: int, expected: int) -> None:
    assert resolve_threshold("auto", corpus_bytes) == expected


def test_a_given_threshold_stands() -> None:
    assert resolve_threshold(1000, 5) == 1000
