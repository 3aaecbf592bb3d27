"""Our model of which blocks are the text of a page: two rounds of boosted trees, then one cut per page.

    kept = classify(parsed, block_features(parsed))

Trained by `scripts/train_extraction.py` on labelled pages; `model.npz` holds plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from filters._simd import kernel
from pipeline.extraction import columns as col
from pipeline.extraction import second_look
from pipeline.extraction.blocks import Parsed
from pipeline.extraction.cut import best_cut
from pipeline.extraction.second_look import look_again
from pipeline.extraction.trees import Trees

Floats = npt.NDArray[np.float32]

MODEL_FILE = Path(__file__).with_name("model.npz")
WEIGHT_OF_A_BLOCK = 0.3
"""Words that a block counts for besides its own, so that none weighs nothing."""
_MASS = col.T["mass"]


@dataclass(frozen=True, eq=False)
class Model:
    """The trees of the first and the second round."""

    first: Trees
    second: Trees

    @classmethod
    def load(cls, path: Path = MODEL_FILE) -> Model:
        """Read a model file.

        Raises:
            ValueError: when it was trained on other features than those of this version, or is damaged.
        """
        with np.load(path, allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files}
        if [str(name) for name in stored["columns"]] != [*col.COLUMNS, *second_look.COLUMNS]:
            raise ValueError(
                f"{path} was trained on other features than this version computes; run scripts/train_extraction.py"
            )
        count = len(col.COLUMNS)
        return cls(
            first=Trees.of(stored, "first_", count),
            second=Trees.of(stored, "second_", count + len(second_look.COLUMNS)),
        )

    def probabilities(self, parsed: Parsed, matrix: Floats) -> Floats:
        """How likely each block is part of its page's text, float32."""
        first = self.first.probabilities(matrix)
        return self.second.probabilities(np.hstack([matrix, look_again(parsed, matrix, first)]))


@cache
def shipped_model() -> Model:
    """The model that comes with the package."""
    return Model.load()


@dataclass(frozen=True, eq=False)
class Classified:
    """What a classifier says of the blocks of a chunk."""

    keep: npt.NDArray[np.bool_]
    probabilities: Floats
    """One for each block; 0 and 1 from the classic rules."""
    confidence: Floats
    """The F1 that is expected of each page's text; 0 for pages without blocks."""


def classify(parsed: Parsed, matrix: Floats, model: Model | None = None) -> Classified:
    """Which blocks the model keeps: on each page the cut with the highest expected F1 in words."""
    probabilities = (model or shipped_model()).probabilities(parsed, matrix)
    keep, confidence = np.zeros(len(matrix), np.bool_), np.zeros(len(parsed), np.float32)
    cut_pages(parsed.block_offsets, np.ascontiguousarray(matrix[:, _MASS]), probabilities, keep, confidence)
    return Classified(keep, probabilities, confidence)


@kernel
def cut_pages(block_offsets: Any, masses: Any, probabilities: Any, keep: Any, confidence: Any) -> None:
    """Cut each page at its best place."""
    for page in range(len(block_offsets) - 1):
        begin, stop = block_offsets[page], block_offsets[page + 1]
        weights = masses[begin:stop] + np.float32(WEIGHT_OF_A_BLOCK)
        cut, confidence[page] = best_cut(probabilities[begin:stop], weights)
        for block in range(begin, stop):
            keep[block] = probabilities[block] >= cut
