"""The hash and the classes of words: the hashing half of the kernels of `filters.words`.

Most words are done eight at a time by `hash_eight`; what that leaves (long words, words with characters
beyond ASCII) and the last few of a chunk are done one by one. The hash is stated in
`filters.words.word_hash`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from filters import _hash_eight
from filters import unicode_tables as tables
from filters._hash_eight import hash_eight
from filters._simd import inlined, kernel, load_u32, moremur, store_u8, trailing_zeros
from filters._utf8 import (
    BEYOND_ASCII,
    CJK_KIND,
    EIGHT,
    HIGH_BITS,
    IGNORED,
    ONE,
    TWO,
    ZERO,
    Address,
    Columns,
    Number,
    Table,
    U,
    decode,
    encode,
    entry_of,
    get,
    kind_of,
    load_piece,
    put,
)

ALPHABETIC, DIGIT, UPPER, LOWER, CJK, NON_ASCII = (U(1 << bit) for bit in range(6))
"""The class bits; the first four lie as LETTER to LOWER do in an entry of the character table."""

HASH_START = U(_hash_eight.HASH_START)
LANES, REACH = U(_hash_eight.LANES), U(_hash_eight.REACH)
LOWER_BITS = U(0x2020202020202020)
LETTER_BITS = U(0x4040404040404040)
DIGIT_BITS = U(0x1010101010101010)
COUNT_SHIFT, COUNT_MASK = U(tables.COUNT_SHIFT), U(tables.COUNT_MASK)
PAYLOAD_MASK, COMBINING_SHIFT = U(tables.PAYLOAD_MASK), U(tables.COMBINING_SHIFT)
FLAG_SHIFT, FLAG_MASK = U(tables.FLAG_SHIFT), ALPHABETIC | DIGIT | UPPER | LOWER
FEW_MARKS = U(32)
"""Combining marks in a row that are ordered by insertion (stream-safe Unicode has at most 30)."""


@kernel
def hash_words(
    base: Address,
    limit: Number,
    table: Table,
    words: Columns,
    first: Number,
    last: Number,
    marks: Address,
) -> Number:
    """Hash and classify the words `first:last`, in whole groups; returns the first one that is left."""
    starts, ends, hashes, classes = words
    word = first
    while word + LANES <= last and get(starts, word + LANES - ONE) + REACH <= limit:
        place = word * EIGHT
        left = hash_eight(base, starts + place, ends + place, hashes + place, classes + word)
        while left != ZERO:
            hash_word(base, limit, table, words, word + trailing_zeros(left), marks)
            left &= left - ONE
        word += LANES
    return word


@kernel
def hash_word(
    base: Address, limit: Number, table: Table, words: Columns, word: Number, marks: Address
) -> None:
    """Hash and classify one word."""
    start, end = get(words[0], word), get(words[1], word)
    position, state, seen, digits, uppers, lowers = start, HASH_START, ZERO, ZERO, ZERO, ZERO
    while position < end:
        size = min(end - position, EIGHT)
        keep = ~ZERO >> ((EIGHT - size) * EIGHT)
        piece = load_piece(base, position, limit) & keep
        state = moremur(state ^ (piece | LOWER_BITS & keep))
        seen |= piece
        digits |= piece & ~(piece >> TWO)
        uppers |= (piece >> ONE) & ~piece
        lowers |= (piece >> ONE) & piece
        position += EIGHT
    flags = (
        (ALPHABETIC if seen & LETTER_BITS != ZERO else ZERO)
        | (DIGIT if digits & DIGIT_BITS != ZERO else ZERO)
        | (UPPER if uppers & LOWER_BITS != ZERO else ZERO)
        | (LOWER if lowers & LOWER_BITS != ZERO else ZERO)
    )
    if seen & HIGH_BITS != ZERO:
        state, flags = hash_folded(base, start, end, limit, table, marks)
    put(words[2], word, state)
    store_u8(words[3] + word, flags)


@kernel
def hash_folded(
    base: Address, start: Number, end: Number, limit: Number, table: Table, marks: Address
) -> tuple[Number, Number]:
    """The hash and the classes of one word that has characters beyond ASCII."""
    state, held, fill = HASH_START, ZERO, ZERO
    waiting, flags, is_crowded, position = ZERO, NON_ASCII, False, start
    while position < end:
        code, size = decode(base, position, end, limit)
        position += size
        entry = entry_of(code, table)
        if kind_of(entry) == IGNORED:
            continue
        flags |= entry >> FLAG_SHIFT & FLAG_MASK | (CJK if kind_of(entry) == CJK_KIND else ZERO)
        part, count = ZERO, max(entry >> COUNT_SHIFT & COUNT_MASK, ONE)
        while part < count:
            folded = folded_part(code, entry, part, table)
            part += ONE
            if folded >> COMBINING_SHIFT == ZERO:
                if waiting != ZERO:
                    state, held, fill = push_marks(state, held, fill, marks, waiting)
                    waiting = ZERO
                state, held, fill = push_character(state, held, fill, folded)
            elif waiting < FEW_MARKS:
                insert_mark(marks, waiting, folded)
                waiting += ONE
            else:
                is_crowded = True
    if is_crowded:
        return hash_crowded(base, start, end, limit, table), flags
    state, held, fill = push_marks(state, held, fill, marks, waiting)
    return push_rest(state, held, fill), flags


@inlined
def folded_part(code: Number, entry: Number, part: Number, table: Table) -> Number:
    """Character number `part` of what a character folds to, with its combining class."""
    payload = entry & PAYLOAD_MASK
    if entry >> COUNT_SHIFT & COUNT_MASK != ZERO:
        return load_u32(table[2] + (payload + part) * U(4))
    return payload if payload != ZERO else code


@inlined
def insert_mark(marks: Address, waiting: Number, mark: Number) -> None:
    """Put a combining mark behind those of the same or a lower combining class."""
    place = waiting
    while place > ZERO and get(marks, place - ONE) >> COMBINING_SHIFT > mark >> COMBINING_SHIFT:
        put(marks, place, get(marks, place - ONE))
        place -= ONE
    put(marks, place, mark)


@inlined
def push_marks(
    state: Number, held: Number, fill: Number, marks: Address, waiting: Number
) -> tuple[Number, Number, Number]:
    """Hash the waiting combining marks."""
    i = ZERO
    while i < waiting:
        state, held, fill = push_character(state, held, fill, get(marks, i) & PAYLOAD_MASK)
        i += ONE
    return state, held, fill


@kernel
def hash_crowded(base: Address, start: Number, end: Number, limit: Number, table: Table) -> Number:
    """The hash of a word with more than FEW_MARKS combining marks in a row, in time linear in its size."""
    folded = np.empty((end - start) * U(4), np.uint64)
    total, position = 0, start
    while position < end:
        code, size = decode(base, position, end, limit)
        position += size
        entry = entry_of(code, table)
        if kind_of(entry) != IGNORED:
            for part in range(max(entry >> COUNT_SHIFT & COUNT_MASK, ONE)):
                folded[total] = folded_part(code, entry, U(part), table)
                total += 1
    state, held, fill, first = HASH_START, ZERO, ZERO, 0
    for i in range(total + 1):
        if i == total or folded[i] >> COMBINING_SHIFT == ZERO:
            if i > first + 1:
                order_marks(folded[first:i])
            first = i + 1
    for i in range(total):
        state, held, fill = push_character(state, held, fill, folded[i] & PAYLOAD_MASK)
    return push_rest(state, held, fill)


@kernel
def order_marks(marks: npt.NDArray[np.uint64]) -> None:
    """Order combining marks by combining class, stably; by counting, because runs may have millions."""
    places = np.zeros(257, np.int64)
    for mark in marks:
        places[(mark >> COMBINING_SHIFT) + ONE] += 1
    for combining_class in range(256):
        places[combining_class + 1] += places[combining_class]
    for mark in marks.copy():
        combining_class = mark >> COMBINING_SHIFT
        marks[places[combining_class]] = mark
        places[combining_class] += 1


@inlined
def push_rest(state: Number, held: Number, fill: Number) -> Number:
    """Hash the bytes that are held back at the end of a word."""
    if fill > ZERO:
        return moremur(state ^ held)
    return state


@inlined
def push_character(state: Number, held: Number, fill: Number, code: Number) -> tuple[Number, Number, Number]:
    """Append a character's UTF-8 bytes to the `fill` bytes held back; hash them when they are eight."""
    encoded, size = code, ONE
    if code >= BEYOND_ASCII:
        encoded, size = encode(code)
    held |= encoded << (fill * EIGHT)
    fill += size
    if fill >= EIGHT:
        state = moremur(state ^ held)
        fill -= EIGHT
        held = encoded >> ((size - fill) * EIGHT)
    return state, held, fill
