"""The compiled half of `filters.minhash`: word hashes -> shingle hashes -> signatures -> band keys.

numba widens `uint32 op uint32` to 64 bits, so every 32-bit step is wrapped in `np.uint32`: the families are
defined modulo 2^32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from filters._simd import kernel, moremur

U = np.uint64
U32 = np.uint32
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Values = npt.NDArray[np.uint32]
Scalar = Any
"""A numpy scalar inside a kernel, typed by numba."""

EMPTY = U32(0xFFFFFFFF)
"""What every value of the signature of a document without words is; no hash value is this."""
PAD = 16
"""Shingle counts are rounded up to whole vectors; the first shingle is repeated, which changes no minimum."""

SHINGLE_STEP = U(0x9E3779B97F4A7C15)
SHINGLE_MIX = U(0xD6E8FEB86659FD93)
BAND_START = U(0xE7037ED1A0B428DB)

ROUND_STEP, VALUE_STEP = 0x9E3779B1, 0x85EBCA77
MIX_1, MIX_2, MIX_3 = U32(0x85EBCA6B), U32(0xC2B2AE35), U32(0x27D4EB2F)


@kernel
def write_shingles(words: Hashes, n: int, out: Hashes) -> int:
    """Write the hashes of the word n-grams of one document to `out`; returns how many there are.

    Fewer than `n` words make one shingle, no words none.

    hash = mix(words[i] * STEP^(n-1) + ... + words[i+n-1]) mod 2^64, with mix(h) = (h ^ h >> 32) * MIX.
    """
    if len(words) == 0:
        return 0
    size = min(n, len(words))
    count = len(words) - size + 1
    for i in range(count):
        out[i] = words[i]
    for j in range(1, size):
        for i in range(count):
            out[i] = out[i] * SHINGLE_STEP + words[i + j]
    for i in range(count):
        mixed = out[i]
        out[i] = (mixed ^ (mixed >> U(32))) * SHINGLE_MIX
    return count


@kernel
def narrow_shingles(words: Hashes, n: int, wide: Hashes, out: Values) -> int:
    """The upper halves of a document's shingle hashes, padded to whole vectors; returns their number."""
    count = write_shingles(words, n, wide)
    padded = (count + PAD - 1) // PAD * PAD
    for i in range(count):
        out[i] = U32(wide[i] >> U(32))
    for i in range(count, padded):
        out[i] = out[0]
    return padded


@kernel
def fss_hash(shingle: Scalar, seed: Scalar) -> Scalar:
    """The 32-bit hash of a shingle in one round of Fast Similarity Sketching."""
    mixed = U32(U32(shingle ^ seed) * MIX_1)
    mixed = U32(U32(mixed ^ (mixed >> U32(15))) * MIX_2)
    return U32(mixed ^ (mixed >> U32(16)))


@kernel
def fss_value(mixed: Scalar, seed: Scalar) -> Scalar:
    """The 31-bit value that competes for a bin, from a shingle's hash in the round."""
    return U32(U32(U32(mixed ^ seed) * MIX_3) >> U32(1))


@kernel
def fss_round(shingles: Values, count: int, index: int, bins: Values, values: Values, row: Values) -> None:
    """Throw every shingle into one bin of `row`, where the smallest value stays."""
    seed, value_seed = U32(index * ROUND_STEP), U32(index * VALUE_STEP + 1)
    size = U(len(row))
    for i in range(count):
        mixed = fss_hash(shingles[i], seed)
        bins[i] = U32((U(mixed) * size) >> U(32))
        values[i] = fss_value(mixed, value_seed)
    for i in range(count):
        place = U(bins[i])
        row[place] = min(row[place], values[i])


@kernel
def fss_sketch(
    shingles: Values, count: int, bins: Values, values: Values, fresh: Values, row: Values
) -> None:
    """Fast Similarity Sketching (Dahlgaard, Knudsen, Thorup 2017) of one set of shingles.

    Round by round all shingles are thrown into bins; a bin keeps the smallest value of the first round that
    reaches it. After as many rounds as there are bins (which only tiny sets need), each bin that is still
    empty takes a minimum over all shingles.
    """
    size = len(row)
    row[:] = EMPTY
    fss_round(shingles, count, 0, bins, values, row)
    for index in range(1, size):
        empty = 0
        for k in range(size):
            empty += row[k] == EMPTY
        if empty == 0:
            return
        fresh[:] = EMPTY
        fss_round(shingles, count, index, bins, values, fresh)
        for k in range(size):
            row[k] = fresh[k] if row[k] == EMPTY else row[k]
    for k in range(size):
        if row[k] == EMPTY:
            index = size + k
            seed, value_seed = U32(index * ROUND_STEP), U32(index * VALUE_STEP + 1)
            for i in range(count):
                row[k] = min(row[k], fss_value(fss_hash(shingles[i], seed), value_seed))


