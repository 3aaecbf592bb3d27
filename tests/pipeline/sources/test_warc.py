from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import tracemalloc
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.chunks import READ_SCHEMA, Split, document_id
from pipeline.sources import ReadSettings, SplitReader
from pipeline.sources.charset import LABELS, decode_html, encoding_of_label, meta_charset
from pipeline.sources.discover import SourceConfig, plan_splits
from pipeline.sources.warc import BadRecordError, Stream, decode_body

DATE = "2026-01-02T03:04:05Z"
COMPRESSIONS = ["plain", "gzip", "zstd"]
SUFFIX = {"plain": ".warc", "gzip": ".warc.gz", "zstd": ".warc.zst"}
NOISE = hashlib.shake_128(b"noise").digest(10_000)
"""Bytes that do not compress."""
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def record(
    url: str | None = "http://example.org/",
    block: bytes = HTTP + b"<p>page</p>",
    kind: str = "response",
    length: int | None = None,
    content_type: str | None = "application/http; msgtype=response",
    extra: tuple[str, ...] = (),
) -> bytes:
    fields = [f"WARC-Type: {kind}", f"WARC-Date: {DATE}"]
    if url is not None:
        fields.append(f"WARC-Target-URI: {url}")
    if content_type is not None:
        fields.append(f"Content-Type: {content_type}")
    fields += [*extra, f"Content-Length: {len(block) if length is None else length}"]
    return b"WARC/1.0\r\n" + "\r\n".join(fields).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def page(name: str, body: bytes = b"<p>page</p>", head: bytes = HTTP) -> bytes:
    return record(f"http://example.org/{name}", head + body)


WARCINFO = record(None, b"software: test\r\n", "warcinfo", content_type="application/warc-fields")


