"""The `extract` command: every page in is a row out, whatever the input holds it in."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs.cli import main
from tests.jobs.corpus import article
from tests.pipeline.sources import archives

pytestmark = pytest.mark.skipif("extract" not in main.commands, reason="the command is not registered yet")

COLUMNS = {
    "id",
    "url",
    "title",
    "text",
    "page.language_hint",
    "page.date",
    "page.author",
    "page.canonical_url",
}
COLUMNS |= {"page.robots", "page.license_url", "page.extractor", "page.confidence", "page.formulas"}


def page(number: int) -> str:
    return (
        f'<html lang=en><head><title>Page {number} | Example</title><meta name=author content="Ann Lee">'
        f'<meta name=robots content="noai"><link rel=canonical href="/p/{number}"></head><body><nav><a href="/">Home</a></nav>'
        f"<article><h1>Page {number}</h1><time class=published datetime=2020-01-0{number + 1}></time>"
        f"<p>{article(number)} where <math alttext='x_{number}'></math>.</p><pre>  a\n    b</pre></article></body></html>"
    )


def run(*arguments: object) -> tuple[int, str]:
    defaults = ("extract", "--extractor", "reader", "--workers", "0")
    result = CliRunner().invoke(main, [*defaults, *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.output


def documents(output: Path) -> list[dict]:
    return ds.dataset(output / "documents").to_table().to_pylist()


@pytest.fixture
def warc(tmp_path: Path) -> Path:
    bodies = [page(0).encode(), page(1).encode(), b"<p></p>", b""]
    return archives.archive(tmp_path, [archives.page(f"{n}.html", body) for n, body in enumerate(bodies)])


def test_pages_of_an_archive(warc: Path, tmp_path: Path) -> None:
    code, output = run("--input", warc, "--output", tmp_path / "out")
    assert code == 0, output
    rows = documents(tmp_path / "out")
    assert set(rows[0]) >= COLUMNS
    assert [row["url"] for row in rows] == [f"http://example.org/{n}.html" for n in range(4)]
    assert [row["text"] for row in rows[2:]] == ["", ""]
    for number, row in enumerate(rows[:2]):
        assert article(number)[:200] in row["text"]
        assert f"where $x_{number}$." in row["text"]
        assert "  a\n    b" in row["text"]
        assert row["title"] == f"Page {number}"
        assert row["page.author"] == "Ann Lee"
        assert row["page.date"] == f"2020-01-0{number + 1}"
        assert row["page.canonical_url"] == f"http://example.org/p/{number}"
        assert row["page.robots"] == "robots: noai"
        assert (row["page.language_hint"], row["page.formulas"], row["page.extractor"]) == ("en", 1, "reader")


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_pages_in_a_column(kind: str, tmp_path: Path) -> None:
    rows = [{"url": f"https://example.org/{n}", "body": page(n)} for n in range(3)]
    path = tmp_path / f"pages.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, output = run("--input", path, "--output", tmp_path / "out", "--html-column", "body")
    assert code == 0, output
    made = documents(tmp_path / "out")
    assert [row["title"] for row in made] == ["Page 0", "Page 1", "Page 2"]
    assert all("<p>" not in row["text"] and article(n)[:100] in row["text"] for n, row in enumerate(made))
    assert made[1]["page.canonical_url"] == "https://example.org/p/1"


def test_markdown(warc: Path, tmp_path: Path) -> None:
    code, output = run(
        "--input", warc, "--output", tmp_path / "out", "--structure", "markdown", "--no-formulas"
    )
    assert code == 0, output
    text = documents(tmp_path / "out")[0]["text"]
    assert "```\n  a\n    b\n```" in text
    assert "$" not in text


def test_a_run_is_repeatable(warc: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run("--input", warc, "--output", tmp_path / name)[0] == 0
    one, two = (sorted((tmp_path / name / "documents").glob("*")) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "OUT"], "--input is missing"),
        (["--input", "IN"], "--output is missing"),
        (["--input", "IN", "--output", "OUT", "--html-column", "boddy"], 'no column "boddy"'),
        (["--input", "IN", "--output", "OUT", "--html-column", "body", "--extracter", "x"], "--extracter"),
    ],
)
def test_mistakes(arguments: list[str], message: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["<p>x"]}), tmp_path / "pages.parquet")
    places = {"IN": str(tmp_path / "pages.parquet"), "OUT": str(tmp_path / "out")}
    code, output = run(*(places.get(argument, argument) for argument in arguments))
    assert code == 2
    assert message in output
