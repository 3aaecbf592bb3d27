"""Room 4: edges -> connected components, in one of two ways with the same result.

`union_find`: one task over all edges, with ids made dense by a bitmap: 3/16 byte per document of the run and
8 bytes per document that has an edge. Links point to the smaller ordinal, so a component's label is its
smallest ordinal.

`stars`: the alternating large-star and small-star steps of Kiveris et al. 2014 ("Connected components in
MapReduce and beyond"), each a shuffle over the engine, until no step changes an edge. No task needs more than
its partition.

Both leave labelled documents (`label << 32 | ordinal`, every document with an edge, the label's own
included), packed by a hash of the label, so that the documents of a component meet in one partition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from pydantic import BaseModel

from pipeline import storage
from pipeline.blocks import Block, Partition
from pipeline.dedup.arrays import (
    U32,
    U64,
    Blocks,
    BlockWriter,
    distinct,
    edge_batches,
    mixed,
    read_blocks,
    unpack,
    write_blocks,
)

if TYPE_CHECKING:
    from pipeline.engine import Engine


class EdgeItem(BaseModel, frozen=True):
    """Blocks of edges, for a task that reads or forwards them."""

    key: str
    blocks: tuple[Block, ...]


class AnySettings(BaseModel, frozen=True):
    """The settings of a task that needs none of them."""


class ComponentSettings(BaseModel, frozen=True):
    """What the component tasks depend on. `ordinals` bounds all ordinals; `inputs` names the step the edges
    come from.
    """

    folder: str
    inputs: str
    ordinals: int
    partitions: int
    batch_bytes: int


# ---- union-find


@njit(cache=True, nogil=True, inline="always")
def _find(parents: Any, x: Any) -> Any:
    while parents[x] != x:
        parents[x] = parents[parents[x]]
        x = parents[x]
    return x


@njit(cache=True, nogil=True)
def _unite(parents: Any, first: Any, second: Any) -> int:
    merged = 0
    for i in range(len(first)):
        a, b = _find(parents, first[i]), _find(parents, second[i])
        if a < b:
            parents[b] = a
            merged += 1
        elif b < a:
            parents[a] = b
            merged += 1
    return merged


def unite(parents: U32, first: U32, second: U32) -> int:
    """Join the components of pairs in a forest whose links point to smaller numbers; how many joins changed
    something.

    Raises:
        IndexError: where a number lies outside the forest.
    """
    if len(first) and max(first.max(), second.max()) >= len(parents):
        raise IndexError(f"a document beyond the forest of {len(parents)}")
    return int(_unite(parents, first, second))


@njit(cache=True, nogil=True)
def _flatten(parents: Any) -> None:
    for x in range(len(parents)):
        parents[x] = parents[parents[x]]


def flatten(parents: U32) -> None:
    """Make every link of a forest point to its root. One pass does, as links point to smaller numbers."""
    _flatten(parents)


def contract(edges: U64) -> U64:
    """A forest with the connected components of the edges: stars around each component's smallest document,
    ascending.
    """
    first, second = unpack(edges)
    nodes, dense = np.unique(np.concatenate([first, second]), return_inverse=True)
    parents = np.arange(len(nodes), dtype=np.uint32)
    ends = dense.astype(np.uint32)
    unite(parents, ends[: len(edges)], ends[len(edges) :])
    flatten(parents)
    others = np.flatnonzero(parents != np.arange(len(nodes)))
    return np.sort((nodes[parents[others]].astype(np.uint64) << np.uint64(32)) | nodes[others])


@njit(cache=True, nogil=True)
def _mark(bits: Any, edges: Any) -> None:
    for i in range(len(edges)):
        for node in (edges[i] >> np.uint64(32), edges[i] & np.uint64(0xFFFFFFFF)):
            bits[node >> np.uint64(6)] |= np.uint64(1) << (node & np.uint64(63))


@njit(cache=True, nogil=True, inline="always")
def _ones(x: Any) -> Any:
    """How many bits are set."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(cache=True, nogil=True)
def _ranks(bits: Any) -> Any:
    """For each word the number of bits set before it; one more entry for all."""
    out = np.zeros(len(bits) + 1, np.uint32)
    for i in range(len(bits)):
        out[i + 1] = out[i] + np.uint32(_ones(bits[i]))
    return out


@njit(cache=True, nogil=True, inline="always")
def _dense(bits: Any, ranks: Any, node: Any) -> Any:
    word = node >> np.uint64(6)
    below = bits[word] & ((np.uint64(1) << (node & np.uint64(63))) - np.uint64(1))
    return np.uint32(ranks[word] + np.uint32(_ones(below)))


