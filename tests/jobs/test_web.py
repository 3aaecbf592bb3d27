"""The web job from end to end, in this process: the result, bad input, resuming, refusing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs import web
from jobs.cli import main
from pipeline import storage
from pipeline.engine import RunnerSettings
from pipeline.errors import UserError
from pipeline.output import OutputFolder
from tests.jobs.corpus import article, html, write_jsonl
from tests.pipeline.sources import archives as warcs

HERE = RunnerSettings(workers=0)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def run(output: Path, *inputs: Path, **changes: Any) -> dict[str, Any]:
    config = web.configure(None, [str(path) for path in inputs], overrides=changes)
    return web.run(config, str(output), HERE).manifest


def contents(output: Path) -> dict[str, bytes]:
    """The bytes of everything that must be equal from run to run."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for folder in ("documents", "rejected", "failed", "decisions")
        for path in sorted((output / folder).rglob("*"))
        if path.is_file()
    }


def by_url(output: Path, folder: str) -> dict[str, dict[str, Any]]:
    return {row["url"]: row for row in ds.dataset(output / folder).to_table().to_pylist()}


# --- a whole run -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("corpus") / "articles.jsonl", 60)


SMALL = {"reading": {"split_bytes": 40_000, "chunk_rows": 5}}


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("finished") / "out"
    run(output, corpus, **SMALL)
    return output


def test_the_books_balance_and_agree_with_the_files(finished: Path) -> None:
    books = json.loads((finished / "manifest.json").read_text())["books"]
    assert set(books) == {"web", "total"}
    total = books["total"]
    assert total["read"] == 60
    assert total["read"] == (
        total["published"] + sum(total["rejected"].values()) + sum(total["failed"].values())
    )
    assert ds.dataset(finished / "documents").count_rows() == total["published"]
    assert ds.dataset(finished / "rejected").count_rows() == sum(total["rejected"].values())


def test_copies_and_short_texts_are_rejected_with_their_reasons(finished: Path) -> None:
    rejected = by_url(finished, "rejected")
    pairs = [
        (f"https://example.org/{n - 1}", f"https://example.org/{n}")
        for n in range(6, 60, 7)
        if n % 9 not in (0, 8)
    ]
    assert len(pairs) > 5
    for pair in pairs:
        # Equal texts: either of the two goes, by its id.
        (gone,) = [rejected[url] for url in pair if url in rejected]
        assert (gone["stage"], gone["rule"], gone["value"]) == ("duplicates", "duplicates.exact_text", 1.0)
    short = [rejected[f"https://example.org/{n}"] for n in range(8, 60, 9)]
    assert {row["stage"] for row in short} <= {"language", "duplicates", "lines", "quality"}


def test_published_documents_have_no_copies(finished: Path) -> None:
    texts = ds.dataset(finished / "documents").to_table()["text"].to_pylist()
    assert len(texts) == len(set(texts)) > 30


