from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chunks import READ_SCHEMA, document_id
from pipeline.sources import ReadSettings, SplitReader, TextColumns
from pipeline.sources.discover import SourceConfig, plan_splits
from pipeline.sources.jsonl import split_lines


def stored(folder: Path, content: bytes, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def lines(*documents: object) -> bytes:
    return b"".join(json.dumps(document, ensure_ascii=False).encode() + b"\n" for document in documents)


def readers(path: Path, split_bytes: int = 0, **reading: object) -> list[SplitReader]:
    config = SourceConfig(name="s", inputs=(str(path),), reading=ReadSettings(**reading))
    return [SplitReader(split, config.reading) for split in plan_splits(config, split_bytes)]


def read(path: Path, split_bytes: int = 0, **reading: object) -> list[dict]:
    """All rows of a file; the offsets of its splits must meet."""
    rows, before = [], 0
    for reader in readers(path, split_bytes, **reading):
        for chunk in reader:
            assert chunk.batch.schema.equals(READ_SCHEMA)
            rows += chunk.batch.to_pylist()
        assert before == reader.first_offset
        before = reader.end_offset
    assert before == path.stat().st_size
    return rows


def test_a_line_becomes_a_document(tmp_path: Path) -> None:
    line = {"id": "x1", "text": "ünï", "url": "http://x/", "date": "2026-01-01", "title": "T", "other": [1]}
    path = stored(tmp_path, lines(line))
    expected = dict.fromkeys(READ_SCHEMA.names) | {
        "id": document_id("s", "x1"),
        "source": "s",
        "snapshot": "now",
        "url": "http://x/",
        "date": "2026-01-01",
        "record": "a.jsonl@0",
        "text": "ünï",
        "title": "T",
    }
    assert read(path, snapshot="now") == [expected]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.ndjson.zst", "a.json", "a.jsonl"])
def test_compressed_files_are_one_split(tmp_path: Path, name: str) -> None:
    content = lines(*({"text": f"text {n}"} for n in range(2000)))
    halves = content[:9000], content[9000:]
    if name.endswith(".gz"):
        stored_bytes = b"".join(map(gzip.compress, halves))  # two members, cut inside a line
    elif name.endswith(".zst"):
        stored_bytes = b"".join(map(zstandard.compress, halves))
    else:
        stored_bytes = content
    path = stored(tmp_path, stored_bytes, name)
    assert [row["text"] for row in read(path, 1000)] == [f"text {n}" for n in range(2000)]
    compressed = name.endswith((".gz", ".zst"))
    assert (len(readers(path, 1000)) == 1) == compressed


def test_ids_come_from_the_id_then_the_url_then_the_text(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        lines(
            {"text": "t", "id": 7, "url": "u"},
            {"text": "t", "id": "", "url": "u", "date": "d"},
            {"text": "t", "id": {"no": "name"}, "url": "u"},
            {"text": "t", "id": None, "url": None},
            {"text": "t", "id": True},
            {"text": "other"},
        ),
    )
    ids = [row["id"] for row in read(path)]
    assert ids[:3] == [document_id("s", "7"), document_id("s", "u", "d"), document_id("s", "u")]
    assert ids[3] == ids[4] != ids[5]
    assert len(set(ids)) == 5


def test_ids_do_not_depend_on_place_or_file(tmp_path: Path) -> None:
    documents = [{"text": "one"}, {"text": "two", "url": "u"}]
    before = [row["id"] for row in read(stored(tmp_path, lines(*documents)))]
    after = [row["id"] for row in read(stored(tmp_path, b"\n" + lines({"text": "0"}, *documents), "b.jsonl"))]
    assert after[1:] == before


def test_columns_are_settings(tmp_path: Path) -> None:
    columns = TextColumns(text="body.plain", id=None, url="meta.url", date="a.b", title="meta.url.no")
    path = stored(tmp_path, lines({"body": {"plain": "t"}, "meta": {"url": "u"}, "id": "x", "a.b": 2026}))
    [row] = read(path, columns=columns)
    assert (row["text"], row["url"], row["date"], row["title"]) == ("t", "u", "2026", None)
    assert row["id"] == document_id("s", "u", "2026")


@pytest.mark.parametrize(
    ("line", "reason", "part"),
    [
        (b'{"text": "cut', "json.invalid", "Unterminated string"),
        (b'{"text": "a"} trailing', "json.invalid", "Extra data"),
        (b"[" * 100_000, "json.invalid", "deeply"),
        (b'{"text": 1' + b"0" * 9999 + b"}", "json.invalid", "digits"),
        (b'{"text": "\xff"}', "json.invalid_utf8", "byte 10"),
        (b"[1, 2]", "json.not_object", "list"),
        (b"\x00\x00", "json.invalid", ""),
        (b'{"txt": "a", "id": "x"}', "json.no_text", 'Did you mean "txt"?'),
        (b'{"text": null}', "json.no_text", "'text'"),
        (b"{}", "json.no_text", "none"),
        (b'{"text": ["a"]}', "json.text_not_string", "list"),
        (b'{"text": "' + b"x" * 1000 + b'"}', "json.line_too_long", "1,012 bytes"),
        (b'{"txt": "\\ud800"}', "json.no_text", ""),
    ],
)
def test_a_bad_line_is_a_failure_and_reading_goes_on(
    tmp_path: Path, line: bytes, reason: str, part: str
) -> None:
    content = lines({"text": "before"}) + line + b"\n" + lines({"text": "after"})
    limit = 1000 if reason == "json.line_too_long" else 1 << 20
    rows = read(stored(tmp_path, content), max_line_bytes=limit)
    assert [row["text"] for row in rows] == ["before", None, "after"]
    assert rows[1]["error"] == reason
    assert part in rows[1]["message"]
    assert rows[1]["record"] == "a.jsonl@19"
    moved = read(stored(tmp_path, b"\n\n" + content, "b.jsonl"), 30, max_line_bytes=limit)
    assert moved[1]["id"] == rows[1]["id"]


def test_failures_keep_what_names_them(tmp_path: Path) -> None:
    rows = read(
        stored(tmp_path, lines({"id": "x", "url": "u"}, {"url": "u", "date": "d"}, {"n": 1}, {"n": 2}))
    )
    assert [row["url"] for row in rows] == ["u", "u", None, None]
    assert [row["id"] for row in rows][:2] == [document_id("s", "x"), document_id("s", "u", "d")]
    assert len({row["id"] for row in rows}) == 4


def test_counts(tmp_path: Path) -> None:
    [reader] = readers(stored(tmp_path, b"\n" + lines({"text": "a"}) + b" \r\n{\n"))
    assert sum(chunk.batch.num_rows for chunk in reader) == 2
    assert reader.records == {"document": 2, "failed": 1, "blank": 2}


def test_an_empty_text_is_a_document(tmp_path: Path) -> None:
    [row] = read(stored(tmp_path, lines({"text": ""})))
    assert (row["text"], row["error"]) == ("", None)


def test_an_empty_file_holds_no_documents(tmp_path: Path) -> None:
    assert read(stored(tmp_path, b"")) == []


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_an_empty_compressed_file_is_a_failure(tmp_path: Path, name: str) -> None:
    assert [row["error"] for row in read(stored(tmp_path, b"", name))] == ["input.empty"]


@pytest.mark.parametrize(
    ("name", "compress"), [("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", zstandard.compress)]
)
@pytest.mark.parametrize("garbage", [None, b"garbage"])
def test_a_damaged_compressed_file_gives_what_can_be_read(
    tmp_path: Path, name: str, compress, garbage: bytes | None
) -> None:
    content = lines(*({"text": f"{n * 7919 % 10007} {n * n}"} for n in range(30_000)))
    damaged = compress(content)[:-2000] if garbage is None else compress(content) + garbage
    rows = read(stored(tmp_path, damaged, name))
    assert rows[-1]["error"] == "json.damaged"
    assert all(row["error"] is None for row in rows[:-1])
    assert len(rows) - 1 == 30_000 if garbage else 15_000 < len(rows) < 30_000


def test_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"text": "a\xe2\x80\xa8b\xc2\x85c"}\r\n{"text": "d\\ne"}'
    assert [row["text"] for row in read(stored(tmp_path, content))] == ["a\u2028b\x85c", "d\ne"]


