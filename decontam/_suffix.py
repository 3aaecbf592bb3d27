"""The compiled steps from a text of word codes to its suffix array, limited to the words of the longest n.

The rows are the places with at least four words left in their field, in order of the upper half of the hash of
these four (their *head*), then of all words up to the thirteenth, then of the place. The n-grams of n words that
are equal are so an interval of rows, and an n-gram is known by the first of them.
"""

from __future__ import annotations

import numpy as np

from decontam.layout import I64, IDS_PER_ROW, U8, U32, U64, Flags
from decontam.settings import LONGEST_N, SHORTEST_N
from filters._simd import kernel

TOO_SHORT, ONLY_SINGLE, ONLY_TEMPLATE, MATCHABLE = range(4)
"""What becomes of a field, and of an item: the best of its fields."""

_FEW = 12
"""Rows that are sorted by comparing them; more are sorted by one word after another."""


@kernel
def places_of_fields(field_starts: I64) -> U32:
    """Every place with at least SHORTEST_N words left in its field. A field ends one before the next starts."""
    room = 0
    for f in range(len(field_starts) - 1):
        room += max(0, field_starts[f + 1] - field_starts[f] - SHORTEST_N)
    places = np.empty(room, np.uint32)
    count = 0
    for f in range(len(field_starts) - 1):
        for place in range(field_starts[f], field_starts[f + 1] - SHORTEST_N):
            places[count] = place
            count += 1
    return places


@kernel
def sort_groups(heads: U32, places: U32, codes: U32) -> None:
    """Sorts the places with the same head by their words, places with the same words by place."""
    start = 0
    for row in range(1, len(heads) + 1):
        if row < len(heads) and heads[row] == heads[start]:
            continue
        if row - start > 1:
            sort_rows(places, start, row, codes)
        start = row


@kernel
def sort_rows(places: U32, first: int, last: int, codes: U32) -> None:
    """Sorts rows by their words, then place: the equal ones of one word are sorted by the next."""
    stack = [(first, last, 0)]
    while len(stack) > 0:
        low, high, depth = stack.pop()
        if high - low <= _FEW:
            insertion_sort(places, low, high, depth, codes)
            continue
        if depth == LONGEST_N:
            places[low:high] = np.sort(places[low:high])
            continue
        keys = np.empty(high - low, np.uint64)
        for row in range(low, high):
            keys[row - low] = np.uint64(codes[np.int64(places[row]) + depth]) << np.uint64(32) | places[row]
        keys = np.sort(keys)
        start = 0
        for k in range(len(keys)):
            places[low + k] = np.uint32(keys[k])
            word = keys[k] >> np.uint64(32)
            if k + 1 == len(keys) or keys[k + 1] >> np.uint64(32) != word:
                if k > start and word != 0:
                    stack.append((low + start, low + k + 1, depth + 1))
                start = k + 1


@kernel
def insertion_sort(places: U32, low: int, high: int, depth: int, codes: U32) -> None:
    """Sorts a few rows, whose first `depth` words are the same."""
    for row in range(low + 1, high):
        place = places[row]
        before = row - 1
        while before >= low and comes_after(places[before], place, depth, codes):
            places[before + 1] = places[before]
            before -= 1
        places[before + 1] = place


@kernel
def comes_after(first: int, second: int, depth: int, codes: U32) -> bool:
    """Whether the words from the first place, then the place itself, come after those of the second."""
    a, b = np.int64(first), np.int64(second)
    for k in range(depth, LONGEST_N):
        if codes[a + k] != codes[b + k]:
            return bool(codes[a + k] > codes[b + k])
        if codes[a + k] == 0:
            break
    return bool(a > b)


@kernel
def shared_words(heads: U32, places: U32, codes: U32) -> U8:
    """How many words each row shares with the row before: 0, or SHORTEST_N to LONGEST_N."""
    shared = np.zeros(len(places), np.uint8)
    for row in range(1, len(places)):
        if heads[row] != heads[row - 1]:
            continue
        a, b = np.int64(places[row - 1]), np.int64(places[row])
        k = 0
        while k < LONGEST_N and codes[a + k] == codes[b + k] and codes[a + k] != 0:
            k += 1
        shared[row] = k if k >= SHORTEST_N else 0
    return shared


@kernel
def keep_permitted(places: U32, shared: U8, bits_of_places: U32) -> tuple[int, U32]:
    """Moves the rows that have bits to the front; gives how many there are, and their bits.

    Rows between two that stay have shared all the words that these two share.
    """
    bits = np.empty(len(places), np.uint32)
    kept, common = 0, LONGEST_N
    for row in range(len(places)):
        if shared[row] < common:
            common = shared[row]
        own = bits_of_places[np.int64(places[row])]
        if own == 0:
            continue
        places[kept], bits[kept] = places[row], own
        shared[kept] = common if kept > 0 else 0
        common = LONGEST_N
        kept += 1
    return kept, bits[:kept]


@kernel
def pack_rows(places: U32, shared: U8, bits: U32, codes: U32) -> U64:
    """The rows as `decontam.layout` describes them."""
    rows = np.empty(len(places), np.uint64)
    for row in range(len(places)):
        following = codes[np.int64(places[row]) + SHORTEST_N] >> np.uint32(24)
        head = np.uint64(places[row]) << np.uint64(32) | np.uint64(following) << np.uint64(24)
        rows[row] = head | np.uint64(shared[row]) << np.uint64(20) | np.uint64(bits[row])
    return rows


