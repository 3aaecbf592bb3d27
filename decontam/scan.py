"""Finds the benchmarks' n-grams in the words of documents.

The scan reads a chunk's word index and nothing else: line breaks, punctuation and case, which the word rule
ignores, make no difference. It is a pure function; `decontam.rule` says what its hits mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from decontam import kernels, layout
from decontam.layout import I64, U32, U64
from decontam.ngrams import NgramIndex
from filters.words import WordIndex


class Located(NamedTuple):
    """Occurrences of n-grams in documents, in the order of the words."""

    documents: I64
    """The number of the document in the chunk."""
    firsts: I64
    """The number of the n-gram's first word in the chunk's `WordIndex`."""
    ids: U32
    """The n-gram; `index.lengths_of(ids)` are its words."""


def scan(words: WordIndex, index: NgramIndex) -> pa.ListArray:
    """The n-grams of every permitted n that each document holds: distinct ids, ascending (`list<uint32>`)."""
    offsets, distinct = kernels.distinct_ids(_find(words, index), words.word_offsets)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(distinct))


def locate(words: WordIndex, index: NgramIndex, ids: U32) -> Located:
    """Every occurrence of the n-grams with these ids (ascending), for saying where a document is contaminated."""
    places_and_ids = _find(words, index)
    found_at, found = (places_and_ids >> np.uint64(32)).astype(np.int64), places_and_ids.astype(np.uint32)
    wanted = np.isin(found, ids)
    found_at, found = found_at[wanted], found[wanted]
    # In the stream, every document before a word has added one place to its number.
    ends = words.word_offsets[1:] - words.word_offsets[0] + np.arange(len(words))
    documents = np.searchsorted(ends, found_at, side="right")
    return Located(documents, found_at - documents + words.word_offsets[0], found)


def _find(words: WordIndex, index: NgramIndex) -> U64:
    """Every n-gram of the index, repetitions too: place in the chunk's stream of word codes << 32 | id."""
    offsets = words.word_offsets
    stream = np.empty(int(offsets[-1] - offsets[0]) + len(words) + layout.PADDING, np.uint32)
    kernels.stream_of(words.hashes, offsets, stream)
    found: U64 = kernels.find_ngrams(stream, index.tables.view())
    return found
