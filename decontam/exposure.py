"""The other direction, for model cards: how much of each benchmark is in a corpus.

Four published definitions, from the n-grams of the index that were found in the corpus's documents:

    GPT-3    Brown et al. 2020, appendix C: an item is dirty if one of its N-grams is found. N is the 5th
             percentile of the benchmark's item lengths in words, at least 8 and at most 13.
    PaLM     Chowdhery et al. 2022, section 8: contaminated if at least 70 % of its 8-grams are found.
    Llama 2  Touvron et al. 2023, appendix A.6: a token is contaminated inside a found n-gram of more than 10
             tokens; an item is clean below 20 % of such tokens and not clean from there on, not dirty below
             80 % and dirty from there on.
    Llama 3  Dubey et al. 2024, section 5.1.4: the share of an item's tokens that lie in a found 8-gram. The
             paper chooses for each data set the share that makes an item contaminated; here are the mean
             share and the items above one half.

What differs from the papers, for all four: tokens are words of the word rule, not BPE tokens; an item is the
parts that were indexed (the prompt, unless the settings say otherwise); n-grams stay inside a field; n-grams
that the index leaves out (templates, single letters and digits) count as not found unless a longer one around
them was, so that the figures are lower bounds. GPT-3 lowered N below 8 for synthetic tasks, which is not done
here. Llama 2's matches may differ in four tokens, which is not done here either. An item without one n-gram of
the definition's n is not measurable: it is in no figure but `items`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

GPT3_BOUNDS = (8, 13)
GPT3_PERCENTILE = 5
PALM_N, PALM_SHARE = 8, (7, 10)
LLAMA2_N, LLAMA2_CLEAN, LLAMA2_DIRTY = 11, (2, 10), (8, 10)
LLAMA3_N, LLAMA3_SHARE = 8, (5, 10)
"""Of each definition the n, and the shares as fractions, so that a share at the bound is compared exactly."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Exposure(BaseModel):
    """How much of one benchmark is in the corpus. Counts are items; `items` less `measurable` are too short."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str
    items: int = Field(ge=0)
    gpt3_n: int = Field(ge=8, le=13)
    gpt3_measurable: int = Field(ge=0)
    gpt3_dirty: int = Field(ge=0)
    palm_measurable: int = Field(ge=0)
    palm_contaminated: int = Field(ge=0)
    llama2_measurable: int = Field(ge=0)
    llama2_clean: int = Field(ge=0)
    llama2_not_clean: int = Field(ge=0)
    llama2_not_dirty: int = Field(ge=0)
    llama2_dirty: int = Field(ge=0)
    llama3_measurable: int = Field(ge=0)
    llama3_above_half: int = Field(ge=0)
    llama3_mean_share: float | None = Field(ge=0, le=1, description="none where no item is measurable")


class BenchmarkText(Protocol):
    """What is read of an n-gram index (`decontam.ngrams.NgramIndex`)."""

    @property
    def header(self) -> Any:
        """What the index was made of."""
        ...

    @property
    def codes(self) -> npt.NDArray[np.uint32]:
        """The text, a code for each word, 0 after each field."""
        ...

    @property
    def field_starts(self) -> Ints:
        """Where each field starts."""
        ...

    @property
    def field_units(self) -> Any:
        """The unit of each field."""
        ...

    @property
    def field_is_variant(self) -> Any:
        """Whether a field is another one in upper case."""
        ...

    @property
    def unit_benchmarks(self) -> Any:
        """The number of the benchmark of each unit."""
        ...

    @property
    def unit_items(self) -> Any:
        """The item of each unit."""
        ...

    @property
    def unit_parts(self) -> Any:
        """The part of each unit."""
        ...

    def starting(self, ids: Any, n: int) -> Bools:
        """At which places of `codes` an n-gram of n words starts whose id is among ids."""
        ...


def exposures(index: BenchmarkText, found: npt.NDArray[np.uint32]) -> list[Exposure]:
    """How much of each benchmark of an index is in a corpus, in the order of the index.

    Args:
        index: the benchmarks' n-grams; an n outside of its `min_words` to `max_words` measures no item.
        found: the ids of its n-grams that the corpus's documents hold, of every n, ascending.
    """
    text = _Text.of(index)
    at = {n: text.fields_only(places) for n, places in _found_at(index, found).items()}
    n_of = text.fifth_percentiles()
    return [
        Exposure(benchmark=each.key, items=each.items, gpt3_n=int(n_of[number]), **figures)
        for number, (each, figures) in enumerate(
            zip(
                index.header.benchmarks,
                _rows(_gpt3(text, at, n_of) | _palm(text, at) | _llama2(text, at) | _llama3(text, at)),
                strict=True,
            )
        )
    ]


def exposure_table(rows: Sequence[Exposure]) -> pa.Table:
    """The rows as a table, one column for each field of `Exposure`."""
    kinds = {"benchmark": pa.string(), "llama3_mean_share": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.int64())) for name in Exposure.model_fields])
    return pa.Table.from_pylist([row.model_dump() for row in rows], schema)


# ---- the four definitions: item by item, then summed over each benchmark


Figures = dict[str, npt.NDArray[Any]]
"""Name of a field of `Exposure` -> its value for each benchmark."""


def _gpt3(text: _Text, at: Mapping[int, Bools], n_of: Ints) -> Figures:
    measurable = np.zeros(len(text.lengths), np.bool_)
    dirty = measurable.copy()
    for n, places in at.items():
        chosen = n_of[text.benchmarks] == n
        measurable |= chosen & (text.ngrams(n) > 0)
        dirty |= chosen & (text.per_item(places) > 0)
    return {"gpt3_measurable": text.count(measurable), "gpt3_dirty": text.count(dirty)}


def _palm(text: _Text, at: Mapping[int, Bools]) -> Figures:
    measurable, found = _measured(text, at, PALM_N)
    reached = _at_least(text.per_item(found), text.ngrams(PALM_N), PALM_SHARE)
    return {
        "palm_measurable": text.count(measurable),
        "palm_contaminated": text.count(measurable & reached),
    }


def _llama2(text: _Text, at: Mapping[int, Bools]) -> Figures:
    measurable, found = _measured(text, at, LLAMA2_N)
    covered = text.per_item(_covered(found, LLAMA2_N))
    not_clean = _at_least(covered, text.lengths, LLAMA2_CLEAN)
    dirty = _at_least(covered, text.lengths, LLAMA2_DIRTY)
    return {
        "llama2_measurable": text.count(measurable),
        "llama2_clean": text.count(measurable & ~not_clean),
        "llama2_not_clean": text.count(measurable & not_clean),
        "llama2_not_dirty": text.count(measurable & ~dirty),
        "llama2_dirty": text.count(measurable & dirty),
    }


def _llama3(text: _Text, at: Mapping[int, Bools]) -> Figures:
    measurable, found = _measured(text, at, LLAMA3_N)
    covered = text.per_item(_covered(found, LLAMA3_N))
    part, whole = LLAMA3_SHARE
    count = text.count(measurable)
    shares = np.divide(covered, text.lengths, out=np.zeros(len(covered)), where=measurable)
    sums = np.bincount(text.benchmarks, shares, len(count))
    return {
        "llama3_measurable": count,
        "llama3_above_half": text.count(measurable & (covered * whole > text.lengths * part)),
        "llama3_mean_share": np.divide(sums, count, out=np.full(len(count), np.nan), where=count > 0),
    }


def _measured(text: _Text, at: Mapping[int, Bools], n: int) -> tuple[Bools, Bools]:
    """The items with an n-gram of n words, and where such n-grams were found; none if the index has no such n."""
    if n not in at:
        return np.zeros(len(text.lengths), np.bool_), np.zeros(len(text.left), np.bool_)
    return text.ngrams(n) > 0, at[n]


def _at_least(part: Ints, whole: Ints, share: tuple[int, int]) -> Bools:
    reached: Bools = part * share[1] >= whole * share[0]
    return reached


def _rows(figures: Figures) -> list[dict[str, Any]]:
    """A dictionary for each benchmark; no number is None."""
    columns = {name: values.tolist() for name, values in figures.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row in rows:
        share = row["llama3_mean_share"]
        row["llama3_mean_share"] = None if share != share else min(share, 1.0)
    return rows


# ---- the text of the benchmarks


@dataclass(frozen=True)
class _Text:
    """The words of all items; variants of fields (the same words in upper case) are left out."""

    left: Ints
    """Of each place in the index's codes: the words from there to the end of its field; 0 where it has none."""
    fields: Ints
    """Where each field begins, ascending."""
    items_of_fields: Ints
    lengths: Ints
    """Words of each item."""
    benchmarks: Ints
    """The benchmark of each item, as its number in the header."""
    benchmark_count: int

    @classmethod
    def of(cls, index: BenchmarkText) -> _Text:
        items_of_units, benchmarks = _items(index)
        starts = np.asarray(index.field_starts, np.int64)[:-1]
        items_of_fields = items_of_units[np.asarray(index.field_units, np.int64)]
        left = _words_left(index)
        text = cls(
            left,
            starts,
            items_of_fields,
            np.zeros(len(benchmarks), np.int64),
            benchmarks,
            len(index.header.benchmarks),
        )
        text.lengths[:] = text.per_item(left > 0)
        return text

    def per_item(self, places: Bools) -> Ints:
        """How many of the places are in each item."""
        sums = np.concatenate(([0], np.cumsum(places, dtype=np.int64)))
        in_fields = np.diff(sums[np.append(self.fields, len(places))])
        items = np.bincount(self.items_of_fields, in_fields, minlength=len(self.lengths))
        return items.astype(np.int64)

    def ngrams(self, n: int) -> Ints:
        """How many n-grams each item has."""
        return self.per_item(self.left >= n)

    def fields_only(self, places: Bools) -> Bools:
        """The places that are not in variants of fields."""
        return places & (self.left > 0)

    def count(self, items: Bools) -> Ints:
        """How many of the items are in each benchmark."""
        return np.bincount(self.benchmarks[items], minlength=self.benchmark_count).astype(np.int64)

    def fifth_percentiles(self) -> Ints:
        """GPT-3's N of each benchmark: the length that at most 5 % of its items stay under, within bounds.

        Of k lengths in order, it is the one at place (k - 1) * 5 / 100, rounded down; items without words have
        no part in it.
        """
        chosen: Ints = np.full(self.benchmark_count, GPT3_BOUNDS[0], np.int64)
        with_words = np.flatnonzero(self.lengths)
        order = with_words[np.lexsort((self.lengths[with_words], self.benchmarks[with_words]))]
        counts = np.bincount(self.benchmarks[order], minlength=self.benchmark_count)
        firsts = np.cumsum(counts) - counts
        some = counts > 0
        places = firsts[some] + (counts[some] - 1) * GPT3_PERCENTILE // 100
        chosen[some] = self.lengths[order[places]]
        return np.clip(chosen, *GPT3_BOUNDS)


