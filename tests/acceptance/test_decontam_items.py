"""Items of real benchmarks planted into real pages are found however they are written; the pages are not."""

from __future__ import annotations

import gzip
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from decontam.build import build_index
from decontam.ngrams import NgramIndex
from decontam.scan import scan
from decontam.settings import DecontaminationSettings
from filters.words import index_words, split_words
from tests.decontam.reference import item_ngrams

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[2].parent / "shared"))
BENCHMARKS = SHARED / "data" / "benchmarks"
PAGES = SHARED / "data" / "pages" / "gold.dev.jsonl"

pytestmark = pytest.mark.skipif(
    not (BENCHMARKS / "index.tsv").is_file() or not PAGES.is_file(),
    reason=f"needs the real data under {SHARED}",
)

# English science, mathematics, code and questions of a few words; Chinese, Japanese, Thai and Russian texts.
KEYS = (
    "arc/challenge",
    "gsm8k/main",
    "humaneval",
    "mmlu/college_chemistry",
    "truthfulqa/generation",
    "agieval/gaokao_history",
    "mgsm/ja",
    "mgsm/th",
    "mgsm/ru",
    "cmmlu/anatomy",
    "blimp/transitive",
)


def without_punctuation(text: str) -> str:
    """Punctuation and symbols as spaces, apostrophes kept: a don't stays one word."""
    return "".join(
        " " if unicodedata.category(each)[0] in "PS" and each not in "'’" else each for each in text
    )


EDITS: dict[str, Callable[[str], str]] = {
    "verbatim": str,
    "re-wrapped": lambda text: re.sub(r"\s+", "\n", text),
    "one line": lambda text: " ".join(text.split()),
    "upper case": str.upper,
    "without punctuation": without_punctuation,
}


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for line in content.split(b"\n"):
        if line:
            yield json.loads(line)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> NgramIndex:
    entries = [{"key": key, "prompt": ["text"]} for key in KEYS]
    path = tmp_path_factory.mktemp("registry") / "benchmarks.yaml"
    path.write_text(yaml.safe_dump({"benchmarks": entries}))
    return build_index(DecontaminationSettings(benchmarks=str(path), benchmark_root=str(BENCHMARKS)))


@pytest.fixture(scope="module")
def items() -> list[str]:
    files = [BENCHMARKS / f"{key.replace('/', '__')}.jsonl.gz" for key in KEYS]
    return [row["text"] for file in files for row in rows_of(file)]


@pytest.fixture(scope="module")
def wanted(index: NgramIndex, items: list[str]) -> list[set[int]]:
    """The n-gram ids of every item, by the plain statement of the rule."""
    ids = {index.explain(ngram).words: ngram for ngram in range(index.size)}
    return [{ids[gram] for gram in item_ngrams([item], 4, 13)} for item in items]


@pytest.fixture(scope="module")
def pages() -> list[str]:
    return [row["text"] for row in rows_of(PAGES) if row["text"]]


@pytest.mark.parametrize("edit", EDITS)
def test_every_item_of_four_words_or_more_is_found(
    index: NgramIndex, items: list[str], wanted: list[set[int]], pages: list[str], edit: str
) -> None:
    planted = [plant(EDITS[edit](item), pages[number % len(pages)]) for number, item in enumerate(items)]
    hits = scan(index_words(pa.array(planted, pa.large_string())), index).to_pylist()
    lost = [item for item, ids, found in zip(items, wanted, hits, strict=True) if not ids <= set(found)]
    assert not lost


def test_every_item_of_four_words_or_more_has_ngrams(
    index: NgramIndex, items: list[str], wanted: list[set[int]]
) -> None:
    matchable = [item for item, ids in zip(items, wanted, strict=True) if ids]
    assert matchable == [item for item in items if len(split_words(item)) >= 4]
    assert sum(benchmark.matchable for benchmark in index.header.benchmarks) == len(matchable) > 4900


def plant(item: str, page: str) -> str:
    """The item between the lines of a page's first 2,000 characters."""
    lines = page[:2000].split("\n")
    middle = len(lines) // 2
    return "\n".join([*lines[:middle], item, *lines[middle:]])


def test_hardly_any_page_is_hit(index: NgramIndex, pages: list[str]) -> None:
    hits = scan(index_words(pa.array(pages, pa.large_string())), index).to_pylist()
    hit = [{index.explain(ngram).words for ngram in found} for found in hits if found]
    assert len(hit) <= len(pages) // 100, hit  # ordinary pages: 0.1 to 0.5 % (research/benchmarks.md)
