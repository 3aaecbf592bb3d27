"""Counted words are packed, added up and cut to a limit exactly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.blocks import Block, Partition
from pipeline.dedup.arrays import write_blocks
from pipeline.word_counts import (
    UNIT,
    CountedPartition,
    CountPlan,
    _packed,
    _parts,
    _unpacked,
    add_partition,
    choose,
    chosen_words,
)
from tokenizer.words import WordCounts, WordTable

COUNTS = {b"one": 7, b" two": 5, b" three": 5, b"four": 5, b"five": 2, b" six": 1, b"seven": 1, b"": 1}


def words_of(counts: dict[bytes, int]) -> WordCounts:
    """Words with counts, sorted by hash as a split's are."""
    ends = np.cumsum([0, *map(len, counts)]).astype(np.int64)
    table = WordTable()
    data = np.frombuffer(b"".join(counts), np.uint8)
    table.add(WordCounts(np.zeros(0, np.uint64), np.array(list(counts.values()), np.int64), ends, data))
    return table.counts()


def partitions_of(
    folder: Path, parts: list[dict[bytes, int]], number: int, weight: int = UNIT
) -> list[CountedPartition]:
    """What the shuffle makes of the counts of several splits."""
    blocks: list[Block] = []
    for index, counts in enumerate(parts):
        with write_blocks(str(folder / f"{index}.bin")) as writer:
            for partition, part in enumerate(_parts(words_of(counts), number)):
                writer.add(partition, *_packed(part, weight))
        blocks += writer.blocks
    plan = CountPlan(folder=str(folder), reading={}, weights={}, tab_runs=8, partitions=number)
    made = []
    for index in range(number):
        mine = tuple(block for block in blocks if block.partition == index)
        made.append(add_partition(Partition(key=f"partition-{index}", index=index, blocks=mine), plan))
    return made


@given(st.dictionaries(st.binary(max_size=20), st.integers(1, 10**12), max_size=30), st.integers(1, 1000))
@settings(max_examples=100, deadline=None)
def test_packed_words_come_back(counts: dict[bytes, int], weight: int) -> None:
    content = b"".join(part.tobytes() for part in _packed(words_of(counts), weight))
    if not counts:
        assert content == b""
        return
    assert dict(_unpacked(content).items()) == {word: count * weight for word, count in counts.items()}


@pytest.mark.parametrize("number", [1, 2, 7])
def test_partitions_hold_each_word_once(number: int) -> None:
    words = words_of(COUNTS)
    parts = list(_parts(words, number))
    assert len(parts) == number
    assert [item for part in parts for item in part.items()] == list(words.items())
    for index, part in enumerate(parts):
        assert all(int(value) * number >> 64 == index for value in part.hashes)


@pytest.mark.parametrize("number", [1, 3])
def test_counts_of_splits_add_up(tmp_path: Path, number: int) -> None:
    other = {b"one": 3, b"eight": 4}
    partitions = partitions_of(tmp_path, [COUNTS, other], number)
    chosen = choose(partitions, 1000, 10**6)
    assert dict(chosen_words(partitions, chosen)) == Counter(COUNTS) + Counter(other)
    assert (chosen.words, chosen.lost_words, chosen.lost_count) == (9, 0, 0)
    assert chosen.count == (sum(COUNTS.values()) + 7) * UNIT


@pytest.mark.parametrize("number", [1, 3])
def test_the_most_frequent_words_are_kept(tmp_path: Path, number: int) -> None:
    partitions = partitions_of(tmp_path, [COUNTS], number)
    by_hash = [word for word, _ in words_of(COUNTS).items()]
    ranked = sorted(COUNTS, key=lambda word: (-COUNTS[word], by_hash.index(word)))
    for most in range(len(COUNTS) + 2):
        chosen = choose(partitions, most, 10**6)
        kept = dict(chosen_words(partitions, chosen))
        assert kept == {word: COUNTS[word] for word in ranked[:most]}
        assert (chosen.words, chosen.words + chosen.lost_words) == (len(kept), len(COUNTS))
        assert chosen.count == UNIT * sum(kept.values())
        assert chosen.count + chosen.lost_count == UNIT * sum(COUNTS.values())


@pytest.mark.parametrize("number", [1, 3])
def test_bytes_are_limited_too(tmp_path: Path, number: int) -> None:
    partitions = partitions_of(tmp_path, [COUNTS], number)
    by_hash = [word for word, _ in words_of(COUNTS).items()]
    for most_bytes in range(sum(map(len, COUNTS)) + 2):
        chosen = choose(partitions, 1000, most_bytes)
        kept = dict(chosen_words(partitions, chosen))
        assert sum(map(len, kept)) <= most_bytes
        assert len(kept) == chosen.words
        left_out = COUNTS.keys() - kept.keys()
        assert all(COUNTS[word] <= min(kept.values(), default=10**9) for word in left_out)
        if left_out:  # the next word, by count and hash, would not fit
            following = min(left_out, key=lambda word: (-COUNTS[word], by_hash.index(word)))
            assert sum(map(len, kept)) + len(following) > most_bytes


def test_weighted_counts_are_rounded_to_at_least_one(tmp_path: Path) -> None:
    partitions = partitions_of(tmp_path, [{b"a": 1, b"b": 3, b"c": 5, b"d": 4}], 2, weight=500)
    kept = dict(chosen_words(partitions, choose(partitions, 10, 100)))
    assert kept == {b"a": 1, b"b": 2, b"c": 3, b"d": 2}
    tiny = partitions_of(tmp_path / "tiny", [{b"a": 1}], 1, weight=1)
    assert dict(chosen_words(tiny, choose(tiny, 10, 100))) == {b"a": 1}


def test_no_words(tmp_path: Path) -> None:
    partitions = partitions_of(tmp_path, [{}], 2)
    chosen = choose(partitions, 10, 100)
    assert list(chosen_words(partitions, chosen)) == []
    assert choose([], 10, 100).words == 0


def test_a_file_that_ends_early_is_noticed(tmp_path: Path) -> None:
    partition = Partition(
        key="p", index=0, blocks=(Block(partition=0, path=str(tmp_path / "x.bin"), offset=0, length=50),)
    )
    (tmp_path / "x.bin").write_bytes(b"short")
    plan = CountPlan(folder=str(tmp_path), reading={}, weights={}, tab_runs=8, partitions=1)
    with pytest.raises(ValueError, match="ends early: 45 bytes are missing"):
        add_partition(partition, plan)


def test_counted_text_is_what_is_packed() -> None:
    table = WordTable()
    table.add_text(pa.array(["a b b"]))
    content = b"".join(part.tobytes() for part in _packed(table.counts(), 2))
    assert dict(_unpacked(content).items()) == {b"a": 2, b" b": 4}
