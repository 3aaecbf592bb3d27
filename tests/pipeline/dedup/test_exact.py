"""Exact copies: who stands for them, and how they are found over the engine's blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup import exact
from pipeline.dedup.arrays import unpack

ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2**64 - 1]),
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=80)
@given(ROWS, st.booleans(), st.randoms(use_true_random=False))
def test_copies_agree_with_the_reference(rows, wide: bool, random) -> None:
    """Of equal hashes the best by rank, id, ordinal stays, in whatever order the records come."""
    rows = [(hi, lo if wide else 0, *rest, i) for i, (hi, lo, *rest) in enumerate(rows)]
    expected = []
    for row in rows:
        best = min((other for other in rows if other[:2] == row[:2]), key=lambda each: each[2:])
        if best != row:
            expected.append((best[-1], row[-1]))
    random.shuffle(rows)
    edges = exact.copies(np.array(rows, exact.RECORD))
    assert sorted(zip(*(side.tolist() for side in unpack(edges)), strict=True)) == sorted(expected)


def test_rows_are_cut_at_the_bases_of_the_groups() -> None:
    got: dict[int, list[int]] = {}
    ordinals = np.array([9, 10, 0, 25, 19, 2**32 - 2, 20], np.uint32)

    def add(index: int, rows: np.ndarray) -> None:
        got[index] = rows.tolist()

    exact.add_by_group(add, np.arange(7), ordinals, (0, 10, 15, 20))
    assert got == {0: [2, 0], 1: [1], 2: [4], 3: [6, 3, 5]}
