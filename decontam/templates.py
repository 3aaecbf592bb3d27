"""Template text: what most items of one benchmark have in common, and what therefore says nothing.

"Answer the following question.", "Which of the following is" - instructions and frames that a benchmark repeats
from item to item are also in prompt collections, papers and forum posts that hold no item of it. The rule: a
4-gram that at least `TEMPLATE_SHARE` of a benchmark's items hold, and at least `TEMPLATE_ITEMS` of them, makes
its words template words wherever it stands in that benchmark. An n-gram of nothing but template words is left
out there; one that has a single other word stays.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from decontam.layout import I64, U32, Flags

TEMPLATE_SHARE = 0.3
"""The share of a benchmark's items that makes a 4-gram a template (docs/decontamination.md has the figures)."""
TEMPLATE_ITEMS = 10
"""The least number of items that does: in a small benchmark, three items that happen to agree are no template."""
MOST_TEXTS = 3
"""Template texts that the header of the index shows for each benchmark."""


def items_needed(items: Sequence[int]) -> I64:
    """For benchmarks of so many items, how many must hold a 4-gram that is a template."""
    return np.array([max(TEMPLATE_ITEMS, math.ceil(TEMPLATE_SHARE * count)) for count in items], np.int64)


def most_frequent_runs(template: Flags, codes: U32, first: int, last: int) -> list[tuple[int, int, int]]:
    """The most frequent unbroken runs of template words in part of the text: place, words and occurrences.

    A run ends with its field: code 0 is no template word. Runs with the same words are one; of two that are
    as frequent, the longer comes first, then the one that is met first.
    """
    edges = np.flatnonzero(np.diff(template[first:last].astype(np.int8), prepend=0, append=0)) + first
    first_seen: dict[bytes, int] = {}
    counts: Counter[bytes] = Counter()
    for start, end in edges.reshape(-1, 2).tolist():
        run = codes[start:end].tobytes()
        first_seen.setdefault(run, start)
        counts[run] += 1
    ranked = sorted(counts, key=lambda run: (-counts[run], -len(run), first_seen[run]))[:MOST_TEXTS]
    return [(first_seen[run], len(run) // codes.itemsize, counts[run]) for run in ranked]
