"""Where personal identifiers may be: one pass over the UTF-8 bytes of a column, 64 bytes at a time.

Every identifier with a shape has a digit, an `@` or a colon at a known place, so the scan stops only there:
at the first digit of each run of digits, at signs and at colons. What it finds are *candidates*, spans that
recognisers and rules judge afterwards (`filters.pii_search`); a text without one costs the scan alone.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from filters._simd import BLOCK, count_ones, inlined, kernel, load_u8, operation, trailing_zeros
from filters._utf8 import ONE, ZERO, Address, Number, U, decode

SIGN, RUN, IPV4, IPV6, IBAN, CRYPTO = range(6)
"""Kinds of candidates; docs/screens.md has what each is."""

FIELDS: Final = 4
"""Numbers of a candidate: document, kind, start and end, in characters from the document's start."""

RUN_DIGITS: Final = U(7)
MAX_GAP: Final = U(4)
"""Characters allowed between two digits of a run."""
MIN_IBAN, MAX_IBAN = U(15), U(34)
MIN_CRYPTO, MAX_CRYPTO = U(26), U(62)
MAX_IPV6 = U(45)

_I8, _I64 = ir.IntType(8), ir.IntType(64)
_BYTES = ir.VectorType(_I8, BLOCK)
_ALL = U(0xFFFFFFFFFFFFFFFF)

_IS_DIGIT, _IS_LETTER, _IS_HEX, _IS_GAP, _IS_WORD = (1 << bit for bit in range(5))

Ints = npt.NDArray[np.int64]


def _classes() -> npt.NDArray[np.uint8]:
    """What each ASCII byte is; bytes of longer sequences are nothing."""
    table = np.zeros(256, np.uint8)
    for code in range(128):
        character = chr(code)
        table[code] = (
            _IS_DIGIT * character.isdigit()
            | _IS_LETTER * character.isalpha()
            | _IS_HEX * (character in "0123456789abcdefABCDEF")
            | _IS_GAP * (character in " .()-/+")
            | _IS_WORD * (character.isalnum() or character == "_")
        )
    return table


def _digit_zeros() -> npt.NDArray[np.uint32]:
    """The zero of every set of decimal digits beyond ASCII; the ten digits of a set follow each other."""
    zeros = [code for code in range(128, 0x20000) if unicodedata.decimal(chr(code), -1) == 0]
    return np.array(zeros, np.uint32)


_CLASSES: Final = _classes()
_ZEROS: Final = _digit_zeros()
# What may stand between digits, beyond ASCII: no-break space, hyphen to horizontal bar.
_NO_BREAK, _HYPHEN, _BAR = U(0xA0), U(0x2010), U(0x2015)


def _mask(ranges: tuple[tuple[int, int], ...], about: str) -> Any:
    """An operation: the address of 64 readable bytes -> a bit for each byte in one of the ranges."""

    def constant(value: int) -> Any:
        return ir.Constant(_BYTES, [value] * BLOCK)

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        values = builder.load(builder.inttoptr(args[0], _BYTES.as_pointer()), align=1)
        found = None
        for low, high in ranges:
            inside = builder.icmp_unsigned("<", builder.sub(values, constant(low)), constant(high - low + 1))
            found = inside if found is None else builder.or_(found, inside)
        return builder.bitcast(found, _I64)

    return operation(1, generate, about)


digit_mask = _mask(((0x30, 0x39),), "ASCII digits among 64 bytes.")
# First bytes of the sequences in which decimal digits beyond ASCII are: Arabic, N'Ko, most scripts of India
# and South-East Asia, full-width, and all beyond the first plane. Not those of ideographs, Cyrillic or Greek.
stop_mask = _mask(
    ((0x40, 0x40), (0x3A, 0x3A), (0xD9, 0xDB), (0xDF, 0xE1), (0xEA, 0xEA), (0xEF, 0xF0)),
    "Signs, colons, and first bytes of digits beyond ASCII.",
)
continuation_mask = _mask(((0x80, 0xBF),), "Continuation bytes of UTF-8 among 64.")


@inlined
def _is(base: Address, position: Number, wanted: Any) -> bool:
    found: bool = (_CLASSES[load_u8(base + position)] & wanted) != 0
    return found


