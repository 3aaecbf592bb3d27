"""What a filter is: a function from a chunk of documents to named, typed columns.

A filter measures and never drops; the rules of a job's YAML decide (DESIGN, idea 3). The `measure` decorator states which
columns a function makes, so that a job can check its rules, show its plan and write its schema before anything runs.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from filters.words import WordIndex

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)?")

Columns = Mapping[str, Any]
"""Column name -> `pa.Array` or numpy array, one value per document of the chunk."""


@dataclass(frozen=True)
class Column:
    """One measured column: its name (`group.measure`), Arrow type, and what the value means, with its unit."""

    name: str
    type: pa.DataType
    about: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"column name {self.name!r} is not of the form group.measure in lower case")


class Measure(Protocol):
    """A function that measures a chunk, with the columns that it makes."""

    columns: tuple[Column, ...]
    __name__: str

    def __call__(self, docs: pa.RecordBatch, words: WordIndex) -> Columns:
        """Measure a chunk."""


def measure(*columns: Column) -> Callable[[Callable[[pa.RecordBatch, WordIndex], Columns]], Measure]:
    """State the columns that a measuring function makes.

    The wrapped function's result is cast to the declared types and checked for completeness and length.

    Raises:
        ValueError: when the function returns other columns than declared, or one of another length than the chunk.
    """
    names = tuple(column.name for column in columns)

    def decorate(function: Callable[[pa.RecordBatch, WordIndex], Columns]) -> Measure:
        @functools.wraps(function)
        def measured(docs: pa.RecordBatch, words: WordIndex) -> Columns:
            made = function(docs, words)
            if set(made) != set(names):
                raise ValueError(f"{function.__name__} declares {sorted(names)} and returned {sorted(made)}")
            return {column.name: _as_column(made[column.name], column, docs.num_rows) for column in columns}

        measured.columns = columns  # type: ignore[attr-defined]
        return measured  # type: ignore[return-value]

    return decorate


def _as_column(values: Any, column: Column, rows: int) -> pa.Array:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    if len(array) != rows:
        raise ValueError(f"column {column.name} has {len(array)} values for {rows} documents")
    return array if array.type.equals(column.type) else array.cast(column.type)
