"""From benchmark files to the n-gram index.

The rule `item` (docs/decontamination.md): a part of an item has one n, the words of its longest field but at
most `max_words` (13). Every n-gram of that n inside one field counts, unless it is made only of single
letters or digits. A part without a field of `min_words` (4) words is not matchable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from decontam import kernels
from decontam.benchmarks import Item, Registry, Source, load_registry, read_items
from decontam.errors import BenchmarkError
from decontam.kernels import I64, POWERS, U8, U32, U64, Flags
from decontam.ngrams import Header, IndexedBenchmark, NgramIndex
from decontam.settings import LONGEST_N, PARTS, DecontaminationSettings
from filters.unicode_tables import CJK, character_table
from filters.words import WordIndex, index_words, split_words

_MOST_WORDS = 1 << 32  # places and ids are 32 bits wide
_HANGUL = range(0xAC00, 0xD7A4)  # its syllables are composed of letters


def build_index(settings: DecontaminationSettings) -> NgramIndex:
    """Reads the benchmarks that the settings name and indexes the n-grams of their items.

    Raises:
        BenchmarkError: when the registry or a benchmark file is wrong or missing.
    """
    registry = load_registry(settings)
    builder = _Builder(settings)
    for source in registry.sources:
        items, sha256 = read_items(source, settings.parts)
        builder.add(source, items, sha256)
    return builder.finish(registry)


@dataclass
class _Fields:
    """The texts of one benchmark's items. A unit is a part of an item; a unit's fields follow one another."""

    texts: list[str]
    units: U32  # of each field
    items: I64  # of each unit: the number of its item
    parts: list[int]  # of each unit: the rank in PARTS

    @classmethod
    def of(cls, items: Sequence[Item]) -> _Fields:
        texts: list[str] = []
        units: list[int] = []
        owners: list[tuple[int, int]] = []
        for number, item in enumerate(items):
            for part, text in item.fields:
                owner = (number, PARTS.index(part))
                if not owners or owners[-1] != owner:
                    owners.append(owner)
                units.append(len(owners) - 1)
                texts.append(text.encode("utf-8", "replace").decode())  # JSON may hold lone surrogates
        numbers = np.array([number for number, _ in owners], np.int64)
        return cls(texts, np.array(units, np.uint32), numbers, [part for _, part in owners])


@dataclass
class _Occurrences:
    """n-grams in the order of the text: n, hash, first word, unit."""

    n: U8
    values: U64
    positions: U32
    units: U32


class _Builder:
    """Takes the words and n-grams of one benchmark after another; `finish` sorts them into tables."""

    def __init__(self, settings: DecontaminationSettings) -> None:
        self._settings = settings
        self._benchmarks: list[IndexedBenchmark] = []
        self._spellings: dict[int, str] = {}
        self._hashes: list[U64] = []
        self._word_count = 0
        self._unit_benchmarks: list[int] = []
        self._unit_items: list[str] = []
        self._unit_parts: list[int] = []
        self._unit_starts: list[I64] = []
        self._occurrences: list[_Occurrences] = []

    def add(self, source: Source, items: Sequence[Item], sha256: str) -> None:
        """Adds the n-grams of a benchmark's items."""
        fields = _Fields.of(items)
        words = index_words(pa.array(fields.texts, pa.large_string()))
        n_of_unit = self._choose_n(fields, words)
        n, values, positions, units = kernels.ngrams_of_fields(
            words.hashes, words.word_offsets, self._single_characters(words), fields.units, n_of_unit, POWERS
        )
        self._benchmarks.append(
            IndexedBenchmark(
                **source.benchmark.model_dump(include={"key", "family", "license", "language"}),
                sha256=sha256,
                items=len(items),
                matchable=len(np.unique(fields.items[np.unique(units)])),
                too_short=len(items) - len(np.unique(fields.items[n_of_unit > 0])),
            )
        )
        positions += np.uint32(self._word_count)
        units += np.uint32(len(self._unit_items))
        self._occurrences.append(_Occurrences(n, values, positions, units))
        self._add_units(items, fields, words)
        self._hashes.append(words.hashes)
        self._word_count += len(words.hashes)
        if self._word_count >= _MOST_WORDS:
            raise BenchmarkError(
                "decontamination: the benchmarks have more than 2^32 words; index fewer at once."
            )

    def finish(self, registry: Registry) -> NgramIndex:
        """The index of everything added."""
        vocabulary, ranks = np.unique(_concatenate(self._hashes, np.uint64), return_inverse=True)
        words: U32 = ranks.astype(np.uint32)
        starts, hashes, positions, shared_by = self._distinct(words)
        bucket_starts, bucket_bits, buckets = _buckets(starts, hashes)
        arrays: dict[str, Any] = {
            "starts": starts,
            "hashes": hashes,
            "positions": positions,
            "bucket_starts": bucket_starts,
            "bucket_bits": bucket_bits,
            "buckets": buckets,
            "prefixes": _prefix_filter(starts, positions, words, vocabulary),
            "bloom": _bloom(hashes),
            "words": words,
            "vocabulary": vocabulary,
            "shared_by": shared_by,
            "spellings": [self._spellings[int(value)] for value in vocabulary],
            "unit_benchmarks": np.array(self._unit_benchmarks, np.uint32),
            "unit_items": self._unit_items,
            "unit_parts": np.array(self._unit_parts, np.uint8),
            "unit_starts": _concatenate(self._unit_starts, np.int64),
        }
        return NgramIndex(_as_batch(arrays, self._header(registry)))

    def _choose_n(self, fields: _Fields, words: WordIndex) -> I64:
        """The n of each unit: the words of its longest field, at most `max_words`; 0 if too short."""
        longest = np.zeros(len(fields.items), np.int64)
        np.maximum.at(longest, fields.units, words.word_counts)
        longest[longest < self._settings.min_words] = 0
        return np.minimum(longest, self._settings.max_words)

    def _single_characters(self, words: WordIndex) -> Flags:
        """Which words are a single letter or digit; notes how words new to the index are spelt."""
        distinct, first, ranks = np.unique(words.hashes, return_index=True, return_inverse=True)
        single = np.zeros(len(distinct), np.bool_)
        for rank, (value, word) in enumerate(zip(distinct.tolist(), first.tolist(), strict=True)):
            spelling = self._spellings.get(value)
            if spelling is None:
                spelling = self._spellings[value] = split_words(words.text(word))[0]
            single[rank] = _is_letter_or_digit(spelling)
        return single[ranks]

    def _add_units(self, items: Sequence[Item], fields: _Fields, words: WordIndex) -> None:
        first_fields = np.flatnonzero(np.diff(fields.units.astype(np.int64), prepend=-1))
        self._unit_starts.append(words.word_offsets[first_fields] + self._word_count)
        self._unit_items.extend(items[number].id for number in fields.items)
        self._unit_parts.extend(fields.parts)
        self._unit_benchmarks.extend([len(self._benchmarks) - 1] * len(fields.items))

    def _distinct(self, words: U32) -> tuple[I64, U64, U32, U32]:
        """Where the n-grams of each n start, and every n-gram's hash, first place, and number of units."""
        n = _concatenate([each.n for each in self._occurrences], np.uint8)
        values = _concatenate([each.values for each in self._occurrences], np.uint64)
        positions = _concatenate([each.positions for each in self._occurrences], np.uint32)
        units = _concatenate([each.units for each in self._occurrences], np.uint32)
        starts = np.zeros(LONGEST_N + 2, np.int64)
        parts = []
        for length in range(LONGEST_N + 1):
            chosen = np.flatnonzero(n == length)
            order = chosen[np.argsort(values[chosen], kind="stable")]
            parts.append(
                kernels.distinct_ngrams(values[order], positions[order], units[order], words, length)
            )
            starts[length + 1] = starts[length] + len(parts[-1][0])
        hashes, places, shared_by = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return starts, hashes, places, shared_by

    def _header(self, registry: Registry) -> Header:
        return Header(
            rule=self._settings.rule,
            min_words=self._settings.min_words,
            max_words=self._settings.max_words,
            parts=self._settings.parts,
            benchmarks=tuple(self._benchmarks),
            skipped=registry.skipped,
            missing=registry.missing,
        )


