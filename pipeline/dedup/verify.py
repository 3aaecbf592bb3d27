"""Room 3: candidate edges -> edges between documents that are alike.

Candidates are grouped by the centre of their star, over all bands. Whoever is like the centre is connected to
it; those who are not form a new star among themselves, around the first of them, which is checked in the same
way, for `restarts` rounds. Without that, a template page that happens to be the first of a bucket would hide
the true copies in it from each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from pydantic import BaseModel

from pipeline import storage
from pipeline.dedup.arrays import F32, U32, U64, Blocks, read_blocks, unpack, write_blocks
from pipeline.dedup.columns import Columns
from pipeline.dedup.components import contract
from pipeline.dedup.shingles import Shingles
from pipeline.engine import Partition

WORKING_BYTES = 40
"""What a reduce task needs per edge: as read, sorted, unpacked, with its similarity, as held."""

Similarity = Callable[[U32, U32], F32]
"""The similarity of pairs of documents, given by their ordinals."""


class VerifySettings(BaseModel, frozen=True):
    """What `verify_edges` depends on. `similarities` gives the similarity of pairs; None lets every candidate
    pass.
    """

    folder: str
    inputs: str
    similarities: Columns | Shingles | None
    threshold: float
    restarts: int


def verify_edges(item: Partition, shared: VerifySettings) -> Blocks:
    """Task: check the candidate edges of a partition; write a forest with the same connected components as
    those that hold.
    """
    edges = np.unique(read_blocks(item.blocks, np.uint64))
    if shared.similarities is None:
        held, compared = edges, 0
    else:
        held, compared = hold(edges, shared.similarities.similarity, shared.threshold, shared.restarts)
    forest = contract(held)
    with write_blocks(storage.join(shared.folder, f"verified-{item.key}.bin")) as writer:
        writer.add(0, forest)
    counts = {"candidates": len(edges), "compared": compared, "verified": len(held)}
    return Blocks(folder=shared.folder, blocks=writer.blocks, counts=counts)


def hold(edges: U64, similarity: Similarity, threshold: float, restarts: int) -> tuple[U64, int]:
    """The edges whose documents are at least `threshold` alike, and how many pairs were compared.

    Args:
        edges: distinct, ascending: stars, from a smallest document to others.
        similarity: of pairs of documents.
        threshold: smallest similarity, inclusive.
        restarts: how often those that are unlike their centre form new stars.
    """
    held, compared = [], 0
    for _ in range(restarts + 1):
        if len(edges) == 0:
            break
        alike = similarity(*unpack(edges)) >= np.float32(threshold)
        compared += len(edges)
        held.append(edges[alike])
        edges = new_stars(edges[~alike])
    return (np.concatenate(held) if held else edges), compared


@njit(cache=True, nogil=True)
def _new_stars(edges: Any) -> Any:
    out = np.empty(len(edges), np.uint64)
    count = 0
    start = 0
    low = np.uint64(0xFFFFFFFF)
    for i in range(1, len(edges)):
        if edges[i] >> np.uint64(32) != edges[start] >> np.uint64(32):
            start = i
        else:
            out[count] = (edges[start] << np.uint64(32)) | (edges[i] & low)
            count += 1
    return out[:count]


def new_stars(edges: U64) -> U64:
    """For ascending stars: the stars of their members without the centre, around the smallest member."""
    return _new_stars(edges)  # type: ignore[no-any-return]
