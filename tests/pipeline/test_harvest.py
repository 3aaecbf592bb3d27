"""Harvest without Beam: the ledger of a chunk, one document's exception, the retry after a crash, joining splits."""

from __future__ import annotations

import hashlib
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
    in_order,
    join_splits,
    rows_of,
)
from pipeline.rules import Bound
from pipeline.sources import ReadSettings
from pipeline.sources.discover import SourceConfig, plan_splits
from pipeline.stages import Stage, StageSettings
from tests.pipeline.sources.archives import WARCINFO, archive_in_archive, page

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


def timeless(receipts: list[HarvestReceipt]) -> list[HarvestReceipt]:
    """Receipts without what they cost."""
    return [receipt.model_copy(update={"stage_seconds": {}}) for receipt in receipts]


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
    assert timeless([harvest_split(item, plan)]) == timeless([first])
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
    return HarvestReceipt(split=split, chunks=[], first=first, end=end, failed=0, records={})


def test_splits_must_join() -> None:
    check_joined([receipt(1, 10, 20), receipt(0, 0, 10)])
    with pytest.raises(UserError, match=r"/a\.warc.*do not meet.*split_bytes: 0"):
        check_joined([receipt(0, 0, 10), receipt(1, 12, 20)])


# --- splits that do not meet -------------------------------------------------------------------------------------------


def body(name: str) -> bytes:
    """A page whose bytes do not compress, so that splits of some thousand bytes hold a few."""
    return hashlib.shake_128(name.encode()).hexdigest(1000).encode()


def pages(*names: str) -> list[bytes]:
    return [page(name, body(name)) for name in names]


def nested(folder: Path) -> Path:
    """Two archives inside an archive, each above several splits, with pages before, between and after."""
    inner = [pages(*(f"inner{half}{n}" for n in range(25))) for half in "ab"]
    first = archive_in_archive([WARCINFO, *pages("a", "b", "c")], inner[0], pages("d", "e", "f", "g"))
    second = archive_in_archive([], inner[1], pages("h", "i", "j"))
    path = folder / "outer.warc.gz"
    path.write_bytes(first + second)
    return path


class Harvester:
    """Harvests the splits of a file in this process, and notes the rounds that mend them."""

    def __init__(self, path: Path, split_bytes: int, folder: Path) -> None:
        self.plan = plan_of(folder, reading={"web": ReadSettings(chunk_rows=3)}, rules={})
        self.splits = plan_splits(SourceConfig(name="web", inputs=(str(path),)), split_bytes)
        self.rounds: list[list[HarvestSplit]] = []

    def first(self) -> list[HarvestReceipt]:
        return [harvest_split(HarvestSplit(key=split.key, split=split), self.plan) for split in self.splits]

    def again(self, items: list[HarvestSplit]) -> list[HarvestReceipt]:
        self.rounds.append(items)
        return [harvest_split(item, self.plan) for item in items]


def documents(receipts: list[HarvestReceipt]) -> list[dict]:
    columns = ["id", "url", "record", "http.bytes", "status"]
    return [row for chunk in in_order(receipts) for row in rows_of(chunk, columns).to_pylist()]


@pytest.mark.parametrize("split_bytes", [1000, 2500, 5000, 9000, 20_000])
def test_an_archive_inside_an_archive_gives_the_documents_of_one_split(
    tmp_path: Path, split_bytes: int
) -> None:
    path = nested(tmp_path)
    whole = Harvester(path, 0, tmp_path / "whole").first()
    harvester = Harvester(path, split_bytes, tmp_path / "split")
    first = harvester.first()
    with pytest.raises(UserError, match="do not meet"):
        check_joined(first)
    assert documents(first) != documents(whole)
    joined = join_splits(first, harvester.again)
    check_joined(joined)
    assert documents(joined) == documents(whole)
    assert [row["url"].rpartition("/")[2] for row in documents(whole)] == [
        *"abc",
        "archive",
        *"defg",
        "archive",
        *"hij",
    ]
    assert sum(receipt.records["response"] for receipt in joined if receipt.records) == 12
    assert [receipt.split.key for receipt in joined] == [split.key for split in harvester.splits]
    # Each archive inside is one gap, however many splits it covers.
    assert len(harvester.rounds) <= 2


