"""How predictable a document is: perplexity under a word n-gram model (CCNet: Wenzek et al. 2020).

Columns (one value per document, null for a document without words):
    lm.perplexity   e to the mean negative log-probability of its words and line ends
    lm.bucket       `head`, `middle` or `tail`: perplexity against the model's two cuts, thirds of a reference corpus
    lm.unknown      share of words that the model does not know

The model is one of interpolated, modified Kneser-Ney smoothing (Chen and Goodman 1999) over the words of the word index,
line by line: each line is a beginning mark, its words, an end mark. It is made by `corpusmill quality train-lm`.
Words are told apart by their hash alone, so no text is read; two words of one hash would be one word.

A model is a folder: `model.json` (`LanguageModel`) and `ngrams.npy`, a hash table that is mapped into memory, so that
the processes of a machine share it. Logarithms are integers in units of 2^-20, so that sums do not depend on order.
"""

from __future__ import annotations

import functools
import json
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, Field, ValidationError, model_validator

from filters import _ngram_kernels as kernels
from filters._models import ModelError, check_digest, local_copy
from filters.measures import Column, Columns, Measure, measure
from filters.words import WORD_RULE

if TYPE_CHECKING:
    from filters.words import WordIndex

MODEL_JSON = "model.json"
TABLE_FILE = "ngrams.npy"
UNIT = 2.0**-20
"""Of the stored logarithms."""

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


