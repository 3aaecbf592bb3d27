"""The `decontam` command: any corpus in, the same corpus without the documents that quote a benchmark out."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from filters.words import split_words
from jobs.decontam import main
from tests.jobs.corpus import article

SAMPLE = importlib.resources.files("jobs.sample")
QUESTION = json.loads((SAMPLE / "benchmarks" / "sky_and_earth.jsonl").read_text().split("\n")[0])


def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    return result.exit_code, result.output


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rewrapped = "\n".join(QUESTION["question"].upper().split())
    texts = [article(0), f"{article(1)}\n{rewrapped}\n{article(2)}", article(3)]
    table = pa.table({"id": ["a", "b", "c"], "content": texts})
    pq.write_table(table, tmp_path / "corpus.parquet")
    return tmp_path / "corpus.parquet"


def run(corpus: Path, output: Path, *more: str) -> tuple[int, str]:
    return command(
        *("--benchmarks", str(SAMPLE / "benchmarks.yaml"), "--benchmark-root", str(SAMPLE / "benchmarks")),
        *("--input", str(corpus), "--text-column", "content", "--output", str(output), "--workers", "0"),
        *more,
    )


def test_a_quoted_question_is_removed_and_explained(corpus: Path, tmp_path: Path) -> None:
    code, output = run(corpus, tmp_path / "out")
    assert code == 0, output
    kept = ds.dataset(tmp_path / "out" / "documents").to_table().to_pylist()
    assert [row["text"] for row in kept] == [article(0), article(3)]
    (rejected,) = ds.dataset(tmp_path / "out" / "rejected").to_table().to_pylist()
    assert (rejected["stage"], rejected["rule"]) == ("decontamination", "decontamination.item")
    (found,) = pq.read_table(tmp_path / "out" / "decisions" / "contaminated.parquet").to_pylist()
    assert (found["benchmark"], found["item"], found["documents"]) == ("sky_and_earth", QUESTION["id"], 1)
    assert found["words"] in " ".join(split_words(QUESTION["question"]))
    assert found["n"] == 13


def test_common_usage_is_exempt(corpus: Path, tmp_path: Path) -> None:
    code, _ = run(corpus, tmp_path / "out", "--threshold", "1")
    assert code == 0
    assert ds.dataset(tmp_path / "out" / "documents").count_rows() == 3
    usage = pq.read_table(tmp_path / "out" / "decisions" / "ngram_usage.parquet").to_pylist()
    assert usage
    assert {row["documents"] for row in usage} == {1}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--input is missing"),
        (["--input", "x"], "--benchmarks is missing"),
        (["--input", "IN", "--benchmarks", "no.yaml", "--output", "OUT"], "no.yaml"),
        (["--input", "x", "--benchmarks", "b", "--threshold", "many", "--output", "OUT"], "--threshold many"),
    ],
)
def test_mistakes_are_messages(corpus: Path, tmp_path: Path, arguments: list[str], expected: str) -> None:
    places = {"OUT": str(tmp_path / "out"), "IN": str(corpus)}
    code, output = command(
        "--text-column", "content", *(places.get(argument, argument) for argument in arguments)
    )
    assert code == 2
    assert expected in output
    assert "Traceback" not in output


def test_missing_benchmark_files_are_one_message(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, output = command(
        *("--benchmarks", str(SAMPLE / "benchmarks.yaml"), "--benchmark-root", str(tmp_path / "empty")),
        *("--input", str(corpus), "--text-column", "content", "--output", str(tmp_path / "out")),
    )
    assert code == 2
    assert "sky_and_earth" in output
    assert "kitchen_physics" in output
