"""Lines that many documents of a corpus share: boilerplate that survived extraction (cookie notices, footers).

A line is known by its words in order (docs/words.md), so spelling variants that the word rule folds are one line. Which lines
are repeated is a fact of the whole corpus; `pipeline.repeated` counts them, here they are hashed and taken out.

    line hash    h = 0; for each word: h = (h + word hash) * 0x9E3779B97F4A7C15 mod 2^64; 0 becomes 1
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from filters.lines import without_lines
from filters.words import WordIndex

Hashes = npt.NDArray[np.uint64]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def line_hashes(words: WordIndex, min_words: int) -> Hashes:
    """The hash of each line of an index; 0 for a line of fewer than `min_words` words."""
    return _line_hashes(words.hashes, words.line_words, min_words)  # type: ignore[no-any-return]


def distinct_hashes(words: WordIndex, min_words: int) -> pa.ListArray:
    """Per document the distinct hashes of its lines, ascending."""
    hashes = line_hashes(words, min_words)
    documents = np.repeat(np.arange(len(words)), words.line_counts)[hashes > 0]
    hashes = hashes[hashes > 0]
    order = np.lexsort((hashes, documents))
    hashes, documents = hashes[order], documents[order]
    new = np.ones(len(hashes), np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (documents[1:] != documents[:-1])
    counts = np.bincount(documents[new], minlength=len(words))
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(hashes[new], pa.uint64()))


def remove_lines(
    text: pa.Array, words: WordIndex, repeated: Hashes, min_words: int
) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """The texts without the lines whose hash is in `repeated` (ascending), and the lines removed per document."""
    hashes = line_hashes(words, min_words)
    places = np.searchsorted(repeated, hashes)
    removed = np.zeros(len(hashes), np.bool_)
    if len(repeated):
        removed = (hashes > 0) & (repeated[np.minimum(places, len(repeated) - 1)] == hashes)
    edited, _ = without_lines(text, words, removed)
    sums = np.concatenate(([0], np.cumsum(removed)))
    counts = sums[words.line_offsets[1:]] - sums[words.line_offsets[:-1]]
    return edited, counts.astype(np.int32)


@njit(cache=True, nogil=True)
def _line_hashes(hashes: Any, line_words: Any, min_words: int) -> Any:
    out = np.zeros(len(line_words) - 1, np.uint64)
    for line in range(len(out)):
        first, last = line_words[line], line_words[line + 1]
        if last - first < min_words:
            continue
        value = np.uint64(0)
        for word in range(first, last):
            value = (value + hashes[word]) * _FACTOR
        out[line] = value if value else np.uint64(1)
    return out