def member(content: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(content, 6, mtime=0)
    if compression == "zstd":
        return zstandard.ZstdCompressor(write_checksum=True).compress(content)
    return content


def archive(folder: Path, records: list[bytes], compression: str = "gzip") -> Path:
    return stored(folder, b"".join(member(content, compression) for content in records), compression)


def stored(folder: Path, content: bytes, compression: str = "gzip") -> Path:
    path = folder / f"a{SUFFIX[compression]}"
    path.write_bytes(content)
    return path


def read(path: Path, split_bytes: int = 0, **reading: object) -> list[dict]:
    """All rows of a file; the offsets of its splits must meet."""
    rows, before = [], None
    for reader in readers(path, split_bytes, **reading):
        for chunk in reader:
            assert chunk.batch.schema.equals(READ_SCHEMA)
            rows += chunk.batch.to_pylist()
        assert before in (None, reader.first_offset)
        before = reader.end_offset
    assert before == path.stat().st_size
    return rows


def readers(path: Path, split_bytes: int = 0, **reading: object) -> list[SplitReader]:
    config = SourceConfig(name="web", inputs=(str(path),), reading=ReadSettings(**reading))
    return [SplitReader(split, config.reading) for split in plan_splits(config, split_bytes)]


def read_one(folder: Path, content: bytes, compression: str = "gzip", **reading: object) -> dict:
    rows = read(archive(folder, [WARCINFO, content], compression), **reading)
    assert len(rows) == 1
    return rows[0]


def outcomes(rows: list[dict]) -> list[str]:
    """What became of each record: the last part of a document's URL, or the reason of a failure."""
    return [row["error"] or row["url"].rpartition("/")[2] for row in rows]


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


def test_a_damaged_dictionary_fails_the_records(tmp_path: Path) -> None:
    head = b"\x5d\x2a\x4d\x18" + (9).to_bytes(4, "little") + b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff"
    dictionary = zstandard.train_dictionary(2000, [page(str(n), b"alike") for n in range(300)])
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    [row] = read(stored(tmp_path, head + compressor.compress(page("a")) * 2, "zstd"))
    assert row["error"] == "warc.bad_zstd"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("place", [0.3, 0.5, 0.9, -2])
def test_garbage_inside_a_member(tmp_path: Path, compression: str, place: float) -> None:
    members = [bytearray(member(page(name, NOISE), compression)) for name in "abc"]
    at = int(place if place < 0 else len(members[1]) * place)
    members[1][at] ^= 0x55
    rows = read(stored(tmp_path, b"".join(members), compression))
    assert outcomes(rows) == ["a", f"warc.bad_{compression}", "c"]


def test_bytes_lost_inside_a_member_do_not_take_the_next_one_along(tmp_path: Path) -> None:
    members = [member(page(name, NOISE), "gzip") for name in "abc"]
    members[1] = members[1][: len(members[1]) // 2]
    assert outcomes(read(stored(tmp_path, b"".join(members))))[::2] == ["a", "c"]


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


def test_a_skippable_frame_that_is_longer_than_the_file(tmp_path: Path) -> None:
    frame = b"\x50\x2a\x4d\x18"
    skipped = frame + (5).to_bytes(4, "little") + b"extra"
    content = b"".join(part + member(page(name), "zstd") for name, part in (("a", skipped), ("b", frame)))
    assert outcomes(read(stored(tmp_path, content, "zstd"))) == ["a", "warc.truncated_zstd", "b"]


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


# Members


def test_one_big_member_is_one_split_and_read_whole(tmp_path: Path) -> None:
    pages = [page(str(n), bytes([n]) * 5000) for n in range(50)]
    path = stored(tmp_path, gzip.compress(b"".join([WARCINFO, *pages]), 0))
    assert len(readers(path, split_bytes=1000)) == 1
    assert outcomes(read(path)) == [str(n) for n in range(50)]
    assert len({row["record"] for row in read(path)}) == 50


def test_a_damaged_big_member_gives_what_comes_before_the_damage(tmp_path: Path) -> None:
    content = gzip.compress(b"".join(page(str(n), bytes([n]) * 5000) for n in range(50)), 0)
    rows = read(stored(tmp_path, content[: len(content) // 2]))
    assert outcomes(rows) == [*(str(n) for n in range(24)), "warc.truncated_gzip"]


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


def test_a_file_of_many_records_a_member_is_split_by_nobody_but_read(tmp_path: Path) -> None:
    path = stored(tmp_path, b"".join(gzip.compress(page(a) + page(b)) for a, b in ("ab", "cd", "ef")))
    assert outcomes(read(path, split_bytes=100)) == list("abcdef")


def test_empty_members_and_blank_lines_are_padding(tmp_path: Path) -> None:
    padding = gzip.compress(b"") + gzip.compress(b"\r\n")
    content = padding.join(gzip.compress(page(name)) for name in "abc")
    path = stored(tmp_path, padding + content + padding)
    assert outcomes(read(path)) == outcomes(read(path, split_bytes=40)) == ["a", "b", "c"]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_zstandard_dictionary_at_the_beginning(tmp_path: Path, compressed: bool) -> None:
    pages = [page(str(n), f"<p>{n} of many alike pages, number {n * 7}</p>".encode() * 9) for n in range(300)]
    dictionary = zstandard.train_dictionary(4000, pages)
    data = dictionary.as_bytes()
    data = zstandard.ZstdCompressor().compress(data) if compressed else data
    head = b"\x5d\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    path = stored(tmp_path, head + b"".join(compressor.compress(content) for content in pages), "zstd")
    assert outcomes(read(path)) == [str(n) for n in range(300)]
    assert read(path, split_bytes=4000) == read(path)


def test_the_content_tells_the_compression_where_the_name_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(page("a") + page("b"))
    assert outcomes(read(path)) == ["a", "b"]


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


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40)),
    st.lists(st.tuples(st.sampled_from(["peek", "take", "skip", "unread"]), st.integers(0, 60))),
)
def test_a_stream_reads_like_a_file(blocks: list[bytes], steps: list[tuple[str, int]]) -> None:
    content, at = b"".join(blocks), 0
    remaining = iter(blocks)
    stream = Stream(lambda: next(remaining, b""))
    for step, count in steps:
        expected = content[at : at + count]
        if step == "peek":
            assert stream.peek(count) == expected
        elif step == "take":
            assert stream.take(count) == expected
            at += len(expected)
        elif step == "skip":
            assert stream.skip(count) == len(expected)
            at += len(expected)
        elif at >= count:
            stream.unread(content[at - count : at])
            at -= count
        assert stream.position == at


# Bodies


def coded(codings: str, body: bytes, name: bytes = b"Content-Encoding") -> bytes:
    return page("x", body, b"HTTP/1.1 200 OK\r\n" + name + b": " + codings.encode() + b"\r\n\r\n")


def chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%X;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def quick_brotli(body: bytes) -> bytes:
    return brotli.compress(body, quality=5)


def deflated(body: bytes, wbits: int) -> bytes:
    deflate = zlib.compressobj(wbits=wbits)
    return deflate.compress(body) + deflate.flush()


TEXT = "<p>A page, ünïcode and all</p>\n".encode() * 60
CODED = [
    ("gzip", gzip.compress(TEXT)),
    ("X-GZip", gzip.compress(TEXT)),
    ("gzip", gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])),
    ("gzip", gzip.compress(TEXT) + b"trailing bytes"),
    ("deflate", deflated(TEXT, 15)),
    ("deflate", deflated(TEXT, -15)),
    ("br", brotli.compress(TEXT)),
    ("zstd", zstandard.compress(TEXT)),
    ("gzip, br", brotli.compress(gzip.compress(TEXT))),
    ("identity", TEXT),
    ("utf-8", TEXT),
]


