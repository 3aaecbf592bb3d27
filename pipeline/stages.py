"""The chain of one split: which stages a harvest runs, in order, and the columns that each makes.

A stage is a pure function `RecordBatch -> RecordBatch`. It may edit the text (extraction, redaction, line edits) or add
columns, and never drops a document. The chain is built from a plan, which is data, so every worker builds the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import BaseModel, Field

from decontam.settings import DecontaminationSettings
from filters.blocklist import BlocklistSettings
from filters.c4 import C4LineEdits
from filters.classifier import ClassifierSettings
from filters.dclm import DclmLineEdits
from filters.language import LanguageSettings
from filters.lines import Edited
from filters.measures import Column, Measure
from filters.ngram_lm import LanguageModelSettings
from filters.pii import PiiSettings
from filters.safety import SafetySettings
from pipeline.chunks import with_columns
from pipeline.dedup.settings import DedupSettings
from pipeline.extract import ExtractionSettings

READ_COLUMNS = (
    Column("http.status", pa.int32(), "HTTP status code of the response; missing for sources of text"),
    Column(
        "http.content_type", pa.string(), "media type of the response, lower case; empty where none was sent"
    ),
    Column("http.bytes", pa.int64(), "length of the body in bytes, also where it was not loaded"),
    Column(
        "warc.truncated", pa.string(), "why the archive holds a part of the body only; empty for a whole one"
    ),
)

LINE_HASHES = Column("lines.hashes", pa.list_(pa.uint64()), "distinct hashes of the document's lines")

KEY_COLUMNS = (
    Column("text_hash", pa.uint64(), "XXH3-64 of the text: equal texts have equal hashes"),
    Column("url_hash", pa.uint64(), "XXH3-64 of the URL without scheme and fragment; missing without URL"),
)


class MinHashSettings(BaseModel, frozen=True, extra="forbid"):
    """The signatures that deduplication compares: `permutations` hashes over the word `ngram`s of a document.

    Word 5-grams and 112 hashes (14 bands of 8): FineWeb. `fss_v1` is Fast Similarity Sketching, which estimates Jaccard with a
    lower error than the classic `affine_v1` at the same size (docs/words.md).
    """

    ngram: int = Field(default=5, ge=1, le=32)
    """Words of a shingle."""
    permutations: int = Field(default=112, ge=8, le=1024)
    """Values of a signature."""
    family: Literal["fss_v1", "affine_v1"] = "fss_v1"
    """The family of hashes (docs/words.md)."""

    @property
    def described(self) -> dict[str, str]:
        """What two signatures must share to be compared, beside their length: metadata of the published column."""
        from filters.words import WORD_RULE

        return {"family": self.family, "ngram": str(self.ngram), "words": WORD_RULE}


class LineSettings(BaseModel, frozen=True, extra="forbid"):
    """Which line edits are made before quality is measured; None leaves one out. FineWeb makes C4's, DCLM its own."""

    c4: C4LineEdits | None = C4LineEdits()
    dclm: DclmLineEdits | None = DclmLineEdits()


class StageSettings(BaseModel, frozen=True, extra="forbid"):
    """The settings of every stage of the harvest; None leaves a stage out.

    `repeated_lines_min_words` asks for the hashes of lines of at least so many words (`pipeline.repeated`);
    `decontamination_index` is where the driver has written the benchmark index.
    """

    urls: BlocklistSettings | None = None
    extraction: ExtractionSettings | None = ExtractionSettings()
    language: LanguageSettings | None = LanguageSettings()
    safety: SafetySettings | None = SafetySettings()
    pii: PiiSettings | None = PiiSettings()
    lines: LineSettings | None = LineSettings()
    quality: bool = True
    classifier: ClassifierSettings | None = None
    language_model: LanguageModelSettings | None = None
    repeated_lines_min_words: int | None = None
    minhash: MinHashSettings = MinHashSettings()
    dedup: DedupSettings | None = DedupSettings()
    decontamination: DecontaminationSettings | None = None
    decontamination_index: str | None = None


@dataclass(frozen=True)
class Stage:
    """A named step of the chain and the columns that rules may use after it.

    `edits` tells that its result replaces `text`; `extra` are columns that it makes for the decide phase only.
    """

    name: str
    columns: tuple[Column, ...]
    run: Callable[[pa.RecordBatch], pa.RecordBatch]
    extra: tuple[Column, ...] = ()

    @property
    def made(self) -> tuple[Column, ...]:
        """All columns that it makes."""
        return (*self.columns, *self.extra)


