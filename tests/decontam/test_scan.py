from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decontam.build import build_index
from decontam.ngrams import NgramIndex
from decontam.scan import locate, scan
from decontam.settings import DecontaminationSettings
from filters.words import index_words
from tests.decontam import reference
from tests.decontam.conftest import grams_of, ids_of, index_of, write_registry

QUESTION = "Which of these planets has the shortest day, measured from one sunrise to the next sunrise?"

# Few distinct words, so that matches, near matches, repetitions and shared n-grams all happen; and what the
# word rule has special cases for: single letters and digits, ideographs, Hangul, combining marks,
# apostrophes, letters whose upper case is another word.
WORDS = st.sampled_from(["tide", "the", "a", "7", "é", "It's", "12", "海", "月", "나", "of", "Ж", "straße"])
TEXTS = st.lists(WORDS, max_size=20).map(" ".join)
FRAME = "answer the question about the tide: "
ITEMS = st.tuples(st.lists(TEXTS, min_size=1, max_size=14), st.integers(0, 14)).map(
    lambda drawn: [FRAME * (number >= drawn[1]) + text for number, text in enumerate(drawn[0])]
)
PLAIN = ["tide", "moon", "harbour", "it's", "café", "12", "rises", "falls"]
GAPS = st.sampled_from([" ", "\n", ", ", " -- ", "\t\n\n", "... ", "\u200b \u200d"])


def scanned(index: NgramIndex, documents: list[str | None]) -> list[list[int]]:
    hits = scan(index_words(pa.array(documents, pa.large_string())), index)
    assert hits.type == pa.list_(pa.uint32())
    for ids in hits.to_pylist():
        assert ids == sorted(set(ids))
    return hits.to_pylist()


def found(index: NgramIndex, documents: list[str | None]) -> list[set[tuple[str, ...]]]:
    return [{index.explain(ngram).words for ngram in ids} for ids in scanned(index, documents)]


def item_hits(index: NgramIndex, documents: list[str | None]) -> list[set[tuple[str, ...]]]:
    """What the documents hold of the rule `item`."""
    return [
        {index.explain(ngram).words for ngram in ids if index.is_item(np.array([ngram]))[0]}
        for ids in scanned(index, documents)
    ]


@settings(max_examples=80, deadline=None)
@given(
    benchmarks=st.lists(ITEMS, min_size=1, max_size=3),
    documents=st.lists(st.none() | TEXTS | TEXTS.map(lambda text: FRAME + text), max_size=6),
    least=st.integers(4, 13),
    extra=st.integers(0, 9),
)
def test_index_and_scan_agree_with_sets_of_tuples(
    scratch: Path, benchmarks: list[list[str]], documents: list[str | None], least: int, extra: int
) -> None:
    """Every n, both rules, who holds each n-gram, the n-grams of each document, and where they are."""
    most = min(13, least + extra)
    path = write_registry(scratch, {f"b{number}": items for number, items in enumerate(benchmarks)})
    index = build_index(DecontaminationSettings(benchmarks=path, min_words=least, max_words=most))
    stated = [[{"prompt": [item]} for item in items] for items in benchmarks]
    holders, of_items = reference.index_ngrams(stated, least, most)
    ids = grams_of(index)
    assert set(ids) == set(holders)
    assert index.size == len(ids)
    assert all(0 <= ngram < index.id_limit for ngram in ids.values())
    every = np.array([*ids.values()], np.uint32)
    assert index.lengths_of(every).tolist() == [len(gram) for gram in ids]
    assert {gram for gram, is_item in zip(ids, index.is_item(every), strict=True) if is_item} == of_items
    check_holders(index, ids, holders)

    words = index_words(pa.array(documents, pa.large_string()))
    hits = scan(words, index).to_pylist()
    assert hits == [sorted(ids[gram] for gram in reference.hits(each, set(ids))) for each in documents]
    check_occurrences(index, words, documents, ids)


def check_holders(index: NgramIndex, ids: dict, holders: dict) -> None:
    which, units = index.units_of(np.array([*ids.values()], np.uint32))
    per_gram: dict = {gram: [] for gram in ids}
    names = [*ids]
    for number, unit in zip(which, units, strict=True):
        item = int(index.unit_items[int(unit)].as_py())
        per_gram[names[number]].append((int(index.unit_benchmarks[unit]), item, "prompt"))
    assert per_gram == {gram: sorted(holders[gram]) for gram in names}
    for gram, ngram in ids.items():
        told = index.explain(ngram)
        assert (told.benchmark, told.item) == (f"b{per_gram[gram][0][0]}", str(per_gram[gram][0][1]))
        assert (told.words, told.n, told.shared_by) == (gram, len(gram), len(holders[gram]))


