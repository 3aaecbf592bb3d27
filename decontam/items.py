"""From the rows of a benchmark file to its items: which columns are which part, and the texts in them.

A column is looked up at the top of a row, then inside its column `fields`. Two forms of file are told apart:

- the files of evaluation suites and of the hub, whose columns are the ones the registry names: a column that no row has
  is an error;
- the normalised form, whose rows are `id`, `text` (the whole prompt side) and `fields` (the original columns, often under
  other names). There `text` stands in for prompt columns that are missing, `choices` will do for `choices.text`, and other
  parts may be absent. Such a file holds one benchmark, so a row filter on a column that it lacks does not apply.

`BenchmarkRows.columns` says what was read, so that a report can.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decontam.entries import Source
from decontam.errors import BenchmarkError
from decontam.files import READ_ERRORS, Rows, read_rows, read_stored
from decontam.settings import Part

_NORMALISED = {"id", "text", "fields"}


@dataclass(frozen=True)
class Item:
    """One item of a benchmark: its id (column `id`, else the row number from 0), its texts and their parts.

    The texts are fields in the sense of the rule: no n-gram crosses from one to the next. Each string of a
    list is a field of its own, unless the registry says that the list is `joined`.
    """

    id: str
    fields: tuple[tuple[Part, str], ...]


@dataclass(frozen=True)
class BenchmarkItems:
    """What was read of a benchmark.

    Attributes:
        items: its items, in the order of the file.
        sha256: the SHA-256 of the file as stored.
        columns: for each part asked for, the columns its texts are from (`fields.question`; `text` where that stands in
            for a missing prompt column); none where a normalised file lacks the part.
        rows: the rows of the file, before the row filter.
        filtered: whether the row filter was applied.
    """

    items: list[Item]
    sha256: str
    columns: Mapping[Part, tuple[str, ...]]
    rows: int
    filtered: bool


def read_benchmark(source: Source, parts: Sequence[Part]) -> BenchmarkItems:
    """The items of a benchmark with the texts of the given parts.

    Raises:
        BenchmarkError: when the file cannot be read, has no rows, lacks a column that the registry names, or the row
            filter matches none of its rows.
    """
    benchmark = source.benchmark
    named = [column for part in parts for column in benchmark.columns(part)]
    named += [benchmark.row_filter.column] if benchmark.row_filter else []
    try:
        stored = read_stored(source.path)
        rows = read_rows(source.path, stored, named)
    except (*READ_ERRORS, ImportError) as error:
        raise BenchmarkError(f"{_about(source)}: {error}") from error
    if not rows.rows:
        raise BenchmarkError(f"{_about(source)} has no rows.")
    reader = _Reader(source, rows)
    chosen, filtered = reader.filter()
    columns = {part: tuple(reader.places(part)) for part in parts}
    items = [Item(_id(row, number), tuple(reader.texts(row, columns))) for number, row in chosen]
    return BenchmarkItems(items, hashlib.sha256(stored).hexdigest(), columns, len(rows.rows), filtered)


def read_items(source: Source, parts: Sequence[Part]) -> tuple[list[Item], str]:
    """The items of a benchmark with the texts of the given parts, and the SHA-256 of its file.

    Raises:
        BenchmarkError: as `read_benchmark`.
    """
    read = read_benchmark(source, parts)
    return read.items, read.sha256


def columns_used(source: Source, parts: Sequence[Part]) -> Mapping[Part, tuple[str, ...]]:
    """The columns from which `read_items` takes each part of a benchmark (reads the file).

    Raises:
        BenchmarkError: as `read_benchmark`.
    """
    return read_benchmark(source, parts).columns


def nearest(name: str, known: Iterable[str]) -> str:
    """`' Did you mean "x"?'`, or nothing where no known name is near."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{matches[0]}"?' if matches else ""


