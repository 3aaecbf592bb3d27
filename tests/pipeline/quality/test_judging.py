"""Figures and calibration against their plain definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.quality.judging import auc, calibration_error, fit_isotonic, fit_platt, judge

PAIRS = st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.booleans()), max_size=25)


def arrays(pairs):
    return np.array([s for s, _ in pairs], float), np.array([g for _, g in pairs], bool)


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_auc_counts_the_pairs_that_are_in_order(pairs):
    scores, good = arrays(pairs)
    both = [(a, b) for a, is_good in pairs if is_good for b, other in pairs if not other]
    expected = sum((a > b) + 0.5 * (a == b) for a, b in both) / len(both) if both else math.nan
    assert auc(scores, good) == pytest.approx(expected, nan_ok=True)


@given(PAIRS, st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_precision_recall_and_f1_are_those_of_the_table(pairs, threshold):
    found = judge(*arrays(pairs), threshold)
    hits = sum(g and s >= threshold for s, g in pairs)
    called, real = sum(s >= threshold for s, _ in pairs), sum(g for _, g in pairs)
    assert found.precision == pytest.approx(hits / called if called else math.nan, nan_ok=True)
    assert found.recall == pytest.approx(hits / real if real else math.nan, nan_ok=True)
    assert found.f1 == pytest.approx(2 * hits / (called + real) if called + real else math.nan, nan_ok=True)


@given(PAIRS.filter(bool))
@settings(max_examples=80, deadline=None)
def test_isotonic_is_the_least_squares_ascending_function(pairs):
    scores, good = arrays(pairs)
    found = fit_isotonic(scores, good).apply(scores)
    # Min-max formula of isotonic regression.
    values = sorted(set(scores))
    for value in values:
        mean = lambda low, high: good[(scores >= low) & (scores <= high)].mean()  # noqa: E731
        expected = max(
            min(mean(low, high) for high in values if high >= value) for low in values if low <= value
        )
        assert found[scores == value] == pytest.approx(expected)


def test_platt_finds_the_sigmoid_that_made_the_labels():
    random = np.random.default_rng(1)
    raw = random.normal(0, 3, 20_000)
    good = random.random(20_000) < 1 / (1 + np.exp(-(0.7 * raw - 0.5)))
    found = fit_platt(raw, good)
    assert (found.slope, found.offset) == pytest.approx((0.7, -0.5), abs=0.06)
    assert calibration_error(found.apply(raw), good) < 0.01
    assert calibration_error(np.full(4, 0.9), np.array([True, False, False, False])) == pytest.approx(0.65)


def test_platt_survives_perfect_reversed_and_constant_scores():
    good = np.array([False] * 50 + [True] * 50)
    perfect = fit_platt(np.linspace(-11, 11, 100), good)
    assert perfect.slope > 0
    assert np.isfinite([perfect.slope, perfect.offset]).all()
    assert fit_platt(np.linspace(11, -11, 100), good).slope > 0
    assert fit_platt(np.zeros(100), good).apply(np.zeros(1))[0] == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ValueError, match="good and bad"):
        fit_platt(np.zeros(3), np.ones(3, bool))
