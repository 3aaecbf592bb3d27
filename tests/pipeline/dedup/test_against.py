"""Earlier runs: what they published is removed from a new one, and nothing else changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.chunks import HarvestedChunk
from pipeline.dedup import keys
from pipeline.dedup.earlier import EarlierFile, EarlierRuns, earlier_chunks, earlier_runs, find_earlier
from pipeline.dedup.phase import DuplicateReport, find_duplicates
from pipeline.dedup.settings import DedupSettings
from pipeline.errors import UserError
from pipeline.stages import MinHashSettings
from tests.pipeline.dedup import corpus
from tests.pipeline.dedup.test_phase import PlainEngine, Row, alone, family

MADE = MinHashSettings().described


def publish(path: Path, rows: Sequence[Row], left_out: str = "", **described: str) -> Path:
    """A published shard: no status, and only the columns of signatures beside words and ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = [
        pa.field(name, corpus.TYPES.get(name, pa.string()), metadata=described if name == "minhash" else None)
        for name in ("id", "source", "text_hash", "url_hash", "minhash")
        if name != left_out
    ]
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in fields]
    pq.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), path)
    return path


def find(
    folder: Path, rows: Sequence[Row], earlier: Sequence[Path], cuts: Sequence[int] = (), **chosen: Any
) -> tuple[dict[str, tuple[str, str | None]], DuplicateReport]:
    """Id of each removed document -> its survivor's id and earlier run; and the report."""
    settings = DedupSettings(**chosen)
    chunks = corpus.write_chunks(folder / "in", rows, cuts)
    files = find_earlier([str(path) for path in earlier], settings, MADE, corpus.WIDTH)
    report = find_duplicates(
        [*chunks, *earlier_chunks(files, len(rows))],
        settings,
        PlainEngine(),  # type: ignore[arg-type]
        str(folder / "work"),
    )
    table = pq.read_table(report.table).to_pylist()
    found = {row["id"]: (row["surviving_id"], row["surviving_run"]) for row in table}
    assert len(found) == sum(report.removed.values()) == sum(len(report.removed_in(c)) for c in chunks)
    return found, report


def name(row: Row) -> str:
    return str(row["id"])


def published(folder: Path, rows: Sequence[Row], run: str = "earlier", part: int = 0) -> Path:
    return publish(folder / run / "documents" / f"part-{part}.parquet", rows, **MADE)


def test_every_kind_of_copy_of_an_earlier_document_goes(tmp_path: Path) -> None:
    near = family(0, 1, [0.95])
    old = [near[1], alone(2, text_hash=77), alone(3, url_hash=88)]
    new = [
        # Longer and newer than what is published: it goes all the same.
        {**near[0], "gopher.word_count": 9000, "date": "2030-01-01T00:00:00Z"},
        alone(4, text_hash=77, date="2030-01-01T00:00:00Z"),
        alone(5, url_hash=88, date="2030-01-01T00:00:00Z"),
        alone(6),
    ]
    found, report = find(tmp_path, new, [published(tmp_path, old)])
    run = str(tmp_path / "earlier")
    assert found == {
        name(new[0]): (name(old[0]), run),
        name(new[1]): (name(old[1]), run),
        name(new[2]): (name(old[2]), run),
    }
    assert report.removed == {"fuzzy": 1, "exact_url": 1, "exact_text": 1}


@pytest.mark.parametrize("rule", ["longest", "newest", "oldest"])
def test_earlier_wins_by_every_rule(tmp_path: Path, rule: str) -> None:
    """The copy's id is smaller, too."""
    new = [alone(1, text_hash=7, date="1990-01-01T00:00:00Z"), alone(2)]
    found, _ = find(tmp_path, new, [published(tmp_path, [alone(5, text_hash=7)])], survivor=rule)
    assert found == {name(new[0]): (name(alone(5)), str(tmp_path / "earlier"))}


def test_no_copy_of_what_is_published_survives_keep_and_min_cluster_size(tmp_path: Path) -> None:
    new = [alone(1, text_hash=7), alone(2, text_hash=9), alone(3, text_hash=9)]
    old = [published(tmp_path, [alone(5, text_hash=7)])]
    found, _ = find(tmp_path, new, old, keep=2, min_cluster_size=3)
    assert set(found) == {name(new[0])}


def test_nothing_earlier_is_counted(tmp_path: Path) -> None:
    """Earlier copies of each other, by text, by URL and nearly, are no duplicates of this run."""
    old = [*family(10, 1, [0.95, 0.9]), alone(20, text_hash=7), alone(21, text_hash=7), alone(22, url_hash=8)]
    old.append(alone(23, url_hash=8))
    new = [alone(1), alone(2), alone(3, text_hash=9), alone(4, text_hash=9)]
    found, report = find(tmp_path, new, [published(tmp_path, old)])
    assert found == {name(new[3]): (name(new[2]), None)}
    assert (report.documents, report.earlier_documents) == (4, 7)
    assert report.removed == {"fuzzy": 0, "exact_url": 0, "exact_text": 1}
    assert (report.candidates, report.clusters_by_size) == (0, {2: 1})


