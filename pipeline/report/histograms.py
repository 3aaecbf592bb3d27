"""Histograms of measured columns whose bins respect a rule's thresholds.

A histogram is counted chunk by chunk with edges chosen once from the column's range, and the parts are added.
Because each threshold is a bin edge, the bars on its rejected side sum to exactly the documents that the rule
rejects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Scale = Literal["linear", "log"]

LOG_RATIO = 200.0
"""A positive column is drawn on a log scale when it reaches beyond this many times its minimum (or 1)."""
MARGIN = 0.05
"""The share of a histogram's width that is kept free beyond its outermost threshold."""
WINDOW = 4.0
"""A linear histogram reaches this many times its threshold beyond it; what is farther counts as `above`."""
SIGHT = 10.0
"""A threshold farther from the data than this many times their reach is not drawn."""

TINY = 1e-30
"""Below any measured value, above the next float after zero."""

_LIMIT = r"(min|max)\s*[:=]?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_BOUND = re.compile(rf"\s*\{{?\s*{_LIMIT}\s*(?:,?\s*{_LIMIT})?\s*\}}?\s*")


class Limits(NamedTuple):
    """A numeric bound: values below `minimum` or above `maximum` are rejected; None is no limit."""

    minimum: float | None = None
    maximum: float | None = None

    def edges(self, dtype: npt.DTypeLike = np.float64) -> list[float]:
        """The bin edges that part kept from rejected values of a column of this type.

        Rules compare in the column's own type and keep a value equal to a limit; a bin includes its lower
        edge. So a minimum is an edge itself (as that type has it), and a maximum's edge is the type's next
        number above it, for whole numbers the next whole number.
        """
        kind: np.dtype[Any] = np.dtype(dtype)
        if np.issubdtype(kind, np.integer) or kind == np.bool_:
            low = None if self.minimum is None else float(math.ceil(self.minimum))
            high = None if self.maximum is None else float(math.floor(self.maximum) + 1)
        else:
            low = None if self.minimum is None else float(kind.type(self.minimum))
            high = (
                None
                if self.maximum is None
                else float(np.nextafter(kind.type(self.maximum), kind.type(np.inf)))
            )
        return sorted(edge for edge in (low, high) if edge is not None)


class Tally(NamedTuple):
    """Documents per bin, those below the first and above the last edge, and those without a value."""

    counts: Counts
    below: int
    above: int
    nulls: int


def limits_of(bound: str) -> Limits:
    """Read the limits of a bound written as in a job's YAML: `min 0.65`, `max: 3`, `{min: 50, max: 100000}`.

    Any other bound (`in [en]`) has no numeric limits.
    """
    match = _BOUND.fullmatch(bound)
    if match is None:
        return Limits()
    found = {name: float(number) for name, number in (match.group(1, 2), match.group(3, 4)) if name}
    return Limits(found.get("min"), found.get("max"))


def choose_edges(
    minimum: float, maximum: float, bound: Limits | str, bins: int = 40, *, dtype: npt.DTypeLike = np.float64
) -> tuple[Floats, Scale]:
    """Choose about `bins` bins for a column with the given range; the limits of `bound` are bin edges.

    Args:
        minimum: smallest value of the column, finite.
        maximum: largest value of the column, finite.
        bound: the rule's limits, or its bound as in the YAML.
        bins: how many bins to aim at; the result has at most three more.
        dtype: the column's type. Bins of an integer column begin at whole numbers, so that none stays empty
            for want of one.

    Returns:
        Rising edges, and `log` for a positive column with a long tail (bins even in log(1 + value)), else
        `linear`.

    Raises:
        ValueError: when the range is not finite or is reversed, or `bins` is below 1.
    """
    if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum <= maximum):
        raise ValueError(f"cannot choose histogram edges for the range {minimum} to {maximum}")
    if bins < 1:
        raise ValueError(f"a histogram needs at least one bin, not {bins}")
    limits = limits_of(bound) if isinstance(bound, str) else bound
    cuts = _cuts_in_sight(minimum, maximum, limits.edges(dtype))
    scale = _choose_scale(minimum, maximum, cuts)
    low, high = _window(minimum, maximum, cuts, scale)
    whole = np.issubdtype(np.dtype(dtype), np.integer)
    if whole:
        low, high = float(math.floor(low)), float(math.floor(high) + 1)
    edges = _subdivide([low, *(cut for cut in cuts if low < cut < high), high], bins, scale)
    return (np.unique(np.round(edges)) if whole else edges), scale