@kernel
def _digit_size(base: Address, position: Number, end: Number) -> Number:
    """The bytes of the decimal digit at `position`; 0 where there is none."""
    if position >= end:
        return ZERO
    if load_u8(base + position) < U(0x80):
        return ONE if _is(base, position, _IS_DIGIT) else ZERO
    code, size = decode(base, position, end, end)
    low, high = 0, len(_ZEROS)
    while low < high:
        middle = (low + high) // 2
        if U(_ZEROS[middle]) <= code:
            low = middle + 1
        else:
            high = middle
    return size if low > 0 and code - U(_ZEROS[low - 1]) < U(10) else ZERO


@kernel
def _gap_size(base: Address, position: Number, end: Number) -> Number:
    """The bytes of the character at `position` if it may stand between two digits of a run, else 0."""
    if position >= end:
        return ZERO
    if load_u8(base + position) < U(0x80):
        return ONE if _is(base, position, _IS_GAP) else ZERO
    code, size = decode(base, position, end, end)
    return size if code == _NO_BREAK or (code >= _HYPHEN and code <= _BAR) else ZERO


@kernel
def _run(base: Address, position: Number, end: Number) -> tuple[Number, Number]:
    """From the digit at `position`: the end of its run, and how many digits it has."""
    digits, last = ZERO, position
    while True:
        size = _digit_size(base, position, end)
        while size != ZERO:
            digits += ONE
            position += size
            last = position
            size = _digit_size(base, position, end)
        gap = ZERO
        size = _gap_size(base, position, end)
        while size != ZERO and gap < MAX_GAP:
            gap += ONE
            position += size
            size = _gap_size(base, position, end)
        if gap == ZERO or _digit_size(base, position, end) == ZERO:
            return last, digits


@kernel
def _ipv4_end(base: Address, position: Number, start: Number, end: Number) -> Number:
    """The end of four dotted groups of one to three digits at `position`; 0 where there are none."""
    if position > start:
        before = load_u8(base + position - ONE)
        if before == U(0x2E) or _is(base, position - ONE, _IS_WORD):
            return ZERO
    for group in range(4):
        digits = 0
        while position < end and _is(base, position, _IS_DIGIT):
            digits += 1
            position += ONE
            if digits > 3:
                return ZERO
        if digits == 0:
            return ZERO
        if group < 3:
            if position >= end or load_u8(base + position) != U(0x2E):
                return ZERO
            position += ONE
    return position


@kernel
def _ipv6_bounds(
    base: Address, position: Number, start: Number, end: Number
) -> tuple[Number, Number, Number]:
    """Around the colon at `position`: start and end of the hexadecimal run, and where to look on.

    An address has seven colons, or two in a row; the end is the start where there is none.
    """
    first = position
    while first > start and position - first < U(4) and _is(base, first - ONE, _IS_HEX):
        first -= ONE
    last, colons, double = position, 0, False
    while last < end:
        is_colon = load_u8(base + last) == U(0x3A)
        if not is_colon and not _is(base, last, _IS_HEX):
            break
        if is_colon:
            colons += 1
            double = double or (last > position and load_u8(base + last - ONE) == U(0x3A))
        last += ONE
    fits = last - first <= MAX_IPV6 and (double or colons == 7) and colons <= 8
    return first, last if fits else first, last


@inlined
def _value(byte: Number) -> Number:
    """What a letter or digit stands for in an IBAN: 0 to 35."""
    return byte - U(0x30) if byte <= U(0x39) else (byte | U(0x20)) - U(0x57)


@inlined
def _append(remainder: Number, value: Number) -> Number:
    """The remainder by 97 of a number with the digits of another (0 to 35) behind it."""
    return (remainder * (U(10) if value < U(10) else U(100)) + value) % U(97)