def test_a_copy_by_url_of_an_earlier_copy_by_text_goes(tmp_path: Path) -> None:
    """Which of two published documents stands for the other does not matter: both are published."""
    old = [alone(10, text_hash=7, url_hash=70), alone(11, text_hash=7, url_hash=71)]
    found, _ = find(tmp_path, [alone(1, url_hash=71)], [published(tmp_path, old)])
    assert found == {name(alone(1)): (name(old[1]), str(tmp_path / "earlier"))}


def test_among_earlier_ones_the_smaller_id_is_named(tmp_path: Path) -> None:
    first = published(tmp_path, [alone(9, text_hash=7)], "a")
    second = published(tmp_path, [alone(8, text_hash=7)], "b")
    found, _ = find(tmp_path, [alone(1, text_hash=7)], [first, second])
    assert found == {name(alone(1)): (name(alone(8)), str(tmp_path / "b"))}


def test_order_of_files_and_cut_into_tasks_do_not_matter(tmp_path: Path) -> None:
    families = [family(100 * n, n, [0.95, 0.9, 0.97]) for n in range(1, 7)]
    old = [
        published(tmp_path, [each[2] for each in families[:4]], "a"),
        published(tmp_path, [each[3] for each in families[2:5]], "b", 0),
        published(tmp_path, [alone(50), alone(51)], "b", 1),
    ]
    new = [row for each in families for row in each[:2]]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    found, one = find(tmp_path / "one", new, old, (5,))
    _, two = find(tmp_path / "two", new, [*reversed(old), old[0]], (5,), task_rows=3, partition_bytes=2000)
    assert storage.read_bytes(one.table) == storage.read_bytes(two.table)
    assert {run for _, run in found.values()} == {str(tmp_path / "a"), str(tmp_path / "b"), None}
    # The sixth family has no published member: its best survives.
    assert {name(row) for row in new} - set(found) == {name(families[5][0])}


def test_scopes_are_kept_apart(tmp_path: Path) -> None:
    old = [published(tmp_path, [alone(5, text_hash=7, source="news")])]
    assert find(tmp_path, [alone(1, text_hash=7)], old, scope="source")[0] == {}
    assert len(find(tmp_path, [alone(1, text_hash=7, source="news")], old, scope="source")[0]) == 1


def test_only_columns_of_signatures_are_read() -> None:
    shared = keys.KeySettings(
        folder="",
        scope="global",
        rule="longest",
        url_rule="newest",
        quality_column=None,
        text=True,
        url=True,
        fuzzy=True,
    )
    assert keys.columns_read(shared, earlier=True) == {"id", "text_hash", "url_hash", "minhash"}


# ---- refusals


def refused(path: Path | str, **chosen: Any) -> str:
    with pytest.raises(UserError) as caught:
        find_earlier([str(path)], DedupSettings(**chosen), MADE, corpus.WIDTH)
    return str(caught.value)


def test_files_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    rows = [alone(1)]
    assert "no file matches" in refused(tmp_path / "*.parquet")
    assert "has no column url_hash" in refused(publish(tmp_path / "a.parquet", rows, "url_hash", **MADE))
    assert "has no column text" in refused(publish(tmp_path / "a.parquet", rows, **MADE), verify="exact")
    assert "does not say how its signatures were made" in refused(publish(tmp_path / "b.parquet", rows))
    for key, other in (("family", "affine_v1"), ("ngram", "13"), ("words", "words_v0")):
        path = publish(tmp_path / "c.parquet", rows, **{**MADE, key: other})
        assert re.search(f"signatures of {key} {other}, and this run makes {MADE[key]}", refused(path))
    path = publish(tmp_path / "d.parquet", rows, **MADE)
    with pytest.raises(UserError, match=r"minhash\.permutations"):
        find_earlier([str(path)], DedupSettings(), MADE, 128)
    (tmp_path / "e.parquet").write_text("text")
    assert "cannot be read as Parquet" in refused(tmp_path / "e.parquet")


def test_without_a_fuzzy_stage_signatures_do_not_matter(tmp_path: Path) -> None:
    path = publish(tmp_path / "a.parquet", [alone(5, text_hash=7)], "minhash")
    found, _ = find(tmp_path, [alone(1, text_hash=7)], [path], fuzzy=False)
    assert found == {name(alone(1)): (name(alone(5)), str(path))}


# ---- ordinals


def test_which_ordinals_are_of_which_run() -> None:
    files = [EarlierFile(path=f"/{run}/documents/{part}.parquet", rows=2) for run in "ba" for part in "01"]
    chunks = earlier_chunks(files, 10)
    assert [chunk.base for chunk in chunks] == [10, 12, 14, 16]
    runs = earlier_runs([HarvestedChunk(key="own", path="", rows=10), *chunks])
    assert runs == EarlierRuns(starts=(10, 14), names=("/a", "/b"))
    ordinals = np.array([0, 9, 10, 13, 14, 17], np.uint32)
    assert runs.of(ordinals).to_pylist() == [None, None, "/a", "/a", "/b", "/b"]
    assert EarlierRuns().of(ordinals).to_pylist() == [None] * 6
    with pytest.raises(ValueError, match="behind earlier"):
        earlier_runs([*chunks, HarvestedChunk(key="own", path="", rows=1, base=18)])
