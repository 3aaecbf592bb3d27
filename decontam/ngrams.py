"""The n-gram index of the benchmarks: built once, one file, mapped into memory by every worker.

It holds every permitted n-gram of 4 to 13 words of the benchmarks, as a suffix array of their text that goes no
deeper than 13 words, with a table of the 4-grams in front (`decontam.kernels`). An n-gram is *permitted* when
it is inside one field, has `min_words` to `max_words` words, and these are not only single letters or digits
and not only template words of its benchmark (`decontam.templates`). It is an n-gram of the rule `item` when a
unit that has it here has this n: the words of its longest field, at most `max_words`. A unit is a part of an
item.

File format `corpusmill-ngrams`, version 2: an Arrow IPC file with a single row, each column a list that is one
array, so that opening it copies nothing. The header is JSON in the schema's metadata under `corpusmill`. The
same benchmarks and settings give the same bytes.

    codes         the text: a 32-bit code for each word (half of its hash), 0 after every field
    rows          the suffix array: 64 bits for each place where a permitted n-gram starts (decontam.layout)
    slots, groups the table of the 4-grams: their rows
    bloom         a Bloom filter of the 4-grams
    vocabulary    the codes in the text, ascending; spellings: how each is written the first time
    exception_*   the places of words whose code belongs to another word already, and their spelling
    template      a bit for every code: a template word of its benchmark
    field_*       where each field starts, its unit, and whether it is a variant (decontam.fields)
    unit_*        the item id and the part (its rank in PARTS) of each unit
    benchmark_units  the first unit of each benchmark of the header, then the number of units

The id of an n-gram is 10 times its first row, plus n - 4. Equal hashes are not taken for equal n-grams: all
codes are compared, 32 bits for every word, so 128 bits at least.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Literal

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError

from decontam import _nodes, layout
from decontam.errors import BenchmarkError
from decontam.fields import normalised
from decontam.layout import I64, U8, U32, Flags, Tables
from decontam.settings import PARTS, SHORTEST_N, Part
from filters.words import WORD_RULE

_AT_ONCE = 1 << 20
"""n-grams that are spelt at once: their words are then well below the 2 GB of a string column."""
_FEW_WORDS = 10_000
"""Up to so many words are looked up one by one; for more, the whole vocabulary is brought to its normal form."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Template(_Frozen):
    """A run of template words, as it is first written (its words only), and how often the benchmark has it."""

    text: str
    uses: int


class IndexedBenchmark(_Frozen):
    """What the index knows of one benchmark.

    The items that are not matchable under the rule `item` are too short, only template text, or (the rest)
    only single letters or digits.
    """

    key: str
    family: str | None
    license: str | None
    language: str | None
    sha256: str
    columns: dict[Part, tuple[str, ...]]
    """The columns that each part was read from."""
    filtered: bool
    """Whether the row filter of the registry was applied."""
    items: int
    words: int
    matchable: int
    too_short: int
    only_template: int
    template_words: int
    templates: tuple[Template, ...]
    """The most frequent template texts."""


class Header(_Frozen):
    """What the index was made of, and how."""

    format: Literal["corpusmill-ngrams"] = "corpusmill-ngrams"
    version: Literal[2] = 2
    word_rule: str = WORD_RULE
    min_words: int
    max_words: int
    parts: tuple[Part, ...]
    template_share: float
    template_items: int
    benchmarks: tuple[IndexedBenchmark, ...]
    skipped: tuple[str, ...]
    missing: tuple[str, ...]
    words: int
    """The words of all fields, variants not counted."""
    ngrams: int
    """The distinct permitted n-grams."""
    item_ngrams: int
    """Those of them that are n-grams of the rule `item`."""
    digest: str
    """BLAKE2b of the arrays: two indexes with the same digest have the same ids for the same n-grams."""


@dataclass(frozen=True)
class Ngram:
    """One n-gram of the index: the first item that has it, and how many item parts share it."""

    benchmark: str
    item: str
    part: Part
    n: int
    words: tuple[str, ...]
    shared_by: int


