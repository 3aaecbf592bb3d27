"""The classic rules on our blocks: Boilerpipe's article extractor and Readability's reader mode.

Both were written for trees and tag streams of their own; here they read the blocks, elements and features that
the model reads, so what differs from the originals is where blocks begin and end.
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
from pipeline.extraction.tree_features import BAD_HINTS, GOOD_HINTS, N_SCORE, TOTALS, subtree_totals

Kept = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float32]

_MASS, _DENSITY, _CHARS, _TITLE = (col.T[name] for name in ("mass", "link_density", "chars", "in_title"))
_SENTENCES, _COMMAS = col.T["sentences"], col.T["commas"]
_TAG, _DEPTH = col.B["tag"], col.B["depth"]
_H1, _H6, _P = (names.TAG[name] for name in ("h1", "h6", "p"))

# Boilerpipe's thresholds (NumWordsRulesClassifier, learned from L3S-GN1; Kohlschuetter et al. 2010, section 4).
_LINKS, _LINKS_BEFORE = 1 / 3, 0.555556
_WORDS, _WORDS_AFTER, _WORDS_BEFORE = 16, 15, 4
_WORDS_LINKED, _WORDS_AFTER_LINKED = 40, 17
_END_AFTER_WORDS = 60
"""The end of an article is looked for after this many words of content (IgnoreBlocksAfterContentFilter)."""
_ENDING_WORDS = 15
_FUSE = 1
"""Blocks between two blocks of content that are then one (BlockProximityFusion)."""
_LARGE_RUN = 100
"""Words of a run that joins the largest one at the same level (LargeBlockSameTagLevelToContentFilter)."""
_TITLE_WORDS = 0.8
"""Share of a heading's words in the page's title that makes it the title (DocumentTitleMatchClassifier)."""

# Readability's thresholds.
_SIBLING_SCORE = 10.0
_SIBLING_SHARE = 0.2
_PARAGRAPH_CHARS = 80
_PARAGRAPH_LINKS = 0.25
_CLEAN_LINKS = 0.5


def boilerpipe(parsed: Parsed, matrix: Matrix) -> Kept:
    """Blocks that Boilerpipe's rules for articles keep."""
    keep = np.zeros(len(matrix), np.bool_)
    boilerpipe_chunk(parsed.elements, parsed.segments, parsed.blocks, parsed.block_offsets, matrix, keep)
    return keep


def reader(parsed: Parsed, matrix: Matrix) -> Kept:
    """Blocks inside the element that Readability scores highest, and inside its siblings that join it."""
    keep = np.zeros(len(matrix), np.bool_)
    reader_chunk(
        parsed.elements,
        parsed.element_offsets,
        parsed.segments,
        parsed.blocks,
        parsed.block_offsets,
        matrix,
        keep,
    )
    return keep


@kernel
def boilerpipe_chunk(
    elements: Any, segments: Any, blocks: Any, block_offsets: Any, matrix: Any, keep: Any
) -> None:
    """Classify, cut after the article's end, keep the largest run of content, and the title before it."""
    for page in range(len(block_offsets) - 1):
        begin, stop = block_offsets[page], block_offsets[page + 1]
        rows, mine = matrix[begin:stop], keep[begin:stop]
        for block in range(stop - begin):
            before = rows[block - 1] if block > 0 else rows[block]
            after = rows[block + 1] if begin + block + 1 < stop else rows[block]
            first, last = block == 0, begin + block + 1 == stop
            mine[block] = num_words_rule(
                rows[block][_MASS],
                rows[block][_DENSITY],
                0.0 if first else before[_MASS],
                0.0 if first else before[_DENSITY],
                0.0 if last else after[_MASS],
            )
        _cut_after_end(elements, segments, blocks, begin, rows, mine)
        _keep_largest(rows, mine)


@kernel
def num_words_rule(
    words: float, links: float, words_before: float, links_before: float, words_after: float
) -> bool:
    """Boilerpipe's decision tree on the words and link densities of a block and its neighbours."""
    if links > _LINKS:
        return False
    if links_before <= _LINKS_BEFORE:
        return words > _WORDS or words_after > _WORDS_AFTER or words_before > _WORDS_BEFORE
    return words > _WORDS_LINKED or words_after > _WORDS_AFTER_LINKED


@kernel
def _cut_after_end(elements: Any, segments: Any, blocks: Any, begin: int, rows: Any, mine: Any) -> None:
    """Drop what follows a short block in an element for comments, once the article has been read."""
    words, ended = 0.0, False
    for block in range(len(mine)):
        element = segments[blocks[begin + block], at.G_ELEMENT]
        if not ended and words >= _END_AFTER_WORDS and rows[block][_MASS] < _ENDING_WORDS:
            above = max(elements[element, at.E_PARENT], 0)
            ended = (elements[element, at.E_HINTS] | elements[above, at.E_HINTS]) & _COMMENT != 0
        if ended:
            mine[block] = False
        elif mine[block]:
            words += rows[block][_MASS]


