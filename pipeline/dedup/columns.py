"""Random access to the flat columns by ordinal, over the files of all groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import BaseModel

from pipeline.dedup.arrays import F32, I64, U32, open_array
from pipeline.dedup.keys import DOCUMENT, GroupDocuments


class Columns(BaseModel, frozen=True):
    """The groups of a run, in the order of their ordinals, and the files of their documents' levels."""

    groups: tuple[GroupDocuments, ...]
    levels: tuple[str, ...]
    batch_bytes: int

    @property
    def bases(self) -> tuple[int, ...]:
        """The first ordinal of each group."""
        return tuple(group.base for group in self.groups)

    @property
    def width(self) -> int:
        """The number of values of a signature."""
        return max((group.width for group in self.groups), default=0)

    def documents(self, ordinals: U32) -> npt.NDArray[Any]:
        """The `DOCUMENT` records of some documents, given in ascending order."""
        out = np.empty(len(ordinals), DOCUMENT)
        for index, here, rows in self._located(ordinals):
            out[here] = open_array(self.groups[index].path("documents"), DOCUMENT)[rows]
        return out

    def document_levels(self, ordinals: U32) -> npt.NDArray[np.uint8]:
        """The levels (see `exact`) of some documents, given in ascending order."""
        out = np.empty(len(ordinals), np.uint8)
        for index, here, rows in self._located(ordinals):
            out[here] = open_array(self.levels[index], np.uint8)[rows]
        return out

    def signatures(self, ordinals: U32) -> U32:
        """The signatures of some documents, given in ascending order: a row each."""
        out = np.empty((len(ordinals), self.width), np.uint32)
        for index, here, rows in self._located(ordinals):
            group = self.groups[index]
            # `clip`, as numpy would else copy `out` in case of an error; the rows are those of documents that exist.
            np.take(open_array(group.path("signatures"), np.uint32, group.width), rows, 0, out[here], "clip")
        return out

    def similarity(self, first: U32, second: U32) -> F32:
        """Estimated Jaccard similarity of pairs: the share of equal values of their signatures.

        Signatures are read in batches that take at most `batch_bytes`.
        """
        out = np.empty(len(first), np.float32)
        step = max(1, self.batch_bytes // (2 * 4 * self.width))
        for start in range(0, len(first), step):
            a, b = first[start : start + step], second[start : start + step]
            distinct, where = np.unique(np.concatenate([a, b]), return_inverse=True)
            equal = equal_values(self.signatures(distinct), where[: len(a)], where[len(a) :])
            out[start : start + step] = equal / np.float32(self.width)
        return out

    def _located(self, ordinals: U32) -> Iterator[tuple[int, slice, I64]]:
        """For each group with some of the ordinals: its index, which of the ordinals, and their rows in its
        files.
        """
        cuts = np.searchsorted(ordinals, np.array((*self.bases, 2**32), np.uint64))
        for index in np.flatnonzero(cuts[1:] > cuts[:-1]).tolist():
            here = slice(int(cuts[index]), int(cuts[index + 1]))
            known = open_array(self.groups[index].path("ordinals"), np.uint32)
            yield index, here, np.searchsorted(known, ordinals[here])


@njit(cache=True, nogil=True)
def _equal_values(signatures: Any, first: Any, second: Any) -> Any:
    out = np.empty(len(first), np.uint16)
    for i in range(len(first)):
        a, b = signatures[first[i]], signatures[second[i]]
        equal = 0
        for k in range(signatures.shape[1]):
            equal += a[k] == b[k]
        out[i] = equal
    return out


def equal_values(signatures: U32, first: I64, second: I64) -> npt.NDArray[np.uint16]:
    """How many values two rows of `signatures` have in common at the same place, for each pair of rows."""
    return _equal_values(signatures, first, second)  # type: ignore[no-any-return]
