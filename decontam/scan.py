"""Finds the benchmarks' n-grams in the words of documents.

The scan reads a chunk's word index and nothing else: line breaks, punctuation and case, which the word rule
ignores, make no difference. It is a pure function; `decontam.rule` says what its hits mean.
"""

from __future__ import annotations

import pyarrow as pa

from decontam import kernels
from decontam.ngrams import NgramIndex
from filters.words import WordIndex


def scan(words: WordIndex, index: NgramIndex) -> pa.ListArray:
    """The distinct n-gram ids of each document, ascending: `list<uint32>`, empty where there are none."""
    if index.size == 0:
        documents = len(words.word_offsets) - 1
        offsets, ids = pa.array([0] * (documents + 1), pa.int32()), pa.array([], pa.uint32())
    else:
        found, values = kernels.scan_documents(
            words.hashes, words.word_offsets, index.lengths, kernels.POWERS, index.tables
        )
        offsets, ids = pa.array(found.astype("int32")), pa.array(values)
    return pa.ListArray.from_arrays(offsets, ids)
