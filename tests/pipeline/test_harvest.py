"""Harvest without Beam: the ledger of a chunk, one document's exception, the retry after a crash, joining splits."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filters.measures import Column
from pipeline import harvest, tasks
from pipeline.chunks import READ_SCHEMA, Chunk, ChunkKey, Split, document_id, with_columns
from pipeline.errors import UserError
from pipeline.harvest import (
    HarvestPlan,
    HarvestReceipt,
    HarvestSplit,
    check_joined,
    harvest_chunk,
    harvest_split,
)
from pipeline.rules import Bound
from pipeline.sources import ReadSettings
from pipeline.stages import Stage, StageSettings

NO_STAGES = StageSettings(
    extraction=None, language=None, safety=None, pii=None, lines=None, quality=False, dedup=None
)
KEY = ChunkKey("web", "a.jsonl", 0, 0)


def chunk_of(texts: list[str], errors: dict[int, str] | None = None) -> Chunk:
    rows = [
        {
            "id": document_id("web", str(row)),
            "source": "web",
            "record": f"a.jsonl@{row}",
            "text": text,
            "url": f"https://example.org/{row}",
            "error": (errors or {}).get(row),
            "message": "it is broken" if row in (errors or {}) else None,
        }
        for row, text in enumerate(texts)
    ]
    return Chunk(KEY, pa.RecordBatch.from_pylist(rows, schema=READ_SCHEMA))


def plan_of(folder: Path, **changes: object) -> HarvestPlan:
    settings = {
        "folder": str(folder),
        "reading": {"web": ReadSettings()},
        "stages": NO_STAGES,
        "rules": {"text.characters": Bound(min=3)},
    }
    return HarvestPlan(**{**settings, **changes})


def shouting(docs: pa.RecordBatch) -> pa.RecordBatch:
    """A stage that cannot bear one word."""
    if any("boom" in text for text in docs["text"].to_pylist()):
        raise ValueError("it said boom and 555-0100")
    return with_columns(
        docs, {"shouting.length": pa.array([len(t) for t in docs["text"].to_pylist()], pa.int64())}
    )


def with_stage(monkeypatch: pytest.MonkeyPatch, name: str, run: object) -> None:
    stage = Stage(name, (Column("shouting.length", pa.int64(), "characters"),), run)  # type: ignore[arg-type]
    original = harvest.build_stages
    monkeypatch.setattr(harvest, "build_stages", lambda settings: [*original(settings), stage])
    harvest._chain.cache_clear()


@pytest.fixture(autouse=True)
def _fresh_chain():
    harvest._chain.cache_clear()
    yield
    harvest._chain.cache_clear()


def test_every_row_is_kept_rejected_or_failed(tmp_path: Path) -> None:
    batch = harvest_chunk(chunk_of(["long enough", "no", "unread"], {2: "warc.bad_gzip"}), plan_of(tmp_path))
    assert batch["status"].to_pylist() == ["kept", "rejected", "failed"]
    assert batch["rule"].to_pylist() == [None, "text.characters", "warc.bad_gzip"]
    assert batch["value"].to_pylist() == [None, 2.0, None]
    assert batch["threshold"].to_pylist() == [None, "min 3", None]
    assert batch["detail"].to_pylist() == [None, "2", "it is broken"]


def test_only_kept_rows_carry_text_and_rejected_ones_an_excerpt(tmp_path: Path) -> None:
    batch = harvest_chunk(chunk_of(["long enough", "no"]), plan_of(tmp_path))
    assert batch["text"].to_pylist() == ["long enough", None]
    assert batch["excerpt"].to_pylist() == [None, "no"]


def test_excerpts_are_redacted(tmp_path: Path) -> None:
    from filters.pii import PiiSettings

    stages = NO_STAGES.model_copy(update={"pii": PiiSettings()})
    plan = plan_of(tmp_path, stages=stages, rules={"text.characters": Bound(max=10)})
    batch = harvest_chunk(chunk_of(["write to jane.doe@example.com today"]), plan)
    assert "jane.doe" not in batch["excerpt"][0].as_py()
    assert batch["status"].to_pylist() == ["rejected"]


def test_an_exception_fails_one_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_stage(monkeypatch, "shouting", shouting)
    texts = ["fine one", "here is boom", "fine two", "fine three", "boom again"]
    batch = harvest_chunk(chunk_of(texts), plan_of(tmp_path))
    assert batch["status"].to_pylist() == ["kept", "failed", "kept", "kept", "failed"]
    assert batch["shouting.length"].to_pylist() == [8, None, 8, 10, None]
    assert batch["stage"].to_pylist() == [None, "shouting", None, None, "shouting"]
    assert batch["rule"][1].as_py() == "ValueError"


def test_the_message_of_an_exception_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may quote the document, and so its personal data."""
    with_stage(monkeypatch, "shouting", shouting)
    batch = harvest_chunk(chunk_of(["boom"]), plan_of(tmp_path))
    assert "555-0100" not in batch["detail"][0].as_py()
    assert "test_harvest.py" in batch["detail"][0].as_py()


