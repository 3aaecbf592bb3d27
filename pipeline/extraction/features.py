"""Blocks -> a matrix of features, one row for each block, columns named in `columns.COLUMNS`.

    matrix = block_features(parse_pages(html))

The shallow text features of a block and its neighbours are those of Boilerpipe (Kohlschuetter et al. 2010),
the scores of containers those of Readability; class names, kinds of ancestors, totals of enclosing elements,
repeated signatures and the page as a whole come on top.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from filters._simd import kernel
from pipeline.extraction import columns as col
from pipeline.extraction import layout as at
from pipeline.extraction import vocabulary as names
from pipeline.extraction.blocks import Parsed
from pipeline.extraction.text_features import TITLE_WORDS, read_title, text_features
from pipeline.extraction.tree_features import N_SCORE, TOTALS, is_prose, subtree_totals, tree_features

Matrix = npt.NDArray[np.float32]

(TEXT_MASS, TEXT_LINK_DENSITY, TEXT_ENDING, TEXT_STOP_SHARE, TEXT_REPEAT, TEXT_IN_TITLE) = (
    col.T[name] for name in ["mass", "link_density", "ending", "stop_share", "repeat", "in_title"]
)
(
    BLOCK_TAG,
    BLOCK_LIST_DEPTH,
    BLOCK_MARKER,
    BLOCK_ROW,
    BLOCK_CELLS,
    BLOCK_PREFORMATTED,
    BLOCK_DEPTH,
    BLOCK_INLINE_HINTS,
) = (
    col.B[name]
    for name in ["tag", "list_depth", "marker", "row", "cells", "preformatted", "depth", "inline_hints"]
)
(
    CONTEXT_PROSE_3,
    CONTEXT_LINKS_3,
    CONTEXT_PROSE_8,
    CONTEXT_LINKS_8,
    CONTEXT_PROSE_BEFORE,
    CONTEXT_PROSE_BEFORE_SHARE,
    CONTEXT_POSITION,
    CONTEXT_POSITION_CHARS,
    CONTEXT_FROM_END,
    CONTEXT_INDEX,
    CONTEXT_TO_PROSE_BEFORE,
    CONTEXT_TO_PROSE_AFTER,
    CONTEXT_HEADING_LEVEL,
    CONTEXT_SINCE_HEADING,
    CONTEXT_SINCE_H1,
    CONTEXT_SINCE_TITLE,
    CONTEXT_TITLE_MATCH,
) = (
    col.C[name]
    for name in [
        "prose_3",
        "links_3",
        "prose_8",
        "links_8",
        "prose_before",
        "prose_before_share",
        "position",
        "position_chars",
        "from_end",
        "index",
        "to_prose_before",
        "to_prose_after",
        "heading_level",
        "since_heading",
        "since_h1",
        "since_title",
        "title_match",
    ]
)
(
    PAGE_BLOCKS,
    PAGE_MASS,
    PAGE_LINK_DENSITY,
    PAGE_PROSE_SHARE,
    PAGE_H1,
    PAGE_HEADINGS,
    PAGE_ROWS,
    PAGE_MAX_MASS,
    PAGE_MEAN_MASS,
) = (
    col.P[name]
    for name in [
        "blocks",
        "mass",
        "link_density",
        "prose_share",
        "h1",
        "headings",
        "rows",
        "max_mass",
        "mean_mass",
    ]
)

_H1, _H6, _BODY, _TH = names.TAG["h1"], names.TAG["h6"], names.TAG["body"], names.TAG["th"]
_FAR = 200.0
"""Distance, in blocks, that stands for "there is none"."""
_SIGNATURES = 1 << 12
_NEIGHBOURS = np.array(col.NEIGHBOURS, np.int64)
_NEIGHBOUR_COLUMNS = np.array(
    [TEXT_MASS, TEXT_LINK_DENSITY, TEXT_ENDING, BLOCK_TAG, -1, TEXT_STOP_SHARE], np.int64
)
_PAGE_HINTS = np.array([names.HINT[hint] for hint in col.PAGE_HINTS], np.int64)


def block_features(parsed: Parsed) -> Matrix:
    """The features of all blocks of a chunk, float32, shape (blocks, len(COLUMNS))."""
    blocks = len(parsed.blocks) - 1
    matrix = np.zeros((blocks, len(col.COLUMNS)), np.float32)
    fill_chunk(
        parsed.text,
        parsed.titles,
        parsed.elements,
        parsed.element_offsets,
        parsed.segments,
        parsed.blocks,
        parsed.block_offsets,
        parsed.rows,
        matrix,
    )
    return matrix


@kernel
def fill_chunk(
    text: Any,
    titles: Any,
    elements: Any,
    element_offsets: Any,
    segments: Any,
    blocks: Any,
    block_offsets: Any,
    rows: Any,
    matrix: Any,
) -> None:
    """Fill the matrix, page after page."""
    counts = np.zeros(20, np.int64)
    title = np.zeros(TITLE_WORDS, np.uint64)
    for page in range(len(block_offsets) - 1):
        begin, stop = block_offsets[page], block_offsets[page + 1]
        if begin == stop:
            continue
        title_words = read_title(text, titles[page, 0], titles[page, 1], title)
        mine = matrix[begin:stop]
        hashes = np.empty(stop - begin, np.uint64)
        owners = np.empty(stop - begin, np.int64)
        first, after = element_offsets[page], element_offsets[page + 1]
        depths = _depths(elements, first, after)
        for block in range(begin, stop):
            row, one, last = matrix[block], blocks[block], blocks[block + 1]
            hashes[block - begin] = text_features(text, segments, one, last, title, title_words, counts, row)
            owners[block - begin] = _owner(elements, segments, one, rows[block])
            _block_columns(
                elements, segments, one, last, rows[block], depths[owners[block - begin] - first], row
            )
        _repeats(hashes, mine)
        _around(elements, first, after, segments, blocks[begin : stop + 1], owners, mine)
        _signatures(elements, owners, mine)
        _context(owners, mine)
        _page(elements, first, after, mine)


@kernel
def _depths(elements: Any, first: int, after: int) -> Any:
    depths = np.zeros(after - first, np.int64)
    for element in range(first + 1, after):
        depths[element - first] = depths[elements[element, at.E_PARENT] - first] + 1
    return depths


@kernel
def _owner(elements: Any, segments: Any, first: int, is_row: bool) -> Any:
    """The element of a block; that of a table row is the row."""
    element = segments[first, at.G_ELEMENT]
    if is_row:
        while elements[element, at.E_TAG] != _TR and elements[element, at.E_PARENT] >= 0:
            element = elements[element, at.E_PARENT]
    return element


_TR = names.TAG["tr"]


@kernel
def _block_columns(
    elements: Any, segments: Any, first: int, after: int, is_row: bool, depth: int, row: Any
) -> None:
    tag = elements[segments[first, at.G_ELEMENT], at.E_TAG]
    row[BLOCK_TAG] = _TR if is_row else tag
    row[BLOCK_LIST_DEPTH] = segments[first, at.G_LIST_DEPTH]
    marker = segments[first, at.G_MARKER]
    row[BLOCK_MARKER] = 2 if marker > 0 else -marker
    row[BLOCK_ROW], row[BLOCK_CELLS] = is_row, after - first
    row[BLOCK_PREFORMATTED], row[BLOCK_DEPTH] = segments[first, at.G_PRE], depth
    row[BLOCK_INLINE_HINTS] = segments[first, at.G_HINTS] != 0


@kernel
def _repeats(hashes: Any, mine: Any) -> None:
    """How often the text of each block stands on the page."""
    order = np.argsort(hashes)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and hashes[order[stop]] == hashes[order[start]]:
            stop += 1
        for i in range(start, stop):
            mine[order[i], TEXT_REPEAT] = stop - start - 1
        start = stop


@kernel
def _around(
    elements: Any, first: int, after: int, segments: Any, bounds: Any, owners: Any, mine: Any
) -> None:
    totals = np.zeros((after - first, TOTALS), np.float64)
    subtree_totals(elements, first, after, owners, mine, totals)
    top = first
    for element in range(first, after):
        if totals[element - first, N_SCORE] > totals[top - first, N_SCORE]:
            top = element
    for block in range(len(owners)):
        hints = 0
        for segment in range(bounds[block], bounds[block + 1]):
            hints |= segments[segment, at.G_HINTS]
        tree_features(elements, first, owners[block], hints, totals, top, mine[block])


@kernel
def _signatures(elements: Any, owners: Any, mine: Any) -> None:
    """Blocks whose elements have the same tag and class: how many, and what they are like."""
    counts, masses = np.zeros(_SIGNATURES, np.float64), np.zeros(_SIGNATURES, np.float64)
    links, places = np.zeros(_SIGNATURES, np.float64), np.zeros(len(owners), np.int64)
    for block in range(len(owners)):
        element = owners[block]
        parent = max(elements[element, at.E_PARENT], 0)
        mixed = np.uint64(elements[element, at.E_SIGNATURE]) * np.uint64(31)
        mixed ^= np.uint64(elements[parent, at.E_SIGNATURE])
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        place = np.int64(mixed >> np.uint64(52))
        places[block] = place
        counts[place] += 1
        masses[place] += mine[block, TEXT_MASS]
        links[place] += mine[block, TEXT_MASS] * mine[block, TEXT_LINK_DENSITY]
    run = 0
    for block in range(len(owners)):
        place = places[block]
        row = mine[block]
        run = run + 1 if block > 0 and places[block - 1] == place else 1
        row[col.SIGNATURE_AT] = np.log1p(counts[place])
        row[col.SIGNATURE_AT + 1] = links[place] / max(masses[place], 1.0)
        row[col.SIGNATURE_AT + 2] = masses[place] / counts[place]
        row[col.SIGNATURE_AT + 3] = run


@kernel
def _context(owners: Any, mine: Any) -> None:
    """Neighbours, windows, and what came before."""
    count = len(owners)
    prose = np.zeros(count + 1, np.float64)
    links = np.zeros(count + 1, np.float64)
    mass = np.zeros(count + 1, np.float64)
    for block in range(count):
        row = mine[block]
        mass[block + 1] = mass[block] + row[TEXT_MASS]
        links[block + 1] = links[block] + row[TEXT_MASS] * row[TEXT_LINK_DENSITY]
        prose[block + 1] = prose[block] + row[TEXT_MASS] * is_prose(
            row[TEXT_MASS], row[TEXT_LINK_DENSITY], row[TEXT_STOP_SHARE]
        )
    _windows(prose, links, mass, mine)
    _distances(prose, mine)
    _headings(mine)
    for block in range(count):
        for number in range(len(_NEIGHBOURS)):
            other = block + _NEIGHBOURS[number]
            place = col.NEIGHBOUR_AT + number * len(_NEIGHBOUR_COLUMNS)
            for i in range(len(_NEIGHBOUR_COLUMNS)):
                column = _NEIGHBOUR_COLUMNS[i]
                if other < 0 or other >= count:
                    mine[block, place + i] = -1
                elif column < 0:
                    mine[block, place + i] = owners[other] == owners[block]
                else:
                    mine[block, place + i] = mine[other, column]


@kernel
def _windows(prose: Any, links: Any, mass: Any, mine: Any) -> None:
    count = len(mine)
    total, all_prose = max(mass[count], 1.0), max(prose[count], 1.0)
    for block in range(count):
        row = mine[block]
        for width, prose_at, links_at in (
            (3, CONTEXT_PROSE_3, CONTEXT_LINKS_3),
            (8, CONTEXT_PROSE_8, CONTEXT_LINKS_8),
        ):
            low, high = max(block - width, 0), min(block + width + 1, count)
            row[prose_at] = prose[high] - prose[low]
            row[links_at] = (links[high] - links[low]) / max(mass[high] - mass[low], 1.0)
        row[CONTEXT_PROSE_BEFORE] = np.log1p(prose[block])
        row[CONTEXT_PROSE_BEFORE_SHARE] = (prose[block] + prose[block + 1]) / (2 * all_prose)
        row[CONTEXT_POSITION] = block / count
        row[CONTEXT_POSITION_CHARS] = mass[block] / total
        row[CONTEXT_FROM_END], row[CONTEXT_INDEX] = count - block, block


@kernel
def _distances(prose: Any, mine: Any) -> None:
    """Blocks to the running text before and after."""
    count = len(mine)
    before = after = _FAR
    for block in range(count):
        mine[block, CONTEXT_TO_PROSE_BEFORE] = before
        before = 1.0 if prose[block + 1] > prose[block] else min(before + 1, _FAR)
    for block in range(count - 1, -1, -1):
        mine[block, CONTEXT_TO_PROSE_AFTER] = after
        after = 1.0 if prose[block + 1] > prose[block] else min(after + 1, _FAR)


@kernel
def _headings(mine: Any) -> None:
    """The last heading before each block, and how far the first h1 and the page's title are."""
    count = len(mine)
    title, best = -1, 0.5
    first_h1 = -1
    for block in range(count):
        row = mine[block]
        match = row[TEXT_IN_TITLE] * min(row[TEXT_MASS], 12.0) / 12.0
        if row[BLOCK_TAG] == _H1:
            first_h1 = block if first_h1 < 0 else first_h1
            match *= 1.5
        if match > best * 1.01 and row[TEXT_MASS] <= 40:
            title, best = block, match
    heading, level = -_FAR, 0.0
    for block in range(count):
        row = mine[block]
        tag = row[BLOCK_TAG]
        if _H1 <= tag <= _H6:
            heading, level = np.float64(block), tag - _H1 + 1
        row[CONTEXT_HEADING_LEVEL] = level
        row[CONTEXT_SINCE_HEADING] = min(block - heading, _FAR)
        row[CONTEXT_SINCE_H1] = block - first_h1 if first_h1 >= 0 else -_FAR
        row[CONTEXT_SINCE_TITLE] = block - title if title >= 0 else -_FAR
        row[CONTEXT_TITLE_MATCH] = best


