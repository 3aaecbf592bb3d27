"""The compiled scan: the n-grams of a stream of word codes, and the tables that the look-up goes through.

The code of a word is the upper half of its 64-bit hash, with 1 for 0; code 0 lies between texts. A look-up
asks the Bloom filter for the 4-gram at each place, then the table of 4-grams for its rows of the suffix array,
then compares the codes, and from there goes down the rows for 5 to 13 words. Every step is done for a block of
places before the next one is, and asks for the memory of the next: this is bound by random access.

Whatever a file holds, no address outside its arrays is read, except by prefetching, which may.
"""

from __future__ import annotations

import numpy as np

from decontam.layout import (
    CODE_TO_NEXT,
    I64,
    IDS_PER_ROW,
    NEXT_MASK,
    NEXT_SHIFT,
    PADDING,
    PLACE_SHIFT,
    PRINT_MASK,
    PRINT_SHIFT,
    SEVERAL_SHIFT,
    SLOT_MASK,
    U32,
    U64,
    Address,
    Number,
    View,
    prefetch,
)
from decontam.settings import LONGEST_N, SHORTEST_N
from filters._simd import kernel, load_u32, load_u64
from filters._utf8 import get, put

BLOCK = 2048
"""Places that the scan takes at once."""
AHEAD = 32
"""How many places ahead the filter's memory is asked for (16 to 32, research/kernels.md)."""
_FEW = 24
"""Ids that are sorted by insertion."""

_U = np.uint64
_ZERO, _ONE, _2, _3, _6, _12 = _U(0), _U(1), _U(2), _U(3), _U(6), _U(12)
_8, _32, _63, _64 = _U(8), _U(32), _U(63), _U(64)
_SHORTEST, _LONGEST, _PER_ROW, _BLOCK = _U(SHORTEST_N), _U(LONGEST_N), _U(IDS_PER_ROW), _U(BLOCK)
_LAST_BYTE = _U(4 * LONGEST_N - 1)
_MIX_1, _MIX_2 = _U(0x3C79AC492BA7B653), _U(0x1C69B3F74AC4AE35)  # the factors of moremur


# ---- what building and scanning share


@kernel
def code_of(value: Number) -> Number:
    """The code of a word with this hash: never 0."""
    code = value >> _32
    return code if code != _ZERO else _ONE


@kernel
def gram_hash(words: Address) -> Number:
    """The hash of the four codes at an address: it is part of the file format."""
    value = load_u64(words) * _MIX_1
    value = (value ^ (value >> _32) ^ load_u64(words + _8)) * _MIX_2
    return value ^ (value >> _32)


@kernel
def write_gram_hashes(words: Address, count: Number, hashes: Address) -> None:
    """The hashes of the four words from each of `count` places."""
    for i in range(_ZERO, count):
        put(hashes, i, gram_hash(words + (i << _2)))


@kernel
def bloom_mask(value: Number) -> Number:
    """The bits of a hash in its block. They come from its low end, the block from its high end."""
    return _ONE << (value & _63) | _ONE << ((value >> _6) & _63) | _ONE << ((value >> _12) & _63)


@kernel
def block_of(value: Number, shift: Number) -> Number:
    """How far from the filter's start the block of a hash lies, in bytes."""
    return (value >> shift) << _3


@kernel
def bloom_shift(blocks: Number) -> Number:
    """How far a hash is shifted to give its block of a filter of 2, 4, 8, ... blocks."""
    shift = _64
    while blocks > _ONE:
        blocks >>= _ONE
        shift -= _ONE
    return shift


@kernel
def first_slot(value: Number, slots: Number) -> Number:
    """Where in a table of so many slots the search for a hash begins."""
    return ((value >> _32) * slots) >> _32


# ---- filling the tables


