"""The phase from chunk files to tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline import pool
from pipeline.blocks import Partition
from pipeline.chunks import HarvestedChunk
from pipeline.dedup.phase import DuplicateReport, find_duplicates
from pipeline.dedup.settings import DedupSettings
from pipeline.engine import Engine, RunnerSettings
from pipeline.errors import UserError
from tests.pipeline.dedup import corpus

Row = dict[str, Any]


class PlainEngine:
    """The engine's contract without Beam: maps, groups blocks by partition, reduces, all in this process."""

    def run(self, _phase, task, items, shared) -> list[Any]:
        return [task(item, shared) for item in sorted(items, key=lambda item: item.key)]

    def shuffle(self, phase, map_task, items, reduce_task, shared) -> list[Any]:
        partitions: dict[int, list[Any]] = {}
        for result in self.run(phase, map_task, items, shared):
            for block in result.blocks:
                partitions.setdefault(block.partition, []).append(block)
        parts = [
            Partition(
                key=f"partition-{index:05d}",
                index=index,
                blocks=tuple(sorted(blocks, key=lambda block: (block.path, block.offset))),
            )
            for index, blocks in sorted(partitions.items())
        ]
        return self.run(phase, reduce_task, parts, shared)


Find = Callable[..., tuple[dict[int, int], DuplicateReport]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Removed row -> surviving row, and the report, of rows with the given settings."""

    def run(
        rows: Sequence[Row],
        cuts: Sequence[int] = (),
        types: dict[str, pa.DataType] | None = None,
        /,
        **chosen: Any,
    ) -> tuple[dict[int, int], DuplicateReport]:
        chunks = corpus.write_chunks(tmp_path / "in", rows, cuts, **(types or {}))
        report = find_duplicates(chunks, DedupSettings(**chosen), PlainEngine(), str(tmp_path / "work"))  # type: ignore[arg-type]
        places = {row["id"]: i for i, row in enumerate(rows)}
        table = pq.read_table(report.table).to_pylist()
        found = {places[row["id"]]: places[row["surviving_id"]] for row in table}
        by_chunk = {
            int(each["ordinal"]): int(each["survivor"]) for c in chunks for each in report.removed_in(c)
        }
        assert by_chunk == found
        assert sum(report.removed.values()) == len(found)
        return found, report

    return run


def family(first: int, seed: int, jaccards: Sequence[float], **columns: Any) -> list[Row]:
    """A document and variants of it at the given Jaccard similarities to it."""
    base = corpus.shingles(300, seed)
    sets = [base, *(corpus.variant(base, j, 1000 * seed + i) for i, j in enumerate(jaccards))]
    return [corpus.document(first + i, each, **columns) for i, each in enumerate(sets)]


def alone(number: int, **columns: Any) -> Row:
    """A document unlike all others."""
    return corpus.document(number, corpus.shingles(300, 7000 + number), **columns)


# ---- kinds


def test_every_kind_of_duplicate(find: Find) -> None:
    rows = [
        *family(0, 1, [0.95]),
        alone(2, text_hash=77),
        alone(3, text_hash=77),
        alone(4, url_hash=88, date="2024-01-01T00:00:00Z"),
        alone(5, url_hash=88, date="2024-06-01T00:00:00Z"),
        alone(6),
    ]
    found, report = find(rows, (2, 5))
    assert found == {1: 0, 3: 2, 4: 5}
    assert report.removed == {"fuzzy": 1, "exact_url": 1, "exact_text": 1}
    assert report.clusters_by_size == {2: 3}
    assert (report.documents, report.candidates, report.verified) == (7, 1, 1)
    table = {row["id"][-1]: row for row in pq.read_table(report.table).to_pylist()}
    assert {number: row["kind"] for number, row in table.items()} == {
        "1": "fuzzy",
        "3": "exact_text",
        "4": "exact_url",
    }
    assert table["1"]["similarity"] == pytest.approx(0.95, abs=0.06)
    assert table["3"]["similarity"] == 1.0
    assert table["4"]["similarity"] == pytest.approx(0.0, abs=0.06)
    assert {row["cluster_size"] for row in table.values()} == {2}
    assert table["4"]["cluster"] == rows[4]["id"]


@pytest.mark.parametrize(
    ("off", "expected"),
    [("exact_text", {1: 0, 4: 5}), ("exact_url", {1: 0, 3: 2}), ("fuzzy", {3: 2, 4: 5})],
)
def test_each_kind_can_be_turned_off(find: Find, off: str, expected: dict[int, int]) -> None:
    rows = [
        *family(0, 1, [0.95]),
        alone(2, text_hash=77),
        alone(3, text_hash=77),
        alone(4, url_hash=88, date="2024-01-01"),
        alone(5, url_hash=88, date="2024-06-01"),
    ]
    assert find(rows, **{off: False})[0] == expected


def test_copies_of_copies_lead_to_one_survivor(find: Find) -> None:
    """2 has the text of 1, 1 is nearly 0, 3 is an older capture of 0, 4 has the text of 3."""
    rows = [
        *family(0, 1, [0.95]),
        alone(2),
        alone(3, date="2020-01-01T00:00:00Z"),
        alone(4),
        alone(5),
    ]
    rows[2] |= {"minhash": rows[1]["minhash"], "text_hash": rows[1]["text_hash"]}
    rows[3]["url_hash"] = rows[0]["url_hash"]
    rows[4] |= {"minhash": rows[3]["minhash"], "text_hash": rows[3]["text_hash"]}
    rows[0]["gopher.word_count"] = 500
    found, report = find(rows, (1, 2, 4))
    assert found == {1: 0, 2: 0, 3: 0, 4: 0}
    assert report.removed == {"fuzzy": 1, "exact_url": 1, "exact_text": 2}
    assert report.clusters_by_size == {5: 1}


def test_rejected_and_empty_documents_neither_group_nor_survive(find: Find) -> None:
    rows = family(0, 1, [0.98, 0.97, 0.96])
    rows[0]["status"] = "rejected"
    rows += [corpus.document(n, None, text_hash=99, url_hash=98, **{"gopher.word_count": 0}) for n in (4, 5)]
    found, report = find(rows)
    assert found == {2: 1, 3: 1}
    assert report.documents == 3


def test_documents_without_url_are_not_captures_of_one_page(find: Find) -> None:
    rows = [alone(n, url_hash=value) for n, value in enumerate((None, None, 0, 0))]
    assert find(rows)[0] == {}


def test_nothing_to_find(find: Find) -> None:
    found, report = find([alone(n) for n in range(4)])
    assert found == {}
    assert pq.read_table(report.table).num_rows == 0
    assert find([corpus.document(0, status="rejected")])[1].documents == 0


# ---- verification


def test_unlike_documents_that_share_a_band_are_not_duplicates(find: Find) -> None:
    """At Jaccard .6 a fifth of the pairs share a band; unverified, they are removed."""
    rows = [row for n in range(40) for row in family(2 * n, n, [0.6])]
    assert find(rows)[0] == {}
    found, report = find(rows, verify="none")
    assert 2 <= len(found) <= 18
    assert report.verified == report.candidates


def test_exact_verification_reads_the_candidates_texts(find: Find) -> None:
    """Signatures that say .9 do not help texts that have nothing in common."""
    words = [" ".join(f"{'ab'[n]}{i}" for i in range(100)) for n in range(2)]
    rows = family(0, 1, [0.9, 0.9])
    for row, text in zip(rows, (words[0], words[1], words[0] + " more"), strict=True):
        row["text"] = text
    found, _ = find(rows, (1,), {"text": pa.large_string()}, verify="exact")
    assert found == {2: 0}
    assert find(rows, verify="signature")[0] == {1: 0, 2: 0}


def test_removed_documents_have_a_partner(find: Find) -> None:
    """Of the removed at most .5 % have no document at Jaccard .7 or more; from .85 on pairs are found as the bands
    promise; at .8 verification costs eight in a hundred (docs/dedup.md).
    """
    levels = np.repeat([0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95], 400)
    rows = [row for n, j in enumerate(levels) for row in family(2 * n, n, [j])]
    found, report = find(rows)
    assert all(abs(a - b) == 1 and min(a, b) % 2 == 0 for a, b in found.items())
    similarity = levels[[min(pair) // 2 for pair in found.items()]]
    assert (similarity < 0.7).sum() <= 0.005 * len(found)
    by_level = {j: (similarity == j).mean() * len(similarity) / 400 for j in np.unique(levels)}
    for j in (0.85, 0.9, 0.95):
        assert by_level[j] == pytest.approx(1 - (1 - j**8) ** 14, abs=0.02)
    assert by_level[0.8] == pytest.approx(0.849, abs=0.03)
    assert report.verified == len(found)


# ---- scope, rules, keep


@pytest.mark.parametrize(
    ("scope", "removed"), [("global", {1, 2, 3}), ("source", {1, 3}), ("snapshot", {2, 3})]
)
@pytest.mark.parametrize("kind", ["exact_text", "exact_url", "fuzzy"])
def test_scope(find: Find, kind: str, scope: str, removed: set[int]) -> None:
    rows = family(0, 1, [0.97, 0.97, 0.97]) if kind == "fuzzy" else [alone(n) for n in range(4)]
    for i, row in enumerate(rows):
        row["source"], row["snapshot"] = "aabb"[i], "xyxy"[i]
        if kind != "fuzzy":
            row["text_hash" if kind == "exact_text" else "url_hash"] = 5
    assert set(find(rows, scope=scope)[0]) == removed


@pytest.mark.parametrize(
    ("chosen", "survivor"),
    [
        ({}, 1),
        ({"survivor": "longest"}, 1),
        ({"survivor": "newest"}, 2),
        ({"survivor": "oldest"}, 3),
        ({"quality_column": "quality"}, 4),
        ({"quality_column": "quality", "survivor": "newest"}, 2),
    ],
)
@pytest.mark.parametrize("kind", ["exact_text", "fuzzy"])
def test_the_survivor_is_the_best_by_the_rule(find: Find, kind: str, chosen: Row, survivor: int) -> None:
    rows = family(0, 1, [0.97] * 4) if kind == "fuzzy" else [alone(n, text_hash=5) for n in range(5)]
    for i, row in enumerate(rows):
        row["gopher.word_count"] = [100, 102, 101, 99, 98][i]
        row["date"] = ["2024-03-01", "2024-04-01", "2024-05-01", "2024-01-01", "2024-02-01"][i] + "T00:00:00Z"
        row["quality"] = [0.1, 0.2, None, 0.3, 0.9][i]
    assert find(rows, **chosen)[0] == {i: survivor for i in range(5) if i != survivor}


def test_ties_go_to_the_smaller_id(find: Find) -> None:
    rows = [corpus.document(9 - n, corpus.shingles(300, 1), text_hash=5) for n in range(4)]
    assert find(rows)[0] == {0: 3, 1: 3, 2: 3}


def test_of_captures_of_a_page_the_newest_survives_or_as_set(find: Find) -> None:
    rows = [alone(n, url_hash=5, date=f"202{n}-01-01T00:00:00Z", quality=-float(n)) for n in range(3)]
    assert find(rows)[0] == {0: 2, 1: 2}
    assert find(rows, exact_url_survivor="oldest")[0] == {1: 0, 2: 0}
    assert find(rows, exact_url_survivor="quality", quality_column="quality")[0] == {1: 0, 2: 0}


def test_keep_and_the_smallest_cluster(find: Find) -> None:
    rows = [*family(0, 1, [0.97] * 4), *family(5, 2, [0.97])]
    assert len(find(rows)[0]) == 5
    assert find(rows, keep=2)[0].keys() == {2, 3, 4}
    found, report = find(rows, min_cluster_size=3)
    assert found.keys() == {1, 2, 3, 4}
    assert report.clusters_by_size == {2: 1, 5: 1}
    assert find(rows, keep=2, min_cluster_size=6)[0] == {}


# ---- the same result every time


def planted(tmp_path: Path) -> list[HarvestedChunk]:
    random = np.random.default_rng(4)
    rows: list[Row] = []
    for n in range(60):
        rows += family(len(rows), n, [0.9] * int(random.integers(0, 5)))
    for i in random.integers(0, len(rows), 12):
        rows[i]["text_hash"] = 5 + i % 3
    for i in random.integers(0, len(rows), 12):
        rows[i] |= {"url_hash": 5 + i % 3, "date": f"20{10 + i % 9}-01-01T00:00:00Z"}
    for i, row in enumerate(rows):
        row["id"] = f"{i * 7919 % 100_003:032x}"
    return corpus.write_chunks(tmp_path / "in", rows, (20, 21, 70, 110))


def contents(report: DuplicateReport, chunks: Sequence[HarvestedChunk]) -> tuple[bytes, ...]:
    table = Path(report.table).read_bytes()
    return (table, *(report.removed_in(chunk).tobytes() for chunk in sorted(chunks, key=lambda c: c.base)))


def test_the_bytes_do_not_depend_on_how_the_work_is_cut(tmp_path: Path) -> None:
    chunks = planted(tmp_path)
    plain: Any = PlainEngine()
    reports = [
        find_duplicates(order, DedupSettings(**chosen), plain, str(tmp_path / f"work-{i}"))
        for i, (order, chosen) in enumerate(
            [
                (chunks, {}),
                (chunks[::-1], {"task_rows": 30}),
                (chunks, {"partition_bytes": 4096}),
                (chunks, {"components": "stars", "partition_bytes": 9000, "task_rows": 1}),
                (chunks, {"union_find_bytes": 1}),
            ]
        )
    ]
    first = contents(reports[0], chunks)
    assert len(reports[0].removed_in(chunks[2])) > 5
    for report in reports[1:]:
        assert contents(report, chunks) == first
        assert report.clusters_by_size == reports[0].clusters_by_size
        assert report.removed == reports[0].removed
    assert [report.components for report in reports] == ["union_find"] * 3 + ["stars"] * 2


def test_over_the_engine_with_and_without_workers_and_again(tmp_path: Path) -> None:
    chunks = planted(tmp_path)
    plain: Any = PlainEngine()
    expected = find_duplicates(chunks, DedupSettings(), plain, str(tmp_path / "plain"))
    settings = DedupSettings(partition_bytes=40_000, task_rows=60)
    work = str(tmp_path / "work")
    with pool.using_pool(2):
        report = find_duplicates(chunks, settings, Engine(str(tmp_path / "engine"), RunnerSettings()), work)
    assert contents(report, chunks) == contents(expected, chunks)
    written = {path: path.stat().st_mtime_ns for path in Path(work).rglob("*.bin")}

    engine = Engine(str(tmp_path / "engine"), RunnerSettings())
    assert find_duplicates(chunks, settings, engine, work) == report
    assert {path: path.stat().st_mtime_ns for path in Path(work).rglob("*.bin")} == written

    # Fewer partitions leave results of the others behind; they must not be taken for new ones.
    other = settings.model_copy(update={"threshold": 0.99, "partition_bytes": 1 << 20})
    stricter = find_duplicates(chunks, other, engine, work)
    assert stricter.removed["fuzzy"] < report.removed["fuzzy"]
    assert stricter.removed["exact_text"] == report.removed["exact_text"]
    # Nor may the files of the first settings have been touched.
    assert contents(report, chunks) == contents(expected, chunks)


def test_a_changed_threshold_redoes_only_what_follows(tmp_path: Path) -> None:
    chunks = planted(tmp_path)
    engine = Engine(str(tmp_path / "engine"), RunnerSettings())
    settings = DedupSettings(exact_text=False, exact_url=False)
    find_duplicates(chunks, settings, engine, str(tmp_path / "work"))
    before = {path.name for path in (tmp_path / "work").iterdir()}
    stricter = settings.model_copy(update={"threshold": 0.9})
    find_duplicates(chunks, stricter, engine, str(tmp_path / "work"))
    after = {path.name for path in (tmp_path / "work").iterdir()}
    assert {name.split("-")[0] for name in after - before} == {
        "verified",
        "components",
        "survivors",
        "removed",
    }


def test_other_contents_of_the_same_files_are_read_again(tmp_path: Path) -> None:
    engine = Engine(str(tmp_path / "engine"), RunnerSettings())
    chosen = DedupSettings(exact_url=False, fuzzy=False)

    def removed(rows: list[Row], contents: str) -> dict[str, int]:
        chunks = corpus.write_chunks(tmp_path / "in", rows)
        return find_duplicates(chunks, chosen, engine, str(tmp_path / "work"), contents=contents).removed

    rows = [alone(n, text_hash=5) for n in range(4)]
    assert removed(rows, "first")["exact_text"] == 3
    rows[3]["status"] = "rejected"
    assert removed(rows, "second")["exact_text"] == 2


# ---- settings


def test_signatures_must_be_long_enough_for_the_bands(find: Find) -> None:
    with pytest.raises(UserError, match=r"15 bands of 8 rows need signatures of 120 values .*\[112\]"):
        find(family(0, 1, [0.9]), bands=15)
    assert find(family(0, 1, [0.97]), bands=28, rows=4)[0] == {1: 0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"survivor": "quality"},
        {"exact_url_survivor": "quality"},
        {"keep": 0},
        {"min_cluster_size": 1},
        {"threshold": 0.0},
        {"treshold": 0.8},
        {"verify": "maybe"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: Row) -> None:
    with pytest.raises(ValidationError):
        DedupSettings(**wrong)


def test_defaults_are_those_of_the_references() -> None:
    settings = DedupSettings()
    assert (settings.bands, settings.rows, settings.verify, settings.threshold) == (14, 8, "signature", 0.76)
    assert (settings.scope, settings.keep, settings.min_cluster_size) == ("global", 1, 2)
    assert (settings.rule, DedupSettings(quality_column="q").rule) == ("longest", "quality")