@kernel
def fss_signatures(words: Hashes, offsets: Ints, n: int, out: npt.NDArray[np.uint32]) -> None:
    """Sketch every document; `out` is (documents, K)."""
    longest = longest_document(offsets) + PAD
    wide, shingles = np.empty(longest, np.uint64), np.empty(longest, np.uint32)
    bins, values = np.empty(longest, np.uint32), np.empty(longest, np.uint32)
    fresh = np.empty(out.shape[1], np.uint32)
    for document in range(len(offsets) - 1):
        own = words[offsets[document] : offsets[document + 1]]
        count = narrow_shingles(own, n, wide, shingles)
        if count == 0:
            out[document, :] = EMPTY
        else:
            fss_sketch(shingles, count, bins, values, fresh, out[document])


@kernel
def affine_signatures(
    words: Hashes, offsets: Ints, n: int, slopes: Values, shifts: Values, out: npt.NDArray[np.uint32]
) -> None:
    """Classic MinHash: value k is the minimum of slopes[k] * shingle + shifts[k] mod 2^32; four at a time."""
    longest = longest_document(offsets) + PAD
    wide, shingles = np.empty(longest, np.uint64), np.empty(longest, np.uint32)
    size = out.shape[1]
    row = np.empty(len(slopes), np.uint32)
    for document in range(len(offsets) - 1):
        own = words[offsets[document] : offsets[document + 1]]
        count = narrow_shingles(own, n, wide, shingles)
        if count == 0:
            out[document, :] = EMPTY
            continue
        for k in range(0, len(slopes), 4):
            affine_minima(shingles, count, slopes[k : k + 4], shifts[k : k + 4], row[k : k + 4])
        for k in range(size):
            out[document, k] = row[k]


@kernel
def affine_minima(shingles: Values, count: int, slopes: Values, shifts: Values, out: Values) -> None:
    """Four minima in one pass over the shingles."""
    a0, a1, a2, a3 = slopes[0], slopes[1], slopes[2], slopes[3]
    b0, b1, b2, b3 = shifts[0], shifts[1], shifts[2], shifts[3]
    # Values stop at EMPTY - 1, so that no document with words can look like one without.
    m0 = m1 = m2 = m3 = U32(EMPTY - U32(1))
    for i in range(count):
        x = shingles[i]
        m0 = min(m0, U32(U32(x * a0) + b0))
        m1 = min(m1, U32(U32(x * a1) + b1))
        m2 = min(m2, U32(U32(x * a2) + b2))
        m3 = min(m3, U32(U32(x * a3) + b3))
    out[0], out[1], out[2], out[3] = m0, m1, m2, m3


@kernel
def longest_document(offsets: Ints) -> int:
    """The largest number of words of one document."""
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    return longest


@kernel
def write_band_keys(signatures: npt.NDArray[np.uint32], rows: int, out: npt.NDArray[np.uint64]) -> None:
    """Hash the values of each band, two at a time, starting from the band's number."""
    documents, bands = out.shape
    for document in range(documents):
        for band in range(bands):
            state = BAND_START ^ U(band)
            for k in range(band * rows, (band + 1) * rows, 2):
                pair = U(signatures[document, k])
                if k + 1 < (band + 1) * rows:
                    pair |= U(signatures[document, k + 1]) << U(32)
                state = moremur(state ^ pair)
            out[document, band] = state


@kernel
def count_shingles(offsets: Ints, n: int, out: Ints) -> None:
    """Where each document's shingles begin, when none repeats."""
    for document in range(len(offsets) - 1):
        words = offsets[document + 1] - offsets[document]
        out[document + 1] = out[document] + (0 if words == 0 else max(words - n + 1, 1))


@kernel
def write_shingle_sets(words: Hashes, offsets: Ints, n: int, out: Hashes, out_offsets: Ints) -> None:
    """Write each document's distinct shingle hashes, sorted, one document after the other."""
    scratch = np.empty(longest_document(offsets) + PAD, np.uint64)
    for document in range(len(offsets) - 1):
        count = write_shingles(words[offsets[document] : offsets[document + 1]], n, scratch)
        own = np.sort(scratch[:count])
        at = out_offsets[document]
        for i in range(count):
            if i == 0 or own[i] != own[i - 1]:
                out[at] = own[i]
                at += 1
        out_offsets[document + 1] = at


@kernel
def count_shared(hashes: Hashes, offsets: Ints, left: Ints, right: Ints, out: Ints) -> None:
    """The number of hashes that the sets `left[i]` and `right[i]` share; sets are sorted."""
    for pair in range(len(left)):
        a, a_end = offsets[left[pair]], offsets[left[pair] + 1]
        b, b_end = offsets[right[pair]], offsets[right[pair] + 1]
        shared = 0
        while a < a_end and b < b_end:
            shared += hashes[a] == hashes[b]
            step_a, step_b = hashes[a] <= hashes[b], hashes[b] <= hashes[a]
            a += step_a
            b += step_b
        out[pair] = shared