@njit(cache=True, nogil=True)
def _unite_edges(parents: Any, bits: Any, ranks: Any, edges: Any) -> None:
    for i in range(len(edges)):
        a = _find(parents, _dense(bits, ranks, edges[i] >> np.uint64(32)))
        b = _find(parents, _dense(bits, ranks, edges[i] & np.uint64(0xFFFFFFFF)))
        if a < b:
            parents[b] = a
        elif b < a:
            parents[a] = b


@njit(cache=True, nogil=True)
def _members(bits: Any, start: int, stop: int, out: Any) -> int:
    """Write the ordinals of the bits set in words `start` to `stop`; return how many."""
    count = 0
    for word in range(start, stop):
        left = bits[word]
        while left != np.uint64(0):
            lowest = left & (~left + np.uint64(1))
            out[count] = np.uint32(np.uint64(word) * np.uint64(64) + _ones(lowest - np.uint64(1)))
            count += 1
            left ^= lowest
    return count


def union_find_bytes(ordinals: int, edges: int) -> int:
    """The memory that `labelled` needs at most for edges among so many documents."""
    return ordinals // 8 + ordinals // 16 + 8 * min(ordinals, 2 * edges)


def labelled(blocks: Sequence[Block], ordinals: int, batch_bytes: int) -> Iterator[U64]:
    """The documents of all edges with their component's label, in the order of their ordinals, in batches.

    Reads the edges twice, in batches: to mark the documents that have one, and to join them.

    Raises:
        IndexError: where an edge names an ordinal of `ordinals` or more.
    """
    bits = np.zeros(ordinals // 64 + 1, np.uint64)
    for edges in edge_batches(blocks, batch_bytes):
        if max(side.max() for side in unpack(edges)) >= ordinals:
            raise IndexError(f"an edge names a document beyond {ordinals}")
        _mark(bits, edges)
    ranks = _ranks(bits)
    parents = np.arange(int(ranks[-1]), dtype=np.uint32)
    for edges in edge_batches(blocks, batch_bytes):
        _unite_edges(parents, bits, ranks, edges)
    flatten(parents)
    nodes = np.empty(len(parents), np.uint32)
    _members(bits, 0, len(bits), nodes)
    step = max(1, batch_bytes // 8)
    for start in range(0, len(nodes), step):
        here = slice(start, start + step)
        yield (nodes[parents[here]].astype(np.uint64) << np.uint64(32)) | nodes[here]


def find_components(item: EdgeItem, shared: ComponentSettings) -> Blocks:
    """Task: the components of all edges by union-find."""
    nodes = components = 0
    with write_blocks(storage.join(shared.folder, f"labels-{item.key}.bin")) as writer:
        for labels in labelled(item.blocks, shared.ordinals, shared.batch_bytes):
            label, ordinal = unpack(labels)
            writer.add_spread(mixed(label), shared.partitions, labels)
            nodes += len(labels)
            components += int((label == ordinal).sum())
    counts = {"nodes": nodes, "components": components, "rounds": 0}
    return Blocks(blocks=writer.blocks, counts=counts)


# ---- large-star, small-star


@njit(cache=True, nogil=True)
def _large_star(directed: Any) -> Any:
    out = np.empty(len(directed), np.uint64)
    low = np.uint64(0xFFFFFFFF)
    count, changes, start = 0, 0, 0
    while start < len(directed):
        node = directed[start] >> np.uint64(32)
        smallest = min(node, directed[start] & low)
        stop = start
        while stop < len(directed) and directed[stop] >> np.uint64(32) == node:
            neighbour = directed[stop] & low
            if neighbour > node:
                out[count] = (neighbour << np.uint64(32)) | smallest
                count += 1
                changes += smallest != node
            stop += 1
        start = stop
    return out[:count], changes


def large_star(directed: U64) -> tuple[U64, int]:
    """Connect each document's larger neighbours to the smallest among its neighbours and itself.

    Args:
        directed: distinct, ascending: every edge in both directions, all edges of a document.

    Returns:
        Edges (larger, smaller), and how many were changed.
    """
    return _large_star(directed)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _small_star(downward: Any) -> Any:
    out = np.empty(len(downward), np.uint64)
    low = np.uint64(0xFFFFFFFF)
    count, changes, start = 0, 0, 0
    while start < len(downward):
        node = downward[start] >> np.uint64(32)
        smallest = downward[start] & low
        out[count] = downward[start]
        count += 1
        stop = start + 1
        while stop < len(downward) and downward[stop] >> np.uint64(32) == node:
            out[count] = ((downward[stop] & low) << np.uint64(32)) | smallest
            count += 1
            changes += 1
            stop += 1
        start = stop
    return out[:count], changes


def small_star(downward: U64) -> tuple[U64, int]:
    """Connect each document and its smaller neighbours to the smallest of them.

    Args:
        downward: distinct, ascending: edges (larger, smaller), all of a larger document.

    Returns:
        Edges (larger, smaller), and how many were changed.
    """
    return _small_star(downward)  # type: ignore[no-any-return]


def _turned(edges: U64) -> U64:
    return (edges << np.uint64(32)) | (edges >> np.uint64(32))


def _add_by_first(writer: BlockWriter, edges: U64, partitions: int) -> None:
    writer.add_spread(mixed(unpack(edges)[0]), partitions, edges)


def forward_blocks(item: EdgeItem, shared: AnySettings) -> Blocks:  # noqa: ARG001
    """Task: hand on blocks that an earlier step has already packed by partition."""
    return Blocks(blocks=list(item.blocks))


def direct_edges(item: EdgeItem, shared: ComponentSettings) -> Blocks:
    """Task: every edge in both directions, packed by a hash of its first document."""
    with write_blocks(storage.join(shared.folder, f"directed-{item.key}.bin")) as writer:
        for edges in edge_batches(item.blocks, shared.batch_bytes):
            _add_by_first(writer, np.concatenate([edges, _turned(edges)]), shared.partitions)
    return Blocks(blocks=writer.blocks)


def step_large(item: Partition, shared: ComponentSettings) -> Blocks:
    """Task: the large-star step of a partition of documents."""
    edges, changes = large_star(distinct(read_blocks(item.blocks, np.uint64)))
    with write_blocks(storage.join(shared.folder, f"large-{item.key}.bin")) as writer:
        _add_by_first(writer, distinct(edges), shared.partitions)
    return Blocks(blocks=writer.blocks, counts={"changes": changes})


def step_small(item: Partition, shared: ComponentSettings) -> Blocks:
    """Task: the small-star step of a partition of documents; the edges leave in both directions."""
    edges, changes = small_star(distinct(read_blocks(item.blocks, np.uint64)))
    edges = distinct(edges)
    with write_blocks(storage.join(shared.folder, f"small-{item.key}.bin")) as writer:
        _add_by_first(writer, np.concatenate([edges, _turned(edges)]), shared.partitions)
    return Blocks(blocks=writer.blocks, counts={"changes": changes})


def label_stars(item: Partition, shared: ComponentSettings) -> Blocks:
    """Task: the labels of the documents of converged stars, from the partition of the stars' centres."""
    directed = distinct(read_blocks(item.blocks, np.uint64))
    first, second = unpack(directed)
    rays = directed[first < second]
    centres = distinct(unpack(rays)[0]).astype(np.uint64)
    labels = np.sort(np.concatenate([rays, (centres << np.uint64(32)) | centres]))
    with write_blocks(storage.join(shared.folder, f"labels-{item.key}.bin")) as writer:
        writer.add(item.index, labels)
    counts = {"nodes": len(labels), "components": len(centres)}
    return Blocks(blocks=writer.blocks, counts=counts)


def star_components(
    engine: Engine, phase: str, blocks: Sequence[Block], settings: ComponentSettings
) -> Blocks:
    """The components of all edges by star steps over the engine, repeated until none changes an edge."""
    items = edge_items(blocks, settings.batch_bytes)
    map_task: Any = direct_edges
    rounds, changes = 0, 1
    while changes:
        # Each round has files and settings of its own, so that an interrupted run resumes in the round it was
        # in.
        shared = settings.model_copy(update={"folder": storage.join(settings.folder, f"round-{rounds:03d}")})
        name = f"{phase}.{rounds:03d}"
        large = engine.shuffle(f"{name}.large", map_task, items, step_large, shared)
        small = engine.shuffle(f"{name}.small", forward_blocks, forward_items(large), step_small, shared)
        changes = sum(result.counts["changes"] for result in (*large, *small))
        items, map_task, rounds = forward_items(small), forward_blocks, rounds + 1
    found = engine.shuffle(f"{phase}.labels", map_task, items, label_stars, settings)
    counts = {name: sum(result.counts[name] for result in found) for name in ("nodes", "components")}
    return Blocks(
        blocks=[block for result in found for block in result.blocks],
        counts={**counts, "rounds": rounds},
    )


def edge_items(blocks: Sequence[Block], item_bytes: int) -> list[EdgeItem]:
    """Blocks as items of about `item_bytes`, in the order of the blocks."""
    items: list[EdgeItem] = []
    members: list[Block] = []
    held = 0
    for block in blocks:
        if members and held + block.length > item_bytes:
            items.append(EdgeItem(key=f"edges-{len(items):06d}", blocks=tuple(members)))
            members, held = [], 0
        members.append(block)
        held += block.length
    if members:
        items.append(EdgeItem(key=f"edges-{len(items):06d}", blocks=tuple(members)))
    return items


def forward_items(results: Sequence[Blocks]) -> list[EdgeItem]:
    """An item per result, whose blocks `forward_blocks` hands on."""
    return [
        EdgeItem(key=f"part-{index:06d}", blocks=tuple(result.blocks)) for index, result in enumerate(results)
    ]
