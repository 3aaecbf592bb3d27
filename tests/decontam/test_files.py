from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from decontam import files
from decontam.errors import BenchmarkError
from decontam.registry import (
    Benchmark,
    Source,
    read_items,
)

ROWS = [
    {"question": "Why is the sea salty?", "note": "x"},
    {"question": "Two lines\nand a “quote”, with a comma", "note": "y"},
    {"question": "A line separator\u2028inside", "note": None},
]


def items_of(path: Path, **columns: list[str]):
    benchmark = Benchmark(key="toy", **{"prompt": ["question"], **columns})
    return read_items(Source(benchmark, str(path)), ("prompt", "choices", "answer", "passage"))[0]


# ---- reading files


def as_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))


def as_parquet(path: Path) -> None:
    pa.parquet.write_table(pa.Table.from_pylist(ROWS), path)


def as_csv(path: Path) -> None:
    pa.csv.write_csv(pa.Table.from_pylist(ROWS), path)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize(
    ("name", "write"), [("t.jsonl", as_jsonl), ("t.parquet", as_parquet), ("t.csv", as_csv)]
)
def test_every_format_gives_the_same_items(
    tmp_path: Path, name: str, write: Callable[[Path], None], ending: str
) -> None:
    write(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / (name + ending)).write_bytes(COMPRESS[ending](content))
    items = items_of(tmp_path / (name + ending))
    assert [item.fields for item in items] == [(("prompt", row["question"]),) for row in ROWS]
    assert [item.id for item in items] == ["0", "1", "2"]


def test_numbers_in_csv_stay_as_written_and_long_fields_are_read(tmp_path: Path) -> None:
    long = "word " * 400_000
    (tmp_path / "t.csv").write_text(f'id,question\n007,"{long}"\n008,0123\n')
    items = items_of(tmp_path / "t.csv")
    assert [(item.id, item.fields[0][1]) for item in items] == [("007", long), ("008", "0123")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", b'{"question": "a"}\n{"question": ', "line 2 is not valid JSON"),
        ("t.jsonl", b'"question"', "line 1 is not a JSON object"),
        ("t.jsonl", b"", "has no rows"),
        ("t.jsonl.gz", b"not gzip", "t.jsonl.gz"),
        ("t.jsonl.gz", gzip.compress(b'{"question": "a"}', mtime=0)[:-9], "t.jsonl.gz"),
        ("t.jsonl.zst", b"not zstd", "t.jsonl.zst"),
        ("t.jsonl.xz", b"not xz", "t.jsonl.xz"),
        ("t.jsonl.bz2", b"not bz2", "t.jsonl.bz2"),
        ("t.jsonl.xz", lzma.compress(b'{"question": "a"}')[:-9], "t.jsonl.xz"),
        ("t.jsonl.bz2", bz2.compress(b'{"question": "a"}')[:-9], "t.jsonl.bz2"),
        ("t.jsonl.zst", zstandard.compress(b'{"question": "a"}')[:-3], "cut off"),
        ("t.jsonl", b'{"question": ' + b"[" * 100_000, "line 1 is not valid JSON"),
        ("t.csv", b"question,question\n1,2\n", "two of its columns have the same name"),
        ("t.csv", b"question\n\xff\n", "t.csv"),
        ("t.tsv", b"question\tb\n1\n", "t.tsv"),
        ("t.parquet", b"not parquet", "t.parquet"),
        ("t.csv", b"question,b\n1,2,3\n", "t.csv"),
        ("t.json", b"[]", "no known format"),
        (
            "t.jsonl",
            b'{"questions": "a"}',
            'no column "question" (it has questions). Did you mean "questions"?',
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchmarkError) as error:
        items_of(tmp_path / name)
    assert message in str(error.value)
    assert 'benchmark "toy"' in str(error.value)


def test_truncated_zstd_is_an_error(tmp_path: Path) -> None:
    whole = zstandard.compress(b'{"question": "%s"}' % b" ".join(b"%d" % n for n in range(90_000)))
    (tmp_path / "t.jsonl.zst").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchmarkError, match=r"t\.jsonl\.zst"):
        items_of(tmp_path / "t.jsonl.zst")


