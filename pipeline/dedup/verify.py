"""Room 3: candidate edges -> edges between documents that are alike.

Candidates are grouped by their first document, over all bands, so that a pair that several bands found is
compared once and the signature of a star's centre is read once.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel

from pipeline import storage
from pipeline.blocks import Partition
from pipeline.dedup.arrays import Blocks, distinct, read_blocks, unpack, write_blocks
from pipeline.dedup.columns import Columns
from pipeline.dedup.components import contract
from pipeline.dedup.shingles import Shingles

WORKING_BYTES = 40
"""What a reduce task needs per edge: as read, sorted, unpacked, with its similarity, as held."""


class VerifySettings(BaseModel, frozen=True):
    """What `verify_edges` depends on. `similarities` gives the similarity of pairs; None lets all candidates
    pass. `inputs` names the step the edges come from.
    """

    folder: str
    inputs: str
    similarities: Columns | Shingles | None
    threshold: float


def verify_edges(item: Partition, shared: VerifySettings) -> Blocks:
    """Task: compare the documents of a partition's candidate edges; of the edges between those that are at
    least `threshold` alike, write a forest with the same connected components.
    """
    edges = distinct(read_blocks(item.blocks, np.uint64))
    held = edges
    if shared.similarities is not None:
        similarity = shared.similarities.similarity(*unpack(edges))
        held = edges[similarity >= np.float32(shared.threshold)]
    with write_blocks(storage.join(shared.folder, f"verified-{item.key}.bin")) as writer:
        writer.add(0, contract(held))
    counts = {"candidates": len(edges), "verified": len(held)}
    return Blocks(blocks=writer.blocks, counts=counts)
