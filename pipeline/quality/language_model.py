"""Train a word n-gram model: count n-grams of the word index, estimate by modified Kneser-Ney, write the model's folder.

Interpolated Kneser-Ney with three discounts for each length (Chen and Goodman 1999, section 3), as KenLM does it
(Heafield et al. 2013): the lengths below the highest count the different words before an n-gram, not its occurrences,
unless it begins a line. Rare n-grams are left out of the model, but stay in the sums, so probabilities still add up
to 1 for every context. The vocabulary is closed: rarer words than `min_words` are one word, unknown.

Counting holds 33 bytes in memory for each different n-gram of a length, all lengths at once.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, Field

from filters import _ngram_kernels as kernels
from filters.ngram_lm import MODEL_JSON, TABLE_FILE, LanguageModel, NgramModel, Scores, make_table
from filters.words import WordIndex, index_words
from pipeline import storage
from pipeline.errors import UserError
from pipeline.quality.corpus import Corpus, unit_hashes

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Texts = Callable[[], Iterable[pa.Array]]
"""Gives the texts of a corpus, batch by batch; called once for each pass."""

_PENDING = 1 << 22
"""N-grams that wait before they are merged with the others."""
_USUAL_DISCOUNTS = (0.5, 1.0, 1.5)
"""KenLM's, where a corpus is too small or too odd to estimate them."""


HELD_OUT = 0.05
"""Share of the documents that judge the model where no others are given."""


class LanguageModelTraining(BaseModel, frozen=True, extra="forbid"):
    """How a language model is trained. CCNet's has order 5 over sentence pieces; over words, 3 is what a gigabyte of
    text can fill.
    """

    order: int = Field(default=3, ge=1, le=kernels.MOST_ORDER)
    min_words: int = Field(default=2, ge=1)
    """Words seen less often are unknown words."""
    min_ngrams: int = Field(default=2, ge=1)
    """N-grams of three words and more that are seen less often are left out."""


@dataclass(frozen=True, eq=False)
class Counted:
    """The different n-grams of one length, by key, ascending."""

    keys: Hashes
    counts: Ints
    contexts: Hashes
    """The key of the first n-1 words."""
    suffixes: Hashes
    """The key of the last n-1 words."""
    begins: npt.NDArray[np.bool_]
    """Whether it begins a line."""


class _Counter:
    """Adds up n-grams, merging now and then."""

    def __init__(self) -> None:
        self._parts: list[Counted] = []
        self._waiting = 0

    def add(self, part: Counted) -> None:
        self._parts.append(part)
        self._waiting += len(part.keys)
        if self._waiting > _PENDING and self._waiting > len(self._parts[0].keys):
            self._parts, self._waiting = [self.total()], 0

    def total(self) -> Counted:
        if not self._parts:
            nothing = np.zeros(0, np.uint64)
            return Counted(nothing, np.zeros(0, np.int64), nothing, nothing, np.zeros(0, bool))
        names = ("keys", "counts", "contexts", "suffixes", "begins")
        keys, counts, *others = (
            np.concatenate([getattr(part, name) for part in self._parts]) for name in names
        )
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, np.int64)
        sums = np.add.reduceat(counts[order], first) if len(first) else counts
        return Counted(keys[first], sums, *(values[order][first] for values in others))


def count_words(indexes: Iterable[WordIndex], min_words: int) -> Hashes:
    """The hashes of words that occur often enough, ascending."""
    counter = _Counter()
    for words in indexes:
        keys, counts = np.unique(words.hashes, return_counts=True)
        counter.add(Counted(keys, counts, keys, keys, np.zeros(len(keys), bool)))
    total = counter.total()
    return total.keys[total.counts >= min_words]


def count_ngrams(indexes: Iterable[WordIndex], vocabulary: Hashes, order: int) -> list[Counted]:
    """The n-grams of each length up to `order`, other words than the vocabulary's being unknown ones."""
    counters = [_Counter() for _ in range(order)]
    for index in indexes:
        words = _known_words(index.hashes, vocabulary)
        for length, counter in enumerate(counters, 1):
            size = int(kernels.count_ngrams(index.line_words, length))
            keys, contexts, suffixes = (np.empty(size, np.uint64) for _ in range(3))
            begins = np.empty(size, bool)
            kernels.list_ngrams(index.line_words, words, length, keys, contexts, suffixes, begins)
            keys, first, counts = np.unique(keys, return_index=True, return_counts=True)
            counter.add(Counted(keys, counts, contexts[first], suffixes[first], begins[first]))
    return [counter.total() for counter in counters]


