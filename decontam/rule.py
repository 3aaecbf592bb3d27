"""The common-usage rule: which hits contaminate a document.

A benchmark n-gram that many documents hold is common usage ("as soon as possible") and proves nothing. A
document is contaminated when it holds an n-gram that fewer than `threshold` documents of the corpus hold (AFM
report, section 3.1.1: 1000). Counts are of documents, after deduplication, so that an item copied a thousand
times does not excuse itself.

The two readings of "a 4-13-gram" differ in the n-grams that they look at (`NgramIndex.is_item`): `item` has one n
for each item, `any` takes every n. Everything here works on flat arrays: the documents' n-gram ids one after
another, and where each document's begin.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

Hits: TypeAlias = Any
"""A list<uint32> array (or chunked array): the distinct n-gram ids of each document, as `scan` gives them."""

I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
Flags: TypeAlias = npt.NDArray[np.bool_]

AUTO_BYTES = 6_500_000_000
AUTO_BOUNDS = (10, 1000)
"""What `auto` does: 1000 from 6.5 GB of text on, less in proportion below, and never under the 10 of GPT-3.

What the rule removes of ordinary documents depends on the bytes of corpus for each count of the threshold.
At 6.5 MB it was 0.13 % of 197,351 documents (research/benchmarks.md, section 4)."""

ANY_BYTES_PER_USE = 10_000_000_000
"""Bytes of corpus for each count of the threshold from which `any` can be meant: 10 TB at 1000.

At 0.65 GB a count it still removed 28 % of ordinary documents, and 2-7 % at 6.5 GB by extrapolation (the same source)."""

THRESHOLDS = (10, 100, 1_000, 10_000)
"""Thresholds whose effect every report shows side by side."""

UNSEEN = np.iinfo(np.int64).max
"""The fewest uses among no n-grams: more than any threshold."""


def resolve_threshold(threshold: int | Literal["auto"], corpus_bytes: int) -> int:
    """The number of documents that make an n-gram common usage, in a corpus of so many bytes of text."""
    if threshold != "auto":
        return threshold
    low, high = AUTO_BOUNDS
    return min(max(round(high * corpus_bytes / AUTO_BYTES), low), high)


def any_is_meant(threshold: int, corpus_bytes: int) -> bool:
    """Whether a corpus of so many bytes is large enough for the rule `any`."""
    return corpus_bytes >= threshold * ANY_BYTES_PER_USE


def flatten(hits: Hits) -> tuple[I64, U32]:
    """Hits as offsets [documents + 1] and ids; a null is an empty list."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(hits), 0), np.int64)
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets, np.asarray(pc.list_flatten(hits), np.uint32)


def count_hits(hits: Hits, limit: int) -> tuple[U32, I64]:
    """The n-grams that occur in the documents, ascending, and how many documents hold each.

    Args:
        hits: the distinct n-gram ids of each document; a null is an empty list.
        limit: the ids of the index are below it.

    Raises:
        ValueError: when a hit is no n-gram of the index: the hits come from another one.
    """
    ids, counts = np.unique(flatten(hits)[1], return_counts=True)
    if len(ids) and int(ids[-1]) >= limit:
        raise ValueError(
            f"n-gram {ids[-1]} is not below {limit}, the limit of the index that the hits are said to be from"
        )
    return ids, counts.astype(np.int64)


def fewest_uses(offsets: I64, uses: I64, chosen: Flags) -> I64:
    """For each document the least number of uses among its chosen n-grams, or `UNSEEN`.

    A document is contaminated at a threshold exactly if this is below it, whatever the threshold.
    """
    fewest = np.full(len(offsets) - 1, UNSEEN, np.int64)
    documents = _documents(offsets)
    np.minimum.at(fewest, documents[chosen], uses[chosen])
    return fewest


def blamed(offsets: I64, ids: U32, uses: I64, lengths: npt.NDArray[np.uint8], at_fault: Flags) -> I64:
    """For each document the place in `ids` of the n-gram that is named as the reason, or -1.

    Of those at fault the longest, then the one with the fewest uses, then the lowest id.
    """
    places = np.full(len(offsets) - 1, -1, np.int64)
    fault = np.flatnonzero(at_fault)
    documents = _documents(offsets)[fault]
    order = np.lexsort((ids[fault], uses[fault], -lengths[fault].astype(np.int64), documents))
    first_documents, first = np.unique(documents[order], return_index=True)
    places[first_documents] = fault[order[first]]
    return places


def _documents(offsets: I64) -> I64:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