@pytest.mark.parametrize(("codings", "body"), CODED)
def test_content_codings_are_undone(tmp_path: Path, codings: str, body: bytes) -> None:
    row = read_one(tmp_path, coded(codings, body))
    assert (row["raw"], row["http.bytes"], row["warc.truncated"]) == (TEXT, len(TEXT), None)


def test_chunked_and_gzip_together(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    row = read_one(tmp_path, page("x", chunked(gzip.compress(TEXT)), head))
    assert (row["raw"], row["warc.truncated"]) == (TEXT, None)


@pytest.mark.parametrize("codings", ["gzip", "deflate", "br", "zstd", "gzip, br"])
def test_a_coding_that_the_archive_has_undone_already(tmp_path: Path, codings: str) -> None:
    assert read_one(tmp_path, coded(codings, TEXT))["raw"] == TEXT


@pytest.mark.parametrize("body", [b"plain", b"", b"add\nnot chunked", b"\r\n\r\n"])
def test_a_chunked_body_that_is_not(tmp_path: Path, body: bytes) -> None:
    row = read_one(tmp_path, coded("chunked", body, b"Transfer-Encoding"))
    assert (row["raw"], row["error"]) == (body, None)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "compress", "deflate"])
def test_a_body_in_no_coding_that_is_no_text_fails(tmp_path: Path, coding: str) -> None:
    row = read_one(tmp_path, coded(coding, b"\x07\x00\x01\x02\xff\xfe" * 30))
    assert (row["error"], row["url"], row["http.status"]) == (
        "http.bad_encoding",
        "http://example.org/x",
        200,
    )


@pytest.mark.parametrize(
    ("codings", "body"), [("gzip", gzip.compress), ("br", quick_brotli), ("deflate", zlib.compress)]
)
def test_a_body_whose_coding_breaks_off_is_kept_and_marked(tmp_path: Path, codings: str, body) -> None:
    whole = b"".join(b"%d %x\n" % (n, n * n) for n in range(50_000))
    row = read_one(tmp_path, coded(codings, body(whole)[:-2000]))
    assert whole.startswith(row["raw"])
    assert len(row["raw"]) > len(whole) // 2
    assert row["warc.truncated"] == "decoding"


def test_a_chunked_body_that_breaks_off_is_kept_and_marked(tmp_path: Path) -> None:
    row = read_one(tmp_path, coded("chunked", chunked(TEXT)[:-900], b"Transfer-Encoding"))
    assert TEXT.startswith(row["raw"])
    assert row["warc.truncated"] == "decoding"


def repeated_gzip(size: int) -> bytes:
    deflate = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    return b"".join(deflate.compress(block) for _ in range(size >> 20)) + deflate.flush()


BOMBS = {
    "gzip": repeated_gzip,
    "br": lambda size: brotli.compress(bytes(size), quality=5),
    "zstd": lambda size: zstandard.compress(bytes(size)),
}


