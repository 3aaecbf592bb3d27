from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decontam import _suffix, build, fields, kernels, layout
from decontam.build import build_index
from decontam.errors import BenchmarkError
from decontam.ngrams import IndexedBenchmark
from decontam.settings import DecontaminationSettings
from filters.words import index_words, split_words, word_hash
from tests.decontam import reference
from tests.decontam.conftest import grams_of, index_of, item_grams_of, write_registry

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


# ---- the rules, at their bounds


@pytest.mark.parametrize(
    ("words", "n", "count"),
    [(3, 0, 0), (4, 4, 1), (5, 5, 1), (12, 12, 1), (13, 13, 1), (14, 13, 2), (15, 13, 3)],
)
def test_n_of_an_item_is_its_number_of_words_up_to_thirteen(
    tmp_path: Path, words: int, n: int, count: int
) -> None:
    index = index_of(tmp_path, [" ".join(LONG.split()[:words])])
    assert [len(gram.split()) for gram in item_grams_of(index)] == [n] * count
    assert index.header.item_ngrams == count
    assert index.size == sum(max(0, words - n + 1) for n in range(4, 14))


@pytest.mark.parametrize(("least", "most"), [(4, 4), (4, 8), (6, 13), (13, 13), (7, 9)])
def test_the_bounds_of_n_are_settings(tmp_path: Path, least: int, most: int) -> None:
    index = index_of(tmp_path, [LONG, " ".join(LONG.split()[:6])], min_words=least, max_words=most)
    assert {len(gram) for gram in grams_of(index)} == set(range(least, most + 1))
    lengths = {len(gram.split()) for gram in item_grams_of(index)}
    assert lengths == ({most, 6} if least <= 6 <= most else {most, min(6, most)} - set(range(least)))
    assert index.header.benchmarks[0].too_short == int(least > 6)


@pytest.mark.parametrize(
    ("prompt", "matchable"),
    [
        ("a b c d", False),
        ("1 2 3 4 5 6", False),
        ("A. 1, B. 2", False),
        ("Ж é 7 z", False),
        ("Ｑ e\u0301 ７ z", False),
        ("a b c of", True),
        ("10 11 12 13", True),  # numbers are not single digits
        ("海水为什", True),  # nor are ideographs, kana or Hangul syllables single letters
        ("うみのみず", True),
        ("나 는 물 이", True),
    ],
)
def test_ngrams_of_single_letters_and_digits_never_count(
    tmp_path: Path, prompt: str, matchable: bool
) -> None:
    index = index_of(tmp_path, [prompt])
    assert bool(index.size) == bool(index.header.item_ngrams) == matchable
    (benchmark,) = index.header.benchmarks
    assert (benchmark.items, benchmark.matchable, benchmark.too_short) == (1, int(matchable), 0)


def test_only_the_windows_of_single_characters_are_left_out(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["a b c d of e f g h"], max_words=4)
    assert {" ".join(gram) for gram in grams_of(index)} == {"b c d of", "c d of e", "d of e f", "of e f g"}


def test_no_ngram_crosses_fields_or_items(tmp_path: Path) -> None:
    index = index_of(
        tmp_path, [{"question": ["low water at noon", "high water at six"]}, "the harbour is dry"]
    )
    expected = {"low water at noon", "high water at six", "the harbour is dry"}
    assert {" ".join(gram) for gram in grams_of(index)} == item_grams_of(index) == expected


def test_an_item_has_one_n_that_of_its_longest_field(tmp_path: Path) -> None:
    index = index_of(tmp_path, [{"question": ["Answer in one word.", "What moves the tides every day?"]}])
    assert item_grams_of(index) == {"what moves the tides every day"}
    assert ("answer", "in", "one", "word") in grams_of(index)


def test_what_is_not_among_the_parts_is_not_indexed(tmp_path: Path) -> None:
    path = write_registry(
        tmp_path, {"toy": [{"question": "What moves it?", "support": LONG}]}, passage=["support"]
    )
    assert build_index(DecontaminationSettings(benchmarks=path)).size == 0


@pytest.mark.parametrize(
    ("text", "upper"),
    [
        ("die Straße ist lang genug", "die strasse ist lang genug"),
        ("bir ışık daha yak", "bir işik daha yak".replace("ş", "ş").replace("ışık", "işik")),
        ("the ﬁrst ŉ of them", None),
    ],
)
def test_letters_whose_upper_case_is_another_word_are_indexed_both_ways(
    tmp_path: Path, text: str, upper: str | None
) -> None:
    index = index_of(tmp_path, [text])
    for written in (text, text.upper()):
        assert " ".join(split_words(written)) in item_grams_of(index)
    if upper is not None:
        assert item_grams_of(index) == {" ".join(split_words(text)), " ".join(split_words(upper))}
    assert index.header.words == len(split_words(text))


# ---- templates


def framed(count: int, frame: str = "Answer the following question:") -> list[str]:
    return [f"{frame} what is number {word} of them" for word in LONG.split()[:count]]


