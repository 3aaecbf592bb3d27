from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chunks import READ_SCHEMA, Split, document_id
from pipeline.errors import UserError
from pipeline.sources import ReadSettings, SplitReader, TextColumns
from pipeline.sources.discover import SourceConfig, plan_splits


def stored(folder: Path, columns: dict[str, object], **options: object) -> Path:
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def readers(path: Path, split_bytes: int = 0, **reading: object) -> list[SplitReader]:
    config = SourceConfig(name="s", inputs=(str(path),), reading=ReadSettings(**reading))
    return [SplitReader(split, config.reading) for split in plan_splits(config, split_bytes)]


def read(path: Path, split_bytes: int = 0, **reading: object) -> list[dict]:
    """All rows of a file; the offsets of its splits must meet."""
    rows, before = [], 0
    for reader in readers(path, split_bytes, **reading):
        for chunk in reader:
            assert chunk.batch.schema.equals(READ_SCHEMA)
            chunk.batch.validate(full=True)
            rows += chunk.batch.to_pylist()
        assert before == reader.first_offset
        before = reader.end_offset
    return rows


def test_a_row_becomes_a_document(tmp_path: Path) -> None:
    path = stored(
        tmp_path,
        {
            "id": ["x"],
            "text": ["ünï"],
            "url": ["http://x/"],
            "date": [datetime.datetime(2026, 1, 2, 3, 4, 5, 6)],
            "title": ["T"],
            "other": [[1]],
        },
    )
    expected = dict.fromkeys(READ_SCHEMA.names) | {
        "id": document_id("s", "x"),
        "source": "s",
        "snapshot": "now",
        "url": "http://x/",
        "date": "2026-01-02T03:04:05",
        "record": "a.parquet@0+0",
        "text": "ünï",
        "title": "T",
    }
    assert read(path, snapshot="now") == [expected]


def test_a_missing_text_column_is_an_error_that_names_what_is_there(tmp_path: Path) -> None:
    path = stored(tmp_path, {"texts": ["a"], "url": ["u"]})
    with pytest.raises(UserError, match=r'no column "text".*"texts", "url".*Did you mean "texts"\?'):
        readers(path)
    split = Split(source="s", shard="a", path=str(path), format="parquet", index=0, start=0, stop=1)
    with pytest.raises(UserError, match='no column "text"'):
        list(SplitReader(split, ReadSettings()))
    assert read(path, columns=TextColumns(text="texts"))[0]["text"] == "a"


def test_a_text_column_of_another_type_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='"text" holds int64'):
        readers(stored(tmp_path, {"text": [1]}))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all" * 9])
def test_what_is_no_parquet_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.parquet cannot be read as Parquet"):
        readers(path)


def test_a_file_without_rows(tmp_path: Path) -> None:
    path = stored(tmp_path, {"text": pa.array([], pa.string())})
    assert len(readers(path)) == 1
    assert read(path) == []


def test_a_null_text_is_a_failure(tmp_path: Path) -> None:
    path = stored(tmp_path, {"text": ["a", None, ""], "url": ["u", "v", None]})
    rows = read(path)
    assert [(row["text"], row["error"]) for row in rows] == [
        ("a", None),
        (None, "parquet.no_text"),
        ("", None),
    ]
    assert rows[1]["id"] == document_id("s", "v")
    [reader] = readers(path)
    list(reader)
    assert reader.records == {"document": 3, "failed": 1}


def test_ids_come_from_the_id_then_the_url_then_the_text(tmp_path: Path) -> None:
    columns = {
        "text": ["t", "t", "t", "t", "o", None, None],
        "id": ["1", "", None, None, None, None, None],
        "url": ["u", "u", "u", None, None, None, None],
        "date": ["d", "d", None, "d", None, None, None],
    }
    ids = [row["id"] for row in read(stored(tmp_path, columns))]
    assert ids[:3] == [document_id("s", "1"), document_id("s", "u", "d"), document_id("s", "u")]
    assert len(set(ids)) == 7


def test_a_text_has_the_id_that_it_has_as_json(tmp_path: Path) -> None:
    json_path = tmp_path / "a.jsonl"
    json_path.write_text('{"text": "t"}')
    assert read(stored(tmp_path, {"text": ["t"]}))[0]["id"] == read(json_path)[0]["id"]


