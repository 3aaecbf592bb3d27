"""Profanity by a weighted word list, and toxicity by a linear model, both read off the word index.

Columns (one value per document, 0 for a document without words):
    safety.profanity_rate    severity-weighted hits of the word list per 1,000 words
    safety.profanity_words   how many distinct listed words were counted
    safety.toxic_max         highest probability of toxicity of any window of 60 words, 0 to 1
    safety.toxic_share       share of the windows whose probability is at least 0.5

The word list (data/profanity.tsv, from cuss, MIT) is that of the document's language, as the column
`language` of the chunk says; without it English is assumed, and a language without a list has no hits.
Weights: 2 and 1 count always. 0.5 marks words with a decent meaning too ("dick", "ass", "sex"): they count
only in company, in a document with at least two distinct words that count always. So a namesake, a medical
page or a page about sex education measures 0, and never does one listed word decide: rules bound a rate.

The model (data/toxicity.npz) is the linear SVM of alt-profanity-check (MIT). Whole documents dilute it, so it
scores windows. It reads words by our word rule instead of its own tokens: `probabilities` does it its own
way, and docs/screens.md has how far the two agree. It was trained on English comments: documents of other
languages measure 0. Neither it nor a list sees hate that is put politely.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit
from pydantic import BaseModel, Field

from filters.measures import Column, Columns, Measure, measure
from filters.words import index_words

if TYPE_CHECKING:
    from filters.words import WordIndex

_DATA = importlib.resources.files("filters") / "data"

WINDOW = 60
"""Words per window of the model: a post of a forum, a paragraph."""

COMPANY = 2
"""How many distinct words of weight 1 or more a document must have before its ambiguous words count."""

Floats = npt.NDArray[np.float64]


class SafetySettings(BaseModel, frozen=True, extra="forbid"):
    """Which words are listed, how long a window of the model is, and from where on a window counts as toxic.

    `word_list` is a path or URL (anything fsspec opens) of a table in the form of data/profanity.tsv, the
    default.
    """

    word_list: str | None = None
    window: int = Field(default=WINDOW, ge=1)
    """Words of a window that the model scores."""
    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability from which a window counts in `safety.toxic_share`."""


def profanity(settings: SafetySettings | None = None) -> Measure:
    """Make the measure of `safety.profanity_rate` and `safety.profanity_words`.

    Raises (when measuring):
        ValueError: the word list has another form.
    """
    chosen = settings or SafetySettings()

    @measure(
        Column("safety.profanity_rate", pa.float32(), "severity-weighted listed words per 1,000 words"),
        Column("safety.profanity_words", pa.int32(), "distinct listed words that were counted"),
    )
    def profanity_of(docs: pa.RecordBatch, words: WordIndex) -> Columns:
        listed = _word_list(chosen.word_list)
        rates = np.zeros(docs.num_rows, dtype=np.float32)
        distinct = np.zeros(docs.num_rows, dtype=np.int32)
        _count_listed(
            words.word_offsets,
            words.hashes,
            listed.table,
            listed.weights,
            _languages(docs, listed),
            rates,
            distinct,
        )
        return {"safety.profanity_rate": rates, "safety.profanity_words": distinct}

    return profanity_of


def toxicity(settings: SafetySettings | None = None) -> Measure:
    """Make the measure of `safety.toxic_max` and `safety.toxic_share`.

    Windows do not overlap, but for the last one, which ends with the document; a shorter document is one
    window.
    """
    chosen = settings or SafetySettings()

    @measure(
        Column("safety.toxic_max", pa.float32(), f"highest probability of toxicity of {chosen.window} words"),
        Column("safety.toxic_share", pa.float32(), f"share of such windows of at least {chosen.threshold:g}"),
    )
    def toxicity_of(docs: pa.RecordBatch, words: WordIndex) -> Columns:
        model = _model()
        highest = np.zeros(docs.num_rows, dtype=np.float32)
        share = np.zeros(docs.num_rows, dtype=np.float32)
        _score_windows(
            words.word_offsets,
            words.hashes,
            _english(docs),
            model.table,
            (model.idf, model.weights, model.calibration),
            chosen.window,
            chosen.threshold,
            highest,
            share,
        )
        return {"safety.toxic_max": highest, "safety.toxic_share": share}

    return toxicity_of


# --- hash tables ---

_Table = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]


def _make_table(hashes: npt.NDArray[np.uint64], values: npt.NDArray[np.int32]) -> _Table:
    """An open-addressing table from word hashes to numbers of 0 or more; the first of equal hashes stays."""
    slots = 1 << (2 * max(len(hashes), 1)).bit_length()
    keys, stored = np.zeros(slots, np.uint64), np.full(slots, -1, np.int32)
    _fill_table(keys, stored, hashes, values)
    return keys, stored