def build_stages(settings: StageSettings) -> list[Stage]:
    """The chain of a plan, in the order of the recipe."""
    stages = [Stage("read", READ_COLUMNS, lambda docs: docs)]
    if settings.urls is not None:
        stages.append(_of_urls(settings.urls))
    if settings.extraction is not None:
        stages.append(_extract(settings.extraction))
    else:
        stages.append(_measure_text())
    if settings.language is not None:
        stages.append(_language(settings.language))
    if settings.safety is not None:
        stages.append(_safety(settings.safety))
    if settings.pii is not None:
        stages.append(_pii(settings.pii))
    if settings.lines is not None:
        stages.append(_lines(settings.lines))
    stages.append(_words(settings))
    return stages


def _of_urls(settings: BlocklistSettings) -> Stage:
    from filters.blocklist import blocklist

    return _of_measures("urls", [blocklist(settings)])


def _extract(settings: ExtractionSettings) -> Stage:
    from pipeline import extract

    def run(docs: pa.RecordBatch) -> pa.RecordBatch:
        docs = extract.extract(docs, settings)
        return with_columns(docs, extract.measure_text(docs["text"]))

    return Stage("extract", (*extract.TEXT_COLUMNS, *extract.page_columns()), run)


def _measure_text() -> Stage:
    from pipeline import extract

    return Stage(
        "text", extract.TEXT_COLUMNS, lambda docs: with_columns(docs, extract.measure_text(docs["text"]))
    )


def _language(settings: LanguageSettings) -> Stage:
    from filters.language import language

    return _of_measures("language", [language(settings)])


def _safety(settings: SafetySettings) -> Stage:
    from filters.safety import profanity, toxicity

    return _of_measures("safety", [profanity(settings), toxicity(settings)])


def _of_measures(name: str, measures: Sequence[Measure]) -> Stage:
    from filters.words import index_words

    def run(docs: pa.RecordBatch) -> pa.RecordBatch:
        words = index_words(docs["text"])
        made: dict[str, Any] = {}
        for measure in measures:
            made.update(measure(docs, words))
        return with_columns(docs, made)

    return Stage(name, tuple(column for measure in measures for column in measure.columns), run)


def _pii(settings: PiiSettings) -> Stage:
    from filters import pii

    def run(docs: pa.RecordBatch) -> pa.RecordBatch:
        # What pages say about themselves is published too; one person has one placeholder in all of a document.
        names = [name for name in ("text", "title", "page.author") if name in docs.schema.names]
        columns, counts = pii.redact_columns([docs[name] for name in names], settings)
        return with_columns(docs, {**dict(zip(names, columns, strict=True)), **counts})

    return Stage("pii", tuple(pii.columns_of(settings)), run)


def _lines(settings: LineSettings) -> Stage:
    from filters import c4, dclm
    from filters.words import index_words

    edits: list[tuple[tuple[Column, ...], str, Callable[[pa.Array], Edited]]] = []
    if settings.c4 is not None:
        chosen = settings.c4
        edits.append((c4.EDIT_COLUMNS, "c4", lambda text: c4.edit_lines(text, index_words(text), chosen)))
    if settings.dclm is not None:
        picked = settings.dclm
        edits.append(
            (dclm.EDIT_COLUMNS, "dclm", lambda text: dclm.edit_lines(text, index_words(text), picked))
        )

    def run(docs: pa.RecordBatch) -> pa.RecordBatch:
        for _, name, edit in edits:
            made = edit(docs["text"])
            docs = with_columns(
                docs, {"text": made.text, **made.counts, f"{name}.removed_words": made.removed_words}
            )
        return docs

    return Stage("lines", tuple(column for columns, _, _ in edits for column in columns), run)


def _words(settings: StageSettings) -> Stage:
    """Everything that reads the final words of a document, from one word index."""
    from filters.words import index_words

    # Deduplication keeps the longest copy, so it needs the word count also where quality is not measured.
    measures = [
        *(_quality_measures() if settings.quality else _counting() if settings.dedup is not None else [])
    ]
    measures += _model_measures(settings)
    makers: list[tuple[tuple[Column, ...], Callable[[pa.RecordBatch, Any], dict[str, Any]]]] = [
        (KEY_COLUMNS, _keys)
    ]
    if settings.dedup is not None:
        makers.append(_signatures(settings.minhash))
    if settings.repeated_lines_min_words is not None:
        makers.append(_line_hashes(settings.repeated_lines_min_words))
    if settings.decontamination_index is not None:
        makers.append(_hits(settings.decontamination_index))

    def run(docs: pa.RecordBatch) -> pa.RecordBatch:
        words = index_words(docs["text"])
        made: dict[str, Any] = {}
        for measure in measures:
            made.update(measure(docs, words))
        for columns, maker in makers:
            values = maker(docs, words)
            made.update({column.name: values[column.name] for column in columns})
        return with_columns(docs, made)

    columns = tuple(column for measure in measures for column in measure.columns)
    return Stage("quality", columns, run, tuple(column for made, _ in makers for column in made))