def test_invalid_utf8_is_a_failure(tmp_path: Path) -> None:
    raw = pa.array([b"a", b"\xff\xfe", None, b"b"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 4, raw.buffers())
    rows = read(stored(tmp_path, {"text": text}))
    assert [row["error"] for row in rows] == [None, "parquet.invalid_utf8", "parquet.no_text", None]
    assert [row["text"] for row in rows] == ["a", None, None, "b"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", "b", None]),
        pa.array(["a", "b", None], pa.large_string()),
        pa.array(["a", "b", None], pa.string_view()),
        pa.array(["a", "b", None]).dictionary_encode(),
    ],
)
def test_all_kinds_of_strings(tmp_path: Path, values: pa.Array) -> None:
    rows = read(stored(tmp_path, {"text": values, "url": values}))
    assert [row["text"] for row in rows] == [row["url"] for row in rows] == ["a", "b", None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([5]), "5"),
        (pa.array([datetime.date(2026, 1, 2)]), "2026-01-02"),
        (pa.array([1767323045000], pa.timestamp("ms", "UTC")), "2026-01-02T03:04:05Z"),
        (pa.array([[1]]), None),
        (pa.array([b"x"]), None),
        (pa.nulls(1), None),
    ],
)
def test_dates_of_all_kinds(tmp_path: Path, values: pa.Array, expected: str | None) -> None:
    assert read(stored(tmp_path, {"text": ["a"], "date": values}))[0]["date"] == expected


def test_columns_may_lie_in_structs(tmp_path: Path) -> None:
    path = stored(tmp_path, {"doc": [{"text": "t", "n": 1}], "meta": [{"url": {"full": "u"}}], "a.b": ["x"]})
    columns = TextColumns(text="doc.text", url="meta.url.full", id="meta.id", title="a.b", date=None)
    [row] = read(path, columns=columns)
    assert (row["text"], row["url"], row["title"], row["date"]) == ("t", "u", "x", None)


def test_files_are_split_by_row_groups(tmp_path: Path) -> None:
    path = stored(tmp_path, {"text": [f"text {n}" for n in range(100)]}, row_group_size=10)
    assert len(readers(path)) == 1
    assert len(readers(path, 1)) == 10
    assert 1 < len(readers(path, 700)) < 10
    assert read(path, 1) == read(path, 700) == read(path)
    assert [row["text"] for row in read(path)] == [f"text {n}" for n in range(100)]


def test_chunks_are_cut_by_rows_and_by_bytes(tmp_path: Path) -> None:
    path = stored(tmp_path, {"text": ["x" * (50_000 if n == 5 else 10) for n in range(8)]})
    [reader] = readers(path, chunk_rows=4, chunk_bytes=40_000)
    assert [chunk.batch.num_rows for chunk in reader] == [4, 1, 1, 2]


def test_a_damaged_row_group_is_a_failure_and_the_others_are_read(tmp_path: Path) -> None:
    texts = [f"{n} {n * n}" for n in range(3000)]
    path = stored(tmp_path, {"text": texts}, row_group_size=1000, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    content[start + 60 : start + 400] = bytes(340)
    path.write_bytes(content)
    rows = read(path)
    assert [row["text"] for row in rows if not row["error"]] == texts[:1000] + texts[2000:]
    [failed] = [row for row in rows if row["error"]]
    assert failed["error"] == "parquet.damaged"
    assert "1,000 of 1,000 rows are lost" in failed["message"]
    [reader] = readers(path)
    list(reader)
    assert reader.records == {"document": 2000, "lost": 1000, "failed": 1}


def test_trouble_of_the_file_system_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path, {"text": ["a"]})
    [reader] = readers(path)

    def broken(*_: object, **__: object) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", broken)
    with pytest.raises(TimeoutError):
        list(reader)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.none() | st.text(max_size=20), max_size=60),
    st.integers(1, 20),
    st.integers(0, 400),
    st.integers(1, 30),
    st.integers(1, 3000),
)
def test_any_split_and_chunk_size_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str | None],
    group: int,
    split_bytes: int,
    chunk_rows: int,
    chunk_bytes: int,
) -> None:
    path = stored(
        tmp_path_factory.mktemp("parquet"), {"text": pa.array(texts, pa.string())}, row_group_size=group
    )
    rows = read(path, split_bytes, chunk_rows=chunk_rows, chunk_bytes=chunk_bytes)
    assert [row["text"] for row in rows] == texts
    assert rows == read(path)