def check_occurrences(index: NgramIndex, words, documents: list[str | None], ids: dict) -> None:
    wanted = dict(list(ids.items())[::2])
    at = locate(words, index, np.sort(np.array([*wanted.values()], np.uint32)))
    expected = [
        (number, int(words.word_offsets[number]) + place, wanted[gram])
        for number, document in enumerate(documents)
        for place, gram in reference.occurrences(document, set(wanted))
    ]
    assert [*zip(at.documents.tolist(), at.firsts.tolist(), at.ids.tolist(), strict=True)] == expected


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_item_is_found_however_it_is_written(scratch: Path, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from([*PLAIN, "Maße", "ışık"]), min_size=4, max_size=30))
    index = index_of(scratch, [" ".join(words)])
    gaps = data.draw(st.lists(GAPS, min_size=len(words), max_size=len(words)))
    written = "".join(word + gap for word, gap in zip(words, gaps, strict=True))
    wide = written.translate(
        {code: code + 0xFEE0 for code in range(ord("0"), ord("z")) if chr(code).isalnum()}
    )
    before, after = data.draw(TEXTS), data.draw(TEXTS)
    for text in (written, written.upper(), wide, f"{before}\n{written}.{after}"):
        assert item_hits(index, [text])[0], text


def test_an_item_is_found_without_its_answer(tmp_path: Path) -> None:
    index = index_of(tmp_path, [{"question": QUESTION, "answer": "Jupiter"}])
    (hits,) = item_hits(index, [f"Somebody asked: {QUESTION.lower()} Nobody knew."])
    assert len(hits) == len(QUESTION.split()) - 13 + 1


@pytest.mark.parametrize(
    ("edit", "words_left"),
    [
        (lambda words: [*words[:7], "very", *words[7:]], 8),  # inserted: 7 + 8 words remain together
        (lambda words: words[:1] + words[2:], 13),
        (lambda words: words[:13], 13),
        (lambda words: words[3:], 12),
    ],
)
def test_thirteen_words_together_are_what_the_rule_item_takes(tmp_path: Path, edit, words_left: int) -> None:
    words = QUESTION.split()[:15]
    index = index_of(tmp_path, [" ".join(words)])
    document = " ".join(edit(words))
    assert bool(item_hits(index, [document])[0]) == (words_left >= 13)
    assert max(map(len, found(index, [document])[0])) == min(13, words_left)


@pytest.mark.parametrize("cut", range(1, 16))
def test_the_end_of_a_document_is_the_end_of_its_ngrams(tmp_path: Path, cut: int) -> None:
    """Also when the next document goes on with the item."""
    words = QUESTION.lower().replace(",", "").replace("?", "").split()
    index = index_of(tmp_path, [QUESTION])
    hits = found(index, [" ".join(words[:cut]), " ".join(words[cut:])])
    for part, in_part in zip((words[:cut], words[cut:]), hits, strict=True):
        grams = {tuple(part[i : i + n]) for n in range(4, 14) for i in range(len(part) - n + 1)}
        assert in_part == grams


def test_nothing_matches_across_documents(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["low water at the harbour"])
    assert item_hits(index, ["low water at", "the harbour", None, "", "low water at the harbour"]) == [
        set(),
        set(),
        set(),
        set(),
        {("low", "water", "at", "the", "harbour")},
    ]


def test_long_documents_and_many_hits(tmp_path: Path) -> None:
    """More words than a block of the scan, hits at its borders, more hits than the first room for them."""
    items = [f"item number {i} of the long list" for i in range(700)]
    index = index_of(tmp_path, items)
    text = "\n".join(items)
    hits = item_hits(index, [text, text + text, "and " * 4093 + items[5]])
    assert [len(each) for each in hits] == [700, 700, 1]
    every = reference.index_ngrams([[{"prompt": [item]} for item in items]], 4, 13)[0]
    assert found(index, [text])[0] == set(every)  # fields are apart, so nothing begins in one item's end


def test_an_item_of_more_words_than_sixteen_bits_count(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(70_000)]
    index = index_of(tmp_path, [" ".join(words)])
    assert index.size == sum(70_000 - n + 1 for n in range(4, 14))
    (hits,) = scan(index_words(pa.array([" ".join(words[65_530:65_545])])), index).to_pylist()
    assert len(hits) == sum(15 - n + 1 for n in range(4, 14))


def test_slices_and_an_empty_chunk(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["low water at the harbour"])
    documents = pa.array(["low water at the harbour", "nothing", "Low water at the HARBOUR!"])
    assert [len(ids) for ids in scan(index_words(documents.slice(1)), index).to_pylist()] == [0, 3]
    assert scan(index_words(documents.slice(3)), index).to_pylist() == []
    at = locate(index_words(documents.slice(3)), index, ids_of(index))
    assert [len(each) for each in at] == [0, 0, 0]


def test_an_index_without_ngrams_finds_nothing(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["too short", "a b c d e"])
    assert index.size == 0
    assert found(index, ["too short a b c d e", None]) == [set(), set()]
    assert [len(each) for each in locate(index_words(pa.array(["a b c d e"])), index, ids_of(index))] == [
        0,
        0,
        0,
    ]
