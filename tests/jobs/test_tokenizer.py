"""`corpusmill tokenizer`: from files to a tokenizer, tokens and a page, whatever the workers."""

from __future__ import annotations

import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import tokenizer
from jobs.tokenizer import parse_size, parse_source, parse_sources
from jobs.tokenizer import tokenizer as command
from pipeline import tokenizing, vocabulary, word_counts
from pipeline.errors import UserError
from tests.tokenizer.conftest import corpus, reference_counts
from tokenizer.settings import TokenizerSettings
from tokenizer.training import train

SIZE = 900
RESULTS = ("tokenizer.model", "tokenizer.vocab", "tokenizer.json", "tokenizer_config.json", "manifest.json")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    return result.output


def write_jsonl(path: Path, texts: list[str], **columns: Any) -> Path:
    rows = [{"id": f"doc-{index}", "text": text, **columns} for index, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_parquet(path: Path, texts: list[str | None], column: str = "text") -> Path:
    ids = [f"row-{index}" for index in range(len(texts))]
    pq.write_table(pa.table({"id": ids, column: texts}), path, row_group_size=7)
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "texts.jsonl", corpus(30))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    source = write_jsonl(folder / "texts.jsonl", corpus(30))
    done("train", "--input", source, "--vocab-size", SIZE, "--output", folder / "out", "--workers", 0)
    return folder / "out"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ---- train


