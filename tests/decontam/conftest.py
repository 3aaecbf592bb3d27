from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from decontam.build import build_index
from decontam.ngrams import NgramIndex
from decontam.settings import DecontaminationSettings

Write = Callable[..., str]
Gram = tuple[str, ...]


def write_registry(folder: Path, benchmarks: dict[str, Sequence[Any]], **entry: Any) -> str:
    """A registry of JSONL benchmarks in a folder: each a list of prompts (strings), or of rows (dicts)."""
    listed = []
    for key, rows in benchmarks.items():
        name = f"{key.replace('/', '__')}.jsonl"
        lines = [json.dumps(row if isinstance(row, dict) else {"question": row}) for row in rows]
        (folder / name).write_text("\n".join(lines) + "\n")
        listed.append({"key": key, "file": name, "prompt": ["question"], **entry})
    path = folder / "benchmarks.yaml"
    path.write_text(yaml.safe_dump({"benchmarks": listed}))
    return str(path)


def index_of(folder: Path, prompts: Sequence[Any], **settings: Any) -> NgramIndex:
    """The index of one benchmark `toy` with these prompts."""
    path = write_registry(folder, {"toy": prompts})
    return build_index(DecontaminationSettings(benchmarks=path, **settings))


def ids_of(index: NgramIndex) -> np.ndarray:
    """All n-gram ids of an index, ascending: the `permitted` bits of its rows."""
    rows = np.repeat(index.tables.rows, 10)
    numbers = np.arange(len(rows), dtype=np.uint32)
    return numbers[(rows >> (numbers % 10).astype(np.uint64)) & np.uint64(1) == 1]


def grams_of(index: NgramIndex) -> dict[Gram, int]:
    """All n-grams of an index and their ids."""
    ids = ids_of(index)
    words = index.describe(ids).column("words").to_pylist()
    grams = {tuple(text.split(" ")): int(ngram) for text, ngram in zip(words, ids, strict=True)}
    assert len(grams) == len(ids)
    return grams


def item_grams_of(index: NgramIndex) -> set[str]:
    """The n-grams of the rule `item`, with a space between words."""
    ids = ids_of(index)
    return set(index.describe(ids[index.is_item(ids)]).column("words").to_pylist())


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all examples of a property test may write into."""
    return tmp_path_factory.mktemp("decontam")