def test_splits_that_are_harvested_again_have_files_of_their_own(tmp_path: Path) -> None:
    harvester = Harvester(nested(tmp_path), 5000, tmp_path / "harvest")
    first = harvester.first()
    before = {path: path.read_bytes() for path in (tmp_path / "harvest").glob("*.parquet")}
    joined = join_splits(first, harvester.again)
    assert {path: path.read_bytes() for path in before} == before
    old = {chunk.path for receipt in first for chunk in receipt.chunks}
    assert {Path(path) for path in old} == set(before)
    mended = [receipt for receipt in joined if receipt not in first]
    assert mended
    for receipt in mended:
        assert not old & {chunk.path for chunk in receipt.chunks}
        assert all(f"-from-{receipt.split.start}-" in chunk.path for chunk in receipt.chunks)
    keys = [chunk.key for chunk in in_order(joined)]
    assert len(keys) == len(set(keys))
    assert {key.rsplit("-", 1)[0] for key in keys} <= {split.key for split in harvester.splits}


def test_joining_again_after_an_interruption_gives_the_same(tmp_path: Path) -> None:
    harvester = Harvester(nested(tmp_path), 5000, tmp_path / "harvest")
    joined = join_splits(harvester.first(), harvester.again)
    files = {path: path.read_bytes() for path in (tmp_path / "harvest").glob("*.parquet")}
    for path in sorted(files)[::2]:
        path.unlink()
    assert timeless(join_splits(harvester.first(), harvester.again)) == timeless(joined)
    assert {path: path.read_bytes() for path in (tmp_path / "harvest").glob("*.parquet")} == files


def no_harvest(items: list[HarvestSplit]) -> list[HarvestReceipt]:
    raise AssertionError(items)


def test_splits_that_meet_are_left_alone() -> None:
    receipts = [receipt(1, 10, 20), receipt(0, 0, 10)]
    assert join_splits(receipts, no_harvest) == receipts
    assert join_splits([], no_harvest) == []


def test_the_end_of_one_shard_says_nothing_about_another() -> None:
    other = receipt(1, 12, 20)
    other = other.model_copy(update={"split": other.split.model_copy(update={"shard": "b"})})
    assert join_splits([receipt(0, 0, 10), other], no_harvest) == [receipt(0, 0, 10), other]


def test_a_round_mends_a_gap_in_every_shard() -> None:
    def of(shard: str, index: int, first: int, end: int) -> HarvestReceipt:
        made = receipt(index, first, end)
        split = made.split.model_copy(update={"shard": shard, "start": first, "stop": end})
        return made.model_copy(update={"split": split})

    rounds = []

    def meeting(items: list[HarvestSplit]) -> list[HarvestReceipt]:
        rounds.append([item.key for item in items])
        return [of(item.split.shard, item.split.index, item.split.start, item.split.stop) for item in items]

    joined = join_splits(
        [of("b", 1, 22, 30), of("a", 0, 0, 10), of("b", 0, 0, 20), of("a", 1, 12, 20)], meeting
    )
    assert rounds == [["web-a-00001-from-10", "web-b-00001-from-20"]]
    check_joined(joined)


def test_splits_that_never_meet_are_read_again_once_and_still_an_error() -> None:
    rounds = []

    def stubborn(items: list[HarvestSplit]) -> list[HarvestReceipt]:
        rounds.append([item.key for item in items])
        return [
            HarvestReceipt(
                split=item.split, chunks=[], first=item.split.start + 1, end=99, failed=0, records={}
            )
            for item in items
        ]

    joined = join_splits([receipt(0, 0, 10), receipt(1, 12, 20), receipt(2, 20, 30)], stubborn)
    assert rounds == [["web-a-00001-from-10", "web-a-00002-from-10"]]
    with pytest.raises(UserError, match="do not meet"):
        check_joined(joined)
