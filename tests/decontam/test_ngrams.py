from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from decontam import build, kernels
from decontam.build import build_index
from decontam.errors import BenchmarkError
from decontam.ngrams import Ngram, NgramIndex
from decontam.scan import scan
from decontam.settings import PARTS, DecontaminationSettings
from filters.words import index_words, word_hash
from tests.decontam.conftest import index_of, write_registry

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


def grams(index: NgramIndex) -> set[str]:
    return {" ".join(index.explain(ngram).words) for ngram in range(index.size)}


def content(index: NgramIndex) -> bytes:
    file = io.BytesIO()
    index.write(file)
    return file.getvalue()


# ---- the rule `item`, at its bounds


@pytest.mark.parametrize(
    ("words", "n", "count"),
    [(3, 0, 0), (4, 4, 1), (5, 5, 1), (12, 12, 1), (13, 13, 1), (14, 13, 2), (15, 13, 3)],
)
def test_n_is_the_number_of_words_up_to_thirteen(tmp_path: Path, words: int, n: int, count: int) -> None:
    index = index_of(tmp_path, [" ".join(LONG.split()[:words])])
    assert index.size == count
    assert index.lengths.tolist() == ([n] if n else [])


@pytest.mark.parametrize(
    ("prompt", "matchable"),
    [
        ("a b c d", False),
        ("1 2 3 4 5 6", False),
        ("A. 1, B. 2", False),
        ("Ж é 7 z", False),
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
    assert bool(index.size) == matchable
    (benchmark,) = index.header.benchmarks
    assert (benchmark.items, benchmark.matchable, benchmark.too_short) == (1, int(matchable), 0)


def test_only_the_windows_of_single_characters_are_left_out(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["a b c d of e f g h"], max_words=4)
    assert grams(index) == {"b c d of", "c d of e", "d of e f", "of e f g"}


def test_no_ngram_crosses_fields_or_items(tmp_path: Path) -> None:
    index = index_of(
        tmp_path, [{"question": ["low water at noon", "high water at six"]}, "the harbour is dry"]
    )
    assert grams(index) == {"low water at noon", "high water at six", "the harbour is dry"}


def test_an_item_has_one_n_that_of_its_longest_field(tmp_path: Path) -> None:
    index = index_of(tmp_path, [{"question": ["Answer in one word.", "What moves the tides every day?"]}])
    assert grams(index) == {"what moves the tides every day"}


def test_every_part_has_its_own_n(tmp_path: Path) -> None:
    row = {"question": "What moves the tides?", "support": LONG, "choices": ["the moon", "all of the above"]}
    path = write_registry(
        tmp_path, {"toy": [row]}, passage=["support"], choices=["choices"], answer=["choices"]
    )
    index = build_index(DecontaminationSettings(benchmarks=path, parts=("prompt", "choices", "passage")))
    explained = [index.explain(ngram) for ngram in range(index.size)]
    assert {(each.part, each.n) for each in explained} == {("prompt", 4), ("choices", 4), ("passage", 13)}
    assert len(explained) == 1 + 1 + 3


def test_what_is_not_among_the_parts_is_not_indexed(tmp_path: Path) -> None:
    path = write_registry(
        tmp_path, {"toy": [{"question": "What moves it?", "support": LONG}]}, passage=["support"]
    )
    assert build_index(DecontaminationSettings(benchmarks=path)).size == 0


# ---- what the index tells


def test_explain_names_the_first_item_and_how_many_share_it(tmp_path: Path) -> None:
    path = write_registry(
        tmp_path,
        {
            "first": ["too short", {"id": "f-2", "question": "Is it raining now?"}],
            "second": ["IS IT RAINING, now", "is it raining now is it raining now"],
        },
    )
    index = build_index(DecontaminationSettings(benchmarks=path))
    assert index.explain(0) == Ngram("first", "f-2", "prompt", 4, ("is", "it", "raining", "now"), shared_by=2)
    assert [(each.key, each.items, each.matchable, each.too_short) for each in index.header.benchmarks] == [
        ("first", 2, 1, 1),
        ("second", 2, 2, 0),
    ]
    for wrong in (-1, index.size):
        with pytest.raises(IndexError):
            index.explain(wrong)


def test_words_are_spelt_as_they_are_hashed(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["It's Élan, ＦＵＬＬ Straße e\u0301lan 海 \ud800 IT’S"])
    spellings = [str(each) for each in index._batch.column("spellings").values]
    assert [word_hash(each) for each in spellings] == index.tables.vocabulary.tolist()


def test_skipped_and_missing_are_in_the_header(tmp_path: Path) -> None:
    path = write_registry(tmp_path, {"a": [LONG], "b": [LONG], "c": [LONG]})
    (tmp_path / "b.jsonl").unlink()
    index = build_index(DecontaminationSettings(benchmarks=path, skip=("c",), allow_missing=True))
    assert [each.key for each in index.header.benchmarks] == ["a"]
    assert (index.header.skipped, index.header.missing) == (("c",), ("b",))


# ---- the file


def test_the_same_benchmarks_give_the_same_bytes(tmp_path: Path) -> None:
    path = write_registry(tmp_path, {"a": [LONG, "Is it raining now?"], "b": [LONG]})
    elsewhere = shutil.copytree(tmp_path, tmp_path / "elsewhere")
    settings = DecontaminationSettings(benchmarks=path)
    again = DecontaminationSettings(benchmarks=str(elsewhere / "benchmarks.yaml"))
    assert content(build_index(settings)) == content(build_index(again))


@pytest.mark.parametrize("prompts", [[LONG, "Is it raining now?"], ["too short"]])
def test_an_opened_index_is_the_one_that_was_written(tmp_path: Path, prompts: list[str]) -> None:
    built = index_of(tmp_path, prompts)
    (tmp_path / "index").write_bytes(content(built))
    opened = NgramIndex.open(str(tmp_path / "index"))
    assert opened.header == built.header
    for name, array in built.tables._asdict().items():
        assert np.array_equal(getattr(opened.tables, name), array), name
        assert not getattr(opened.tables, name).flags.writeable, name
    words = index_words(pa.array(["Well: is it raining now?"]))
    assert scan(words, opened).equals(scan(words, built))
    assert [opened.explain(ngram) for ngram in range(opened.size)] == [
        built.explain(ngram) for ngram in range(built.size)
    ]


def test_an_opened_index_is_mapped_not_copied(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(content(index_of(tmp_path, [LONG])))
    before = pa.total_allocated_bytes()
    opened = NgramIndex.open(str(tmp_path / "index"))
    assert pa.total_allocated_bytes() - before < opened.tables.bloom.nbytes
    assert NgramIndex.open((tmp_path / "index").as_uri()).size == opened.size


@pytest.mark.parametrize("kind", ["no index", "another version", "another word rule", "another table"])
def test_what_is_not_an_index_of_this_version_is_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = content(index_of(tmp_path, [LONG]))
    stored: dict[str, Any] = {
        "no index": b"something else",
        "another version": good.replace(b'"version":1', b'"version":2'),
        "another word rule": good.replace(b'"word_rule":"words_v1"', b'"word_rule":"words_v0"'),
        "another table": good.replace(b"bucket_bits", b"bucket_bytes"[:11]),
    }
    (tmp_path / "index").write_bytes(stored[kind])
    with pytest.raises(BenchmarkError, match="is not an n-gram index that this version can read"):
        NgramIndex.open(str(tmp_path / "index"))


def test_a_missing_index_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        NgramIndex.open(str(tmp_path / "gone"))


# ---- equal hashes are not equal n-grams


def test_ngrams_with_the_same_hash_are_kept_apart() -> None:
    words = np.array([1, 2, 3, 1, 2, 4, 1, 2, 3], np.uint32)
    same = np.array([7, 7, 7], np.uint64)
    values, places, shared_by = kernels.distinct_ngrams(
        same, np.array([0, 3, 6], np.uint32), np.array([0, 1, 2], np.uint32), words, 3
    )
    assert values.tolist() == [7, 7]
    assert places.tolist() == [0, 3]
    assert shared_by.tolist() == [2, 1]


def test_a_hash_collision_is_no_hit(tmp_path: Path) -> None:
    """Other words with the same n-gram hash (the polynomial solved for its last word) do not match."""
    index = index_of(tmp_path, ["low water at noon"])
    low, water, at, noon = (word_hash(word) for word in ["low", "water", "at", "noon"])
    base, modulus = int(kernels.BASE), 1 << 64
    other = (noon + (low - at) * base**3 + (water - water) * base**2 + (at - low) * base) % modulus
    for hashes, expected in (([low, water, at, noon], 1), ([at, water, low, other], 0)):
        offsets, ids = kernels.scan_documents(
            np.array(hashes, np.uint64),
            np.array([0, 4]),
            index.lengths,
            kernels.POWERS,
            index.tables,
        )
        prefix = np.empty(5, np.uint64)
        kernels.prefix_hashes(np.array(hashes, np.uint64), prefix)
        assert kernels.ngram_hash(prefix, 0, 4, kernels.POWERS[4]) == index.tables.hashes[0]
        assert (offsets.tolist(), len(ids)) == ([0, expected], expected)


def test_more_words_than_places_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_MOST_WORDS", 10)
    with pytest.raises(BenchmarkError, match="index fewer at once"):
        index_of(tmp_path, [LONG])


def test_the_parts_keep_their_order() -> None:
    assert PARTS == ("prompt", "choices", "answer", "passage")  # stored in index files by their place
