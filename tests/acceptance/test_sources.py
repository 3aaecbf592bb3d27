"""Real crawl files, read whole and in splits: the same documents, and those that FastWARC and warcio find."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from fastwarc import warc as fastwarc
from warcio.archiveiterator import ArchiveIterator

from pipeline.sources import ReadSettings, SplitReader
from pipeline.sources.charset import decode_html
from pipeline.sources.discover import SourceConfig, plan_splits

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[2].parent / "shared"))
PAGES = SHARED / "data" / "pages" / "dev-00000.warc.gz"
pytestmark = pytest.mark.skipif(not PAGES.exists(), reason=f"no real pages at {PAGES}")


def read(path: Path, split_bytes: int) -> tuple[list[dict], list[SplitReader]]:
    splits = plan_splits(SourceConfig(name="web", inputs=(str(path),)), split_bytes)
    readers = [SplitReader(split, ReadSettings()) for split in splits]
    return [row for reader in readers for chunk in reader for row in chunk.batch.to_pylist()], readers


@pytest.fixture(scope="module")
def whole() -> list[dict]:
    return read(PAGES, 0)[0]


@pytest.mark.parametrize("split_bytes", [1_000_000, 5_000_000, 0])
def test_any_split_size_gives_the_same_documents(whole: list[dict], split_bytes: int) -> None:
    rows, readers = read(PAGES, split_bytes)
    assert rows == whole
    assert len(readers) == (1 if not split_bytes else -(-PAGES.stat().st_size // split_bytes))
    assert all(a.end_offset == b.first_offset for a, b in itertools.pairwise(readers))
    assert (readers[0].first_offset, readers[-1].end_offset) == (0, PAGES.stat().st_size)
    assert sum((reader.records for reader in readers), start=type(readers[0].records)()) == {
        "warcinfo": 1,
        "response": len(whole),
    }


def test_all_documents_are_those_that_other_readers_find(whole: list[dict]) -> None:
    with PAGES.open("rb") as file:
        records = fastwarc.ArchiveIterator(file, record_types=fastwarc.response, parse_http=True)
        fast = [(r.headers["WARC-Target-URI"], r.http_headers.status_code, r.reader.read()) for r in records]
    with PAGES.open("rb") as file:
        slow = [
            (
                r.rec_headers["WARC-Target-URI"],
                int(r.http_headers.get_statuscode()),
                r.content_stream().read(),
            )
            for r in ArchiveIterator(file)
            if r.rec_type == "response"
        ]
    assert [(row["url"], row["http.status"], row["raw"]) for row in whole] == fast == slow
    assert len({row["id"] for row in whole}) == len(whole)
    assert all(row["error"] is None for row in whole)


def test_every_real_page_decodes_nearly_without_loss(whole: list[dict]) -> None:
    lost = 0
    for row in whole:
        text, _ = decode_html(row["raw"], row["http.charset"])
        lost += text.count("\ufffd") > 10 + len(text) // 1000
    assert lost <= len(whole) // 50


def test_reading_a_file_cut_anywhere_gives_all_records_before_the_cut(
    whole: list[dict], tmp_path: Path
) -> None:
    content = PAGES.read_bytes()
    for share in (0.1, 0.37, 0.9):
        cut = tmp_path / "cut.warc.gz"
        cut.write_bytes(content[: int(len(content) * share)])
        rows, _ = read(cut, 0)
        assert rows[-1]["error"] == "warc.truncated_gzip"
        documents = [(row["id"], row["raw"]) for row in rows[:-1]]
        assert documents == [(row["id"], row["raw"]) for row in whole[: len(documents)]]
