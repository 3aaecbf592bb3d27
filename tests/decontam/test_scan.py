from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decontam.ngrams import NgramIndex
from decontam.rule import contaminated, count_hits
from decontam.scan import scan
from filters.words import index_words
from tests.decontam import reference
from tests.decontam.conftest import index_of

QUESTION = "Which of these planets has the shortest day, measured from one sunrise to the next sunrise?"

# Few distinct words, so that matches, near matches, repetitions and shared n-grams all happen; and what the
# word rule has special cases for: single letters and digits, ideographs, Hangul, combining marks,
# apostrophes.
WORDS = st.sampled_from(["tide", "the", "a", "7", "é", "It's", "12", "海", "月", "나", "of", "Ж"])
TEXTS = st.lists(WORDS, max_size=20).map(" ".join)
PLAIN = ["tide", "moon", "harbour", "it's", "café", "12", "rises", "falls"]
GAPS = st.sampled_from([" ", "\n", ", ", " -- ", "\t\n\n", "... "])


def found(index: NgramIndex, documents: list[str | None]) -> list[set[tuple[str, ...]]]:
    hits = scan(index_words(pa.array(documents, pa.large_string())), index)
    assert hits.type == pa.list_(pa.uint32())
    for ids in hits.to_pylist():
        assert ids == sorted(set(ids))
    return [{index.explain(ngram).words for ngram in ids} for ids in hits.to_pylist()]


@settings(max_examples=150, deadline=None)
@given(
    items=st.lists(TEXTS, min_size=1, max_size=6),
    documents=st.lists(st.none() | TEXTS, max_size=8),
    least=st.integers(1, 6),
    extra=st.integers(0, 12),
    threshold=st.integers(1, 5),
)
def test_hits_and_removal_agree_with_sets_of_tuples(
    scratch: Path, items: list[str], documents: list[str | None], least: int, extra: int, threshold: int
) -> None:
    index = index_of(scratch, items, min_words=least, max_words=least + extra)
    grams = set().union(*(reference.item_ngrams([item], least, least + extra) for item in items))
    assert index.size == len(grams)
    assert found(index, documents) == [reference.hits(document, grams) for document in documents]

    hits = scan(index_words(pa.array(documents, pa.large_string())), index)
    ids, per_ngram = count_hits(hits, index.size)
    counted = {
        index.explain(int(ngram)).words: int(count) for ngram, count in zip(ids, per_ngram, strict=True)
    }
    assert counted == reference.usage(documents, grams)
    counts = dense(ids, per_ngram, index.size)
    mask, ngrams, uses = contaminated(hits, counts, threshold)
    assert mask.tolist() == reference.removed(documents, grams, threshold)
    for removed, ngram, use, in_document in zip(mask, ngrams, uses, hits.to_pylist(), strict=True):
        if removed:
            assert ngram == next(each for each in in_document if counts[each] < threshold)
            assert use == counts[ngram] < threshold
        else:
            assert ngram == use == -1


def dense(ids, per_ngram, size):
    import numpy as np

    counts = np.zeros(size, np.int64)
    counts[ids] = per_ngram
    return counts


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_item_is_found_however_it_is_written(scratch: Path, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(PLAIN), min_size=4, max_size=30))
    index = index_of(scratch, [" ".join(words)])
    gaps = data.draw(st.lists(GAPS, min_size=len(words), max_size=len(words)))
    written = "".join(word + gap for word, gap in zip(words, gaps, strict=True))
    before, after = data.draw(TEXTS), data.draw(TEXTS)
    for text in (written, written.upper(), f"{before}\n{written}.{after}"):
        assert found(index, [text])[0], text


def test_an_item_is_found_without_its_answer(tmp_path: Path) -> None:
    index = index_of(tmp_path, [{"question": QUESTION, "answer": "Jupiter"}])
    (hits,) = found(index, [f"Somebody asked: {QUESTION.lower()} Nobody knew."])
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
def test_thirteen_words_together_are_what_it_takes(tmp_path: Path, edit, words_left: int) -> None:
    words = QUESTION.split()[:15]
    index = index_of(tmp_path, [" ".join(words)])
    assert bool(found(index, [" ".join(edit(words))])[0]) == (words_left >= 13)


def test_nothing_matches_across_documents(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["low water at the harbour"])
    assert found(index, ["low water at", "the harbour", None, "", "low water at the harbour"]) == [
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
    assert index.size == 700
    text = "\n".join(items)
    assert [len(hits) for hits in found(index, [text, text + text, "and " * 4093 + items[5]])] == [
        700,
        700,
        1,
    ]


def test_slices_and_an_empty_chunk(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["low water at the harbour"])
    documents = pa.array(["low water at the harbour", "nothing", "Low water at the HARBOUR!"])
    assert [len(ids) for ids in scan(index_words(documents.slice(1)), index).to_pylist()] == [0, 1]
    assert scan(index_words(documents.slice(3)), index).to_pylist() == []


def test_an_index_without_ngrams_finds_nothing(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["too short", "a b c d e"])
    assert index.size == 0
    assert found(index, ["too short a b c d e", None]) == [set(), set()]
