"""Boosted trees as plain arrays, evaluated by a kernel for all blocks of a chunk at once.

The arrays come from `scripts/train_extraction.py` (LightGBM: Ke et al. 2017) and are stored without pickles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from filters._simd import kernel

Floats = npt.NDArray[np.float32]

LANES = 8
"""Rows that go down a tree together."""


@dataclass(frozen=True, eq=False)
class Trees:
    """A sum of decision trees, read as the log-odds of a block being part of the text.

    Node `i` sends a row to `left[i]` where its feature is at most `thresholds[i]`, else to `right[i]`. A
    negative child is a leaf: `-1 - leaf` is its place in `leaves`.
    """

    roots: npt.NDArray[np.int32]
    """The first node of each tree; a tree of one leaf is a negative child."""
    features: npt.NDArray[np.int16]
    thresholds: Floats
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    leaves: Floats

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]], prefix: str, columns: int) -> Trees:
        """The trees stored under names that begin with `prefix`, for rows of `columns` features.

        Raises:
            ValueError: when the arrays do not describe trees over that many features.
        """
        trees = cls(
            roots=arrays[prefix + "roots"].astype(np.int32),
            features=arrays[prefix + "features"].astype(np.int16),
            thresholds=arrays[prefix + "thresholds"].astype(np.float32),
            left=arrays[prefix + "left"].astype(np.int32),
            right=arrays[prefix + "right"].astype(np.int32),
            leaves=arrays[prefix + "leaves"].astype(np.float32),
        )
        trees._check(columns)
        return trees

    def _check(self, columns: int) -> None:
        nodes, leaves = len(self.features), len(self.leaves)
        if not len(self.thresholds) == len(self.left) == len(self.right) == nodes:
            raise ValueError("the arrays of the extraction model have different lengths")
        if nodes and not 0 <= self.features.min() <= self.features.max() < columns:
            raise ValueError(f"the extraction model reads features that do not exist (there are {columns})")
        for children in (self.left, self.right, self.roots):
            if len(children) and not -leaves <= children.min() <= children.max() < nodes:
                raise ValueError("the extraction model points outside its own arrays")
        own = np.arange(nodes)
        if np.any((self.left >= 0) & (self.left <= own)) or np.any((self.right >= 0) & (self.right <= own)):
            raise ValueError("the trees of the extraction model have loops")

    @cached_property
    def table(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64], Floats]:
        """Nodes and leaves as the kernel reads them: (rows, row of each root, depth of each tree, value of each row).

        A row is feature, threshold (its bits), left and right child, so that one cache line holds a node. A leaf
        leads to itself: after as many steps as its tree is deep, a walk has arrived.
        """
        nodes, leaves = len(self.features), len(self.leaves)
        places = np.arange(nodes, nodes + leaves)
        children = [
            np.concatenate([np.where(side >= 0, side, nodes - 1 - side), places])
            for side in (self.left, self.right)
        ]
        thresholds = np.concatenate([self.thresholds, np.zeros(leaves, np.float32)]).view(np.int32)
        features = np.concatenate([self.features, np.zeros(leaves, np.int16)])
        rows = np.column_stack([features, thresholds, *children]).astype(np.int32)
        depths = np.zeros(nodes + leaves, np.int64)
        for node in range(nodes - 1, -1, -1):
            depths[node] = 1 + max(depths[rows[node, 2]], depths[rows[node, 3]])
        roots = np.where(self.roots >= 0, self.roots, nodes - 1 - self.roots).astype(np.int32)
        values = np.concatenate([np.zeros(nodes, np.float32), self.leaves])
        return rows, roots, depths[roots], values

    def probabilities(self, matrix: Floats) -> Floats:
        """How likely each row's block is part of the text, float32."""
        out = np.empty(len(matrix), np.float32)
        rows, roots, depths, values = self.table
        sum_trees(matrix, rows, rows.view(np.float32), roots, depths, values, out)
        return out


@kernel
def sum_trees(
    matrix: Any, nodes: Any, thresholds: Any, roots: Any, depths: Any, values: Any, out: Any
) -> None:
    """The logistic function of the sum of all trees, for each row. `thresholds` are the bits of `nodes` as floats.

    Eight rows go down a tree side by side: one walk alone waits for memory at every step.
    """
    place, row = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    total = np.zeros(LANES, np.float64)
    for first in range(0, len(matrix), LANES):
        for lane in range(LANES):
            row[lane], total[lane] = min(first + lane, len(matrix) - 1), 0.0
        for tree in range(len(roots)):
            for lane in range(LANES):
                place[lane] = roots[tree]
            for _ in range(depths[tree]):
                for lane in range(LANES):
                    node = place[lane]
                    right = matrix[row[lane], nodes[node, 0]] > thresholds[node, 1]
                    place[lane] = nodes[node, 2 + right]
            for lane in range(LANES):
                total[lane] += values[place[lane]]
        for lane in range(LANES):
            out[row[lane]] = 1.0 / (1.0 + np.exp(-total[lane]))
