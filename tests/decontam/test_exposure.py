"""Each definition of contamination against its plain statement, at its bounds, and on a real index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decontam.exposure import Exposure, exposure_table, exposures

Fields = list[list[str]]
"""The words of the fields of one item."""


class FakeIndex:
    """What `exposures` reads of an index, by brute force: every n-gram has an id."""

    def __init__(
        self, benchmarks: dict[str, list[Fields]], variants: Sequence[int] = (), ns: Any = (4, 13)
    ) -> None:
        self.header = SimpleNamespace(
            min_words=ns[0],
            max_words=ns[1],
            benchmarks=[SimpleNamespace(key=key, items=len(items)) for key, items in benchmarks.items()],
        )
        self.words: list[str] = []
        starts, units, benchmark_of, ids = [], [], [], []
        for number, items in enumerate(benchmarks.values()):
            for name, fields in enumerate(items):
                if not fields:
                    continue
                benchmark_of.append(number)
                ids.append(str(name))
                for field in fields:
                    starts.append(len(self.words))
                    units.append(len(ids) - 1)
                    self.words += [*field, ""]
        self.field_starts = np.array([*starts, len(self.words)], np.int64)
        self.words += ["", ""]  # an index ends with zeros
        self.numbers = {word: number for number, word in enumerate(["", *sorted(set(self.words) - {""})])}
        self.codes = np.array([self.numbers[word] for word in self.words], np.uint32)
        self.field_units = np.array(units, np.uint32)
        self.field_is_variant = np.isin(np.arange(len(starts)), variants)
        self.unit_benchmarks = np.array(benchmark_of, np.uint32)
        self.unit_items = pa.array(ids, pa.large_string())
        self.unit_parts = np.zeros(len(ids), np.uint8)
        self.grams: dict[tuple[str, ...], int] = {}
        for n in range(ns[0], ns[1] + 1):
            for place in range(len(self.words) - n + 1):
                gram = tuple(self.words[place : place + n])
                if "" not in gram:
                    self.grams.setdefault(gram, len(self.grams))

    def found_in(self, documents: Sequence[Sequence[str]]) -> Any:
        held = {
            self.grams[gram]
            for document in documents
            for n in range(4, 14)
            for gram in grams_of(document, n)
            if gram in self.grams
        }
        return np.array(sorted(held), np.uint32)

    def starting(self, ids: Any, n: int) -> Any:
        wanted = set(ids.tolist())
        grams = (tuple(self.words[place : place + n]) for place in range(len(self.words)))
        return np.array([len(gram) == n and self.grams.get(gram, -1) in wanted for gram in grams])


def grams_of(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[place : place + n]) for place in range(len(words) - n + 1)]


def plain_exposure(key: str, items: list[Fields], documents: Sequence[Sequence[str]]) -> Exposure:
    """The four definitions, item by item, from the words alone."""
    held = {n: {gram for document in documents for gram in grams_of(document, n)} for n in range(8, 14)}
    lengths = sorted(sum(map(len, item)) for item in items if any(item))
    gpt3_n = min(max(lengths[(len(lengths) - 1) * 5 // 100], 8), 13) if lengths else 8

    def grams(item: Fields, n: int) -> list[tuple[str, ...]]:
        return [gram for field in item for gram in grams_of(field, n)]

    def share_covered(item: Fields, n: int) -> tuple[int, int]:
        covered = 0
        for field in item:
            inside = {p + i for p, gram in enumerate(grams_of(field, n)) if gram in held[n] for i in range(n)}
            covered += len(inside)
        return covered, sum(map(len, item))

    gpt3 = [item for item in items if grams(item, gpt3_n)]
    eight = [item for item in items if grams(item, 8)]
    eleven = [share_covered(item, 11) for item in items if grams(item, 11)]
    shares = [share_covered(item, 8) for item in eight]
    return Exposure(
        benchmark=key,
        items=len(items),
        gpt3_n=gpt3_n,
        gpt3_measurable=len(gpt3),
        gpt3_dirty=sum(any(gram in held[gpt3_n] for gram in grams(item, gpt3_n)) for item in gpt3),
        palm_measurable=len(eight),
        palm_contaminated=sum(
            10 * sum(gram in held[8] for gram in grams(item, 8)) >= 7 * len(grams(item, 8)) for item in eight
        ),
        llama2_measurable=len(eleven),
        llama2_clean=sum(10 * covered < 2 * words for covered, words in eleven),
        llama2_not_clean=sum(10 * covered >= 2 * words for covered, words in eleven),
        llama2_not_dirty=sum(10 * covered < 8 * words for covered, words in eleven),
        llama2_dirty=sum(10 * covered >= 8 * words for covered, words in eleven),
        llama3_measurable=len(eight),
        llama3_above_half=sum(2 * covered > words for covered, words in shares),
        llama3_mean_share=sum(covered / words for covered, words in shares) / len(shares) if shares else None,
    )


def assert_same(found: Sequence[Exposure], expected: Sequence[Exposure]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        mean, plain_mean = one.llama3_mean_share, other.llama3_mean_share
        assert one.model_copy(update={"llama3_mean_share": None}) == other.model_copy(
            update={"llama3_mean_share": None}
        )
        assert (mean is None) == (plain_mean is None)
        assert mean is None or mean == pytest.approx(plain_mean)


vocabulary = st.sampled_from(["a", "b", "c"])
fields = st.lists(st.lists(vocabulary, max_size=24), max_size=3)
some_benchmarks = st.lists(st.lists(fields, max_size=6), min_size=1, max_size=3)


@given(some_benchmarks, st.lists(st.lists(vocabulary, max_size=40), max_size=4), st.data())
def test_all_definitions_are_their_plain_statements(
    benchmarks: list[list[Fields]], documents: list[list[str]], data: st.DataObject
) -> None:
    named = {f"b{number}": items for number, items in enumerate(benchmarks)}
    every_field = [field for items in benchmarks for item in items for field in item]
    if every_field:  # documents that quote the items
        documents = [*documents, *data.draw(st.lists(st.sampled_from(every_field), max_size=4))]
    index = FakeIndex(named)
    found = exposures(index, index.found_in(documents))
    assert_same(found, [plain_exposure(key, items, documents) for key, items in named.items()])


def words(count: int, prefix: str = "w") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def exposure_of(items: list[Fields], documents: Sequence[Sequence[str]], **index: Any) -> Exposure:
    fake = FakeIndex({"b": items}, **index)
    (found,) = exposures(fake, fake.found_in(documents))
    return found


@pytest.mark.parametrize(("lengths", "n"), [([5], 8), ([8], 8), ([11], 11), ([13], 13), ([40], 13), ([], 8)])
def test_gpt3_n_is_clamped(lengths: list[int], n: int) -> None:
    assert exposure_of([[words(length)] for length in lengths], []).gpt3_n == n


@pytest.mark.parametrize(("items", "n"), [(20, 9), (21, 12)])
def test_gpt3_n_is_the_5th_percentile(items: int, n: int) -> None:
    lengths = [9, 12, *[30] * (items - 2)]
    assert exposure_of([[words(length)] for length in lengths], []).gpt3_n == n


@pytest.mark.parametrize(("quoted", "contaminated"), [(13, 0), (14, 1)])
def test_palm_at_70_percent(quoted: int, contaminated: int) -> None:
    item = words(17)  # ten 8-grams, of which a quotation of `quoted` words holds all but seven
    assert exposure_of([[item]], [item[:quoted]]).palm_contaminated == contaminated


@pytest.mark.parametrize(
    ("length", "quoted", "kinds"),
    [(56, 11, "clean"), (55, 11, "between"), (20, 15, "between"), (20, 16, "dirty"), (20, 10, "clean")],
)
def test_llama2_at_20_and_80_percent(length: int, quoted: int, kinds: str) -> None:
    found = exposure_of([[words(length)]], [words(quoted)])
    clean, dirty = kinds == "clean", kinds == "dirty"
    assert (found.llama2_clean, found.llama2_not_clean) == (clean, not clean)
    assert (found.llama2_dirty, found.llama2_not_dirty) == (dirty, not dirty)


@pytest.mark.parametrize(("quoted", "above"), [(10, 0), (11, 1)])
def test_llama3_above_one_half(quoted: int, above: int) -> None:
    found = exposure_of([[words(20)]], [words(quoted)])
    assert found.llama3_above_half == above
    assert found.llama3_mean_share == quoted / 20


def test_short_items_are_not_measurable() -> None:
    found = exposure_of([[words(7)], [words(7), words(7, "v")], [words(10)], []], [words(10)])
    assert found.items == 4
    assert found.palm_measurable == found.llama3_measurable == found.gpt3_measurable == 1
    assert found.llama2_measurable == 0
    assert exposure_of([[words(7)]], []).llama3_mean_share is None


def test_no_ngram_crosses_fields() -> None:
    found = exposure_of([[words(12), words(12, "v")]], [[*words(12)[6:], *words(12, "v")[:6]]])
    assert found.gpt3_dirty == found.palm_contaminated == found.llama3_above_half == 0


def test_variants_do_not_count() -> None:
    item = [words(20), words(20, "V")]
    found = exposure_of([item], [words(20, "V")], variants=[1])
    assert found.llama3_mean_share == 0
    assert found.palm_contaminated == 0
    assert exposure_of([item], [words(20)], variants=[1]).llama3_mean_share == 1


def test_an_index_without_an_n_measures_nothing_by_it() -> None:
    found = exposure_of([[words(30)]], [words(30)], ns=(4, 10))
    assert (found.palm_contaminated, found.llama2_measurable, found.gpt3_measurable) == (1, 0, 0)
    found = exposure_of([[words(30)]], [words(30)], ns=(9, 13))
    assert (found.palm_measurable, found.llama2_dirty, found.gpt3_dirty) == (0, 1, 1)


def test_what_the_index_leaves_out_is_found_in_longer_ngrams() -> None:
    """The 8-grams at both ends of a found 13-gram are found, although the index has no such n-grams."""
    item = words(13)
    index = FakeIndex({"b": [[item]]})
    found = np.array([index.grams[tuple(item)]], np.uint32)
    (exposure,) = exposures(index, found)
    assert (exposure.palm_contaminated, exposure.llama3_mean_share, exposure.llama2_dirty) == (1, 1.0, 1)


def test_items_of_one_id_are_two() -> None:
    index = FakeIndex({"b": [[words(20)], [words(20, "v")]]})
    index.unit_items = pa.array(["same", "same"], pa.large_string())
    (found,) = exposures(index, index.found_in([words(20)]))
    assert (found.palm_measurable, found.palm_contaminated) == (2, 1)


def test_the_parts_of_an_item_are_one_item() -> None:
    index = FakeIndex({"b": [[words(20)], [words(20, "v")], [words(20, "u")]]})
    index.unit_items = pa.array(["1", "1", "2"], pa.large_string())
    index.unit_parts = np.array([0, 2, 0], np.uint8)
    (found,) = exposures(index, index.found_in([words(20)]))
    assert (found.palm_measurable, found.palm_contaminated, found.llama3_mean_share) == (2, 0, 0.25)


def test_no_benchmarks() -> None:
    index = FakeIndex({})
    assert exposures(index, np.zeros(0, np.uint32)) == []
    assert exposure_table([]).num_rows == 0


def test_the_table_has_a_column_for_each_figure() -> None:
    index = FakeIndex({"a": [[words(20)]], "b": []})
    rows = exposures(index, index.found_in([words(20)]))
    table = exposure_table(rows)
    assert table.column_names == list(Exposure.model_fields)
    assert [Exposure(**row) for row in table.to_pylist()] == rows
    assert table["llama3_mean_share"].to_pylist() == [1.0, None]


def test_a_real_index(tmp_path: Path) -> None:
    from decontam.build import build_index
    from decontam.scan import scan
    from decontam.settings import DecontaminationSettings
    from filters.words import index_words, split_words

    first = ["alpha", "beta", "gamma", "delta", "rho", "sigma", "tau", "phi", "chi", "psi", "eta", "iota"]
    benchmarks = {
        "greek": [" ".join(first * 2), " ".join(reversed(first)), "too short", " ".join(first[:9])],
        "latin": ["Lorem ipsum dolor sit amet, consetetur sadipscing elitr, sed diam nonumy eirmod tempor"],
    }
    for key, prompts in benchmarks.items():
        rows = [json.dumps({"question": prompt}) for prompt in prompts]
        (tmp_path / f"{key}.jsonl").write_text("\n".join(rows))
    entries = ", ".join(f"{{key: {key}, prompt: [question]}}" for key in benchmarks)
    (tmp_path / "all.yaml").write_text(f"benchmarks: [{entries}]")
    index = build_index(
        DecontaminationSettings(benchmarks=str(tmp_path / "all.yaml"), benchmark_root=str(tmp_path))
    )
    documents = [
        "He said: " + " ".join(first[2:]).upper(),
        "lorem ipsum\ndolor sit amet consetetur -- sadipscing ELITR sed!",
    ]
    hits = scan(index_words(pa.array(documents)), index)
    found = np.unique(np.asarray(hits.values, np.uint32))
    expected = [
        plain_exposure(
            key, [[split_words(prompt)] for prompt in prompts], [split_words(text) for text in documents]
        )
        for key, prompts in benchmarks.items()
    ]
    assert_same(exposures(index, found), expected)
    assert expected[0].palm_contaminated == 0 < expected[0].gpt3_dirty
