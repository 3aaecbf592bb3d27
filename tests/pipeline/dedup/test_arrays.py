"""Packed arrays: mixing, spreading over partitions, blocks in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup import arrays

MASK = 2**64 - 1
U64S = st.lists(st.integers(0, MASK), max_size=60)


def plain_mix(x: int) -> int:
    """MurmurHash3's fmix64, as its author writes it."""
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & MASK
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & MASK
    return x ^ x >> 33


@settings(deadline=None, max_examples=50)
@given(U64S)
def test_mixing_agrees_with_the_reference(values: list[int]) -> None:
    assert arrays.mixed(np.array(values, np.uint64)).tolist() == [plain_mix(value) for value in values]


@settings(deadline=None, max_examples=50)
@given(U64S, st.integers(1, 9))
def test_spreading_is_a_stable_sort_by_the_scaled_high_bits(values: list[int], partitions: int) -> None:
    order, starts = arrays.spread(np.array(values, np.uint64), partitions)
    part = [(value >> 32) * partitions >> 32 for value in values]
    assert order.tolist() == sorted(range(len(values)), key=lambda i: part[i])
    assert starts.tolist() == [sum(each < p for each in part) for p in range(partitions + 1)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))))
def test_edges_are_packed_so_that_they_sort_as_pairs_do(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array([pair[side] for pair in pairs], np.uint32) for side in (0, 1))
    packed = arrays.pack(first, second)
    assert [list(side) for side in arrays.unpack(packed)] == [first.tolist(), second.tolist()]
    assert np.argsort(packed, kind="stable").tolist() == sorted(range(len(pairs)), key=pairs.__getitem__)


@pytest.mark.parametrize(("items", "expected"), [(0, 1), (1, 1), (10, 1), (11, 2), (100, 10), (101, 11)])
def test_partitions_are_as_many_as_needed(items: int, expected: int) -> None:
    assert arrays.partitions_for(items, 4, 40) == expected


def test_blocks_come_back_by_partition(tmp_path: Path) -> None:
    path = str(tmp_path / "blocks.bin")
    numbers = np.arange(100, dtype=np.uint64)
    with arrays.write_blocks(path) as writer:
        writer.add_spread(arrays.mixed(numbers), 4, numbers)
        writer.add(2, numbers[:0])
    assert [block.partition for block in writer.blocks] == [0, 1, 2, 3]
    assert sum(block.length for block in writer.blocks) == 800
    read = arrays.read_blocks(writer.blocks, np.uint64)
    assert sorted(read.tolist()) == numbers.tolist()
    for block in writer.blocks:
        here = arrays.read_blocks([block], np.uint64)
        assert here.tolist() == sorted(here.tolist())
        assert {plain_mix(int(n)) * 4 >> 64 for n in here} == {block.partition}


@pytest.mark.parametrize("batch_bytes", [1, 8, 20, 24, 1000])
def test_edges_are_read_in_batches(tmp_path: Path, batch_bytes: int) -> None:
    path = str(tmp_path / "edges.bin")
    with arrays.write_blocks(path) as writer:
        writer.add(0, np.arange(7, dtype=np.uint64))
        writer.add(0, np.arange(7, 10, dtype=np.uint64))
    batches = list(arrays.edge_batches(writer.blocks, batch_bytes))
    assert np.concatenate(batches).tolist() == list(range(10))
    assert max(map(len, batches)) <= max(1, batch_bytes // 8)


def test_a_file_that_ends_early_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "short.bin"
    with arrays.write_blocks(str(path)) as writer:
        writer.add(0, np.arange(4, dtype=np.uint64))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"short.bin ends early: 3 bytes are missing"):
        arrays.read_blocks(writer.blocks, np.uint64)


def test_flat_files_open_as_arrays(tmp_path: Path) -> None:
    path = str(tmp_path / "flat.bin")
    arrays.write_array(path, np.arange(6, dtype=np.uint32), np.arange(6, 8, dtype=np.uint32))
    assert arrays.open_array(path, np.uint32).tolist() == list(range(8))
    assert arrays.open_array(path, np.uint32, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    arrays.write_array(path)
    assert arrays.open_array(path, np.uint32).tolist() == []
    assert arrays.open_array(path, np.uint32, 4).shape == (0, 4)


def test_flat_files_open_from_a_remote_file_system(tmp_path: Path) -> None:
    arrays.write_array("memory://dedup/flat.bin", np.arange(6, dtype=np.uint32))
    assert arrays.open_array("memory://dedup/flat.bin", np.uint32, 3).tolist() == [[0, 1, 2], [3, 4, 5]]