def test_a_trained_folder(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == set(RESULTS)
    model = train(reference_counts(corpus(30)).items(), TokenizerSettings(vocab_size=SIZE))
    assert (trained / "tokenizer.model").read_bytes() == model
    loaded = tokenizer.load(trained)
    text = corpus(3)[0]
    assert loaded.decode(loaded.encode(text)) == text
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["sha256"] == loaded.sha256
    assert manifest["vocab_size"] == SIZE
    for name, told in manifest["files"].items():
        stored = (trained / name).read_bytes()
        assert told == {"bytes": len(stored), "sha256": hashlib.sha256(stored).hexdigest()}
    counts = reference_counts(corpus(30))
    assert manifest["sources"]["text"]["documents"] == len(corpus(30))
    assert manifest["sources"]["text"]["words"] == counts.total()
    assert manifest["sources"]["text"]["text_bytes"] == sum(len(text.encode()) for text in corpus(30))
    assert manifest["words"] == {
        "distinct": len(counts),
        "occurrences": counts.total(),
        "distinct_left_out": 0,
        "occurrences_left_out": 0,
    }


def test_workers_and_splits_change_no_byte(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizing, "PARTITION_BYTES", 20_000)  # several partitions
    config = tmp_path / "config.yaml"
    config.write_text("split_bytes: 20000\n")
    source = trained.parent / "texts.jsonl"
    for workers in (0, 2):
        out = tmp_path / f"out-{workers}"
        done(
            "train", "--input", source, "--vocab-size", SIZE, "--output", out, "--workers", workers, "--config", config
        )  # fmt: skip
    assert content(tmp_path / "out-0") == content(tmp_path / "out-2")
    for name in RESULTS[:-1]:
        assert (tmp_path / "out-0" / name).read_bytes() == (trained / name).read_bytes()


def test_tables_that_grow_too_large_are_written_in_parts(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_counts, "TABLE_BYTES", 0)
    source = trained.parent / "texts.jsonl"
    done("train", "--input", source, "--vocab-size", SIZE, "--output", tmp_path / "out", "--workers", 0)
    assert content(tmp_path / "out") == content(trained)


def test_weights_multiply_counts(tmp_path: Path) -> None:
    web, code = corpus(20), [text for text in corpus(30) if "def area" in text]
    write_jsonl(tmp_path / "web.jsonl", web)
    write_parquet(tmp_path / "code.parquet", code)
    sources = ["--source", f"web={tmp_path}/web.jsonl:0.5", "--source", f"code={tmp_path}/code.parquet:3"]
    done("train", *sources, "--vocab-size", SIZE, "--output", tmp_path / "out", "--workers", 0)
    once, thrice = reference_counts(web), reference_counts(code)
    counts = {word: max(1, (once[word] * 500 + thrice[word] * 3000 + 500) // 1000) for word in once | thrice}
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == train(
        counts.items(), TokenizerSettings(vocab_size=SIZE)
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["words"]["occurrences"] == once.total() / 2 + thrice.total() * 3


def test_what_max_words_leaves_out_is_told(tmp_path: Path, texts: Path) -> None:
    counts = reference_counts(corpus(30))
    printed = done(
        "train", "--input", texts, "--vocab-size", SIZE, "--allow-smaller", "--max-words", 150,
        "--output", tmp_path / "out", "--workers", 0,
    )  # fmt: skip
    words = json.loads((tmp_path / "out" / "manifest.json").read_text())["words"]
    kept = sum(count for _, count in counts.most_common(150))
    assert words["distinct"] == 150
    assert words["distinct_left_out"] == len(counts) - 150
    assert words["occurrences"] == kept
    assert words["occurrences_left_out"] == counts.total() - kept
    assert f"left out: {len(counts) - 150:,} words, {(counts.total() - kept) / counts.total():.2%}" in printed


def test_the_same_command_finds_the_result(trained: Path) -> None:
    before = content(trained)
    source = trained.parent / "texts.jsonl"
    again = done("train", "--input", source, "--vocab-size", SIZE, "--output", trained, "--workers", 0)
    assert "complete already" in again
    assert content(trained) == before


def test_another_configuration_is_refused_without_overwrite(tmp_path: Path, texts: Path) -> None:
    arguments = ["train", "--input", texts, "--output", tmp_path / "out", "--workers", 0, "--vocab-size"]
    done(*arguments, SIZE)
    message = refused(*arguments, 850)
    assert "configuration.tokenizer.vocab_size: 900 -> 850" in message
    done(*arguments, 850, "--overwrite")
    assert tokenizer.load(tmp_path / "out").vocab_size == 850


def test_an_interrupted_training_goes_on(
    tmp_path: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [
        "train",
        "--input",
        texts,
        "--output",
        tmp_path / "out",
        "--workers",
        0,
        "--vocab-size",
        SIZE,
    ]
    with monkeypatch.context() as patch:
        patch.setattr(tokenizing, "write_files", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(*arguments)
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.setattr(vocabulary, "train", lambda *_: 1 / 0)  # the model is there already
    done(*arguments)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(RESULTS)


def test_a_folder_with_someones_model_is_left_alone(tmp_path: Path, texts: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tokenizer.model").write_bytes(b"precious")
    message = refused(
        "train", "--input", texts, "--vocab-size", SIZE, "--output", tmp_path / "out", "--workers", 0
    )
    assert "already holds `tokenizer.model`" in message
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == b"precious"


def test_too_large_a_vocabulary_says_what_is_possible(
    tmp_path: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", "--input", texts, "--output", tmp_path / "out", "--workers", 0, "--vocab-size"]
    message = refused(*arguments, "100k")
    possible = re.search(r"vocab_size 100,352 is too large for this text: it gives ([\d,]+) pieces", message)
    assert possible, message
    monkeypatch.setattr(word_counts.WordTable, "add_text", lambda *_: 1 / 0)  # the words are counted already
    done(*arguments, possible[1])
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(RESULTS)


def test_failed_records_are_counted(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "texts.jsonl", corpus(30))
    with path.open("a") as file:
        file.write('{"id": "x", "text": null}\nno json\n{"id": "y", "text": 5}\n')
    printed = done(
        "train", "--input", path, "--vocab-size", SIZE, "--output", tmp_path / "out", "--workers", 0
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["sources"]["text"]["failed"] == {
        "json.invalid": 1, "json.no_text": 1, "json.text_not_string": 1,
    }  # fmt: skip
    assert "3 records failed" in printed


def test_too_many_failed_records_stop_the_run(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "texts.parquet", [*corpus(4), *[None] * 20])
    result = run("train", "--input", path, "--vocab-size", SIZE, "--output", tmp_path / "out", "--workers", 0)
    assert result.exit_code == 1
    assert "20 of 32 records have no readable text (parquet.no_text: 20)" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no input: give --input"),
        (["--input", "missing/*.jsonl"], "no file matches"),
        (["--input", "{texts}", "--vocab-size", "many"], "give a number, or one of 32k (32,000)"),
        (["--input", "{texts}", "--vocab-size", "300"], "no room for pieces"),
        (["--input", "{texts}", "--text-column", "body"], "json.no_text"),
        (["--source", "nonsense"], "write NAME=GLOB"),
        (["--source", "A B={texts}"], "is not of the form"),
        (["--source", "a={texts}:0"], "greater than or equal to 0.001"),
        (["--input", "{texts}", "--config", "missing.yaml"], "missing.yaml"),
        (["--input", "{texts}", "--runner-nonsense=1"], "there is no option --runner-nonsense"),
        (["--input", "page.warc"], "there is no file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_explained(tmp_path: Path, texts: Path, arguments: list[str], message: str) -> None:
    filled = [argument.format(texts=texts) for argument in arguments]
    result = run("train", *filled, "--output", tmp_path / "out", "--workers", 0)
    assert result.exit_code in (1, 2)
    assert message in result.output


def test_unknown_settings_are_named(tmp_path: Path, texts: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("tokenizer: {vocabsize: 500}\n")
    message = refused("train", "--input", texts, "--config", config, "--output", tmp_path / "out")
    assert 'there is no such setting. Did you mean "vocab_size"?' in message


def test_web_pages_must_be_extracted_first(tmp_path: Path) -> None:
    (tmp_path / "page.warc").write_bytes(
        b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
    )
    message = refused("train", "--input", tmp_path / "page.warc", "--output", tmp_path / "out")
    assert "Run `corpusmill web` first" in message


def test_explain_runs_nothing(tmp_path: Path, texts: Path) -> None:
    printed = done(
        "train", "--input", texts, "--vocab-size", "32k", "--output", tmp_path / "out", "--explain"
    )
    assert "vocabulary of 32,000" in printed
    assert not (tmp_path / "out").exists()


def test_sources_from_options() -> None:
    assert parse_source("a=s3://b/c:d/*.parquet", "t") == (
        "a", {"text_column": "t", "input": ["s3://b/c:d/*.parquet"]},
    )  # fmt: skip
    assert parse_source("a=/x.jsonl:2.5", "t")[1] == {
        "text_column": "t",
        "weight": 2.5,
        "input": ["/x.jsonl"],
    }
    assert parse_sources([], ["a=/x:2", "a=/y:2"], "t")["a"]["input"] == ["/x", "/y"]
    with pytest.raises(UserError, match="different weights"):
        parse_sources([], ["a=/x:2", "a=/y:3"], "t")


@pytest.mark.parametrize(
    ("given", "size"), [("32k", 32_000), ("49k", 49_152), ("100k", 100_352), ("65_536", 65_536)]
)
def test_sizes(given: str, size: int) -> None:
    assert parse_size(given) == size


# ---- encode


def test_encoded_files(tmp_path: Path, trained: Path) -> None:
    documents = corpus(12)
    write_jsonl(tmp_path / "a.jsonl", documents)
    write_parquet(tmp_path / "b.parquet", [*documents[:3], None], "body")
    done(
        "encode",
        "--tokenizer",
        trained,
        "--input",
        tmp_path / "a.jsonl",
        "--output",
        tmp_path / "a",
        "--workers",
        0,
    )
    done(
        "encode", "--tokenizer", trained, "--source", f"b={tmp_path}/b.parquet", "--text-column", "body",
        "--output", tmp_path / "b", "--workers", 0,
    )  # fmt: skip
    loaded = tokenizer.load(trained)
    (file,) = (tmp_path / "a" / "tokens").iterdir()
    table = pq.read_table(file)
    assert table["id"].to_pylist() == [f"doc-{index}" for index in range(len(documents))]
    assert table["tokens"].to_pylist() == [loaded.encode(text) for text in documents]
    assert table["n"].to_pylist() == [len(loaded.encode(text)) for text in documents]
    assert table.schema.field("tokens").type == pa.list_(pa.int32())
    assert table.schema.metadata[b"tokenizer.sha256"] == loaded.sha256.encode()
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["sources"]["b"] == {
        "documents": 3,
        "tokens": sum(len(loaded.encode(text)) for text in documents[:3]),
        "text_bytes": sum(len(text.encode()) for text in documents[:3]),
        "failed": {"parquet.no_text": 1},
    }
    assert manifest["identity"]["tokenizer_sha256"] == loaded.sha256
    (told,) = manifest["files"]
    assert (
        told["sha256"] == hashlib.sha256((tmp_path / "b" / "tokens" / told["path"]).read_bytes()).hexdigest()
    )


def test_the_encoder_changes_no_byte(tmp_path: Path, trained: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", corpus(12))
    stored = set()
    for encoder in ("words", "kitoken", "sentencepiece"):
        out = tmp_path / encoder
        done(
            "encode",
            "--tokenizer",
            trained,
            "--input",
            source,
            "--encoder",
            encoder,
            "--output",
            out,
            "--workers",
            0,
        )
        (file,) = (out / "tokens").iterdir()
        stored.add(file.read_bytes())
    assert len(stored) == 1


def test_encode_explains_mistakes(tmp_path: Path, texts: Path, trained: Path) -> None:
    out = ["--output", tmp_path / "out", "--workers", 0]
    assert "no tokenizer's model there" in refused("encode", "--tokenizer", tmp_path, "--input", texts, *out)
    assert "--tokenizer is missing" in refused("encode", "--input", texts, *out)
    assert "no input" in refused("encode", "--tokenizer", trained, *out)


# ---- report


def test_the_page_shows_rates_and_pieces(tmp_path: Path, trained: Path) -> None:
    documents = corpus(12)
    write_jsonl(tmp_path / "en.jsonl", documents[:6], language="en")
    write_jsonl(tmp_path / "xx.jsonl", ["<script>alert(1)</script> \u202e"], language="<b>xx</b>")
    other = tmp_path / "other"
    done("train", "--input", tmp_path / "en.jsonl", "--vocab-size", 850, "--output", other, "--workers", 0)
    printed = done(
        "report", "--tokenizer", trained, "--source", f"en={tmp_path}/en.jsonl", "--source", f"xx={tmp_path}/xx.jsonl",
        "--against", other, "--output", tmp_path / "report.html",
    )  # fmt: skip
    loaded, rival = tokenizer.load(trained), tokenizer.load(other)
    size = sum(len(text.encode()) for text in documents[:6])
    ours, theirs = (size / sum(len(each.encode(text)) for text in documents[:6]) for each in (loaded, rival))
    assert f"bytes per token: this one {ours:.3f}, other {theirs:.3f}" in printed
    page = (tmp_path / "report.html").read_text()
    assert f"{ours:.3f}" in page
    assert f"{theirs:.3f}" in page
    assert "<b>xx</b>" not in page
    assert html.escape("<b>xx</b>") in page
    assert not re.search(r"https?://|<script|@import|url\(", page)
    assert page.count("<svg") == page.count("</svg>")
    used = {
        index
        for text in [*documents[:6], "<script>alert(1)</script> \u202e"]
        for index in loaded.encode(text)
    }
    learned = [index for index, piece in enumerate(loaded.facts.pieces) if piece.kind == 1]
    assert (
        f"{len([index for index in learned if index not in used]):,} of {len(learned):,} learned pieces"
        in page
    )


def test_the_same_texts_give_the_same_page(tmp_path: Path, texts: Path, trained: Path) -> None:
    pages = []
    for name in ("a.html", "b.html"):
        done("report", "--tokenizer", trained, "--input", texts, "--output", tmp_path / name)
        pages.append((tmp_path / name).read_text())
    assert pages[0] == pages[1]


def test_report_reads_no_more_than_the_sample(tmp_path: Path, trained: Path) -> None:
    write_jsonl(tmp_path / "big.jsonl", ["word " * 10_000] * 20)
    printed = done(
        "report", "--tokenizer", trained, "--input", tmp_path / "big.jsonl", "--sample", 0.1,
        "--output", tmp_path / "report.html",
    )  # fmt: skip
    assert "0.1 MB" in printed


def test_report_explains_mistakes(tmp_path: Path, texts: Path, trained: Path) -> None:
    arguments = ["report", "--tokenizer", trained, "--input", texts, "--output"]
    assert "is a folder" in refused(*arguments, tmp_path)
    missing = refused(*arguments, tmp_path / "x.html", "--against", tmp_path / "none.model")
    assert "none.model: No such file" in missing
    empty = write_jsonl(tmp_path / "empty.jsonl", [])
    message = refused("report", "--tokenizer", trained, "--input", empty, "--output", tmp_path / "x.html")
    assert "no text was found" in message
