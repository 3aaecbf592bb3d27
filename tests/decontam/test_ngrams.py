from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decontam.build import build_index
from decontam.errors import BenchmarkError
from decontam.fields import normalised
from decontam.ngrams import Ngram, NgramIndex
from decontam.scan import scan
from decontam.settings import PARTS, DecontaminationSettings
from filters.words import index_words, split_words, word_hash
from tests.decontam.conftest import grams_of, ids_of, index_of, write_registry

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


def content(index: NgramIndex) -> bytes:
    file = io.BytesIO()
    index.write(file)
    return file.getvalue()


def as_words(*texts: str) -> set[tuple[str, ...]]:
    return {tuple(text.split()) for text in texts}


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
    ngram = grams_of(index)["is", "it", "raining", "now"]
    assert index.explain(ngram) == Ngram(
        "first", "f-2", "prompt", 4, ("is", "it", "raining", "now"), shared_by=3
    )
    which, units = index.units_of(np.array([ngram], np.uint32))
    assert which.tolist() == [0, 0, 0]
    assert index.unit_items.take(pa.array(units)).to_pylist() == ["f-2", "0", "1"]
    assert index.unit_benchmarks[units].tolist() == [0, 1, 1]
    assert index.unit_parts[units].tolist() == [0, 0, 0]


def test_every_part_has_its_own_n_and_name(tmp_path: Path) -> None:
    row = {"question": "What moves the tides?", "support": LONG, "choices": ["the moon", "all of the above"]}
    row["answer"] = "the moon and the sun"
    path = write_registry(
        tmp_path, {"toy": [row]}, passage=["support"], choices=["choices"], answer=["answer"]
    )
    index = build_index(DecontaminationSettings(benchmarks=path, parts=("prompt", "choices", "passage")))
    ids = ids_of(index)
    explained = [index.explain(int(ngram)) for ngram in ids[index.is_item(ids)]]
    assert {(each.part, each.n) for each in explained} == {("prompt", 4), ("choices", 4), ("passage", 13)}
    assert len(explained) == 1 + 1 + 3


def test_what_is_no_id_is_refused(tmp_path: Path) -> None:
    index = index_of(tmp_path, [LONG, "Is it raining now?"])
    known = set(ids_of(index).tolist())
    assert len(known) < index.id_limit
    for wrong in (-1, index.id_limit, *set(range(index.id_limit)) - known):
        with pytest.raises(IndexError, match=f"n-gram {wrong} is none of this index"):
            index.explain(wrong)
    wrong_ids = np.array([min(known), index.id_limit], np.uint32)
    for ask in (index.describe, index.units_of, index.is_item):
        with pytest.raises(IndexError):
            ask(wrong_ids)


def test_no_ids_are_described_as_no_rows(tmp_path: Path) -> None:
    index = index_of(tmp_path, [LONG])
    nothing = np.zeros(0, np.uint32)
    table = index.describe(nothing)
    assert table.num_rows == 0
    assert table.schema == index.describe(ids_of(index)).schema
    assert table.schema.names == ["benchmark", "item", "part", "n", "words", "shared_by"]
    assert [len(each) for each in index.units_of(nothing)] == [0, 0]
    assert not index.starting(nothing, 4).any()


def test_describe_keeps_the_order_and_repetitions(tmp_path: Path) -> None:
    index = index_of(tmp_path, [LONG, "Is it raining now?"])
    ids = np.tile(ids_of(index)[::-1], 2)
    rows = index.describe(ids).to_pylist()
    assert [tuple(row["words"].split()) for row in rows] == [index.explain(int(each)).words for each in ids]
    assert [row["n"] for row in rows] == index.lengths_of(ids).tolist()


def test_many_ngrams_are_described_as_few_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(tmp_path, [LONG, "Is it raining now? Maße"])
    whole = index.describe(ids_of(index))
    monkeypatch.setattr("decontam.ngrams._AT_ONCE", 7)
    monkeypatch.setattr("decontam.ngrams._FEW_WORDS", 0)
    assert index.describe(ids_of(index)).equals(whole)