@pytest.mark.parametrize("coding", BOMBS)
def test_a_decompression_bomb_is_not_held(tmp_path: Path, coding: str) -> None:
    path = archive(tmp_path, [coded(coding, BOMBS[coding](100 << 20)), page("b")])
    tracemalloc.start()
    rows = read(path, max_bytes=2 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row["raw"], row["error"]) for row in rows] == [(None, None), (b"<p>page</p>", None)]
    assert 2 << 20 < rows[0]["http.bytes"] < 4 << 20
    assert peak < 16 << 20


def test_a_bomb_of_members_is_passed_over_in_bounded_memory(tmp_path: Path) -> None:
    block = HTTP + bytes(64 << 20)
    bomb = gzip.compress(record("http://example.org/bomb", block), 1)
    del block
    path = stored(tmp_path, bomb + gzip.compress(page("b")))
    tracemalloc.start()
    rows = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["http.bytes"] for row in rows] == [64 << 20, 11]
    assert peak < 8 << 20


def test_too_many_codings() -> None:
    with pytest.raises(BadRecordError, match="5 content codings"):
        decode_body(b"x", ["gzip"] * 5, 100)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from(["gzip", "br", "deflate", "zstd", "chunked"]), max_size=3),
)
def test_decoding_undoes_encoding(body: bytes, codings: list[str]) -> None:
    encode = {
        "gzip": gzip.compress,
        "br": brotli.compress,
        "deflate": zlib.compress,
        "zstd": zstandard.compress,
        "chunked": chunked,
    }
    encoded = body
    for coding in codings:
        encoded = encode[coding](encoded)
    decoded = decode_body(encoded, codings, 1000)
    assert (decoded.raw, decoded.length, decoded.complete) == (body, len(body), True)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from(["gzip", "br", "deflate", "zstd", "chunked"]), max_size=3),
)
def test_decoding_survives_anything(body: bytes, codings: list[str]) -> None:
    with contextlib.suppress(BadRecordError):
        decoded = decode_body(body, codings, 100)
        assert decoded.raw is None or len(decoded.raw) == decoded.length <= 100


# Charsets (pipeline/sources/charset.py)


def test_all_labels_of_the_encoding_standard_are_known() -> None:
    assert len(LABELS) == 228
    assert len(set(LABELS.values())) == 40
    assert encoding_of_label(" Latin1\n") == "windows-1252"
    assert encoding_of_label("no-such") is encoding_of_label("") is encoding_of_label(None) is None


@pytest.mark.parametrize("label", sorted(LABELS))
def test_every_label_decodes_any_bytes(label: str) -> None:
    text, name = decode_html(b"<p>" + bytes(range(256)) + bytes(range(255, -1, -1)), label)
    assert name == LABELS[label]
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("label", "raw", "text"),
    [
        ("iso-8859-1", b"\x80\x93\x81\xe9", "€“\x81é"),  # windows-1252, unassigned bytes as controls
        ("tis-620", b"\x80\xa1\xdb", "€ก\ufffd"),
        ("shift_jis", "①㈱日本".encode("cp932"), "①㈱日本"),
        ("euc-jp", b"\xad\xa1\xad\xea\xc6\xfc\xcb\xdc\xff", "①㈱日本\ufffd"),  # NEC's row 13
        ("gb2312", b"\x80\xd6\xd0", "€中"),
        ("big5", b"\xa4\xa4\xa3\xe1\x87\x40", "中€䏰"),  # the euro of code page 950, a character of HKSCS
        ("ks_c_5601-1987", "똠방각하".encode("cp949"), "똠방각하"),
        ("iso-2022-jp", "日本".encode("iso2022_jp"), "日本"),
        ("x-user-defined", b"a\x80\xff", "a\uf780\uf7ff"),
        ("hz-gb-2312", b"~{<:~}", "\ufffd"),
        ("hz-gb-2312", b"", ""),
        ("utf-16le", b"a\x00\x00\xd8b\x00", "a\ufffdb"),
        ("utf-8", b"a\xff\xc3\xa9\xe2\x82", "a\ufffdé\ufffd"),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет"),
    ],
)
def test_labels_mean_what_browsers_take_them_for(label: str, raw: bytes, text: str) -> None:
    assert decode_html(raw, label)[0] == text