def test_lone_surrogates_become_replacement_characters(tmp_path: Path) -> None:
    content = b'{"text": "\\ud83d\\ude00 \\ud800x", "url": "\\udfff", "id": "\\ud800"}\n'
    [row] = read(stored(tmp_path, content))
    assert (row["text"], row["url"]) == ("😀 \ufffdx", "\ufffd")


def test_nuls_stay(tmp_path: Path) -> None:
    assert read(stored(tmp_path, b'{"text": "a\\u0000b"}'))[0]["text"] == "a\x00b"


def test_a_long_line_is_passed_over_in_bounded_memory(tmp_path: Path) -> None:
    path = stored(tmp_path, lines({"text": "a"}) + b"x" * 60_000_000 + b"\n" + lines({"text": "b"}))
    tracemalloc.start()
    rows = read(path, max_line_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["text"] for row in rows] == ["a", None, "b"]
    assert "60,000,000" in rows[1]["message"]
    assert peak < 10 << 20


def test_chunks_are_cut_by_rows_and_by_bytes(tmp_path: Path) -> None:
    path = stored(tmp_path, lines(*({"text": "x" * (50_000 if n == 5 else 10)} for n in range(8))))
    [reader] = readers(path, chunk_rows=4, chunk_bytes=40_000)
    assert [chunk.batch.num_rows for chunk in reader] == [4, 1, 1, 2]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"", b"{", b'{"text": "a"}', b'{"text": "\xe2\x80\xa8bb"}\r', b"[]", b"\xff", b"  "])
    ),
    st.booleans(),
    st.integers(1, 80),
)
def test_any_split_size_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], ended: bool, split_bytes: int
) -> None:
    content = b"\n".join(parts) + (b"\n" if ended else b"")
    path = stored(tmp_path_factory.mktemp("jsonl"), content)
    rows = read(path, split_bytes)
    assert rows == read(path)
    assert len(rows) == sum(1 for part in parts if part.strip())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"z", b"\n"))), st.integers(1, 12))
def test_lines_are_those_of_bytes_split(blocks: list[bytes], limit: int) -> None:
    content = b"".join(blocks)
    expected = content.split(b"\n")
    expected = expected[:-1] if expected[-1] == b"" else expected
    found = list(split_lines(iter(blocks), 0, limit))
    assert [line.length for line in found] == [len(line) for line in expected]
    assert [line.content for line in found] == [line if len(line) <= limit else None for line in expected]
    assert all(content[line.offset :].startswith(raw) for line, raw in zip(found, expected, strict=True))
    assert len({line.content or line.digest for line in found}) == len(set(expected))