def _known_words(hashes: Hashes, vocabulary: Hashes) -> Hashes:
    if not len(vocabulary):
        return np.full(len(hashes), kernels.UNKNOWN)
    at = np.minimum(np.searchsorted(vocabulary, hashes), len(vocabulary) - 1)
    return np.where(vocabulary[at] == hashes, hashes, kernels.UNKNOWN)


def estimate(counted: list[Counted], min_ngrams: int) -> tuple[Hashes, Floats, Floats]:
    """Keys, natural logarithms of probability and of backoff weight of all n-grams of the model.

    Args:
        counted: the n-grams of each length, from 1.
        min_ngrams: occurrences below which an n-gram of three words and more is left out.
    """
    counted = [_with_unknown(counted[0]), *counted[1:]]
    keys, probabilities, backoffs = [], [], []
    shorter: tuple[Hashes, Floats] = (np.array([kernels.START]), np.array([1.0 / len(counted[0].keys)]))
    for length, grams in enumerate(counted, 1):
        adjusted = _adjusted(grams, counted[length] if length < len(counted) else None)
        kept = grams.counts >= min_ngrams if length > 2 else np.ones(len(grams.keys), bool)
        own, contexts, weights = _discounted(grams, adjusted, kept)
        smoothed = own[kept] + _look_up(grams.contexts[kept], contexts, weights, 1.0) * _look_up(
            grams.suffixes[kept], *shorter, np.nan
        )
        keys.append(grams.keys[kept])
        probabilities.append(smoothed)
        # The weights belong to the n-grams one word shorter; the beginning mark is among them, but never predicted.
        if length == 2:
            begin = kernels.step(kernels.START, kernels.BEGIN)
            keys[0] = np.append(keys[0], np.uint64(begin))
            probabilities[0] = np.append(probabilities[0], 0.0)
        if length > 1:
            backoffs.append(_look_up(keys[length - 2], contexts, weights, 1.0))
        shorter = (grams.keys[kept], smoothed)
    backoffs.append(np.ones(len(keys[-1])))
    with np.errstate(divide="ignore"):
        return np.concatenate(keys), np.log(np.concatenate(probabilities)), np.log(np.concatenate(backoffs))


def _with_unknown(words: Counted) -> Counted:
    """The single words, the unknown one among them, also if it was never seen."""
    unknown = np.uint64(kernels.step(kernels.START, kernels.UNKNOWN))
    if np.any(words.keys == unknown):
        return words
    at = int(np.searchsorted(words.keys, unknown))
    return Counted(
        keys=np.insert(words.keys, at, unknown),
        counts=np.insert(words.counts, at, 0),
        contexts=np.insert(words.contexts, at, kernels.START),
        suffixes=np.insert(words.suffixes, at, kernels.START),
        begins=np.insert(words.begins, at, False),
    )


def _adjusted(grams: Counted, longer: Counted | None) -> Ints:
    """Kneser-Ney's counts: of different words before an n-gram; of occurrences for the longest and at a line's begin."""
    if longer is None:
        return grams.counts
    before = np.zeros(len(grams.keys), np.int64)
    keys, counts = np.unique(longer.suffixes, return_counts=True)
    at = np.searchsorted(grams.keys, keys)
    before[at] = counts
    return np.where(grams.begins, grams.counts, before)


def _discounted(grams: Counted, adjusted: Ints, kept: npt.NDArray[np.bool_]) -> tuple[Floats, Hashes, Floats]:
    """Each n-gram's discounted share of its context, the contexts, and what is left for shorter n-grams in each."""
    discounts = np.array([0.0, *discounts_of(adjusted)])
    lessened = adjusted - discounts[np.minimum(adjusted, 3)]
    contexts, inverse = np.unique(grams.contexts, return_inverse=True)
    totals = np.bincount(inverse, adjusted, len(contexts))
    given = np.bincount(inverse, np.where(kept, lessened, 0.0), len(contexts))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(totals[inverse] > 0, lessened / totals[inverse], 0.0)
        left = np.where(totals > 0, (totals - given) / totals, 1.0)
    return shares, contexts, left


