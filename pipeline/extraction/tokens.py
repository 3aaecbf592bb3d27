"""The HTML tokenizer: tags, attributes, comments and raw text, read in place (WHATWG HTML, 13.2.5).

Kernels walk the UTF-8 bytes of one page, `data[position:end]`, and give positions; no token is copied and
nothing before `position` is looked at again, so time is linear in the page whatever it holds. Differences
from the standard: a document type, a processing instruction and other bogus comments are all one `COMMENT`
token, and null bytes stay where they are (text drops them).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from filters._simd import kernel
from pipeline.extraction.hashing import FNV_START, add_byte

Bytes = npt.NDArray[np.uint8]

START_TAG: Final = 1
END_TAG: Final = 2
COMMENT: Final = 3
CDATA: Final = 4
LITERAL: Final = 5
"""A "<" that opens nothing and is text."""

ATTRIBUTE: Final = 0
TAG_END: Final = 1
SELF_CLOSING: Final = 2
CUT_OFF: Final = 3
"""The page ends inside the tag, which then is none."""

LESS, GREATER, SLASH, BANG, QUESTION, DASH, EQUALS = (ord(character) for character in "<>/!?-=")
DOUBLE_QUOTE, SINGLE_QUOTE, BRACKET = ord('"'), ord("'"), ord("]")


@kernel
def find(data: Bytes, position: int, end: int, byte: int) -> int:
    """The next place of a byte, or `end`."""
    while position < end and data[position] != byte:
        position += 1
    return position


@kernel
def is_space(byte: Any) -> bool:
    """Whether a byte is white space of HTML: tab, line feed, form feed, carriage return, space."""
    return bool(byte == 0x20 or (0x09 <= byte <= 0x0D and byte != 0x0B))


@kernel
def is_letter(byte: int) -> bool:
    """Whether a byte is an ASCII letter."""
    return 0x61 <= byte | 0x20 <= 0x7A


@kernel
def open_token(data: Bytes, position: int, end: int) -> tuple[int, np.uint64, int]:
    """What begins at a "<": (kind, hash of the tag's name, position after).

    After the name for tags (their attributes follow), after the whole comment, after `<![CDATA[`, after the
    "<" of a LITERAL.
    """
    following = data[position + 1] if position + 1 < end else 0
    if is_letter(following):
        name, after = read_name(data, position + 1, end)
        return START_TAG, name, after
    if following == SLASH:
        third = data[position + 2] if position + 2 < end else 0
        if is_letter(third):
            name, after = read_name(data, position + 2, end)
            return END_TAG, name, after
        if position + 2 >= end:
            return LITERAL, FNV_START, position + 1
        return COMMENT, FNV_START, min(find(data, position + 2, end, GREATER) + 1, end)
    if following == BANG:
        if starts_with(data, position + 2, end, b"--"):
            return COMMENT, FNV_START, after_comment(data, position + 4, end)
        if starts_with(data, position + 2, end, b"[CDATA["):
            return CDATA, FNV_START, position + 9
        return COMMENT, FNV_START, min(find(data, position + 2, end, GREATER) + 1, end)
    if following == QUESTION:
        return COMMENT, FNV_START, min(find(data, position + 2, end, GREATER) + 1, end)
    return LITERAL, FNV_START, position + 1


@kernel
def starts_with(data: Bytes, position: int, end: int, wanted: bytes) -> bool:
    """Whether these bytes, as they are, stand at `position`."""
    if position + len(wanted) > end:
        return False
    same = True
    for i in range(len(wanted)):
        same = same and data[position + i] == wanted[i]
    return same


@kernel
def read_name(data: Bytes, position: int, end: int) -> tuple[np.uint64, int]:
    """The hash of a tag's name, lower-cased, and the position after it."""
    state = FNV_START
    while position < end:
        byte = data[position]
        if byte in (GREATER, SLASH) or is_space(byte):
            break
        state = add_byte(state, byte | 0x20 if 0x41 <= byte <= 0x5A else byte)
        position += 1
    return state, position


@kernel
def after_comment(data: Bytes, position: int, end: int) -> int:
    """The position after a comment whose text begins at `position`; the end of the page when it never ends."""
    if position < end and data[position] == GREATER:
        return position + 1  # <!-->
    if starts_with(data, position, end, b"->"):
        return position + 2  # <!--->
    while position < end:
        position = find(data, position, end, DASH)
        if position + 1 < end and data[position + 1] == DASH:
            after = position + 2
            while after < end and data[after] == DASH:
                after += 1
            if after < end and data[after] == GREATER:
                return after + 1
            if after + 1 < end and data[after] == BANG and data[after + 1] == GREATER:
                return after + 2
            position = after
        else:
            position += 1
    return end


@kernel
def next_attribute(data: Bytes, position: int, end: int) -> tuple[int, np.uint64, int, int, int]:
    """The attribute at or after `position` inside a tag: (what, hash of its name, value start, value end, after).

    `what` is ATTRIBUTE, or TAG_END, SELF_CLOSING or CUT_OFF, for which only `after` counts. An attribute
    without a value has an empty one.
    """
    slash = False
    while position < end and (is_space(data[position]) or data[position] == SLASH):
        slash = data[position] == SLASH
        position += 1
    if position >= end:
        return CUT_OFF, FNV_START, end, end, end
    if data[position] == GREATER:
        return (SELF_CLOSING if slash else TAG_END), FNV_START, position, position, position + 1
    name, position = _attribute_name(data, position, end)
    after = position
    while after < end and is_space(data[after]):
        after += 1
    if after >= end or data[after] != EQUALS:
        return ATTRIBUTE, name, position, position, after if after < end else end
    after += 1
    while after < end and is_space(data[after]):
        after += 1
    if after >= end:
        return CUT_OFF, name, end, end, end
    quote = data[after]
    if quote in (DOUBLE_QUOTE, SINGLE_QUOTE):
        stop = find(data, after + 1, end, quote)
        if stop >= end:
            return CUT_OFF, name, end, end, end
        return ATTRIBUTE, name, after + 1, stop, stop + 1
    stop = after
    while stop < end and data[stop] != GREATER and not is_space(data[stop]):
        stop += 1
    return ATTRIBUTE, name, after, stop, stop


@kernel
def _attribute_name(data: Bytes, position: int, end: int) -> tuple[np.uint64, int]:
    """The hash of an attribute's name, lower-cased, and the position after it; a leading "=" belongs to it."""
    state, start = FNV_START, position
    while position < end:
        byte = data[position]
        if byte in (GREATER, SLASH) or is_space(byte) or (byte == EQUALS and position > start):
            break
        state = add_byte(state, byte | 0x20 if 0x41 <= byte <= 0x5A else byte)
        position += 1
    return state, position


@kernel
def after_tag(data: Bytes, position: int, end: int) -> int:
    """The position after the tag whose attributes begin at `position`; `end` when it is cut off."""
    while True:
        what, _, _, _, position = next_attribute(data, position, end)
        if what != ATTRIBUTE:
            return position


@kernel
def raw_text_end(data: Bytes, position: int, end: int, name: np.uint64, is_script: bool) -> int:
    """Where the end tag of a raw text element begins; `end` when there is none.

    In scripts, `<!-- <script> </script> -->` does not end the script ("script data double escaped").
    """
    escaped = nested = False
    while position < end:
        if not escaped:
            position = find(data, position, end, LESS)
            if position >= end:
                break
        byte = data[position]
        if byte == LESS:
            if starts_with(data, position + 1, end, b"/"):
                found, after = read_name(data, position + 2, end)
                if found == name and after < end:
                    if not nested:
                        return position
                    nested = False
            elif is_script:
                if starts_with(data, position + 1, end, b"!--"):
                    escaped = True
                    position += 1  # "<!-->" ends what it begins
                elif escaped:
                    found, after = read_name(data, position + 1, end)
                    nested = nested or (found == name and after < end)
        elif escaped and byte == DASH and starts_with(data, position, end, b"-->"):
            escaped = nested = False
        position += 1
    return end