def count_values(values: npt.NDArray[np.generic], edges: Floats) -> Tally:
    """Count a chunk's values per bin; NaN counts as no value, and an infinity as below or above.

    float32 values become float64 exactly; edges chosen for float32 hold its limits, so each value lands where
    its rule puts it.
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[~np.isnan(numbers)]
    below = int(np.count_nonzero(known < edges[0]))
    above = int(np.count_nonzero(known > edges[-1]))
    bins = np.searchsorted(edges, known, side="right") - 1
    bins[known == edges[-1]] = len(edges) - 2
    inside = bins[(bins >= 0) & (bins < len(edges) - 1)]
    counts = np.bincount(inside, minlength=len(edges) - 1).astype(np.int64)
    return Tally(counts, below, above, int(numbers.size - known.size))


def merge_tallies(tallies: Iterable[Tally]) -> Tally:
    """Add up the tallies of chunks counted with the same edges; the order does not matter.

    Raises:
        ValueError: when there is none, or they differ in the number of bins.
    """
    parts = list(tallies)
    if not parts:
        raise ValueError("no tallies to merge")
    if len({len(part.counts) for part in parts}) != 1:
        raise ValueError("tallies with different numbers of bins cannot be added")
    return Tally(
        np.sum([part.counts for part in parts], axis=0, dtype=np.int64),
        sum(part.below for part in parts),
        sum(part.above for part in parts),
        sum(part.nulls for part in parts),
    )


def _cuts_in_sight(minimum: float, maximum: float, cuts: list[float]) -> list[float]:
    """The cuts that can be shown without crushing the data: those not many times its reach away."""
    reach = SIGHT * max(maximum - minimum, abs(minimum), abs(maximum))
    return [cut for cut in cuts if reach <= TINY or minimum - reach <= cut <= maximum + reach]


def _choose_scale(minimum: float, maximum: float, cuts: list[float]) -> Scale:
    """Log for a long positive tail; not with a bound below 1, whose kept side log(1 + value) would crush."""
    low, high = min([minimum, *cuts]), max([maximum, *cuts])
    long_tail = low >= 0 and high > LOG_RATIO * max(low, 1.0)
    return "log" if long_tail and (not cuts or cuts[-1] >= 1) else "linear"


def _window(minimum: float, maximum: float, cuts: list[float], scale: Scale) -> tuple[float, float]:
    """The range to draw, rounded outwards, with room on either side of the outermost cuts."""
    low, high = min([minimum, *cuts]), max([maximum, *cuts])
    if scale == "log":
        places = _pad(math.log1p(minimum), math.log1p(maximum), [math.log1p(cut) for cut in cuts])
        # Not through the logarithm and back where that could round the extremes out of the window.
        return min(minimum, max(0.0, math.expm1(places[0]))), max(maximum, math.expm1(places[1]))
    if cuts:
        # A share bounded by 0.01 that once reached 40 would otherwise show all its documents in one bar.
        reach = WINDOW * max(abs(cuts[0]), abs(cuts[-1]))
        if len(cuts) > 1 and cuts[0] < cuts[-1]:
            reach = cuts[-1] - cuts[0]
        first, last = cuts[0] - reach, cuts[-1] + reach
        low = first if reach > TINY and low < first < maximum else low
        high = last if reach > TINY and high > last > minimum else high
    low, high = _pad(low, high, cuts, nonnegative=minimum >= 0)
    step = _nice_step(high - low)
    # Rounded with a little slack, so that 0.3 / 0.1 is three steps; never inwards.
    return min(low, math.floor(low / step + 1e-9) * step), max(high, math.ceil(high / step - 1e-9) * step)


def _pad(low: float, high: float, cuts: list[float], *, nonnegative: bool = True) -> tuple[float, float]:
    """Widen a range so that its outermost cuts stand clear of its ends, where its values allow."""
    bottom, top = min([low, *cuts]), max([high, *cuts])
    size = max(abs(bottom), abs(top))
    # Values that differ by a rounding error, or by the step from 0 to the next float, are one value.
    span = top - bottom if top - bottom > max(1e-9 * size, TINY) else size if size > TINY else 1.0
    if not cuts:
        return low, max(high, low + span)
    margin = MARGIN * span
    wanted = cuts[0] - margin
    # Below zero only to make room for the zeros themselves, where the limit is `max 0`.
    if nonnegative and (cuts[0] > TINY or low >= cuts[0]):
        wanted = max(wanted, min(0.0, cuts[0]))
    return min(bottom, wanted), max(top, cuts[-1] + margin)


def _nice_step(span: float) -> float:
    """A tenth of the span, rounded up to 1, 2 or 5 times a power of ten."""
    rough = span / 10
    power = 10.0 ** math.floor(math.log10(rough))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= rough * (1 - 1e-9)), 10 * power)


def _subdivide(anchors: list[float], bins: int, scale: Scale) -> Floats:
    """Bins between the anchors, as many as their distance asks, at least one; anchors are kept exactly."""
    places = np.log1p(anchors) if scale == "log" else np.asarray(anchors)
    shares = np.diff(places) / (places[-1] - places[0])
    edges = [anchors[0]]
    for index, share in enumerate(shares):
        inner = np.linspace(places[index], places[index + 1], max(1, round(bins * float(share))) + 1)[1:-1]
        edges += [*(np.expm1(inner) if scale == "log" else inner).tolist(), anchors[index + 1]]
    return np.unique(np.asarray(edges, dtype=np.float64))