@kernel
def _iban_end(base: Address, position: Number, end: Number, longest: Number) -> Number:
    """The furthest end, before `longest`, where letters and digits from `position` pass ISO 13616; 0 for none.

    With the first four characters moved to the end and A = 10 ... Z = 35, the remainder by 97 is 1.
    """
    remainder, characters, found = ZERO, U(4), ZERO
    at = position + U(4)
    while characters < MAX_IBAN:
        byte = load_u8(base + at) if at < end else ZERO
        if (byte == U(0x20) or byte == U(0x2D)) and at + ONE < end:
            at += ONE
        if at >= end or not _is(base, at, _IS_DIGIT | _IS_LETTER):
            return found
        remainder = _append(remainder, _value(load_u8(base + at)))
        characters += ONE
        at += ONE
        if at >= longest or characters < MIN_IBAN:
            continue
        if at < end and _is(base, at, _IS_DIGIT | _IS_LETTER):
            continue
        whole = remainder
        for i in range(4):
            whole = _append(whole, _value(load_u8(base + position + U(i))))
        if whole == ONE:
            found = at
    return found


@kernel
def _iban_start(base: Address, position: Number, start: Number, end: Number) -> bool:
    """Whether two letters stand before the digits at `position`, two of them, at the start of a word."""
    if position < start + U(2) or position + ONE >= end or not _is(base, position + ONE, _IS_DIGIT):
        return False
    if not (_is(base, position - ONE, _IS_LETTER) and _is(base, position - U(2), _IS_LETTER)):
        return False
    return position == start + U(2) or not _is(base, position - U(3), _IS_DIGIT | _IS_LETTER)


@kernel
def _crypto_bounds(base: Address, position: Number, start: Number, end: Number) -> tuple[Number, Number]:
    """The word of 26 to 62 characters that begins with 1, 3, 0x or bc1, this digit the last of these."""
    first, byte = position, load_u8(base + position)
    if byte == U(0x31) and position >= start + U(2):
        before = (load_u8(base + position - ONE) | U(0x20), load_u8(base + position - U(2)) | U(0x20))
        if before[0] == U(0x63) and before[1] == U(0x62):
            first = position - U(2)
    if first == position and byte == U(0x30):
        if position + ONE >= end or load_u8(base + position + ONE) | U(0x20) != U(0x78):
            return ZERO, ZERO
    elif byte != U(0x31) and byte != U(0x33):
        return ZERO, ZERO
    if first > start and _is(base, first - ONE, _IS_WORD):
        return ZERO, ZERO
    last = position
    while last < end and last - first <= MAX_CRYPTO and _is(base, last, _IS_WORD):
        last += ONE
    size = last - first
    return (first, last) if size >= MIN_CRYPTO and size <= MAX_CRYPTO else (ZERO, ZERO)


@kernel
def _is_sign(base: Address, position: Number, start: Number, end: Number) -> bool:
    """Whether the `@` at `position` has a letter, a digit or an underscore on both sides."""
    if position == start or position + ONE >= end:
        return False
    before, after = load_u8(base + position - ONE), load_u8(base + position + ONE)
    left = before >= U(0x80) or _is(base, position - ONE, _IS_WORD)
    return left and (after >= U(0x80) or _is(base, position + ONE, _IS_WORD))


@kernel
def _characters(base: Address, first: Number, last: Number) -> Number:
    """The characters between two positions: bytes that are not continuation bytes."""
    count = last - first
    while first + U(BLOCK) <= last:
        count -= count_ones(continuation_mask(base + first))
        first += U(BLOCK)
    while first < last:
        byte = load_u8(base + first)
        if byte >= U(0x80) and byte < U(0xC0):
            count -= ONE
        first += ONE
    return count


@inlined
def _move(base: Address, cursor: tuple[Number, Number], position: Number) -> tuple[Number, Number]:
    """A cursor (position, characters before it) moved to another position, a little back or any way on."""
    if position >= cursor[0]:
        return position, cursor[1] + _characters(base, cursor[0], position)
    return position, cursor[1] - _characters(base, position, cursor[0])


@kernel
def _block_masks(
    base: Address, at: Number, end: Number, limit: Number, spare: npt.NDArray[np.uint8], spare_at: Address
) -> tuple[Number, Number]:
    """Digits and other stops among the up to 64 bytes from `at` to `end`."""
    if at + U(BLOCK) <= limit:
        digits, stops = digit_mask(base + at), stop_mask(base + at)
    else:
        for i in range(BLOCK):
            spare[i] = load_u8(base + at + U(i)) if at + U(i) < end else ZERO
        digits, stops = digit_mask(spare_at), stop_mask(spare_at)
    if end - at < U(BLOCK):
        kept = (ONE << (end - at)) - ONE
        return digits & kept, stops & kept
    return digits, stops