def test_what_most_items_have_in_common_is_left_out(tmp_path: Path) -> None:
    index = index_of(tmp_path, [*framed(12), "A question of its own, is it not?"])
    grams = {" ".join(gram) for gram in grams_of(index)}
    assert not any(
        gram.startswith("answer the following question") and len(gram.split()) < 8 for gram in grams
    )
    assert "what is number seven" in grams
    assert "answer the following question what is number seven" in grams
    assert "answer the following question what is number seven of them" in item_grams_of(index)
    (benchmark,) = index.header.benchmarks
    assert (benchmark.matchable, benchmark.only_template) == (13, 0)
    assert benchmark.template_words == 12 * 7
    assert [(each.text, each.uses) for each in benchmark.templates] == [
        ("Answer the following question what is number", 12)
    ]


@pytest.mark.parametrize(
    ("count", "others", "is_template"), [(9, 0, False), (10, 0, True), (10, 23, True), (10, 24, False)]
)
def test_ten_items_and_three_in_ten_make_a_template(
    tmp_path: Path, count: int, others: int, is_template: bool
) -> None:
    index = index_of(tmp_path, [*framed(count), *(f"other text x{i} y{i} z{i}" for i in range(others))])
    assert (("answer", "the", "following", "question") not in grams_of(index)) == is_template


def test_a_template_is_one_in_its_own_benchmark_only(tmp_path: Path) -> None:
    path = write_registry(tmp_path, {"framed": framed(12), "other": ["Answer the following question: why?"]})
    index = build_index(DecontaminationSettings(benchmarks=path))
    ngram = grams_of(index)["answer", "the", "following", "question"]
    told = index.explain(ngram)
    assert (told.benchmark, told.item, told.shared_by) == ("other", "0", 1)
    _, units = index.units_of(np.array([ngram], np.uint32))
    assert index.unit_benchmarks[units].tolist() == [1]
    assert index.starting(np.array([ngram], np.uint32), 4).sum() == 1


def test_items_of_nothing_but_template_are_counted(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["Is it raining now?"] * 12 + ["Was it sunny?", "a b c d"] + framed(3))
    (benchmark,) = index.header.benchmarks
    assert (benchmark.items, benchmark.matchable, benchmark.too_short, benchmark.only_template) == (
        17,
        3,
        1,
        12,
    )


def test_letters_and_digits_alone_are_no_template(tmp_path: Path) -> None:
    index = index_of(tmp_path, [f"a b c d {word}" for word in LONG.split()])
    assert index.header.benchmarks[0].template_words == 0


@settings(max_examples=40, deadline=None)
@given(
    items=st.lists(
        st.lists(st.sampled_from(["tide", "moon", "a", "is", "not"]), max_size=9).map(" ".join),
        min_size=8,
        max_size=24,
    )
)
def test_templates_agree_with_their_plain_statement(scratch: Path, items: list[str]) -> None:
    index = index_of(scratch, items)
    templates = reference.template_grams([{"prompt": [item]} for item in items])
    marked = [reference.template_words(split_words(item), templates) for item in items]
    bits = np.unpackbits(index._array("template"), bitorder="little").astype(bool)
    for number, words in enumerate(marked):
        start = int(index.field_starts[number])
        assert bits[start : start + len(words)].tolist() == words
    (benchmark,) = index.header.benchmarks
    assert benchmark.template_words == sum(map(sum, marked))
    plain = [reference.item_ngrams([item], 4, 13) for item in items]
    kept = [
        reference.index_ngrams([[{"prompt": [each]} for each in items]], 4, 13)[1] & grams for grams in plain
    ]
    assert benchmark.too_short == sum(len(split_words(item)) < 4 for item in items)
    assert benchmark.matchable + benchmark.only_template == sum(map(bool, plain))
    assert benchmark.matchable <= sum(map(bool, kept))


# ---- the header


def test_the_header_counts_the_items(tmp_path: Path) -> None:
    path = write_registry(
        tmp_path, {"first": ["too short", "Is it raining now?"], "second": [LONG, "a b c d", "so is it"]}
    )
    first, second = build_index(DecontaminationSettings(benchmarks=path)).header.benchmarks
    assert isinstance(first, IndexedBenchmark)
    assert (first.key, first.items, first.words, first.matchable, first.too_short) == ("first", 2, 6, 1, 1)
    assert (second.key, second.items, second.words, second.matchable, second.too_short) == (
        "second",
        3,
        22,
        1,
        1,
    )


def test_skipped_and_missing_are_in_the_header(tmp_path: Path) -> None:
    path = write_registry(tmp_path, {"a": [LONG], "b": [LONG], "c": [LONG]})
    (tmp_path / "b.jsonl").unlink()
    index = build_index(DecontaminationSettings(benchmarks=path, skip=("c",), allow_missing=True))
    assert [each.key for each in index.header.benchmarks] == ["a"]
    assert (index.header.skipped, index.header.missing) == (("c",), ("b",))