@kernel
def _page(elements: Any, first: int, after: int, mine: Any) -> None:
    """What holds for the page as a whole, in every row."""
    count = len(mine)
    mass = links = prose = h1 = headings = rows = largest = 0.0
    for block in range(count):
        row = mine[block]
        mass += row[TEXT_MASS]
        links += row[TEXT_MASS] * row[TEXT_LINK_DENSITY]
        prose += row[TEXT_MASS] * is_prose(row[TEXT_MASS], row[TEXT_LINK_DENSITY], row[TEXT_STOP_SHARE])
        h1 += row[BLOCK_TAG] == _H1
        headings += _H1 <= row[BLOCK_TAG] <= _H6
        rows += row[BLOCK_ROW]
        largest = max(largest, row[TEXT_MASS])
    hints = np.zeros(len(_PAGE_HINTS), np.float64)
    for element in range(first, after):
        for i in range(len(_PAGE_HINTS)):
            hints[i] += elements[element, at.E_HINTS] >> _PAGE_HINTS[i] & 1
    for block in range(count):
        row = mine[block]
        row[PAGE_BLOCKS], row[PAGE_MASS] = np.log1p(count), np.log1p(mass)
        row[PAGE_LINK_DENSITY], row[PAGE_PROSE_SHARE] = links / max(mass, 1.0), prose / max(mass, 1.0)
        row[PAGE_H1], row[PAGE_HEADINGS], row[PAGE_ROWS] = h1, headings / count, rows / count
        row[PAGE_MAX_MASS], row[PAGE_MEAN_MASS] = largest, mass / count
        for i in range(len(_PAGE_HINTS)):
            row[col.PAGE_HINT_AT + i] = hints[i] / (after - first)
