"""`decontam review`: every match in its context, nothing of a document acts on the terminal, wrong folders are messages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from jobs import review as module
from jobs.review import COLUMNS, review
from pipeline.errors import UserError

ROW = {
    "id": "doc-1",
    "url": "https://example.org/1",
    "benchmark": "mmlu/anatomy",
    "item": "test/17",
    "part": "prompt",
    "n": 4,
    "words": "where is the femur",
    "documents": 2,
    "shared_by": 3,
    "start": 10,
    "end": 28,
    "before": "She asked: ",
    "match": "Where is\nthe FEMUR",
    "after": "? It is in the leg.",
}


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    (folder / "decisions").mkdir()
    schema = pa.schema(
        [(name, pa.int64() if isinstance(ROW[name], int) else pa.string()) for name in COLUMNS]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "decisions" / "contaminated.parquet")
    return str(folder)


def run(output: str, benchmark: str | None = None, most: int | None = None) -> str:
    @click.command()
    def command() -> None:
        review(output, benchmark=benchmark, most=most)

    result: Result = CliRunner().invoke(command, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_match_stands_in_its_context(tmp_path: Path) -> None:
    assert run(write(tmp_path, [ROW])) == (
        "1  doc-1  https://example.org/1\n"
        "   mmlu/anatomy  item test/17, prompt, 4-gram, in 2 documents, shared by 3 item parts, characters 10 to 28\n"
        "      She asked: >>Where is the FEMUR<<? It is in the leg.\n"
        "\n"
        "1 document with 1 match\n"
    )


def test_the_rows_of_a_document_stand_together(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"item": "test/18", "shared_by": 1}, ROW | {"id": "doc-2", "url": None}]
    shown = run(write(tmp_path, rows))
    assert re.findall(r"^\d+  (doc-\d)", shown, re.MULTILINE) == ["doc-1", "doc-2"]
    assert shown.count("shared by") == 2
    assert shown.endswith("2 documents with 3 matches\n")


def test_a_benchmark_or_a_family_of_them(tmp_path: Path) -> None:
    names = ("mmlu/anatomy", "mmlu/virology", "mmlu_pro/law")
    rows = [ROW | {"id": f"doc-{n}", "benchmark": name} for n, name in enumerate(names)]
    output = write(tmp_path, rows)
    assert run(output, "mmlu/virology").endswith("1 document with 1 match\n")
    assert run(output, "mmlu").endswith("2 documents with 2 matches\n")
    with pytest.raises(UserError, match=r'Did you mean "mmlu/anatomy"\? There are matches with 3 benchmarks'):
        review(output, benchmark="mmlu/anatomi")


@pytest.mark.parametrize("most", [1, 2])
def test_at_most_so_many_documents(tmp_path: Path, most: int) -> None:
    shown = run(write(tmp_path, [ROW | {"id": f"doc-{n}"} for n in range(3)]), most=most)
    assert len(re.findall(r"^\d+  doc-\d", shown, re.MULTILINE)) == most
    assert "and more: decisions/contaminated.parquet has all" in shown


def test_no_more_than_there_are(tmp_path: Path) -> None:
    assert run(write(tmp_path, [ROW]), most=1).endswith("1 document with 1 match\n")


def test_a_run_without_matches(tmp_path: Path) -> None:
    output = write(tmp_path, [])
    assert run(output) == "0 documents with 0 matches\n"
    assert run(output, "mmlu") == "0 documents with 0 matches\n"


def test_long_texts_are_cut_on_the_far_side(tmp_path: Path) -> None:
    long = ROW | {"before": "a" * 500 + "b", "match": "c" + "d" * 5000 + "e", "after": "f" + "g" * 500}
    shown = run(write(tmp_path, [long]))
    assert re.search(r"\.\.\.a{199}b>>cd{299} \.\.\. d{299}e<<fg{199}\.\.\.\n", shown)


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\x08\x08[bold]x[/bold]"


@pytest.mark.parametrize(
    "column", ["id", "url", "benchmark", "item", "part", "words", "before", "match", "after"]
)
def test_nothing_of_a_document_acts_on_the_terminal(tmp_path: Path, column: str) -> None:
    shown = run(write(tmp_path, [ROW | {column: HOSTILE}]))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    if column != "words":  # shown only where there is no context
        assert "⟨U+001B⟩" in shown
        assert "[bold]x[/bold]" in shown


def test_missing_values_are_left_out(tmp_path: Path) -> None:
    absent = dict.fromkeys(("url", "part", "documents", "shared_by", "before", "match", "after"))
    shown = run(write(tmp_path, [ROW | absent]))
    assert "None" not in shown
    assert ">>where is the femur<<" in shown


def test_a_terminal_gets_a_pager_and_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paged: list[str] = []
    monkeypatch.setattr(module.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(module.click, "echo_via_pager", lambda pages: paged.extend(pages))
    review(write(tmp_path, [ROW, ROW | {"id": "doc-2"}]))
    assert len(paged) == 3
    assert "\x1b[1;31mWhere is the FEMUR\x1b[0m" in paged[0]


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_that_is_no_result(tmp_path: Path, folder: str) -> None:
    with pytest.raises(UserError, match="is not the result of a finished run with decontamination"):
        review(str(tmp_path / folder))


def test_a_file_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "decisions").mkdir()
    path = tmp_path / "decisions" / "contaminated.parquet"
    pq.write_table(pa.table({name: ["x"] for name in COLUMNS if name not in ("part", "after")}), path)
    with pytest.raises(UserError, match=r"has no column part, after: another version"):
        review(str(tmp_path))
    path.write_bytes(b"not Parquet at all")
    with pytest.raises(UserError, match="is not a Parquet file"):
        review(str(tmp_path))
