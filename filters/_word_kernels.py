"""The compiled half of `filters.words`: words and lines of UTF-8 bytes, then the hash and classes of each word.

Kernels get memory as addresses: that of the column's bytes (`base`, of which no byte at or beyond `limit` is
read), of the character table and of the output columns. Offsets are counted from `base`. Text that is plain
ASCII goes 64 bytes at a time; from the first byte above 127 a state machine takes over, character by
character, until ASCII text comes again. Both halves implement docs/words.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from filters import unicode_tables as tables
from filters._simd import (
    BLOCK,
    apostrophe_mask,
    count_ones,
    high_mask,
    inlined,
    kernel,
    lead_mask,
    load_u8,
    load_u16,
    load_u32,
    load_u64,
    multiply_fold,
    newline_mask,
    store_u64,
    trailing_zeros,
    word_mask,
)

U = np.uint64
I64 = np.int64
Number = Any
"""A 64-bit unsigned number inside a kernel: an offset, a count or a mask."""
Address = Any
"""A 64-bit unsigned number that is the address of memory."""
Table = Any
"""Addresses of the `pages`, `entries` and `expansions` of the character table."""
Columns = Any
"""Addresses of output columns of 64-bit numbers that belong together."""
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

HASH_START = U(0xE7037ED1A0B428DB)
HASH_MIX = U(0xA0761D6478BD642F)
HASH_END = U(0x8EBC6AF09C88C6E3)
FEW_MARKS = U(32)
"""Combining marks in a row that are ordered by insertion (stream-safe Unicode has at most 30)."""
SLACK = BLOCK
"""Items that the columns of words must have room for beyond the last word: they are written in groups."""

ALPHABETIC, DIGIT, UPPER, LOWER, CJK, NON_ASCII = (U(1 << bit) for bit in range(6))

ZERO, ONE, TWO, SIX, EIGHT, FULL = U(0), U(1), U(2), U(6), U(8), U(BLOCK)
GROUP = 12
"""Positions written at once: few blocks of English have more words, so the branch is well predicted."""
HIGH_BITS = U(0x8080808080808080)
LOWER_BITS = U(0x2020202020202020)
LETTER_BITS = U(0x4040404040404040)
DIGIT_BITS = U(0x1010101010101010)
NEWLINE, RETURN, BEYOND_ASCII = U(ord("\n")), U(ord("\r")), U(0x80)
MALFORMED = U(0xFFFFFFFF)

WORD, MARK, CJK_KIND, APOSTROPHE, IGNORED = (
    U(kind) for kind in (tables.WORD, tables.MARK, tables.CJK, tables.APOSTROPHE, tables.IGNORED)
)
KIND_SHIFT, KIND_MASK = U(tables.KIND_SHIFT), U(tables.KIND_MASK)
COUNT_SHIFT, COUNT_MASK = U(tables.COUNT_SHIFT), U(tables.COUNT_MASK)
PAYLOAD_MASK, COMBINING_SHIFT = U(tables.PAYLOAD_MASK), U(tables.COMBINING_SHIFT)
FLAG_SHIFT, FLAG_MASK, SPACE = U(27), ALPHABETIC | DIGIT | UPPER | LOWER, U(tables.SPACE)
CONTINUATION, LOW_SIX = U(0x80), U(0x3F)


@inlined
def get(column: Address, index: Number) -> Number:
    """Item `index` of a column of 64-bit numbers."""
    return load_u64(column + index * EIGHT)


@inlined
def put(column: Address, index: Number, value: Number) -> None:
    """Set item `index` of a column of 64-bit numbers."""
    store_u64(column + index * EIGHT, value)


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
def decode(base: Address, position: Number, end: Number, limit: Number) -> tuple[Number, Number]:
    """The character at `position` and its size in bytes; (MALFORMED, 1) where no well-formed sequence begins."""
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


@inlined
def put_positions(bits: Number, count: Number, origin: Number, column: Address) -> None:
    """Write the positions of the `count` set bits, counted from `origin`; up to SLACK items are overwritten."""
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
    return position + EIGHT <= limit and load_u64(base + position) & HIGH_BITS == ZERO


@kernel
def joining_apostrophes(
    base: Address, next_position: Number, end: Number, quotes: Number, inside: Number, last: Number
) -> tuple[Number, bool]:
    """Apostrophes between word bytes of a block, and whether the one in its last bit depends on a non-ASCII byte.

    `inside` has the word bytes of the block, one bit earlier and one bit later than an apostrophe between them;
    `last` is the block's last bit, `next_position` the position behind it.
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


@kernel
def hash_words(
    base: Address,
    limit: Number,
    table: Table,
    words: Columns,
    first: Number,
    last: Number,
    hashes: Address,
    classes: Bytes,
    marks: Address,
) -> None:
    """Hash and classify the words `first:last`."""
    word = first
    while word < last:
        position, end = get(words[0], word), get(words[1], word)
        state, seen, digits, uppers, lowers = HASH_START, ZERO, ZERO, ZERO, ZERO
        start = position
        while True:
            shift = (EIGHT - min(end - position, EIGHT)) * EIGHT
            piece = load_piece(base, position, limit)
            state = multiply_fold(((piece | LOWER_BITS) << shift) ^ HASH_MIX, state)
            piece <<= shift
            seen |= piece
            digits |= piece & ~(piece >> TWO)
            uppers |= (piece >> ONE) & ~piece
            lowers |= (piece >> ONE) & piece
            position += EIGHT
            if position >= end:
                break
        flags = (
            U(seen & LETTER_BITS != ZERO)
            | U(digits & DIGIT_BITS != ZERO) << ONE
            | U(uppers & LOWER_BITS != ZERO) << TWO
            | U(lowers & LOWER_BITS != ZERO) << U(3)
        )
        if seen & HIGH_BITS != ZERO:
            state, flags = hash_folded(base, start, end, limit, table, marks)
        put(hashes, word, multiply_fold(state ^ HASH_MIX, HASH_END))
        classes[word] = flags
        word += ONE


