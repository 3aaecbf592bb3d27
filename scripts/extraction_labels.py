"""Labels for training body extraction: how much of each block is in a page's gold text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"\w+")
_SHINGLE = 4
_LARGEST_GAP = (3000, 600)
"""Words of page and gold text between two matches that are aligned word by word."""


def words(text: str) -> list[str]:
    """Runs of word characters, as the shingle score counts them."""
    return _WORD.findall(text)


def label_blocks(texts: Sequence[str], gold: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """For each block of a page, the share of its words that are in the gold text, and its number of words."""
    blocks = [words(text) for text in texts]
    found = matched([word for block in blocks for word in block], words(gold))
    shares, counts = np.zeros(len(blocks)), np.array([len(block) for block in blocks], np.int64)
    start = 0
    for number, block in enumerate(blocks):
        if block:
            shares[number] = found[start : start + len(block)].mean()
        start += len(block)
    return shares, counts


def label_by_snippets(
    texts: Sequence[str], wanted: Sequence[str], unwanted: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The same from snippets that must or must not be in the text; NaN for blocks that none speaks for."""
    shares = np.full(len(texts), np.nan)
    wanted, unwanted = [" ".join(s.split()) for s in wanted], [" ".join(s.split()) for s in unwanted]
    for number, text in enumerate(texts):
        squeezed = " ".join(text.split())
        if any(snippet in squeezed for snippet in wanted):
            shares[number] = 1.0
        elif any(snippet in squeezed for snippet in unwanted):
            shares[number] = 0.0
    return shares, np.array([len(words(text)) for text in texts], np.int64)


def matched(page: list[str], gold: list[str]) -> npt.NDArray[np.bool_]:
    """Which words of a page are the words of the gold text.

    Shingles of four words are aligned in order, then the words in the gaps between matches; shingles that
    stand elsewhere in the gold text count as often as they stand there.
    """
    hit = np.zeros(len(page), np.bool_)
    numbers: dict[tuple[str, ...], int] = {}

    def shingled(text: list[str]) -> list[int]:
        pieces = (tuple(text[i : i + _SHINGLE]) for i in range(max(len(text) - _SHINGLE + 1, 0)))
        return [numbers.setdefault(piece, len(numbers)) for piece in pieces]

    left, right = shingled(page), shingled(gold)
    runs = _common_runs(left, right)
    unused = Counter(right)
    for _, start, size in runs:
        unused.subtract(right[start : start + size])
    spans = [(i, j, size + _SHINGLE - 1) for i, j, size in runs]
    _match_gaps(page, gold, spans, hit)
    moved = np.zeros(len(page), np.bool_)
    for i, shingle in enumerate(left):
        if not hit[i : i + _SHINGLE].all() and unused[shingle] > 0:
            unused[shingle] -= 1
            moved[i : i + _SHINGLE] = True
    return hit | moved


def _common_runs(left: list[int], right: list[int]) -> list[tuple[int, int, int]]:
    if not left or not right:
        return []
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return [(block.a, block.b, block.size) for block in blocks if block.size]


def _match_gaps(
    page: list[str], gold: list[str], spans: list[tuple[int, int, int]], hit: npt.NDArray[np.bool_]
) -> None:
    """Mark the matched spans, and the words that page and gold text share between two of them."""
    here = there = 0
    for i, j, size in [*spans, (len(page), len(gold), 0)]:
        if 0 < i - here <= _LARGEST_GAP[0] and 0 < j - there <= _LARGEST_GAP[1]:
            gap = SequenceMatcher(None, page[here:i], gold[there:j], autojunk=False)
            for block in gap.get_matching_blocks():
                hit[here + block.a : here + block.a + block.size] = True
        hit[i : i + size] = True
        here, there = max(here, i + size), max(there, j + size)