def _quality_measures() -> Sequence[Measure]:
    from filters import c4, fineweb, gopher

    return [gopher.gopher_quality, gopher.gopher_repetition, fineweb.fineweb, c4.c4]


def _model_measures(settings: StageSettings) -> list[Measure]:
    measures = []
    if settings.classifier is not None:
        from filters.classifier import classifier

        measures.append(classifier(settings.classifier))
    if settings.language_model is not None:
        from filters.ngram_lm import perplexity

        measures.append(perplexity(settings.language_model))
    return measures


def _counting() -> Sequence[Measure]:
    from filters import gopher

    return [gopher.gopher_quality]


def _keys(docs: pa.RecordBatch, words: Any) -> dict[str, Any]:  # noqa: ARG001 - a maker's signature
    texts, urls = docs["text"].to_pylist(), docs["url"].to_pylist()
    return {
        "text_hash": np.array([xxhash.xxh3_64_intdigest((text or "").encode()) for text in texts], np.uint64),
        "url_hash": pa.array(
            [xxhash.xxh3_64_intdigest(_bare(url).encode()) if url else None for url in urls], pa.uint64()
        ),
    }


def _bare(url: str) -> str:
    """A URL without what does not tell pages apart: scheme, fragment, the case of the host."""
    rest = url.split("#", 1)[0].split("://", 1)[-1]
    host, slash, path = rest.partition("/")
    return host.lower() + slash + path


def _signatures(
    settings: MinHashSettings,
) -> tuple[tuple[Column, ...], Callable[[pa.RecordBatch, Any], dict[str, Any]]]:
    from filters import minhash

    column = Column(
        "minhash",
        pa.binary(4 * settings.permutations),
        "MinHash signature: little-endian uint32 values; missing without words",
    )

    def maker(docs: pa.RecordBatch, words: Any) -> dict[str, Any]:  # noqa: ARG001 - a maker's signature
        signed = minhash.signatures(words, n=settings.ngram, k=settings.permutations, family=settings.family)
        matrix = np.ascontiguousarray(signed.astype("<u4", copy=False))
        return {"minhash": fixed_binary(matrix, ~minhash.valid_signatures(signed))}

    return (column,), maker


def fixed_binary(matrix: np.ndarray, missing: np.ndarray) -> pa.Array:
    """The rows of a matrix as one fixed-size binary column, null where `missing`."""
    width = matrix.shape[1] * matrix.itemsize
    valid = pa.array(~missing).buffers()[1]
    nulls = int(missing.sum())
    return pa.Array.from_buffers(
        pa.binary(width), len(matrix), [valid if nulls else None, pa.py_buffer(matrix.tobytes())], nulls
    )


def _line_hashes(
    min_words: int,
) -> tuple[tuple[Column, ...], Callable[[pa.RecordBatch, Any], dict[str, Any]]]:
    from filters.repeated import distinct_hashes

    def maker(docs: pa.RecordBatch, words: Any) -> dict[str, Any]:  # noqa: ARG001 - a maker's signature
        return {LINE_HASHES.name: distinct_hashes(words, min_words)}

    return (LINE_HASHES,), maker


def _hits(
    index_path: str,
) -> tuple[tuple[Column, ...], Callable[[pa.RecordBatch, Any], dict[str, Any]]]:
    from decontam.ngrams import NgramIndex
    from decontam.scan import scan

    column = Column(
        "decontamination.hits",
        pa.list_(pa.uint32()),
        "benchmark n-grams in the document, by their id in the index",
    )
    opened: list[NgramIndex] = []

    def maker(docs: pa.RecordBatch, words: Any) -> dict[str, Any]:  # noqa: ARG001 - a maker's signature
        if not opened:
            opened.append(NgramIndex.open(index_path))
        return {"decontamination.hits": scan(words, opened[0])}

    return (column,), maker
