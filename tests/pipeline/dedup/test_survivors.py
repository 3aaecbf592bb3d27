"""Who survives: rules, ties, `keep`, `min_cluster_size`; and the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chunks import HarvestedChunk
from pipeline.dedup import keys, survivors
from pipeline.dedup.arrays import pack, write_array
from pipeline.dedup.columns import Columns
from pipeline.dedup.exact import SAME_TEXT, SAME_URL, UNIQUE


class Table(Columns):
    """Columns of documents given as tuples (label, level, rank, id); the position is the ordinal."""

    rows: tuple[tuple[int, int, int, int], ...] = ()

    def documents(self, ordinals: np.ndarray) -> np.ndarray:
        out = np.zeros(len(ordinals), keys.DOCUMENT)
        out["rank"] = [self.rows[i][2] for i in ordinals]
        out["id_hi"] = [self.rows[i][3] >> 64 for i in ordinals]
        out["id_lo"] = [self.rows[i][3] & (2**64 - 1) for i in ordinals]
        out["text_hi"] = ordinals
        out["has_text"] = True
        return out

    def document_levels(self, ordinals: np.ndarray) -> np.ndarray:
        return np.array([self.rows[i][1] for i in ordinals], np.uint8)

    def similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (100 * first + second).astype(np.float32)


def choose(rows: list[tuple[int, int, int, int]], **chosen: Any) -> tuple[list[dict], dict[int, int]]:
    shared = survivors.SurvivorSettings.model_validate(
        {
            "folder": "",
            "inputs": "",
            "columns": Table(groups=(), levels=(), batch_bytes=1),
            "fuzzy": True,
            "keep": 1,
            "min_cluster_size": 2,
            **chosen,
        }
    )
    shared = shared.model_copy(
        update={"columns": Table(groups=(), levels=(), batch_bytes=1, rows=tuple(rows))}
    )
    labels = np.array([row[0] for row in rows], np.uint32)
    removed, sizes = survivors.choose(pack(labels, np.arange(len(rows), dtype=np.uint32)), shared)
    return [dict(zip(removed.dtype.names, each, strict=True)) for each in removed.tolist()], sizes


def plain_choice(rows: list[tuple[int, int, int, int]], keep: int, smallest: int) -> dict[int, int]:
    """Removed ordinal -> survivor."""
    out = {}
    for label in {row[0] for row in rows}:
        members = sorted((row[1:], i) for i, row in enumerate(rows) if row[0] == label)
        if len(members) >= smallest:
            out |= {i: members[0][1] for _, i in members[keep:]}
    return out


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2**128 - 1)),
        max_size=25,
    ),
    st.integers(1, 3),
    st.integers(2, 4),
)
def test_the_choice_agrees_with_the_reference(rows, keep: int, smallest: int) -> None:
    removed, sizes = choose(rows, keep=keep, min_cluster_size=smallest)
    assert {row["ordinal"]: row["survivor"] for row in removed} == plain_choice(rows, keep, smallest)
    members = [[row for row in rows if row[0] == label] for label in {row[0] for row in rows}]
    assert sizes == {size: sum(len(m) == size for m in members) for size in {len(m) for m in members}}
    for row in removed:
        cluster = [other for other in rows if other[0] == rows[row["ordinal"]][0]]
        assert row["cluster_size"] == len(cluster)
        assert (row["cluster_hi"] << 64 | row["cluster_lo"]) == min(other[3] for other in cluster)
        assert (row["id_hi"] << 64 | row["id_lo"]) == rows[row["ordinal"]][3]
        assert (row["survivor_hi"] << 64 | row["survivor_lo"]) == rows[row["survivor"]][3]
        assert row["similarity"] == 100 * row["ordinal"] + row["survivor"]


def test_a_document_that_stands_for_copies_survives_before_them() -> None:
    rows = [(0, SAME_TEXT, 0, 1), (0, SAME_URL, 1, 2), (0, UNIQUE, 2, 3), (0, UNIQUE, 3, 0)]
    removed, _ = choose(rows, keep=3)
    assert [(row["ordinal"], row["survivor"]) for row in removed] == [(0, 2)]
    removed, _ = choose(rows)
    kinds = {row["ordinal"]: survivors.KINDS[row["kind"]] for row in removed}
    assert kinds == {0: "exact_text", 1: "exact_url", 3: "fuzzy"}


def test_clusters_below_the_smallest_size_are_left_alone_and_counted() -> None:
    rows = [(0, 0, 0, i) for i in range(3)] + [(3, 0, 0, i) for i in range(2)]
    removed, sizes = choose(rows, min_cluster_size=3)
    assert {row["ordinal"] for row in removed} == {1, 2}
    assert sizes == {2: 1, 3: 1}


def test_similarity_is_unknown_without_signatures_and_1_for_equal_texts() -> None:
    class Same(Table):
        def documents(self, ordinals: np.ndarray) -> np.ndarray:
            out = super().documents(ordinals)
            out["text_hi"] = [5, 5, 6]
            return out

    rows = ((0, 0, 0, 1), (0, 2, 0, 2), (0, 1, 0, 3))
    shared = survivors.SurvivorSettings(
        folder="", inputs="", columns=Table(groups=(), levels=(), batch_bytes=1), fuzzy=False, keep=1,
        min_cluster_size=2,
    )  # fmt: skip
    shared = shared.model_copy(update={"columns": Same(groups=(), levels=(), batch_bytes=1, rows=rows)})
    removed, _ = survivors.choose(pack(np.zeros(3, np.uint32), np.arange(3, dtype=np.uint32)), shared)
    by_ordinal = dict(zip(removed["ordinal"].tolist(), removed["similarity"].tolist(), strict=True))
    assert by_ordinal[1] == 1.0
    assert np.isnan(by_ordinal[2])


def removals(folder: Path, groups: dict[tuple[int, int], list[int]]) -> list[survivors.Removals]:
    out = []
    for (base, rows), ordinals in groups.items():
        path = str(folder / f"{base}.bin")
        removed = np.zeros(len(ordinals), survivors.REMOVED)
        removed["ordinal"], removed["id_lo"] = ordinals, ordinals
        removed["kind"] = np.arange(len(ordinals)) % 3
        removed["similarity"] = np.where(removed["kind"] == 1, np.nan, 0.5)
        write_array(path, removed)
        out.append(survivors.Removals(base=base, rows=rows, path=path, documents=len(ordinals)))
    return out


def test_removals_of_a_chunk(tmp_path: Path) -> None:
    found = removals(tmp_path, {(0, 20): [0, 9, 10, 19], (40, 10): [40, 49]})

    def rows(base: int, count: int) -> list[int]:
        chunk = HarvestedChunk(key="c", path="", rows=count, base=base)
        return survivors.removed_in(found, chunk)["ordinal"].tolist()

    assert rows(0, 10) == [0, 9]
    assert rows(10, 10) == [10, 19]
    assert rows(20, 10) == []  # a group without removals has no file
    assert rows(40, 10) == [40, 49]
    assert rows(41, 8) == []
    assert rows(5, 0) == []


def test_the_table_is_the_same_however_the_groups_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survivors, "_ROW_GROUP", 7)
    contents = []
    for name, cut in (("one", 50), ("two", 9)):
        (tmp_path / name).mkdir()
        ordinals = list(range(50))
        found = removals(tmp_path / name, {(0, cut): ordinals})
        if cut < 50:
            whole = np.fromfile(found[0].path, survivors.REMOVED)
            found = []
            for start in range(0, 50, cut):
                path = str(tmp_path / name / f"part-{start}.bin")
                write_array(path, whole[start : start + cut])
                found.append(
                    survivors.Removals(
                        base=start, rows=cut, path=path, documents=len(whole[start : start + cut])
                    )
                )
        path = str(tmp_path / f"{name}.parquet")
        item = survivors.TableItem(key="all", removals=tuple(found))
        table = survivors.write_table(item, survivors.TableSettings(path=path, inputs=""))
        assert table.rows == 50
        contents.append(Path(path).read_bytes())
        metadata = pq.ParquetFile(path).metadata
        assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [7] * 7 + [1]
    assert contents[0] == contents[1]
    rows = pq.read_table(str(tmp_path / "one.parquet")).to_pylist()
    assert [row["id"] for row in rows] == [f"{i:032x}" for i in range(50)]
    assert [row["kind"] for row in rows[:3]] == ["fuzzy", "exact_url", "exact_text"]
    assert [row["similarity"] for row in rows[:3]] == [0.5, None, 0.5]


def test_an_empty_table(tmp_path: Path) -> None:
    path = str(tmp_path / "none.parquet")
    survivors.write_table(
        survivors.TableItem(key="all", removals=()), survivors.TableSettings(path=path, inputs="")
    )
    assert pq.read_table(path).num_rows == 0
