"""The documents of Parquet and JSONL files, for commands that train and score: batches, and what could not be read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import absolute
from pipeline.errors import UserError
from pipeline.sources import ReadSettings, TextColumns, read_split
from pipeline.sources.discover import SourceConfig, plan_splits

Text = pa.large_string()


class Corpus:
    """The documents of some inputs (paths, globs, URLs, `@FILE`), in the order of the inputs.

    `failed` counts, once `batches` is exhausted, the records that gave no document, by reason.
    """

    def __init__(self, name: str, inputs: Sequence[str], text_column: str = "text") -> None:
        """Find the files.

        Raises:
            UserError: when an input is not found, is of an unknown format, or has no text column.
        """
        reading = ReadSettings(columns=TextColumns(text=text_column))
        config = SourceConfig(name=name, inputs=tuple(absolute(path) for path in inputs), reading=reading)
        self.name = name
        self.splits = plan_splits(config, 0)
        web = [split.path for split in self.splits if split.format == "warc"]
        if web:
            raise UserError(
                f"{web[0]}: quality commands read texts (Parquet, JSONL), not archives. "
                "Run `corpusmill web` first, and give its documents/*.parquet."
            )
        self.failed: Counter[str] = Counter()
        self.reading = reading

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Documents in the columns of `READ_SCHEMA`, records that failed left out and counted."""
        self.failed = Counter()
        for split in self.splits:
            for chunk in read_split(split, self.reading):
                errors = chunk.batch["error"]
                if errors.null_count < len(errors):
                    self.failed.update(error for error in errors.to_pylist() if error is not None)
                kept = chunk.batch.filter(pc.is_null(errors))
                if kept.num_rows:
                    yield kept

    def table(self, columns: Sequence[str] = ("id", "source", "url", "text")) -> pa.Table:
        """All documents at once.

        Raises:
            UserError: when there are none.
        """
        batches = [batch.select(list(columns)) for batch in self.batches()]
        if not batches:
            raise UserError(f"{self.name}: the inputs hold no documents.{described(self.failed)}")
        return pa.Table.from_batches(batches)


def described(failed: Counter[str]) -> str:
    """` 3 records could not be read (json.invalid 3).`, or nothing."""
    if not failed:
        return ""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(failed.items()))
    return f" {failed.total():,} records could not be read ({reasons})."


def unit_hashes(keys: Sequence[str], purpose: str) -> npt.NDArray[np.float64]:
    """A number of [0, 1) for each key, always the same for a key and a purpose: for samples and for splits by document."""
    person = purpose.encode()[:16]
    digests = (hashlib.blake2b(key.encode(), digest_size=8, person=person).digest() for key in keys)
    numbers = np.frombuffer(b"".join(digests), "<u8") if keys else np.zeros(0, np.uint64)
    # 53 bits: more would round up to 1.
    return (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53
