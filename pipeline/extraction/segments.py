"""The text of a page as it is read: decoded, white space collapsed, cut into segments at block boundaries."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import int64

from filters._simd import kernel
from pipeline.extraction import layout as at
from pipeline.extraction import vocabulary as names
from pipeline.extraction.entities import read_reference, write_character
from pipeline.extraction.tokens import is_space, starts_with

A, OL, UL, MENU, DIR = (names.TAG[name] for name in ("a", "ol", "ul", "menu", "dir"))
NEWLINE, BLANK, AMPERSAND, NO_BREAK_SPACE, BEYOND_ASCII = 10, 32, 38, 0xA0, 0x100


class Page(NamedTuple):
    """What kernels of one parse share; the columns of the tables are in `layout`."""

    data: Any
    """Bytes of the pages."""
    text: Any
    """Bytes of the text that is written."""
    state: Any
    stack: Any
    counts: Any
    """Open elements by tag, then of unknown tags by bucket."""
    elements: Any
    segments: Any


@kernel
def add_text(page: Page, position: int, end: int) -> None:
    """Append text of the page to the segment: references decoded, white space collapsed outside `<pre>`."""
    state = page.state
    if state[at.HIDDEN_AT] >= 0:
        state[at.SKIPPED] += end - position
        return
    before = state[at.OUT]
    if state[at.IN_PRE] > 0:
        _copy_preformatted(page, position, end)
    else:
        copy_collapsed(page, position, end)
    written = state[at.OUT] - before
    if written == 0:
        return
    if before == state[at.SEGMENT_START]:
        state[at.ELEMENT] = page.stack[state[at.DEPTH] - 1, at.S_ELEMENT]
        state[at.MARKER], state[at.LIST_ITEM] = state[at.LIST_ITEM], 0
    if state[at.IN_LINK] > 0:
        state[at.LINK_BYTES] += written
    if state[at.IN_BOLD] > 0:
        state[at.BOLD_BYTES] += written


@kernel
def copy_collapsed(page: Page, position: int, end: int) -> None:
    """Append text with its references decoded; any white space between words becomes one space."""
    data, text, state = page.data, page.text, page.state
    out, start, space = state[at.OUT], state[at.SEGMENT_START], state[at.SPACE]
    while position < end:
        byte = data[position]
        code, second, after = int64(byte), 0, position + 1
        if byte == AMPERSAND:
            code, second, after = read_reference(data, position, end)
        elif byte == 0xC2 and after < end and data[after] == 0xA0:
            code, after = NO_BREAK_SPACE, position + 2
        elif byte >= 0x80:
            code = BEYOND_ASCII
        if code <= BLANK or code == NO_BREAK_SPACE:
            # Control characters are white space or nothing.
            space = 1 if code == NO_BREAK_SPACE or is_space(code) else space
        else:
            if space and out > start and text[out - 1] > BLANK:
                text[out] = BLANK
                out += 1
            space = 0
            if byte == AMPERSAND:
                out = write_character(text, out, code)
                if second:
                    out = write_character(text, out, second)
            else:
                text[out] = byte
                out += 1
        position = after
    state[at.OUT], state[at.SPACE] = out, space


@kernel
def _copy_preformatted(page: Page, position: int, end: int) -> None:
    data, text, state = page.data, page.text, page.state
    out = state[at.OUT]
    if state[at.IN_PRE] == 2:  # the newline right after <pre> is none
        state[at.IN_PRE] = 1
        if starts_with(data, position, end, b"\r\n"):
            position += 2
        elif data[position] == NEWLINE or data[position] == 13:
            position += 1
    while position < end:
        byte = data[position]
        code, second, after = int64(byte), 0, position + 1
        if byte == AMPERSAND:
            code, second, after = read_reference(data, position, end)
        elif byte == 13:
            byte = np.uint8(NEWLINE)
            if after < end and data[after] == NEWLINE:
                after += 1
        if byte == AMPERSAND:
            if code > 0:
                out = write_character(text, out, code)
                if second:
                    out = write_character(text, out, second)
        elif byte != 0:
            text[out] = byte
            out += 1
        position = after
    state[at.OUT] = out


@kernel
def close_segment(page: Page) -> None:
    """End the segment at a block boundary; one without visible text leaves nothing."""
    text, state = page.text, page.state
    start, out = state[at.SEGMENT_START], state[at.OUT]
    if state[at.IN_PRE] > 0 and out > start:
        if text[out - 1] != NEWLINE:  # lines of code in elements of their own
            text[out] = NEWLINE
            state[at.OUT] = state[at.LINE_END] = out + 1
        return
    end_segment(page)


@kernel
def end_segment(page: Page) -> None:
    """Write the row of the segment, if it has visible text, and begin the next one."""
    text, state = page.text, page.state
    start, out = state[at.SEGMENT_START], state[at.OUT]
    visible = out
    while visible > start and text[visible - 1] <= BLANK:
        visible -= 1
    if state[at.IN_PRE] == 0 or visible == start:
        out = visible
    elif out == state[at.LINE_END]:
        out -= 1
    if out > start and state[at.SEGMENTS] >= state[at.SEGMENT_LIMIT]:
        page.segments[state[at.SEGMENTS] - 1, at.G_END] = out
        text[out] = NEWLINE
        out += 1
    elif out > start:
        row = page.segments[state[at.SEGMENTS]]
        row[at.G_START], row[at.G_END], row[at.G_ELEMENT] = start, out, state[at.ELEMENT]
        row[at.G_LINK_BYTES] = min(state[at.LINK_BYTES], out - start)
        row[at.G_BOLD_BYTES] = min(state[at.BOLD_BYTES], out - start)
        row[at.G_LINKS], row[at.G_BREAKS] = state[at.LINKS], state[at.BREAKS]
        row[at.G_HINTS], row[at.G_MARKER] = state[at.SEGMENT_HINTS], state[at.MARKER]
        row[at.G_PRE] = state[at.IN_PRE] > 0
        row[at.G_LIST_DEPTH] = page.counts[UL] + page.counts[OL] + page.counts[MENU] + page.counts[DIR]
        state[at.SEGMENTS] += 1
        text[out] = NEWLINE
        out += 1
    elif state[at.MARKER] != 0:
        state[at.LIST_ITEM] = state[at.MARKER]
    state[at.OUT] = state[at.SEGMENT_START] = out
    state[at.SPACE] = state[at.LINK_BYTES] = state[at.BOLD_BYTES] = state[at.MARKER] = 0
    state[at.LINKS] = 1 if state[at.IN_LINK] > 0 else 0
    state[at.BREAKS] = state[at.SEGMENT_HINTS] = 0


@kernel
def line_break(page: Page) -> None:
    """A `<br>`: a new line of the segment; the second of two in a row ends it."""
    text, state = page.text, page.state
    if state[at.HIDDEN_AT] >= 0:
        return
    out = state[at.OUT]
    if out == state[at.SEGMENT_START]:
        return
    if state[at.IN_PRE] > 0:
        text[out] = NEWLINE
        state[at.OUT] = out + 1
    elif text[out - 1] == NEWLINE:
        end_segment(page)
    else:
        text[out] = NEWLINE
        state[at.OUT], state[at.SPACE] = out + 1, 0
        state[at.BREAKS] += 1
