"""Random access by ordinal over the files of groups; similarity by signatures and shingles; verification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.blocks import Partition
from pipeline.chunks import HarvestedChunk
from pipeline.dedup import keys, shingles, verify
from pipeline.dedup.arrays import pack, read_blocks, unpack, write_array, write_blocks
from pipeline.dedup.columns import Columns, equal_values
from pipeline.errors import UserError
from tests.pipeline.dedup import corpus

WORDS = [f"word{i}" for i in range(400)]


def text_of(start: int) -> str:
    """100 words; two texts whose starts differ by d share 96 - d of their 96 shingles."""
    return " ".join(WORDS[start : start + 100])


@pytest.fixture(scope="module")
def chunks(tmp_path_factory) -> list[HarvestedChunk]:
    """60 documents in three chunks; every seventh was rejected."""
    rows = [
        corpus.document(
            i,
            np.arange(4 * i, 4 * i + 300, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15),
            status="rejected" if i % 7 == 0 else "kept",
            text=text_of(4 * i),
        )
        for i in range(60)
    ]
    return corpus.write_chunks(tmp_path_factory.mktemp("in"), rows, (13, 40), text=pa.large_string())


@pytest.fixture(scope="module")
def columns(tmp_path_factory, chunks: list[HarvestedChunk]) -> Columns:
    folder = str(tmp_path_factory.mktemp("columns"))
    shared = keys.KeySettings(
        folder=folder,
        scope="global",
        rule="longest",
        url_rule="newest",
        quality_column=None,
        text=True,
        url=True,
        fuzzy=True,
    )
    groups = [keys.read_group(group, shared) for group in keys.group_chunks(chunks, 30)]
    levels = []
    for group in groups:
        levels.append(f"{folder}/levels-{group.key}.bin")
        write_array(levels[-1], np.arange(group.documents, dtype=np.uint8))
    return Columns(groups=tuple(groups), levels=tuple(levels), batch_bytes=4000)


KEPT = [i for i in range(60) if i % 7]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(KEPT), unique=True))
def test_access_by_ordinal(columns: Columns, chosen: list[int]) -> None:
    ordinals = np.array(sorted(chosen), np.uint32)
    assert columns.documents(ordinals)["id_lo"].tolist() == ordinals.tolist()
    sets = [np.arange(4 * i, 4 * i + 300, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) for i in ordinals]
    assert columns.signatures(ordinals).tolist() == corpus.signatures(sets).tolist()
    places = [KEPT.index(i) - sum(k < base for k in KEPT for base in [_base(columns, i)]) for i in ordinals]
    assert columns.document_levels(ordinals).tolist() == places


def _base(columns: Columns, ordinal: int) -> int:
    return max(base for base in columns.bases if base <= ordinal)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 8), st.integers(0, 12), st.integers(1, 9), st.integers(0, 99))
def test_equal_values_agree_with_the_reference(rows: int, pairs: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = random.integers(0, 3, (rows + 1, width)).astype(np.uint32)
    first, second = random.integers(0, rows + 1, (2, pairs))
    expected = [sum(x == y for x, y in zip(matrix[a], matrix[b])) for a, b in zip(first, second)]  # noqa: B905
    assert equal_values(matrix, first, second).tolist() == expected


def test_similarity_is_the_share_of_equal_values_in_batches_of_any_size(columns: Columns) -> None:
    first, second = (np.array(side, np.uint32) for side in ([1, 1, 2, 59, 16], [1, 2, 58, 1, 15]))
    sets = {i: columns.signatures(np.array([i], np.uint32))[0] for i in {*first.tolist(), *second.tolist()}}
    expected = [
        float((sets[a] == sets[b]).mean()) for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]
    for batch_bytes in (1, 2000, 1 << 20):
        several = columns.model_copy(update={"batch_bytes": batch_bytes})
        assert several.similarity(first, second).tolist() == pytest.approx(expected)
    assert columns.similarity(first[:0], second[:0]).tolist() == []


# ---- shingles


@pytest.fixture(scope="module")
def exact(tmp_path_factory, chunks: list[HarvestedChunk]) -> shingles.Shingles:
    folder = tmp_path_factory.mktemp("shingles")
    read = []
    for group in keys.group_chunks(chunks, 30):
        path = str(folder / f"{group.key}.bin")
        inside = [i for i in KEPT if group.base <= i < group.base + group.rows and i % 10 != 3]
        write_array(path, np.array(inside, np.uint32))
        item = shingles.ShingleGroup(key=group.key, group=group, candidates=path)
        read.append(shingles.read_shingles(item, shingles.ShingleSettings(folder=str(folder), words=5)))
    return shingles.Shingles(groups=tuple(read), batch_bytes=3000)


@pytest.mark.parametrize("batch_bytes", [1, 3000, 1 << 20])
def test_exact_similarity_of_texts(exact: shingles.Shingles, batch_bytes: int) -> None:
    pairs = [(1, 1), (1, 2), (2, 1), (12, 16), (39, 40), (1, 59), (8, 12)]
    first, second = (np.array(side, np.uint32) for side in zip(*pairs, strict=True))
    shared = [max(0, 96 - 4 * abs(a - b)) for a, b in pairs]
    expected = [same / (2 * 96 - same) for same in shared]
    several = exact.model_copy(update={"batch_bytes": batch_bytes})
    assert several.similarity(first, second).tolist() == pytest.approx(expected)


def test_a_chunk_without_text_is_named(tmp_path: Path) -> None:
    (chunk,) = corpus.write_chunks(tmp_path, [corpus.document(0)])
    write_array(str(tmp_path / "candidates.bin"), np.zeros(1, np.uint32))
    group = keys.group_chunks([chunk], 10)[0]
    item = shingles.ShingleGroup(key=group.key, group=group, candidates=str(tmp_path / "candidates.bin"))
    with pytest.raises(UserError, match="no column text"):
        shingles.read_shingles(item, shingles.ShingleSettings(folder=str(tmp_path), words=5))


# ---- verification


@pytest.fixture
def verified(tmp_path: Path) -> Callable[..., tuple[list[tuple[int, int]], dict[str, int]]]:
    def run(edges: list[tuple[int, int]], **settings: object) -> tuple[list[tuple[int, int]], dict[str, int]]:
        with write_blocks(str(tmp_path / "edges.bin")) as writer:
            writer.add(0, pack(*(np.array(side, np.uint32) for side in zip(*edges, strict=True))))
        shared = verify.VerifySettings.model_validate(
            {"folder": str(tmp_path), "inputs": "test", "threshold": 0.75, **settings}
        )
        item = Partition(key="partition-00000", index=0, blocks=tuple(writer.blocks))
        result = verify.verify_edges(item, shared)
        found = unpack(read_blocks(result.blocks, np.uint64))
        return sorted(zip(*(side.tolist() for side in found), strict=True)), result.counts

    return run


def test_edges_hold_from_the_threshold_on(verified, exact: shingles.Shingles) -> None:
    """Texts two apart share 88 of 104 shingles, three apart 84 of 108."""
    edges = [(8, 10), (8, 11), (8, 10), (15, 18), (1, 59)]
    assert verified(edges, similarities=exact, threshold=88 / 104) == (
        [(8, 10)],
        {"candidates": 4, "verified": 1},
    )
    assert verified(edges, similarities=exact, threshold=84 / 108)[0] == [(8, 10), (8, 11), (15, 18)]
    assert verified(edges, similarities=exact, threshold=0.85)[0] == []


def test_what_holds_leaves_as_a_forest(verified, columns: Columns) -> None:
    edges = [(1, 2), (2, 3), (1, 3), (8, 30)]
    assert verified(edges, similarities=columns) == ([(1, 2), (1, 3)], {"candidates": 4, "verified": 3})


def test_without_verification_every_candidate_holds(verified) -> None:
    assert verified([(1, 2), (8, 30)], similarities=None) == (
        [(1, 2), (8, 30)],
        {"candidates": 2, "verified": 2},
    )