class _Reader:
    """Finds the columns of one file and takes the texts out of its rows."""

    def __init__(self, source: Source, rows: Rows) -> None:
        self._source = source
        self._benchmark = source.benchmark
        self._rows = rows
        self._is_normalised = set(rows.names) == _NORMALISED and all(map(_is_normalised, rows.rows))
        self._joined: set[str] = set()

    def filter(self) -> tuple[list[tuple[int, dict[str, Any]]], bool]:
        """The rows of this benchmark with their numbers in the file, and whether the filter applied."""
        numbered = list(enumerate(self._rows.rows))
        row_filter = self._benchmark.row_filter
        if row_filter is None:
            return numbered, False
        place = self._place(row_filter.column)
        if place is None and self._is_normalised:
            return numbered, False
        if place is None:
            raise BenchmarkError(f"{self._no_column(row_filter.column)} `row_filter` needs it.")
        chosen = [
            (number, row) for number, row in numbered if any(map(row_filter.matches, _lookup(row, place)))
        ]
        if not chosen:
            test = "equals" if row_filter.starts_with is None else "starts with"
            text = row_filter.equals if row_filter.starts_with is None else row_filter.starts_with
            seen = dict.fromkeys(str(value) for row in self._rows.rows for value in _lookup(row, place))
            raise BenchmarkError(
                f'{_about(self._source)}: the row filter matches none of its {len(numbered)} rows: no "{place}" '
                f'{test} "{text}" (it has {_listing(seen)}). Mend `row_filter`, or drop it if the file holds this '
                f"benchmark alone."
            )
        return chosen, True

    def places(self, part: Part) -> Iterator[str]:
        """Where the columns of a part are: `question`, `fields.question`, or `text` in place of prompt columns."""
        stands_in = False
        for column in self._benchmark.columns(part):
            place = self._place(column)
            if place is not None:
                if column in self._benchmark.joined:
                    self._joined.add(place)
                yield place
            elif not self._is_normalised:
                raise BenchmarkError(self._no_column(column) + _without(part))
            elif part == "prompt" and not stands_in:
                stands_in = True
                yield "text"

    def texts(self, row: dict[str, Any], columns: Mapping[Part, Sequence[str]]) -> Iterator[tuple[Part, str]]:
        """Every text of a row with its part."""
        for part, places in columns.items():
            for place in places:
                for value in _lookup(row, place):
                    texts = _texts(value)
                    for text in [" ".join(texts)] if place in self._joined else texts:
                        yield part, text

    def _place(self, column: str) -> str | None:
        """Where a column is in the file; none where no row has it."""
        places = [column, f"fields.{column}"]
        if self._is_normalised:
            # The form has an `id` of its own, and may hold `choices.text` as a plain list `choices`.
            places = [*places[column == "id" :], f"fields.{column.partition('.')[0]}"]
        for place in places:
            if any(True for row in self._rows.rows for _ in _lookup(row, place)):
                return place
        return None

    def _no_column(self, column: str) -> str:
        names = list(self._rows.names)
        inside = {
            name for row in self._rows.rows if isinstance(row.get("fields"), dict) for name in row["fields"]
        }
        names += [f"fields.{name}" for name in sorted(inside)]
        known = f"(it has {_listing(names)}).{nearest(column, names)}"
        return f'{_about(self._source)} has no column "{column}" {known}'


def _about(source: Source) -> str:
    return f'benchmark "{source.benchmark.key}": {source.path}'


def _without(part: Part) -> str:
    if part == "prompt":
        return ""
    return f" Mend the entry, or index without this part: `--parts` with no {part}."


def _listing(names: Iterable[str], most: int = 40) -> str:
    """The names, and how many more there are."""
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def _id(row: dict[str, Any], number: int) -> str:
    name = row.get("id")
    return str(number if name is None else name)


def _is_normalised(row: dict[str, Any]) -> bool:
    return row.keys() == _NORMALISED and isinstance(row["text"], str) and isinstance(row["fields"], dict)


def _lookup(value: Any, column: str) -> Iterator[Any]:
    """Each value at the column, null or not; nothing where there is no such field."""
    if isinstance(value, list):
        for element in value:
            yield from _lookup(element, column)
    elif isinstance(value, dict):
        if column in value:
            yield value[column]
            return
        head, dot, rest = column.partition(".")
        if dot and head in value:
            yield from _lookup(value[head], rest)


def _texts(value: Any) -> Iterator[str]:
    """The strings in a value, each its own field, and numbers as they are written; bytes hold no text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        yield str(value)
    elif isinstance(value, list):
        for element in value:
            yield from _texts(element)
    elif isinstance(value, dict):
        for element in value.values():
            yield from _texts(element)
