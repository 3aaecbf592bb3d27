"""Keeping a share: exact thresholds from histograms, seeded Pareto sampling, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.quality.selection import (
    Selection,
    add_histograms,
    at_least,
    coarse_histogram,
    find_place,
    find_threshold,
    fine_histogram,
    pareto_kept,
    quantile_cuts,
    top_threshold,
)

FLOATS = st.one_of(
    st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0, 0.5, 1.0, float("inf"), -1e-45])
)
SCORES = st.lists(st.one_of(st.none(), st.just(float("nan")), FLOATS), max_size=40)
SHARES = st.one_of(st.floats(0.001, 1), st.sampled_from([0.1, 0.25, 0.3, 0.7, 1.0]))


def column(values: list[float | None]) -> pa.Array:
    return pa.array(values, pa.float32())


def plain_threshold(pairs: list[tuple[float, int]], share: float) -> float | None:
    """The highest score such that the documents of at least that score weigh the share: sorted, added up."""
    total = sum(weight for _, weight in pairs)
    held = 0
    for score, weight in sorted(pairs, reverse=True):
        held += weight
        if total and held >= share * total - 1e-6:
            return score if held else None
    return None


@given(SCORES, SHARES)
@settings(max_examples=200, deadline=None)
def test_the_threshold_is_that_of_the_sorted_scores(scores, share):
    share = round(share, 6)
    known = [(float(np.float32(s)), 1) for s in scores if s is not None and s == s]
    found = top_threshold(column(scores), share)
    if not known:
        assert found is None
        return
    assert found.score == plain_threshold(known, share)
    assert (found.kept, found.total) == (sum(s >= found.score for s, _ in known), len(known))
    assert int(at_least(column(scores), found.score).sum()) == found.kept


@given(st.lists(st.tuples(FLOATS, st.integers(0, 1 << 60)), min_size=1, max_size=7), SHARES)
@settings(max_examples=100, deadline=None)
def test_weights_count_exactly(pairs, share):
    weights = np.array([weight for _, weight in pairs], np.int64) // 8
    scores = column([score for score, _ in pairs])
    found = top_threshold(scores, share, weights)
    total = int(weights.sum())
    if not total:
        assert found is None
        return
    at_or_above = sum(
        int(w) for (s, _), w in zip(pairs, weights, strict=True) if np.float32(s) >= found.score
    )
    above = sum(int(w) for (s, _), w in zip(pairs, weights, strict=True) if np.float32(s) > found.score)
    assert found.kept == at_or_above
    assert above <= share * total * (1 + 1e-6) + 1
    assert at_or_above >= share * total * (1 - 1e-6) - 1


@given(SCORES, SHARES, st.integers(1, 7), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_chunks_and_their_order_change_nothing(scores, share, size, random):
    whole = top_threshold(column(scores), share)
    chunks = [column(scores[at : at + size]) for at in range(0, len(scores), size)]
    random.shuffle(chunks)
    place = find_place(add_histograms(map(coarse_histogram, chunks)), share)
    if place is None:
        assert whole is None
        return
    fine = add_histograms(fine_histogram(chunk, place) for chunk in chunks)
    assert find_threshold(fine, place) == whole


def test_a_tenth_of_ten_is_one_and_ties_are_kept_together():
    ten = column([i / 10 for i in range(10)])
    assert top_threshold(ten, 0.1).kept == 1
    assert top_threshold(ten, 0.11).kept == 2
    assert top_threshold(column([0.5] * 10), 0.1).kept == 10
    assert top_threshold(ten, 1.0).kept == 10


def test_cuts_of_thirds():
    scores = column([float(i) for i in range(9)])
    assert quantile_cuts([scores.slice(0, 4), scores.slice(4)], [1 / 3, 2 / 3]) == [3.0, 6.0]
    with pytest.raises(ValueError, match="no document has a score"):
        quantile_cuts([column([None])], [0.5])


def test_missing_scores_are_kept_only_if_asked():
    scores = column([None, float("nan"), 0.65, 0.6])
    assert at_least(scores, 0.65).tolist() == [False, False, True, False]
    assert at_least(scores, 0.65, "keep").tolist() == [True, True, True, False]
    assert pareto_kept(list("abcd"), column([None, 1.0, None, 1.0]), 9, 1).tolist() == [
        False,
        True,
        False,
        True,
    ]


def test_pareto_keeps_by_the_law_and_by_the_id_alone():
    ids = [f"document {i}" for i in range(40_000)]
    for score in (0.0, 0.5, 0.9):
        kept = pareto_kept(ids, column([score] * len(ids)), 9, 1)
        expected = (2 - score) ** -9
        # Five standard deviations of a binomial share.
        assert abs(kept.mean() - expected) < 5 * (expected * (1 - expected) / len(ids)) ** 0.5
    scores = column([0.9] * len(ids))
    kept = pareto_kept(ids, scores, 9, 1)
    assert np.array_equal(pareto_kept(ids[::-1], scores, 9, 1)[::-1], kept)
    assert not np.array_equal(pareto_kept(ids, scores, 9, 2), kept)
    assert pareto_kept(ids, column([1.0] * len(ids)), 9, 1).all()
    # Fixed by specification: another version must keep the same documents.
    assert pareto_kept(["a", "b", "c", "d", "e", "f", "g", "h"], column([0.9] * 8), 9, 1).tolist() == FIXED


FIXED = [False, False, True, False, True, False, True, False]


@given(st.lists(st.floats(0, 1, width=32), max_size=20), st.floats(0.1, 30), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_a_better_score_is_never_worse(scores, alpha, seed):
    ids = [f"{i}" for i in range(len(scores))]
    kept = pareto_kept(ids, column(scores), alpha, seed)
    better = pareto_kept(ids, column([min(1.0, s + 0.1) for s in scores]), alpha, seed)
    assert not np.any(kept & ~better)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="float32"):
        coarse_histogram(pa.array([1.0]))
    with pytest.raises(ValueError, match="negative"):
        coarse_histogram(column([1.0]), np.array([-1]))
    with pytest.raises(ValueError, match="2 weights for 1"):
        coarse_histogram(column([1.0]), np.array([1, 1]))
    for share in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="cannot be kept"):
            find_place(coarse_histogram(column([1.0])), share)
    with pytest.raises(ValueError, match="between 0 and 1"):
        pareto_kept(["a"], column([1.5]), 9, 1)
    with pytest.raises(ValueError, match="1 ids for 2"):
        pareto_kept(["a"], column([0.5, 0.5]), 9, 1)
    place = find_place(coarse_histogram(column([1.0, 1.5])), 1)
    with pytest.raises(ValueError, match="not of the same scores"):
        find_threshold(fine_histogram(column([8.0]), place), place)


def test_one_way_of_selection_is_named():
    assert Selection(top=0.1).top == 0.1
    for wrong in ({}, {"min": 0.5, "top": 0.1}, {"top": 0}, {"top": 1.1}, {"pareto": 0}):
        with pytest.raises(ValueError):  # noqa: PT011 - five different messages
            Selection(**wrong)
