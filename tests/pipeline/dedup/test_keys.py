"""Reading harvested chunks: who takes part, ids, ranks, scopes; and the records of band keys."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chunks import HarvestedChunk
from pipeline.dedup import keys
from pipeline.dedup.arrays import mixed, open_array
from pipeline.errors import UserError
from tests.pipeline.dedup import corpus


def chunk(base: int, rows: int) -> HarvestedChunk:
    return HarvestedChunk(key=f"chunk-{base}", path=f"{base}.parquet", rows=rows, base=base)


def read(tmp_path: Path, rows: list[dict[str, Any]], cuts: tuple[int, ...] = (), **changes: Any) -> Any:
    """The flat columns of rows, read as one group."""
    (group,) = keys.group_chunks(corpus.write_chunks(tmp_path / "in", rows, cuts), 1000)
    return keys.read_group(group, settings_for(tmp_path / "out", **changes))


def settings_for(folder: Path, **changes: Any) -> keys.KeySettings:
    chosen = {
        "scope": "global",
        "rule": "longest",
        "url_rule": "newest",
        "quality_column": None,
        "text": True,
        "url": True,
        "fuzzy": True,
    }
    return keys.KeySettings.model_validate({"folder": str(folder), **chosen, **changes})


def documents(result: keys.GroupDocuments) -> np.ndarray:
    return open_array(result.path("documents"), keys.DOCUMENT)


def ordinals(result: keys.GroupDocuments) -> list[int]:
    return open_array(result.path("ordinals"), np.uint32).tolist()


# ---- grouping chunks


def test_chunks_are_grouped_in_the_order_of_their_ordinals() -> None:
    chunks = [chunk(30, 5), chunk(0, 10), chunk(10, 10), chunk(20, 10)]
    groups = keys.group_chunks(chunks, 20)
    assert [(group.key, group.base, group.rows) for group in groups] == [
        ("group-000000", 0, 20),
        ("group-000001", 20, 15),
    ]
    assert keys.group_chunks(chunks[::-1], 20) == groups


def test_a_chunk_larger_than_a_task_is_a_group_of_its_own() -> None:
    groups = keys.group_chunks([chunk(0, 3), chunk(3, 50), chunk(53, 3)], 10)
    assert [group.rows for group in groups] == [3, 50, 3]


def test_gaps_between_chunks_are_allowed_and_overlaps_are_not() -> None:
    (group,) = keys.group_chunks([chunk(5, 10), chunk(20, 10)], 100)
    assert (group.base, group.rows) == (5, 25)
    with pytest.raises(ValueError, match="chunk-0 and chunk-9 share ordinals"):
        keys.group_chunks([chunk(0, 10), chunk(9, 10)], 100)
    with pytest.raises(ValueError, match="share ordinals"):
        keys.group_chunks([chunk(0, 10), chunk(9, 10)], 10)


def test_ordinals_end_at_32_bits() -> None:
    keys.group_chunks([chunk(2**32 - 11, 10)], 100)
    with pytest.raises(ValueError, match="beyond 2"):
        keys.group_chunks([chunk(2**32 - 10, 10)], 100)


# ---- who takes part


def test_only_kept_documents_with_words_take_part(tmp_path: Path) -> None:
    some = corpus.shingles(20, 1)
    rows = [
        corpus.document(0, some, status="rejected"),
        corpus.document(1, some),
        corpus.document(2, None),
        corpus.document(3, some, status="failed"),
        corpus.document(4, some),
    ]
    result = read(tmp_path, rows, cuts=(1, 3))
    assert ordinals(result) == [1, 4]
    assert (result.documents, result.width) == (2, corpus.WIDTH)
    signatures = open_array(result.path("signatures"), np.uint32, result.width)
    assert signatures.tolist() == corpus.signatures([some, some]).tolist()


def test_without_signatures_the_word_count_tells_empty_documents(tmp_path: Path) -> None:
    rows = [corpus.document(i, **{"gopher.word_count": count}) for i, count in enumerate((0, 1, None))]
    for row in rows:
        del row["minhash"]
    result = read(tmp_path, rows, fuzzy=False)
    assert ordinals(result) == [1, 2]
    assert result.width == 0


def test_no_document_takes_part(tmp_path: Path) -> None:
    result = read(tmp_path, [corpus.document(0, None)])
    assert (result.documents, result.width) == (0, 0)
    assert ordinals(result) == []


def test_ordinals_count_from_the_chunks_base(tmp_path: Path) -> None:
    (written,) = corpus.write_chunks(tmp_path, [corpus.document(i, corpus.shingles(9, i)) for i in range(3)])
    moved = written.model_copy(update={"base": 70})
    shared = settings_for(tmp_path, url=False)
    (group,) = keys.group_chunks([moved], 100)
    assert ordinals(keys.read_group(group, shared)) == [70, 71, 72]


@pytest.mark.parametrize(
    "column", ["status", "text_hash", "url_hash", "minhash", "date", "gopher.word_count"]
)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    row = corpus.document(0, corpus.shingles(9, 0))
    del row[column]
    with pytest.raises(UserError, match=f"no column {column}"):
        read(tmp_path, [row])


def test_columns_that_no_setting_needs_may_be_missing(tmp_path: Path) -> None:
    row = corpus.document(0, corpus.shingles(9, 0))
    for column in ("text_hash", "url_hash", "date", "snapshot", "url"):
        del row[column]
    assert read(tmp_path, [row], text=False, url=False).documents == 1


def test_a_file_with_other_rows_than_announced_is_refused(tmp_path: Path) -> None:
    (written,) = corpus.write_chunks(tmp_path, [corpus.document(0)])
    group = keys.group_chunks([written.model_copy(update={"rows": 2})], 100)[0]
    shared = settings_for(tmp_path, url=False)
    with pytest.raises(UserError, match="has 1 rows, 2 were announced"):
        keys.read_group(group, shared)


def test_signatures_of_another_type_are_refused(tmp_path: Path) -> None:
    rows = [corpus.document(0, corpus.shingles(9, 0))]
    chunks = corpus.write_chunks(tmp_path, rows, minhash=pa.binary())
    shared = settings_for(tmp_path, url=False)
    with pytest.raises(UserError, match="minhash is binary"):
        keys.read_group(keys.group_chunks(chunks, 100)[0], shared)


# ---- columns of a document


def test_hashes_of_64_and_of_128_bits(tmp_path: Path) -> None:
    some = corpus.shingles(9, 0)
    plain = documents(read(tmp_path / "a", [corpus.document(0, some, text_hash=2**64 - 1)]))
    assert (plain["text_hi"][0], plain["text_lo"][0]) == (2**64 - 1, 0)
    rows = [corpus.document(0, some, text_hash=bytes(range(16))), corpus.document(1, some, text_hash=None)]
    chunks = corpus.write_chunks(tmp_path / "b", rows, text_hash=pa.binary(16))
    shared = settings_for(tmp_path, url=False)
    wide = documents(keys.read_group(keys.group_chunks(chunks, 100)[0], shared))
    assert (int(wide["text_hi"][0]), int(wide["text_lo"][0])) == (
        int.from_bytes(bytes(range(8)), "little"),
        int.from_bytes(bytes(range(8, 16)), "little"),
    )
    assert wide["has_text"].tolist() == [True, False]


def test_a_document_without_url_has_the_hash_0(tmp_path: Path) -> None:
    rows = [corpus.document(i, corpus.shingles(9, i), url_hash=value) for i, value in enumerate((None, 5))]
    assert documents(read(tmp_path, rows))["url"].tolist() == [0, 5]


@pytest.mark.parametrize(("scope", "distinct"), [("global", [0, 0, 0, 0]), ("source", [0, 0, 1, 1])])
def test_scopes_are_numbered_alike_wherever_they_appear(
    tmp_path: Path, scope: str, distinct: list[int]
) -> None:
    rows = [corpus.document(i, corpus.shingles(9, i), source=source) for i, source in enumerate("aabb")]
    numbers = documents(read(tmp_path, rows, cuts=(1, 3), scope=scope))["scope"].tolist()
    assert [number != numbers[0] for number in numbers] == [bool(each) for each in distinct]


def test_documents_without_a_snapshot_share_a_scope(tmp_path: Path) -> None:
    rows = [
        corpus.document(i, corpus.shingles(9, i), snapshot=name) for i, name in enumerate((None, "a", None))
    ]
    numbers = documents(read(tmp_path, rows, scope="snapshot"))["scope"].tolist()
    assert numbers[0] == numbers[2] != numbers[1]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2**128 - 1), max_size=20), st.integers(0, 3))
def test_ids_come_back_and_order_as_their_digits_do(numbers: list[int], offset: int) -> None:
    texts = [f"{number:032x}" for number in numbers]
    array = pa.array(texts)[offset:]
    high, low = keys.parse_ids(array)
    assert keys.format_ids(high, low).to_pylist() == texts[offset:]
    assert np.lexsort((low, high)).tolist() == sorted(range(len(array)), key=texts[offset:].__getitem__)


@pytest.mark.parametrize("bad", [None, "", "0" * 31, "0" * 33, "g" + "0" * 31, "A" + "0" * 31])
def test_an_id_of_another_form_is_refused(bad: str | None) -> None:
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        keys.parse_ids(pa.array(["0" * 32, bad], pa.string()))


# ---- ranks

FLOATS = st.lists(st.none() | st.floats(allow_infinity=True, allow_nan=True, width=32), max_size=20)


@settings(deadline=None, max_examples=60)
@given(FLOATS)
def test_the_best_quality_ranks_first_and_none_last(values: list[float | None]) -> None:
    table = pa.table({"quality": pa.array(values, pa.float32(), from_pandas=False)})
    found = keys.ranks(table, "quality", "quality")
    missing = [value is None or math.isnan(value) for value in values]
    order = sorted(range(len(values)), key=lambda i: math.inf if missing[i] else -float(values[i] or 0))
    expected = [i for i in order if not missing[i]] + [i for i in range(len(values)) if missing[i]]
    assert np.argsort(found, kind="stable").tolist() == expected
    assert (found == keys.LAST).tolist() == missing


def test_the_longest_ranks_first() -> None:
    table = pa.table({"gopher.word_count": pa.array([5, None, 7, 1, 2**31 - 1, 5], pa.int32())})
    found = keys.ranks(table, "longest", None)
    assert np.argsort(found, kind="stable").tolist() == [4, 2, 0, 5, 3, 1]
    assert found[0] == found[5]


DATES = ["2024-01-01T00:00:00Z", None, "2023-06-30T12:00:00Z", "2024-01-01T00:00:01Z", "1969-12-31T23:59:59Z"]


@pytest.mark.parametrize(("rule", "order"), [("newest", [3, 0, 2, 4, 1]), ("oldest", [4, 2, 0, 3, 1])])
def test_dates_rank_and_a_missing_one_is_last(rule: Any, order: list[int]) -> None:
    assert np.argsort(keys.ranks(pa.table({"date": DATES}), rule, None)).tolist() == order
    # A form that only Python reads, anywhere in the chunk, changes nothing for the others.
    mixed_forms = pa.table({"date": [*DATES, "yesterday"]})
    assert np.argsort(keys.ranks(mixed_forms, rule, None), kind="stable").tolist() == [*order, 5]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.5", 0.5),
        ("1969-12-31T23:59:59Z", -1),
        ("2024-13-01T00:00:00Z", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_forms_of_dates(text: str | None, seconds: float | None) -> None:
    micros, known = keys.timestamps(pa.array([text], pa.string()))
    assert known.tolist() == [seconds is not None]
    assert micros[0] / 1e6 == (seconds or 0)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.datetimes(datetime.datetime(1900, 1, 1)), max_size=8))
def test_both_readers_of_dates_agree(moments: list[datetime.datetime | None]) -> None:
    texts = [each and each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in moments]
    fast = keys.timestamps(pa.array(texts, pa.string()))
    slow = keys.timestamps(pa.array([*texts, "never"], pa.string()))
    assert [side.tolist() for side in fast] == [side[:-1].tolist() for side in slow]


# ---- records


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 12), st.integers(1, 4), st.integers(1, 5), st.integers(0, 9))
def test_records_agree_with_the_reference(count: int, bands: int, partitions: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).integers(0, 2**64, (count, bands), dtype=np.uint64)
    numbers = np.arange(count, dtype=np.uint32) * 3
    packed, where, starts = keys.pack_records(matrix, numbers, partitions)
    expected = [
        [
            (int(key), int(number))
            for row, number in zip(matrix, numbers, strict=True)
            for key in row
            if (int(key) >> 32) * partitions >> 32 == p
        ]
        for p in range(partitions)
    ]
    found = list(zip(packed.tolist(), where.tolist(), strict=True))
    assert [found[starts[p] : starts[p + 1]] for p in range(partitions)] == expected


def test_keys_are_equal_only_within_a_scope() -> None:
    matrix = np.array([[1, 2], [1, 2], [1, 2]], np.uint64)
    scoped = keys.scoped(matrix, np.array([0, 7, 7], np.uint64))
    assert scoped[1].tolist() == scoped[2].tolist()
    assert not set(scoped[0].tolist()) & set(scoped[1].tolist())
    assert scoped[0].tolist() == mixed(matrix[0]).tolist()
