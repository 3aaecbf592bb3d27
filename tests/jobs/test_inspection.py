"""`corpusmill inspect duplicates`: differing words are marked; a folder of something else is a message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from jobs import web
from jobs.cli import main
from jobs.inspection import difference
from pipeline.engine import RunnerSettings
from tests.jobs.corpus import article


def test_differing_words_are_marked() -> None:
    assert (
        difference("the old mill stands", "the new mill still stands").plain
        == "the -old- +new+ mill +still+ stands "
    )


def test_long_equal_parts_are_shortened() -> None:
    same = " ".join(f"w{n}" for n in range(100))
    assert difference(same, same).plain == "w0 w1 w2 w3 w4 w5 ... w94 w95 w96 w97 w98 w99 "


words = st.lists(st.sampled_from(["a", "b", "c"]), max_size=8).map(" ".join)


@given(words, words)
def test_nothing_is_marked_in_equal_texts_only(kept: str, copy: str) -> None:
    shown = difference(kept, copy).plain
    assert ("-" in shown or "+" in shown) == (kept != copy)


def test_the_clusters_of_a_run(tmp_path: Path) -> None:
    texts = [article(1), article(1).replace("old", "ancient", 1), article(2)]
    lines = [json.dumps({"url": f"https://example.org/{n}", "text": text}) for n, text in enumerate(texts)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    config = web.configure(None, [str(tmp_path / "in.jsonl")])
    web.run(config, str(tmp_path / "out"), RunnerSettings(workers=0))
    result = CliRunner().invoke(main, ["inspect", "duplicates", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert "2 documents" in result.output
    assert "ancient" in result.output
    assert "similarity 0." in result.output


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_that_is_no_result(tmp_path: Path, folder: str) -> None:
    result = CliRunner().invoke(main, ["inspect", "duplicates", str(tmp_path / folder)])
    assert result.exit_code == 2
    assert "is not there" in result.output
