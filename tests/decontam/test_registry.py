from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from decontam import finder
from decontam.errors import BenchmarkError
from decontam.registry import (
    load_registry,
    resolve,
)
from decontam.settings import DecontaminationSettings


def registry(folder: Path, content: object, name: str = "benchmarks.yaml") -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(content) if not isinstance(content, str) else content)
    return str(path)


def load(path: str, **more: object):
    return load_registry(DecontaminationSettings(benchmarks=path, **more))


# ---- the YAML


def test_an_entry_may_say_all_of_this(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    entry = {
        "key": "science/easy",
        "family": "science",
        "file": "a.jsonl",
        "url": "https://example.org/a.jsonl",
        "hf": {"path": "org/name", "config": "main", "split": ["a", "b"], "aliases": ["old/id"]},
        "row_filter": {"column": "category", "equals": "easy", "starts_with": None},
        "prompt": ["question", "tokens"],
        "choices": ["choices"],
        "answer": ["answer"],
        "passage": ["support"],
        "joined": ["tokens"],
        "license": "CC0-1.0",
        "language": "en",
        "aliases": ["old/name"],
        "verified": True,
        "unsure": ["license"],
        "note": "a note",
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
        ({"benchmarks": [{"prompt": ["q"]}]}, "benchmark 1: key: is missing"),
        ({"benchmarks": [{"key": "a", "prompt": []}]}, 'benchmark 1 ("a"): prompt'),
        ({"benchmarks": [{"key": "a", "prompt": ["q"], "language": False}]}, 'benchmark 1 ("a"): language'),
        ({"benchmarks": [{"key": "../a", "prompt": ["q"]}]}, "key"),
        ({"benchmarks": ["a"]}, "benchmark 1"),
        ({"benchmarks": [{"key": "a/../../b", "prompt": ["q"]}]}, "key"),
        (
            {"benchmarks": [{"key": "a", "prompt": ["q"], "aliases": ["../b"]}]},
            'benchmark 1 ("a"): aliases.0',
        ),
        ({"benchmarks": [{"key": "a", "prompt": ["q"], "joined": ["x"]}]}, 'joined names "x"'),
        ({"benchmarks": [{"key": "a", "prompt": ["q"], "answer": ["q"]}]}, 'column "q" is named twice'),
        ({"benchmarks": [{"key": "a", "prompt": ["q"], "unsure": ["price"]}]}, "unsure.0"),
        (
            {"benchmarks": [{"key": "a", "prompt": ["q"], "verified": True, "unsure": ["path"]}]},
            "verified has no unsure path",
        ),
        (
            {"benchmarks": [{"key": "a", "prompt": ["q"], "row_filter": {"column": "c"}}]},
            "give one of equals and starts_with",
        ),
        (
            {"benchmarks": [{"key": "a", "prompt": ["q"], "row_filter": {"column": "c", "equal": "x"}}]},
            'unknown key "row_filter.equal". Did you mean "equals"?',
        ),
        ("benchmarks:\n- {key: a, prompt: [q], language: no}", "YAML reads it as false; put it in quotes"),
        (
            "benchmarks:\n- key: a\n  prompt: [q]\n  family: f\n  prompt: [r]",
            'line 5: the key "prompt" is given twice (first in line 3)',
        ),
        ("benchmarks: []\nbenchmarks: []", 'line 2: the key "benchmarks" is given twice'),
        ("benchmarks:\n- {key: a, prompt: [q], hf: {path: p, path: q}}", 'the key "path" is given twice'),
        ({"benchmarks": [{"key": "a", "prompt": "q"}]}, 'benchmark 1 ("a"): prompt: give a list: [q]'),
        ({"benchmarks": [{"key": "a", "prompt": ["q"], "hf": "org/a"}]}, "hf: give a mapping"),
        ({"benchmarks": [{"key": 5, "prompt": ["q"]}]}, "key: give a text (YAML reads it as 5"),
        ({"include": 5}, "include: give a text"),
        ([1], "give a mapping: {name: value}"),
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


@pytest.mark.parametrize(
    "second",
    [
        {"key": "b", "aliases": ["a/x"]},
        {"key": "a__x"},
        {"key": "b", "aliases": ["a__x"]},
        {"key": "old"},
        {"key": "b", "aliases": ["old"]},
    ],
)
def test_an_alias_names_one_benchmark(tmp_path: Path, second: dict[str, object]) -> None:
    entries = [{"key": "a/x", "prompt": ["q"], "aliases": ["old"]}, {"prompt": ["q"], **second}]
    with pytest.raises(BenchmarkError, match=r'is taken: "a/x" has'):
        load(registry(tmp_path, {"benchmarks": entries}))


def test_an_alias_that_is_the_key_spelt_flat_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a__x.jsonl").write_text("{}")
    entry = {"key": "a/x", "prompt": ["q"], "aliases": ["a__x"]}
    assert len(load(registry(tmp_path, {"benchmarks": [entry]})).sources) == 1


def test_an_included_registry_may_be_included_twice(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    registry(tmp_path, {"benchmarks": [{"key": "a", "prompt": ["q"]}]}, "a.yaml")
    registry(tmp_path, {"include": "a.yaml"}, "b.yaml")
    path = registry(tmp_path, {"include": ["a.yaml", "b.yaml", "../" + tmp_path.name + "/a.yaml"]})
    assert [source.benchmark.key for source in load(path).sources] == ["a"]


def test_a_loop_through_another_spelling_is_an_error(tmp_path: Path) -> None:
    registry(tmp_path, {"include": f"../{tmp_path.name}/benchmarks.yaml"}, "b.yaml")
    with pytest.raises(BenchmarkError, match="includes itself"):
        load(registry(tmp_path, {"include": "b.yaml"}))


# ---- packaged registries


def test_a_bare_name_is_a_packaged_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = resolve("811.yaml")
    assert packaged.endswith("decontam/benchmarks/811.yaml")
    assert Path(packaged).is_file()
    assert resolve("./811.yaml") == "./811.yaml"
    assert resolve("other.yaml") == "other.yaml"
    (tmp_path / "811.yaml").write_text("benchmarks: []")
    assert resolve("811.yaml") == "811.yaml"


def test_a_packaged_registry_needs_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchmarkError, match=r"811\.yaml comes with the program .*`--benchmark-root DIR`"):
        load("811.yaml", allow_missing=True)


def test_a_registry_may_include_a_packaged_one(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text("{}")
    (tmp_path / "gsm8k.jsonl").write_text("{}")  # an alias of gsm8k/main
    own = {"key": "own", "prompt": ["q"]}
    path = registry(tmp_path, {"include": "811.yaml", "benchmarks": [own]})
    loaded = load(path, allow_missing=True)
    assert [source.benchmark.key for source in loaded.sources] == ["gsm8k/main", "own"]
    assert len(loaded.missing) == 810


def test_a_file_beside_the_registry_wins_over_a_packaged_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    registry(tmp_path, {"benchmarks": [{"key": "a", "prompt": ["q"]}]}, "811.yaml")
    loaded = load(registry(tmp_path, {"include": "811.yaml"}))
    assert [source.benchmark.key for source in loaded.sources] == ["a"]


def test_a_near_name_of_a_packaged_registry_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchmarkError, match=r'no benchmark registry 811\.yml.* Did you mean "811\.yaml"\?'):
        load("811.yml")


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
    assert (
        "(looked for mmlu/anatomy.parquet, .jsonl, .csv, .tsv, plain or with .gz, .zst, .bz2, .xz" in message
    )
    assert "hendrycks__anatomy" in message
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


@pytest.mark.parametrize(
    "name",
    ["hendrycks/anatomy.jsonl", "hendrycks__anatomy.jsonl.xz", "mmlu/anatomy.tsv.bz2", "mmlu__anatomy.csv"],
)
def test_a_file_is_found_by_an_alias_too(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    loaded = load(registry(tmp_path, THREE), skip=("arc", "here"))
    assert [source.path for source in loaded.sources] == [str(tmp_path / name)]


def test_the_key_is_preferred_to_an_alias_and_folders_to_flat_names(tmp_path: Path) -> None:
    (tmp_path / "mmlu").mkdir()
    names = ["hendrycks__anatomy.parquet", "mmlu__anatomy.parquet", "mmlu/anatomy.csv", "mmlu/anatomy.jsonl"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
        loaded = load(registry(tmp_path, THREE), skip=("arc", "here"))
        assert [source.path for source in loaded.sources] == [str(tmp_path / name)]


def test_a_file_may_lie_beside_the_root(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    (tmp_path / "root").mkdir()
    absolute = {"key": "b", "prompt": ["q"], "file": str(tmp_path / "a.jsonl")}
    path = registry(tmp_path, {"benchmarks": [{"key": "a", "prompt": ["q"], "file": "../a.jsonl"}, absolute]})
    found = [source.path for source in load(path, benchmark_root=str(tmp_path / "root")).sources]
    assert [Path(each).resolve() for each in found] == [tmp_path / "a.jsonl"] * 2


def test_only_folders_that_are_there_are_listed_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").mkdir()
    names = [f"{family}/{number}" for family in "abc" for number in range(5)]
    (tmp_path / "b" / "0.csv").write_bytes(b"")
    asked: list[str] = []
    real = finder.url_to_fs
    monkeypatch.setattr(finder, "url_to_fs", lambda path: asked.append(path) or real(path))
    path = registry(tmp_path, {"benchmarks": [{"key": name, "prompt": ["q"]} for name in names]})
    assert len(load(path, benchmark_root=str(tmp_path), allow_missing=True).sources) == 1
    assert asked == [str(tmp_path), str(tmp_path / "b")]


def test_many_missing_benchmarks_are_listed_by_key(tmp_path: Path) -> None:
    entries = [{"key": f"b{number}", "prompt": ["q"]} for number in range(30)]
    with pytest.raises(BenchmarkError) as error:
        load(registry(tmp_path, {"benchmarks": entries}))
    assert str(error.value).startswith("30 benchmarks have no file under")
    assert all(entry["key"] in str(error.value) for entry in entries)
    assert "`decontam fetch`" in str(error.value)


def test_a_root_with_nothing_in_it_is_an_error_even_if_benchmarks_may_be_missing(tmp_path: Path) -> None:
    with pytest.raises(
        BenchmarkError, match=r'No benchmark has a file(.|\n)*"arc" has no file under'
    ) as error:
        load(registry(tmp_path, THREE), benchmark_root=str(tmp_path / "wrong"), allow_missing=True)
    assert "--allow-missing" not in str(error.value)