_COMMENT = 1 << names.HINT["comment"]


@kernel
def _keep_largest(rows: Any, mine: Any) -> None:
    """Keep the run of content with the most words, long runs at its level, and a heading of the title's words."""
    count = len(mine)
    run_of, words = np.full(count, -1, np.int64), np.zeros(count, np.float64)
    last = -_FUSE - 1
    for block in range(count):
        if mine[block]:
            run_of[block] = run_of[last] if last >= 0 and block - last <= _FUSE + 1 else block
            words[run_of[block]] += rows[block][_MASS]
            last = block
    if last < 0:
        return
    best = np.argmax(words)
    level, title = rows[best][_DEPTH], -1
    for block in range(best):
        if rows[block][_TITLE] >= _TITLE_WORDS and _H1 <= rows[block][_TAG] <= _H6:
            title = block
    for block in range(count):
        run = run_of[block]
        joins = run >= 0 and words[run] >= _LARGE_RUN and rows[run][_DEPTH] == level
        mine[block] = block == title or (run >= 0 and (run == best or joins))


@kernel
def reader_chunk(
    elements: Any,
    element_offsets: Any,
    segments: Any,
    blocks: Any,
    block_offsets: Any,
    matrix: Any,
    keep: Any,
) -> None:
    """Score elements, choose the top one and its siblings, and keep their blocks but for cleaned parts."""
    for page in range(len(block_offsets) - 1):
        begin, stop = block_offsets[page], block_offsets[page + 1]
        if begin == stop:
            continue
        first, after = element_offsets[page], element_offsets[page + 1]
        owners = np.empty(stop - begin, np.int64)
        for block in range(begin, stop):
            owners[block - begin] = segments[blocks[block], at.G_ELEMENT]
        totals = np.zeros((after - first, TOTALS), np.float64)
        rows = matrix[begin:stop]
        subtree_totals(elements, first, after, owners, rows, totals)
        chosen = _chosen(elements, first, after, totals)
        for block in range(stop - begin):
            keep[begin + block] = chosen[owners[block] - first] and _is_clean(rows[block])
        _paragraphs_beside(elements, first, owners, rows, chosen, keep[begin:stop])


@kernel
def _chosen(elements: Any, first: int, after: int, totals: Any) -> Any:
    """Elements inside the top candidate or a sibling that joins it, and not in a part that is cleaned away."""
    top = first
    for element in range(first, after):
        if totals[element - first, N_SCORE] > totals[top - first, N_SCORE]:
            top = element
    score = totals[top - first, N_SCORE]
    least = max(_SIBLING_SCORE, score * _SIBLING_SHARE)
    parent, signature = elements[top, at.E_PARENT], elements[top, at.E_SIGNATURE]
    chosen = np.zeros(after - first, np.bool_)
    if score <= 0:
        return chosen
    for element in range(first, after):
        place = element - first
        above = elements[element, at.E_PARENT]
        if element == top:
            chosen[place] = True
        elif above >= first and above == parent:
            bonus = score * _SIBLING_SHARE if elements[element, at.E_SIGNATURE] == signature else 0.0
            chosen[place] = totals[place, N_SCORE] + bonus >= least and totals[place, N_SCORE] > 0
        elif above >= first and chosen[above - first]:
            hints = elements[element, at.E_HINTS]
            chosen[place] = not (hints & BAD_HINTS and not hints & GOOD_HINTS)
    return chosen


@kernel
def _is_clean(row: Any) -> Any:
    """Readability's conditional cleaning, for one block: lists of links and empty furniture go."""
    return row[_DENSITY] < _CLEAN_LINKS or row[_MASS] * (1 - row[_DENSITY]) > _PARAGRAPH_CHARS


@kernel
def _paragraphs_beside(elements: Any, first: int, owners: Any, rows: Any, chosen: Any, keep: Any) -> None:
    """Paragraphs that are siblings of the top candidate join when they read as text."""
    parent = -1
    for element in range(len(chosen)):
        if chosen[element]:
            parent = elements[element + first, at.E_PARENT]
            break
    if parent < first:
        return
    for block in range(len(owners)):
        if (
            keep[block]
            or elements[owners[block], at.E_TAG] != _P
            or elements[owners[block], at.E_PARENT] != parent
        ):
            continue
        chars, density = np.expm1(rows[block][_CHARS]), rows[block][_DENSITY]
        long = chars > _PARAGRAPH_CHARS and density < _PARAGRAPH_LINKS
        keep[block] = long or (chars > 0 and density == 0 and rows[block][_SENTENCES] > 0)