@kernel
def fill_tables(rows: U64, codes: U32, firsts: U32, bloom: U64, slots: U64, groups: U32) -> None:
    """Adds every 4-gram by its first row; `firsts` ends with the number of rows."""
    shift = bloom_shift(_U(len(bloom)))
    size = _U(len(slots))
    codes_at = _U(codes.ctypes.data)
    several = 0
    for g in range(len(firsts) - 1):
        value = gram_hash(codes_at + ((rows[firsts[g]] >> PLACE_SHIFT) << _2))
        bloom[value >> shift] |= bloom_mask(value)
        slot = first_slot(value, size)
        while slots[slot] != _ZERO:
            slot = slot + _ONE if slot + _ONE < size else _ZERO
        content = (value & PRINT_MASK) << PRINT_SHIFT
        if firsts[g + 1] - firsts[g] == 1:
            slots[slot] = content | (_U(firsts[g]) + _ONE)
        else:
            groups[2 * several] = firsts[g]
            groups[2 * several + 1] = firsts[g + 1]
            several += 1
            slots[slot] = content | _ONE << SEVERAL_SHIFT | _U(several)


# ---- scanning


@kernel
def stream_of(hashes: U64, offsets: I64, codes: U32) -> None:
    """Writes the codes of texts one after another, a 0 after each and PADDING more at the end.

    The words of text t are offsets[t] : offsets[t + 1] of the hashes; its codes begin at offsets[t] + t -
    offsets[0].
    """
    for text in range(len(offsets) - 1):
        first = offsets[text] - offsets[0] + text
        words = hashes[offsets[text] : offsets[text + 1]]
        written = codes[first : first + len(words) + 1]
        for i in range(len(words)):
            written[i] = code_of(words[i])
        written[len(words)] = 0
    last = offsets[len(offsets) - 1] - offsets[0] + len(offsets) - 1
    codes[last : last + PADDING] = 0


@kernel
def find_ngrams(stream: U32, view: View) -> U64:
    """All permitted n-grams of the index in a stream, in the order of places: place << 32 | id."""
    hashes, candidates = np.zeros(BLOCK + AHEAD, np.uint64), np.empty(BLOCK, np.uint64)
    slots, lows, highs = (np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64))
    hashes_at, candidates_at, slots_at = (
        _U(hashes.ctypes.data),
        _U(candidates.ctypes.data),
        _U(slots.ctypes.data),
    )
    lows_at, highs_at, words_at = _U(lows.ctypes.data), _U(highs.ctypes.data), _U(stream.ctypes.data)
    found = np.empty(1 << 16, np.uint64)
    count = _ZERO
    places = _U(len(stream) - PADDING)
    for start in range(_ZERO, places, _BLOCK):
        size = min(_BLOCK, places - start)
        words = words_at + (start << _2)
        write_gram_hashes(words, size, hashes_at)
        passed = pass_bloom(hashes_at, size, view, candidates_at)
        passed = pass_table(hashes_at, passed, view, candidates_at, slots_at)
        fetch_rows(passed, view, slots_at, lows_at, highs_at)
        if count + passed * _PER_ROW > _U(len(found)):
            found = np.concatenate((found, np.empty(len(found) + np.int64(passed * _PER_ROW), np.uint64)))
        found_at = _U(found.ctypes.data)
        for j in range(_ZERO, passed):
            place = get(candidates_at, j)
            at = words + (place << _2)
            low, high = get(lows_at, j), get(highs_at, j)
            if low >= high or not same_words(at, low, view):
                low, high = other_rows(at, get(hashes_at, place), get(slots_at, j), view)
            if low < high:
                count = descend(at, (start + place) << _32, low, high, view, found_at, count)
    return found[: np.int64(count)]


@kernel
def pass_bloom(hashes: Address, count: Number, view: View, passed: Address) -> Number:
    """Which of `count` hashes the filter lets pass: their numbers, in `passed`; gives how many."""
    shift = bloom_shift(view.blocks)
    kept = _ZERO
    for i in range(_ZERO, count):
        prefetch(view.bloom + block_of(get(hashes, i + _U(AHEAD)), shift))
        value = get(hashes, i)
        mask = bloom_mask(value)
        if load_u64(view.bloom + block_of(value, shift)) & mask == mask:
            prefetch(view.slots + (first_slot(value, view.slot_count) << _3))
            put(passed, kept, i)
            kept += _ONE
    return kept


