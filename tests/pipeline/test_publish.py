"""Publishing: every kept document in exactly one shard, whatever the chunks; shards of equal size."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import publish as module
from pipeline.chunks import READ_SCHEMA, HarvestedChunk
from pipeline.decide import Settled
from pipeline.harvest import LEDGER
from pipeline.publish import (
    PublishPlan,
    PublishSettings,
    plan_ledgers,
    plan_shards,
    write_ledgers,
    write_shard,
)
from pipeline.stages import StageSettings
from pipeline.summary import ChunkSummary

STAGES = StageSettings(
    extraction=None, language=None, safety=None, pii=None, lines=None, quality=False, dedup=None
)
MEASURED = {
    "text.characters": pa.int64(),
    "text.bytes": pa.int64(),
    "text_hash": pa.uint64(),
    "url_hash": pa.uint64(),
}


def write_chunk(
    folder: Path, number: int, documents: list[tuple[str, str]]
) -> tuple[HarvestedChunk, Settled]:
    """A harvested chunk and its ledger; documents are (status, text)."""
    rows = len(documents)
    status = [state for state, _ in documents]
    columns: dict[str, pa.Array] = {field.name: pa.nulls(rows, field.type) for field in READ_SCHEMA}
    columns |= {name: pa.nulls(rows, kind) for name, kind in MEASURED.items()}
    columns["id"] = pa.array([f"{number:04d}{row:04d}" for row in range(rows)])
    columns["text"] = pa.array(
        [text if state == "kept" else None for state, text in documents], pa.large_string()
    )
    path = folder / f"{number}.parquet"
    pq.write_table(pa.table(columns), path)
    ledger = {column.name: pa.nulls(rows, column.type) for column in LEDGER if column.name != "excerpt"}
    ledger["status"] = pa.array(status, pa.string())
    ledger["rule"] = pa.array([None if state == "kept" else "why" for state in status], pa.string())
    ledger_path = folder / f"{number}.arrow"
    with pa.ipc.new_file(str(ledger_path), pa.table(ledger).schema) as writer:
        writer.write_table(pa.table(ledger))
    kept_bytes = sum(len(text.encode()) for state, text in documents if state == "kept")
    summary = ChunkSummary(documents=rows, published_bytes=kept_bytes)
    chunk = HarvestedChunk(key=str(number), path=str(path), rows=rows)
    return chunk, Settled(key=str(number), path=str(ledger_path), summary=summary)


def published(folder: Path, chunks: list[list[tuple[str, str]]], shard_bytes: int) -> list[list[str]]:
    """The ids in each shard."""
    written = [write_chunk(folder, number, documents) for number, documents in enumerate(chunks)]
    plan = PublishPlan(
        output=str(folder / "out"), stages=STAGES, publish=PublishSettings(shard_bytes=shard_bytes)
    )
    shards = plan_shards([chunk for chunk, _ in written], [settled for _, settled in written], plan)
    result = []
    for shard in shards:
        count = write_shard(shard, plan)
        table = pq.read_table(shard.path)
        assert count.rows == table.num_rows
        result.append(table["id"].to_pylist())
    return result


documents = st.lists(
    st.tuples(st.sampled_from(["kept", "rejected", "failed"]), st.text(max_size=12)), max_size=6
)


@settings(max_examples=25, deadline=None)
@given(st.lists(documents, max_size=5), st.integers(1, 60))
def test_every_kept_document_is_in_exactly_one_shard(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[list[tuple[str, str]]], shard_bytes: int
) -> None:
    shards = published(tmp_path_factory.mktemp("p"), chunks, shard_bytes)
    kept = [
        f"{number:04d}{row:04d}"
        for number, chunk in enumerate(chunks)
        for row, (state, _) in enumerate(chunk)
        if state == "kept"
    ]
    assert [name for shard in shards for name in shard] == kept
    assert len(shards) >= 1


def test_shards_are_of_equal_size(tmp_path: Path) -> None:
    shards = published(
        tmp_path, [[("kept", "x" * 10)] * 7, [("rejected", "y")], [("kept", "x" * 10)] * 5], 40
    )
    assert [len(shard) for shard in shards] == [4, 4, 4]


def test_shards_do_not_depend_on_chunks(tmp_path: Path) -> None:
    texts = [("kept", "x" * n) for n in (3, 9, 1, 7, 7, 2, 12, 4)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = published(tmp_path / "a", [texts], 15)
    two = published(tmp_path / "b", [texts[:3], [], texts[3:4], texts[4:]], 15)
    assert [len(shard) for shard in one] == [len(shard) for shard in two]


def test_nothing_kept_is_one_empty_shard_with_all_columns(tmp_path: Path) -> None:
    assert published(tmp_path, [[("rejected", "x")]], 10) == [[]]
    (path,) = (tmp_path / "out" / "documents").iterdir()
    assert "text_hash" in pq.read_schema(path).names


def test_columns_say_what_they_mean(tmp_path: Path) -> None:
    published(tmp_path, [[("kept", "x")]], 10)
    (path,) = (tmp_path / "out" / "documents").iterdir()
    field = pq.read_schema(path).field("text.bytes")
    assert field.metadata == {b"about": b"bytes of the extracted text as UTF-8"}


def test_rejected_and_failed_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEDGER_ROWS", 2)
    written = [
        write_chunk(tmp_path, 0, [("rejected", "a"), ("kept", "b")]),
        write_chunk(tmp_path, 1, [("failed", "c"), ("failed", "d")]),
    ]
    plan = PublishPlan(output=str(tmp_path / "out"), stages=STAGES, publish=PublishSettings())
    items = plan_ledgers([chunk for chunk, _ in written], [settled for _, settled in written])
    assert [len(item.parts) for item in items] == [1, 1]
    rows = {
        (Path(file.path).parent.name, file.rows) for item in items for file in write_ledgers(item, plan).files
    }
    assert rows == {("rejected", 1), ("failed", 0), ("rejected", 0), ("failed", 2)}
    failed = pq.read_table(tmp_path / "out" / "failed").to_pylist()
    assert [(row["id"], row["error"]) for row in failed] == [("00010000", "why"), ("00010001", "why")]
