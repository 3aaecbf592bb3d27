"""A chunk of pages -> the blocks of text that are kept or dropped as wholes, with the elements around them.

    parsed = parse_pages(batch["html"])
    parsed.block_text(7)

A block is a paragraph, a heading, a list item, a preformatted text, or one row of a data table; the cells of
a table that only lays out the page are blocks of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters._simd import kernel
from pipeline.extraction import layout as at
from pipeline.extraction import vocabulary as names
from pipeline.extraction.open_elements import BUCKETS
from pipeline.extraction.parse import parse_or_reveal
from pipeline.extraction.segments import Page
from pipeline.extraction.tokens import LESS

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_SURROGATE = re.compile("[\ud800-\udfff]")
_TABLE, _TR, _TD, _TH = (names.TAG[name] for name in ("table", "tr", "td", "th"))
_DATA_CELL_BYTES = 150
"""Mean bytes of a cell above which a table is taken to lay out the page."""
_DATA_CELL_LONGEST = 600
"""Bytes of one cell above which it is."""


@dataclass(frozen=True, eq=False)
class Parsed:
    """What one pass over the pages of a chunk found. Rows of page `p` are `offsets[p] : offsets[p + 1]`."""

    html: Bytes
    """Bytes of the pages, not copied."""
    page_starts: Ints
    page_ends: Ints
    text: Bytes
    """The text of all segments, each followed by one byte that separates."""
    titles: Ints
    """Bounds in `text` of the `<title>` of each page, one row each; equal where there is none."""
    elements: Ints
    """Columns `layout.E_...`."""
    element_offsets: Ints
    segments: Ints
    """Columns `layout.G_...`."""
    segment_offsets: Ints
    blocks: Ints
    """First segment of each block, then the number of all segments."""
    block_offsets: Ints
    rows: npt.NDArray[np.bool_]
    """Blocks that are rows of data tables."""
    skipped: Ints
    """Bytes of hidden text of each page."""
    work: int
    """Steps of loops over open elements, in all."""

    def __len__(self) -> int:
        """The number of pages."""
        return len(self.page_starts)

    def bounds(self) -> tuple[Ints, Ints]:
        """Where the text of each block begins and ends in `text`."""
        starts = self.segments[self.blocks[:-1], at.G_START]
        ends = self.segments[self.blocks[1:] - 1, at.G_END]
        return starts, ends

    def block_text(self, block: int) -> str:
        """The text of a block; for tests and reports."""
        first, after = self.blocks[block], self.blocks[block + 1]
        start, end = self.segments[first, at.G_START], self.segments[after - 1, at.G_END]
        return self.text[start:end].tobytes().decode("utf-8", "replace")


def html_column(html: Sequence[str] | pa.Array) -> pa.Array:
    """Pages as an Arrow string column; lone surrogates become U+FFFD, and a null is an empty page."""
    if isinstance(html, pa.ChunkedArray):
        html = html.combine_chunks()
    if isinstance(html, pa.Array):
        return html
    pages = list(html)
    try:
        return pa.array(pages, pa.large_string())
    except UnicodeEncodeError:
        return pa.array([_SURROGATE.sub("\ufffd", page) for page in pages], pa.large_string())


def parse_pages(html: Sequence[str] | pa.Array) -> Parsed:
    """Parse the pages of a chunk.

    Raises:
        TypeError: for an array that is neither `string` nor `large_string`.
    """
    data, starts, ends = documents(html_column(html))
    pages = len(starts)
    tags = count_tags(data, starts, ends)
    limits = np.minimum(tags, at.MAX_ELEMENTS) + 2
    size = int((ends - starts).sum())
    text = np.frombuffer(pa.allocate_buffer(size + size // 4 + 2 * pages + 64), np.uint8)
    elements = np.empty((int(limits.sum()), at.ELEMENT_COLUMNS), np.int64)
    segments = np.empty(
        (int(np.minimum(tags, at.MAX_SEGMENTS).sum()) + 2 * pages + 1, at.SEGMENT_COLUMNS), np.int64
    )
    state = np.zeros(at.STATE_SIZE, np.int64)
    offsets = np.zeros((3, pages + 1), np.int64)
    titles, skipped = np.zeros((pages, 2), np.int64), np.zeros(pages, np.int64)
    page = Page(
        data,
        text,
        state,
        np.zeros((at.MAX_DEPTH + 1, at.STACK_COLUMNS), np.int64),
        np.zeros(len(names.TAGS) + BUCKETS, np.int64),
        elements,
        segments,
    )
    parse_chunk(page, starts, ends, limits, offsets, titles, skipped)
    elements, segments = elements[: state[at.ELEMENTS]], segments[: state[at.SEGMENTS]]
    firsts = np.empty(len(segments) + 1, np.int64)
    rows = np.zeros(len(segments), np.bool_)
    group_rows(elements, segments, offsets[1], firsts, rows, offsets[2])
    blocks = int(offsets[2, -1])
    return Parsed(
        html=data,
        page_starts=starts,
        page_ends=ends,
        text=text[: state[at.OUT]],
        titles=titles,
        elements=elements,
        element_offsets=offsets[0],
        segments=segments,
        segment_offsets=offsets[1],
        blocks=firsts[: blocks + 1],
        block_offsets=offsets[2],
        rows=rows[:blocks],
        skipped=skipped,
        work=int(state[at.WORK]),
    )


@kernel
def count_tags(data: Bytes, starts: Ints, ends: Ints) -> Ints:
    """The number of "<" in each page: no page has more elements or segments than that, and one."""
    counts = np.zeros(len(starts), np.int64)
    for page in range(len(starts)):
        found = 0
        for i in range(starts[page], ends[page]):
            found += data[i] == LESS
        counts[page] = found
    return counts


@kernel
def parse_chunk(
    page: Page, starts: Ints, ends: Ints, limits: Ints, offsets: Ints, titles: Ints, skipped: Ints
) -> None:
    """Parse page after page; row 0 of `offsets` is filled with ends of elements, row 1 with those of segments."""
    state = page.state
    for number in range(len(starts)):
        state[at.ELEMENT_LIMIT] = state[at.ELEMENTS] + limits[number]
        state[at.SEGMENT_LIMIT] = state[at.SEGMENTS] + at.MAX_SEGMENTS
        parse_or_reveal(page, starts[number], ends[number])
        offsets[0, number + 1] = state[at.ELEMENTS]
        offsets[1, number + 1] = state[at.SEGMENTS]
        titles[number, 0], titles[number, 1] = state[at.TITLE_START], state[at.TITLE_END]
        skipped[number] = state[at.SKIPPED]


@kernel
def group_rows(
    elements: Ints,
    segments: Ints,
    segment_offsets: Ints,
    firsts: Ints,
    rows: npt.NDArray[np.bool_],
    block_offsets: Ints,
) -> None:
    """Join the cells of a data table's row to one block: fills `firsts`, `rows` and `block_offsets`."""
    row_of = np.full(len(elements), -1, np.int64)
    data_row = _data_rows(elements, segments, row_of)
    blocks = 0
    for page in range(len(segment_offsets) - 1):
        last_row = -1
        for segment in range(segment_offsets[page], segment_offsets[page + 1]):
            row = row_of[segments[segment, at.G_ELEMENT]]
            if row >= 0 and (not data_row[row] or segments[segment, at.G_PRE]):
                row = -1
            if row < 0 or row != last_row:
                firsts[blocks], rows[blocks] = segment, row >= 0
                blocks += 1
            last_row = row
        block_offsets[page + 1] = blocks
    firsts[blocks] = len(segments)


