"""Kept blocks -> the text of each page, on the bytes of the parse.

A block is a line: paragraphs and headings as they stand (a `<br>` is a line break), list items with "- " or
their number, rows of data tables with " | " between the cells, preformatted text byte for byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters._simd import kernel
from pipeline.extraction import layout as at
from pipeline.extraction.blocks import Parsed

_NEWLINE, _BLANK, _BAR, _DASH, _DOT, _ZERO = (ord(character) for character in "\n |-.0")
_MARKER_BYTES = 24
"""More than the longest list marker, with its line break."""
_LONGEST_INDENT = 8


def render_text(parsed: Parsed, keep: npt.NDArray[np.bool_]) -> pa.Array:
    """The text of each page from the blocks that are kept, a `large_string` array."""
    kept = np.repeat(keep, np.diff(parsed.blocks))
    lengths = (parsed.segments[:, at.G_END] - parsed.segments[:, at.G_START])[kept]
    size = int(lengths.sum()) + (_MARKER_BYTES + 2 * _LONGEST_INDENT) * len(lengths)
    out = np.empty(size, np.uint8)
    offsets = np.zeros(len(parsed) + 1, np.int64)
    write_pages(
        parsed.text, parsed.segments, parsed.blocks, parsed.block_offsets, parsed.rows, keep, out, offsets
    )
    written = pa.py_buffer(out[: offsets[-1]].tobytes())
    return pa.Array.from_buffers(pa.large_string(), len(parsed), [None, pa.py_buffer(offsets), written])


@kernel
def write_pages(
    text: Any, segments: Any, blocks: Any, block_offsets: Any, rows: Any, keep: Any, out: Any, offsets: Any
) -> None:
    """Write the kept blocks of each page, lines ended by line breaks except the last."""
    place = 0
    for page in range(len(block_offsets) - 1):
        start = place
        for block in range(block_offsets[page], block_offsets[page + 1]):
            if not keep[block]:
                continue
            if place > start:
                out[place] = _NEWLINE
                place += 1
            place = _write_marker(segments[blocks[block]], out, place)
            for segment in range(blocks[block], blocks[block + 1]):
                if segment > blocks[block]:
                    out[place], out[place + 1], out[place + 2] = _BLANK, _BAR, _BLANK
                    place += 3
                place = _copy(text, segments[segment], rows[block], out, place)
        offsets[page + 1] = place


@kernel
def _copy(text: Any, segment: Any, one_line: bool, out: Any, place: int) -> int:
    for i in range(segment[at.G_START], segment[at.G_END]):
        byte = text[i]
        out[place] = _BLANK if one_line and byte == _NEWLINE else byte
        place += 1
    return place


@kernel
def _write_marker(segment: Any, out: Any, place: int) -> int:
    """Indent and marker of a list item."""
    marker = segment[at.G_MARKER]
    if marker == 0 or segment[at.G_PRE]:
        return place
    for _ in range(min(2 * (segment[at.G_LIST_DEPTH] - 1), _LONGEST_INDENT)):
        out[place] = _BLANK
        place += 1
    if marker < 0:
        out[place] = _DASH
        out[place + 1] = _BLANK
        return place + 2
    digits, rest = 1, marker
    while rest >= 10:
        digits, rest = digits + 1, rest // 10
    for i in range(digits - 1, -1, -1):
        out[place + i] = _ZERO + marker % 10
        marker //= 10
    out[place + digits] = _DOT
    out[place + digits + 1] = _BLANK
    return place + digits + 2
