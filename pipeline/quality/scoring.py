"""Scorers by their path (a classifier, a language model, or a file of scores), and scores of files of documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from filters import classifier, ngram_lm
from filters._models import ModelError
from filters.classifier import ClassifierSettings
from filters.measures import Measure
from filters.ngram_lm import LanguageModelSettings
from filters.words import index_words
from pipeline import storage
from pipeline.chunks import safe_name, with_columns
from pipeline.errors import UserError
from pipeline.quality.corpus import Corpus
from pipeline.sources import read_split

Floats = npt.NDArray[np.float64]

PACKAGED = "default"
"""The name of the packaged classifier on the command line."""

_ABOUT = ("id", "url", "record")
_MADE_BY = b"quality.made_by"
"""Metadata of a file of scores: a digest of the model and the input."""


@dataclass(frozen=True)
class Scorer:
    """A measure and which of its columns is the score; `sign` is -1 where a low value is a good one."""

    name: str
    measure: Measure
    column: str
    about: str
    """What tells the model from all others: its description with the digest of its file."""
    sign: int = 1

    def score(self, docs: pa.RecordBatch) -> Floats:
        """The score of each document, higher for better ones; NaN where there is none."""
        values = run(self.measure, docs)[self.column]
        found: Floats = self.sign * values.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
        return found


def run(measure: Measure, docs: pa.RecordBatch) -> dict[str, pa.Array]:
    """The columns of a measure.

    Raises:
        UserError: when its model cannot be used.
    """
    try:
        return dict(measure(docs, index_words(docs["text"])))
    except ModelError as error:
        raise UserError(f"{error}.") from error


def open_scorer(path: str, label: str | None = None) -> Scorer:
    """The scorer that a path means: `default`, a classifier's folder, a language model's, a bare fastText file.

    Raises:
        UserError: when there is no such model, or a bare file's good label is not named.
    """
    if (
        path != PACKAGED
        and not path.endswith((".bin", ".ftz"))
        and storage.exists(storage.join(path, ngram_lm.TABLE_FILE))
    ):
        measure = ngram_lm.perplexity(LanguageModelSettings(model=path))
        return Scorer(path, measure, "lm.perplexity", _language_model_about(path), -1)
    try:
        settings = ClassifierSettings(model=None if path == PACKAGED else path, label=label)
        about = classifier.load_classifier(settings).about.model_dump_json()
    except ValidationError as error:
        raise UserError(
            f"--model {path}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from error
    except ModelError as error:
        raise UserError(f"{error}.") from error
    return Scorer(path, classifier.classifier(settings), "quality.score", about)


def _language_model_about(path: str) -> str:
    try:
        return ngram_lm.read_about(path).model_dump_json()
    except ModelError as error:
        raise UserError(f"{error}.") from error


def score_corpus(corpus: Corpus, scorer: Scorer, output: str) -> Iterator[tuple[str, int, int]]:
    """Score all documents: `OUT/SHARD.parquet` for each input, with id, URL, record (where it lies) and the scorer's columns.

    An input whose file is there already, by the same model, is passed over. Records that could not be read have a row
    too: their columns are null, and `error` says why.

    Yields:
        The path, its rows, and how many of them could not be read; -1 rows for one that was there.

    Raises:
        UserError: when a file is there that another model or input made.
    """
    storage.make_folder(output)
    schema = pa.schema(
        [
            *(pa.field(name, pa.string()) for name in _ABOUT),
            *(pa.field(column.name, column.type) for column in scorer.measure.columns),
            pa.field("error", pa.string()),
        ]
    )
    for split in corpus.splits:
        path = storage.join(output, f"{safe_name(split.shard)}.parquet")
        made_by = _digest(scorer, split.path, split.stop)
        if storage.exists(path):
            _check_made_by(path, made_by)
            yield path, -1, 0
            continue
        schema = schema.with_metadata({_MADE_BY: made_by})
        rows = failed = 0
        with (
            storage.write_atomically(path) as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for chunk in read_split(split, corpus.reading):
                docs = chunk.batch
                made = with_columns(docs.select([*_ABOUT, "error"]), run(scorer.measure, docs))
                writer.write_batch(made.select(schema.names).cast(schema))
                rows += docs.num_rows
                failed += docs.num_rows - docs["error"].null_count
        yield path, rows, failed


def _digest(scorer: Scorer, path: str, size: int) -> bytes:
    content = "\0".join((scorer.column, scorer.about, path, str(size)))
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest().encode()


def _check_made_by(path: str, made_by: bytes) -> None:
    try:
        with storage.open_read(path) as file:
            found = (pq.read_schema(file).metadata or {}).get(_MADE_BY)
    except pa.ArrowInvalid:
        found = None
    if found != made_by:
        raise UserError(
            f"{path} was made by another model, or from another input: give another --output, or remove it."
        )


def stored_scores(path: str) -> dict[str, float]:
    """The scores of a file that `quality score` (or `quality label`) has written, by document id; perplexities turned over.

    Raises:
        UserError: when it is not such a file.
    """
    try:
        with storage.open_read(path) as file:
            table = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: scores cannot be read from it ({error}).") from error
    for column, sign in (("quality.score", 1), ("lm.perplexity", -1), ("label_score", 1)):
        if column in table.column_names and "id" in table.column_names:
            values = pc.multiply(table[column].cast(pa.float64()), float(sign))
            pairs = zip(table["id"].to_pylist(), values.to_pylist(), strict=True)
            return {name: value for name, value in pairs if value is not None}
    raise UserError(
        f"{path}: no columns id and quality.score, lm.perplexity or label_score; `quality score` writes them."
    )