def _is_letter_or_digit(spelling: str) -> bool:
    """Whether a word is a single letter or digit; ideographs, kana and Hangul syllables are more."""
    return len(spelling) == 1 and ord(spelling) not in _HANGUL and character_table().kind(spelling) != CJK


def _buckets(starts: I64, hashes: U64) -> tuple[I64, U64, U32]:
    """For each n, the first id of every value of the leading bits: one or two n-grams to a bucket."""
    bucket_starts = np.zeros(LONGEST_N + 2, np.int64)
    bucket_bits = np.zeros(LONGEST_N + 1, np.uint64)
    parts = [np.zeros(0, np.uint32)]
    for n in range(LONGEST_N + 1):
        first, last = int(starts[n]), int(starts[n + 1])
        ids = np.zeros(0, np.uint32)
        if last > first:
            bits = max(1, (last - first).bit_length() - 1)
            bounds = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
            ids = np.append(first + np.searchsorted(hashes[first:last], bounds), last).astype(np.uint32)
            bucket_bits[n] = bits
        bucket_starts[n + 1] = bucket_starts[n] + len(ids)
        parts.append(ids)
    return bucket_starts, bucket_bits, np.concatenate(parts)


def _bloom(values: U64) -> U64:
    bloom = _empty_filter(len(values))
    kernels.fill_bloom(bloom, values)
    return bloom


def _prefix_filter(starts: I64, positions: U32, words: U32, vocabulary: U64) -> U64:
    lengths = np.flatnonzero(np.diff(starts))
    least = int(lengths[0]) if len(lengths) else 1
    values = kernels.first_words_hashes(words, vocabulary, positions, least, POWERS[least])
    prefixes = _empty_filter(len(np.unique(values)))
    kernels.fill_prefixes(prefixes, values, starts)
    return prefixes


def _empty_filter(keys: int) -> U64:
    blocks = max(2, keys * kernels.BLOOM_BITS // 64)
    return np.zeros(1 << (blocks - 1).bit_length(), np.uint64)


def _concatenate(arrays: Sequence[npt.NDArray[Any]], kind: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, kind), *arrays])


def _as_batch(arrays: dict[str, Any], header: Header) -> pa.RecordBatch:
    """One row in which every column is a list that holds a whole array."""
    columns = []
    for values in arrays.values():
        flat = pa.array(values, pa.string()) if isinstance(values, list) else pa.array(values)
        columns.append(pa.LargeListArray.from_arrays(pa.array([0, len(flat)], pa.int64()), flat))
    fields = [pa.field(name, column.type) for name, column in zip(arrays, columns, strict=True)]
    schema = pa.schema(fields, metadata={"corpusmill": header.model_dump_json()})
    return pa.RecordBatch.from_arrays(columns, schema=schema)
