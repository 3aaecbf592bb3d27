from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from decontam.build import build_index
from decontam.settings import DecontaminationSettings
from filters.words import split_words
from jobs import sample
from tests.decontam.reference import item_ngrams

FOLDER = Path(sample.__file__).parent


@pytest.fixture(scope="module")
def warc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.warc.gz"
    assert sample.write_warc(path) == len(sample.pages())
    return path


def test_the_same_bytes_are_written_every_time(warc: Path, tmp_path: Path) -> None:
    sample.write_warc(tmp_path / "again.warc.gz")
    assert (tmp_path / "again.warc.gz").read_bytes() == warc.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.warc.gz"]


def test_every_file_is_listed_once_and_every_listed_file_exists() -> None:
    listed = [page.file for page in sample.pages() if page.file is not None]
    assert sorted(listed) == sorted(path.name for path in (FOLDER / "site").iterdir())
    urls = Counter(page.url for page in sample.pages())
    assert set(urls.values()) == {1}


def test_fastwarc_reads_what_was_written(warc: Path) -> None:
    with warc.open("rb") as file:
        records = [
            (
                record.record_type,
                record.headers.get("WARC-Target-URI"),
                record.http_headers,
                record.reader.read(),
            )
            for record in ArchiveIterator(file, WarcRecordType.any_type, parse_http=True)
        ]
    responses = [record for record in records if record[0] == WarcRecordType.response]
    assert [record[0] for record in records[:3]] == [
        WarcRecordType.warcinfo,
        WarcRecordType.request,
        WarcRecordType.response,
    ]
    assert len(responses) == len(records) - 2
    for page, (_, url, http, body) in zip(sample.pages(), responses, strict=True):
        assert (url, body) == (page.url, page.body)
        assert http.status_code == page.status
        assert http.get("Content-Type") == page.content_type


def test_digests_are_right(warc: Path) -> None:
    with warc.open("rb") as file:
        for record in ArchiveIterator(file, WarcRecordType.any_type, parse_http=False):
            assert record.verify_block_digest()
            if record.record_type == WarcRecordType.response:
                record.parse_http()
                assert record.verify_payload_digest()


def test_each_record_is_a_gzip_member(warc: Path) -> None:
    with warc.open("rb") as file:
        starts = [record.stream_pos for record in ArchiveIterator(file, WarcRecordType.any_type)]
    content = warc.read_bytes()
    assert len(starts) == 2 + len(sample.pages())
    assert all(content[start : start + 3] == b"\x1f\x8b\x08" for start in starts)
    assert all(content[start + 4 : start + 8] == b"\0\0\0\0" for start in starts)  # no time in the header


def test_warcio_finds_no_fault(warc: Path) -> None:
    pytest.importorskip("warcio")
    checked = subprocess.run(
        [sys.executable, "-m", "warcio.cli", "check", str(warc)], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_the_site_has_what_it_promises() -> None:
    expected = Counter(page.expect for page in sample.pages())
    assert expected["published"] >= 15
    stages = {"duplicate", "language", "safety", "quality", "decontamination", "read", "extract"}
    assert expected.keys() == {"published", "rejected", "any", *stages}
    originals = {page.file for page in sample.pages() if page.expect == "published"}
    for page in sample.pages():
        assert (page.expect == "duplicate") == (page.copy_of is not None)
        assert page.copy_of is None or page.copy_of in originals
    bodies = Counter(page.body for page in sample.pages())
    assert sorted(bodies.values())[-2:] == [1, 2]  # one exact copy


def test_damaged_and_old_encodings_are_what_they_say() -> None:
    by_file = {page.file: page for page in sample.pages()}
    assert b"\x93" in by_file["coffee.html"].body  # a curly quote of windows-1252
    assert "café" in by_file["coffee.html"].body.decode("windows-1252")
    for name in ("coffee.html", "broken.html"):
        with pytest.raises(UnicodeDecodeError):
            by_file[name].body.decode("utf-8")
    assert by_file["empty.html"].body == b""


def test_one_benchmark_question_is_quoted_on_one_page() -> None:
    index = build_index(DecontaminationSettings(benchmarks=str(FOLDER / "benchmarks.yaml")))
    assert [(each.key, each.items, each.matchable) for each in index.header.benchmarks] == [
        ("sky_and_earth", 20, 20),
        ("kitchen_physics", 20, 20),
    ]
    grams = {index.explain(ngram).words: index.explain(ngram).item for ngram in range(index.size)}
    quoted = {}
    for page in sample.pages():
        words = split_words(page.body.decode("utf-8", "replace"))
        found = {grams[gram] for gram in item_ngrams([" ".join(words)], 13, 13) if gram in grams}
        if found:
            quoted[page.file] = found
    assert quoted == {"seasons.html": {"sky-01"}}
