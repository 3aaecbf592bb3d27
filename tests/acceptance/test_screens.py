"""Language, safety and personal identifiers on real pages and on the labelled sets of /work/shared/data.

Every floor is what was measured on 2026-11-22, rounded towards the worse; docs/screens.md has the figures.
"""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from filters.language import identify, language
from filters.safety import probabilities, profanity, toxicity
from filters.words import WordIndex, index_words

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[3] / "shared"))
DATA = SHARED / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no shared data at {DATA}: set CORPUSMILL_SHARED")


@cache
def pages() -> pa.RecordBatch:
    """The main text of 999 real pages."""
    lines = (DATA / "pages" / "gold.dev.jsonl").read_text("utf-8").split("\n")
    texts = [json.loads(line)["text"] for line in lines if line]
    return pa.record_batch({"text": pa.array([text for text in texts if text], pa.large_string())})


@cache
def words() -> WordIndex:
    return index_words(pages()["text"])


def benchmark(name: str) -> list[str]:
    with gzip.open(DATA / "benchmarks" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file.read().split("\n") if line]


# --- language ---


@pytest.mark.parametrize("code", ["bn", "de", "en", "es", "fr", "ja", "ru", "te", "th", "zh"])
def test_the_language_of_parallel_questions_is_identified(code):
    names, scores = identify(benchmark(f"mgsm__{code}"))
    sure = [n == code and s >= 0.65 for n, s in zip(names.to_pylist(), scores.to_pylist(), strict=True)]
    assert np.mean(sure) >= 0.99


def test_pages_are_mostly_english_and_sure_of_it():
    columns = language()(pages(), words())
    english = [
        name == "en" and score >= 0.65
        for name, score in zip(
            columns["language"].to_pylist(), columns["language_score"].to_pylist(), strict=True
        )
    ]
    assert 0.82 <= np.mean(english) <= 0.92


# --- safety ---


def test_few_real_pages_are_flagged():
    rates = profanity()(pages(), words())["safety.profanity_rate"].to_numpy()
    toxic = toxicity()(pages(), words())
    share, highest = (toxic[f"safety.toxic_{name}"].to_numpy() for name in ("share", "max"))
    # Of 999 pages, none of which is spam or abuse.
    assert np.sum(rates > 0) <= 17
    assert np.sum(rates > 5) <= 2
    assert np.sum(share > 0.25) <= 2
    assert np.sum(highest >= 0.5) <= 37
    assert np.sum(highest >= 0.95) <= 3


@pytest.mark.parametrize(
    "name", ["mmlu__clinical_knowledge", "mmlu__virology", "bbq__sexual_orientation", "xstest"]
)
def test_medicine_and_innocent_questions_have_no_profanity(name):
    docs = pa.record_batch({"text": pa.array(benchmark(name), pa.large_string())})
    columns = profanity()(docs, index_words(docs["text"]))
    assert columns["safety.profanity_words"].to_pylist() == [0] * docs.num_rows


def test_windows_by_our_words_agree_with_the_models_own_tokens():
    index, windows = words(), []
    for document in range(0, len(index), 4):
        first, last = index.word_offsets[document : document + 2]
        windows += [
            index.data[index.starts[start] : index.ends[start + 59]].tobytes().decode()
            for start in range(first, last - 60, 240)
        ]
    chunk = pa.record_batch({"text": pa.array(windows, pa.large_string())})
    ours = toxicity()(chunk, index_words(chunk["text"]))["safety.toxic_max"].to_numpy()
    own = probabilities(windows)
    assert len(windows) > 1000
    assert np.mean((ours >= 0.5) != (own >= 0.5)) <= 0.002
    assert np.mean(np.abs(ours - own)) <= 0.005
