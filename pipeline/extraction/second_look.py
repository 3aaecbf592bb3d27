"""Features of the second look: what the first model thinks of the blocks around each block.

The first model judges a block by what can be counted. The second sees the first one's probabilities along the
page and inside each enclosing element (auto-context: Tu 2008; stacked sequential learning: Cohen and Carvalho
2005), so that one paragraph in a container speaks for the next.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from filters._simd import kernel
from pipeline.extraction import columns as col
from pipeline.extraction import layout as at
from pipeline.extraction import vocabulary as names
from pipeline.extraction.blocks import Parsed
from pipeline.extraction.cut import best_cut

Floats = npt.NDArray[np.float32]

OFFSETS: Final = (-4, -3, -2, -1, 1, 2, 3, 4)
LEVELS: Final = 5
COLUMNS: Final = (
    "look.own",
    "look.above_cut",
    "look.cut",
    "look.expected_f1",
    "look.kept_share",
    *(f"look.neighbour{offset:+d}" for offset in OFFSETS),
    "look.mean_3",
    "look.mean_10",
    "look.mean_before",
    "look.mean_after",
    "look.since_first_kept",
    "look.to_last_kept",
    "look.run_of_kept",
    "look.signature_mean",
    "look.element_mean",
    *(f"look.level{level}_mean" for level in range(LEVELS)),
    *(f"look.level{level}_share" for level in range(LEVELS)),
)
_OFFSETS = np.array(OFFSETS, np.int64)
_MASS_AT = col.T["mass"]
_TR = names.TAG["tr"]
_CLIMB = 64
_SIGNATURES = 1 << 12


def look_again(parsed: Parsed, matrix: Floats, probabilities: Floats) -> Floats:
    """The features of the second look, float32, shape (blocks, len(COLUMNS))."""
    out = np.zeros((len(probabilities), len(COLUMNS)), np.float32)
    look_at_chunk(
        parsed.elements,
        parsed.element_offsets,
        parsed.segments,
        parsed.blocks,
        parsed.block_offsets,
        np.ascontiguousarray(matrix[:, _MASS_AT]),
        probabilities,
        out,
    )
    return out


@kernel
def look_at_chunk(
    elements: Any,
    element_offsets: Any,
    segments: Any,
    blocks: Any,
    block_offsets: Any,
    masses: Any,
    probabilities: Any,
    out: Any,
) -> None:
    """Fill the columns, page after page."""
    for page in range(len(block_offsets) - 1):
        begin, stop = block_offsets[page], block_offsets[page + 1]
        if begin == stop:
            continue
        weights = masses[begin:stop] + np.float32(0.3)
        mine, here = out[begin:stop], probabilities[begin:stop]
        owners = np.empty(stop - begin, np.int64)
        for block in range(begin, stop):
            owners[block - begin] = segments[blocks[block], at.G_ELEMENT]
        place = _along(here, weights, mine)
        _inside(
            elements, element_offsets[page], element_offsets[page + 1], owners, here, weights, mine, place
        )


@kernel
def _along(here: Any, weights: Any, mine: Any) -> int:
    """Columns about the page's blocks in their order; the place of the next column."""
    count = len(here)
    cut, expected = best_cut(here, weights)
    kept = here >= cut
    sums, total = np.zeros(count + 1, np.float64), np.zeros(count + 1, np.float64)
    first, last = count, -1
    kept_weight = 0.0
    for block in range(count):
        sums[block + 1] = sums[block] + here[block] * weights[block]
        total[block + 1] = total[block] + weights[block]
        if kept[block]:
            first, last = min(first, block), block
            kept_weight += weights[block]
    run = 0
    place = 0
    for block in range(count):
        row = mine[block]
        run = run + 1 if kept[block] else 0
        row[0], row[1], row[2], row[3] = here[block], here[block] - cut, cut, expected
        row[4] = kept_weight / total[count]
        place = 5
        for i in range(len(_OFFSETS)):
            other = block + _OFFSETS[i]
            row[place] = here[other] if 0 <= other < count else -1
            place += 1
        for width in (3, 10):
            low, high = max(block - width, 0), min(block + width + 1, count)
            row[place] = (sums[high] - sums[low]) / (total[high] - total[low])
            place += 1
        row[place] = sums[block] / max(total[block], 1.0)
        row[place + 1] = (sums[count] - sums[block + 1]) / max(total[count] - total[block + 1], 1.0)
        row[place + 2], row[place + 3], row[place + 4] = block - first, last - block, run
        place += 5
    return place


@kernel
def _inside(
    elements: Any, first: int, after: int, owners: Any, here: Any, weights: Any, mine: Any, place: int
) -> None:
    """Columns about elements: means over the same signature, the same element and enclosing ones."""
    sums, total = np.zeros(after - first, np.float64), np.zeros(after - first, np.float64)
    counts = np.zeros(after - first, np.int64)
    by_signature = np.zeros((_SIGNATURES, 2), np.float64)
    for block in range(len(owners)):
        element = owners[block] - first
        sums[element] += here[block] * weights[block]
        total[element] += weights[block]
        counts[element] += 1
        group = _group(elements, owners[block])
        by_signature[group, 0] += here[block] * weights[block]
        by_signature[group, 1] += weights[block]
    own_sums, own_total = sums.copy(), total.copy()
    for element in range(after - 1, first, -1):
        parent = elements[element, at.E_PARENT] - first
        sums[parent] += sums[element - first]
        total[parent] += total[element - first]
        counts[parent] += counts[element - first]
    for block in range(len(owners)):
        row, element = mine[block], owners[block] - first
        group = _group(elements, owners[block])
        row[place] = by_signature[group, 0] / by_signature[group, 1]
        row[place + 1] = own_sums[element] / own_total[element]
        level, before, steps = 0, 0, 0
        while element >= 0 and level < LEVELS and steps < _CLIMB:
            if counts[element] > before:
                row[place + 2 + level] = sums[element] / total[element]
                row[place + 2 + LEVELS + level] = sums[element] / max(sums[0], 1e-6)
                before = counts[element]
                level += 1
            element = elements[element + first, at.E_PARENT] - first
            steps += 1
        while level < LEVELS:
            row[place + 2 + level] = sums[0] / total[0]
            row[place + 2 + LEVELS + level] = 1
            level += 1


@kernel
def _group(elements: Any, element: int) -> Any:
    """A bucket for the tag and class of an element and of its parent."""
    parent = max(elements[element, at.E_PARENT], 0)
    mixed = np.uint64(elements[element, at.E_SIGNATURE]) * np.uint64(31)
    mixed ^= np.uint64(elements[parent, at.E_SIGNATURE])
    return np.int64((mixed * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(52))