@kernel
def pass_table(hashes: Address, count: Number, view: View, candidates: Address, slots: Address) -> Number:
    """Keeps those of the first `count` candidates whose 4-gram seems to be in the table; gives how many."""
    kept = _ZERO
    for j in range(_ZERO, count):
        candidate = get(candidates, j)
        value = get(hashes, candidate)
        slot = next_slot(value, first_slot(value, view.slot_count), view)
        if slot >= view.slot_count:
            continue
        content = get(view.slots, slot)
        several = (content >> SEVERAL_SHIFT) & _ONE
        prefetch((view.groups if several else view.rows) + (((content & SLOT_MASK) - _ONE) << _3))
        put(candidates, kept, candidate)
        put(slots, kept, slot)
        kept += _ONE
    return kept


@kernel
def next_slot(value: Number, slot: Number, view: View) -> Number:
    """The first slot from `slot` on with the fingerprint of a hash; beyond the table if there is none.

    A search ends at an empty slot, in a damaged table without any after one round.
    """
    wanted = value & PRINT_MASK
    for _ in range(_ZERO, view.slot_count):
        content = get(view.slots, slot)
        if content >> PRINT_SHIFT == wanted and content != _ZERO:
            return slot
        if content == _ZERO:
            break
        slot = slot + _ONE if slot + _ONE < view.slot_count else _ZERO
    return view.slot_count


@kernel
def rows_of_slot(content: Number, view: View) -> tuple[Number, Number]:
    """The rows that a slot stands for; none if a damaged file says what cannot be."""
    low = (content & SLOT_MASK) - _ONE
    high = low + _ONE
    if (content >> SEVERAL_SHIFT) & _ONE:
        if (low << _ONE) + _ONE >= view.group_numbers:
            return _ZERO, _ZERO
        both = get(view.groups, low)
        low, high = both & SLOT_MASK, both >> _32
    return (low, high) if low < high and high <= view.row_count else (_ZERO, _ZERO)


@kernel
def fetch_rows(count: Number, view: View, slots: Address, lows: Address, highs: Address) -> None:
    """The rows of every candidate, with their first row's words on the way from memory."""
    for j in range(_ZERO, count):
        low, high = rows_of_slot(get(view.slots, get(slots, j)), view)
        put(lows, j, low)
        put(highs, j, high)
        if high - low > _ONE:
            prefetch(view.rows + (low << _3))
            prefetch(view.rows + (((low + high) >> _ONE) << _3))
    for j in range(_ZERO, count):
        low = get(lows, j)
        if low < get(highs, j):
            words = view.codes + (place_of(low, view) << _2)
            prefetch(words)
            prefetch(words + _LAST_BYTE)


@kernel
def place_of(row: Number, view: View) -> Number:
    """Where in the text the words of a row are."""
    return get(view.rows, row) >> PLACE_SHIFT


@kernel
def same_words(words: Address, row: Number, view: View) -> bool:
    """Whether the four words at an address are the first ones of a row."""
    place = place_of(row, view)
    if place + _LONGEST > view.code_count:
        return False
    at = view.codes + (place << _2)
    return bool(load_u64(words) == load_u64(at) and load_u64(words + _8) == load_u64(at + _8))


@kernel
def other_rows(words: Address, value: Number, slot: Number, view: View) -> tuple[Number, Number]:
    """The rows with the four words at an address, when another 4-gram with their fingerprint has `slot`."""
    for _ in range(_ZERO, view.slot_count):
        slot = next_slot(value, slot + _ONE if slot + _ONE < view.slot_count else _ZERO, view)
        if slot >= view.slot_count:
            break
        low, high = rows_of_slot(get(view.slots, slot), view)
        if low < high and same_words(words, low, view):
            return low, high
    return _ZERO, _ZERO


