"""Character references (`&amp;`, `&#39;`) as `html.unescape` reads them, for kernels."""

from __future__ import annotations

from html.entities import html5
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from filters._simd import kernel
from pipeline.extraction.hashing import FNV_START, Keys, Values, add_byte, look_up

Bytes = npt.NDArray[np.uint8]

LONGEST_NAME: Final = max(map(len, html5))
"""Bytes of the longest name, its semicolon included."""
_LONGEST_BARE: Final = max(len(name) for name in html5 if not name.endswith(";"))
_SECOND: Final = 21
"""A value holds two characters of up to 21 bits each."""
_CODE_MASK: Final = (1 << _SECOND) - 1
_REPLACEMENT: Final = 0xFFFD
_NOTHING: Final = -1


def _case_kept_hash(name: str) -> int:
    state = int(FNV_START)
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return state


def _entity_table() -> tuple[Keys, Values]:
    """Names are case-sensitive (`&Auml;`), so this table has its own hashes."""
    size = 1 << (4 * len(html5)).bit_length()
    keys, values = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    for name, text in html5.items():
        codes = [ord(character) for character in text]
        key = _case_kept_hash(name)
        place = (key ^ key >> 32) & (size - 1)
        while keys[place]:
            place = (place + 1) & (size - 1)
        keys[place], values[place] = key, codes[0] | (codes[1] << _SECOND if len(codes) > 1 else 0)
    return keys, values


_KEYS, _VALUES = _entity_table()

# What html.unescape does with the numbers of C1 controls (the windows-1252 reading of browsers).
_C1: Final = np.array(
    [ord(bytes([byte]).decode("cp1252", "ignore") or chr(byte)) for byte in range(0x80, 0xA0)], np.int64
)


@kernel
def read_reference(data: Bytes, position: int, end: int) -> tuple[int, int, int]:
    """The character reference at `position` (an ampersand): (code, second code or 0, position after).

    (-1, 0, ...) stands for no character (a reference to a non-character), and the position after the
    ampersand with its own code means that there is no reference.
    """
    after = position + 1
    if after < end and data[after] == 0x23:  # "#"
        return _read_number(data, after + 1, end, after)
    stop = after
    state = FNV_START
    found, found_after = 0, after
    while stop < end and stop - after < LONGEST_NAME:
        byte = data[stop]
        lower = byte | 0x20
        is_name = (0x61 <= lower <= 0x7A) or 0x30 <= byte <= 0x39
        if not is_name and byte != 0x3B:
            break
        state = add_byte(state, byte)
        stop += 1
        if byte == 0x3B or (2 <= stop - after <= _LONGEST_BARE):
            value = look_up(_KEYS, _VALUES, state, 0)
            if value != 0:
                found, found_after = value, stop
        if byte == 0x3B:
            break
    if found == 0:
        return 0x26, 0, after
    return found & _CODE_MASK, found >> _SECOND, found_after


@kernel
def _read_number(data: Bytes, position: int, end: int, after_ampersand: int) -> tuple[int, int, int]:
    """The numeric reference whose digits (or `x`) begin at `position`."""
    base = 10
    if position < end and data[position] | 0x20 == 0x78:
        base = 16
        position += 1
    start, code = position, 0
    while position < end:
        byte = data[position]
        digit = -1
        if 0x30 <= byte <= 0x39:
            digit = byte - 0x30
        elif base == 16 and 0x61 <= byte | 0x20 <= 0x66:
            digit = (byte | 0x20) - 0x57
        if digit < 0:
            break
        code = min(code * base + digit, 0x110000)
        position += 1
    if position == start:
        return 0x26, 0, after_ampersand
    if position < end and data[position] == 0x3B:
        position += 1
    return _valid(code), 0, position


@kernel
def _valid(code: int) -> Any:
    """The character that browsers (and `html.unescape`) take for a number; -1 for none."""
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return _REPLACEMENT
    if code == 0x0D:
        return code
    if 0x80 <= code < 0xA0:
        return _C1[code - 0x80]
    if code < 0x20 and code not in (0x09, 0x0A, 0x0C):
        return _NOTHING
    if code == 0x7F or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE or code == 0x0B:
        return _NOTHING
    return code


@kernel
def write_character(out: Bytes, position: int, code: Any) -> int:
    """Write a character as UTF-8; the position after it."""
    if code < 0x80:
        out[position] = code
        return position + 1
    if code < 0x800:
        out[position] = 0xC0 | code >> 6
        out[position + 1] = 0x80 | code & 0x3F
        return position + 2
    if code < 0x10000:
        out[position] = 0xE0 | code >> 12
        out[position + 1] = 0x80 | code >> 6 & 0x3F
        out[position + 2] = 0x80 | code & 0x3F
        return position + 3
    out[position] = 0xF0 | code >> 18
    out[position + 1] = 0x80 | code >> 12 & 0x3F
    out[position + 2] = 0x80 | code >> 6 & 0x3F
    out[position + 3] = 0x80 | code & 0x3F
    return position + 4
