"""Keep a share of a corpus by score: a fixed score, the top share, or seeded Pareto sampling. Pure functions over columns.

The top share needs a threshold that only the whole corpus knows. It is found exactly, in two passes over the scores, from
histograms that add up in any order and never grow beyond 2^16 counts each, whatever the size of the corpus:

    first = [coarse_histogram(scores) for each chunk]
    place = find_place(add_histograms(first), share)
    second = [fine_histogram(scores, place) for each chunk]
    threshold = find_threshold(add_histograms(second), place)
    kept = scores >= threshold.score

Scores are float32, as the columns hold them. A float32's bits, once negative numbers are turned over, ascend as the numbers
do; the upper half of them is the place in the first histogram, the lower half that in the second. The answers are the same
whatever the chunks, the workers and the order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from pydantic import BaseModel, Field, model_validator

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float32]

BINS = 1 << 16


class Selection(BaseModel, frozen=True, extra="forbid"):
    """Which documents a score keeps; one of three ways is named.

        {min: 0.5}            a fixed score
        {top: 0.1}            the best tenth of the corpus (DCLM keeps a tenth, Kong et al. 2024 a quarter)
        {pareto: 9, seed: 1}  GPT-3's: documents of any score have a chance (Brown et al. 2020, appendix A)

    `weigh` says what `top` is a share of. `per_source` finds the threshold of each source on its own. A document
    without a score is not kept, unless `missing: keep`; it counts for no share.
    """

    min: float | None = None
    top: float | None = Field(default=None, gt=0, le=1)
    pareto: float | None = Field(default=None, gt=0)
    seed: int = 1
    weigh: Literal["documents", "words"] = "documents"
    per_source: bool = False
    missing: Literal["reject", "keep"] = "reject"

    @model_validator(mode="after")
    def _names_one_way(self) -> Selection:
        ways = [name for name in ("min", "top", "pareto") if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError(f"name one of min, top and pareto, not {' and '.join(ways) or 'none'}")
        return self


class Histogram(BaseModel, frozen=True):
    """Sums of weights by place, sparse: what a chunk hands to the one who adds up. Places ascend."""

    places: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()


class Place(BaseModel, frozen=True):
    """The bin of the first histogram that holds the threshold, what lies above it, and how much is to be kept."""

    bin: int
    above: int
    wanted: int
    total: int


class Threshold(BaseModel, frozen=True):
    """The lowest score that is kept. `kept` of `total` weigh at least that; more than asked for only where scores tie."""

    score: float
    kept: int
    total: int


def coarse_histogram(scores: pa.Array, weights: Ints | None = None) -> Histogram:
    """The first histogram of a chunk. Missing scores (null, NaN) are left out.

    Args:
        scores: float32.
        weights: what each document counts, 0 or more; 1 where None.

    Raises:
        ValueError: for another type, a negative weight, or weights of another length.
    """
    keys, weights = _keys_and_weights(scores, weights)
    return _histogram(keys >> np.uint32(16), weights)


def fine_histogram(scores: pa.Array, place: Place, weights: Ints | None = None) -> Histogram:
    """The second histogram of a chunk: of the scores in the bin that holds the threshold.

    Raises:
        ValueError: as `coarse_histogram`.
    """
    keys, weights = _keys_and_weights(scores, weights)
    here = keys >> np.uint32(16) == np.uint32(place.bin)
    return _histogram(keys[here] & np.uint32(BINS - 1), weights[here])


def add_histograms(parts: Iterable[Histogram]) -> Histogram:
    """The sum; no order of adding changes it."""
    sums = np.zeros(BINS, np.int64)
    for part in parts:
        sums[np.array(part.places, np.int64)] += np.array(part.weights, np.int64)
    return _sparse(sums)


def find_place(histogram: Histogram, share: float) -> Place | None:
    """Where the threshold lies above which at least `share` of the total weight is; None for no weight at all.

    Raises:
        ValueError: when the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share:g} cannot be kept: it must be above 0 and at most 1")
    total = sum(histogram.weights)
    if not total:
        return None
    # 0.1 of 10 is 1, although 0.1 is stored as a little more than that; sums may be too large for floating point.
    wanted = max(1, math.ceil(Fraction(share).limit_denominator(10**9) * total))
    index, above = _from_above(histogram, wanted)
    return Place(bin=histogram.places[index], above=above, wanted=wanted, total=total)


def find_threshold(histogram: Histogram, place: Place) -> Threshold:
    """The exact threshold, from the second histogram.

    Raises:
        ValueError: when the histogram is not that of the place.
    """
    if place.above + sum(histogram.weights) < place.wanted:
        raise ValueError("the second histogram is not of the same scores as the first")
    index, above = _from_above(histogram, place.wanted - place.above)
    key = np.uint32(place.bin << 16 | histogram.places[index])
    return Threshold(
        score=float(_score_of(key)), kept=place.above + above + histogram.weights[index], total=place.total
    )


