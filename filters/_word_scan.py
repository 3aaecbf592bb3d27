"""Where the words and lines of a document are: the scanning half of the kernels of `filters.words`.

Text that is plain ASCII goes 64 bytes at a time; from the first byte above 127 a state machine takes over,
character by character, until ASCII text comes again. Both halves implement docs/words.md.
"""

from __future__ import annotations

import numpy as np

from filters._simd import (
    BLOCK,
    apostrophe_mask,
    count_ones,
    high_mask,
    inlined,
    kernel,
    lead_mask,
    load_u8,
    load_u64,
    newline_mask,
    trailing_zeros,
    word_mask,
)
from filters._utf8 import (
    APOSTROPHE,
    BEYOND_ASCII,
    CJK_KIND,
    EIGHT,
    HIGH_BITS,
    IGNORED,
    MARK,
    ONE,
    WORD,
    ZERO,
    Address,
    Columns,
    Number,
    Table,
    U,
    decode,
    entry_of,
    get,
    kind_of,
    load_piece,
    put,
)

FULL = U(BLOCK)
SLACK = BLOCK
"""Items that the columns of words must have room for beyond the last word: they are written in groups."""
GROUP = 12
"""Positions written at once: few blocks of English have more words, so the branch is well predicted."""
NEWLINE, RETURN = U(ord("\n")), U(ord("\r"))


@inlined
def block_address(base: Address, position: Number, limit: Number, spare: Address) -> Address:
    """Where the 64 bytes from `position` can be read: in place, or in a copy filled up with zeros."""
    if position + FULL <= limit:
        return base + position
    copy_block(base, position, limit, spare)
    return spare


