"""Which blocks of a page to keep, given how likely each is part of its text: the cut of highest expected F1."""

from __future__ import annotations

from typing import Any

import numpy as np

from filters._simd import kernel


@kernel
def best_cut(probabilities: Any, weights: Any) -> tuple[float, float]:
    """The lowest probability to keep, and the F1 expected of keeping all blocks from it up.

    With `p` the probabilities and `w` the weights (words), keeping a set K is expected to find sum(p w over K)
    of sum(p w) right words with sum(w over K) kept ones, so its F1 is about
    2 sum(p w over K) / (sum(w over K) + sum(p w)); the best K holds the most likely blocks (Lewis 1995). Blocks
    of equal probability stay together. A page without blocks has the cut 1 and F1 0.
    """
    order = np.argsort(-probabilities)
    right = 0.0
    for block in range(len(probabilities)):
        right += probabilities[block] * weights[block]
    best, cut = 0.0, np.float64(1.0)
    found = kept = 0.0
    for i in range(len(order)):
        block = order[i]
        found += probabilities[block] * weights[block]
        kept += weights[block]
        if i + 1 < len(order) and probabilities[order[i + 1]] == probabilities[block]:
            continue
        expected = 2 * found / (kept + right) if kept + right > 0 else 0.0
        if expected > best:
            best, cut = expected, np.float64(probabilities[block])
    return cut, best