def _items(index: BenchmarkText) -> tuple[Ints, Ints]:
    """The item of each unit, numbered in the order of the index, and the benchmark of each item.

    The units of an item follow one another. A unit opens an item where the benchmark or the item's id changes,
    or where the part is the one that opened the last item, so that two items of one id are two.
    """
    benchmarks = np.asarray(index.unit_benchmarks, np.int64)
    parts = np.asarray(index.unit_parts, np.int64)
    ids = pa.array(index.unit_items) if not isinstance(index.unit_items, pa.Array) else index.unit_items
    if not len(benchmarks):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    changed = np.asarray(pc.not_equal(ids[1:], ids[:-1])) | (benchmarks[1:] != benchmarks[:-1])
    changed = np.concatenate(([True], changed))
    runs = np.cumsum(changed) - 1
    opens = changed | (parts == parts[np.flatnonzero(changed)][runs])
    items: Ints = np.cumsum(opens) - 1
    return items, benchmarks[opens]


def _words_left(index: BenchmarkText) -> Ints:
    codes = np.asarray(index.codes)
    bounds = np.asarray(index.field_starts, np.int64)
    bounds = np.append(bounds[:-1], len(codes))
    words = np.concatenate(([0], np.cumsum(codes != 0)))
    counts = np.diff(words[bounds])
    counts[np.asarray(index.field_is_variant, np.bool_)] = 0
    widths = np.diff(bounds)
    left = np.repeat(bounds[:-1] + counts, widths) - np.arange(bounds[0], len(codes))
    return np.concatenate((np.zeros(bounds[0], np.int64), np.maximum(left, 0)))


def _found_at(index: BenchmarkText, found: npt.NDArray[np.uint32]) -> dict[int, Bools]:
    """n -> the places at which an n-gram of n words starts that the corpus holds, for every n of a definition.

    An n-gram inside a longer one that was found was found too, even if the index left it out.
    """
    places: dict[int, Bools] = {}
    longer: Bools | None = None
    for n in range(GPT3_BOUNDS[1], GPT3_BOUNDS[0] - 1, -1):
        if not index.header.min_words <= n <= index.header.max_words:
            continue
        here = np.array(index.starting(found, n), np.bool_)
        if longer is not None:
            here |= longer
            here[1:] |= longer[:-1]
        places[n] = longer = here
    return places


def _covered(starts: Bools, n: int) -> Bools:
    """The words inside n-grams of n words that start at these places."""
    sums = np.concatenate(([0], np.cumsum(starts, dtype=np.int64)))
    covered: Bools = sums[1:] > np.concatenate((np.zeros(n, np.int64), sums[1:]))[: len(starts)]
    return covered
