"""Which items an n-gram is blamed on.

A short phrase stands in many items: "as soon as possible" is a whole item of one benchmark, and a part of longer items
of eight others. Under the rule `item` only the first was looked for, so only that one is named and counted; under `any`
every item that has the n-gram is.
"""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa

from decontam.ngrams import NgramIndex
from decontam.rule import I64, U32
from decontam.settings import PARTS, RuleName


@functools.lru_cache(maxsize=2)  # asked for each chunk, the same for all
def unit_lengths(index: NgramIndex) -> I64:
    """The n of each unit under the rule `item`: the words of its longest field, at most `max_words`; 0 if too short."""
    header = index.header
    longest = np.zeros(len(index.unit_benchmarks), np.int64)
    own = ~index.field_is_variant
    np.maximum.at(longest, index.field_units[own], np.diff(index.field_starts)[own] - 1)
    longest[longest < header.min_words] = 0
    return np.minimum(longest, header.max_words)


def units_of(index: NgramIndex, ids: U32, rule: RuleName) -> tuple[I64, I64]:
    """Who is hit by n-grams: pairs of a place in `ids` and a unit (part of an item), ascending.

    Under `item` those units whose own n the n-gram has; under `any` all that have it.
    """
    which, units = index.units_of(ids)
    if rule == "any":
        return which, units
    own = unit_lengths(index)[units] == index.lengths_of(ids)[which]
    return which[own], units[own]


def describe(index: NgramIndex, ids: U32, rule: RuleName) -> pa.Table:
    """As `NgramIndex.describe`, with the first item that the rule looks for; `shared_by` counts such item parts."""
    table = index.describe(ids)
    which, units = units_of(index, ids, rule)
    blamed, first, counts = np.unique(which, return_index=True, return_counts=True)
    if len(blamed) != len(ids):
        raise ValueError(f"{len(ids) - len(blamed)} of the n-grams are none that the rule {rule} looks at")
    unit = units[first]
    keys = pa.array([benchmark.key for benchmark in index.header.benchmarks], pa.string())
    made = {
        "benchmark": keys.take(pa.array(index.unit_benchmarks[unit])),
        "item": index.unit_items.take(pa.array(unit)).cast(pa.string()),
        "part": pa.array(PARTS, pa.string()).take(pa.array(index.unit_parts[unit])),
        "shared_by": pa.array(counts.astype(np.uint32)),
    }
    for name, column in made.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table
