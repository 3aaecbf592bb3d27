from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import yaml
import zstandard

from decontam.benchmarks import Benchmark, Source, load_registry, read_items
from decontam.errors import BenchmarkError
from decontam.settings import DecontaminationSettings

ROWS = [
    {"question": "Why is the sea salty?", "note": "x"},
    {"question": "Two lines\nand a “quote”, with a comma", "note": "y"},
    {"question": "A line separator\u2028inside", "note": None},
]


def registry(folder: Path, content: object, name: str = "benchmarks.yaml") -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(content) if not isinstance(content, str) else content)
    return str(path)


def load(path: str, **settings: object):
    return load_registry(DecontaminationSettings(benchmarks=path, **settings))


def items_of(path: Path, **columns: list[str]):
    benchmark = Benchmark(key="toy", **{"prompt": ["question"], **columns})
    return read_items(Source(benchmark, str(path)), ("prompt", "choices", "answer", "passage"))[0]


# ---- the YAML


def test_an_entry_may_say_all_of_this(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    entry = {
        "key": "science/easy",
        "family": "science",
        "file": "a.jsonl",
        "prompt": ["question"],
        "choices": ["choices"],
        "answer": ["answer"],
        "passage": ["support"],
        "license": "CC0-1.0",
        "language": "en",
        "aliases": ["old/name"],
        "hf": {"path": "org/name", "config": "main", "split": "test"},
    }
    loaded = load(registry(tmp_path, {"benchmarks": [entry]}))
    (source,) = loaded.sources
    assert source.benchmark.model_dump(mode="json") == entry
    assert source.path == str(tmp_path / "a.jsonl")
    assert (loaded.skipped, loaded.missing) == ((), ())


def test_no_registry_is_no_benchmarks() -> None:
    assert load_registry(DecontaminationSettings()).sources == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"benchmarks": [{"key": "a", "promt": ["q"], "prompt": ["q"]}]},
            'benchmark 1 ("a"): unknown key "promt". Did you mean "prompt"?',
        ),
        (
            {"benchmarks": [{"key": "a", "prompt": ["q"], "hf": {"path": "p", "splitt": "s"}}]},
            'benchmark 1 ("a"): unknown key "hf.splitt". Did you mean "split"?',
        ),
        ({"benchmark": []}, 'unknown key "benchmark". Did you mean "benchmarks"?'),
        ({"benchmarks": [{"prompt": ["q"]}]}, "benchmark 1: key: Field required"),
        ({"benchmarks": [{"key": "a", "prompt": []}]}, 'benchmark 1 ("a"): prompt'),
        ({"benchmarks": [{"key": "a", "prompt": ["q"], "language": False}]}, 'benchmark 1 ("a"): language'),
        ({"benchmarks": [{"key": "../a", "prompt": ["q"]}]}, "key"),
        ({"benchmarks": ["a"]}, "benchmark 1"),
        ([1], "valid dictionary"),
        ("benchmarks: [", "not valid YAML"),
    ],
)
def test_a_wrong_registry_says_where_and_what(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(BenchmarkError) as error:
        load(registry(tmp_path, content))
    assert message in str(error.value)
    assert "benchmarks.yaml" in str(error.value)


def test_included_registries_are_relative_to_the_file_and_come_first(tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "b.jsonl").write_text("{}")
    (tmp_path / "a.jsonl").write_text("{}")
    registry(more, {"benchmarks": [{"key": "b", "prompt": ["q"]}]}, "other.yaml")
    path = registry(tmp_path, {"include": "more/other.yaml", "benchmarks": [{"key": "a", "prompt": ["q"]}]})
    assert [(source.benchmark.key, source.path) for source in load(path).sources] == [
        ("b", str(more / "b.jsonl")),
        ("a", str(tmp_path / "a.jsonl")),
    ]


def test_a_registry_that_includes_itself_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="includes itself"):
        load(registry(tmp_path, {"include": ["benchmarks.yaml"]}))


def test_a_registry_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"no benchmark registry .*gone\.yaml \(included by"):
        load(registry(tmp_path, {"include": "gone.yaml"}))


def test_a_key_is_unique(tmp_path: Path) -> None:
    entry = {"key": "a", "prompt": ["q"]}
    with pytest.raises(BenchmarkError, match='benchmark "a" is listed twice'):
        load(registry(tmp_path, {"benchmarks": [entry, entry]}))


# ---- finding files


THREE = {
    "benchmarks": [
        {"key": "mmlu/anatomy", "prompt": ["q"], "aliases": ["hendrycks/anatomy"]},
        {"key": "arc", "file": "arc.csv", "prompt": ["q"]},
        {"key": "here", "prompt": ["q"], "hf": {"path": "org/here"}},
    ]
}


