"""The usage table: how many documents of a corpus hold each benchmark n-gram.

Every run writes one (`decisions/ngram_usage.parquet`), and `decontam usage` writes nothing else. A later run on
another corpus can add the counts of such a table to its own: an n-gram that is ordinary on ten terabytes is
ordinary, also where this corpus is too small to show it.

An n-gram is known by its words, so a table outlives the index that it was made with. It only says something about
n-grams that were looked for: a table is refused whose benchmarks do not include all of the index's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from decontam.errors import BenchmarkError
from decontam.ngrams import NgramIndex
from decontam.rule import I64, U32
from decontam.scan import scan
from decontam.settings import Part
from filters.words import index_words

SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),  # the first benchmark that has it
        ("item", pa.string()),  # the item's id
        ("part", pa.string()),  # the part of the item
        ("n", pa.uint8()),  # words
        ("words", pa.string()),  # the n-gram as the word rule folds it, words separated by a space
        ("shared_by", pa.uint32()),  # item parts that have it
        ("item_rule", pa.bool_()),  # whether the rule `item` looks at it; `any` looks at all
        ("documents", pa.uint32()),  # documents that hold it
    ]
)
ROWS = 1 << 17
"""n-grams described at once."""


class UsageInfo(BaseModel):
    """What a table was measured on, and with which benchmarks (key -> SHA-256 of its file)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = "corpusmill-usage-1"
    word_rule: str
    documents: int
    text_bytes: int
    min_words: int
    max_words: int
    parts: tuple[Part, ...]
    benchmarks: dict[str, str]

    @classmethod
    def of(cls, index: NgramIndex, documents: int, text_bytes: int) -> UsageInfo:
        """The information of a table made with an index on so many documents."""
        header = index.header
        return cls(
            word_rule=header.word_rule,
            documents=documents,
            text_bytes=text_bytes,
            min_words=header.min_words,
            max_words=header.max_words,
            parts=header.parts,
            benchmarks={each.key: each.sha256 for each in header.benchmarks},
        )


def write_usage(
    file: IO[bytes], index: NgramIndex, counted: Iterable[tuple[U32, I64]], info: UsageInfo
) -> int:
    """Write the n-grams found and their counts (blocks of ascending ids) as Parquet; gives how many there are."""
    schema = SCHEMA.with_metadata({"corpusmill": info.model_dump_json()})
    rows = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for ids, counts in counted:
            for first in range(0, len(ids), ROWS):
                here = slice(first, first + ROWS)
                table = index.describe(ids[here])
                table = table.append_column("item_rule", pa.array(index.is_item(ids[here])))
                table = table.append_column("documents", pa.array(counts[here].astype(np.uint32)))
                writer.write_table(table.select(SCHEMA.names).cast(schema))
                rows += table.num_rows
    return rows


def read_usage(path: str, file: Any, index: NgramIndex) -> tuple[U32, I64, UsageInfo]:
    """The n-grams of an index that a table counts (ascending ids), their counts, and what it was measured on.

    Raises:
        BenchmarkError: when it is no usage table, or does not cover the benchmarks of the index.
    """
    try:
        parquet = pq.ParquetFile(file)
        info = UsageInfo.model_validate_json((parquet.schema_arrow.metadata or {})[b"corpusmill"])
    except (pa.ArrowInvalid, KeyError, ValidationError) as error:
        raise BenchmarkError(
            f"{path} is not a usage table: `decontam usage` writes one, and every run leaves one in "
            "decisions/ngram_usage.parquet."
        ) from error
    _check_covers(path, info, index)
    found, counts = [], []
    for batch in parquet.iter_batches(ROWS, columns=["n", "words", "documents"]):
        ids = _ids_of(batch["words"], np.asarray(batch["n"]), index)
        known = ids >= 0
        found.append(ids[known].astype(np.uint32))
        counts.append(np.asarray(batch["documents"], np.int64)[known])
    all_ids = np.concatenate([np.zeros(0, np.uint32), *found])
    order = np.argsort(all_ids, kind="stable")
    return all_ids[order], np.concatenate([np.zeros(0, np.int64), *counts])[order], info


def _check_covers(path: str, info: UsageInfo, index: NgramIndex) -> None:
    header = index.header
    wrong = []
    if info.word_rule != header.word_rule:
        wrong.append(f"its words are of {info.word_rule}, the index's of {header.word_rule}")
    if info.min_words > header.min_words or info.max_words < header.max_words:
        wrong.append(
            f"it counts {info.min_words}-{info.max_words}-grams, the index has {header.min_words}-{header.max_words}"
        )
    if not set(header.parts) <= set(info.parts):
        wrong.append(
            f"it was made of the parts {json.dumps(info.parts)}, the index of {json.dumps(header.parts)}"
        )
    missing = [each.key for each in header.benchmarks if info.benchmarks.get(each.key) != each.sha256]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        wrong.append(f"it does not count these benchmark files: {', '.join(missing[:3])}{more}")
    if wrong:
        raise BenchmarkError(
            f"the usage table {path} does not fit the benchmarks: {'; '.join(wrong)}. n-grams that were not looked "
            "for would pass for unused. Measure it again: `decontam usage` with the same --benchmarks."
        )


def _ids_of(spellings: pa.Array, lengths: np.ndarray, index: NgramIndex) -> I64:
    """The id of each n-gram given as text, or -1: its text is scanned like a document that holds nothing else."""
    hits = scan(index_words(spellings.cast(pa.large_string())), index)
    ids = np.asarray(pc.list_flatten(hits), np.uint32)
    documents = np.asarray(pc.list_parent_indices(hits), np.int64)
    whole = index.lengths_of(ids) == lengths[documents]
    found = np.full(len(spellings), -1, np.int64)
    found[documents[whole]] = ids[whole]
    return found