@kernel
def hash_folded(
    base: Address, start: Number, end: Number, limit: Number, table: Table, marks: Address
) -> tuple[Number, Number]:
    """The unfinished hash and the classes of one word that has characters beyond ASCII."""
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
    """The unfinished hash of a word with more than FEW_MARKS combining marks in a row, in time linear in its size."""
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
            order_marks(folded[first:i])
            first = i + 1
    for i in range(total):
        state, held, fill = push_character(state, held, fill, folded[i] & PAYLOAD_MASK)
    return push_rest(state, held, fill)


@kernel
def order_marks(marks: Hashes) -> None:
    """Order combining marks by combining class, otherwise as they came (a counting sort: runs may have millions)."""
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
        return multiply_fold((held << ((EIGHT - fill) * EIGHT)) ^ HASH_MIX, state)
    return state


@inlined
def push_character(state: Number, held: Number, fill: Number, code: Number) -> tuple[Number, Number, Number]:
    """Append a character's UTF-8 bytes to the `fill` bytes that are held back; hash them when they are eight."""
    encoded, size = code, ONE
    if code >= U(0x80):
        encoded, size = encode(code)
    held |= encoded << (fill * EIGHT)
    fill += size
    if fill >= EIGHT:
        state = multiply_fold(held ^ HASH_MIX, state)
        fill -= EIGHT
        held = encoded >> ((size - fill) * EIGHT)
    return state, held, fill


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


@kernel
def is_blank(base: Address, position: Number, end: Number, limit: Number, table: Table) -> bool:
    """Whether a line has nothing but white space and zero-width characters."""
    while position < end:
        code, size = decode(base, position, end, limit)
        entry = entry_of(code, table)
        if entry & SPACE == ZERO and kind_of(entry) != IGNORED:
            return False
        position += size
    return True


@kernel
def find_paragraphs(
    base: Address,
    limit: Number,
    table: Table,
    lines: Columns,
    first: Number,
    last: Number,
    found: Number,
    paragraphs: Columns,
    count: Number,
) -> Number:
    """Group the lines `first:last` of one document between blank lines; returns the paragraphs so far."""
    after_blank, line = True, first
    while line < last:
        start, end = get(lines[0], line), get(lines[1], line)
        next_word = get(lines[2], line + ONE) if line + ONE < last else found
        blank = get(lines[2], line) == next_word and is_blank(base, start, end, limit, table)
        if not blank:
            if after_blank:
                put(paragraphs[0], count, start)
                count += ONE
            put(paragraphs[1], count - ONE, end)
        after_blank = blank
        line += ONE
    return count


@kernel
def index_documents(
    base: Address,
    limit: Number,
    table: Table,
    documents: tuple[Ints, Ints],
    words: tuple[Ints, Ints],
    hashes: Hashes,
    classes: Bytes,
    lines: tuple[Ints, Ints, Ints],
    paragraphs: tuple[Ints, Ints],
    offsets: tuple[Ints, Ints, Ints],
) -> None:
    """Fill the arrays of a word index by document; `offsets` are those of words, lines and paragraphs."""
    spare, marks = np.zeros(BLOCK, np.uint8), np.zeros(I64(FEW_MARKS), np.uint64)
    word_columns = U(words[0].ctypes.data), U(words[1].ctypes.data)
    line_columns = U(lines[0].ctypes.data), U(lines[1].ctypes.data), U(lines[2].ctypes.data)
    paragraph_columns = U(paragraphs[0].ctypes.data), U(paragraphs[1].ctypes.data)
    hash_column = U(hashes.ctypes.data)
    word = line = paragraph = ZERO
    for document in range(len(documents[0])):
        start, end = U(documents[0][document]), U(documents[1][document])
        first_word, first_line = word, line
        word, line = scan_document(
            base, start, end, limit, table, word_columns, word, line_columns, line, U(spare.ctypes.data)
        )
        hash_words(base, limit, table, word_columns, first_word, word, hash_column, classes, U(marks.ctypes.data))
        paragraph = find_paragraphs(
            base, limit, table, line_columns, first_line, line, word, paragraph_columns, paragraph
        )
        offsets[0][document + 1], offsets[1][document + 1], offsets[2][document + 1] = word, line, paragraph
    lines[2][line] = word


@kernel
def count_characters(
    base: Address,
    limit: Number,
    table: Table,
    starts: Ints,
    ends: Ints,
    classes: Bytes,
    lengths: npt.NDArray[np.int32],
) -> None:
    """The characters of each word, zero-width ones apart."""
    for word in range(len(starts)):
        lengths[word] = ends[word] - starts[word]
        if U(classes[word]) & NON_ASCII != ZERO:
            position, end, count = U(starts[word]), U(ends[word]), 0
            while position < end:
                code, size = decode(base, position, end, limit)
                count += kind_of(entry_of(code, table)) != IGNORED
                position += size
            lengths[word] = count
