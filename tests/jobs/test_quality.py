"""The `corpusmill quality` commands, end to end."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from filters.ngram_lm import read_about
from jobs.quality import quality
from tests.pipeline.quality.corpora import BAD_WORDS, GOOD_WORDS, documents, write_jsonl
from tests.pipeline.quality.stub_server import KEY, said, serving


def run(*arguments: object, code: int = 0, **env: str) -> str:
    outcome = CliRunner().invoke(quality, [str(argument) for argument in arguments], env=env)
    assert outcome.exit_code == code, outcome.output
    return outcome.output


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_jsonl(folder / "good.jsonl", documents(GOOD_WORDS, 120, 1), "g")
    bad = documents(BAD_WORDS, 120, 2)
    pq.write_table(pa.table({"id": [f"b{i}" for i in range(120)], "text": bad}), folder / "bad.parquet")
    return folder


@pytest.fixture(scope="module")
def model(corpus):
    small = ("--dimensions", 8, "--epochs", 15)
    run(
        "train",
        "--good",
        f"tides={corpus}/good.jsonl",
        "--bad",
        corpus / "bad.parquet",
        "--output",
        corpus / "m",
        *small,
    )
    return corpus / "m"


def test_train_reports_and_score_tells_apart(corpus, model, tmp_path):
    card = (model / "README.md").read_text()
    assert "| tides |" in card
    assert "| bad.parquet |" in card
    said_ = run(
        "score",
        "--model",
        model,
        "--input",
        f"{corpus}/*.*l*",
        "--input",
        corpus / "bad.parquet",
        "--output",
        tmp_path,
    )
    assert "good.jsonl.parquet: 120 documents" in said_
    good, bad = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("good.jsonl", "bad.parquet"))
    assert good.column_names == ["id", "url", "record", "quality.score", "error"]
    assert min(good["quality.score"].to_pylist()) > max(bad["quality.score"].to_pylist())
    again = ["--input", corpus / "good.jsonl", "--output", tmp_path]
    assert "is there already" in run("score", "--model", model, *again)
    assert "made by another model" in run("score", *again, code=2)


def test_records_that_cannot_be_read_are_counted_not_lost(model, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "moon water"}\nnot json\n{"id": "x"}\n')
    said_ = run(
        "score", "--model", model, "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out", code=1
    )
    assert "3 documents, 2 not read" in said_
    rows = pq.read_table(tmp_path / "out/in.jsonl.parquet")
    assert rows["error"].to_pylist() == [None, "json.invalid", "json.no_text"]
    assert rows["quality.score"].null_count == 2


def test_an_n_gram_model_is_trained_and_scores(corpus, tmp_path):
    said_ = run(
        "train-lm",
        "--input",
        corpus / "good.jsonl",
        "--reference",
        corpus / "*.*",
        "--output",
        tmp_path / "lm",
        "--order",
        2,
    )
    assert "reference: 240 documents" in said_
    run(
        "score", "--model", tmp_path / "lm", "--input", corpus / "good.jsonl", "--output", tmp_path / "scores"
    )
    rows = pq.read_table(tmp_path / "scores/good.jsonl.parquet")
    assert rows.column_names == ["id", "url", "record", "lm.perplexity", "lm.bucket", "lm.unknown", "error"]
    assert set(rows["lm.bucket"].to_pylist()) <= {"head", "middle"}
    run("train-lm", "--input", corpus / "good.jsonl", "--output", tmp_path / "held", "--min-words", 1)
    judged = read_about(str(tmp_path / "held")).facts["reference"]
    assert 0 < judged["documents"] < 30


def test_label_asks_a_server_resumes_and_train_distils(corpus, tmp_path):
    def reply(text, number):
        if number == 3:
            return 429, {"error": "slow"}, {"Retry-After": "0.01"}
        return said("Yes" if "moon" in text or "tide" in text else "No")

    with serving(reply) as stub:
        command = [
            "label",
            "--input",
            corpus / "good.jsonl",
            "--input",
            corpus / "bad.parquet",
            "--endpoint",
            stub.url,
        ]
        command += ["--model", "judge", "--sample", 200, "--output", tmp_path / "labels", "--backoff", 0.001]
        first = run(*command, CORPUSMILL_API_KEY=KEY)
        assert "200 documents: 200 questions asked" in first
        assert len(stub.requests) == 201
        assert "0 questions asked, 200 answered before" in run(*command, CORPUSMILL_API_KEY=KEY)
        assert {headers["authorization"] for headers in stub.headers} == {f"Bearer {KEY}"}
        assert "suitable" in stub.texts[0]
    assert KEY not in first
    labels = tmp_path / "labels/labels.parquet"
    trained = run("train", "--labels", labels, "--output", tmp_path / "m", "--dimensions", 8, "--epochs", 15)
    assert float(trained.split("AUC ")[1].split()[0]) > 0.9


def test_documents_without_an_answer_end_the_command_with_an_error(corpus, tmp_path):
    with serving(
        lambda _text, number: (400, {"error": "no"}, {}) if number < 2 else said("Score: 3")
    ) as stub:
        command = [
            "label",
            "--input",
            corpus / "good.jsonl",
            "--endpoint",
            stub.url,
            "--model",
            "judge",
            "--sample",
            6,
        ]
        command += ["--output", tmp_path, "--form", "0-5"]
        assert "rejected 2 (failed.jsonl)" in run(*command, code=1)
        assert "6 documents: 2 questions asked, 4 answered before" in run(*command)


def test_compare_shows_both_sides(corpus, model, tmp_path):
    hostile = {
        "id": "h",
        "text": "<script>alert(1)</script> \u202e" + " moon water tide ocean" * 20,
        "url": "javascript:alert(1)",
    }
    lines = [*(corpus / "good.jsonl").read_text().splitlines()[:40], json.dumps(hostile)]
    lines += [json.dumps(row) for row in pq.read_table(corpus / "bad.parquet").slice(0, 40).to_pylist()]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    run("score", "--model", model, "--input", tmp_path / "in.jsonl", "--output", tmp_path / "scores")
    table = pq.read_table(tmp_path / "scores/in.jsonl.parquet")
    reversed_ = pa.array([1 - value for value in table["quality.score"].to_pylist()], pa.float32())
    pq.write_table(table.set_column(3, "quality.score", reversed_), tmp_path / "other.parquet")
    said_ = run(
        "compare",
        model,
        tmp_path / "other.parquet",
        "--input",
        tmp_path / "in.jsonl",
        "--most",
        3,
        "--output",
        tmp_path / "p.html",
    )
    assert "81 documents with both scores, 0 without; rank correlation -1.000" in said_
    assert "A 100%" in said_
    page = (tmp_path / "p.html").read_text()
    assert page.count("<article>") == 6
    whole = run(
        "compare",
        model,
        tmp_path / "other.parquet",
        "--input",
        tmp_path / "in.jsonl",
        "--most",
        81,
        "--output",
        tmp_path / "q.html",
    )
    assert whole
    page = (tmp_path / "q.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "\u202e" not in page
    same = run("compare", model, model, "--input", tmp_path / "in.jsonl")
    assert "rank correlation 1.000" in same
    assert "top 10%: 100% shared" in same


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--output", "x"], "--good is missing"),
        (["train", "--good", "absent.jsonl", "--bad", "b", "--output", "x"], "there is no file"),
        (["train", "--labels", "absent.parquet", "--output", "x"], "no such file"),
        (["train", "--labels", "a", "--good", "b", "--output", "x"], "not both"),
        (["score", "--output", "x"], "--input is missing"),
        (["score", "--model", "absent", "--input", "a", "--output", "x"], "there is no such file"),
        (["score", "--model", "x.bin", "--input", "a", "--output", "x"], "must name its good label"),
        (["label", "--input", "a", "--output", "x"], "--endpoint is missing"),
        (["label", "--input", "a", "--output", "x", "--endpoint", "localhost", "--model", "m"], "give a URL"),
        (
            [
                "label",
                "--input",
                "a",
                "--output",
                "x",
                "--endpoint",
                "http://h",
                "--model",
                "m",
                "--prompt",
                "absent",
            ],
            "--prompt absent",
        ),
        (["compare", "a", "b"], "--input is missing"),
        (["train-lm", "--input", "a.warc.gz", "--output", "x"], "there is no file"),
    ],
)
def test_mistakes_are_answered_with_what_to_do(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in run(*arguments, code=2)


def test_archives_and_empty_inputs_are_refused(tmp_path):
    (tmp_path / "a.warc").write_bytes(b"")
    assert "Run `corpusmill web` first" in run(
        "train-lm", "--input", tmp_path / "a.warc", "--output", tmp_path / "x", code=2
    )
    (tmp_path / "a.jsonl").write_text("\n")
    assert "hold no words" in run(
        "train-lm", "--input", tmp_path / "a.jsonl", "--output", tmp_path / "x", code=2
    )
    (tmp_path / "a.parquet").write_bytes(b"none")
    said_ = run("compare", tmp_path / "a.parquet", tmp_path / "b", "--input", tmp_path / "a.jsonl", code=2)
    assert "scores cannot be read" in said_
