"""A run against an earlier one: what is published already is not published again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs import web
from jobs.cli import main
from pipeline.engine import RunnerSettings
from pipeline.errors import UserError
from tests.jobs.corpus import article

HERE = RunnerSettings(workers=0)


def write(path: Path, pages: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"url": f"https://{page}", "text": text}) for page, text in pages.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(output: Path, *inputs: Path, against: tuple[str, ...] = ()) -> dict[str, Any]:
    config = web.configure(
        None, [str(each) for each in inputs], overrides={"reading": {"chunk_rows": 4}}, against=against
    )
    return web.run(config, str(output), HERE).manifest


def rows(output: Path, folder: str) -> list[dict[str, Any]]:
    return ds.dataset(output / folder).to_table().to_pylist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a` published articles 0 to 19; `b` reads 10 to 29 against it, `alone` reads 20 to 29."""
    folder = tmp_path_factory.mktemp("against")
    run(folder / "a", write(folder / "first.jsonl", {f"a.org/{n}": article(n) for n in range(20)}))
    again = {f"b.org/{n}": article(n) for n in range(10, 14)}  # equal texts
    again |= {f"b.org/{n}": article(n).replace("old", "ancient", 1) + " The end." for n in range(14, 17)}
    again |= {f"a.org/{n}": article(100 + n) for n in range(17, 20)}  # new texts of known URLs
    old = write(folder / "in" / "again.jsonl", again)
    new = write(folder / "in" / "new.jsonl", {f"b.org/{n}": article(n) for n in range(20, 30)})
    run(folder / "b", old, new, against=(str(folder / "a/documents/*.parquet"),))
    run(folder / "alone", new)
    return folder


def test_only_what_is_new_is_published_to_the_byte(runs: Path) -> None:
    assert len(rows(runs / "a", "documents")) == 20
    assert len(rows(runs / "b", "documents")) == 10
    (b,), (alone,) = ((runs / name / "documents").iterdir() for name in ("b", "alone"))
    assert b.name == alone.name
    assert b.read_bytes() == alone.read_bytes()


def test_rejected_rows_and_the_cluster_table_name_run_and_id(runs: Path) -> None:
    ids = {row["url"].split("/")[-1]: row["id"] for row in rows(runs / "a", "documents")}
    rejected = rows(runs / "b", "rejected")
    assert {row["rule"] for row in rejected[:4]} == {"duplicates.exact_text"}
    assert {row["rule"] for row in rejected[4:7]} == {"duplicates.fuzzy"}
    assert {row["rule"] for row in rejected[7:]} == {"duplicates.exact_url"}
    for number, row in enumerate(rejected, 10):
        assert row["url"].endswith(f"/{number}")
        assert row["detail"] == f"copy of {ids[str(number)]} in {runs / 'a'}"
    table = pq.read_table(runs / "b" / "decisions" / "duplicates.parquet").to_pylist()
    assert {row["surviving_run"] for row in table} == {str(runs / "a")}
    assert [row["surviving_id"] for row in table] == [ids[str(n)] for n in range(10, 20)]


def test_the_books_balance(runs: Path) -> None:
    manifest = json.loads((runs / "b" / "manifest.json").read_text())
    total = manifest["books"]["total"]
    assert (total["read"], total["published"], sum(total["rejected"].values())) == (20, 10, 10)
    assert [item["path"] for item in manifest["identity"]["against"]] == [
        str(path) for path in (runs / "a" / "documents").iterdir()
    ]


def test_report_and_inspection_name_the_earlier_run(runs: Path) -> None:
    assert str(runs / "a") in (runs / "b" / "report.html").read_text()
    result = CliRunner().invoke(main, ["inspect", "duplicates", str(runs / "b")])
    assert result.exit_code == 0, result.output
    assert f" in {runs / 'a'}" in result.output


def test_the_command_and_what_it_refuses(runs: Path) -> None:
    shards = str(runs / "a/documents/*.parquet")
    command = ["web", "--input", str(runs / "in/new.jsonl"), "--output", str(runs / "c"), "--explain"]
    result = CliRunner().invoke(main, [*command, "--against", shards])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, [*command, "--against", str(runs / "nowhere/*.parquet")])
    assert result.exit_code == 2
    assert "no file matches" in result.output
    config = web.configure(None, [str(runs / "in/new.jsonl")], against=(shards,))
    with pytest.raises(UserError, match="own output"):
        web.plan(config, str(runs / "a"))
    with pytest.raises(UserError, match="turned off"):
        web.configure(None, [str(runs / "in/new.jsonl")], overrides={"dedup": None}, against=(shards,))


def test_a_changed_earlier_run_is_noticed(runs: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.parquet"
    known.write_bytes(next((runs / "a" / "documents").iterdir()).read_bytes())
    source = write(tmp_path / "in.jsonl", {"c.org/1": article(1)})
    assert run(tmp_path / "out", source, against=(str(known),))["books"]["total"]["published"] == 0
    pq.write_table(pq.read_table(known).slice(5), known)
    with pytest.raises(UserError, match=r"against\.0\.bytes"):
        run(tmp_path / "out", source, against=(str(known),))
