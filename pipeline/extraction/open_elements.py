"""The stack of open elements: what a tag opens, closes and implies (WHATWG HTML, 13.2.6), at most `MAX_DEPTH` deep.

Every walk down the stack either closes what it walks over or stops after `MAX_DEPTH` steps, and none begins for
an element that is not open, so the work is linear in the page.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from filters._simd import kernel
from pipeline.extraction import layout as at
from pipeline.extraction import vocabulary as names
from pipeline.extraction.segments import Page, close_segment, end_segment

A, LI, OL, UL, P, PRE = (names.TAG[name] for name in ("a", "li", "ol", "ul", "p", "pre"))
DIV, ADDRESS, DD, DT, TABLE, TD = (names.TAG[name] for name in ("div", "address", "dd", "dt", "table", "td"))
TH, TR, LISTING, PLAINTEXT, TBODY, THEAD = (
    names.TAG[name] for name in ("th", "tr", "listing", "plaintext", "tbody", "thead")
)
TFOOT, BUTTON = (names.TAG[name] for name in ("tfoot", "button"))

N_TAGS = len(names.TAGS)
BUCKETS = 64
"""Elements of unknown names are counted together, by some bits of their hash."""


@kernel
def push(
    page: Page,
    tag: int,
    name: np.uint64,
    flags: int,
    hints: int,
    signature: np.uint64,
    hidden: bool,
    custom: bool,
    source: int,
) -> None:
    """Open an element: a place on the stack and, where it is kept, a row among the elements."""
    state, stack = page.state, page.stack
    depth = state[at.DEPTH]
    if depth >= at.MAX_DEPTH:
        state[at.OVERFLOW] += tag != A
        return
    element = stack[depth - 1, at.S_ELEMENT]
    if (
        (flags & names.RECORD or custom)
        and state[at.HIDDEN_AT] < 0
        and state[at.ELEMENTS] < state[at.ELEMENT_LIMIT]
    ):
        row = page.elements[state[at.ELEMENTS]]
        row[at.E_PARENT], row[at.E_TAG], row[at.E_HINTS] = element, tag, hints
        row[at.E_SIGNATURE], row[at.E_SOURCE] = np.int64(signature), source
        element = state[at.ELEMENTS]
        state[at.ELEMENTS] += 1
    row = stack[depth]
    row[at.S_TAG], row[at.S_NAME], row[at.S_ELEMENT], row[at.S_COUNT] = tag, np.int64(name), element, 0
    page.counts[bucket(tag, name)] += 1
    state[at.DEPTH] = depth + 1
    if hidden and state[at.HIDDEN_AT] < 0:
        state[at.HIDDEN_AT] = depth
    if flags & names.FOREIGN:
        state[at.FOREIGN_DEPTH] += 1
    if tag == LI:
        _mark_item(page, depth)
    if (tag in (PRE, LISTING, PLAINTEXT)) and state[at.HIDDEN_AT] < 0 and state[at.IN_PRE] == 0:
        end_segment(page)
        state[at.IN_PRE] = 2


@kernel
def _mark_item(page: Page, depth: int) -> None:
    """Set the marker of a list item: a bullet, or its number in an ordered list."""
    page.state[at.LIST_ITEM] = -1
    for place in range(depth - 1, max(depth - 4, 0), -1):
        tag = page.stack[place, at.S_TAG]
        if tag == OL:
            page.stack[place, at.S_COUNT] += 1
            page.state[at.LIST_ITEM] = page.stack[place, at.S_COUNT]
        if tag in (OL, UL):
            return


@kernel
def bucket(tag: int, name: np.uint64) -> Any:
    """Where open elements of a tag are counted."""
    return tag if tag > 0 else N_TAGS + np.int64(name & np.uint64(BUCKETS - 1))


@kernel
def pop_to(page: Page, place: int) -> None:
    """Close the open elements down to and with the one at `place`."""
    state, stack = page.state, page.stack
    while state[at.DEPTH] > place:
        top = state[at.DEPTH] - 1
        tag = stack[top, at.S_TAG]
        if tag < 0:  # an element whose end was found earlier
            state[at.DEPTH] = top
            continue
        flags = names.TAG_FLAGS[tag]
        is_pre = tag in (PRE, LISTING, PLAINTEXT)
        if flags & names.BLOCK and state[at.HIDDEN_AT] < 0 and not is_pre:
            close_segment(page)
        if (
            is_pre
            and state[at.IN_PRE] > 0
            and page.counts[PRE] + page.counts[LISTING] + page.counts[PLAINTEXT] == 1
        ):
            end_segment(page)
            state[at.IN_PRE] = 0
        if tag == LI:
            state[at.LIST_ITEM] = 0
        if tag == A:
            state[at.IN_LINK] = 0
        if flags & names.FOREIGN:
            state[at.FOREIGN_DEPTH] -= 1
        if flags & names.BLOCK:
            state[at.IN_BOLD] = 0
        if state[at.HIDDEN_AT] == top:
            state[at.HIDDEN_AT] = -1
        page.counts[bucket(tag, np.uint64(stack[top, at.S_NAME]))] -= 1
        state[at.DEPTH] = top


@kernel
def close_link(page: Page) -> None:
    """End an open link; blocks that began inside it stay open."""
    state, stack = page.state, page.stack
    state[at.IN_LINK] = 0
    if page.counts[A] == 0:
        return
    place = state[at.DEPTH] - 1
    while place > 0:
        state[at.WORK] += 1
        if stack[place, at.S_TAG] == A:
            if place == state[at.DEPTH] - 1 or state[at.HIDDEN_AT] == place:
                pop_to(page, place)
            else:
                stack[place, at.S_TAG] = -1
                page.counts[A] -= 1
            return
        place -= 1


@kernel
def imply_ends(page: Page, tag: int, flags: int) -> None:
    """Close what a block's start tag closes: paragraphs, headings, list items, table cells and rows."""
    state, stack = page.state, page.stack
    if flags & names.CLOSES_P and page.counts[P] > 0:
        _close_in_scope(page, P, P, BUTTON)
    if (
        flags & names.HEADING
        and names.TAG_FLAGS[max(stack[state[at.DEPTH] - 1, at.S_TAG], 0)] & names.HEADING
    ):
        pop_to(page, state[at.DEPTH] - 1)
    if tag == LI and page.counts[LI] > 0:
        _close_item(page, LI, LI)
    elif (tag in (DD, DT)) and page.counts[DD] + page.counts[DT] > 0:
        _close_item(page, DD, DT)
    elif (tag in (TD, TH)) and page.counts[TD] + page.counts[TH] > 0:
        _close_in_scope(page, TD, TH, TABLE)
    elif tag == TR and page.counts[TR] > 0:
        _close_in_scope(page, TR, TR, TABLE)
    elif (tag in (TBODY, THEAD, TFOOT)) and page.counts[TBODY] + page.counts[THEAD] + page.counts[TFOOT]:
        _close_in_scope(page, TBODY, THEAD, TABLE)
        _close_in_scope(page, TFOOT, TFOOT, TABLE)
    elif tag == BUTTON and page.counts[BUTTON] > 0:
        _close_in_scope(page, BUTTON, BUTTON, TABLE)