class LanguageModel(BaseModel, frozen=True, extra="forbid"):
    """What `model.json` says about the table beside it."""

    format: Literal["corpusmill-ngrams-1"] = "corpusmill-ngrams-1"
    words: str = WORD_RULE
    """The rule of words that it was trained with."""
    order: int = Field(ge=1, le=kernels.MOST_ORDER)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of `ngrams.npy`."""
    head: float | None = None
    tail: float | None = None
    """Perplexities that end the head and begin the tail."""
    facts: dict[str, Any] = {}
    """How it was trained; for people."""

    @model_validator(mode="after")
    def _cuts_ascend(self) -> LanguageModel:
        if self.head is not None and self.tail is not None and self.head > self.tail:
            raise ValueError(f"head {self.head:g} is above tail {self.tail:g}")
        return self


class LanguageModelSettings(BaseModel, frozen=True, extra="forbid"):
    """Which language model measures perplexity; `head` and `tail` replace its own cuts."""

    model: str
    """Path or URL (anything fsspec opens) of a folder made by `quality train-lm`."""
    head: float | None = Field(default=None, gt=0)
    tail: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _cuts_ascend(self) -> LanguageModelSettings:
        if self.head is not None and self.tail is not None and self.head > self.tail:
            raise ValueError(f"head {self.head:g} is above tail {self.tail:g}")
        return self


COLUMNS = (
    Column("lm.perplexity", pa.float32(), "perplexity of words and line ends under the n-gram model"),
    Column("lm.bucket", pa.string(), "head, middle or tail by the model's cuts; missing where it has none"),
    Column("lm.unknown", pa.float32(), "share of words that the n-gram model does not know"),
)


def perplexity(settings: LanguageModelSettings) -> Measure:
    """Make the measure of the `lm` columns.

    The model is opened on first use, once per process, and is never pickled.

    Raises (when measuring):
        ModelError: the model cannot be read, is damaged, or was made with another rule of words.
    """

    @measure(*COLUMNS)
    def perplexity_of(_docs: pa.RecordBatch, words: WordIndex) -> Columns:
        model = load_language_model(settings.model)
        scores = model.score(words)
        values = scores.perplexity
        empty = np.isnan(values)
        head = settings.head if settings.head is not None else model.about.head
        tail = settings.tail if settings.tail is not None else model.about.tail
        spoken = np.maximum(words.word_counts, 1)
        return {
            "lm.perplexity": pa.array(values, pa.float32(), mask=empty),
            "lm.bucket": buckets(values, head, tail),
            "lm.unknown": pa.array(scores.unknown / spoken, pa.float32(), mask=empty),
        }

    return perplexity_of


def buckets(values: npt.NDArray[np.float64], head: float | None, tail: float | None) -> pa.Array:
    """`head` up to and with the first cut, `tail` above the second; null without cuts and for NaN."""
    if head is None or tail is None:
        return pa.nulls(len(values), pa.string())
    names = np.where(values <= head, "head", np.where(values > tail, "tail", "middle")).astype(object)
    return pa.array(names, pa.string(), mask=np.isnan(values))


@dataclass(frozen=True, eq=False)
class Scores:
    """Per document: the sum of log-probabilities in `UNIT`s, predicted tokens (words and line ends), unknown words."""

    totals: Ints
    tokens: Ints
    unknown: Ints

    @property
    def perplexity(self) -> npt.NDArray[np.float64]:
        """e to the mean negative log-probability of a token; NaN without tokens."""
        mean = np.full(len(self.tokens), np.nan)
        np.divide(self.totals * -UNIT, self.tokens, out=mean, where=self.tokens > 0)
        found: npt.NDArray[np.float64] = np.exp(mean)
        return found


@dataclass(frozen=True, eq=False)
class NgramModel:
    """A model that can be asked. `table[slot]` is a key and, in one number, log-probability and log-backoff."""

    about: LanguageModel
    table: Hashes

    def score(self, words: WordIndex) -> Scores:
        """Score the documents of a word index."""
        totals, tokens, unknown = (np.zeros(len(words), np.int64) for _ in range(3))
        kernels.score_documents(
            words.line_offsets,
            words.line_words,
            words.hashes,
            self.table,
            self.about.order,
            totals,
            tokens,
            unknown,
        )
        return Scores(totals, tokens, unknown)


def make_table(
    keys: Hashes, probabilities: npt.NDArray[np.float64], backoffs: npt.NDArray[np.float64]
) -> Hashes:
    """The table of n-grams by their keys (all different); natural logarithms of probability and of backoff weight."""
    slots = 1 << (3 * max(len(keys), 1) // 2).bit_length()
    table = np.zeros((slots, 2), np.uint64)
    order = np.argsort(keys)
    upper, lower = (_fixed(values[order]) for values in (probabilities, backoffs))
    kernels.fill_table(table, keys[order], upper << np.uint64(32) | lower)
    return table


def _fixed(logarithms: npt.NDArray[np.float64]) -> Hashes:
    units = np.maximum(np.rint(logarithms / UNIT), kernels.NEVER).astype(np.int32)
    return units.view(np.uint32).astype(np.uint64)


@functools.lru_cache(maxsize=4)
def load_language_model(folder: str) -> NgramModel:
    """The model of this process; a local table is mapped, a remote one is read into memory.

    Raises:
        ModelError: as `perplexity`.
    """
    about = read_about(folder)
    path = posixpath.join(folder, TABLE_FILE)
    with local_copy(path, "language model") as file:
        check_digest(file, about.sha256, f"language model {path}")
        try:
            table = np.load(file, mmap_mode="r" if file == path else None, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ModelError(f"language model {path}: not a table of n-grams ({error})") from error
    slots = len(table) if table.ndim == 2 else 0
    if table.dtype != np.uint64 or table.shape != (slots, 2) or slots < 2 or slots & (slots - 1):
        raise ModelError(
            f"language model {path}: not a table of n-grams ({table.dtype}, shape {table.shape})"
        )
    return NgramModel(about, table)


def read_about(folder: str) -> LanguageModel:
    """What a model's folder says about it.

    Raises:
        ModelError: there is no model.json, it is not of this form, or of another rule of words.
    """
    path = posixpath.join(folder, MODEL_JSON)
    with local_copy(path, "language model") as file, open(file, "rb") as content:
        raw = content.read()
    try:
        about = LanguageModel.model_validate(json.loads(raw))
    except (ValidationError, ValueError) as error:
        raise ModelError(f"language model {path}: not written by `quality train-lm` ({error})") from error
    if about.words != WORD_RULE:
        raise ModelError(
            f"language model {path}: trained with the word rule {about.words}, this version reads {WORD_RULE}. Train it again."
        )
    return about
