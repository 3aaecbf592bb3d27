"""Cutting text into words and finding each in a table: the compiled half of `tokenizer.words`.

A table is a set of byte strings, numbered from 0 in the order in which they came:

    slots    uint64[2^k]   0, or the upper half of the word's hash << 32 | its number + 1; linear probing
    hashes   uint64[n]     the whole hash
    ends     int64[n + 1]  where the bytes of each word end in the arena; ends[0] is 0
    counts   int64[n]      how often each was found
    arena    uint8[...]    the words' bytes behind each other

Kernels stop where the table has no room for the next word, and say where; the caller enlarges it and goes on.
They read and write exactly the bytes between the addresses that they are given.
"""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir

from filters._simd import (
    BLOCK,
    Operation,
    inlined,
    kernel,
    load_u8,
    load_u64,
    moremur,
    operation,
    store_u8,
    store_u64,
    trailing_zeros,
)
from filters._utf8 import get, put

Number: TypeAlias = Any
"""A uint64 inside a kernel."""
Address: TypeAlias = Any
"""A uint64 that is the address of memory."""
Array: TypeAlias = Any
Flag: TypeAlias = Any
Table: TypeAlias = Any
"""A table in numbers: the addresses of its columns (arrays would be counted references, which cost more than
the look-up), the mask of its slots, and the address behind the arena."""
SLOTS, MASK, HASHES, ENDS, COUNTS, ARENA, ARENA_LIMIT = range(7)

U = np.uint64
ZERO, ONE, TWO, THREE, EIGHT, SIXTY_FOUR = (U(number) for number in (0, 1, 2, 3, 8, 64))
ALL = U(2**64 - 1)
_BLOCK_OF_BYTES = ir.VectorType(ir.IntType(8), BLOCK)
LOW_HALF, HIGH_HALF = U(0xFFFFFFFF), U(0xFFFFFFFF00000000)
HASH_START, LENGTH_FACTOR = U(0x9E3779B97F4A7C15), U(0xD6E8FEB86659FD93)

TAB, NEWLINE, RETURN, SPACE = U(0x09), U(0x0A), U(0x0D), U(0x20)
MARK = U(0xE2)
"""First byte of U+2581, SentencePiece's space, and of U+2585, its unknown character."""
MARK_REST, SPACE_LAST, UNKNOWN_LAST = U(0x96), U(0x81), U(0x85)
BOUNDARY = U(0x1F)
"""The character that SentencePiece's trainer puts where a symbol cuts a word."""


