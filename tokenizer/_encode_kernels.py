"""Cutting text where tokens cannot cross, and putting remembered ids behind each other: for `encoders.WordCache`.

The words of encoding are shorter than those of training: runs of newlines, of tabs, of carriage returns and of
U+2581 stand apart, so that fewer different words have to be remembered.
"""

from __future__ import annotations

import numpy as np

from filters._simd import BLOCK, inlined, kernel, load_u8, trailing_zeros
from filters._utf8 import get
from tokenizer._kernels import (
    ENDS,
    MARK,
    NEWLINE,
    ONE,
    RETURN,
    SPACE,
    SPACE_LAST,
    TAB,
    THREE,
    ZERO,
    Address,
    Array,
    Number,
    Table,
    U,
    bytes_among,
    is_mark,
    number_of,
)

BLOCK_BYTES = U(BLOCK)
IDS_SHIFT, IDS_MASK = U(32), U(0xFFFFFFFF)
"""The column `counts` of this table holds where a word's ids begin << 32 | how many they are; 0: not known yet."""

stop_mask = bytes_among((0x20, 0x0A, 0x09, 0x0D, 0xE2))


@inlined
def part_end(start: Address, end: Address, limit: Address) -> Address:
    """Where the word that begins at `start` ends."""
    first = load_u8(start)
    at = start
    if first == NEWLINE or first == TAB or first == RETURN:  # noqa: SIM109 - numba compiles `in` to a tuple
        while at < end and load_u8(at) == first:
            at += ONE
        return at
    if is_mark(at, end, SPACE_LAST):
        while at < end and is_mark(at, end, SPACE_LAST):
            at += THREE
        return at
    while at < end and load_u8(at) == SPACE:
        at += ONE
    while at < end:
        mask = stop_mask(at) if at + BLOCK_BYTES <= limit else ONE
        if mask == ZERO:
            at += BLOCK_BYTES
            continue
        at += trailing_zeros(mask)
        if at >= end:
            break
        byte = load_u8(at)
        if byte == SPACE or byte == NEWLINE or byte == TAB or byte == RETURN:  # noqa: SIM109
            break
        if byte == MARK and is_mark(at, end, SPACE_LAST):
            break
        at += ONE
    return min(at, end)


@kernel
def find_words(
    text: Address,
    limit: Address,
    documents: tuple[Array, Array],
    place: Array,
    size: Number,
    table: Table,
    room: tuple[Number, Number],
    found: Array,
    firsts: Array,
) -> Number:
    """The words of documents as their numbers in the table; new ones are added.

    Args:
        text, limit: where the text begins, and the address behind it.
        documents: int64[d] each, where the documents begin and end in the text.
        place: int64[3], document, offset in it, and words found so far, to go on from; left where there was no
            room for another word. All is done when `place[0]` is the number of documents.
        size: words in the table.
        table, room: as for `_kernels.count_text`.
        found: uint32[...], filled with the words' numbers.
        firsts: int64[d + 1], filled with the first word of each document.

    Returns:
        The words in the table now.
    """
    starts, stops = documents
    document, offset, count = place[0], place[1], place[2]
    while document < len(starts):
        at, end = text + U(starts[document] + offset), text + U(stops[document])
        while at < end:
            stop = part_end(at, end, limit)
            used = get(table[ENDS], size)
            if size >= room[0] or used + (stop - at) > room[1] or count == len(found):
                place[0], place[1], place[2] = document, np.int64(at - text) - starts[document], count
                return size
            number = number_of(at, stop - at, limit, size, table)
            size += ONE if number == size else ZERO
            found[count] = number
            count += 1
            at = stop
        document, offset = document + 1, 0
        firsts[document] = count
    place[0], place[1], place[2] = document, 0, count
    return size


@kernel
def count_ids(found: Array, firsts: Array, counts: Array, offsets: Array) -> None:
    """How many ids the documents have: `offsets`, int64[d + 1], is filled with where each begins."""
    total = np.int64(0)
    for document in range(len(firsts) - 1):
        for index in range(firsts[document], firsts[document + 1]):
            total += np.int64(counts[found[index]] & IDS_MASK)
        offsets[document + 1] = total


@kernel
def write_ids(found: Array, counts: Array, ids: Array, out: Array) -> None:
    """Put the ids of the words found behind each other."""
    at = 0
    for index in range(len(found)):
        where = counts[found[index]]
        first = np.int64(where >> IDS_SHIFT)
        for each in range(np.int64(where & IDS_MASK)):
            out[at] = ids[first + each]
            at += 1