def test_words_are_spelt_as_they_are_hashed(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["It's Élan, ＦＵＬＬ Straße e\u0301lan 海 \ud800 IT’S"])
    spellings = normalised(index._batch.column("spellings").values).to_pylist()
    assert spellings == [split_words(word)[0] for word in spellings]
    assert [word_hash(each) >> 32 for each in spellings] == index._array("vocabulary").tolist()


def test_words_that_share_a_code_are_spelt_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two words with the same upper half of their hashes: both are found, each is spelt as it stands."""
    from decontam import fields

    real = fields.index_words

    def colliding(column: Any) -> Any:
        words = real(column)
        low, high = word_hash("low"), word_hash("high")
        words.hashes[words.hashes == np.uint64(high)] = np.uint64(low >> 32 << 32 | high & 0xFFFFFFFF)
        return words

    monkeypatch.setattr(fields, "index_words", colliding)
    index = index_of(
        tmp_path, ["the low water came by noon", "high water came by six", "so low and high again"]
    )
    spelt = set(index.describe(ids_of(index)).column("words").to_pylist())
    assert "the low water came" in spelt
    assert "low water came by noon" in spelt
    assert "high water came by six" in spelt
    assert {"so low and high", "low and high again"} <= spelt


def test_the_text_can_be_read_by_field(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["Is it raining?", {"question": ["Maße und Zahl", "", "one"]}])
    starts = index.field_starts
    fields = [
        [hash_ >> 32 for hash_ in map(word_hash, split_words(text))]
        for text in ("is it raining", "maße und zahl", "", "one", "masse und zahl")
    ]
    for number, field in enumerate(fields):
        assert index.codes[starts[number] : starts[number + 1]].tolist() == [*field, 0]
    assert index.field_units.tolist() == [0, 1, 1, 1, 1]
    assert index.field_is_variant.tolist() == [False, False, False, False, True]
    assert not index.codes[starts[-1] :].any()


@settings(max_examples=40, deadline=None)
@given(
    items=st.lists(st.lists(st.sampled_from("abc"), max_size=18).map(" of ".join), min_size=1, max_size=12),
    n=st.integers(4, 13),
    data=st.data(),
)
def test_starting_marks_every_occurrence(
    scratch: Path, items: list[str], n: int, data: st.DataObject
) -> None:
    index = index_of(scratch, items)
    ids = grams_of(index)
    chosen = data.draw(st.lists(st.sampled_from([*ids]), unique=True)) if ids else []
    starts = index.starting(np.array([ids[gram] for gram in chosen], np.uint32), n)
    at = {id_: gram for gram, id_ in ids.items() if gram in chosen and len(gram) == n}
    expected = np.zeros(len(index.codes), np.bool_)
    words = scan_places(index, items)
    for place, gram in words.items():
        expected[place] = gram[:n] in at.values()
    assert starts.tolist() == expected.tolist()
    assert (starts.sum() == 0) == (not at) or not_all_template(index)


def scan_places(index: NgramIndex, items: list[str]) -> dict[int, tuple[str, ...]]:
    """The 13 words from each place of the text that are no template words to the end."""
    places = {}
    template = np.unpackbits(index._array("template"), bitorder="little").astype(bool)
    for number, item in enumerate(items):
        words, start = split_words(item), int(index.field_starts[number])
        for i in range(len(words)):
            gram = tuple(words[i : i + 13])
            free = [k for k in range(len(gram)) if not template[start + i + k]]
            places[start + i] = gram if free and free[0] < 4 else ()
    return places


def not_all_template(index: NgramIndex) -> bool:
    return bool(index._array("template").any())


# ---- the file


def test_the_same_benchmarks_give_the_same_bytes(tmp_path: Path) -> None:
    path = write_registry(tmp_path, {"a": [LONG, "Is it raining now?"], "b": [LONG]})
    elsewhere = shutil.copytree(tmp_path, tmp_path / "elsewhere")
    same = DecontaminationSettings(benchmarks=str(elsewhere / "benchmarks.yaml"))
    index, again = build_index(DecontaminationSettings(benchmarks=path)), build_index(same)
    assert content(index) == content(again)
    fewer = build_index(DecontaminationSettings(benchmarks=path, skip=("b",)))
    assert fewer.header.digest != index.header.digest


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write_registry(tmp_path, {"a": [LONG, "Is it raining now? Maße"] * 3, "b": ["a b c d e of " * 9]})
    program = (
        "from decontam.build import build_index; from decontam.settings import DecontaminationSettings as S;"
        f"build_index(S(benchmarks={path!r})).write(open({str(tmp_path / 'other')!r}, 'wb'))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONHASHSEED": "7"}, cwd=Path.cwd())
    assert (tmp_path / "other").read_bytes() == content(build_index(DecontaminationSettings(benchmarks=path)))


@pytest.mark.parametrize("prompts", [[LONG, "Is it raining now?"], ["too short"]])
def test_an_opened_index_is_the_one_that_was_written(tmp_path: Path, prompts: list[str]) -> None:
    built = index_of(tmp_path, prompts)
    (tmp_path / "index").write_bytes(content(built))
    opened = NgramIndex.open(str(tmp_path / "index"))
    assert opened.header == built.header
    assert (opened.size, opened.id_limit) == (built.size, built.id_limit)
    for name, array in built.tables._asdict().items():
        assert np.array_equal(getattr(opened.tables, name), array), name
        assert not getattr(opened.tables, name).flags.writeable, name
    words = index_words(pa.array(["Well: is it raining now?"]))
    assert scan(words, opened).equals(scan(words, built))
    assert opened.describe(ids_of(opened)).equals(built.describe(ids_of(built)))


def test_an_opened_index_is_mapped_not_copied(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(content(index_of(tmp_path, [LONG, " ".join(map(str, range(2000)))])))
    before = pa.total_allocated_bytes()
    opened = NgramIndex.open(str(tmp_path / "index"))
    assert pa.total_allocated_bytes() - before < opened.tables.rows.nbytes
    assert NgramIndex.open((tmp_path / "index").as_uri()).size == opened.size


@pytest.mark.parametrize(
    "kind", ["no index", "empty", "cut", "another version", "another word rule", "another table"]
)
def test_what_is_not_an_index_of_this_version_is_refused(tmp_path: Path, kind: str) -> None:
    good = content(index_of(tmp_path, [LONG]))
    stored: dict[str, Any] = {
        "no index": b"something else",
        "empty": b"",
        "cut": good[: len(good) // 2],
        "another version": good.replace(b'"version":2', b'"version":1'),
        "another word rule": good.replace(b'"word_rule":"words_v1"', b'"word_rule":"words_v0"'),
        "another table": good.replace(b"bloom", b"blume"),
    }
    (tmp_path / "index").write_bytes(stored[kind])
    with pytest.raises(BenchmarkError, match="is not an n-gram index that this version can read"):
        NgramIndex.open(str(tmp_path / "index"))


def test_a_missing_index_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        NgramIndex.open(str(tmp_path / "gone"))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_index_does_not_read_beyond_its_arrays(scratch: Path, data: st.DataObject) -> None:
    """Whatever stands in the tables, the scan ends, and finds at most what the format allows."""
    index = index_of(scratch, [LONG, LONG.replace("ten", "10"), "Is it raining now?"])
    number = st.integers(0, 2**64 - 1)
    for name in ("slots", "rows", "groups", "bloom"):
        array = getattr(index.tables, name).copy()
        for place in data.draw(st.lists(st.integers(0, len(array) - 1), max_size=4)):
            array[place] = data.draw(number) & int(np.iinfo(array.dtype).max)
        index.tables = index.tables._replace(**{name: array})
    index.tables.bloom[:] = 2**64 - 1
    hits = scan(index_words(pa.array([LONG, "Is it raining now? " * 3])), index)
    assert all(ngram < index.id_limit for ngram in hits.values.to_pylist())
    ids = ids_of(index)
    for n in (4, 13):
        index.starting(ids, n)
    index.units_of(ids)
    assert index.describe(ids).num_rows == len(ids)


def test_damaged_fields_are_an_error(tmp_path: Path) -> None:
    index = index_of(tmp_path, [LONG])
    index.__dict__["field_starts"] = np.array([0, 10**9])
    with pytest.raises(BenchmarkError, match="damaged"):
        index.describe(ids_of(index))


def test_the_parts_keep_their_order() -> None:
    assert PARTS == ("prompt", "choices", "answer", "passage")  # stored in index files by their place
