"""One pass over a page: tags and text -> elements and segments of text, on a bounded stack.

There is no tree. What lies between two block boundaries becomes one segment: its white space collapsed
(kept in `<pre>`), its character references decoded. Elements that features ask for leave one row each. Hidden
things leave nothing. End tags that are missing are implied as in browsers (WHATWG HTML, 13.2.6), simplified
where only the tree would differ; mis-nested inline tags never end a block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from filters._simd import kernel
from pipeline.extraction import layout as at
from pipeline.extraction import vocabulary as names
from pipeline.extraction.attributes import read_attributes
from pipeline.extraction.hashing import look_up
from pipeline.extraction.open_elements import bucket, close_link, close_named, imply_ends, push
from pipeline.extraction.segments import (
    Page,
    add_text,
    close_segment,
    copy_collapsed,
    end_segment,
    line_break,
)
from pipeline.extraction.tokens import (
    CDATA,
    CUT_OFF,
    END_TAG,
    LESS,
    LITERAL,
    SELF_CLOSING,
    START_TAG,
    after_tag,
    find,
    open_token,
    raw_text_end,
    starts_with,
)

A, BODY, BR, HTML, P, TD = (names.TAG[name] for name in ("a", "body", "br", "html", "p", "td"))
MAIN, SCRIPT, TITLE, NOSCRIPT = (names.TAG[name] for name in ("main", "script", "title", "noscript"))
GUTTER_BIT = 1 << names.HINT["gutter"]
BARE_BYTES = 1000
"""A page that shows less text than this may be one whose text scripts would show."""
HIDDEN_SHARE = 2
"""How many times the text that a bare page shows must be hidden in it."""


@kernel
def parse_or_reveal(page: Page, start: int, end: int) -> None:
    """Parse a page; where nearly all its text is hidden until scripts run, parse it again and read that text."""
    state = page.state
    written, elements, segments = state[at.OUT], state[at.ELEMENTS], state[at.SEGMENTS]
    state[at.REVEAL] = 0
    parse_page(page, start, end)
    shown = state[at.OUT] - state[at.TITLE_END]
    if shown < BARE_BYTES and state[at.SKIPPED] > HIDDEN_SHARE * (shown + 100):
        state[at.OUT], state[at.ELEMENTS], state[at.SEGMENTS] = written, elements, segments
        state[at.REVEAL] = 1
        parse_page(page, start, end)


@kernel
def parse_page(page: Page, start: int, end: int) -> None:
    """Parse `data[start:end]`: append to text, elements and segments, whose fill is in the state."""
    _begin(page)
    data, state = page.data, page.state
    position = start
    while position < end:
        tag_start = find(data, position, end, LESS)
        if tag_start > position:
            add_text(page, position, tag_start)
        if tag_start >= end:
            break
        kind, name, position = open_token(data, tag_start, end)
        if kind == START_TAG:
            position = start_tag(page, name, tag_start, position, end)
        elif kind == END_TAG:
            position = after_tag(data, position, end)
            if position < end or (end > start and data[end - 1] == 0x3E):
                end_tag(page, name)
        elif kind == CDATA:
            if state[at.FOREIGN_DEPTH] > 0:
                stop = _cdata_end(data, position, end)
                add_text(page, position, stop)
                position = min(stop + 3, end)
            else:
                position = min(find(data, position, end, 0x3E) + 1, end)
        elif kind == LITERAL:
            add_text(page, tag_start, tag_start + 1)
    end_segment(page)


@kernel
def _begin(page: Page) -> None:
    state = page.state
    written, elements, segments = state[at.OUT], state[at.ELEMENTS], state[at.SEGMENTS]
    work, limit, reveal = state[at.WORK], state[at.ELEMENT_LIMIT], state[at.REVEAL]
    segment_limit = state[at.SEGMENT_LIMIT]
    state[:] = 0
    state[at.OUT] = state[at.SEGMENT_START] = written
    state[at.TITLE_START] = state[at.TITLE_END] = written
    state[at.ELEMENTS], state[at.SEGMENTS] = elements, segments
    state[at.WORK], state[at.ELEMENT_LIMIT], state[at.REVEAL] = work, limit, reveal
    state[at.SEGMENT_LIMIT], state[at.HIDDEN_AT] = segment_limit, -1
    page.counts[:] = 0
    # The document itself: text outside any element belongs to it.
    page.elements[elements, :] = 0
    page.elements[elements, at.E_PARENT] = -1
    state[at.ELEMENTS] = elements + 1
    page.stack[0, :] = 0
    page.stack[0, at.S_ELEMENT] = elements
    state[at.DEPTH] = 1


@kernel
def _cdata_end(data: Any, position: int, end: int) -> int:
    while position < end and not starts_with(data, position, end, b"]]>"):
        position += 1
    return position


@kernel
def start_tag(page: Page, name: np.uint64, tag_start: int, position: int, end: int) -> int:
    """Act on a start tag whose attributes begin at `position`; the position after it (and its raw text)."""
    state = page.state
    tag = look_up(names.TAG_KEYS, names.TAG_VALUES, name, 0)
    flags = names.TAG_FLAGS[tag]
    hints, signature, hidden, link, custom, closing, position = read_attributes(
        page.data, position, end, tag, tag_start, name
    )
    if closing == CUT_OFF:
        return end
    if flags & names.RAW and state[at.FOREIGN_DEPTH] == 0 and not (tag == NOSCRIPT and state[at.REVEAL]):
        return raw_text(page, tag, name, position, end)
    if tag == BR:
        line_break(page)
        return position
    if flags & names.BLOCK:
        imply_ends(page, tag, flags)
        close_segment(page)
    if flags & names.VOID or (closing == SELF_CLOSING and state[at.FOREIGN_DEPTH] > 0):
        return position
    hides = (
        (hidden and not state[at.REVEAL])
        or flags & names.HIDE != 0
        or (hints & GUTTER_BIT != 0 and tag == TD)
    )
    if tag in (HTML, BODY, MAIN):
        hides = False
    if tag == A:
        close_link(page)
    if flags & names.BOLD:
        state[at.IN_BOLD] = min(state[at.IN_BOLD] + 1, 8)
    if (flags & (names.RECORD | names.FOREIGN)) or tag == A or custom or hides or state[at.HIDDEN_AT] >= 0:
        push(page, tag, name, flags, hints, signature, hides, custom, tag_start)
    else:
        state[at.SEGMENT_HINTS] |= hints
    if tag == A and link and state[at.HIDDEN_AT] < 0:
        state[at.IN_LINK] = 1
        state[at.LINKS] += 1
    return position


@kernel
def raw_text(page: Page, tag: int, name: np.uint64, position: int, end: int) -> int:
    """Step over the content of an element that is not markup; the page's first title is kept."""
    data, state = page.data, page.state
    stop = raw_text_end(data, position, end, name, tag == SCRIPT)
    if tag == NOSCRIPT and page.counts[BODY] > 0:
        state[at.SKIPPED] += (stop - position) // 4  # about a quarter of markup is text
    if tag == TITLE and state[at.TITLE_END] == state[at.TITLE_START] and state[at.HIDDEN_AT] < 0:
        end_segment(page)
        copy_collapsed(page, position, stop)
        state[at.TITLE_START], state[at.TITLE_END] = state[at.SEGMENT_START], state[at.OUT]
        state[at.SEGMENT_START], state[at.SPACE] = state[at.OUT], 0
    if stop >= end:
        return end
    return after_tag(data, stop + 2, end)


@kernel
def end_tag(page: Page, name: np.uint64) -> None:
    """Act on an end tag: close the element it names, if one is open in this scope."""
    state, _stack = page.state, page.stack
    tag = look_up(names.TAG_KEYS, names.TAG_VALUES, name, 0)
    flags = names.TAG_FLAGS[tag]
    if tag == BR:
        line_break(page)
    elif tag == A:
        close_link(page)
    elif flags & names.BOLD and state[at.IN_BOLD] > 0:
        state[at.IN_BOLD] -= 1
    if tag in (BR, A, BODY, HTML):
        return
    if tag == P and page.counts[P] == 0 and state[at.HIDDEN_AT] < 0:
        close_segment(page)
    if state[at.OVERFLOW] > 0:
        if flags & names.RECORD or tag == 0:
            state[at.OVERFLOW] -= 1
            if flags & names.BLOCK and state[at.HIDDEN_AT] < 0:
                close_segment(page)
        return
    if page.counts[bucket(tag, name)] == 0 and not flags & names.HEADING:
        return
    close_named(page, tag, name, flags)
