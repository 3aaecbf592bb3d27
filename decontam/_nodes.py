"""Compiled look-ups by n-gram id: the rows, places and units of an n-gram.

An id is ten times the first row of the n-gram's interval, plus n - 4; the interval goes on as long as rows
share n words with the row before. Only permitted occurrences count: those that are not made only of template
words of their own benchmark.
"""

from __future__ import annotations

import numpy as np

from decontam.layout import I64, IDS_PER_ROW, U8, U32, U64, Flags, Number
from decontam.settings import SHORTEST_N
from filters._simd import kernel

_PLACE, _SHARED, _SHARED_MASK = np.uint64(32), np.uint64(20), np.uint64(0xF)  # of a row, see decontam.layout


@kernel
def is_permitted(template: U8, codes: int, place: Number, n: Number) -> bool:
    """Whether the n words from a place are not all template words (a bit for each word, lowest first).

    A place that is not in the text, as in a damaged file, is not permitted: no row's place is used before.
    """
    if place + n > codes:
        return False
    count = 0
    for word in range(place, min(place + n, 8 * len(template))):
        count += (template[word >> 3] >> (word & 7)) & 1
    return bool(count < n)


@kernel
def goes_on(rows: U64, row: Number, n: Number) -> bool:
    """Whether a row has the same n words as the row before."""
    return bool(row < len(rows) and np.int64((rows[row] >> _SHARED) & _SHARED_MASK) >= n)


@kernel
def first_places(ids: U32, rows: U64, template: U8, units: U32, unit_count: int) -> tuple[I64, U32]:
    """For each id, the first place of its n-gram, and how many units have it."""
    places = np.zeros(len(ids), np.int64)
    shared_by = np.zeros(len(ids), np.uint32)
    last_seen = np.full(unit_count, -1, np.int64)
    for i in range(len(ids)):
        row = np.int64(ids[i]) // IDS_PER_ROW
        n = np.int64(ids[i]) % IDS_PER_ROW + SHORTEST_N
        first = np.int64(-1)
        while True:
            place = np.int64(rows[row] >> _PLACE)
            if is_permitted(template, len(units), place, n):
                if first < 0 or place < first:
                    first = place
                unit = units[place]
                if last_seen[unit] != i:
                    last_seen[unit] = i
                    shared_by[i] += np.uint32(1)
            row += 1
            if not goes_on(rows, row, n):
                break
        places[i] = first
    return places, shared_by


@kernel
def units_with(
    ids: U32, shared_by: U32, rows: U64, template: U8, units: U32, unit_count: int
) -> tuple[I64, I64]:
    """For each id, by its number, the distinct units that have the n-gram, ascending."""
    total = np.int64(0)
    for i in range(len(ids)):
        total += shared_by[i]
    which, found = np.empty(total, np.int64), np.empty(total, np.int64)
    last_seen = np.full(unit_count, -1, np.int64)
    count = 0
    for i in range(len(ids)):
        row = np.int64(ids[i]) // IDS_PER_ROW
        n = np.int64(ids[i]) % IDS_PER_ROW + SHORTEST_N
        start = count
        while True:
            place = np.int64(rows[row] >> _PLACE)
            if is_permitted(template, len(units), place, n) and last_seen[units[place]] != i:
                last_seen[units[place]] = i
                which[count], found[count] = i, units[place]
                count += 1
            row += 1
            if not goes_on(rows, row, n):
                break
        if count - start > 1:
            found[start:count] = np.sort(found[start:count])
    return which, found


@kernel
def mark_starts(ids: U32, n: int, rows: U64, template: U8, starts: Flags) -> None:
    """Marks the places of the n-grams of n words whose id is among `ids`, which ascend."""
    following = 0
    active = False
    for row in range(len(rows)):
        if not goes_on(rows, row, n):
            own = np.int64(row) * IDS_PER_ROW + (n - SHORTEST_N)
            while following < len(ids) and ids[following] < own:
                following += 1
            active = following < len(ids) and ids[following] == own
        if active:
            place = np.int64(rows[row] >> _PLACE)
            if is_permitted(template, len(starts), place, n):
                starts[place] = True
