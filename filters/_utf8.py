"""Bytes for kernels: columns of numbers, UTF-8 characters and their entries in the character table.

Kernels get memory as addresses: that of a column's bytes (`base`, of which no byte at or beyond `limit` is
read), of the character table and of output columns. Offsets are counted from `base`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from filters import unicode_tables as tables
from filters._simd import inlined, kernel, load_u8, load_u16, load_u32, load_u64, store_u64

U = np.uint64
Number = Any
"""A 64-bit unsigned number inside a kernel: an offset, a count or a mask."""
Address = Any
"""A 64-bit unsigned number that is the address of memory."""
Table = Any
"""Addresses of the `pages`, `entries` and `expansions` of the character table."""
Columns = Any
"""Addresses of output columns that belong together."""

ZERO, ONE, TWO, SIX, EIGHT = U(0), U(1), U(2), U(6), U(8)
BEYOND_ASCII, CONTINUATION, LOW_SIX = U(0x80), U(0x80), U(0x3F)
HIGH_BITS = U(0x8080808080808080)
MALFORMED = U(0xFFFFFFFF)
"""What stands for a character where no well-formed UTF-8 sequence begins."""

WORD, MARK, CJK_KIND, APOSTROPHE, IGNORED = (
    U(kind) for kind in (tables.WORD, tables.MARK, tables.CJK, tables.APOSTROPHE, tables.IGNORED)
)
KIND_SHIFT, KIND_MASK = U(tables.KIND_SHIFT), U(tables.KIND_MASK)


@inlined
def get(column: Address, index: Number) -> Number:
    """Item `index` of a column of 64-bit numbers."""
    return load_u64(column + index * EIGHT)


@inlined
def put(column: Address, index: Number, value: Number) -> None:
    """Set item `index` of a column of 64-bit numbers."""
    store_u64(column + index * EIGHT, value)


@inlined
def load_piece(base: Address, position: Number, limit: Number) -> Number:
    """Eight bytes at `position`; those beyond `limit` are zero."""
    if position + EIGHT <= limit:
        return load_u64(base + position)
    return load_last_piece(base, position, limit)


@kernel
def load_last_piece(base: Address, position: Number, limit: Number) -> Number:
    """The up to seven bytes from `position` to `limit`."""
    piece = ZERO
    for i in range(8):
        if position + U(i) < limit:
            piece |= load_u8(base + position + U(i)) << (EIGHT * U(i))
    return piece


@inlined
def decode(base: Address, position: Number, end: Number, limit: Number) -> tuple[Number, Number]:
    """The character at `position` and its bytes; (MALFORMED, 1) where no well-formed sequence begins."""
    first = load_u8(base + position)
    if first < BEYOND_ASCII:
        return first, ONE
    return decode_sequence(base, position, end, limit)


@kernel
def decode_sequence(base: Address, position: Number, end: Number, limit: Number) -> tuple[Number, Number]:
    """The character of two to four bytes at `position`, as `decode` gives it."""
    bytes4 = load_u32(base + position) if position + U(4) <= limit else load_last_piece(base, position, limit)
    room = end - position
    if bytes4 & U(0xC0E0) == U(0x80C0) and room >= TWO:
        code = (bytes4 & U(0x1F)) << SIX | bytes4 >> EIGHT & LOW_SIX
        if code >= U(0x80):
            return code, TWO
    elif bytes4 & U(0xC0C0F0) == U(0x8080E0) and room >= U(3):
        code = (bytes4 & U(0x0F)) << U(12) | (bytes4 >> EIGHT & LOW_SIX) << SIX | bytes4 >> U(16) & LOW_SIX
        if code >= U(0x800) and code >> U(11) != U(0xD800 >> 11):
            return code, U(3)
    elif bytes4 & U(0xC0C0C0F8) == U(0x808080F0) and room >= U(4):
        code = (bytes4 & U(0x07)) << U(18) | (bytes4 >> EIGHT & LOW_SIX) << U(12)
        code |= (bytes4 >> U(16) & LOW_SIX) << SIX | bytes4 >> U(24) & LOW_SIX
        if code >= U(0x10000) and code <= U(0x10FFFF):
            return code, U(4)
    return MALFORMED, ONE


@inlined
def encode(code: Number) -> tuple[Number, Number]:
    """The UTF-8 bytes of a character beyond ASCII, the first one lowest, and their number."""
    tail = CONTINUATION | code & LOW_SIX
    if code < U(0x800):
        return U(0xC0) | code >> SIX | tail << EIGHT, TWO
    middle = CONTINUATION | code >> SIX & LOW_SIX
    if code < U(0x10000):
        return U(0xE0) | code >> U(12) | middle << EIGHT | tail << U(16), U(3)
    second = CONTINUATION | code >> U(12) & LOW_SIX
    return U(0xF0) | code >> U(18) | second << EIGHT | middle << U(16) | tail << U(24), U(4)


@inlined
def entry_of(code: Number, table: Table) -> Number:
    """The table's entry of a character; that of a separator for a malformed byte."""
    if code == MALFORMED:
        return ZERO
    page = load_u16(table[0] + (code >> EIGHT) * TWO)
    return load_u32(table[1] + (page << EIGHT | code & U(0xFF)) * U(4))


@inlined
def kind_of(entry: Number) -> Number:
    """SEPARATOR, WORD, MARK, CJK, APOSTROPHE or IGNORED."""
    return entry >> KIND_SHIFT & KIND_MASK
