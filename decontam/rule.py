"""The common-usage rule: which hits contaminate a document.

A benchmark n-gram that many documents hold is common usage ("as soon as possible") and proves nothing. A
document is contaminated when it holds an n-gram that fewer than `threshold` documents of the corpus hold (AFM
report, section 3.1.1: 1000). Counts are of documents, after deduplication, so that an item copied a thousand
times does not excuse itself.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

Hits: TypeAlias = Any
"""A list<uint32> array (or chunked array): the distinct n-gram ids of each document, as `scan` gives them."""

AUTO_BYTES = 6_500_000_000
AUTO_BOUNDS = (10, 1000)
"""What `auto` does: 1000 from 6.5 GB of text on, less in proportion below, and never under the 10 of GPT-3.

What the rule removes of ordinary documents depends on the bytes of corpus for each count of the threshold.
At 6.5 MB it was 0.13 % of 197,351 documents (research/benchmarks.md, section 4)."""


def resolve_threshold(threshold: int | Literal["auto"], corpus_bytes: int) -> int:
    """The number of documents that make an n-gram common usage, in a corpus of so many bytes of text."""
    if threshold != "auto":
        return threshold
    low, high = AUTO_BOUNDS
    return min(max(round(high * corpus_bytes / AUTO_BYTES), low), high)


def count_hits(hits: Hits, size: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The n-grams that occur in the documents, ascending, and how many documents hold each.

    Args:
        hits: the distinct n-gram ids of each document; a null is an empty list.
        size: the number of n-grams of the index.

    Raises:
        ValueError: when a hit is no n-gram of the index: the hits come from another one.
    """
    ids, counts = np.unique(_flat(hits), return_counts=True)
    if len(ids) and int(ids[-1]) >= size:
        raise ValueError(
            f"n-gram {ids[-1]} is not one of the {size} of the index that the hits are said to be from"
        )
    return ids, counts.astype(np.int64)


def contaminated(
    hits: Hits, counts: npt.NDArray[np.int64], threshold: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which documents to remove, and for each of them the lowest n-gram id to blame and that n-gram's count.

    Args:
        hits: the distinct n-gram ids of each document; a null is an empty list.
        counts: for every n-gram of the index, how many documents of the corpus hold it.
        threshold: n-grams held by this many documents or more are common usage.

    Returns:
        mask, n-gram, count: one value for each document; n-gram and count are -1 where the document stays.
    """
    ids = _flat(hits)
    documents = np.repeat(np.arange(len(hits)), _lengths(hits))
    rare = np.flatnonzero(counts[ids] < threshold)
    removed, first = np.unique(documents[rare], return_index=True)
    mask = np.zeros(len(hits), np.bool_)
    mask[removed] = True
    ngrams = np.full(len(hits), -1, np.int64)
    ngrams[removed] = ids[rare[first]]
    uses = np.full(len(hits), -1, np.int64)
    uses[removed] = counts[ids[rare[first]]]
    return mask, ngrams, uses


def _flat(hits: Hits) -> npt.NDArray[np.uint32]:
    return np.asarray(pc.list_flatten(hits), np.uint32)


def _lengths(hits: Hits) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(pc.list_value_length(hits), 0), np.int64)
