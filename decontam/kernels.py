"""The compiled inner loops of the n-gram index and its scan, and the hash that both share.

The hash of n words is part of the index's file format (version 1): a polynomial over the words' 64-bit hashes
in `BASE` modulo 2^64, then n is added and murmur3's finalizer mixes. With `prefix[i]` the polynomial of the
first i words of a sequence, that of any n words costs one multiplication.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from decontam.settings import LONGEST_N

U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
I64: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, as a base modulo 2^64 must be: the golden ratio
POWERS: U64 = np.array([pow(int(BASE), n, 1 << 64) for n in range(LONGEST_N + 1)], dtype=np.uint64)

BLOOM_BITS = 16
"""Bits of a Bloom filter for each key: about one absent key in a hundred passes."""

BLOCK = 2048
"""Words that the scan takes at once: their hashes and prefixes are 16 kB each."""
AHEAD = 32
"""How many look-ups ahead memory is asked for (16 to 32, research/kernels.md)."""

_ONE, _3 = np.uint64(1), np.uint64(3)
_33, _64 = np.uint64(33), np.uint64(64)
_6, _12, _18, _63 = np.uint64(6), np.uint64(12), np.uint64(18), np.uint64(63)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)


@njit(cache=True, nogil=True)
def prefix_hashes(hashes, prefix):  # type: ignore[no-untyped-def]
    """Fills prefix[0 .. len(hashes)] with the polynomials of the first 0, 1, ... words."""
    value = np.uint64(0)
    prefix[0] = value
    for i in range(len(hashes)):
        value = value * BASE + hashes[i]
        prefix[i + 1] = value


@njit(cache=True, nogil=True)
def ngram_hash(prefix, first, n, power):  # type: ignore[no-untyped-def]
    """The hash of the n words from `first`; `power` is BASE to the n."""
    value = prefix[first + n] - prefix[first] * power + np.uint64(n)
    value = (value ^ (value >> _33)) * _MIX_1
    value = (value ^ (value >> _33)) * _MIX_2
    return value ^ (value >> _33)


@njit(cache=True, nogil=True)
def bloom_shift(bloom):  # type: ignore[no-untyped-def]
    """How far a hash is shifted to give its block of a filter of 2, 4, 8, ... blocks."""
    shift = _64
    blocks = len(bloom)
    while blocks > 1:
        blocks >>= 1
        shift -= _ONE
    return shift


@njit(cache=True, nogil=True)
def bloom_mask(value):  # type: ignore[no-untyped-def]
    """The bits of a hash in its block. They come from its low end, the block from its high end."""
    return _ONE << (value & _63) | _ONE << ((value >> _6) & _63) | _ONE << ((value >> _12) & _63)


@njit(cache=True, nogil=True)
def length_mask(value, n):  # type: ignore[no-untyped-def]
    """The bits, in the block of a prefix's hash, that say that an n-gram of n words begins so."""
    return bloom_mask((value >> _18) + np.uint64(n) * BASE)


def _prefetch(_typing: Any, _address: Any) -> Any:

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [pointer, i32, i32, i32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], signature)
        read, keep, data = ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1)
        builder.call(function, [builder.inttoptr(args[0], pointer), read, keep, data])
        return context.get_dummy_value()

    return types.void(types.uint64), generate


prefetch: Any = intrinsic(_prefetch)
"""Asks for the cache line at an address (uint64). Only a hint: any address is allowed."""


# ---- building


@njit(cache=True, nogil=True)
def ngrams_of_fields(hashes, word_offsets, single, owners, n_of_unit, powers):  # type: ignore[no-untyped-def]
    """The n-grams inside every field: their n, hash, first word and unit, in the order of the text.

    `owners[f]` is the unit (part of an item) of field f and `n_of_unit[u]` its n, 0 for none. `single` marks
    words of one letter or digit; an n-gram of nothing else is left out.
    """
    room = 0
    for f in range(len(owners)):
        n = n_of_unit[owners[f]]
        if n > 0:
            room += max(0, word_offsets[f + 1] - word_offsets[f] - n + 1)
    lengths = np.empty(room, np.uint8)
    values = np.empty(room, np.uint64)
    positions = np.empty(room, np.uint32)
    units = np.empty(room, np.uint32)
    prefix = np.empty(len(hashes) + 1, np.uint64)
    prefix_hashes(hashes, prefix)
    found = 0
    for f in range(len(owners)):
        n = n_of_unit[owners[f]]
        if n == 0:
            continue
        run = 0  # single characters up to and with word i
        for i in range(word_offsets[f], word_offsets[f + 1]):
            run = run + 1 if single[i] else 0
            first = i - n + 1
            if first < word_offsets[f] or run >= n:
                continue
            lengths[found] = n
            values[found] = ngram_hash(prefix, first, n, powers[n])
            positions[found] = first
            units[found] = owners[f]
            found += 1
    return lengths[:found], values[:found], positions[:found], units[:found]