def test_every_frame_of_a_zstd_file_is_read(tmp_path: Path) -> None:
    frames = [zstandard.compress(b'{"question": "%d"}\n' % number) for number in range(3)]
    (tmp_path / "t.jsonl.zst").write_bytes(b"".join(frames))
    assert [item.fields[0][1] for item in items_of(tmp_path / "t.jsonl.zst")] == ["0", "1", "2"]
    (tmp_path / "t.jsonl.zst").write_bytes(b"".join(frames)[:-1])
    with pytest.raises(BenchmarkError, match="cut off"):
        items_of(tmp_path / "t.jsonl.zst")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=6000), max_size=4), st.data())
def test_zstd_gives_back_what_was_compressed_or_says_that_it_is_cut_off(
    contents: list[bytes], data: st.DataObject
) -> None:
    stored = b"".join(map(zstandard.compress, contents))
    assert files._decompress("t.jsonl.zst", stored) == b"".join(contents)
    whole = {len(b"".join(map(zstandard.compress, contents[:number]))) for number in range(len(contents) + 1)}
    cut = data.draw(st.integers(0, len(stored)))
    if cut not in whole:
        with pytest.raises((EOFError, zstandard.ZstdError)):
            files._decompress("t.jsonl.zst", stored[:cut])


@pytest.mark.parametrize("ending", [ending for ending in COMPRESS if ending])
def test_a_decompression_bomb_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(files, "LARGEST_CONTENT", 1 << 20)
    line = b'{"question": "a"}\n'
    (tmp_path / ("t.jsonl" + ending)).write_bytes(COMPRESS[ending](line * ((1 << 20) // len(line))))
    assert len(items_of(tmp_path / ("t.jsonl" + ending))) == (1 << 20) // len(line)
    (tmp_path / ("t.jsonl" + ending)).write_bytes(COMPRESS[ending](line + b" " * (1 << 20)))
    with pytest.raises(BenchmarkError, match="unfolds to more than"):
        items_of(tmp_path / ("t.jsonl" + ending))


def test_a_parquet_bomb_is_an_error_and_columns_that_are_not_read_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_CONTENT", 1 << 20)
    big = [b"%d" % number * 100 for number in range(40_000)]  # distinct, so that no dictionary shrinks them
    table = pa.table({"question": pa.array(["a"] * 40_000), "image": pa.array(big)})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    assert len(items_of(tmp_path / "t.parquet")) == 40_000
    with pytest.raises(BenchmarkError, match="unfolds to more than"):
        items_of(tmp_path / "t.parquet", prompt=["image"])
    monkeypatch.setattr(files, "LARGEST_CONTENT", 1 << 19)
    with pytest.raises(BenchmarkError, match="unfolds to more than"):
        items_of(tmp_path / "t.parquet")  # 40,000 rows of nearly nothing


def test_a_file_larger_than_a_benchmark_may_be_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.jsonl").write_text('{"question": "a"}')
    monkeypatch.setattr(files, "LARGEST_STORED", 16)
    with pytest.raises(BenchmarkError, match="the most that a benchmark may be"):
        items_of(tmp_path / "t.jsonl")


def test_a_file_that_went_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r'benchmark "toy": .*gone\.jsonl'):
        items_of(tmp_path / "gone.jsonl")


def test_a_quote_in_tsv_is_a_character(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text('id\tquestion\n1\t"Why? he asked\n2\tIt is "so", 5" long\n')
    texts = [item.fields[0][1] for item in items_of(tmp_path / "t.tsv")]
    assert texts == ['"Why? he asked', 'It is "so", 5" long']


def test_of_parquet_only_what_is_named_is_read(tmp_path: Path) -> None:
    row = {
        "document": {"text": "the book", "summary": {"text": "short", "url": "u"}},
        "answers": [{"text": "one", "start": 1}, {"text": "two", "start": 2}],
        "question": "why?",
        "image": b"\x00",
    }
    content = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pylist([row]), content)
    read = files.read_rows(
        "t.parquet", content.getvalue(), ["document.summary.text", "answers.text", "question"]
    )
    assert read.rows == [
        {"document": {"summary": {"text": "short"}}, "answers": row["answers"], "question": "why?"}
    ]
    assert read.names == ("document", "answers", "question", "image")