def test_the_order_is_mark_header_meta_detection() -> None:
    meta = b'<meta charset="koi8-r">'
    assert decode_html(b"\xef\xbb\xbf" + meta, "windows-1251") == (meta.decode(), "utf-8")
    assert decode_html(b"\xff\xfea\x00", "utf-8") == ("a", "utf-16le")
    assert decode_html(b"\xfe\xff\x00a", None) == ("a", "utf-16be")
    assert decode_html(meta, "windows-1251")[1] == "windows-1251"
    assert decode_html(meta, "nonsense")[1] == "koi8-r"
    assert decode_html(meta, None)[1] == "koi8-r"
    assert decode_html("é".encode(), None) == ("é", "utf-8")
    assert decode_html(b"", None) == ("", "utf-8")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"<META CHARSET=big5>", "big5"),
        (b"<meta\ncharset = 'koi8-r' >", "koi8-r"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">', "windows-1251"),
        (b"<meta content='text/html;charset=\"gbk\"' http-equiv=content-type>", "gbk"),
        (b'<meta name="x" content="text/html; charset=windows-1251">', None),
        (b'<!-- <meta charset="koi8-r"> --><meta charset="big5">', "big5"),
        (b'<!-- <meta charset="koi8-r">', None),
        (b'<a title="<meta charset=koi8-r>"><meta charset="big5">', "big5"),
        (b'<meta charset="nonsense"><meta charset="big5">', "big5"),
        (b'<meta charset="utf-16">', "utf-8"),
        (b'<meta charset="x-user-defined">', "windows-1252"),
        (b"<metal charset=big5>", None),
        (b'<?xml version="1.0" encoding="koi8-r"?><html>', "koi8-r"),
        (b" " * 20_000 + b"<meta charset=big5>", None),
        (b"charset", None),
    ],
)
def test_declarations_in_the_page(head: bytes, expected: str | None) -> None:
    assert meta_charset(head) == expected


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        ("日本語のテキストはこのように書かれています。", "shift_jis", "shift_jis"),
        ("日本語のテキストはこのように書かれています。", "euc_jp", "euc-jp"),
        ("이것은 한국어 텍스트입니다. 인코딩을 감지합니다.", "euc_kr", "euc-kr"),
        ("這是一個繁體中文的測試文本，用於檢測編碼。", "big5", "big5"),
        ("Это русский текст для проверки кодировки.", "cp1251", "windows-1251"),
        ("Это русский текст для проверки кодировки.", "koi8_r", "koi8-r"),
    ],
)
def test_detection_without_any_declaration(text: str, codec: str, name: str) -> None:
    assert decode_html((text * 10).encode(codec), None) == (text * 10, name)


def test_damaged_utf8_is_still_utf8() -> None:
    whole = ("<p>Příliš žluťoučký kůň</p>" * 20).encode()
    for damaged in (whole[:-5], whole + b"\xff", b"caf\xe9 " + whole):
        text, name = decode_html(damaged, None)
        assert name == "utf-8"
        assert text.count("\ufffd") == 1


def test_invalid_utf8_in_a_page_that_claims_it(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    row = read_one(tmp_path, page("x", b"a\xff\xfeb\xed\xa0\x80", head))
    assert (row["raw"], row["http.charset"], row["error"]) == (b"a\xff\xfeb\xed\xa0\x80", "utf-8", None)
    assert decode_html(row["raw"], row["http.charset"])[0] == "a\ufffd\ufffdb\ufffd\ufffd\ufffd"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, "x", *sorted(LABELS)]))
def test_decoding_never_raises_and_gives_text_that_utf8_can_hold(raw: bytes, label: str | None) -> None:
    text, name = decode_html(raw, label)
    text.encode("utf-8")
    assert name in LABELS.values()


def test_a_hostile_head_is_scanned_in_linear_time() -> None:
    for piece in (b"<!--", b"<meta ", b'<a "', b"<a '\"", b"<meta charset=", b"charset " * 2):
        assert meta_charset(b"<meta charset" + piece * 4000) is None