def test_a_registry_of_nothing_gives_an_index_of_nothing(tmp_path: Path) -> None:
    path = write_registry(tmp_path, {"a": [LONG]})
    index = build_index(DecontaminationSettings(benchmarks=path, skip=("a",)))
    assert (index.size, index.id_limit, index.header.words, index.header.benchmarks) == (0, 0, 0, ())


@pytest.mark.parametrize(("limit", "value"), [("_MOST_CODES", 25), ("_MOST_ROWS", 11)])
def test_more_text_than_ids_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(build, limit, value)
    with pytest.raises(BenchmarkError, match="one index can hold; index fewer at once"):
        index_of(tmp_path, [LONG])
    monkeypatch.setattr(build, limit, value + 100)
    assert index_of(tmp_path, [LONG]).size


# ---- the kernels


CODES = st.lists(st.integers(0, 3) | st.sampled_from([2**31, 2**32 - 1]), max_size=60)


def padded(codes: list[int]) -> np.ndarray:
    return np.array([*codes, *[0] * layout.PADDING], np.uint32)


@settings(max_examples=150, deadline=None)
@given(codes=CODES, share=st.booleans())
def test_rows_are_sorted_by_head_then_words_then_place(codes: list[int], share: bool) -> None:
    """Also when different 4-grams have the same head (`share`: all of them do)."""
    text = padded(codes)
    places = np.array([i for i in range(len(codes) - 3) if all(codes[i : i + 4])], np.uint32)
    heads = np.zeros(len(places), np.uint32) if share else text[places.astype(np.int64) + 1]
    order = np.argsort(heads, kind="stable")
    heads, places = heads[order], places[order]
    _suffix.sort_groups(heads, places, text)

    def key(place: int) -> tuple:
        words = text[place : place + 13].tolist()
        return (*words[: words.index(0)],) if 0 in words else (*words,)

    rows = [*zip(heads.tolist(), map(key, places), places.tolist(), strict=True)]
    assert rows == sorted(rows)
    shared = _suffix.shared_words(heads, places, text)
    for row in range(1, len(rows)):
        same = 0
        while (
            same < min(len(rows[row][1]), len(rows[row - 1][1]))
            and rows[row][1][same] == rows[row - 1][1][same]
        ):
            same += 1
        assert shared[row] == (same if same >= 4 else 0)


def test_many_equal_rows_are_sorted() -> None:
    text = padded([5] * 3000 + [0] + [5] * 20)
    places = np.array([*range(2997), *range(3001, 3018)], np.uint32)
    _suffix.sort_groups(np.zeros(len(places), np.uint32), places, text)
    lengths = [min(13, (3000 if place < 3000 else 3021) - int(place)) for place in places]
    assert [*zip(lengths, places, strict=True)] == sorted(zip(lengths, places, strict=True))


def test_4_grams_with_the_same_fingerprint_are_all_found() -> None:
    """Hashes that agree in the slot and the fingerprint: the look-up goes on until the words agree."""
    text = padded([1, 2, 3, 4, 0, 5, 6, 7, 8, 0, 9, 10, 11, 12, 0])
    bloom, groups = np.zeros(2, np.uint64), np.zeros(0, np.uint32)
    slots = np.array([12345 << 33 | 1 + row for row in range(3)] + [0, 0], np.uint64)
    rows = np.array([0, 5, 10], np.uint64) << layout.PLACE_SHIFT | np.uint64(1)
    view = layout.Tables(bloom, slots, groups, rows, text).view()
    value, words = np.uint64(12345), text.ctypes.data
    slot = kernels.next_slot(value, kernels.first_slot(value, np.uint64(5)), view)
    assert kernels.rows_of_slot(slots[int(slot)], view) == (0, 1)
    assert kernels.same_words(np.uint64(words), np.uint64(0), view)
    assert not kernels.same_words(np.uint64(words + 20), np.uint64(0), view)
    for row, place in enumerate((0, 5, 10)):
        found = kernels.other_rows(np.uint64(words + 4 * place), value, np.uint64(slot), view)
        assert found == ((row, row + 1) if row else (0, 0))
    assert kernels.other_rows(np.uint64(words + 4), value, np.uint64(slot), view) == (0, 0)


@settings(max_examples=100, deadline=None)
@given(
    words=st.lists(
        st.sampled_from(["a", "b", "the", "海", "It's", "ｉt’s", "é", "e\u0301", "ʼn", "ŉ"]), max_size=40
    )
)
def test_distinct_words_and_single_characters(words: list[str]) -> None:
    index = index_words(fields._as_column([" ".join(words)]))
    firsts, ranks = fields.distinct_words(index.hashes)
    seen: dict[int, int] = {}
    for place, value in enumerate(index.hashes.tolist()):
        seen.setdefault(value, place)
    assert firsts.tolist() == [*seen.values()]
    assert index.hashes[firsts][ranks].tolist() == index.hashes.tolist()
    spellings = fields.normalised(fields.cut_words(index, firsts)).to_pylist()
    assert [word_hash(word) for word in spellings] == [*seen]
    single = fields._single_characters(index, firsts)
    assert single.tolist() == [reference.is_single(word) for word in spellings]