def test_all_measures_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_stage(monkeypatch, "shouting", shouting)
    batch = harvest_chunk(chunk_of(["no", "long enough"]), plan_of(tmp_path, keep_measures=True))
    assert batch["shouting.length"].to_pylist() == [2, 11]
    assert batch["text"].to_pylist() == ["no", "long enough"]


def test_an_empty_chunk(tmp_path: Path) -> None:
    batch = harvest_chunk(Chunk(KEY, pa.RecordBatch.from_pylist([], schema=READ_SCHEMA)), plan_of(tmp_path))
    assert batch.num_rows == 0
    assert "status" in batch.schema.names


def test_a_document_that_kills_its_process_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The retry notes each document before it begins; after two deaths alone the document is left out."""
    chunk = chunk_of(["one one", "deadly", "three three"])
    path = str(tmp_path / "suspects.json")

    class Death(BaseException):
        """Stands for the end of the process."""

    def run(docs: pa.RecordBatch) -> pa.RecordBatch:
        if "deadly" in docs["text"].to_pylist():
            raise Death
        return docs

    monkeypatch.setattr(tasks, "_attempt", 1)
    for _ in range(2):
        with pytest.raises(Death):
            harvest._isolated(run, chunk.batch, harvest._Suspects(path))
    made, errors = harvest._isolated(run, chunk.batch, harvest._Suspects(path))
    assert made["text"].to_pylist() == ["one one", "three three"]
    assert errors[1][0] == "worker died"


def jsonl(path: Path, texts: list[str]) -> Split:
    path.write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
    size = path.stat().st_size
    return Split(source="web", shard=path.name, path=str(path), format="jsonl", index=0, start=0, stop=size)


def test_a_split_becomes_chunk_files_and_a_receipt(tmp_path: Path) -> None:
    split = jsonl(tmp_path / "in.jsonl", [f"document {i}" for i in range(25)])
    plan = plan_of(tmp_path / "harvest", reading={"web": ReadSettings(chunk_rows=10)})
    receipt = harvest_split(HarvestSplit(key=split.key, split=split), plan)
    assert [chunk.rows for chunk in receipt.chunks] == [10, 10, 5]
    assert [pq.read_metadata(chunk.path).num_rows for chunk in receipt.chunks] == [10, 10, 5]
    assert (receipt.first, receipt.end) == (0, split.stop)


def test_finished_chunks_are_left_alone_and_missing_ones_are_equal(tmp_path: Path) -> None:
    split = jsonl(tmp_path / "in.jsonl", [f"document {i}" for i in range(25)])
    plan = plan_of(tmp_path / "harvest", reading={"web": ReadSettings(chunk_rows=10)})
    item = HarvestSplit(key=split.key, split=split)
    first = harvest_split(item, plan)
    paths = [Path(chunk.path) for chunk in first.chunks]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    paths[1].unlink()
    assert harvest_split(item, plan) == first
    after = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    assert [data for data, _ in after] == [data for data, _ in before]
    assert [after[i][1] == before[i][1] for i in range(3)] == [True, False, True]


def test_too_many_failures_stop_the_run(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "good"}\n' + "{broken\n" * 200)
    split = Split(
        source="web", shard="in", path=str(path), format="jsonl", index=0, start=0, stop=path.stat().st_size
    )
    with pytest.raises(UserError, match="failure_limit") as caught:
        harvest_split(HarvestSplit(key=split.key, split=split), plan_of(tmp_path / "harvest"))
    assert caught.value.exit_code == 1


def receipt(index: int, first: int, end: int) -> HarvestReceipt:
    split = Split(source="web", shard="a", path="/a.warc", format="warc", index=index, start=0, stop=0)
    return HarvestReceipt(split=split, chunks=[], first=first, end=end, records={})


def test_splits_must_join() -> None:
    check_joined([receipt(1, 10, 20), receipt(0, 0, 10)])
    with pytest.raises(UserError, match=r"/a\.warc.*do not meet.*split_bytes: 0"):
        check_joined([receipt(0, 0, 10), receipt(1, 12, 20)])
