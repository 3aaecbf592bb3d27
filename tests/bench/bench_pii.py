"""Personal identifiers: presidio's stock engine and ours on the same texts, in one run.

    python -m tests.bench.bench_pii [--pages 250] [--runs 3] [--skip-engine]

The stock engine is `AnalyzerEngine` with presidio's own recognisers for English and no language model
(`NoOpNlpEngine`: patterns only), at a score of at least .4; its spans of the types that ours looks for are
compared with ours. Ours is `spans_of` on an Arrow column. User CPU, warm, median of the runs, which take
turns. `scan` is the kernel alone; `recognisers` is the share of our time inside presidio and what it calls.
On the synthetic sentences both are scored: a span is right that shares characters with one of its type."""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from filters import pii_recognisers
from filters.pii import PATTERN_TYPES, PiiSettings, Span, spans_of
from filters.pii_candidates import find_candidates

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[3] / "shared"))
ENTITIES = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "IP_ADDRESS": "ip",
    "CREDIT_CARD": "credit_card",
    "IBAN_CODE": "iban",
    "US_SSN": "us_ssn",
    "US_BANK_NUMBER": "bank_account",
    "CRYPTO": "crypto",
}
GOLD = {
    "EMAIL": "email",
    "PHONE": "phone",
    "IP": "ip",
    "CREDIT_CARD": "credit_card",
    "IBAN": "iban",
    "SSN": "us_ssn",
    "BANK_ACCOUNT": "bank_account",
}

Spans = list[list[Span]]


def engine() -> Callable[[Sequence[str]], Spans]:
    """presidio as it comes, patterns only."""
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    # No network, as in a job; the default extractor would try to fetch its list.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    tldextract.extract = tldextract.tldextract.TLD_EXTRACTOR
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    patterns_only = NoOpNlpEngine([{"lang_code": "en", "model_name": "no_op"}])
    patterns_only.load()
    analyzer = AnalyzerEngine(
        registry=registry, nlp_engine=patterns_only, supported_languages=["en"], default_score_threshold=0.4
    )

    def run(texts: Sequence[str]) -> Spans:
        return [
            [
                Span(found.start, found.end, ENTITIES[found.entity_type])
                for found in analyzer.analyze(text, language="en")
                if found.entity_type in ENTITIES
            ]
            for text in texts
        ]

    return run


def ours(texts: pa.Array) -> Spans:
    """All our types with a shape."""
    found = spans_of(texts, PiiSettings())
    return [found[row][1] if row in found else [] for row in range(len(texts))]


def user_seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """User CPU of one call in this process, and its result."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    result = run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - before, result


def recogniser_seconds(texts: pa.Array) -> float:
    """User CPU that a run of ours spends inside presidio's recognisers."""
    total = 0.0
    made, phone = pii_recognisers.recognisers(), pii_recognisers.phone_recogniser

    def timed(recogniser: Callable[[str], Any]) -> Callable[[str], Any]:
        def run(text: str) -> Any:
            nonlocal total
            seconds, result = user_seconds(lambda: recogniser(text))
            total += seconds
            return result

        return run

    wrapped = {kind: timed(recogniser) for kind, recogniser in made.items()}
    try:
        pii_recognisers.recognisers = lambda: wrapped  # type: ignore[assignment]
        pii_recognisers.phone_recogniser = lambda region: timed(phone(region))  # type: ignore[assignment]
        ours(texts)
    finally:
        pii_recognisers.recognisers = lambda: made  # type: ignore[assignment]
        pii_recognisers.phone_recogniser = phone
    return total


def agreement(theirs: Spans, mine: Spans) -> dict[str, list[int]]:
    """By type: spans of the engine, of ours, and of ours that share characters with one of the engine's."""
    table = {kind: [0, 0, 0] for kind in PATTERN_TYPES}
    for a, b in zip(theirs, mine, strict=True):
        for span in a:
            table[span.type][0] += 1
        for span in b:
            table[span.type][1] += 1
            table[span.type][2] += any(overlaps(span, other) for other in a)
    return table


def overlaps(a: Span, b: Span) -> bool:
    """Whether two spans are of one type and share characters."""
    return a.type == b.type and a.start < b.end and b.start < a.end


def scores(gold: Spans, found: Spans) -> dict[str, str]:
    """Precision and recall of each type, as text."""
    counts: Counter[tuple[str, str]] = Counter()
    for wanted, given in zip(gold, found, strict=True):
        for span in given:
            counts[span.type, "given"] += 1
            counts[span.type, "right"] += any(overlaps(span, other) for other in wanted)
        for span in wanted:
            counts[span.type, "wanted"] += 1
            counts[span.type, "found"] += any(overlaps(span, other) for other in given)
    return {
        kind: f"{counts[kind, 'right'] / max(counts[kind, 'given'], 1):.3f} / "
        f"{counts[kind, 'found'] / max(counts[kind, 'wanted'], 1):.3f}"
        for kind in PATTERN_TYPES
        if counts[kind, "wanted"]
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def score_sentences(run_engine: Callable[[Sequence[str]], Spans] | None) -> None:
    """Both on the synthetic sentences."""
    rows = read(SHARED / "data" / "pii" / "pii_dev.jsonl")
    texts = [row["text"] for row in rows]
    gold = [[Span(a, b, GOLD[kind]) for a, b, kind in row["spans"] if kind in GOLD] for row in rows]
    mine = scores(gold, ours(pa.array(texts, pa.large_string())))
    theirs = scores(gold, run_engine(texts)) if run_engine else {}
    print(f"\n{'precision / recall':<14} {'presidio':>16} {'ours':>16}")
    for kind, score in mine.items():
        print(f"{kind:<18} {theirs.get(kind, '-'):>16} {score:>16}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=250)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--skip-engine", action="store_true")
    options = parser.parse_args()
    pages = [row["text"] for row in read(SHARED / "data" / "pages" / "gold.dev.jsonl") if row["text"]]
    # Every fourth page and so on: the sources of the set come one after the other.
    texts = pages[:: max(1, len(pages) // options.pages)]
    column = pa.array(texts, pa.large_string())
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    run_engine = None if options.skip_engine else engine()
    mine, theirs = ours(column), run_engine(texts[:5]) if run_engine else []
    seconds: dict[str, list[float]] = {"presidio": [], "ours": [], "scan": []}
    for _ in range(options.runs):
        if run_engine:
            taken, theirs = user_seconds(lambda: run_engine(texts))
            seconds["presidio"].append(taken)
        taken, mine = user_seconds(lambda: [ours(column) for _ in range(10)][-1])
        seconds["ours"].append(taken / 10)
        taken, _ = user_seconds(lambda: [find_candidates(column) for _ in range(50)])
        seconds["scan"].append(taken / 50)
    medians = {name: statistics.median(values) for name, values in seconds.items() if values}
    print(f"{len(texts)} pages, {megabytes:.2f} MB")
    for name, value in medians.items():
        print(f"{name:<10} {value:8.4f} s  {megabytes / value:9.2f} MB/s")
    print(f"recognisers: {recogniser_seconds(column) / medians['ours']:.0%} of our time")
    if run_engine:
        print(f"presidio takes {medians['presidio'] / medians['ours']:.1f} times our time")
        print(f"\n{'spans':<14} {'presidio':>9} {'ours':>6} {'ours in both':>13}")
        for kind, row in agreement(theirs, mine).items():
            print(f"{kind:<14} {row[0]:>9} {row[1]:>6} {row[2]:>13}")
    score_sentences(run_engine)


if __name__ == "__main__":
    main()
