"""What the elements around a block say: names of classes, kinds of ancestors, what else their subtrees hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from filters._simd import kernel
from pipeline.extraction import columns as col
from pipeline.extraction import layout as at
from pipeline.extraction import vocabulary as names

(TEXT_MASS, TEXT_LINK_DENSITY, TEXT_STOP_SHARE, TEXT_CHARS, TEXT_COMMAS) = (
    col.T[name] for name in ["mass", "link_density", "stop_share", "chars", "commas"]
)

# Totals of an element's subtree.
N_MASS, N_LINK_MASS, N_BLOCKS, N_PROSE, N_SCORE = range(5)
TOTALS = 5

PROSE_MASS = 12
"""Words of the shortest block that counts as running text."""
PROSE_LINKS = 0.4
PROSE_STOPS = 0.08
_CLIMB = 64
"""How many ancestors of a block are looked at."""

_PATH_OF_TAG = np.full(len(names.TAGS), -1, np.int64)
for _place, _name in enumerate(col.PATH_TAGS):
    _PATH_OF_TAG[names.TAG[_name]] = _place


def _bits(*hints: str) -> int:
    return sum(1 << names.HINT[hint] for hint in hints)


# Readability's class weights (Arc90, Mozilla): +25 and -25.
GOOD_HINTS = _bits("article", "body", "content", "main", "post", "text", "thread")
BAD_HINTS = _bits(
    "comment", "footer", "nav", "breadcrumb", "sidebar", "widget", "share", "related", "promo", "newsletter", "cookie",
    "popup", "meta", "tags", "form", "search", "pagination", "legal", "tools", "skip",
)  # fmt: skip
_TAG_SCORES = np.zeros(len(names.TAGS), np.float64)
for _names, _score in (
    ("div article section main", 5),
    ("pre td blockquote", 3),
    ("address ol ul dl dd dt li form", -3),
    ("h1 h2 h3 h4 h5 h6 th", -5),
):
    for _name in _names.split():
        _TAG_SCORES[names.TAG[_name]] = _score


@kernel
def class_weight(hints: int) -> float:
    """Readability's weight of an element's class and id."""
    return 25.0 * ((hints & GOOD_HINTS) != 0) - 25.0 * ((hints & BAD_HINTS) != 0)


@kernel
def is_prose(mass: float, link_density: float, stop_share: float) -> bool:
    """Whether a block reads as running text."""
    return mass >= PROSE_MASS and link_density < PROSE_LINKS and stop_share >= PROSE_STOPS


@kernel
def subtree_totals(
    elements: Any, first: int, after: int, block_elements: Any, matrix: Any, totals: Any
) -> None:
    """Fill the totals of the page's elements `first:after` from its blocks' rows of the matrix."""
    totals[:, :] = 0
    for block in range(len(block_elements)):
        row, mine = matrix[block], totals[block_elements[block] - first]
        mass, density = row[TEXT_MASS], row[TEXT_LINK_DENSITY]
        mine[N_MASS] += mass
        mine[N_LINK_MASS] += mass * density
        mine[N_BLOCKS] += 1
        mine[N_PROSE] += mass * is_prose(mass, density, row[TEXT_STOP_SHARE])
        _score_block(elements, block_elements[block], first, row, totals)
    for element in range(after - 1, first, -1):
        parent = elements[element, at.E_PARENT] - first
        for total in range(N_SCORE):
            totals[parent, total] += totals[element - first, total]
    for element in range(first, after):
        mine = totals[element - first]
        if mine[N_SCORE] != 0:
            mine[N_SCORE] += _TAG_SCORES[elements[element, at.E_TAG]] + class_weight(
                elements[element, at.E_HINTS]
            )
            mine[N_SCORE] *= 1 - mine[N_LINK_MASS] / max(mine[N_MASS], 1)


@kernel
def _score_block(elements: Any, element: int, first: int, row: Any, totals: Any) -> None:
    """Readability: a paragraph of 25 characters or more scores for its parent, half for its grandparent, ..."""
    chars = np.expm1(row[TEXT_CHARS])
    if chars < 25:
        return
    score = 1 + row[TEXT_COMMAS] + min(chars // 100, 3)
    # The element of a paragraph is the <p>; text right inside a <div> scores for the div.
    parent = element
    if elements[element, at.E_TAG] == _P or elements[element, at.E_TAG] == _PRE:
        parent = elements[element, at.E_PARENT]
    for level in range(5):
        if parent < first:
            return
        divider = 1.0 if level == 0 else (2.0 if level == 1 else 3.0 * level)
        totals[parent - first, N_SCORE] += score / divider
        parent = elements[parent, at.E_PARENT]


_P, _PRE = names.TAG["p"], names.TAG["pre"]


@kernel
def tree_features(
    elements: Any, first: int, element: int, inline_hints: int, totals: Any, top: int, row: Any
) -> None:
    """Fill the HINT, PATH, LEVEL and SCORE columns of a block of `element`; `top` has the page's best score."""
    seen = inline_hints
    _mark_hints(inline_hints, 1.0, row)
    level, place, to_top = 0, element, -1
    best, last_blocks = 0.0, -1.0
    steps = 0
    page_mass = max(totals[0, N_MASS], 1.0)
    while place >= first and steps < _CLIMB:
        near = 1.0 / (1 + steps)
        hints = elements[place, at.E_HINTS]
        new = hints & ~seen
        if new:
            _mark_hints(new, near, row)
            seen |= new
        path = _PATH_OF_TAG[elements[place, at.E_TAG]]
        if path >= 0 and row[col.PATH_AT + path] == 0:
            row[col.PATH_AT + path] = near
        mine = totals[place - first]
        if level < col.LEVELS and mine[N_BLOCKS] > last_blocks:
            _fill_level(mine, last_blocks, page_mass, row, col.LEVEL_AT + level * len(col.LEVEL))
            level += 1
            last_blocks = mine[N_BLOCKS]
        best = max(best, mine[N_SCORE])
        if place == top and to_top < 0:
            to_top = steps
        place = elements[place, at.E_PARENT]
        steps += 1
    top_score = max(totals[top - first, N_SCORE], 1.0)
    score = col.SCORE_AT
    row[score], row[score + 1], row[score + 2] = best / top_score, to_top >= 0, to_top
    row[score + 3] = totals[top - first, N_MASS] / page_mass
    row[score + 4] = totals[element - first, N_SCORE] / top_score


@kernel
def _mark_hints(hints: int, near: float, row: Any) -> None:
    place = 0
    while hints:
        if hints & 1:
            row[col.HINT_AT + place] = near
        hints >>= 1
        place += 1


@kernel
def _fill_level(mine: Any, before: float, page_mass: float, row: Any, place: int) -> None:
    mass = max(mine[N_MASS], 1.0)
    row[place] = np.log1p(mine[N_MASS])
    row[place + 1] = mine[N_LINK_MASS] / mass
    row[place + 2] = np.log1p(mine[N_BLOCKS])
    row[place + 3] = mine[N_MASS] / page_mass
    row[place + 4] = mine[N_MASS] / max(mine[N_BLOCKS], 1.0)
    row[place + 5] = mine[N_PROSE] / mass
    row[place + 6] = mine[N_BLOCKS] / max(before, 1.0)