def test_the_result_loads_with_datasets(finished: Path, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(
        "parquet", data_files=str(finished / "documents" / "*.parquet"), cache_dir=str(tmp_path)
    )
    assert loaded["train"].num_rows == ds.dataset(finished / "documents").count_rows()


def test_report_card_and_manifest_are_there_and_work_is_not(finished: Path) -> None:
    assert (finished / "report.html").read_text().startswith("<!doctype html>")
    assert (finished / "README.md").read_text().startswith("---")
    assert not (finished / "work").exists()


def test_the_same_command_again_does_nothing(finished: Path, corpus: Path) -> None:
    before = (finished / "manifest.json").stat().st_mtime_ns
    config = web.configure(None, [str(corpus)], overrides=SMALL)
    assert web.run(config, str(finished), HERE).was_complete
    assert (finished / "manifest.json").stat().st_mtime_ns == before


def test_another_configuration_is_refused(finished: Path, corpus: Path) -> None:
    config = web.configure(None, [str(corpus)], overrides={**SMALL, "rules": {"language": {"in": ["de"]}}})
    with pytest.raises(UserError, match="--overwrite"):
        web.run(config, str(finished), HERE)


def test_changed_input_is_refused(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", 3)
    run(tmp_path / "out", source)
    write_jsonl(source, 4)
    with pytest.raises(UserError, match=r"inputs\.0\.bytes"):
        run(tmp_path / "out", source)


# --- bytes do not depend on chunks, splits, order or interruptions ----------------------------------------------------


def test_order_of_inputs_does_not_matter(tmp_path: Path) -> None:
    first, second = write_jsonl(tmp_path / "a.jsonl", 12), write_jsonl(tmp_path / "b.jsonl", 12, start=12)
    run(tmp_path / "one", first, second)
    run(tmp_path / "two", second, first)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


class Killed(BaseException):
    """Stands for a `kill -9`: nothing catches it."""


@contextlib.contextmanager
def killed_at(write: int) -> Iterator[list[str]]:
    """End the process's work at the given write of a file."""
    written: list[str] = []
    original = storage.write_atomically

    @contextlib.contextmanager
    def counted(path: str) -> Iterator[Any]:
        if len(written) == write:
            raise Killed(path)
        written.append(path)
        with original(path) as file:
            yield file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "write_atomically", counted)
        yield written


def test_killed_anywhere_a_run_goes_on_to_the_same_bytes(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    with killed_at(-1) as writes:
        run(tmp_path / "whole", corpus, **SMALL)
    assert contents(tmp_path / "whole") == contents(finished)
    total = len(writes)
    output = tmp_path / "killed"
    survived = 0
    for point in (0, 3, total // 4, total // 3, total // 2, total // 3, 20, 10, 5, 3, 2, 1):
        try:
            with killed_at(point) as done:
                run(output, corpus, **SMALL)
            break
        except Killed:
            survived += 1
            assert not (output / "manifest.json").exists()
            assert len(done) == point
    else:
        run(output, corpus, **SMALL)
    assert survived >= 5
    assert contents(output) == contents(finished)


def test_kill_9_of_the_command(finished: Path, corpus: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(SMALL))
    output = tmp_path / "out"
    command = [sys.executable, "-m", "jobs.cli", "web", "--config", str(config)]
    command += ["--input", str(corpus), "--output", str(output), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not list(output.glob("work/harvest-*/*.parquet")):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (output / "manifest.json").exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert contents(output) == contents(finished)


def test_no_element_of_a_pipeline_is_large(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What crosses Beam's boundaries are the items and results of tasks; all of them lie in files of `work`."""
    monkeypatch.setattr(OutputFolder, "_remove_work", lambda *_: None)
    monkeypatch.setattr(storage, "remove", lambda _: None)
    run(tmp_path / "out", corpus, **SMALL)
    results = list((tmp_path / "out" / "work" / "tasks").rglob("*.json"))
    items = [
        line
        for path in (tmp_path / "out" / "work").rglob("*.items")
        for line in path.read_bytes().split(b"\n")
    ]
    assert len(results) > 40
    assert len(items) > 40
    assert max(path.stat().st_size for path in results) < 1_000_000
    assert max(map(len, items)) < 1_000_000


# --- thresholds again, without the input ------------------------------------------------------------------------------


def test_other_rules_over_kept_measures_give_what_a_new_run_gives(corpus: Path, tmp_path: Path) -> None:
    other = {"rules": {"language": {"in": ["en"]}, "gopher.word_count": {"min": 700}}}
    config = web.configure(None, [str(corpus)], overrides={**SMALL, "keep_measures": True})
    web.run(config, str(tmp_path / "kept"), HERE)
    harvested = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept" / "work").rglob("*.parquet")}
    assert harvested
    config = web.configure(None, [str(corpus)], overrides={**SMALL, **other, "keep_measures": True})
    web.run(config, str(tmp_path / "kept"), HERE, overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in harvested} == harvested
    run(tmp_path / "new", corpus, **SMALL, **other)
    assert by_url(tmp_path / "kept", "documents").keys() == by_url(tmp_path / "new", "documents").keys()
    assert (
        contents(tmp_path / "kept")["documents/part-00000-of-00001.parquet"]
        == (contents(tmp_path / "new")["documents/part-00000-of-00001.parquet"])
    )


# --- bad input --------------------------------------------------------------------------------------------------------

BAD = {
    "http://example.org/good": OK + html(article(1)),
    "http://example.org/empty": OK,
    "http://example.org/huge": OK + b"<p>" + b"big " * 13_000_000,
    "http://example.org/nuls": OK + b"\x00" * 100_000,
    "http://example.org/invalid": OK + html(article(2)).replace(b"harbour", b"h\xffrb\xfeur"),
    "http://example.org/deep": OK + b"<div>" * 100_000 + b"deep" + b"</div>" * 100_000,
    "http://example.org/missing": b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n"
    + html(article(3)),
    "http://example.org/image": b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n\x89PNG",
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run over bad pages and bad files."""
    folder = tmp_path_factory.mktemp("bad")
    pages = b"".join(warcs.member(warcs.record(url, block), "gzip") for url, block in BAD.items())
    (folder / "pages.warc.gz").write_bytes(pages)
    (folder / "empty.warc.gz").write_bytes(b"")
    (folder / "nothing.warc.gz").write_bytes(warcs.member(warcs.WARCINFO, "gzip"))
    whole = warcs.member(warcs.record("http://example.org/before", OK + html(article(4))), "gzip")
    cut = warcs.member(warcs.record("http://example.org/cut", OK + html(article(5))), "gzip")
    (folder / "truncated.warc.gz").write_bytes(whole + cut[: len(cut) // 2])
    output = folder / "out"
    run(output, folder / "*.warc.gz")  # type: ignore[arg-type]
    return output


def test_bad_input_balances(bad: Path) -> None:
    total = json.loads((bad / "manifest.json").read_text())["books"]["total"]
    assert total["read"] == total["published"] + sum(total["rejected"].values()) + sum(
        total["failed"].values()
    )
    assert total["failed"] == {"input.empty": 1, "warc.truncated_gzip": 1}


def test_good_pages_beside_bad_ones_are_published(bad: Path) -> None:
    assert {"http://example.org/good", "http://example.org/before"} <= by_url(bad, "documents").keys()


@pytest.mark.parametrize(
    ("page", "rule"),
    [
        ("empty", "text.characters"),
        ("huge", "http.bytes"),
        ("nuls", "text.characters"),
        ("missing", "http.status"),
        ("image", "http.content_type"),
    ],
)
def test_a_bad_page_is_rejected_by_its_rule(bad: Path, page: str, rule: str) -> None:
    assert by_url(bad, "rejected")[f"http://example.org/{page}"]["rule"] == rule


def test_a_huge_page_is_recorded_with_its_length(bad: Path) -> None:
    assert by_url(bad, "rejected")["http://example.org/huge"]["value"] == 52_000_003


def test_deep_nesting_is_accounted_for(bad: Path) -> None:
    everywhere = {**by_url(bad, "documents"), **by_url(bad, "rejected"), **by_url(bad, "failed")}
    assert "http://example.org/deep" in everywhere


def test_invalid_utf8_becomes_valid_text(bad: Path) -> None:
    everywhere = {**by_url(bad, "documents"), **by_url(bad, "rejected")}
    assert "http://example.org/invalid" in everywhere


def test_a_truncated_archive_fails_its_last_record_only(bad: Path) -> None:
    rows = pq.read_table(bad / "failed").to_pylist()
    assert sorted(row["error"] for row in rows) == ["input.empty", "warc.truncated_gzip"]
    assert all(row["detail"] for row in rows)


# --- an archive inside an archive ---------------------------------------------------------------------------------------


def crawled(numbers: range, place: str) -> list[bytes]:
    return [warcs.record(f"http://{place}.example.org/{n}", OK + html(article(n))) for n in numbers]


def test_an_archive_inside_an_archive_gives_what_one_split_gives(tmp_path: Path) -> None:
    path = tmp_path / "crawl.warc.gz"
    first = [warcs.WARCINFO, *crawled(range(8), "outer")]
    inner, last = crawled(range(100, 140), "inner"), crawled(range(8, 20), "outer")
    path.write_bytes(warcs.archive_in_archive(first, inner, last))
    whole, split = tmp_path / "whole", tmp_path / "split"
    one = run(whole, path, reading={"split_bytes": 0})
    many = run(split, path, reading={"split_bytes": 8_000, "chunk_rows": 5})
    for folder in ("documents", "rejected", "failed"):
        assert by_url(split, folder) == by_url(whole, folder)
    ids = [ds.dataset(output / "documents").to_table()["id"].to_pylist() for output in (split, whole)]
    assert ids[0] == ids[1]
    assert (many["books"], many["records"]) == (one["books"], one["records"])
    assert by_url(split, "documents").keys() >= {f"http://outer.example.org/{n}" for n in range(20)}
    # The splits did not meet at first: else this would prove nothing.
    assert "harvest.again" in {cost["phase"] for cost in many["cost"]["phases"]}


# --- mistakes of the user: a message, an exit code, no traceback -------------------------------------------------------


def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"rules": {"gopher.wordcount": {"min": 50}}}, 'Did you mean "gopher.word_count"?'),
        ({"ruels": {}}, 'Did you mean "rules"?'),
        ({"dedup": {"band": 14}}, 'Did you mean "bands"?'),
        ({"rules": {"language": {"min": 1}}}, "takes `in` or `not_in`"),
        ({"rules": {"language_score": {"min": 2, "max": 1}}}, "no document could pass"),
        ({"dedup": {"bands": 100, "rows": 60}}, "need 6000 hashes"),
        ({"dedup": {"verify": "exact", "shingle_words": 4}}, "must equal minhash.ngram"),
    ],
)
def test_wrong_configuration(tmp_path: Path, settings: dict, expected: str) -> None:
    config = tmp_path / "my.yaml"
    config.write_text(json.dumps(settings))
    code, output = command(
        "web", "--config", str(config), "--input", str(config), "--output", str(tmp_path / "out")
    )
    assert (code, "Traceback" in output) == (2, False)
    assert expected in output
    assert not (tmp_path / "out").exists()


def test_a_key_written_twice(tmp_path: Path) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("rules:\n  language_score: {min: 0.5}\n  language_score: {min: 0.9}\n")
    code, output = command("web", "--config", str(config), "--input", "x", "--output", str(tmp_path / "out"))
    assert code == 2
    assert "stands here twice" in output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["web", "--output", "OUT"], "no input"),
        (["web", "--input", "IN"], "--output is missing"),
        (["web", "--input", "nowhere/*.warc.gz", "--output", "OUT"], "nowhere/*.warc.gz"),
        (["web", "--input", "IN", "--output", "OUT", "--worker", "2"], 'Did you mean "--workers"?'),
        (["web", "--input", "IN", "--output", "IN/out"], "cannot write to the output folder"),
        (["web", "--config", "nowhere.yaml", "--input", "IN", "--output", "OUT"], "nowhere.yaml"),
    ],
)
def test_wrong_options(tmp_path: Path, arguments: list[str], expected: str) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", 2)
    places = {"OUT": str(tmp_path / "out"), "IN": str(source), "IN/out": str(source / "out")}
    code, output = command(*(places.get(argument, argument) for argument in arguments))
    assert (code, "Traceback" in output) == (2, False)
    assert expected in output.replace("\n", " ")


def test_a_parquet_file_without_the_text_column(tmp_path: Path) -> None:
    import pyarrow as pa

    pq.write_table(pa.table({"content": ["a"], "url": ["b"]}), tmp_path / "in.parquet")
    code, output = command("web", "--input", str(tmp_path / "in.parquet"), "--output", str(tmp_path / "out"))
    assert (code, "Traceback" in output) == (2, False)
    assert "content" in output


def test_explain_reads_and_writes_nothing(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", 2)
    code, output = command("web", "--input", str(source), "--output", str(tmp_path / "out"), "--explain")
    assert code == 0
    for expected in (
        "in.jsonl",
        "language_score",
        "min 0.65",
        "duplicates.fuzzy",
        "not run",
        "manifest.json",
    ):
        assert expected in output
    assert os.listdir(tmp_path) == ["in.jsonl"]


def test_the_printed_configuration_is_the_one_that_runs() -> None:
    import yaml

    code, output = command("web", "--print-config")
    assert code == 0
    assert yaml.safe_load(output)["rules"]["language_score"] == {"min": 0.65}
