"""Connected components, in both ways."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.blocks import Block
from pipeline.dedup import components
from pipeline.dedup.arrays import pack, read_blocks, unpack, write_blocks
from pipeline.engine import Engine, RunnerSettings

Pairs = Sequence[tuple[int, int]]


def plain_components(pairs: Pairs) -> dict[int, int]:
    """Every node with an edge -> the smallest node that it is connected to, by spreading labels."""
    labels = {node: node for pair in pairs for node in pair}
    changed = True
    while changed:
        changed = False
        for a, b in pairs:
            smallest = min(labels[a], labels[b])
            changed |= labels[a] != smallest or labels[b] != smallest
            labels[a] = labels[b] = smallest
    return labels


def packed(pairs: Pairs) -> np.ndarray:
    return pack(*(np.array([pair[side] for pair in pairs], np.uint32) for side in (0, 1)))


def as_labels(edges: np.ndarray) -> dict[int, int]:
    """(label, ordinal) as ordinal -> label."""
    label, ordinal = unpack(edges)
    return dict(zip(ordinal.tolist(), label.tolist(), strict=True))


def edge_blocks(folder: Path, pairs: Pairs, files: int) -> list[Block]:
    blocks = []
    for index in range(files):
        with write_blocks(str(folder / f"edges-{index}.bin")) as writer:
            writer.add(0, packed(pairs[index::files]))
        blocks += writer.blocks
    return blocks


def star_to_convergence(pairs: Pairs) -> dict[int, int]:
    """The star steps in memory, as the engine's loop does them."""
    edges = packed(pairs)
    changes = 1
    while changes:
        below, label = unpack(edges)
        directed = np.unique(np.concatenate([pack(below, label), pack(label, below)]))
        large, first = components.large_star(directed)
        edges, second = components.small_star(np.unique(large))
        edges = np.unique(edges)
        changes = first + second
    below, label = unpack(edges)
    return {**as_labels(pack(label, below)), **as_labels(pack(label, label))}


def path(nodes: Sequence[int]) -> Pairs:
    return list(itertools.pairwise(nodes))


GRAPHS: dict[str, Pairs] = {
    "one edge": [(3, 9)],
    "star": [(0, i) for i in range(1, 40)],
    "star around the largest": [(i, 99) for i in range(40)],
    "sorted path": path(range(64)),
    "shuffled path": path(np.random.default_rng(1).permutation(40).tolist()),
    "two cliques and a bridge": [
        *((a, b) for a in range(6) for b in range(a + 1, 6)),
        *((a, b) for a in range(10, 16) for b in range(a + 1, 16)),
        (5, 10),
    ],
    "random": [(a, b) for a, b in np.random.default_rng(2).integers(0, 150, (130, 2)).tolist() if a != b],
}
EDGES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).filter(lambda pair: pair[0] != pair[1]), max_size=60
)


@settings(deadline=None, max_examples=60)
@given(EDGES)
def test_contraction_keeps_the_components_in_a_forest_of_stars(pairs: Pairs) -> None:
    expected = plain_components(pairs)
    forest = components.contract(packed(pairs))
    assert as_labels(forest) == {node: label for node, label in expected.items() if node != label}
    assert forest.tolist() == sorted(forest.tolist())


@settings(deadline=None, max_examples=40)
@given(pairs=EDGES, batch=st.sampled_from([1, 24, 4096]))
def test_union_find_agrees_with_the_reference(tmp_path_factory, pairs: Pairs, batch: int) -> None:
    blocks = edge_blocks(tmp_path_factory.mktemp("edges"), pairs, 3)
    labels = list(components.labelled(blocks, 41, batch))
    both = np.concatenate([np.empty(0, np.uint64), *labels])
    assert as_labels(both) == plain_components(pairs)
    assert unpack(both)[1].tolist() == sorted(plain_components(pairs))


@settings(deadline=None, max_examples=60)
@given(EDGES)
def test_star_steps_agree_with_the_reference(pairs: Pairs) -> None:
    assert star_to_convergence(pairs) == plain_components(pairs)