def top_threshold(scores: pa.Array, share: float, weights: Ints | None = None) -> Threshold | None:
    """The threshold of one column that holds the whole corpus; None where nothing has a score."""
    place = find_place(coarse_histogram(scores, weights), share)
    return None if place is None else find_threshold(fine_histogram(scores, place, weights), place)


def quantile_cuts(parts: Sequence[pa.Array], shares: Sequence[float]) -> list[float]:
    """The scores below which the given shares of the documents lie at most, for buckets of a corpus (head, middle, tail).

    Raises:
        ValueError: when nothing has a score.
    """
    coarse = add_histograms(map(coarse_histogram, parts))
    cuts = []
    for share in shares:
        place = find_place(coarse, 1 - share)
        if place is None:
            raise ValueError("no document has a score")
        fine = add_histograms(fine_histogram(part, place) for part in parts)
        cuts.append(find_threshold(fine, place).score)
    return cuts


def at_least(scores: pa.Array, minimum: float, missing: Literal["reject", "keep"] = "reject") -> Bools:
    """Which documents have at least a score, compared as float32, the type of the column."""
    values, absent = _values(scores)
    kept: Bools = np.where(absent, missing == "keep", values >= np.float32(minimum))
    return kept


def pareto_kept(
    ids: Sequence[str],
    scores: pa.Array,
    alpha: float,
    seed: int,
    missing: Literal["reject", "keep"] = "reject",
) -> Bools:
    """Which documents Pareto sampling keeps: those whose random number is above 1 - score (GPT-3, appendix A; there alpha is 9).

    The number is Pareto II (Lomax) distributed: above x with probability (1 + x)^-alpha. It is made from the document's
    id and the seed alone, so the same document is kept in every run, whatever is around it. A score of 1 is always kept.

    Raises:
        ValueError: when a score lies outside 0 to 1, or there are not as many ids as scores.
    """
    values, absent = _values(scores)
    if len(ids) != len(values):
        raise ValueError(f"{len(ids)} ids for {len(values)} scores")
    known = values[~absent]
    if len(known) and not (known.min() >= 0 and known.max() <= 1):
        raise ValueError(
            f"Pareto sampling needs scores between 0 and 1, not {known.min():g} to {known.max():g}"
        )
    hashes = np.array([xxhash.xxh3_64_intdigest(name.encode(), seed) for name in ids], np.uint64)
    # Above 0, at most 1: 53 bits, so that none is rounded.
    uniform = ((hashes >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53
    random = uniform ** (-1.0 / alpha) - 1.0
    needed = 1.0 - values.astype(np.float64)
    kept: Bools = np.where(absent, missing == "keep", (random > needed) | (needed == 0.0))
    return kept


def _values(scores: pa.Array) -> tuple[Scores, Bools]:
    """The scores and which of them are missing."""
    if not pa.types.is_float32(scores.type):
        raise ValueError(f"scores are float32, not {scores.type}")
    values = scores.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return values, np.isnan(values)


def _keys_and_weights(scores: pa.Array, weights: Ints | None) -> tuple[npt.NDArray[np.uint32], Ints]:
    values, absent = _values(scores)
    if weights is None:
        weights = np.ones(len(values), np.int64)
    if len(weights) != len(values):
        raise ValueError(f"{len(weights)} weights for {len(values)} scores")
    if len(weights) and weights.min() < 0:
        raise ValueError("a weight is negative")
    return _key_of(values[~absent]), weights[~absent]


def _key_of(values: Scores) -> npt.NDArray[np.uint32]:
    """Numbers that ascend as the scores do; -0 and 0 are one."""
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31)).astype(np.uint32)


def _score_of(key: np.uint32) -> np.float32:
    bits = key & np.uint32(0x7FFFFFFF) if key >> np.uint32(31) else ~key
    return np.array([bits], np.uint32).view(np.float32)[0]  # type: ignore[no-any-return]


def _histogram(places: npt.NDArray[np.uint32], weights: Ints) -> Histogram:
    sums = np.zeros(BINS, np.int64)
    # bincount would add up in floating point, which is exact to 2^53 only.
    np.add.at(sums, places.astype(np.int64), weights)
    return _sparse(sums)


def _sparse(sums: Ints) -> Histogram:
    places = np.flatnonzero(sums)
    return Histogram(places=tuple(places.tolist()), weights=tuple(sums[places].tolist()))


def _from_above(histogram: Histogram, wanted: int) -> tuple[int, int]:
    """The highest place at which the weight from the top reaches `wanted`, and the weight above that place."""
    above = 0
    for index in range(len(histogram.places) - 1, -1, -1):
        if above + histogram.weights[index] >= wanted:
            return index, above
        above += histogram.weights[index]
    raise ValueError(f"the histogram weighs {above}, and {wanted} are wanted")