def discounts_of(counts: Ints) -> tuple[float, float, float]:
    """What is taken from counts of 1, of 2, and of 3 and more (Chen and Goodman 1999, equation 26)."""
    n1, n2, n3, n4 = (int(np.sum(counts == count)) for count in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return _USUAL_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    # A discount outside these bounds would give negative probabilities, or none to shorter n-grams.
    usable = all(0 < discount < count for count, discount in enumerate(found, 1))
    return found if usable else _USUAL_DISCOUNTS


def _look_up(asked: Hashes, keys: Hashes, values: Floats, missing: float) -> Floats:
    """The values of keys (ascending), `missing` where a key is not there."""
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    found: Floats = np.where(keys[at] == asked, values[at], missing)
    return found


def train_model(texts: Texts, settings: LanguageModelTraining) -> NgramModel:
    """Count and estimate; two passes over the texts.

    Raises:
        UserError: when the texts hold no words.
    """

    def indexes() -> Iterator[WordIndex]:
        return (index_words(batch) for batch in texts())

    vocabulary = count_words(indexes(), settings.min_words)
    counted = count_ngrams(indexes(), vocabulary, settings.order)
    if not len(counted[0].keys):
        raise UserError("train-lm: the texts hold no words.")
    keys, probabilities, backoffs = estimate(counted, settings.min_ngrams)
    table = make_table(keys, probabilities, backoffs)
    facts: dict[str, Any] = {
        "settings": settings.model_dump(),
        "vocabulary": len(vocabulary),
        "tokens": int(counted[0].counts.sum()),
        "different_ngrams": [len(grams.keys) for grams in counted],
        "entries": len(keys),
    }
    about = LanguageModel(order=settings.order, sha256="0" * 64, facts=facts)
    return NgramModel(about, table)


def judge_model(model: NgramModel, texts: Iterable[pa.Array]) -> tuple[Scores, LanguageModel]:
    """Scores of reference documents, and the model's description with their perplexity and cuts at thirds of them.

    Raises:
        UserError: when no document has words.
    """
    parts = [model.score(index_words(batch)) for batch in texts]
    scores = Scores(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("totals", "tokens", "unknown"))
    )
    values = scores.perplexity[scores.tokens > 0]
    if not len(values):
        raise UserError("train-lm: the reference documents hold no words.")
    # CCNet cuts its corpora into three equal parts. Stored as the column holds it, so that a bound is met exactly.
    head, tail = (
        float(np.float32(cut)) for cut in np.quantile(values, [1 / 3, 2 / 3], method="inverted_cdf")
    )
    whole = Scores(*(np.array([getattr(scores, name).sum()]) for name in ("totals", "tokens", "unknown")))
    facts = model.about.facts | {
        "reference": {
            "documents": len(values),
            "tokens": int(whole.tokens[0]),
            "perplexity": float(whole.perplexity[0]),
            "unknown_words": int(whole.unknown[0]),
        }
    }
    return scores, model.about.model_copy(update={"head": head, "tail": tail, "facts": facts})


def write_model(output: str, model: NgramModel) -> LanguageModel:
    """Write a model's folder; model.json comes last, so that a folder that has it is whole."""
    storage.make_folder(output)
    content = io.BytesIO()
    np.save(content, model.table, allow_pickle=False)
    raw = content.getvalue()
    about = model.about.model_copy(update={"sha256": hashlib.sha256(raw).hexdigest()})
    storage.write_bytes(storage.join(output, TABLE_FILE), raw)
    described = json.dumps(about.model_dump(), indent=1, sort_keys=True)
    storage.write_bytes(storage.join(output, MODEL_JSON), described.encode() + b"\n")
    return about


def train_and_write(
    corpus: Corpus, reference: Corpus | None, output: str, settings: LanguageModelTraining
) -> LanguageModel:
    """Train on a corpus, judge on another (or on a held-out part of it, drawn by a hash of the ids), write the folder.

    Raises:
        UserError: when either holds no words.
    """

    def texts(held_out: bool) -> Iterator[pa.Array]:
        for batch in corpus.batches():
            chosen = (unit_hashes(batch["id"].to_pylist(), "held out") < HELD_OUT) == held_out
            yield batch["text"] if reference is not None else batch["text"].filter(pa.array(chosen))

    model = train_model(lambda: texts(False), settings)
    judges = (batch["text"] for batch in reference.batches()) if reference is not None else texts(True)
    _, about = judge_model(model, judges)
    return write_model(output, NgramModel(about, model.table))
