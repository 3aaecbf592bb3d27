"""811.yaml against the table it is made from and the real benchmark files."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from decontam.registry import BenchmarkItems, Source, load_registry, read_benchmark, resolve
from decontam.settings import PARTS, DecontaminationSettings
from filters.words import split_words
from scripts.make_811 import registry

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[2].parent / "shared"))
TABLE = SHARED / "data" / "811.tsv"
BENCHMARKS = SHARED / "data" / "benchmarks"

needs_table = pytest.mark.skipif(not TABLE.is_file(), reason=f"needs the table {TABLE}")
needs_files = pytest.mark.skipif(
    not (BENCHMARKS / "index.tsv").is_file(), reason=f"needs the real benchmarks under {BENCHMARKS}"
)


@needs_table
def test_the_yaml_is_what_the_script_makes_of_the_table() -> None:
    # Not `==` inside assert: the difference of two long texts would take minutes to print.
    is_current = Path(resolve("811.yaml")).read_text(encoding="utf-8") == registry(TABLE)
    assert is_current, f"811.yaml is out of date: run `.venv/bin/python scripts/make_811.py {TABLE}`"


@needs_table
def test_every_row_of_the_table_is_an_entry_in_order() -> None:
    rows = TABLE.read_text(encoding="utf-8").split("\n")[1:]
    keys = [row.split("\t")[0] for row in rows if row]
    lines = Path(resolve("811.yaml")).read_text(encoding="utf-8").split("\n")
    assert [line[len("- {key: ") :].split(",")[0] for line in lines if line.startswith("- {key: ")] == keys


def stored_rows(path: str) -> Iterator[dict[str, Any]]:
    yield from (json.loads(line) for line in gzip.decompress(Path(path).read_bytes()).split(b"\n") if line)


@pytest.fixture(scope="module")
def loaded() -> list[tuple[Source, BenchmarkItems]]:
    settings = DecontaminationSettings(
        benchmarks="811.yaml", benchmark_root=str(BENCHMARKS), allow_missing=True
    )
    found = load_registry(settings)
    assert len(found.sources) + len(found.missing) == 811
    return [(source, read_benchmark(source, PARTS)) for source in found.sources]


@needs_files
def test_every_file_that_the_table_names_is_found_and_read(
    loaded: list[tuple[Source, BenchmarkItems]],
) -> None:
    found = {Path(source.path).name for source, _ in loaded}
    named = {line.split("\t")[-1] for line in TABLE.read_text(encoding="utf-8").split("\n")[1:] if line}
    assert found == {path.name for path in BENCHMARKS.glob("*.gz")} & named
    assert len(found) == len(loaded)
    assert all(read.items and read.columns["prompt"] for _, read in loaded)


@needs_files
def test_no_word_of_the_prompt_side_is_lost(loaded: list[tuple[Source, BenchmarkItems]]) -> None:
    """A normalised row's `text` is its whole prompt side: each of its words is in a prompt or passage of the item."""
    lost = []
    for source, read in loaded:
        for row, item in list(zip(stored_rows(source.path), read.items, strict=True))[::23]:
            texts = (text for part, text in item.fields if part in ("prompt", "passage"))
            if not set(split_words(row["text"])) <= {word for text in texts for word in split_words(text)}:
                lost.append(item.id)
    assert lost == []


@needs_files
def test_every_item_has_a_prompt(loaded: list[tuple[Source, BenchmarkItems]]) -> None:
    without = {
        source.benchmark.key
        for source, read in loaded
        for item in read.items
        if not any(part == "prompt" and text.strip() for part, text in item.fields)
    }
    assert without == set()
