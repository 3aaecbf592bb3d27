from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report.histograms import (
    Limits,
    Tally,
    choose_edges,
    count_values,
    limits_of,
    merge_tallies,
)

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False, width=32)
DTYPES = st.sampled_from([np.float64, np.float32, np.int64, np.int32, np.uint8])


@st.composite
def columns(draw: st.DrawFn) -> tuple[np.ndarray, Limits]:
    """A column of some type and a bound, often equal to one of its values."""
    dtype = np.dtype(draw(DTYPES))
    if np.issubdtype(dtype, np.integer):
        value = st.integers(max(np.iinfo(dtype).min, -(10**6)), min(np.iinfo(dtype).max, 10**6))
    else:
        value = st.one_of(NUMBERS, st.floats(0, 1, width=32), st.just(0.0))
    values = np.array(draw(st.lists(value, min_size=1, max_size=30)), dtype)
    limit = st.one_of(
        st.none(), st.sampled_from(values.tolist()), st.sampled_from([0.0, 0.01, 0.65, 2.5, 10.0])
    )
    low, high = draw(limit), draw(limit)
    if low is not None and high is not None and low > high:
        low, high = high, low
    return values, Limits(low, high)


def rejected_by_rule(values: np.ndarray, limits: Limits) -> int:
    """What `pipeline.rules` rejects: floats in the column's own type, others with the limit as written."""
    own = float if np.issubdtype(values.dtype, np.integer) else values.dtype.type
    bad = np.zeros(len(values), bool)
    if limits.minimum is not None:
        bad |= values < own(limits.minimum)
    if limits.maximum is not None:
        bad |= values > own(limits.maximum)
    return int(bad.sum())


def count_plainly(values: list[float], edges: list[float]) -> tuple[list[int], int, int, int]:
    counts, below, above, nulls = [0] * (len(edges) - 1), 0, 0, 0
    for value in values:
        if math.isnan(value):
            nulls += 1
        elif value < edges[0]:
            below += 1
        elif value > edges[-1]:
            above += 1
        else:
            inside = [i for i in range(len(counts)) if edges[i] <= value < edges[i + 1]]
            counts[inside[0] if inside else -1] += 1
    return counts, below, above, nulls


@pytest.mark.parametrize(
    ("bound", "limits"),
    [
        ("min 0.65", Limits(0.65, None)),
        ("max .3", Limits(None, 0.3)),
        ("min 50, max 100000", Limits(50, 100000)),
        ("max: 1e+06", Limits(None, 1e6)),
        ("{min: -2, max: 4.5}", Limits(-2, 4.5)),
        ("in [en]", Limits()),
        ("in [min 3]", Limits()),
        ("min 3, in [en]", Limits()),
        ("", Limits()),
    ],
)
def test_limits_are_read_as_the_yaml_writes_them(bound: str, limits: Limits) -> None:
    assert limits_of(bound) == limits


@settings(max_examples=150, deadline=None)
@given(columns(), st.integers(1, 60))
def test_bins_part_kept_from_rejected_exactly(column: tuple[np.ndarray, Limits], bins: int) -> None:
    values, limits = column
    edges, _ = choose_edges(float(values.min()), float(values.max()), limits, bins, dtype=values.dtype)
    assert np.all(np.diff(edges) > 0)
    assert len(edges) - 1 <= bins + 3
    cuts = limits.edges(values.dtype)
    if not all(edges[0] <= cut <= edges[-1] for cut in cuts):
        return  # a limit far from the data is not drawn; the chart says so
    for cut in cuts:
        assert cut in edges
    counts, below, above, _ = count_values(values, edges)
    low = limits.edges(values.dtype)[0] if limits.minimum is not None else -math.inf
    high = cuts[-1] if limits.maximum is not None else math.inf
    rejected = sum(int(n) for n, a, b in zip(counts, edges, edges[1:], strict=False) if b <= low or a >= high)
    rejected += below * (edges[0] <= low) + above * (edges[-1] >= high)
    assert rejected == rejected_by_rule(values, limits)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(NUMBERS, st.just(math.nan), st.just(math.inf)), max_size=40),
    st.lists(NUMBERS, min_size=2, max_size=9, unique=True),
)
def test_counting_agrees_with_the_plain_count(values: list[float], edges: list[float]) -> None:
    counts, below, above, nulls = count_values(np.array(values, np.float64), np.array(sorted(edges)))
    assert (counts.tolist(), below, above, nulls) == count_plainly(values, sorted(edges))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(NUMBERS, max_size=10), min_size=1, max_size=6))
