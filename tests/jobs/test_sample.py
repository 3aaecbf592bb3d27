from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import uuid
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from decontam.build import build_index
from decontam.scan import scan
from decontam.settings import DecontaminationSettings
from filters.words import index_words
from jobs import demo, sample

FOLDER = Path(sample.__file__).parent
PAGES = {page.url: page for page in sample.pages()}
BY_FILE = {page.file: page for page in sample.pages()}
WHOLE = [page for page in sample.pages() if not page.damaged]

PERSONAL = (
    "bram.dewit@example.org",
    "helen.okafor@example.net",
    "tools-library@example.com",
    "(212) 555-0142",
    "+1 415 555 0123",
    "DE89 3704 0044 0532 0130 00",
    "4111 1111 1111 1111",
    "149.112.112.112",
)
"""What repair-cafe.html tells about people, besides their names."""


@pytest.fixture(scope="module")
def warc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.warc.gz"
    sample.write_warc(str(path))
    return path


@pytest.fixture(scope="module")
def members(warc: Path) -> list[bytes]:
    """The gzip members of the file; what lies between the damaged one's beginning and the next is one too."""
    starts = [
        found.start()
        for found in re.finditer(rb"\x1f\x8b\x08\x00\0\0\0\0[\x00\x02\x04]\x03", warc.read_bytes())
    ]
    content = warc.read_bytes()
    return [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]


@pytest.fixture
def records(members: list[bytes], tmp_path: Path) -> Iterator[WarcRecord]:
    """The records of the undamaged members, as fastwarc reads them."""
    damaged = [page.damaged for page in sample.pages()].index(True) + 2
    path = tmp_path / "whole.warc.gz"
    path.write_bytes(b"".join(members[:damaged] + members[damaged + 1 :]))
    with path.open("rb") as file:
        yield ArchiveIterator(file, WarcRecordType.any_type, parse_http=False)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_same_bytes_are_written_every_time(warc: Path, tmp_path: Path) -> None:
    sample.write_warc(str(tmp_path / "again.warc.gz"))
    assert (tmp_path / "again.warc.gz").read_bytes() == warc.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.warc.gz"]


def test_every_file_is_listed_once_and_every_listed_file_exists() -> None:
    listed = [page.file for page in sample.pages() if page.file is not None]
    assert sorted(listed) == sorted(path.name for path in (FOLDER / "site").iterdir())
    assert len(PAGES) == len(sample.pages())


def test_fastwarc_reads_what_was_written(records: Iterator[WarcRecord]) -> None:
    kinds, responses = [], []
    for record in records:
        kinds.append(record.record_type)
        if record.record_type == WarcRecordType.response:
            record.parse_http()
            url = record.headers.get("WARC-Target-URI")
            assert record.record_id == f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'response {url}')}>"
            http = record.http_headers
            responses.append((url, http.status_code, http.get("Content-Type"), record.reader.read()))
    assert kinds[:3] == [WarcRecordType.warcinfo, WarcRecordType.request, WarcRecordType.response]
    assert len(responses) == len(kinds) - 2
    assert responses == [(page.url, page.status, page.content_type, page.body) for page in WHOLE]


def test_digests_are_right(records: Iterator[WarcRecord]) -> None:
    checked = 0
    for record in records:
        assert record.verify_block_digest()
        if record.record_type == WarcRecordType.response:
            record.parse_http()
            assert record.verify_payload_digest()
            checked += 1
    assert checked == len(WHOLE)


def test_each_record_is_a_gzip_member_and_one_is_damaged(members: list[bytes]) -> None:
    broken = []
    for member, page in zip(members, [None, None, *sample.pages()], strict=True):
        try:
            content = gzip.decompress(member)
        except (zlib.error, OSError, EOFError):
            broken.append(page)
            continue
        assert content.startswith(b"WARC/1.1\r\n")
        assert content.count(b"WARC-Record-ID") == 1
    assert [page.file for page in broken if page] == ["damaged.html"]
    assert len(broken) == 1