@inlined
def _add(
    found: Ints,
    count: int,
    base: Address,
    cursor: tuple[Number, Number],
    candidate: tuple[int, int, Number, Number],
) -> tuple[int, tuple[Number, Number]]:
    """Store a candidate where there is room; it is counted in any case."""
    document, kind, first, last = candidate
    cursor = _move(base, cursor, first)
    if count < len(found):
        found[count, 0], found[count, 1] = document, kind
        found[count, 2] = cursor[1]
        found[count, 3] = cursor[1] + _characters(base, first, last)
    return count + 1, cursor


@kernel
def _at_digit(
    base: Address,
    position: Number,
    bounds: tuple[Number, Number],
    document: int,
    found: Ints,
    count: int,
    cursor: tuple[Number, Number],
) -> tuple[int, tuple[Number, Number]]:
    """Add what begins at the first digit of a run of ASCII digits, but for the run itself."""
    start, end = bounds
    last = _ipv4_end(base, position, start, end)
    if last != ZERO:
        count, cursor = _add(found, count, base, cursor, (document, IPV4, position, last))
    if _iban_start(base, position, start, end):
        first = position - U(2)
        last = _iban_end(base, first, end, _ALL)
        while last != ZERO:
            count, cursor = _add(found, count, base, cursor, (document, IBAN, first, last))
            last = _iban_end(base, first, end, last)
    first, last = _crypto_bounds(base, position, start, end)
    if last != ZERO:
        count, cursor = _add(found, count, base, cursor, (document, CRYPTO, first, last))
    return count, cursor


@kernel
def _scan_document(
    base: Address,
    bounds: tuple[Number, Number],
    limit: Number,
    document: int,
    found: Ints,
    count: int,
    spare: npt.NDArray[np.uint8],
) -> int:
    """Add the candidates of one document to `found`; returns how many there are by now."""
    start, end = bounds
    spare_at = U(spare.ctypes.data)
    cursor = (start, ZERO)
    run_end, colon_end, carry = start, start, ZERO
    at = start
    while at < end:
        digits, stops = _block_masks(base, at, end, limit, spare, spare_at)
        starts = digits & ~(digits << ONE | carry)
        carry = digits >> U(63)
        left = starts | stops
        while left != ZERO:
            bit = left & (~left + ONE)
            position = at + trailing_zeros(left)
            left ^= bit
            byte = load_u8(base + position)
            if byte == U(0x40):
                if _is_sign(base, position, start, end):
                    candidate = (document, SIGN, position, position + ONE)
                    count, cursor = _add(found, count, base, cursor, candidate)
                continue
            if byte == U(0x3A):
                if position >= colon_end:
                    first, last, colon_end = _ipv6_bounds(base, position, start, end)
                    if last > first:
                        count, cursor = _add(found, count, base, cursor, (document, IPV6, first, last))
                continue
            if starts & bit != ZERO:
                count, cursor = _at_digit(base, position, bounds, document, found, count, cursor)
            if position >= run_end and _digit_size(base, position, end) != ZERO:
                run_end, size = _run(base, position, end)
                if size >= RUN_DIGITS:
                    count, cursor = _add(found, count, base, cursor, (document, RUN, position, run_end))
        at += U(BLOCK)
    return count


@kernel
def scan(base: Address, limit: Number, starts: Ints, ends: Ints, found: Ints) -> int:
    """Write the candidates of all documents, in order of documents; returns how many there are.

    Args:
        base: address of the column's bytes, `limit` of them.
        limit: how many bytes may be read.
        starts: where each document begins.
        ends: where it ends. Malformed UTF-8 is allowed; positions in such a document count the bytes that do
            not continue a sequence.
        found: `[candidate, field]`, filled as far as there is room: a result above its length tells that a
            larger one is needed.
    """
    spare = np.zeros(BLOCK, np.uint8)
    count = 0
    for document in range(len(starts)):
        bounds = (U(starts[document]), U(ends[document]))
        count = _scan_document(base, bounds, limit, document, found, count, spare)
    return count