def test_large_star_by_hand() -> None:
    # 5 has the neighbours 2, 7, 9: the larger ones go to 2. 7 and 9 have no larger neighbour.
    directed = packed(sorted([(5, 2), (2, 5), (5, 7), (7, 5), (5, 9), (9, 5)]))
    edges, changes = components.large_star(directed)
    assert sorted(zip(*unpack(edges), strict=True)) == [(5, 2), (7, 2), (9, 2)]
    assert changes == 2


def test_small_star_by_hand() -> None:
    # 9 has the smaller neighbours 2, 5, 7: they and 9 go to 2.
    edges, changes = components.small_star(packed([(9, 2), (9, 5), (9, 7)]))
    assert sorted(zip(*unpack(edges), strict=True)) == [(5, 2), (7, 2), (9, 2)]
    assert changes == 2


def test_ordinals_at_the_ends_of_the_range() -> None:
    top = 2**20
    pairs = [(0, top - 1), (63, 64), (64, 128), (top - 64, top - 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "edge_batches", lambda *_: iter([packed(pairs)]))
        labels = np.concatenate(list(components.labelled([], top, 1 << 20)))
    assert as_labels(labels) == plain_components(pairs)


def test_an_ordinal_beyond_the_run_is_an_error(tmp_path: Path) -> None:
    blocks = edge_blocks(tmp_path, [(1, 100)], 1)
    with pytest.raises(IndexError, match="beyond 100"):
        list(components.labelled(blocks, 100, 1000))
    with pytest.raises(IndexError, match="beyond the forest"):
        components.unite(np.arange(3, dtype=np.uint32), np.array([1], np.uint32), np.array([3], np.uint32))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Callable[[Pairs, str], tuple[dict[int, int], components.Blocks]]:
    def find(pairs: Pairs, method: str) -> tuple[dict[int, int], components.Blocks]:
        folder = tmp_path_factory.mktemp("components")
        shared = components.ComponentSettings(
            folder=str(folder / "out"), inputs="test", ordinals=400, partitions=3, batch_bytes=200
        )
        engine = Engine(str(folder / "engine"), RunnerSettings())
        blocks = edge_blocks(folder, pairs, 4)
        if method == "stars":
            result = components.star_components(engine, "components", blocks, shared)
        else:
            item = components.EdgeItem(key="all", blocks=tuple(blocks))
            (result,) = engine.run("components", components.find_components, [item], shared)
        return as_labels(read_blocks(result.blocks, np.uint64)), result

    return find


@pytest.mark.parametrize("name", GRAPHS)
def test_union_find_over_the_engine(run, name: str) -> None:
    labels, result = run(GRAPHS[name], "union_find")
    expected = plain_components(GRAPHS[name])
    assert labels == expected
    assert result.counts["components"] == len(set(expected.values()))
    assert result.counts["nodes"] == len(expected)


@pytest.mark.parametrize("name", ["star", "shuffled path", "two cliques and a bridge", "random"])
def test_stars_over_the_engine_find_what_union_find_does(run, name: str) -> None:
    labels, result = run(GRAPHS[name], "stars")
    other, same = run(GRAPHS[name], "union_find")
    assert labels == other
    for count in ("components", "nodes"):
        assert result.counts[count] == same.counts[count]
    partitions = {block.partition for block in result.blocks}
    for p in partitions:  # both pack the documents of a component into the same partition
        mine, others = (
            np.sort(read_blocks([b for b in each.blocks if b.partition == p], np.uint64))
            for each in (result, same)
        )
        assert mine.tolist() == others.tolist()


def test_stars_of_a_star_need_no_second_round(run) -> None:
    assert run(GRAPHS["star"], "stars")[1].counts["rounds"] <= 2


def test_stars_without_edges(run) -> None:
    assert run([], "stars")[0] == run([], "union_find")[0] == {}


def test_the_memory_of_union_find_is_what_is_said() -> None:
    # 64 million documents of which all have an edge: bitmap 8 MB, ranks 4 MB, parents and ordinals 256 MB each.
    assert components.union_find_bytes(64_000_000, 64_000_000) == 524_000_000
    assert components.union_find_bytes(64_000_000, 1) == 12_000_016