def test_warcio_finds_no_fault(members: list[bytes], tmp_path: Path) -> None:
    pytest.importorskip("warcio")
    path = tmp_path / "whole.warc.gz"
    damaged = [page.damaged for page in sample.pages()].index(True) + 2
    path.write_bytes(b"".join(members[:damaged] + members[damaged + 1 :]))
    command = [sys.executable, "-m", "warcio.cli", "check", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


# --- the pages --------------------------------------------------------------------------------------------------------


def test_the_site_has_what_it_promises() -> None:
    expected = Counter(page.expect for page in sample.pages())
    assert expected["published"] >= 15
    assert expected["duplicates.fuzzy"] >= 3
    assert len(expected) >= 12  # that many ways for a page to end
    assert all(page.copy_of in BY_FILE for page in sample.pages() if page.copy_of is not None)
    bodies = Counter(page.body for page in sample.pages())
    assert sorted(bodies.values())[-2:] == [1, 2]  # one exact copy


def test_damaged_and_old_encodings_are_what_they_say() -> None:
    assert b"\x93" in BY_FILE["coffee.html"].body  # a curly quote of windows-1252
    assert "café" in BY_FILE["coffee.html"].body.decode("windows-1252")
    for name in ("coffee.html", "broken.html"):
        with pytest.raises(UnicodeDecodeError):
            BY_FILE[name].body.decode("utf-8")
    assert BY_FILE["empty.html"].body == b""


def test_one_benchmark_question_is_quoted_on_one_page() -> None:
    index = build_index(DecontaminationSettings(benchmarks=str(FOLDER / "benchmarks.yaml")))
    assert [(each.key, each.items, each.matchable) for each in index.header.benchmarks] == [
        ("sky_and_earth", 20, 20),
        ("kitchen_physics", 20, 20),
    ]
    quoted = {}
    for page in sample.pages():
        text = pa.array([page.body.decode("utf-8", "replace")], pa.large_string())
        ids = scan(index_words(text), index).flatten().to_numpy()
        found = set(index.describe(ids[index.is_item(ids)])["item"].to_pylist())
        if found:
            quoted[page.file] = found
    assert quoted == {"seasons.html": {"sky-01"}}


# --- the demo ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `corpusmill demo --workers 0` leaves behind."""
    output = tmp_path_factory.mktemp("demo")
    demo.run(str(output), 0)
    return output / "result"


@pytest.fixture(scope="module")
def ends(result: Path) -> dict[str, list[str]]:
    """How each page ended: `published`, the rule that rejected it or the error that it failed with."""
    ends: dict[str, list[str]] = {}
    for folder, column in (("documents", None), ("rejected", "rule"), ("failed", "error")):
        for row in ds.dataset(result / folder).to_table().to_pylist():
            ends.setdefault(row["url"], []).append(row[column] if column else "published")
    return ends


def test_every_page_ends_once(ends: dict[str, list[str]]) -> None:
    assert ends.keys() == PAGES.keys()
    assert {url: found for url, found in ends.items() if len(found) != 1} == {}


@pytest.mark.parametrize("page", sample.pages(), ids=lambda page: page.file or "image")
def test_a_page_ends_as_the_site_says(ends: dict[str, list[str]], page: sample.Page) -> None:
    assert ends[page.url] == [page.expect], page.note


def test_the_books_balance(result: Path) -> None:
    total = json.loads((result / "manifest.json").read_text())["books"]["total"]
    expected = Counter(page.expect for page in sample.pages())
    published, failed = expected.pop("published"), expected.pop("warc.bad_gzip")
    assert total["read"] == len(PAGES)
    assert total["published"] == published
    assert total["failed"] == {"warc.bad_gzip": failed}
    assert sum(total["rejected"].values()) == expected.total()
    assert total["read"] == total["published"] + sum(total["rejected"].values()) + failed


def test_personal_data_is_replaced(result: Path) -> None:
    url = BY_FILE["repair-cafe.html"].url
    (row,) = (row for row in ds.dataset(result / "documents").to_table().to_pylist() if row["url"] == url)
    for expected in (
        "<EMAIL_1>",
        "<EMAIL_2>",
        "<EMAIL_3>",
        "<PHONE_1>",
        "<PHONE_2>",
        "<IBAN_1>",
        "<CREDIT_CARD_1>",
        "<IP_1>",
    ):
        assert expected in row["text"]
    assert (row["pii.email"], row["pii.phone"], row["pii.ip"], row["pii.credit_card"], row["pii.iban"]) == (
        3,
        2,
        1,
        1,
        1,
    )
    assert "celebrate failure a little" in row["text"]


def test_no_personal_value_is_left_anywhere(result: Path) -> None:
    page = BY_FILE["repair-cafe.html"].body.decode()
    assert all(value in page for value in PERSONAL)
    written = {str(path.relative_to(result)): path for path in result.rglob("*") if path.is_file()}
    assert {"report.html", "README.md", "manifest.json"} <= written.keys()
    leaks = []
    for name, path in written.items():
        if name.endswith(".parquet"):
            text = json.dumps(ds.dataset(path).to_table().to_pylist(), default=str, ensure_ascii=False)
        else:
            text = path.read_bytes().decode("utf-8", "replace")
        leaks += [(name, value) for value in PERSONAL if value in text]
    assert leaks == []


def test_the_windows_1252_page_keeps_its_quotes(result: Path) -> None:
    url = BY_FILE["coffee.html"].url
    (row,) = (row for row in ds.dataset(result / "documents").to_table().to_pylist() if row["url"] == url)
    assert "“You have all manner of news there,” wrote a French visitor" in row["text"]
    assert "Jonathan’s café in Exchange Alley" in row["text"]
