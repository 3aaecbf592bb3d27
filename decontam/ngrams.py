"""The n-gram index of the benchmarks: built once, one file, mapped into memory by every worker.

File format `corpusmill-ngrams`, version 1: an Arrow IPC file with a single row, each column a list that is
one array of `Tables` (or of the names behind `explain`), so that opening it copies nothing. The header is
JSON in the schema's metadata under `corpusmill`. The same benchmarks and settings give the same bytes.

    n-gram ids   0, 1, ... in order of n, then of the n-gram's 64-bit hash, then of its first occurrence
    buckets      for each n, the first id of every value of the hash's leading bits: a look-up is one step
    prefixes     a Bloom filter of the first k words of all n-grams, k the least n present, and in the same
                 block of each the n of those n-grams: at most places the scan ends here
    bloom        a Bloom filter of the n-grams themselves
    words        the benchmark text as ranks in the vocabulary; an n-gram is known by its place in it

Equal hashes are not taken for equal n-grams: a look-up compares the 64-bit hashes of all n words. A false
match needs different words with the same 64-bit hash at the same place, so none is to be expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Literal, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from decontam.errors import BenchmarkError
from decontam.kernels import I64, U32, U64
from decontam.settings import PARTS, Part
from filters.words import WORD_RULE


class IndexedBenchmark(BaseModel):
    """What the index knows of one benchmark. The items that are neither are single letters or digits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    family: str | None
    license: str | None
    language: str | None
    sha256: str
    items: int
    matchable: int
    too_short: int


class Header(BaseModel):
    """What the index was made of, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["corpusmill-ngrams"] = "corpusmill-ngrams"
    version: Literal[1] = 1
    word_rule: str = WORD_RULE
    rule: Literal["item"]
    min_words: int
    max_words: int
    parts: tuple[Part, ...]
    benchmarks: tuple[IndexedBenchmark, ...]
    skipped: tuple[str, ...]
    missing: tuple[str, ...]


class Tables(NamedTuple):
    """The arrays that the scan reads: read-only, shared by all processes through the page cache."""

    starts: I64  # [LONGEST_N + 2] the n-grams of n words have the ids starts[n] to starts[n + 1]
    hashes: U64  # [n-grams] ascending for each n
    positions: U32  # [n-grams] the first word of the n-gram's first occurrence
    bucket_starts: I64  # [LONGEST_N + 2] where the buckets of each n lie
    bucket_bits: U64  # [LONGEST_N + 1] how many leading bits of the hash choose among them
    buckets: U32  # [...] for each n, 2^bits first ids, and the end of the last
    prefixes: U64  # [a power of two] 64-bit blocks of a Bloom filter
    bloom: U64  # the same
    words: U32  # [words] ranks in the vocabulary
    vocabulary: U64  # [distinct words] ascending word hashes


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
            raise BenchmarkError(
                f"decontamination: {path} is not an n-gram index that this version can read ({error}). "
                "Delete it: the next run builds it again from the benchmark files."
            ) from error

    def write(self, file: IO[bytes]) -> None:
        """Writes the index to an open binary file."""
        with pa.ipc.new_file(file, self._batch.schema) as writer:
            writer.write_batch(self._batch)

    @property
    def size(self) -> int:
        """The number of n-grams; their ids are 0 to size - 1."""
        return len(self.tables.hashes)

    @cached_property
    def lengths(self) -> I64:
        """Every n that occurs, ascending."""
        return np.flatnonzero(np.diff(self.tables.starts))

    def explain(self, ngram: int) -> Ngram:
        """What an n-gram id stands for.

        Raises:
            IndexError: when the index has no such n-gram.
        """
        if not 0 <= ngram < self.size:
            raise IndexError(f"n-gram {ngram} is not one of the {self.size} of the index")
        n = int(np.searchsorted(self.tables.starts, ngram, side="right")) - 1
        first = int(self.tables.positions[ngram])
        unit = int(np.searchsorted(self._array("unit_starts"), first, side="right")) - 1
        spellings = self._batch.column("spellings").values
        return Ngram(
            benchmark=self.header.benchmarks[int(self._array("unit_benchmarks")[unit])].key,
            item=self._batch.column("unit_items").values[unit].as_py(),
            part=PARTS[int(self._array("unit_parts")[unit])],
            n=n,
            words=tuple(spellings[int(rank)].as_py() for rank in self.tables.words[first : first + n]),
            shared_by=int(self._array("shared_by")[ngram]),
        )

    def _array(self, name: str) -> Any:
        return self._batch.column(name).values.to_numpy(zero_copy_only=True)