def test_parts_add_up_to_the_whole_in_any_order(chunks: list[list[float]]) -> None:
    edges = np.array([-5.0, 0.0, 1.0, 1000.0])
    parts = [count_values(np.array(chunk, np.float32), edges) for chunk in chunks]
    whole = count_values(np.array([value for chunk in chunks for value in chunk], np.float32), edges)
    for order in (parts, parts[::-1]):
        merged = merge_tallies(order)
        assert merged.counts.tolist() == whole.counts.tolist()
        assert merged[1:] == whole[1:]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("bound", "value"), [("min 0.65", 0.65), ("max 0.3", 0.3), ("max 0", 0.0), ("min 0", 0.0)]
)
def test_a_value_equal_to_the_limit_is_on_the_kept_side(dtype: type, bound: str, value: float) -> None:
    inside = np.array([value], dtype)
    outside = np.nextafter(inside, dtype(-np.inf if "min" in bound else np.inf))
    edges, _ = choose_edges(-0.1, 1.0, bound, dtype=dtype)
    (cut,) = limits_of(bound).edges(dtype)
    place = edges.tolist().index(cut)
    kept, rejected = count_values(inside, edges).counts, count_values(outside, edges).counts
    if "min" in bound:
        assert kept[place:].sum() == 1
        assert rejected[:place].sum() == 1
    else:
        assert kept[:place].sum() == 1
        assert rejected[place:].sum() == 1


def test_whole_numbers_have_whole_edges() -> None:
    edges, scale = choose_edges(0, 8, "min 2, max 5", dtype=np.int32)
    assert scale == "linear"
    assert set(np.diff(edges)) == {1.0}
    assert {2.0, 6.0} <= set(edges.tolist())


@pytest.mark.parametrize(
    ("minimum", "maximum", "bound", "scale"),
    [
        (3, 40_000, "min 50, max 100000", "log"),  # words: a long tail
        (0, 1, "max 0.2", "linear"),  # a share
        (0, 100, "min 25", "linear"),  # a percentage
        (0, 400, "max 0.1", "linear"),  # a rate that once reached 400
        (-1000, 1000, "min 0", "linear"),  # no logarithm of what is negative
        (0, 10**6, "", "log"),
    ],
)
def test_a_long_positive_tail_is_drawn_on_a_log_scale(
    minimum: float, maximum: float, bound: str, scale: str
) -> None:
    assert choose_edges(minimum, maximum, bound)[1] == scale


def test_rare_large_values_do_not_crush_the_rest() -> None:
    edges, _ = choose_edges(0, 37, "max 0.1")
    assert edges[-1] <= 1
    assert np.count_nonzero(edges < 0.1) >= 5


def test_a_limit_far_from_the_data_does_not_crush_it() -> None:
    edges, _ = choose_edges(0, 1, "max 1000000")
    assert edges[-1] <= 2


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 0.65, 1e-12, 123456.0])
def test_a_constant_column_has_bins(value: float) -> None:
    edges, _ = choose_edges(value, value, "min 0.65")
    counts, below, above, _ = count_values(np.array([value]), edges)
    assert counts.sum() == 1
    assert below == above == 0


@pytest.mark.parametrize("extremes", [(math.nan, 1), (0, math.inf), (2, 1)])
def test_an_impossible_range_is_refused(extremes: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="range"):
        choose_edges(*extremes, "min 1")


def test_bins_must_be_positive() -> None:
    with pytest.raises(ValueError, match="one bin"):
        choose_edges(0, 1, "", 0)


def test_tallies_of_different_edges_are_not_added() -> None:
    tallies = [Tally(np.zeros(n, np.int64), 0, 0, 0) for n in (2, 3)]
    with pytest.raises(ValueError, match="bins"):
        merge_tallies(tallies)
    with pytest.raises(ValueError, match="no tallies"):
        merge_tallies([])