class NgramIndex:
    """All n-grams of the benchmarks. `decontam.scan` finds them, `explain` says what an id stands for."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        """Wrap the one row of an index file.

        Raises:
            BenchmarkError: when the index was made by another word rule than this program's.
        """
        self._batch = batch
        self.header = Header.model_validate_json((batch.schema.metadata or {})[b"corpusmill"])
        if self.header.word_rule != WORD_RULE:
            raise BenchmarkError(f"its word rule is {self.header.word_rule}, the program's {WORD_RULE}")
        self.tables = Tables(*(self._array(name) for name in Tables._fields))
        self._check()

    @classmethod
    def open(cls, path: str) -> NgramIndex:
        """Opens an index read-only: a local file is mapped into memory, a remote one is read.

        Raises:
            FileNotFoundError: when there is no such file.
            BenchmarkError: when it is not an index, or one of another version or word rule.
        """
        try:
            if "://" in path:
                with fsspec.open(path, "rb") as file:
                    source: Any = pa.py_buffer(file.read())
            else:
                source = pa.memory_map(path)
            return cls(pa.ipc.open_file(source).get_batch(0))
        except (BenchmarkError, pa.ArrowInvalid, KeyError, ValidationError) as error:
            reason = "its header is of another version" if isinstance(error, ValidationError) else error
            raise BenchmarkError(
                f"{path} is not an n-gram index that this version can read ({reason}). "
                "Make it again from the benchmark files: `decontam index`."
            ) from error

    def write(self, file: IO[bytes]) -> None:
        """Writes the index to an open binary file."""
        with pa.ipc.new_file(file, self._batch.schema) as writer:
            writer.write_batch(self._batch)

    # ---- n-grams

    @property
    def id_limit(self) -> int:
        """All ids are below this number; most numbers below it are no id."""
        return len(self.tables.rows) * layout.IDS_PER_ROW

    @property
    def size(self) -> int:
        """The number of distinct permitted n-grams."""
        return self.header.ngrams

    def lengths_of(self, ids: U32) -> U8:
        """The n of each n-gram."""
        return (np.asarray(ids) % layout.IDS_PER_ROW + SHORTEST_N).astype(np.uint8)

    def is_item(self, ids: U32) -> Flags:
        """Which n-grams are n-grams of the rule `item`.

        Raises:
            IndexError: when an id is none of this index.
        """
        return self._bits(ids, int(layout.ITEM_SHIFT))

    def explain(self, ngram: int) -> Ngram:
        """What an n-gram id stands for.

        Raises:
            IndexError: when the index has no such n-gram.
        """
        if not 0 <= ngram < self.id_limit:
            raise IndexError(_unknown(ngram))
        row = self.describe(np.array([ngram], np.uint32)).to_pylist()[0]
        return Ngram(**row | {"words": tuple(row["words"].split(" "))})

    def describe(self, ids: U32) -> pa.Table:
        """What n-gram ids stand for, in their order.

        Columns: benchmark, item, part (strings) of the first unit that has the n-gram; n (uint8); words (string,
        joined by a space); shared_by (uint32), the number of units that have it.

        Raises:
            IndexError: when the index has no such n-gram.
        """
        ids = self._checked(ids)
        parts = [self._describe(ids[first : first + _AT_ONCE]) for first in range(0, len(ids), _AT_ONCE)]
        return pa.concat_tables(parts) if parts else self._describe(ids)

    def _describe(self, ids: U32) -> pa.Table:
        places, shared_by = self._first_places(ids)
        units = self._unit_of_place[places].astype(np.int64)
        benchmarks = pa.array([benchmark.key for benchmark in self.header.benchmarks], pa.string())
        lengths = self.lengths_of(ids)
        return pa.table(
            {
                "benchmark": benchmarks.take(pa.array(self.unit_benchmarks[units])),
                "item": self._column("unit_items").take(pa.array(units)).cast(pa.string()),
                "part": pa.array(PARTS, pa.string()).take(pa.array(self.unit_parts[units])),
                "n": pa.array(lengths),
                "words": self._spell(places, lengths),
                "shared_by": pa.array(shared_by),
            }
        )

    def units_of(self, ids: U32) -> tuple[I64, I64]:
        """Who has the n-grams: the number of an id in `ids` and a unit that has it, for all distinct pairs.

        The pairs ascend. `unit_benchmarks`, `unit_items` and `unit_parts` say what a unit is.

        Raises:
            IndexError: when the index has no such n-gram.
        """
        ids = self._checked(ids)
        _, shared_by = self._first_places(ids)
        found: tuple[I64, I64] = _nodes.units_with(
            ids, shared_by, self.tables.rows, self._array("template"), self._unit_of_place, self._unit_count
        )
        return found

    def starting(self, ids: U32, n: int) -> Flags:
        """At which places of `codes` a permitted n-gram of n words starts whose id is among `ids` (any order)."""
        ids = np.asarray(ids, np.uint32)
        wanted = np.sort(ids[self.lengths_of(ids) == n])
        starts = np.zeros(len(self.codes), np.bool_)
        _nodes.mark_starts(wanted, n, self.tables.rows, self._array("template"), starts)
        return starts

    # ---- the text and where it is from

    @property
    def codes(self) -> U32:
        """The text: a code for each word, 0 after each field and at the very end."""
        return self.tables.codes

    @cached_property
    def field_starts(self) -> I64:
        """[fields + 1] Field f is codes[field_starts[f] : field_starts[f + 1] - 1]."""
        starts: I64 = self._array("field_starts").astype(np.int64)
        return starts

    @property
    def field_units(self) -> U32:
        """[fields] The unit of each field."""
        array: U32 = self._array("field_units")
        return array

    @property
    def field_is_variant(self) -> Flags:
        """[fields] Whether a field is another one in upper case."""
        flags: Flags = self._array("field_variants").astype(np.bool_)
        return flags

    @cached_property
    def unit_benchmarks(self) -> U32:
        """[units] The number of the benchmark in `header.benchmarks`."""
        counts = np.diff(self._array("benchmark_units"))
        return np.repeat(np.arange(len(counts), dtype=np.uint32), counts)

    @property
    def unit_items(self) -> pa.Array:
        """[units] The id of the item, a string."""
        return self._column("unit_items")

    @property
    def unit_parts(self) -> U8:
        """[units] The rank of the part in `PARTS`."""
        array: U8 = self._array("unit_parts")
        return array

    # ---- inside

    @cached_property
    def _unit_of_place(self) -> U32:
        sizes = np.diff(self.field_starts)
        if (sizes < 1).any() or sizes.sum() > len(self.codes) or (self.field_units >= self._unit_count).any():
            raise BenchmarkError(
                "decontamination: the fields of the n-gram index are damaged; build it again."
            )
        units = np.zeros(len(self.codes), np.uint32)
        units[: sizes.sum()] = np.repeat(self.field_units, sizes)
        return units

    @cached_property
    def _spellings(self) -> pa.Array:
        return normalised(self._column("spellings"))

    @property
    def _unit_count(self) -> int:
        return len(self.unit_parts)

    def _first_places(self, ids: U32) -> tuple[I64, U32]:
        found: tuple[I64, U32] = _nodes.first_places(
            ids, self.tables.rows, self._array("template"), self._unit_of_place, self._unit_count
        )
        return found

    def _bits(self, ids: U32, shift: int) -> Flags:
        ids = np.asarray(ids, np.uint32)
        if len(ids) and int(ids.max()) >= self.id_limit:
            raise IndexError(_unknown(int(ids.max())))
        rows = self.tables.rows[ids // layout.IDS_PER_ROW]
        return ((rows >> (ids % layout.IDS_PER_ROW + shift).astype(np.uint64)) & np.uint64(1)).astype(
            np.bool_
        )

    def _checked(self, ids: U32) -> U32:
        ids = np.ascontiguousarray(ids, np.uint32)
        known = self._bits(ids, 0)
        if not known.all():
            raise IndexError(_unknown(int(ids[~known][0])))
        return ids

    def _spell(self, places: I64, lengths: U8) -> pa.StringArray:
        """The words at each place, joined by a space."""
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        word_places = np.repeat(places - offsets[:-1], lengths) + np.arange(offsets[-1])
        ranks = np.searchsorted(self._array("vocabulary"), self.codes[word_places])
        if len(ranks) < _FEW_WORDS:
            used, ranks = np.unique(ranks, return_inverse=True)
            spellings = normalised(self._column("spellings").take(pa.array(used)))
        else:
            spellings = self._spellings
        exceptions = self._array("exception_places")
        numbers = np.searchsorted(exceptions, word_places)
        is_exception = np.append(exceptions, np.uint32(0))[numbers] == word_places
        is_exception &= numbers < len(exceptions)
        if is_exception.any():
            others = normalised(self._column("exception_spellings"))
            ranks = np.where(is_exception, len(spellings) + numbers, ranks)
            spellings = pa.concat_arrays([spellings, others])
        words = pa.LargeListArray.from_arrays(pa.array(offsets), spellings.take(pa.array(ranks)))
        return pc.binary_join(words, pa.scalar(" ", pa.large_string())).cast(pa.string())

    def _check(self) -> None:
        """Refuses arrays that do not fit together; the scan checks the rest as it goes."""
        tables = self.tables
        blocks = len(tables.bloom)
        if blocks < 2 or blocks & (blocks - 1) or not len(tables.slots) or len(tables.codes) < layout.PADDING:
            raise BenchmarkError("its tables are damaged")

    def _column(self, name: str) -> Any:
        return self._batch.column(name).values

    def _array(self, name: str) -> Any:
        return self._column(name).to_numpy(zero_copy_only=True)


def as_batch(arrays: Mapping[str, Any], header: Header) -> pa.RecordBatch:
    """One row in which every column is a list that holds a whole array."""
    columns = []
    for values in arrays.values():
        flat = values if isinstance(values, pa.Array) else pa.array(values)
        columns.append(pa.LargeListArray.from_arrays(pa.array([0, len(flat)], pa.int64()), flat))
    fields = [pa.field(name, column.type) for name, column in zip(arrays, columns, strict=True)]
    schema = pa.schema(fields, metadata={"corpusmill": header.model_dump_json()})
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def digest_of(arrays: Mapping[str, Any]) -> str:
    """The BLAKE2b of named arrays, in hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=32)
    for name, values in arrays.items():
        digest.update(f"{name}\0".encode())
        if isinstance(values, pa.Array):
            _, offsets, data = values.buffers()
            width = np.int64 if pa.types.is_large_string(values.type) else np.int32
            bounds: Any = np.frombuffer(offsets, width)[values.offset : values.offset + len(values) + 1]
            digest.update((bounds - bounds[:1]).data)
            digest.update(memoryview(data or b"")[slice(*bounds[[0, -1]].tolist())] if len(values) else b"")
        else:
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _unknown(ngram: int) -> str:
    return f"n-gram {ngram} is none of this index"
