"""What decontamination tools are known to get wrong (REFERENCE, "Decontamination elsewhere"): eight tests of ours."""

from __future__ import annotations

import bz2
import json
import lzma
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

import decontam.build
from jobs.decontam import main
from tests.jobs.corpus import article

QUESTION = (
    "A farmer walks four miles to the market with eleven baskets of pears and sells three of them on the way. "
    "How many baskets does he still have when he arrives at the market square?"
)
SHORT = "as soon as possible"


@pytest.fixture
def benchmarks(tmp_path: Path) -> Path:
    rows = [
        {"id": "q1", "question": QUESTION, "answer": "eight"},
        {"id": "q2", "question": SHORT, "answer": "now"},
    ]
    (tmp_path / "toy.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    entry = {"key": "toy", "file": "toy.jsonl", "prompt": ["question"], "answer": ["answer"]}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump({"benchmarks": [entry]}))
    return tmp_path / "toy.yaml"


def write(path: Path, texts: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps({"id": f"{path.parent.name}{i}", "text": t}) + "\n" for i, t in enumerate(texts))
    )
    return path


def decontaminate(benchmarks: Path, output: Path, *more: str) -> tuple[int, str]:
    arguments = ["--benchmarks", str(benchmarks), "--output", str(output), "--workers", "0", *more]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    return result.exit_code, result.output


def published(output: Path) -> list[str]:
    return ds.dataset(output / "documents").to_table()["text"].to_pylist()


def with_question(seed: int) -> str:
    return f"{article(seed)}\n{QUESTION}\n{article(seed + 1)}"


def test_a_question_without_its_answer_is_found(benchmarks: Path, tmp_path: Path) -> None:
    corpus = write(tmp_path / "in" / "a.jsonl", [article(1), with_question(2)])
    code, output = decontaminate(benchmarks, tmp_path / "out", "--input", str(corpus))
    assert code == 0, output
    assert published(tmp_path / "out") == [article(1)]


def test_common_usage_over_the_whole_corpus_is_exempt(benchmarks: Path, tmp_path: Path) -> None:
    common = [f"{article(i)} Please answer {SHORT}, wrote the captain." for i in range(12)]
    corpus = write(tmp_path / "in" / "a.jsonl", [*common, with_question(30)])
    code, output = decontaminate(benchmarks, tmp_path / "out", "--input", str(corpus), "--threshold", "12")
    assert code == 0, output
    assert published(tmp_path / "out") == common
    code, output = decontaminate(benchmarks, tmp_path / "more", "--input", str(corpus), "--threshold", "13")
    assert code == 0, output
    assert published(tmp_path / "more") == []


def test_short_items_are_found(benchmarks: Path, tmp_path: Path) -> None:
    """Four words are enough; others drop what is under twenty tokens."""
    corpus = write(
        tmp_path / "in" / "a.jsonl", [article(1), f"{article(2)} As soon\nas POSSIBLE! {article(3)}"]
    )
    code, output = decontaminate(benchmarks, tmp_path / "out", "--input", str(corpus))
    assert code == 0, output
    assert published(tmp_path / "out") == [article(1)]


def test_files_of_one_name_in_two_folders_keep_their_own_verdicts(benchmarks: Path, tmp_path: Path) -> None:
    write(tmp_path / "in" / "x" / "part.jsonl", [with_question(1), article(3)])
    write(tmp_path / "in" / "y" / "part.jsonl", [article(4), with_question(5)])
    code, output = decontaminate(
        benchmarks, tmp_path / "out", "--input", str(tmp_path / "in" / "**" / "part.jsonl")
    )
    assert code == 0, output
    assert published(tmp_path / "out") == [article(3), article(4)]


@pytest.mark.parametrize("ending", ["bz2", "xz"])
def test_compressions_that_are_not_read_are_refused(benchmarks: Path, tmp_path: Path, ending: str) -> None:
    plain = write(tmp_path / "in" / "a.jsonl", [article(1)]).read_bytes()
    packed = tmp_path / "in" / f"b.jsonl.{ending}"
    packed.write_bytes((bz2 if ending == "bz2" else lzma).compress(plain))
    code, output = decontaminate(benchmarks, tmp_path / "out", "--input", str(packed))
    assert code == 2
    assert packed.name in output
    assert not (tmp_path / "out" / "documents").exists()


def test_corrupt_lines_are_failures_and_not_output(benchmarks: Path, tmp_path: Path) -> None:
    corpus = write(tmp_path / "in" / "a.jsonl", [article(1), article(2)])
    corpus.write_bytes(corpus.read_bytes() + b'{"id": "cut", "text": "As soon as\n\xff\xfe\n')
    code, output = decontaminate(benchmarks, tmp_path / "out", "--input", str(corpus))
    assert code == 0, output
    books = json.loads((tmp_path / "out" / "manifest.json").read_text())["books"]["total"]
    assert books["read"] == 4
    assert books["published"] == 2
    assert sum(books["failed"].values()) == 2
    assert published(tmp_path / "out") == [article(1), article(2)]


def test_an_interrupted_run_goes_on(
    benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import publish

    corpus = write(tmp_path / "in" / "a.jsonl", [article(1), with_question(2)])
    arguments = ("--input", str(corpus))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(publish, "plan_shards", stop)
        code, _ = decontaminate(benchmarks, tmp_path / "out", *arguments)
        assert code == 130
    assert not (tmp_path / "out" / "manifest.json").exists()
    harvested = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "work").rglob("*.parquet")}
    assert harvested
    reused: list[bool] = []
    code, output = decontaminate(benchmarks, tmp_path / "out", *arguments, "--explain")
    assert code == 0, output
    reused = [path.stat().st_mtime_ns == when for path, when in harvested.items()]
    assert all(reused)
    code, output = decontaminate(benchmarks, tmp_path / "out", *arguments)
    assert code == 0, output
    assert published(tmp_path / "out") == [article(1)]


def test_an_index_is_built_once_for_many_runs(
    benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write(tmp_path / "in" / "a.jsonl", [article(1), with_question(2)])
    index = tmp_path / "toy.arrow"
    result = CliRunner().invoke(main, ["index", "--benchmarks", str(benchmarks), "--output", str(index)])
    assert result.exit_code == 0, result.output

    def never(*_: object) -> None:
        raise AssertionError("the index is there")

    monkeypatch.setattr(decontam.build, "build_index", never)
    code, output = decontaminate(index, tmp_path / "out", "--input", str(corpus))
    assert code == 0, output
    assert published(tmp_path / "out") == [article(1)]
    (match,) = pq.read_table(tmp_path / "out" / "decisions" / "contaminated.parquet").to_pylist()
    assert (match["benchmark"], match["item"], match["match"]) == ("toy", "q1", QUESTION.rstrip("?"))