@njit(cache=True, nogil=True)
def distinct_ngrams(values, positions, units, words, n):  # type: ignore[no-untyped-def]
    """The distinct n-grams of one n: their hash, first place, and number of units that have them.

    The occurrences are sorted by hash, then place. n-grams are equal when all their words are; equal hashes
    of different n-grams give two entries.
    """
    kept_values = np.empty(len(values), np.uint64)
    kept_positions = np.empty(len(values), np.uint32)
    shared_by = np.empty(len(values), np.uint32)
    last_unit = np.empty(len(values), np.uint32)
    kept = 0
    run = 0  # the first entry with the present hash
    for j in range(len(values)):
        if kept > run and kept_values[run] != values[j]:
            run = kept
        same = run
        while same < kept and not equal_words(words, kept_positions[same], positions[j], n):
            same += 1
        if same < kept:
            if last_unit[same] != units[j]:
                shared_by[same] += np.uint32(1)
                last_unit[same] = units[j]
            continue
        kept_values[kept] = values[j]
        kept_positions[kept] = positions[j]
        shared_by[kept] = 1
        last_unit[kept] = units[j]
        kept += 1
    return kept_values[:kept], kept_positions[:kept], shared_by[:kept]


@njit(cache=True, nogil=True)
def equal_words(words, first, second, n):  # type: ignore[no-untyped-def]
    """Whether the n words at two places are the same."""
    a, b = np.int64(first), np.int64(second)
    k = 0
    while k < n and words[a + k] == words[b + k]:
        k += 1
    return k == n


@njit(cache=True, nogil=True)
def fill_bloom(bloom, values):  # type: ignore[no-untyped-def]
    """Adds hashes to a Bloom filter."""
    shift = bloom_shift(bloom)
    for j in range(len(values)):
        bloom[values[j] >> shift] |= bloom_mask(values[j])


@njit(cache=True, nogil=True)
def fill_prefixes(prefixes, values, starts):  # type: ignore[no-untyped-def]
    """Adds the prefix of every n-gram, and the n of those that begin with it, to the filter of prefixes."""
    shift = bloom_shift(prefixes)
    for n in range(len(starts) - 1):
        for j in range(starts[n], starts[n + 1]):
            prefixes[values[j] >> shift] |= bloom_mask(values[j]) | length_mask(values[j], n)


@njit(cache=True, nogil=True)
def first_words_hashes(words, vocabulary, positions, n, power):  # type: ignore[no-untyped-def]
    """The hash of the n words at each place of the benchmark text."""
    values = np.empty(len(positions), np.uint64)
    prefix = np.empty(n + 1, np.uint64)
    window = np.empty(n, np.uint64)
    for j in range(len(positions)):
        for k in range(n):
            window[k] = vocabulary[words[np.int64(positions[j]) + k]]
        prefix_hashes(window, prefix)
        values[j] = ngram_hash(prefix, 0, n, power)
    return values


# ---- scanning


class Candidates(NamedTuple):
    """n-grams of documents that the filter of prefixes let pass, in the order of the text."""

    documents: I64
    firsts: I64  # the first word
    lengths: I64  # n
    values: U64  # the hash


