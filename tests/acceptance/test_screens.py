"""Language, safety and personal identifiers on real pages and on the labelled sets of /work/shared/data.

Every floor is what was measured on 2026-11-22, rounded towards the worse; docs/screens.md has the figures.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from filters.language import identify, language
from filters.pii import find_spans, redact
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


# --- personal identifiers ---

LABELS = {
    "email": "EMAIL",
    "phone": "PHONE",
    "ip": "IP",
    "credit_card": "CREDIT_CARD",
    "iban": "IBAN",
    "us_ssn": "SSN",
}

FLOORS = {
    "email": (1.0, 0.99),
    "phone": (0.98, 0.92),
    "ip": (1.0, 1.0),
    "credit_card": (1.0, 0.99),
    "iban": (1.0, 0.94),
    "us_ssn": (1.0, 0.92),
}


@cache
def marked() -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Synthetic sentences with their spans; private addresses are not identifiers (filters/pii.py)."""
    rows = [
        json.loads(line) for line in (DATA / "pii" / "pii_dev.jsonl").read_text("utf-8").split("\n") if line
    ]
    return [
        (
            row["text"],
            [
                (start, end, label)
                for start, end, label in row["spans"]
                if label != "IP" or ipaddress.ip_address(row["text"][start:end]).is_global
            ],
        )
        for row in rows
    ]


@cache
def detected() -> list[list[tuple[int, int, str]]]:
    return [[(s.start, s.end, LABELS[s.type]) for s in find_spans(text)] for text, _ in marked()]


@pytest.mark.parametrize("kind", FLOORS)
def test_precision_and_recall_of_each_type(kind):
    """A span is right that shares characters with one of its type, as in research/models.md."""
    right = wrong = found = missed = 0
    for (_, gold), spans in zip(marked(), detected(), strict=True):
        wanted = [span[:2] for span in gold if span[2] == LABELS[kind]]
        given = [span[:2] for span in spans if span[2] == LABELS[kind]]
        hits = sum(any(a < d and c < b for c, d in wanted) for a, b in given)
        right, wrong = right + hits, wrong + len(given) - hits
        hits = sum(any(a < d and c < b for c, d in given) for a, b in wanted)
        found, missed = found + hits, missed + len(wanted) - hits
    precision, recall = FLOORS[kind]
    assert right / (right + wrong) >= precision
    assert found / (found + missed) >= recall


def test_most_spans_are_exact():
    exact = sum(span in gold for (_, gold), spans in zip(marked(), detected(), strict=True) for span in spans)
    assert exact / sum(map(len, detected())) >= 0.99


def test_identifiers_on_real_pages():
    """Of what is found on these pages all 168 were read: each is an address or a phone number."""
    edited, columns = redact(pages()["text"])
    totals = {name: sum(column.to_pylist()) for name, column in columns.items() if name != "pii.density"}
    assert totals == {
        "pii.email": 47,
        "pii.phone": 121,
        "pii.ip": 0,
        "pii.credit_card": 0,
        "pii.iban": 0,
        "pii.us_ssn": 0,
    }
    assert len(edited) == pages().num_rows
    changed = [a != b for a, b in zip(edited.to_pylist(), pages()["text"].to_pylist(), strict=True)]
    assert sum(changed) == np.count_nonzero(columns["pii.density"].to_numpy())