@njit(cache=True, nogil=True)
def _fill_table(keys, stored, hashes, values):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(keys) - 1)
    for item in range(len(hashes)):
        slot = hashes[item] & mask
        while stored[slot] >= 0 and keys[slot] != hashes[item]:
            slot = (slot + np.uint64(1)) & mask
        if stored[slot] < 0:
            keys[slot] = hashes[item]
            stored[slot] = values[item]


@njit(cache=True, nogil=True)
def _find(table, word):  # type: ignore[no-untyped-def]
    """The number of a word hash, -1 where it is not in the table."""
    keys, stored = table
    mask = np.uint64(len(keys) - 1)
    slot = word & mask
    while stored[slot] >= 0 and keys[slot] != word:
        slot = (slot + np.uint64(1)) & mask
    return stored[slot]


# --- word list ---


@dataclass(frozen=True)
class _WordList:
    """`weights[word, language]`; the last column is for languages without a list."""

    table: _Table
    weights: npt.NDArray[np.float32]
    languages: dict[str, int]


@functools.cache
def _word_list(path: str | None) -> _WordList:
    """The word list of this process.

    Raises:
        ValueError: another header, a weight below 0, or an entry that is not one word.
    """
    name = path or "profanity.tsv"
    if path is None:
        content = (_DATA / name).read_text(encoding="utf-8")
    else:
        with fsspec.open(path, "r", encoding="utf-8") as file:
            content = file.read()
    header, *lines = content.splitlines()
    if header.split("\t")[:3] != ["word", "weight", "language"]:
        raise ValueError(f"word list {name}: expected the columns word, weight, language, found {header!r}")
    rows = [line.split("\t") for line in lines]
    index = index_words(pa.array([row[0] for row in rows], pa.string()))
    several = np.flatnonzero(index.word_counts != 1)
    if len(several):
        raise ValueError(f"word list {name}: {rows[several[0]][0]!r} is not one word")
    languages = {language: i for i, language in enumerate(sorted({row[2] for row in rows}))}
    distinct, numbers = np.unique(index.hashes, return_inverse=True)
    weights = np.zeros((len(distinct), len(languages) + 1), dtype=np.float32)
    for number, row in zip(numbers.tolist(), rows, strict=True):
        if float(row[1]) < 0:
            raise ValueError(f"word list {name}: {row[0]!r} has the weight {row[1]}")
        weights[number, languages[row[2]]] = max(float(row[1]), weights[number, languages[row[2]]])
    return _WordList(_make_table(distinct, np.arange(len(distinct), dtype=np.int32)), weights, languages)