@njit(cache=True, nogil=True)
def scan_documents(hashes, word_offsets, lengths, powers, tables):  # type: ignore[no-untyped-def]
    """The distinct n-gram ids of each document, ascending: offsets [documents + 1] and ids.

    Words are taken in blocks, and a block goes through one table after another (prefixes, bloom, n-grams), so
    that the memory of the next look-ups is on its way while one is decided: this is bound by random access.
    """
    least = lengths[0]
    windows = len(hashes) - least + 1
    prefix = np.empty(BLOCK + LONGEST_N + 1, np.uint64)
    values = np.zeros(BLOCK + AHEAD, np.uint64)
    passed = np.empty(BLOCK, np.int64)
    most = BLOCK * len(lengths)
    candidates = Candidates(
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.zeros(most, np.uint64),
    )
    ids, owners = np.empty(256, np.uint32), np.empty(256, np.int64)
    found = 0
    for start in range(0, windows, BLOCK):
        size = min(BLOCK, windows - start)
        prefix_hashes(hashes[start : start + size + LONGEST_N], prefix)
        for i in range(size):
            values[i] = ngram_hash(prefix, i, least, powers[least])
        count = pass_prefixes(values, size, tables.prefixes, passed)
        count = list_candidates(
            values, passed[:count], start, word_offsets, prefix, lengths, powers, tables, candidates
        )
        if found + count > len(ids):
            ids = np.concatenate((ids, np.empty(found + count, np.uint32)))
            owners = np.concatenate((owners, np.empty(found + count, np.int64)))
        for j in range(count):
            ngram = look_up(candidates, j, hashes, tables)
            if ngram >= 0:
                ids[found], owners[found] = ngram, candidates.documents[j]
                found += 1
    return distinct_ids(ids[:found], owners[:found], len(word_offsets) - 1)


@njit(cache=True, nogil=True)
def pass_prefixes(values, count, prefixes, firsts):  # type: ignore[no-untyped-def]
    """Which of `count` prefix hashes the filter lets pass: their numbers, in `firsts`; gives how many."""
    shift = bloom_shift(prefixes)
    address = np.uint64(prefixes.ctypes.data)
    passed = 0
    for i in range(count):
        prefetch(address + ((values[i + AHEAD] >> shift) << _3))
        mask = bloom_mask(values[i])
        if prefixes[values[i] >> shift] & mask == mask:
            firsts[passed] = i
            passed += 1
    return passed


@njit(cache=True, nogil=True)
def list_candidates(values, passed, start, word_offsets, prefix, lengths, powers, tables, candidates):  # type: ignore[no-untyped-def]
    """Lists the n-grams, inside their document, whose n the block of their prefix knows; gives how many."""
    prefix_shift, shift = bloom_shift(tables.prefixes), bloom_shift(tables.bloom)
    address = np.uint64(tables.bloom.ctypes.data)
    count = 0
    for i in passed:
        first = start + i
        document = np.searchsorted(word_offsets, first, side="right") - 1
        block = tables.prefixes[values[i] >> prefix_shift]
        for n in lengths:
            if first + n > word_offsets[document + 1]:
                break
            mask = length_mask(values[i], n)
            if block & mask != mask:
                continue
            value = ngram_hash(prefix, i, n, powers[n])
            prefetch(address + ((value >> shift) << _3))
            candidates.documents[count] = document
            candidates.firsts[count] = first
            candidates.lengths[count] = n
            candidates.values[count] = value
            count += 1
    return count


@njit(cache=True, nogil=True)
def look_up(candidates, number, hashes, tables):  # type: ignore[no-untyped-def]
    """The id of the n-gram that a candidate is, or -1: the hash and all words are equal."""
    value, mask = candidates.values[number], bloom_mask(candidates.values[number])
    if tables.bloom[value >> bloom_shift(tables.bloom)] & mask != mask:
        return np.int64(-1)
    first, n = candidates.firsts[number], candidates.lengths[number]
    bucket = tables.bucket_starts[n] + np.int64(value >> (_64 - tables.bucket_bits[n]))
    for ngram in range(tables.buckets[bucket], tables.buckets[bucket + 1]):
        if tables.hashes[ngram] != value:
            continue
        place = np.int64(tables.positions[ngram])
        k = 0
        while k < n and tables.vocabulary[tables.words[place + k]] == hashes[first + k]:
            k += 1
        if k == n:
            return np.int64(ngram)
    return np.int64(-1)


@njit(cache=True, nogil=True)
def distinct_ids(ids, owners, documents):  # type: ignore[no-untyped-def]
    """The ids of each document, sorted and once each; `owners` ascend. Gives offsets and ids."""
    offsets = np.zeros(documents + 1, np.int64)
    kept, start = 0, 0
    for d in range(documents):
        stop = start
        while stop < len(ids) and owners[stop] == d:
            stop += 1
        if stop > start:
            ids[start:stop] = np.sort(ids[start:stop])
        for j in range(start, stop):
            if j == start or ids[j] != ids[j - 1]:
                ids[kept] = ids[j]
                kept += 1
        start = stop
        offsets[d + 1] = kept
    return offsets, ids[:kept]