def bytes_among(wanted: tuple[int, ...]) -> Operation:
    """Make an operation: the address of 64 readable bytes -> a bit for each one that is among the wanted."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        values = builder.load(builder.inttoptr(args[0], _BLOCK_OF_BYTES.as_pointer()), align=1)
        found = [builder.icmp_unsigned("==", values, _splat(byte)) for byte in wanted]
        return builder.bitcast(functools.reduce(builder.or_, found), ir.IntType(64))

    return operation(1, generate, f"The bytes {bytes(wanted)!r} among the 64 at an address.")


def _splat(value: int) -> Any:
    return ir.Constant(_BLOCK_OF_BYTES, [value] * BLOCK)


stop_mask = bytes_among((0x20, 0x0A, 0x09, 0xE2))


@inlined
def tail(at: Address, left: Number, limit: Address) -> Number:
    """The last 1 to 7 bytes of a word, as a little-endian number."""
    if at + EIGHT <= limit:
        return load_u64(at) & (ALL >> (SIXTY_FOUR - EIGHT * left))
    piece = ZERO
    for index in range(left):
        piece |= load_u8(at + U(index)) << (EIGHT * U(index))
    return piece


@inlined
def hash_bytes(start: Address, length: Number, limit: Address) -> Number:
    """`spelling_v1`: the state, begun from the length, is mixed with eight bytes at a time."""
    state = HASH_START ^ (length * LENGTH_FACTOR)
    end = start + length
    at = start
    while at + EIGHT <= end:
        state = moremur(state ^ load_u64(at))
        at += EIGHT
    if at < end:
        state = moremur(state ^ tail(at, end - at, limit))
    return state


@inlined
def same_bytes(
    first: Address, first_limit: Address, second: Address, second_limit: Address, length: Number
) -> Flag:
    """Whether two byte strings of one length are equal; bytes at a limit or beyond are not read."""
    at = ZERO
    while at + EIGHT <= length:
        if load_u64(first + at) != load_u64(second + at):
            return False
        at += EIGHT
    if at == length:
        return True
    return tail(first + at, length - at, first_limit) == tail(second + at, length - at, second_limit)


@inlined
def copy_bytes(source: Address, target: Address, length: Number) -> None:
    """Copy bytes that do not overlap."""
    at = ZERO
    while at + EIGHT <= length:
        store_u64(target + at, load_u64(source + at))
        at += EIGHT
    while at < length:
        store_u8(target + at, load_u8(source + at))
        at += ONE


@inlined
def number_of(start: Address, length: Number, limit: Address, size: Number, table: Table) -> Number:
    """The number of a word; that is `size`, and the word is added, where it is new. There must be room for it."""
    slots, mask, hashes, ends, counts, arena, arena_limit = table
    hashed = hash_bytes(start, length, limit)
    slot = hashed & mask
    while True:
        content = get(slots, slot)
        if content == ZERO:
            break
        if content & HIGH_HALF == hashed & HIGH_HALF:
            number = (content & LOW_HALF) - ONE
            word = arena + get(ends, number)
            is_equal = arena + get(ends, number + ONE) - word == length
            if is_equal and same_bytes(word, arena_limit, start, limit, length):
                return number
        slot = (slot + ONE) & mask
    put(slots, slot, (hashed & HIGH_HALF) | (size + ONE))
    put(hashes, size, hashed)
    put(counts, size, ZERO)
    end = get(ends, size)
    if arena + end != start:
        copy_bytes(start, arena + end, length)
    put(ends, size + ONE, end + length)
    return size


@kernel
def fill_slots(size: int, hashes: Array, slots: Array) -> None:
    """Put the words `0:size` into a larger, empty slot table."""
    mask = U(len(slots) - 1)
    for number in range(size):
        slot = hashes[number] & mask
        while slots[slot] != ZERO:
            slot = (slot + ONE) & mask
        slots[slot] = (hashes[number] & HIGH_HALF) | U(number + 1)


@inlined
def is_mark(at: Address, end: Address, last: Number) -> Flag:
    """Whether the three bytes of U+2581 (`last` 0x81) or U+2585 (0x85) stand here."""
    return (
        load_u8(at) == MARK
        and at + TWO < end
        and load_u8(at + ONE) == MARK_REST
        and load_u8(at + TWO) == last
    )


@inlined
def next_stop(at: Address, end: Address, limit: Address) -> Address:
    """Where the next space, newline, tab or byte E2 stands; `end` where there is none before."""
    while at + SIXTY_FOUR <= limit:
        mask = stop_mask(at)
        if mask != ZERO:
            return min(at + trailing_zeros(mask), end)
        at += SIXTY_FOUR
        if at >= end:
            return end
    while at < end:
        byte = load_u8(at)
        if byte == SPACE or byte == NEWLINE or byte == TAB or byte == MARK:  # noqa: SIM109
            return at
        at += ONE
    return end


@inlined
def word_end(start: Address, end: Address, limit: Address) -> tuple[Address, bool]:
    """Where the word that begins at `start` ends, and whether it is written otherwise than it stands.

    A word is what SentencePiece's regular expression ` *[^ ]+| +` takes on one line, where U+2581 is a space
    too. Words with tabs, U+2581 or U+2585 are written otherwise, see `write_word`.
    """
    at, is_changed = start, False
    while at < end:  # leading spaces
        byte = load_u8(at)
        if byte == SPACE:
            at += ONE
        elif byte == MARK and is_mark(at, end, SPACE_LAST):
            at += THREE
            is_changed = True
        else:
            break
    while True:
        at = next_stop(at, end, limit)
        if at >= end:
            return end, is_changed
        byte = load_u8(at)
        if byte == SPACE or byte == NEWLINE:  # noqa: SIM109 - numba compiles `in` to a tuple
            return at, is_changed
        if byte == TAB:
            is_changed = True
        elif is_mark(at, end, SPACE_LAST):
            return at, is_changed
        elif is_mark(at, end, UNKNOWN_LAST):
            is_changed = True
        at += ONE


@inlined
def write_word(start: Address, end: Address, target: Address, tab_runs: Number) -> Number:
    """Write a word as the trainer sees it: U+2581 as a space; up to `tab_runs` tabs, or U+2585, as a boundary.

    Returns the bytes written, never more than the word has.
    """
    at, out, tabs = start, target, ZERO
    while at < end:
        byte = load_u8(at)
        if byte == TAB:
            if tabs == ZERO:
                store_u8(out, BOUNDARY)
                out += ONE
            tabs = tabs + ONE if tabs + ONE < tab_runs else ZERO
            at += ONE
            continue
        tabs = ZERO
        if byte == MARK and is_mark(at, end, SPACE_LAST):
            byte = SPACE
            at += TWO
        elif byte == MARK and is_mark(at, end, UNKNOWN_LAST):
            byte = BOUNDARY
            at += TWO
        store_u8(out, byte)
        out += ONE
        at += ONE
    return out - target


@kernel
def count_text(
    text: Address,
    limit: Address,
    documents: tuple[Array, Array],
    place: Array,
    tab_runs: Number,
    size: Number,
    table: Table,
    room: tuple[Number, Number],
) -> Number:
    """Count the words of documents.

    Args:
        text, limit: where the text begins, and the address behind it.
        documents: int64[d] each, where the documents begin and end in the text.
        place: int64[2], document and offset in it to go on from; left where the counting stopped. All is done
            when `place[0]` is the number of documents.
        tab_runs: tabs that one symbol takes.
        size: words in the table.
        table: the table.
        room: words and bytes that it has room for.

    Returns:
        The words in the table now.
    """
    starts, stops = documents
    document, offset = place[0], place[1]
    while document < len(starts):
        at, end = text + U(starts[document] + offset), text + U(stops[document])
        while at < end:
            if load_u8(at) == NEWLINE:
                at += ONE
                continue
            stop, is_changed = word_end(at, end, limit)
            used = get(table[ENDS], size)
            if size >= room[0] or used + (stop - at) > room[1]:
                place[0], place[1] = document, np.int64(at - text) - starts[document]
                return size
            if is_changed:
                word = table[ARENA] + used
                length = write_word(at, stop, word, tab_runs)
                number = number_of(word, length, table[ARENA_LIMIT], size, table)
            else:
                number = number_of(at, stop - at, limit, size, table)
            put(table[COUNTS], number, get(table[COUNTS], number) + ONE)
            size += ONE if number == size else ZERO
            at = stop
        document, offset = document + 1, 0
    place[0], place[1] = document, 0
    return size


@kernel
def add_counts(
    words: Address,
    limit: Address,
    ends: Array,
    added: Array,
    first: int,
    size: Number,
    table: Table,
    room: tuple[Number, Number],
) -> tuple[int, Number]:
    """Add words with counts, from number `first` on, to a table.

    Args:
        words, limit: where the words' bytes begin, and the address behind them.
        ends: int64[n + 1], where the words end; ends[0] is 0.
        added: int64[n], their counts.
        first: the word to begin with.
        size, table, room: as for `count_text`.

    Returns:
        The next word to add (n when all are), and the words in the table now.
    """
    for index in range(first, len(added)):
        start, length = words + U(ends[index]), U(ends[index + 1] - ends[index])
        if size >= room[0] or get(table[ENDS], size) + length > room[1]:
            return index, size
        number = number_of(start, length, limit, size, table)
        put(table[COUNTS], number, get(table[COUNTS], number) + U(added[index]))
        size += ONE if number == size else ZERO
    return len(added), size


@kernel
def gather(data: Array, ends: Array, order: Array, new_ends: Array, out: Array) -> None:
    """Copy words in another order: word `order[i]` of `data` to the place `new_ends[i]` of `out`."""
    for index in range(len(order)):
        start, size = ends[order[index]], ends[order[index] + 1] - ends[order[index]]
        out[new_ends[index] : new_ends[index] + size] = data[start : start + size]