def _english(docs: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Which documents are in the language of the model; one of unknown language is taken for English."""
    if "language" not in docs.schema.names:
        return np.ones(docs.num_rows, dtype=bool)
    return np.array([name in (None, "en") for name in docs.column("language").to_pylist()], dtype=bool)


def _languages(docs: pa.RecordBatch, listed: _WordList) -> npt.NDArray[np.int32]:
    """Which column of the weights is each document's. A document of unknown language is taken for English."""
    english, none = listed.languages.get("en", len(listed.languages)), len(listed.languages)
    if "language" not in docs.schema.names:
        return np.full(docs.num_rows, english, dtype=np.int32)
    names = docs.column("language").to_pylist()
    return np.array([english if n is None else listed.languages.get(n, none) for n in names], dtype=np.int32)


@njit(cache=True, nogil=True)
def _count_listed(word_offsets, hashes, table, weights, languages, rates, distinct):  # type: ignore[no-untyped-def]
    seen = np.full(weights.shape[0], -1, np.int64)
    for document in range(len(word_offsets) - 1):
        first, last = word_offsets[document], word_offsets[document + 1]
        language = languages[document]
        sure, ambiguous = 0.0, 0.0
        sure_words, ambiguous_words = 0, 0
        for word in range(first, last):
            number = _find(table, hashes[word])
            if number < 0 or weights[number, language] == 0.0:
                continue
            new = seen[number] != document
            seen[number] = document
            if weights[number, language] >= 1.0:
                sure += weights[number, language]
                sure_words += new
            else:
                ambiguous += weights[number, language]
                ambiguous_words += new
        if sure_words >= COMPANY:
            sure += ambiguous
            sure_words += ambiguous_words
        if last > first:
            rates[document] = 1000.0 * sure / (last - first)
        distinct[document] = sure_words


# --- model ---


@dataclass(frozen=True)
class _Model:
    """A tf-idf bag of words under the mean of several calibrated linear machines."""

    vocabulary: dict[str, int]
    table: _Table
    idf: Floats
    weights: Floats
    """[word, machine]"""
    calibration: Floats
    """[machine]: intercept of the decision, slope and offset of the sigmoid over it"""


@functools.cache
def _model() -> _Model:
    with (_DATA / "toxicity.npz").open("rb") as file, np.load(file) as arrays:
        vocabulary = bytes(arrays["words"]).decode().split("\n")
        fixed = arrays["high"].astype(np.int64) * 256 + arrays["low"]
        idf = arrays["idf"][arrays["idf_index"]]
        calibration = np.stack([arrays["intercept"], arrays["slope"], arrays["offset"]], axis=1)
    numbers = {word: number for number, word in enumerate(vocabulary)}
    weights = np.ascontiguousarray((fixed / 2.0**35).T)
    return _Model(numbers, _model_table(numbers), idf, weights, calibration)


def _model_table(numbers: dict[str, int]) -> _Table:
    """From the hash of a word to its number in the vocabulary.

    The model breaks words at apostrophes and forgets single letters, our rule keeps them whole. So "didn't"
    is its "didn", "they'll" is its "ll" ("they" is one of its stop words), and a possessive is the word
    itself.
    """
    entries = dict(numbers)
    for word, number in numbers.items():
        entries.setdefault(f"{word}'s", number)
        if word.endswith("n"):
            entries.setdefault(f"{word}'t", number)
    for pronoun in ("i", "you", "he", "she", "it", "we", "they", "who", "that", "there", "what"):
        for ending in ("ll", "ve"):
            entries.setdefault(f"{pronoun}'{ending}", numbers[ending])
    index = index_words(pa.array(list(entries), pa.string()))
    # A few of its words are not one word by our rule ("user_talk", two ideographs): those it does not see.
    single = index.word_counts == 1
    hashes = index.hashes[index.word_offsets[:-1][single]]
    return _make_table(hashes, np.array(list(entries.values()), np.int32)[single])


_TOKEN = re.compile(r"(?u)\b\w\w+\b")


def probabilities(texts: Sequence[str]) -> Floats:
    """The model's probability that each text is toxic, by its own tokens: scikit-learn's answer within 1e-9.

    This is the plain statement of the model; `toxicity` measures documents.
    """
    model = _model()
    answers = np.zeros(len(texts))
    for i, text in enumerate(texts):
        counts = Counter(model.vocabulary[t] for t in _TOKEN.findall(text.lower()) if t in model.vocabulary)
        words = np.array(list(counts), dtype=np.int64)
        values = np.array(list(counts.values())) * model.idf[words]
        norm = np.sqrt(np.sum(values**2)) or 1.0
        intercept, slope, offset = model.calibration.T
        decisions = (values / norm) @ model.weights[words] + intercept
        answers[i] = np.mean(1.0 / (1.0 + np.exp(slope * decisions + offset)))
    return answers


@njit(cache=True, nogil=True)
def _score_windows(word_offsets, hashes, known, table, model, window, threshold, highest, share):  # type: ignore[no-untyped-def]
    counts = np.zeros(len(model[0]), np.int32)
    touched = np.empty(window, np.int32)
    for document in range(len(word_offsets) - 1):
        first, last = word_offsets[document], word_offsets[document + 1]
        windows = (last - first + window - 1) // window if known[document] else 0
        above = 0
        for i in range(windows):
            start = max(first, min(first + i * window, last - window))
            score = _score(hashes[start : min(start + window, last)], table, model, counts, touched)
            highest[document] = max(highest[document], score)
            above += score >= threshold
        if windows:
            share[document] = above / windows


@njit(cache=True, nogil=True)
def _score(hashes, table, model, counts, touched):  # type: ignore[no-untyped-def]
    """The model's probability for some words; `counts` (all 0 before and after) and `touched` are scratch."""
    idf, weights, calibration = model
    distinct = 0
    for word in hashes:
        number = _find(table, word)
        if number >= 0:
            if counts[number] == 0:
                touched[distinct] = number
                distinct += 1
            counts[number] += 1
    norm = 0.0
    for i in range(distinct):
        norm += (counts[touched[i]] * idf[touched[i]]) ** 2
    norm = np.sqrt(norm) if norm > 0.0 else 1.0
    total = 0.0
    for machine in range(weights.shape[1]):
        decision = calibration[machine, 0]
        for i in range(distinct):
            decision += counts[touched[i]] * idf[touched[i]] / norm * weights[touched[i], machine]
        total += 1.0 / (1.0 + np.exp(calibration[machine, 1] * decision + calibration[machine, 2]))
    for i in range(distinct):
        counts[touched[i]] = 0
    return total / weights.shape[1]
