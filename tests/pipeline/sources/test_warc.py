"""WARC records as documents: columns, sizes, damage, and the same rows whatever the split."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.chunks import Split, document_id
from pipeline.sources import ReadSettings, SplitReader
from tests.pipeline.sources.archives import (
    COMPRESSIONS,
    DATE,
    HTTP,
    NOISE,
    WARCINFO,
    archive,
    member,
    outcomes,
    page,
    read,
    read_one,
    readers,
    record,
    stored,
)

# Records and columns


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_response_becomes_a_document(tmp_path: Path, compression: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; Charset=latin1\r\n\r\n"
    path = archive(tmp_path, [WARCINFO, page("x", b"caf\xe9", head)], compression)
    assert read(path, snapshot="2026-01") == [
        {
            "id": document_id("web", "http://example.org/x", DATE),
            "source": "web",
            "snapshot": "2026-01",
            "url": "http://example.org/x",
            "date": DATE,
            "record": f"{path.name}@{len(member(WARCINFO, compression))}",
            "raw": b"caf\xe9",
            "text": None,
            "title": None,
            "http.status": 200,
            "http.content_type": "text/html",
            "http.charset": "windows-1252",
            "http.bytes": 4,
            "warc.truncated": None,
            "error": None,
            "message": None,
        }
    ]


def test_other_records_are_counted_and_are_no_documents(tmp_path: Path) -> None:
    http = record("http://example.org/q", b"GET / HTTP/1.1\r\n\r\n", "request")
    dns = record("dns:example.org", b"example.org. 1 IN A 10.0.0.1", content_type="text/dns")
    odd = record("http://example.org/o", b"", "something-new")
    records = [WARCINFO, http, page("a"), record("http://example.org/r", b"", "revisit"), dns, odd, page("b")]
    [reader] = readers(archive(tmp_path, records))
    assert [row["url"][-1] for chunk in reader for row in chunk.batch.to_pylist()] == ["a", "b"]
    assert reader.records == {
        "warcinfo": 1,
        "request": 1,
        "response": 2,
        "revisit": 1,
        "response_other": 1,
        "unknown": 1,
    }


def test_files_of_another_writer_are_read(tmp_path: Path) -> None:
    content = io.BytesIO()
    writer = WARCWriter(content, gzip=True)
    for name in "ab":
        http = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
        url = f"http://example.org/{name}"
        writer.write_record(
            writer.create_warc_record(url, "response", payload=io.BytesIO(name.encode()), http_headers=http)
        )
    rows = read(stored(tmp_path, content.getvalue()))
    assert [(row["url"][-1], row["raw"]) for row in rows] == [("a", b"a"), ("b", b"b")]


def test_http_404_is_a_document_for_rules_to_judge(tmp_path: Path) -> None:
    row = read_one(tmp_path, page("x", b"gone", b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n"))
    assert (row["http.status"], row["raw"], row["error"]) == (404, b"gone", None)


@pytest.mark.parametrize(
    "status_line", [b"HTTP/2 204", b"HTTP/1.0 200", b"HTTP/1.1  200  Fine", b"HTTP/1.1 999 "]
)
def test_odd_status_lines(tmp_path: Path, status_line: bytes) -> None:
    row = read_one(tmp_path, page("x", b"body", status_line + b"\r\nA: b\r\n\r\n"))
    assert (row["raw"], row["error"]) == (b"body", None)


def test_header_lines_may_be_folded_bare_or_garbage(tmp_path: Path) -> None:
    head = (
        b"HTTP/1.1 200 OK\nno colon\n: no name\nX\x00: \xff\nCONTENT-type:\n text/html;\n charset=utf-8\n\n"
    )
    row = read_one(tmp_path, page("x", b"body", head))
    assert (row["raw"], row["http.content_type"], row["http.charset"]) == (b"body", "text/html", "utf-8")


def test_a_response_of_headers_alone_has_an_empty_body(tmp_path: Path) -> None:
    row = read_one(tmp_path, record(block=b"HTTP/1.1 301 Moved\r\nLocation: /y"))
    assert (row["raw"], row["http.bytes"], row["http.status"]) == (b"", 0, 301)


def test_truncation_is_reported(tmp_path: Path) -> None:
    assert read_one(tmp_path, record(extra=("WARC-Truncated: length",)))["warc.truncated"] == "length"


def test_the_brackets_of_wget_are_no_part_of_the_url(tmp_path: Path) -> None:
    assert read_one(tmp_path, record("<http://example.org/x>"))["url"] == "http://example.org/x"


def test_a_url_that_is_not_utf8(tmp_path: Path) -> None:
    content = record("http://example.org/@").replace(b"@", b"\xff\x00")
    assert read_one(tmp_path, content)["url"] == "http://example.org/\ufffd\x00"


def test_ids_hold_when_files_are_renamed_and_split_and_tell_captures_apart(tmp_path: Path) -> None:
    records = [page("a"), page("b"), page("a").replace(b"2026", b"2027")]
    before = [row["id"] for row in read(archive(tmp_path, records, "gzip"))]
    after = [row["id"] for row in read(archive(tmp_path, [WARCINFO, *records], "plain"), split_bytes=100)]
    assert before == after
    assert len(set(before)) == 3


# Sizes


def test_a_zero_byte_page(tmp_path: Path) -> None:
    row = read_one(tmp_path, page("x", b""))
    assert (row["raw"], row["http.bytes"], row["error"]) == (b"", 0, None)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_50_mb_page_is_not_loaded(tmp_path: Path, compression: str) -> None:
    path = archive(tmp_path, [page("a"), page("big", bytes(50_000_000)), page("b")], compression)
    tracemalloc.start()
    rows = read(path, max_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["http.bytes"] for row in rows] == [11, 50_000_000, 11]
    assert [row["raw"] is None for row in rows] == [False, True, False]
    assert all(row["error"] is None for row in rows)
    assert peak < 12 << 20


def test_the_bound_on_bodies_is_inclusive(tmp_path: Path) -> None:
    assert read_one(tmp_path, page("x", b"12345"), max_bytes=5)["raw"] == b"12345"
    row = read_one(tmp_path, page("x", b"123456"), max_bytes=5)
    assert (row["raw"], row["http.bytes"]) == (None, 6)


def test_chunks_are_cut_by_rows_and_by_bytes(tmp_path: Path) -> None:
    pages = [page(str(n), bytes(100_000 if n == 7 else 1000)) for n in range(10)]
    [reader] = readers(archive(tmp_path, pages), chunk_rows=4, chunk_bytes=100_000)
    assert [chunk.batch.num_rows for chunk in reader] == [4, 3, 1, 2]
    assert [chunk.key.index for chunk in reader] == [0, 1, 2, 3]


def test_reading_again_gives_the_same(tmp_path: Path) -> None:
    [reader] = readers(archive(tmp_path, [WARCINFO, page("a")]))
    first = [(chunk.key, chunk.batch.to_pylist()) for chunk in reader]
    assert [(chunk.key, chunk.batch.to_pylist()) for chunk in reader] == first
    assert reader.records == {"warcinfo": 1, "response": 1}


# Damage


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_empty_file_is_a_failure(tmp_path: Path, compression: str) -> None:
    [row] = read(stored(tmp_path, b"", compression))
    assert row["error"] == "input.empty"
    assert row["message"]


def test_a_zero_byte_warc_gz_is_counted(tmp_path: Path) -> None:
    [reader] = readers(stored(tmp_path, b""), split_bytes=100)
    assert [chunk.batch["error"].to_pylist() for chunk in reader] == [["input.empty"]]
    assert reader.records == {"failed": 1}
    assert (reader.first_offset, reader.end_offset) == (0, 0)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_file_without_documents(tmp_path: Path, compression: str) -> None:
    [reader] = readers(archive(tmp_path, [WARCINFO], compression))
    assert list(reader) == []
    assert reader.records == {"warcinfo": 1}


@pytest.mark.parametrize(
    ("compression", "reason"),
    [("plain", "warc.truncated"), ("gzip", "warc.truncated_gzip"), ("zstd", "warc.truncated_zstd")],
)
@pytest.mark.parametrize("missing", [3000, 100, 9])
def test_a_truncated_last_record(tmp_path: Path, compression: str, reason: str, missing: int) -> None:
    content = b"".join(member(page(name, NOISE), compression) for name in "abc")
    rows = read(stored(tmp_path, content[:-missing], compression))
    assert outcomes(rows) == ["a", "b", reason]
    assert rows[2]["raw"] is None
    if compression != "zstd":  # a Zstandard block is whole or nothing
        assert rows[2]["url"] == "http://example.org/c"
        assert rows[2]["id"] == document_id("web", "http://example.org/c", DATE)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    "garbage", [b"\x00" * 700, b"WARC/1.0\r\n\r\n", b"\x1f\x8b\x08" * 99, b"<html>" * 50]
)
def test_garbage_between_records(tmp_path: Path, compression: str, garbage: bytes) -> None:
    first, second = member(page("a"), compression), member(page("b"), compression)
    garbage += b"\n" if compression == "plain" else b""  # a plain record is recognised where a line begins
    rows = read(stored(tmp_path, first + garbage + second + garbage, compression))
    documents = [row for row in rows if not row["error"]]
    assert outcomes(documents) == ["a", "b"]
    assert len(rows) == 4
    assert all(row["error"].startswith("warc.") for row in rows if row["error"])
    assert len({row["id"] for row in rows}) == 3  # the same garbage has the same id, wherever it lies


def test_failures_say_how_much_was_passed_over_and_quote_nothing(tmp_path: Path) -> None:
    secret = b"secret\n" * 30
    content = b"".join(
        [page("a"), secret, record(block=secret), record(block=HTTP + secret, length=60), secret]
    )
    rows = [row for row in read(stored(tmp_path, content, "plain")) if row["error"]]
    assert len(rows) == 3
    assert "(210 bytes to the next record)" in rows[0]["message"]
    assert not any("secret" in row["message"] for row in rows)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("off", [-5, -1, 7, 400, 100_000])
def test_a_wrong_content_length(tmp_path: Path, compression: str, off: int) -> None:
    block = HTTP + b"<p>page</p>"
    wrong = record("http://example.org/wrong", block, length=len(block) + off)
    rows = read(archive(tmp_path, [page("a"), wrong, page("b"), page("c")], compression))
    documents = [name for name in outcomes(rows) if "." not in name]
    assert documents == ["a", "b", "c"]
    [failed] = [row for row in rows if row["error"]]
    assert failed["error"] in ("warc.bad_length", "warc.truncated")
    assert failed["url"] == "http://example.org/wrong"


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("ends", [b"", b"\n", b"\r\n", b"\r\n\r\n\r\n"])
def test_other_line_ends_behind_a_record_do_not_matter(tmp_path: Path, compression: str, ends: bytes) -> None:
    records = [page(name)[:-4] + ends for name in "abc"]
    for split_bytes in (0, 100):
        rows = read(archive(tmp_path, records, compression), split_bytes)
        assert [(row["url"][-1], row["raw"]) for row in rows] == [(name, b"<p>page</p>") for name in "abc"]


@pytest.mark.parametrize("length", [b"", b"-1", b"1_0", b"\xd9\xa1", b"9" * 30, b"ten"])
def test_a_content_length_that_is_none(tmp_path: Path, length: bytes) -> None:
    bad = page("x").replace(b"Content-Length: 55", b"Content-Length: " + length)
    assert bad != page("x")
    assert outcomes(read(archive(tmp_path, [page("a"), bad, page("b")]))) == ["a", "warc.bad_header", "b"]


def test_a_missing_target_uri_fails_with_a_stable_id(tmp_path: Path) -> None:
    nameless = record(None, extra=("WARC-Record-ID: <urn:uuid:1>",))
    first = read_one(tmp_path, nameless)
    assert (first["error"], first["url"], first["raw"]) == ("warc.no_url", None, None)
    assert read(archive(tmp_path, [page("a"), nameless]))[1]["id"] == first["id"]


@pytest.mark.parametrize(
    "block", [b"", b"\x00\x01\x02", b"<html>no header</html>", b"HTTP/1.1 abc\r\n\r\nx", HTTP[5:]]
)
def test_http_header_garbage(tmp_path: Path, block: bytes) -> None:
    rows = read(archive(tmp_path, [record(block=block), page("b")]))
    assert outcomes(rows) == ["http.bad_header", "b"]


@pytest.mark.parametrize("cut", [14, 30, 60, 90, 120])
@pytest.mark.parametrize("line_end", [b"", b"\r\n"])
def test_a_record_cut_inside_its_header_does_not_take_the_next_one_along(
    tmp_path: Path, cut: int, line_end: bytes
) -> None:
    next_one = page("b")
    path = archive(tmp_path, [page("a"), page("cut")[:cut] + line_end, next_one, next_one], "plain")
    rows = read(path)
    # One that begins inside a line is not recognised; the one behind it is.
    assert outcomes(rows) == ["a", "warc.bad_header", *(["b", "b"] if line_end else ["b"])]
    assert read(path, 50) == rows


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_huge_headers(tmp_path: Path, compression: str) -> None:
    http = record(block=b"HTTP/1.1 200 OK\r\nX: " + b"x" * (3 << 20) + b"\r\n\r\nbody")
    warc = record("http://example.org/" + "x" * (3 << 20))
    rows = read(archive(tmp_path, [http, page("a"), warc, page("b")], compression))
    assert outcomes(rows) == ["http.header_too_large", "a", "warc.header_too_large", "b"]


def test_a_page_of_nuls(tmp_path: Path) -> None:
    row = read_one(tmp_path, page("x", bytes(1000)))
    assert (row["raw"], row["error"]) == (bytes(1000), None)


def test_a_failed_request_does_not_take_the_id_of_its_response(tmp_path: Path) -> None:
    request = record("http://example.org/a", b"GET", "request", length=2)
    rows = read(archive(tmp_path, [request, page("a")]))
    assert [row["error"] for row in rows] == ["warc.bad_length", None]
    assert rows[0]["id"] != rows[1]["id"]


# Records in members, and splits


def test_a_bad_record_inside_a_big_member_costs_only_itself(tmp_path: Path) -> None:
    wrong = record("http://example.org/w", HTTP + b"x", length=4000)
    parts = [
        page("a"),
        wrong,
        page("b"),
        b"garbage\r\n\r\n",
        page("c"),
        wrong.replace(b"4000", b"10"),
        page("d"),
    ]
    rows = read(stored(tmp_path, gzip.compress(b"".join(parts))))
    assert outcomes(rows) == ["a", "warc.bad_length", "b", "warc.garbage", "c", "warc.bad_length", "d"]


def test_an_archive_inside_an_archive_shows_in_the_offsets(tmp_path: Path) -> None:
    inner = b"".join(gzip.compress(page(f"inner{n}")) for n in range(20))
    outer = [gzip.compress(page("a")), gzip.compress(page("archive", inner), 0), gzip.compress(page("b"))]
    path = stored(tmp_path, b"".join(outer))
    assert outcomes(read(path)) == ["a", "archive", "b"]
    middle = len(outer[0]) + len(outer[1]) // 2
    size = path.stat().st_size
    parts = [(0, middle), (middle, size)]
    first, second = (
        SplitReader(
            Split(source="web", shard="s", path=str(path), format="warc", index=n, start=start, stop=stop),
            ReadSettings(),
        )
        for n, (start, stop) in enumerate(parts)
    )
    list(first), list(second)
    assert first.end_offset == size - len(outer[2])
    assert second.first_offset < first.end_offset
    mended = SplitReader(second.split.model_copy(update={"start": first.end_offset}), ReadSettings())
    assert outcomes([row for chunk in mended for row in chunk.batch.to_pylist()]) == ["b"]
    assert mended.first_offset == first.end_offset


BODIES = st.binary(max_size=400).map(lambda body: body.replace(b"WARC", b"warc"))
"""Any bytes that do not feign a plain record, which would show in the offsets as an inner archive does."""


@st.composite
def archives(draw: st.DrawFn) -> tuple[bytes, str]:
    """Records, padding and damage in any order, in any compression."""
    compression = draw(st.sampled_from(COMPRESSIONS))
    parts = []
    for number in range(draw(st.integers(0, 12))):
        body = draw(BODIES) * draw(st.integers(1, 3))
        whole = page(str(number), body)
        kind = draw(st.sampled_from("ppppppprgtdlw"))
        content = {
            "r": record(block=b"GET", kind="request"),
            "l": whole.replace(b"Length: ", b"Length: 99999"),
        }
        part = member(content.get(kind, whole), compression)
        if kind == "g":
            part = draw(BODIES) + part
        if kind == "t":
            # Of a plain record, less is cut than the next one holds: else that one may fill the gap exactly.
            part = part[: -draw(st.integers(1, 100 if compression == "plain" else len(part)))]
        if kind == "d":
            at = draw(st.integers(0, len(part) - 1))
            part = part[:at] + bytes([part[at] ^ draw(st.integers(1, 255))]) + part[at + 1 :]
        if kind == "w" and compression == "gzip":
            part = gzip.compress(b"")
        parts.append(part)
    return b"".join(parts), compression


@settings(max_examples=150, deadline=None)
@given(archives(), st.integers(1, 700))
def test_any_split_size_gives_the_same_rows_once_each_in_order(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[bytes, str], split_bytes: int
) -> None:
    content, compression = made
    path = stored(tmp_path_factory.mktemp("warc"), content, compression)
    assert read(path, split_bytes) == read(path)


@settings(max_examples=50, deadline=None)
@given(st.lists(BODIES, max_size=20), st.sampled_from(COMPRESSIONS), st.integers(50, 4000))
def test_sound_archives_give_every_document_whatever_the_split(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], compression: str, split_bytes: int
) -> None:
    pages = [page(str(number), body) for number, body in enumerate(bodies)]
    path = archive(tmp_path_factory.mktemp("warc"), [WARCINFO, *pages], compression)
    rows = read(path, split_bytes)
    assert [(row["url"].rpartition("/")[2], row["raw"]) for row in rows] == [
        (str(number), body) for number, body in enumerate(bodies)
    ]