@kernel
def _close_item(page: Page, first: int, second: int) -> None:
    """Close the open item of the innermost list; blocks other than div, p and address are walls."""
    place = page.state[at.DEPTH] - 1
    while place > 0:
        page.state[at.WORK] += 1
        tag = page.stack[place, at.S_TAG]
        if tag in (first, second):
            pop_to(page, place)
            return
        if tag > 0 and names.TAG_FLAGS[tag] & names.BLOCK and tag != DIV and tag != P and tag != ADDRESS:
            return
        place -= 1


@kernel
def _close_in_scope(page: Page, first: int, second: int, wall: int) -> None:
    """Close the innermost open element of either tag, unless a wall or another scope lies between."""
    place = page.state[at.DEPTH] - 1
    cells = names.TAG_FLAGS[first] & names.TABLE_PART
    while place > 0:
        page.state[at.WORK] += 1
        tag = page.stack[place, at.S_TAG]
        if tag in (first, second):
            pop_to(page, place)
            return
        if tag == wall or (tag > 0 and not cells and names.TAG_FLAGS[tag] & names.BARRIER):
            return
        place -= 1


@kernel
def close_named(page: Page, tag: int, name: np.uint64, flags: int) -> None:
    """Close the innermost open element of a name, unless a wall lies between; a heading closes any heading."""
    stack, state = page.stack, page.state
    place = state[at.DEPTH] - 1
    while place > 0:
        state[at.WORK] += 1
        open_tag = stack[place, at.S_TAG]
        open_flags = names.TAG_FLAGS[max(open_tag, 0)]
        if (tag > 0 and open_tag == tag) or (
            tag == 0 and open_tag == 0 and np.uint64(stack[place, at.S_NAME]) == name
        ):
            pop_to(page, place)
            return
        if flags & names.HEADING and open_flags & names.HEADING and open_tag > 0:
            pop_to(page, place)
            return
        is_wall = open_tag > 0 and open_flags & names.BARRIER
        if is_wall and not (flags & names.TABLE_PART and open_tag != TABLE) and tag != TABLE:
            return
        if not flags & names.RECORD and open_tag > 0 and open_flags & names.BLOCK:
            return
        place -= 1