@kernel
def copy_block(base: Address, position: Number, limit: Number, spare: Address) -> None:
    """Copy the bytes from `position` to `limit`, fewer than 64, and fill up with zeros."""
    for i in range(0, BLOCK, 8):
        put(spare, U(i // 8), load_piece(base, position + U(i), limit))


@kernel
def count_bounds(base: Address, start: Number, end: Number, limit: Number) -> tuple[Number, Number]:
    """An upper bound of the words in `start:end`, document bounds apart, and the number of newlines.

    Counted are the runs of ASCII letters and digits, and all characters beyond ASCII.
    """
    spare = np.zeros(BLOCK, np.uint8)
    words, newlines, before, position = ZERO, ZERO, ZERO, start
    while position < end:
        address = block_address(base, position, limit, U(spare.ctypes.data))
        inside = word_mask(address)
        words += count_ones(inside & ~(inside << ONE | before)) + count_ones(lead_mask(address))
        newlines += count_ones(newline_mask(address))
        before = inside >> (FULL - ONE)
        position += FULL
    return words, newlines


@inlined
def put_positions(bits: Number, count: Number, origin: Number, column: Address) -> None:
    """Write the positions of the `count` set bits, from `origin`; up to SLACK items are overwritten."""
    for i in range(GROUP):
        put(column, U(i), origin + trailing_zeros(bits))
        bits &= bits - ONE
    if count > U(GROUP):
        for i in range(GROUP, BLOCK):
            if U(i) >= count:
                break
            put(column, U(i), origin + trailing_zeros(bits))
            bits &= bits - ONE


@kernel
def add_line(base: Address, newline: Number, lines: Columns, line: Number, found: Number) -> None:
    """Close line `line` at a newline, to which a carriage return belongs, and open the next one."""
    end = newline
    if newline > get(lines[0], line) and load_u8(base + newline - ONE) == RETURN:
        end = newline - ONE
    put(lines[1], line, end)
    put(lines[0], line + ONE, newline + ONE)
    put(lines[2], line + ONE, found)


@kernel
def scan_unicode(
    base: Address,
    position: Number,
    end: Number,
    limit: Number,
    table: Table,
    words: Columns,
    found: Number,
    is_open: bool,
    lines: Columns,
    line: Number,
) -> tuple[Number, Number, bool, Number]:
    """Find words by character, from `position` until ASCII text comes again or the document ends.

    Returns the position reached, the words begun, whether the last of them is open there, and the lines.
    """
    last_end, is_cjk, pending, first = position, False, False, position
    while position < end:
        between = not is_open or is_cjk or last_end == position
        if between and not pending and position > first and is_ascii_ahead(base, position, limit):
            break
        code, size = decode(base, position, end, limit)
        kind = kind_of(entry_of(code, table))
        if kind == WORD or kind == MARK or kind == CJK_KIND:  # noqa: SIM109 (numba has no fast `in`)
            if is_open and (kind == CJK_KIND or (is_cjk and kind == WORD)):
                put(words[1], found - ONE, last_end)
                is_open = False
            if not is_open:
                put(words[0], found, position)
                found += ONE
                is_open, is_cjk = True, kind == CJK_KIND
            last_end, pending = position + size, False
        elif kind == APOSTROPHE and is_open and not is_cjk and not pending:
            pending = True
        elif kind != IGNORED:
            if is_open:
                put(words[1], found - ONE, last_end)
            is_open, pending = False, False
            if code == NEWLINE:
                add_line(base, position, lines, line, found)
                line += ONE
        position += size
    if is_open and (is_cjk or position >= end):
        put(words[1], found - ONE, last_end)
        is_open = False
    return position, found, is_open, line


@inlined
def is_ascii_ahead(base: Address, position: Number, limit: Number) -> bool:
    """Whether the next eight bytes are ASCII: then whole blocks are worth trying again."""
    return bool(position + EIGHT <= limit and load_u64(base + position) & HIGH_BITS == ZERO)


@kernel
def joining_apostrophes(
    base: Address, next_position: Number, end: Number, quotes: Number, inside: Number, last: Number
) -> tuple[Number, bool]:
    """Apostrophes between word bytes of a block, and whether the last one depends on a byte beyond ASCII.

    `inside` has the word bytes of the block, one bit earlier and one bit later than an apostrophe between
    them; `last` is the block's last bit, `next_position` the position behind it.
    """
    following = ZERO
    if quotes & last != ZERO and next_position < end:
        byte = load_u8(base + next_position)
        if byte >= BEYOND_ASCII:
            return ZERO, True
        lower = byte | U(0x20)
        if (lower >= U(97) and lower <= U(122)) or (byte >= U(48) and byte <= U(57)):
            following = last
    return quotes & (inside >> ONE | following), False


@kernel
def scan_document(
    base: Address,
    start: Number,
    end: Number,
    limit: Number,
    table: Table,
    words: Columns,
    found: Number,
    lines: Columns,
    line: Number,
    spare: Address,
) -> tuple[Number, Number]:
    """Find the words and lines of one document; returns the numbers of words and of lines found so far."""
    put(lines[0], line, start)
    put(lines[2], line, found)
    position, is_open = start, False
    while position < end:
        address = block_address(base, position, limit, spare)
        span = min(min(end - position, FULL), trailing_zeros(high_mask(address)))
        # Twice, because a shift by 64 (of an empty span) is not defined.
        keep = ~(~ZERO << (span >> ONE) << (span - (span >> ONE)))
        inside, quotes = word_mask(address) & keep, apostrophe_mask(address) & keep
        carry = U(is_open)
        if quotes & (inside << ONE | carry) != ZERO:
            quotes &= inside << ONE | carry
            last = ONE << (span - ONE)
            joining, is_unclear = joining_apostrophes(base, position + span, end, quotes, inside, last)
            if is_unclear:
                span -= ONE
                keep ^= last
                joining = quotes & (inside >> ONE) & keep
            inside |= joining
        before = inside << ONE | carry
        begun, newlines = inside & ~before, newline_mask(address) & keep
        while newlines != ZERO:
            place = trailing_zeros(newlines)
            words_before = found + count_ones(begun & ((ONE << place) - ONE))
            add_line(base, position + place, lines, line, words_before)
            line += ONE
            newlines &= newlines - ONE
        ended = before & ~inside & keep
        put_positions(ended, count_ones(ended), position, words[1] + (found - carry) * EIGHT)
        put_positions(begun, count_ones(begun), position, words[0] + found * EIGHT)
        found += count_ones(begun)
        is_open = (inside << ONE | carry) & (keep + ONE) != ZERO if span < FULL else inside >> U(63) != ZERO
        position += span
        if span < FULL and position < end:
            position, found, is_open, line = scan_unicode(
                base, position, end, limit, table, words, found, is_open, lines, line
            )
    if is_open:
        put(words[1], found - ONE, end)
    if get(lines[0], line) < end:
        put(lines[1], line, end)
        line += ONE
    return found, line
