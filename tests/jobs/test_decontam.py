"""The `decontam` command: any corpus in, the same corpus without the documents that quote a benchmark out."""

from __future__ import annotations

import collections
import importlib.resources
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml
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


# ---- the rule, in full


def ngrams(text: str, lengths: range) -> set[tuple[str, ...]]:
    words = split_words(text)
    return {tuple(words[i : i + n]) for n in lengths for i in range(len(words) - n + 1)}


def watched(items: list[str]) -> dict[str, set[tuple[str, ...]]]:
    """The n-grams that each rule looks at: the plain statement of docs/decontamination.md."""
    every = {"item": set(), "any": set()}  # type: dict[str, set[tuple[str, ...]]]
    for item in items:
        count = len(split_words(item))
        if count >= 4:
            n = min(13, count)
            every["item"] |= ngrams(item, range(n, n + 1))
            every["any"] |= ngrams(item, range(4, 14))
    return every


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A corpus that holds whole items, parts of items of every length, and phrases of several."""
    folder = tmp_path_factory.mktemp("mixed")
    items = [article(100 + number, 2) for number in range(6)]
    items += ["as soon as possible", "the old man", " ".join(article(200, 1).split()[:9])]
    rows = [{"id": str(number), "question": item} for number, item in enumerate(items)]
    (folder / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    entry = {"key": "toy", "file": "toy.jsonl", "prompt": ["question"]}
    (folder / "toy.yaml").write_text(yaml.safe_dump({"benchmarks": [entry]}))
    texts = []
    for number in range(60):
        words = items[number % 6].split()
        part = " ".join(words[number % 7 : number % 7 + number % 17])
        phrase = items[6 + number % 3] if number % 4 == 0 else ""
        texts.append(f"{article(number, 4)}\n{part}\n{phrase} {article(300 + number, 2)}")
    pq.write_table(pa.table({"id": [str(i) for i in range(60)], "content": texts}), folder / "corpus.parquet")
    return {"folder": folder, "items": items, "texts": texts}


def on_mixed(mixed: dict[str, Any], output: Path, *more: str) -> tuple[int, str]:
    folder = mixed["folder"]
    return command(
        *("--benchmarks", str(folder / "toy.yaml"), "--input", str(folder / "corpus.parquet")),
        *("--text-column", "content", "--output", str(output), "--workers", "0", *more),
    )


@pytest.mark.parametrize(("rule", "threshold"), [("item", 1000), ("item", 4), ("any", 1000), ("any", 9)])
def test_both_rules_do_what_their_plain_statement_says(
    mixed: dict[str, Any], tmp_path: Path, rule: str, threshold: int
) -> None:
    code, output = on_mixed(mixed, tmp_path, "--rule", rule, "--threshold", str(threshold), "--force")
    assert code == 0, output
    looked_at = watched(mixed["items"])
    held = [ngrams(text, range(4, 14)) for text in mixed["texts"]]
    uses = collections.Counter(ngram for each in held for ngram in each & looked_at["any"])
    listed = pq.read_table(tmp_path / "decisions" / "ngram_usage.parquet").to_pylist()
    assert {tuple(row["words"].split()): row["documents"] for row in listed} == dict(uses)
    assert {tuple(row["words"].split()) for row in listed if row["item_rule"]} == {
        ngram for ngram in uses if ngram in looked_at["item"]
    }
    removed = {
        chosen: {
            limit: [
                number
                for number, each in enumerate(held)
                if any(uses[ngram] < limit for ngram in each & looked_at[chosen])
            ]
            for limit in (10, 100, 1000, 10000, threshold)
        }
        for chosen in looked_at
    }
    kept = ds.dataset(tmp_path / "documents").to_table()["text"].to_pylist()
    assert kept == [
        text for number, text in enumerate(mixed["texts"]) if number not in removed[rule][threshold]
    ]
    effect = json.loads((tmp_path / "manifest.json").read_text())["decontamination"]["effect"]
    for chosen, by_limit in removed.items():
        assert effect[chosen]["chosen"] == len(by_limit[threshold])
        for limit in (10, 100, 1000, 10000):
            assert effect[chosen][str(limit)] == len(by_limit[limit])
    assert 0 < len(removed["item"][1000]) < len(removed["any"][1000])


def test_any_is_refused_on_a_small_corpus_and_says_why(mixed: dict[str, Any], tmp_path: Path) -> None:
    code, output = on_mixed(mixed, tmp_path, "--rule", "any")
    assert code == 2
    assert "87 %" in output
    assert "--usage" in output
    assert "--force" in output
    assert output.startswith("decontam: ")
    assert not (tmp_path / "documents").exists()


def test_counts_of_a_bigger_corpus_are_added(mixed: dict[str, Any], tmp_path: Path) -> None:
    """What is common there is common here, and what is not counted there keeps its own count."""
    big = tmp_path / "big.parquet"
    phrase = [f"{article(400 + number, 3)} as soon as possible" for number in range(50)]
    pq.write_table(pa.table({"content": phrase}), big)
    table = tmp_path / "usage.parquet"
    folder = mixed["folder"]
    code, output = command(
        *("usage", "--benchmarks", str(folder / "toy.yaml"), "--input", str(big), "--text-column", "content"),
        *("--output", str(table), "--workers", "0"),
    )
    assert code == 0, output
    (row,) = [row for row in pq.read_table(table).to_pylist() if row["item_rule"]]
    assert (row["words"], row["documents"]) == ("as soon as possible", 50)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.parquet", "usage.parquet"]
    code, output = on_mixed(
        mixed, tmp_path / "out", "--rule", "any", "--usage", str(table), "--threshold", "50"
    )
    assert code == 0, output
    found = pq.read_table(tmp_path / "out" / "decisions" / "contaminated.parquet").to_pylist()
    assert found
    assert not [row for row in found if row["words"] == "as soon as possible"]


def test_a_usage_table_of_other_benchmarks_is_refused(
    mixed: dict[str, Any], tmp_path: Path, corpus: Path
) -> None:
    code, output = run(corpus, tmp_path / "other")
    assert code == 0, output
    table = tmp_path / "other" / "decisions" / "ngram_usage.parquet"
    code, output = on_mixed(mixed, tmp_path / "out", "--usage", str(table))
    assert code == 2
    assert "does not fit the benchmarks" in output
    assert "toy" in output


# ---- what is removed


@pytest.mark.parametrize("unit", ["section", "span"])
def test_the_rest_of_a_document_stays(tmp_path: Path, unit: str) -> None:
    text = f"{article(1)}\n\n{article(2)}\n\n{QUESTION['question']}\n\n{article(3)}\n\n{article(4)}"
    pq.write_table(pa.table({"content": [text, article(9)]}), tmp_path / "corpus.parquet")
    code, output = run(tmp_path / "corpus.parquet", tmp_path / "out", "--unit", unit)
    assert code == 0, output
    first, second = ds.dataset(tmp_path / "out" / "documents").to_table().to_pylist()
    assert QUESTION["question"] not in first["text"]
    assert article(1) in first["text"]
    assert article(4) in first["text"]
    removed = first["decontamination.removed_characters"]
    assert len(QUESTION["question"]) + 2 * 200 <= removed
    assert removed <= len(text) - len(article(1)) - len(article(4))
    assert first["text.characters"] == len(first["text"])
    assert (second["text"], second["decontamination.removed_characters"]) == (article(9), 0)
    shares = pq.read_table(tmp_path / "out" / "decisions" / "benchmarks.parquet").to_pylist()
    assert not any(row["gpt3_dirty"] for row in shares)


def test_a_document_that_is_all_question_goes_whole(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": [QUESTION["question"], article(9)]}), tmp_path / "corpus.parquet")
    code, output = run(tmp_path / "corpus.parquet", tmp_path / "out", "--unit", "span")
    assert code == 0, output
    assert ds.dataset(tmp_path / "out" / "documents").to_table()["text"].to_pylist() == [article(9)]
    (rejected,) = ds.dataset(tmp_path / "out" / "rejected").to_table().to_pylist()
    assert rejected["rule"] == "decontamination.item"


def test_report_only_removes_nothing_and_measures_the_benchmarks(corpus: Path, tmp_path: Path) -> None:
    code, output = run(corpus, tmp_path / "out", "--unit", "none")
    assert code == 0, output
    assert ds.dataset(tmp_path / "out" / "documents").count_rows() == 3
    (found,) = pq.read_table(tmp_path / "out" / "decisions" / "contaminated.parquet").to_pylist()
    assert "\n".join(QUESTION["question"].upper().split()).startswith(found["match"][:40])
    shares = pq.read_table(tmp_path / "out" / "decisions" / "benchmarks.parquet").to_pylist()
    by_key = {row["benchmark"]: row for row in shares}
    assert by_key["sky_and_earth"]["gpt3_dirty"] == 1
    assert by_key["sky_and_earth"]["palm_contaminated"] == 1
    assert "sky_and_earth" in (tmp_path / "out" / "report.html").read_text()


def test_review_pages_through_the_matches(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "out")
    code, output = command("review", str(tmp_path / "out"))
    assert code == 0, output
    assert "sky_and_earth" in output
    assert QUESTION["id"] in output


def test_changed_benchmarks_are_another_run(mixed: dict[str, Any], tmp_path: Path) -> None:
    on_mixed(mixed, tmp_path / "out")
    file = mixed["folder"] / "toy.jsonl"
    before = file.read_text()
    try:
        file.write_text(before + json.dumps({"id": "new", "question": article(777, 2)}) + "\n")
        code, output = on_mixed(mixed, tmp_path / "out")
    finally:
        file.write_text(before)
    assert code == 2
    assert "index:" in output


def test_workers_do_not_change_a_byte(mixed: dict[str, Any], tmp_path: Path) -> None:
    def content(output: Path) -> dict[str, bytes]:
        folders = ("documents", "rejected", "decisions")
        return {f"{f}/{p.name}": p.read_bytes() for f in folders for p in (output / f).iterdir()}

    on_mixed(mixed, tmp_path / "none")
    on_mixed(mixed, tmp_path / "two", "--workers", "2")
    assert content(tmp_path / "none") == content(tmp_path / "two")
