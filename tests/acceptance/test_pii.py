"""Personal identifiers against presidio's stock engine, on the marked sentences and the real pages.

Every floor is what was measured on 2026-11-22, rounded towards the worse; docs/screens.md has the figures.
"""

from __future__ import annotations

import ipaddress
from functools import cache

import pyarrow as pa
import pytest

from filters.pii import PATTERN_TYPES, PiiSettings, Span, redact
from filters.pii_candidates import find_candidates
from tests.bench import bench_pii as bench

DATA = bench.SHARED / "data" / "pii"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}: set CORPUSMILL_SHARED")

FLOORS = {
    "email": (1.0, 0.99),
    "phone": (0.98, 0.93),
    "ip": (1.0, 1.0),
    "credit_card": (1.0, 0.99),
    "iban": (1.0, 0.94),
    "us_ssn": (1.0, 0.92),
    "bank_account": (0.75, 0.6),
}


@cache
def sentences() -> tuple[list[str], bench.Spans]:
    """The texts and their marked spans, private addresses apart: they are none of ours."""
    rows = bench.read(DATA / "pii_dev.jsonl")
    gold = [
        [
            Span(start, end, bench.GOLD[kind])
            for start, end, kind in row["spans"]
            if kind in bench.GOLD and (kind != "IP" or ipaddress.ip_address(row["text"][start:end]).is_global)
        ]
        for row in rows
    ]
    return [row["text"] for row in rows], gold


@cache
def found_by(which: str) -> bench.Spans:
    texts = sentences()[0]
    return bench.ours(pa.array(texts, pa.large_string())) if which == "ours" else bench.engine()(texts)


def score(which: str, kind: str) -> tuple[float, float]:
    text = bench.scores(sentences()[1], found_by(which)).get(kind, "0 / 0")
    precision, recall = map(float, text.split(" / "))
    return precision, recall


@pytest.mark.parametrize("kind", FLOORS)
def test_precision_and_recall_of_each_type(kind):
    """A span is right that shares characters with one of its type, as in research/models.md."""
    precision, recall = score("ours", kind)
    assert precision >= FLOORS[kind][0]
    assert recall >= FLOORS[kind][1]


@pytest.mark.parametrize("kind", FLOORS)
def test_the_stock_engine_is_no_better_at_any_type(kind):
    ours, theirs = score("ours", kind), score("presidio", kind)
    # The engine finds the private address too, which is not marked here.
    assert ours[0] >= theirs[0] or kind == "ip"
    assert ours[1] >= theirs[1]


def test_most_spans_are_exact():
    exact = sum(
        span in gold
        for gold, spans in zip(sentences()[1], found_by("ours"), strict=True)
        for span in spans
        if span.type != "bank_account"
    )
    assert exact / sum(span.type != "bank_account" for spans in found_by("ours") for span in spans) >= 0.99


@cache
def pages() -> pa.Array:
    rows = bench.read(bench.SHARED / "data" / "pages" / "gold.dev.jsonl")
    return pa.array([row["text"] for row in rows if row["text"]], pa.large_string())


def test_identifiers_on_real_pages():
    """Of what is found on these pages all 168 were read: each is an address or a phone number."""
    edited, columns = redact(pages())
    totals = {kind: sum(columns[f"pii.{kind}"].to_pylist()) for kind in PATTERN_TYPES}
    assert totals == {**dict.fromkeys(PATTERN_TYPES, 0), "email": 47, "phone": 121}
    changed = [a != b for a, b in zip(edited.to_pylist(), pages().to_pylist(), strict=True)]
    assert sum(changed) == sum(density > 0 for density in columns["pii.density"].to_pylist())


def test_most_pages_cost_the_scan_alone():
    assert len(set(find_candidates(pages())[:, 0].tolist())) <= 0.25 * len(pages())


def test_nothing_found_is_left_in_the_text():
    edited, _ = redact(pages())
    again, columns = redact(edited)
    assert sum(sum(columns[f"pii.{kind}"].to_pylist()) for kind in PATTERN_TYPES) == 0
    assert again == edited
    assert PiiSettings().types == PATTERN_TYPES
