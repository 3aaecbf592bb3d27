"""The n-gram model and the classifier on real texts: user CPU for each kB, with the plain-Python model in the same run.

    python -m tests.bench.bench_ngram_lm [--documents 300] [--order 3] [--runs 5] [--model quality-model-folder]

Trains on half of the pages' main texts in memory (nothing is kept) and scores the other half. The plain-Python statement scores
the first few documents; the log-probabilities must agree. `words` is the word index alone, which all measures share."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from filters.classifier import ClassifierSettings, ModelError, load_classifier
from filters.words import index_words
from pipeline.quality.language_model import LanguageModelTraining, train_model
from tests.acceptance import quality_peer as peer
from tests.filters.ngram_reference import ReferenceModel

PLAIN_TRAINING, PLAIN_SCORING = 40, 10
"""Documents that the plain-Python model learns from and scores: it is slow."""


def user_seconds(run: Callable[[], Any]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - before


def median(run: Callable[[], Any], runs: int, repeats: int) -> float:
    run()
    return statistics.median(
        user_seconds(lambda: [run() for _ in range(repeats)]) / repeats for _ in range(runs)
    )


def disagreement(texts: list[str], order: int) -> tuple[float, float, float]:
    """Largest difference in nats per token, and seconds of the plain statement and of ours, on a small model."""
    train, test = texts[:PLAIN_TRAINING], texts[-PLAIN_SCORING:]
    reference = ReferenceModel(train, order, 2, 2)
    model = train_model(
        lambda: [pa.array(train, pa.large_string())],
        LanguageModelTraining(order=order, min_words=2, min_ngrams=2),
    )
    column = pa.array(test, pa.large_string())
    begin = time.process_time()
    plain = [reference.score(text) for text in test]
    plain_seconds = time.process_time() - begin
    ours_seconds = median(lambda: model.score(index_words(column)), 5, 20)
    scores = model.score(index_words(column))
    gaps = [
        abs(total - scores.totals[row] * 2.0**-20) / max(tokens, 1)
        for row, (total, tokens, _) in enumerate(plain)
    ]
    assert [tokens for _, tokens, _ in plain] == scores.tokens.tolist()
    return max(gaps), plain_seconds, ours_seconds


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model")
    options = parser.parse_args()
    texts = peer.real_texts()
    texts = texts[:: max(1, len(texts) // options.documents)][: options.documents]
    train, test = pa.array(texts[0::2], pa.large_string()), pa.array(texts[1::2], pa.large_string())
    size = sum(len(text.encode()) for text in texts[1::2]) / 1000
    repeats = max(1, int(20_000 / size))
    begin = time.process_time()
    model = train_model(lambda: [train], LanguageModelTraining(order=options.order))
    training = time.process_time() - begin
    words = index_words(test)
    seconds = {
        "words": median(lambda: index_words(test), options.runs, repeats),
        "perplexity": median(lambda: model.score(words), options.runs, repeats),
    }
    try:
        classifier = load_classifier(ClassifierSettings(model=options.model))
        seconds["classifier"] = median(lambda: classifier.score(test), options.runs, 1)
    except ModelError as error:
        print(error, file=sys.stderr)
    gap, plain, ours = disagreement(texts, options.order)
    figures = {
        "documents": len(test),
        "kilobytes": round(size),
        "order": options.order,
        "ngrams": model.about.facts["entries"],
        "training_cpu_seconds": round(training, 2),
        "microseconds_per_kilobyte": {name: round(value / size * 1e6, 2) for name, value in seconds.items()},
        "times_plain_python": round(plain / ours),
        "largest_difference_nats_per_token": gap,
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
