"""Candidate edges of equal keys."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup import group
from pipeline.dedup.arrays import mixed, unpack
from tests.pipeline.dedup import corpus


def plain_edges(keys: Sequence[int], ordinals: Sequence[int], chains: bool) -> list[tuple[int, int]]:
    """For each bucket a star around its first document, and a chain."""
    buckets: dict[int, list[int]] = defaultdict(list)
    for key, ordinal in zip(keys, ordinals, strict=True):
        if ordinal not in buckets[key]:
            buckets[key].append(ordinal)
    edges = []
    for bucket in buckets.values():
        edges += [(bucket[0], each) for each in bucket[1:]]
        if chains:
            edges += list(itertools.pairwise(bucket[1:]))
    return sorted(edges)


def edges_of(keys: np.ndarray, ordinals: Sequence[int], chains: bool) -> list[tuple[int, int]]:
    found = group.candidate_edges(keys, np.array(ordinals, np.uint32), chains)
    return sorted(zip(*(side.tolist() for side in unpack(found)), strict=True))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 12), max_size=80),
    st.sampled_from([lambda x: x, lambda x: x << np.uint64(40), mixed]),
    st.booleans(),
    st.integers(1, 3),
)
def test_edges_agree_with_the_reference(small, spread, chains, repeats) -> None:
    """Keys that differ in low, high or all bits; a document may come more than once."""
    keys = spread(np.array(small, np.uint64))
    ordinals = [i // repeats for i in range(len(small))]
    assert edges_of(keys, ordinals, chains) == plain_edges(keys.tolist(), ordinals, chains)


def test_many_pieces_agree_with_the_reference() -> None:
    random = np.random.default_rng(5)
    keys = mixed(random.integers(0, 30_000, 60_000).astype(np.uint64))
    ordinals = np.sort(random.integers(0, 20_000, 60_000)).tolist()
    assert edges_of(keys, ordinals, True) == plain_edges(keys.tolist(), ordinals, True)


def test_a_bucket_larger_than_all_others_together() -> None:
    """The hash table is sized by the largest piece (a table of fixed size overran its memory here once)."""
    count = 200_000
    keys = mixed(np.arange(count, dtype=np.uint64))
    keys[::2] = keys[0]
    edges = group.candidate_edges(keys, np.arange(count, dtype=np.uint32), False)
    first, second = unpack(edges)
    assert set(first.tolist()) == {0}
    assert second.tolist() == list(range(2, count, 2))


def test_keys_of_one_piece_only() -> None:
    keys = np.repeat(np.arange(50_000, dtype=np.uint64) << np.uint64(44), 2)
    edges = group.candidate_edges(keys, np.arange(100_000, dtype=np.uint32), True)
    assert [side.tolist() for side in unpack(edges)] == [
        list(range(0, 100_000, 2)),
        list(range(1, 100_000, 2)),
    ]


def test_largest_ordinals() -> None:
    keys = np.zeros(3, np.uint64)
    ordinals = [0, 2**31, 2**32 - 2]
    assert edges_of(keys, ordinals, True) == [(0, 2**31), (0, 2**32 - 2), (2**31, 2**32 - 2)]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_group(count: int) -> None:
    assert edges_of(np.zeros(count, np.uint64), list(range(count)), True) == []


def test_records_must_be_in_order() -> None:
    with pytest.raises(ValueError, match="not in the order"):
        group.candidate_edges(np.zeros(2, np.uint64), np.array([1, 0], np.uint32), True)


@pytest.mark.parametrize("jaccard", [0.6, 0.7, 0.75, 0.8, 0.9])
def test_recall_of_candidates_follows_the_curve_of_the_bands(jaccard: float) -> None:
    """14 bands of 8 rows find a pair with probability 1-(1-s^8)^14; here of 5,000 planted, within .02."""
    from filters.minhash import band_keys

    left, right, actual = corpus.planted_pairs(jaccard, pairs=5000, size=300, seed=11)
    signatures = np.concatenate([left, right])
    keys = mixed(band_keys(signatures, 14, 8).reshape(-1))
    edges = group.candidate_edges(keys, np.repeat(np.arange(10_000, dtype=np.uint32), 14), True)
    first, second = unpack(np.unique(edges))
    assert (second - first == 5000).mean() > 0.999
    assert (second - first == 5000).sum() / 5000 == pytest.approx(1 - (1 - actual**8) ** 14, abs=0.02)