@kernel
def _data_rows(elements: Ints, segments: Ints, row_of: Ints) -> npt.NDArray[np.bool_]:
    """Which elements are rows of data tables; fills the row of each element (of the innermost table)."""
    count = len(elements)
    table_of = np.full(count, -1, np.int64)
    nested = np.zeros(count, np.bool_)
    cells, rows = np.zeros(count, np.int64), np.zeros(count, np.int64)
    size, pieces = np.zeros(count, np.int64), np.zeros(count, np.int64)
    longest = np.zeros(count, np.int64)
    for i in range(count):
        parent, tag = elements[i, at.E_PARENT], elements[i, at.E_TAG]
        if parent >= 0:
            table_of[i], row_of[i] = table_of[parent], row_of[parent]
        if tag == _TABLE:
            if table_of[i] >= 0:
                nested[table_of[i]] = True
            table_of[i], row_of[i] = i, -1
        elif table_of[i] >= 0:
            if tag == _TR:
                row_of[i] = i
                rows[table_of[i]] += 1
            cells[table_of[i]] += tag in (_TD, _TH)
    for i in range(len(segments)):
        table = table_of[segments[i, at.G_ELEMENT]]
        if table >= 0:
            length = segments[i, at.G_END] - segments[i, at.G_START]
            size[table] += length
            pieces[table] += 1
            longest[table] = max(longest[table], length)
    data_row = np.zeros(count, np.bool_)
    for i in range(count):
        table = table_of[i]
        if row_of[i] == i and table >= 0 and not nested[table]:
            data_row[i] = (
                rows[table] >= 2
                and size[table] <= _DATA_CELL_BYTES * cells[table]
                and longest[table] <= _DATA_CELL_LONGEST
                and 2 * pieces[table] <= 3 * cells[table]
                and 2 * cells[table] >= 3 * rows[table]
            )
    return data_row


def documents(column: pa.Array) -> tuple[Bytes, Ints, Ints]:
    """The data buffer of a string column and the bounds of its pages in it; a null is an empty page.

    Raises:
        TypeError: for an array that is neither `string` nor `large_string`.
    """
    if pa.types.is_string(column.type):
        width: Any = np.int32
    elif pa.types.is_large_string(column.type):
        width = np.int64
    else:
        raise TypeError(f"pages are a string or large_string column, not {column.type}")
    _, offsets, data = column.buffers()
    if not len(column):
        return np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64)
    bounds = np.frombuffer(offsets, width)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    starts, ends = bounds[:-1].copy(), bounds[1:].copy()
    if column.null_count:
        nulls = np.asarray(column.is_null())
        ends[nulls] = starts[nulls]
    return np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8), starts, ends