def test_missing_files_are_one_error_that_lists_all(tmp_path: Path) -> None:
    (tmp_path / "here.jsonl.zst").write_bytes(b"")
    with pytest.raises(BenchmarkError) as error:
        load(registry(tmp_path, THREE))
    message = str(error.value)
    assert 'benchmark "mmlu/anatomy" has no file under' in message
    assert "(looked for mmlu/anatomy.parquet, .jsonl, .jsonl.gz" in message
    assert '"arc"' in message
    assert "(looked for arc.csv)" in message
    assert '"here"' not in message
    assert "`--skip mmlu/anatomy`" in message
    assert "`--benchmark-root`" in message


def test_a_benchmark_that_only_the_hub_has_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match='"here" has no file'):
        load(registry(tmp_path, THREE), skip=("mmlu/anatomy", "arc"))


def test_skipped_and_missing_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "here.jsonl").write_bytes(b"")
    loaded = load(registry(tmp_path, THREE), skip=("hendrycks/anatomy",), allow_missing=True)
    assert [source.benchmark.key for source in loaded.sources] == ["here"]
    assert (loaded.skipped, loaded.missing) == (("mmlu/anatomy",), ("arc",))


def test_a_skip_that_names_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r'skip names "mmlu/anatomi".* Did you mean "mmlu/anatomy"'):
        load(registry(tmp_path, THREE), skip=("mmlu/anatomi",), allow_missing=True)


def test_without_a_root_files_lie_beside_the_registry_or_in_benchmarks(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "arc.csv").write_bytes(b"")
    (tmp_path / "benchmarks" / "here.jsonl").write_bytes(b"")
    (tmp_path / "here.jsonl").write_bytes(b"")
    loaded = load(registry(tmp_path, THREE), skip=("mmlu/anatomy",))
    paths = [str(tmp_path / "benchmarks" / "arc.csv"), str(tmp_path / "here.jsonl")]
    assert [source.path for source in loaded.sources] == paths


@pytest.mark.parametrize("name", ["mmlu/anatomy.parquet", "mmlu/anatomy.csv.gz", "mmlu__anatomy.jsonl.gz"])
def test_a_file_is_found_by_its_key_under_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "files"
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(b"")
    loaded = load(registry(tmp_path, THREE), benchmark_root=str(root), skip=("arc", "here"))
    assert [source.path for source in loaded.sources] == [str(root / name)]


# ---- reading files


def as_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))


def as_parquet(path: Path) -> None:
    pa.parquet.write_table(pa.Table.from_pylist(ROWS), path)


def as_csv(path: Path) -> None:
    pa.csv.write_csv(pa.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize(
    ("name", "write"), [("t.jsonl", as_jsonl), ("t.parquet", as_parquet), ("t.csv", as_csv)]
)
def test_every_format_gives_the_same_items(
    tmp_path: Path, name: str, write: Callable[[Path], None], ending: str
) -> None:
    write(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    compress = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[ending]
    (tmp_path / (name + ending)).write_bytes(compress(content))
    items = items_of(tmp_path / (name + ending))
    assert [item.fields for item in items] == [(("prompt", row["question"]),) for row in ROWS]
    assert [item.id for item in items] == ["0", "1", "2"]


def test_numbers_in_csv_stay_as_written_and_long_fields_are_read(tmp_path: Path) -> None:
    long = "word " * 400_000
    (tmp_path / "t.csv").write_text(f'id,question\n007,"{long}"\n008,0123\n')
    items = items_of(tmp_path / "t.csv")
    assert [(item.id, item.fields[0][1]) for item in items] == [("007", long), ("008", "0123")]


def test_parts_lists_nested_fields_and_numbers_become_fields(tmp_path: Path) -> None:
    row = {
        "id": "q1",
        "turns": ["first", "second"],
        "fields": {"choices": {"text": ["one", "two"], "label": ["A", "B"]}, "answer": 42},
        "support": [{"title": "t1"}, {"title": None}, {"title": "t3"}],
        "image": None,
    }
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    (item,) = items_of(
        tmp_path / "t.jsonl",
        prompt=["turns", "image"],
        choices=["fields.choices.text"],
        answer=["fields.answer"],
        passage=["support.title"],
    )
    assert item.id == "q1"
    assert item.fields == (
        ("prompt", "first"),
        ("prompt", "second"),
        ("choices", "one"),
        ("choices", "two"),
        ("answer", "42"),
        ("passage", "t1"),
        ("passage", "t3"),
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", b'{"question": "a"}\n{"question": ', "line 2 is not valid JSON"),
        ("t.jsonl", b'"question"', "line 1 is not a JSON object"),
        ("t.jsonl", b"", "has no rows"),
        ("t.jsonl.gz", b"not gzip", "t.jsonl.gz"),
        ("t.jsonl.gz", gzip.compress(b'{"question": "a"}', mtime=0)[:-9], "t.jsonl.gz"),
        ("t.jsonl.zst", b"not zstd", "t.jsonl.zst"),
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
