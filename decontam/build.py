"""From benchmark files to the n-gram index.

The text of all fields becomes word codes, the places of that text a suffix array (`decontam._suffix`), and
what is permitted a few bits in every row: docs/decontamination.md states the rules, and tests/decontam/
reference.py does in plain Python.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from decontam import _suffix, kernels, layout
from decontam.errors import BenchmarkError
from decontam.fields import FieldWords, cut_words, distinct_words, field_words
from decontam.layout import I64, U8, U32, U64, Flags
from decontam.ngrams import Header, IndexedBenchmark, NgramIndex, Template, as_batch, digest_of
from decontam.registry import BenchmarkItems, Registry, Source, load_registry, read_benchmark
from decontam.settings import SHORTEST_N, DecontaminationSettings
from decontam.templates import TEMPLATE_ITEMS, TEMPLATE_SHARE, items_needed, most_frequent_runs

_MOST_ROWS = (1 << 32) // layout.IDS_PER_ROW
"""Ids are 32 bits wide, and every row has ten."""
_MOST_CODES = (1 << 32) - 1

_BLOOM_BITS = 12
"""The least bits of the filter for each 4-gram; the size is a power of two, so up to twice as many."""
_LARGEST_BLOOM = 1 << 21
"""Blocks of 8 bytes: 16 MB, what a share of the last cache holds (research/kernels.md, section 4)."""
_FILLED = 0.8
"""Of the table of 4-grams."""


def build_index(settings: DecontaminationSettings) -> NgramIndex:
    """Reads the benchmarks that the settings name and indexes the n-grams of their items.

    Raises:
        BenchmarkError: when the registry or a benchmark file is wrong or missing, or there is too much text.
    """
    registry = load_registry(settings)
    builder = Builder(settings)
    for source in registry.sources:
        builder.add(source, read_benchmark(source, settings.parts))
    return builder.finish(registry)


@dataclass
class _Text:
    """The text of all benchmarks, variants too, and what its places and fields are."""

    codes: U32
    single: Flags  # for each place (a word or the end of a field): a single letter or digit
    units: U32  # of each place
    field_starts: I64
    field_units: U32
    field_is_variant: Flags
    item_n: U8  # of each field: n under the rule `item`, 0 where its unit is too short


class Builder:
    """Takes the words of one benchmark after another; `finish` sorts them into an index."""

    def __init__(self, settings: DecontaminationSettings) -> None:
        self._settings = settings
        self._sources: list[Source] = []
        self._read: list[BenchmarkItems] = []
        self._item_counts: list[int] = []
        self._fields: list[FieldWords] = []
        self._unit_items: list[str] = []
        self._places = 0

    def add(self, source: Source, read: BenchmarkItems) -> None:
        """Adds the words of a benchmark's items.

        Raises:
            BenchmarkError: when there are more words than an index can hold.
        """
        fields = field_words(read.items)
        self._sources.append(source)
        self._read.append(dataclasses.replace(read, items=[]))
        self._item_counts.append(len(read.items))
        self._fields.append(fields)
        self._unit_items.extend(read.items[number].id for number in fields.items)
        self._places += fields.places
        if self._places > _MOST_CODES - layout.PADDING:
            raise _too_large(f"{self._places} words; 2^32 are what")

    def finish(self, registry: Registry) -> NgramIndex:
        """The index of everything added.

        Raises:
            BenchmarkError: when there are more n-grams than an index can hold.
        """
        text = self._text()
        places, shared = _sorted_places(text.codes, text.field_starts)
        single_runs = _suffix.runs_of(text.single)
        template = self._template_words(text, places, shared, single_runs)
        least, most = self._settings.min_words, self._settings.max_words
        bits, states = _suffix.judge_places(
            text.field_starts, text.item_n, single_runs, _suffix.runs_of(template), least, most
        )
        kept, bits = _suffix.keep_permitted(places, shared, bits)
        if kept > _MOST_ROWS:
            raise _too_large(f"{kept} places; {_MOST_ROWS} are what")
        places, shared = places[:kept], shared[:kept]
        _suffix.gather_bits(bits, shared)
        arrays = _tables(text.codes, places, shared, bits)
        arrays |= self._words(text) | self._origins(text, template)
        sizes = np.diff(text.field_starts) - 1
        header = Header(
            min_words=least,
            max_words=most,
            parts=self._settings.parts,
            template_share=TEMPLATE_SHARE,
            template_items=TEMPLATE_ITEMS,
            benchmarks=self._benchmarks(text, template, states),
            skipped=registry.skipped,
            missing=registry.missing,
            words=int(sizes[~text.field_is_variant].sum()),
            ngrams=int(np.bitwise_count(bits & np.uint32(layout.N_MASK)).sum(dtype=np.int64)),
            item_ngrams=int(np.bitwise_count(bits >> np.uint32(layout.IDS_PER_ROW)).sum(dtype=np.int64)),
            digest=digest_of(arrays),
        )
        return NgramIndex(as_batch(arrays, header))

    # ---- the text

    def _text(self) -> _Text:
        codes = np.zeros(self._places + layout.PADDING, np.uint32)
        single = np.zeros(len(codes), np.bool_)
        starts, units, item_n = [np.zeros(1, np.int64)], [], []
        place, unit_count = 0, 0
        for fields in self._fields:
            offsets = fields.words.word_offsets
            kernels.stream_of(fields.words.hashes, offsets, codes[place:])
            _suffix.spread_flags(fields.single, offsets, single[place:])
            starts.append(offsets[1:] + np.arange(1, len(offsets)) + place)
            units.append(fields.units + np.uint32(unit_count))
            item_n.append(fields.item_n(self._settings.min_words, self._settings.max_words))
            place, unit_count = place + fields.places, unit_count + len(fields.items)
        field_starts, field_units = np.concatenate(starts), _joined(units, np.uint32)
        units_of_places = np.zeros(len(codes), np.uint32)
        units_of_places[: self._places] = np.repeat(field_units, np.diff(field_starts))
        return _Text(
            codes=codes,
            single=single,
            units=units_of_places,
            field_starts=field_starts,
            field_units=field_units,
            field_is_variant=_joined([fields.is_variant for fields in self._fields], np.bool_),
            item_n=_joined(item_n, np.uint8),
        )

    def _template_words(self, text: _Text, places: U32, shared: U8, single_runs: U8) -> Flags:
        """The template words of every benchmark (decontam.templates)."""
        needed = items_needed(self._item_counts)
        template = np.zeros(len(text.codes), np.bool_)
        if len(needed) and len(places):
            items, benchmarks = self._item_of_unit(), self._benchmark_of_unit()
            held = _suffix.items_holding(shared, places, text.units, items, benchmarks, needed)
            held &= single_runs[places] < SHORTEST_N
            _suffix.mark_words(places[held], template)
        return template

    def _item_of_unit(self) -> U32:
        firsts = np.cumsum([0, *self._item_counts])
        parts = [fields.items + first for fields, first in zip(self._fields, firsts[:-1], strict=True)]
        return np.concatenate([np.zeros(0, np.uint32), *parts]).astype(np.uint32)

    def _benchmark_of_unit(self) -> U32:
        counts = [len(fields.items) for fields in self._fields]
        return np.repeat(np.arange(len(counts)), counts).astype(np.uint32)

    # ---- what the header tells

    def _benchmarks(self, text: _Text, template: Flags, states: U8) -> tuple[IndexedBenchmark, ...]:
        """What became of the items of each benchmark."""
        of_items = np.zeros(sum(self._item_counts), np.uint8)
        np.maximum.at(of_items, self._item_of_unit()[text.field_units], states)
        ends = np.cumsum(self._item_counts)
        place, benchmarks = 0, []
        for number, (source, fields) in enumerate(zip(self._sources, self._fields, strict=True)):
            counts = np.bincount(
                of_items[ends[number] - self._item_counts[number] : ends[number]], minlength=4
            )
            end = place + fields.places
            benchmarks.append(
                IndexedBenchmark(
                    **source.benchmark.model_dump(include={"key", "family", "license", "language"}),
                    sha256=self._read[number].sha256,
                    columns=dict(self._read[number].columns),
                    filtered=self._read[number].filtered,
                    items=self._item_counts[number],
                    words=int(fields.words.word_counts[~fields.is_variant].sum()),
                    matchable=int(counts[_suffix.MATCHABLE]),
                    too_short=int(counts[_suffix.TOO_SHORT]),
                    only_template=int(counts[_suffix.ONLY_TEMPLATE]),
                    template_words=int(np.count_nonzero(template[place:end])),
                    templates=_templates(text, template, fields, place),
                )
            )
            place = end
        return tuple(benchmarks)

    # ---- the arrays

    def _words(self, text: _Text) -> dict[str, Any]:
        """How the codes are spelt; the few words whose code another word has already are spelt by place."""
        if not self._fields:
            hashes, spellings = np.zeros(0, np.uint64), pa.array([], pa.large_string())
        else:
            hashes = np.concatenate([fields.words.hashes[fields.new_words] for fields in self._fields])
            spellings = pa.concat_arrays([fields.spellings for fields in self._fields])
        first, _ = distinct_words(hashes)
        distinct = hashes[first]
        codes = np.maximum(distinct >> np.uint64(32), 1).astype(np.uint32)
        order = np.argsort(codes, kind="stable")
        codes, distinct, first = codes[order], distinct[order], first[order]
        is_other = np.zeros(len(codes), np.bool_)
        is_other[1:] = codes[1:] == codes[:-1]
        number_of = dict(zip(distinct[is_other].tolist(), first[is_other].tolist(), strict=True))
        places, others = self._places_of(text, distinct[is_other])
        exceptions = np.array([number_of[value] for value in others.tolist()], np.int64)
        return {
            "vocabulary": codes[~is_other],
            "spellings": spellings.take(pa.array(first[~is_other])),
            "exception_places": places,
            "exception_spellings": spellings.take(pa.array(exceptions)),
        }

    def _places_of(self, text: _Text, wanted: U64) -> tuple[U32, U64]:
        """Where in the text the words with these few hashes are, and which."""
        if not len(wanted):
            return np.zeros(0, np.uint32), wanted
        hashes = np.concatenate([fields.words.hashes for fields in self._fields])
        numbers = _suffix.numbers_of(hashes, wanted)
        return np.flatnonzero(text.codes)[numbers].astype(np.uint32), hashes[numbers]

    def _origins(self, text: _Text, template: Flags) -> dict[str, Any]:
        return {
            "field_starts": text.field_starts.astype(np.uint32),
            "field_units": text.field_units,
            "field_variants": text.field_is_variant.astype(np.uint8),
            "template": np.packbits(template, bitorder="little"),
            "benchmark_units": np.cumsum([0, *(len(fields.items) for fields in self._fields)]),
            "unit_items": _short_strings(self._unit_items),
            "unit_parts": _joined([fields.parts for fields in self._fields], np.uint8),
        }


def _sorted_places(codes: U32, field_starts: I64) -> tuple[U32, U8]:
    """The suffix array, and how many words each row shares with the row before."""
    places = _suffix.places_of_fields(field_starts)
    keys = np.empty(len(codes) - layout.PADDING, np.uint64)
    kernels.write_gram_hashes(_address(codes), np.uint64(len(keys)), _address(keys))
    keys = keys[places]
    keys &= np.uint64(0xFFFFFFFF00000000)
    keys |= places
    keys.sort()
    places, heads = keys.astype(np.uint32), (keys >> np.uint64(32)).astype(np.uint32)
    _suffix.sort_groups(heads, places, codes)
    return places, _suffix.shared_words(heads, places, codes)


def _tables(codes: U32, places: U32, shared: U8, bits: U32) -> dict[str, Any]:
    """The arrays of `layout.Tables`."""
    firsts = np.flatnonzero(shared < SHORTEST_N)
    bounds = np.append(firsts, len(places)).astype(np.uint32)
    blocks = max(2, len(firsts) * _BLOOM_BITS // 64)
    bloom = np.zeros(min(1 << (blocks - 1).bit_length(), _LARGEST_BLOOM), np.uint64)
    slots = np.zeros(int(len(firsts) / _FILLED) + 2, np.uint64)
    groups = np.zeros(2 * int(np.count_nonzero(np.diff(bounds) > 1)), np.uint32)
    rows = _suffix.pack_rows(places, shared, bits, codes)
    kernels.fill_tables(rows, codes, bounds, bloom, slots, groups)
    return {"bloom": bloom, "slots": slots, "groups": groups, "rows": rows, "codes": codes}


def _address(array: npt.NDArray[Any]) -> np.uint64:
    return np.uint64(array.ctypes.data)


def _templates(text: _Text, template: Flags, fields: FieldWords, first: int) -> tuple[Template, ...]:
    """The most frequent template texts of the benchmark whose text begins at place `first`."""
    if not template[first : first + fields.places].any():
        return ()
    shown = []
    for place, size, uses in most_frequent_runs(template, text.codes, first, first + fields.places):
        number = int(np.count_nonzero(text.codes[first:place]))  # of the word in the benchmark
        spelt = cut_words(fields.words, np.arange(number, number + size)).to_pylist()
        shown.append(Template(text=" ".join(spelt), uses=uses))
    return tuple(shown)


def _short_strings(values: Sequence[str]) -> pa.Array:
    """A string column, with offsets of four bytes if these can hold it."""
    column = pa.array(values, pa.large_string())
    return column.cast(pa.string()) if column.nbytes < 1 << 31 else column


def _joined(arrays: Sequence[npt.NDArray[Any]], kind: Any) -> Any:
    return np.concatenate([np.zeros(0, kind), *arrays]).astype(kind, copy=False)


def _too_large(what: str) -> BenchmarkError:
    return BenchmarkError(
        f"decontamination: the benchmarks have {what} one index can hold; index fewer at once (--skip)."
    )