@kernel
def spread_flags(flags: Flags, offsets: I64, out: Flags) -> None:
    """Writes the flags of the words of texts to the places that `kernels.stream_of` gives to their codes."""
    for text in range(len(offsets) - 1):
        first = offsets[text] - offsets[0] + text
        words = flags[offsets[text] : offsets[text + 1]]
        out[first : first + len(words)] = words


@kernel
def runs_of(flags: Flags) -> U8:
    """How many flags in a row are set from each place on, at most LONGEST_N."""
    runs = np.zeros(len(flags), np.uint8)
    run = 0
    for place in range(len(flags) - 1, -1, -1):
        run = min(run + 1, LONGEST_N) if flags[place] else 0
        runs[place] = run
    return runs


@kernel
def judge_places(
    field_starts: I64, item_n: U8, single_runs: U8, template_runs: U8, least: int, most: int
) -> tuple[U32, U8]:
    """For every place a bit for each n of its permitted n-grams, and for every field what becomes of it.

    An n-gram is permitted inside its field, with n from `least` to `most`, unless it is made only of single
    letters or digits, or only of template words. Bits 0 to 9 stand for n from SHORTEST_N on, bits 10 to 19 for
    the same n if it is item_n[f], that of the rule `item` for the n-grams of field f (0 for none). A field is
    TOO_SHORT to have one of these, ONLY_SINGLE, ONLY_TEMPLATE, or MATCHABLE.
    """
    bits = np.zeros(len(single_runs), np.uint32)
    states = np.zeros(len(item_n), np.uint8)
    for f in range(len(item_n)):
        end = field_starts[f + 1] - 1
        n = np.int64(item_n[f])
        state = TOO_SHORT
        for place in range(field_starts[f], end):
            low = max(least, single_runs[place] + 1, template_runs[place] + 1)
            high = min(most, end - place)
            if low <= high:
                bits[place] = (1 << (high - SHORTEST_N + 1)) - (1 << (low - SHORTEST_N))
            if 0 < n <= high:
                if low <= n:
                    bits[place] |= 1 << (n - SHORTEST_N + IDS_PER_ROW)
                    state = MATCHABLE
                else:
                    state = max(state, ONLY_TEMPLATE if single_runs[place] < n else ONLY_SINGLE)
        states[f] = state
    return bits, states


@kernel
def gather_bits(bits: U32, shared: U8) -> None:
    """Turns the bits of single rows into those of intervals: the union, kept at the interval's first row.

    What is left in a row are the n of the n-grams that begin an interval there.
    """
    firsts = np.zeros(IDS_PER_ROW, np.int64)
    for row in range(len(bits)):
        start = max(0, np.int64(shared[row]) + 1 - SHORTEST_N)
        firsts[start:] = row
        own = bits[row]
        if start == 0:
            continue
        bits[row] = 0
        for k in range(IDS_PER_ROW):
            bits[firsts[k]] |= own & np.uint32((1 | 1 << IDS_PER_ROW) << k)


@kernel
def items_holding(shared: U8, places: U32, units: U32, items: U32, benchmarks: U32, needed: I64) -> Flags:
    """Which rows have a 4-gram that at least needed[b] items of their benchmark b hold.

    units[place], items[unit] and benchmarks[unit] say what each place belongs to.
    """
    held = np.zeros(len(places), np.bool_)
    last_seen = np.full(np.int64(items.max()) + 1, -1, np.int64)
    counted_for = np.full(len(needed), -1, np.int64)
    counts = np.zeros(len(needed), np.int64)
    least = needed.min()
    start = 0
    for row in range(1, len(places) + 1):
        if row < len(places) and shared[row] >= SHORTEST_N:
            continue
        if row - start >= least:
            for each in range(start, row):
                unit = units[places[each]]
                benchmark = benchmarks[unit]
                if counted_for[benchmark] != start:
                    counted_for[benchmark] = start
                    counts[benchmark] = 0
                if last_seen[items[unit]] != start:
                    last_seen[items[unit]] = start
                    counts[benchmark] += 1
            for each in range(start, row):
                benchmark = benchmarks[units[places[each]]]
                held[each] = counts[benchmark] >= needed[benchmark]
        start = row
    return held


@kernel
def mark_words(places: U32, words: Flags) -> None:
    """Marks the four words from each place."""
    for place in places:
        words[np.int64(place) : np.int64(place) + SHORTEST_N] = True


@kernel
def numbers_of(hashes: U64, wanted: U64) -> I64:
    """The numbers of the words that have one of a few hashes."""
    maybe = np.zeros(1 << 16, np.bool_)
    for value in wanted:
        maybe[value & np.uint64(0xFFFF)] = True
    found = np.empty(len(hashes), np.int64)
    count = 0
    for number in range(len(hashes)):
        if maybe[hashes[number] & np.uint64(0xFFFF)] and np.any(wanted == hashes[number]):
            found[count] = number
            count += 1
    return found[:count].copy()
