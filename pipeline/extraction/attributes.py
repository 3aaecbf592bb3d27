"""What the attributes of a start tag say: hints of its class names, a signature, whether it is hidden."""

from __future__ import annotations

from typing import Any

import numpy as np

from filters._simd import kernel
from pipeline.extraction import vocabulary as names
from pipeline.extraction.hashing import FNV_START, add_byte, look_up
from pipeline.extraction.tokens import ATTRIBUTE, is_space, next_attribute, starts_with

DIALOG = names.TAG["dialog"]
HINT_BYTES = 400
"""How much of a class attribute is read."""
BLANK = 32


@kernel
def read_attributes(
    data: Any, position: int, end: int, tag: int, tag_start: int, name: np.uint64
) -> tuple[int, np.uint64, bool, bool, bool, int, int]:
    """What the attributes say: (hints, signature, hidden, has a target, is a custom element, how the tag ends, after)."""
    hints, signature, hidden, link, streamed = 0, name, tag == DIALOG, False, False
    while True:
        what, attribute, start, stop, position = next_attribute(data, position, end)
        if what != ATTRIBUTE:
            break
        if attribute == names.CLASS:
            signature = class_signature(signature, data, start, stop)
            hints |= hint_bits(data, start, stop)
        elif attribute == names.ID or attribute == names.ROLE or attribute == names.ITEMPROP:
            hints |= hint_bits(data, start, stop)
            streamed = streamed or (attribute == names.ID and starts_with(data, start, stop, b"S:"))
        elif attribute == names.HREF:
            link = True
        elif attribute == names.HIDDEN:
            hidden = True
        elif attribute == names.OPEN:
            hidden = hidden and tag != DIALOG
        elif attribute == names.ARIA_HIDDEN:
            hidden = hidden or starts_with(data, start, stop, b"true")
        elif attribute == names.STYLE:
            hidden = hidden or is_display_none(data, start, stop)
    custom = False
    if tag == 0:
        stop = min(tag_start + 64, end)
        place = tag_start + 1
        while place < stop and not is_space(data[place]) and data[place] != 0x3E and data[place] != 0x2D:
            place += 1
        custom = place < stop and data[place] == 0x2D
    # React streams parts of a page as <div hidden id="S:0"> and moves them into their places.
    return hints, signature, hidden and not streamed, link, custom, what, position


@kernel
def class_signature(state: np.uint64, data: Any, start: int, stop: int) -> np.uint64:
    """The hash of a class attribute, digits left out (they number the items of a list)."""
    for i in range(start, min(stop, start + HINT_BYTES)):
        if not 0x30 <= data[i] <= 0x39:
            state = add_byte(state, data[i])
    return state


@kernel
def hint_bits(data: Any, start: int, stop: int) -> int:
    """The hints of the words of an attribute: split at non-letters and at capitals inside (`postBody`)."""
    bits = 0
    whole, word = FNV_START, FNV_START
    length, prefix = 0, 0
    camel, previous_lower = False, False
    stop = min(stop, start + HINT_BYTES)
    for i in range(start, stop + 1):
        byte = data[i] if i < stop else np.uint8(BLANK)
        upper = 0x41 <= byte <= 0x5A
        lower = 0x61 <= byte <= 0x7A
        if upper or lower:
            if upper and previous_lower:
                bits |= look_up(names.HINT_KEYS, names.HINT_VALUES, word, prefix)
                word, length, prefix, camel = FNV_START, 0, 0, True
            folded = byte | 0x20
            whole, word = add_byte(whole, folded), add_byte(word, folded)
            length += 1
            if length >= names.HINT_PREFIX:
                prefix = look_up(names.HINT_KEYS, names.HINT_VALUES, word, prefix)
        elif length > 0:
            bits |= look_up(names.HINT_KEYS, names.HINT_VALUES, word, prefix)
            if camel:
                bits |= look_up(names.HINT_KEYS, names.HINT_VALUES, whole, 0)
            whole, word = FNV_START, FNV_START
            length, prefix, camel = 0, 0, False
        previous_lower = bool(lower)
    return bits


@kernel
def is_display_none(data: Any, start: int, stop: int) -> bool:
    """Whether a style attribute has `display: none` (white space and case do not matter)."""
    wanted = b"display:none"
    matched = 0
    for i in range(start, stop):
        byte = data[i]
        if is_space(byte):
            continue
        lower = byte | 0x20 if 0x41 <= byte <= 0x5A else byte
        if lower == wanted[matched]:
            matched += 1
            if matched == len(wanted):
                return True
        else:
            matched = 1 if lower == wanted[0] else 0
    return False