@kernel
def descend(
    words: Address, key: Number, low: Number, high: Number, view: View, found: Address, count: Number
) -> Number:
    """Lists the permitted n-grams of 4, 5, ... words at an address, as long as rows go on; gives how many.

    The rows low:high are those with the four words. Each n-gram is listed as `key` | its id.
    """
    n = _SHORTEST
    while True:
        if (get(view.rows, low) >> (n - _SHORTEST)) & _ONE:
            put(found, count, key | (low * _PER_ROW + n - _SHORTEST))
            count += _ONE
        code = load_u32(words + (n << _2))
        if n == _LONGEST or code == _ZERO:
            break
        low, high = narrow(low, high, n, code, view)
        if low >= high:
            break
        n += _ONE
    return count


@kernel
def narrow(low: Number, high: Number, n: Number, code: Number, view: View) -> tuple[Number, Number]:
    """Of rows with the same n words, those whose next word has this code."""
    if high - low > _ONE:
        if n == _SHORTEST:
            leading = code >> CODE_TO_NEXT
            low = lower_leading(low, high, leading, view)
            high = lower_leading(low, high, leading + _ONE, view)
        low = lower_code(low, high, n, code, view)
    if low >= high or code_at(low, n, view) != code:
        return _ZERO, _ZERO
    if high - low > _ONE and code_at(high - _ONE, n, view) != code:
        high = lower_code(low, high, n, code + _ONE, view)
    return low, high


@kernel
def lower_leading(low: Number, high: Number, leading: Number, view: View) -> Number:
    """The first of the rows low:high whose fifth word's leading bits are not below `leading`."""
    while low < high:
        middle = (low + high) >> _ONE
        if (get(view.rows, middle) >> NEXT_SHIFT) & NEXT_MASK < leading:
            low = middle + _ONE
        else:
            high = middle
    return low


@kernel
def lower_code(low: Number, high: Number, n: Number, code: Number, view: View) -> Number:
    """The first of the rows low:high whose word after n words has a code that is not below `code`."""
    while low < high:
        middle = (low + high) >> _ONE
        if code_at(middle, n, view) < code:
            low = middle + _ONE
        else:
            high = middle
    return low


@kernel
def code_at(row: Number, n: Number, view: View) -> Number:
    """The code of a row's word after n words; 0 at the end of its field."""
    place = place_of(row, view) + n
    return load_u32(view.codes + (place << _2)) if place < view.code_count else _ZERO


@kernel
def distinct_ids(found: U64, word_offsets: I64) -> tuple[I64, U32]:
    """The ids of each document, sorted and once each: offsets [documents + 1] and ids."""
    documents = len(word_offsets) - 1
    offsets = np.zeros(documents + 1, np.int64)
    ids = np.empty(len(found), np.uint32)
    kept, start = 0, 0
    for d in range(documents):
        end = _U(word_offsets[d + 1] - word_offsets[0] + d)
        stop = start
        first = kept
        while stop < len(found) and found[stop] >> _32 < end:
            ids[first + stop - start] = np.uint32(found[stop])
            stop += 1
        kept += sort_distinct(ids[first : first + stop - start])
        start = stop
        offsets[d + 1] = kept
    return offsets, ids[:kept]


@kernel
def sort_distinct(ids: U32) -> int:
    """Sorts ids in place, once each, to the front; gives how many there are."""
    if len(ids) > _FEW:
        ids[:] = np.sort(ids)
    else:
        for i in range(1, len(ids)):
            value, j = ids[i], i
            while j > 0 and ids[j - 1] > value:
                ids[j] = ids[j - 1]
                j -= 1
            ids[j] = value
    kept = 0
    for i in range(len(ids)):
        if kept == 0 or ids[i] != ids[kept - 1]:
            ids[kept] = ids[i]
            kept += 1
    return kept
