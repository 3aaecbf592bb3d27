from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decontam.errors import BenchmarkError
from decontam.items import _lookup
from decontam.registry import (
    Benchmark,
    BenchmarkItems,
    Source,
    columns_used,
    read_benchmark,
)
from decontam.settings import PARTS, Part


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path, parts: tuple[Part, ...] = PARTS, **columns: object) -> BenchmarkItems:
    benchmark = Benchmark.model_validate({"key": "toy", "prompt": ["question"], **columns})
    return read_benchmark(Source(benchmark, str(path)), parts)


def test_a_column_may_be_inside_fields(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.jsonl", {"extra": 1, "fields": {"question": "why?", "answer": {"value": "so"}}}
    )
    got = read(path, answer=["answer.value"])
    assert got.items[0].fields == (("prompt", "why?"), ("answer", "so"))
    assert got.columns == {
        "prompt": ("fields.question",),
        "choices": (),
        "answer": ("fields.answer.value",),
        "passage": (),
    }


def test_the_top_of_a_row_comes_before_fields(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"question": "top", "fields": {"question": "below"}})
    assert read(path).items[0].fields == (("prompt", "top"),)


NORMALISED = {
    "id": "toy#7",
    "text": "passage and question",
    "fields": {"q": "question", "choices": ["a", "b"]},
}


def test_text_stands_in_for_missing_prompts_of_the_normalised_form(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", NORMALISED)
    got = read(
        path, prompt=["ctx", "question"], choices=["choices.text"], answer=["label"], passage=["context"]
    )
    assert [(item.id, item.fields) for item in got.items] == [
        ("toy#7", (("prompt", "passage and question"), ("choices", "a"), ("choices", "b")))
    ]
    assert got.columns == {"prompt": ("text",), "choices": ("fields.choices",), "answer": (), "passage": ()}
    assert columns_used(Source(Benchmark(key="toy", prompt=("ctx",)), str(path)), ("prompt",)) == {
        "prompt": ("text",)
    }


def test_text_joins_the_prompts_that_are_there(tmp_path: Path) -> None:
    got = read(write(tmp_path / "t.jsonl", NORMALISED), prompt=["other", "q"])
    assert got.columns["prompt"] == ("text", "fields.q")


def test_a_prompt_that_is_there_needs_no_text(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.jsonl", NORMALISED), prompt=["q"]).columns["prompt"] == ("fields.q",)


@pytest.mark.parametrize("odd", [{"text": None}, {"fields": None}, {"extra": 1}, {"fields": "x"}])
def test_other_forms_must_have_every_column(tmp_path: Path, odd: dict[str, object]) -> None:
    path = write(tmp_path / "t.jsonl", NORMALISED, {**NORMALISED, **odd})
    with pytest.raises(BenchmarkError, match='has no column "question"'):
        read(path)


def test_normalised_parquet_is_read_the_same(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.Table.from_pylist([NORMALISED]), tmp_path / "t.parquet")
    got = read(tmp_path / "t.parquet", choices=["choices"])
    assert got.items[0].fields == (("prompt", "passage and question"), ("choices", "a"), ("choices", "b"))


def test_a_missing_part_is_an_error_that_says_how_to_go_on(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"question": "why?", "option": "a"})
    with pytest.raises(
        BenchmarkError, match=r'no column "options" .*Did you mean "option"\?.*`--parts`.*choices'
    ):
        read(path, choices=["options"])
    assert read(path, ("prompt",), choices=["options"]).items[0].fields == (("prompt", "why?"),)


def test_tokens_are_joined_to_one_text(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"question": ["def", "f", "(", ")"], "choices": ["one", "two"]})
    got = read(path, choices=["choices"], joined=["question"])
    assert got.items[0].fields == (("prompt", "def f ( )"), ("choices", "one"), ("choices", "two"))


ROWS_OF_TWO = [
    {"id": "telugu-1", "category": "law", "question": "a"},
    {"id": "thai-1", "category": "math", "question": "b"},
    {"id": "telugu-2", "category": None, "question": "c"},
]


@pytest.mark.parametrize(
    ("row_filter", "wanted"),
    [
        ({"column": "category", "equals": "math"}, ["thai-1"]),
        ({"column": "id", "starts_with": "telugu-"}, ["telugu-1", "telugu-2"]),
    ],
)
@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_a_row_filter_takes_the_benchmarks_own_rows(
    tmp_path: Path, name: str, row_filter: dict[str, str], wanted: list[str]
) -> None:
    pa.parquet.write_table(pa.Table.from_pylist(ROWS_OF_TWO), tmp_path / "t.parquet")
    write(tmp_path / "t.jsonl", *ROWS_OF_TWO)
    got = read(tmp_path / name, row_filter=row_filter)
    assert [item.id for item in got.items] == wanted
    assert (got.rows, got.filtered) == (3, True)


def test_filtered_rows_keep_their_numbers(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "id"} for row in ROWS_OF_TWO]
    path = write(tmp_path / "t.jsonl", *rows)
    assert [item.id for item in read(path, row_filter={"column": "category", "equals": "math"}).items] == [
        "1"
    ]


def test_numbers_compare_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"question": "a", "level": 5}, {"question": "b", "level": 50})
    assert len(read(path, row_filter={"column": "level", "equals": "5"}).items) == 1


def test_a_row_filter_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", *ROWS_OF_TWO)
    with pytest.raises(
        BenchmarkError, match=r'none of its 3 rows: no "category" equals "Law".*it has law, math'
    ):
        read(path, row_filter={"column": "category", "equals": "Law"})
    with pytest.raises(BenchmarkError, match=r'has no column "categories".*`row_filter` needs it'):
        read(path, row_filter={"column": "categories", "equals": "law"})


def test_a_normalised_file_holds_one_benchmark(tmp_path: Path) -> None:
    """Its own id is not the id that the filter means; a column that it has kept is."""
    path = write(tmp_path / "t.jsonl", NORMALISED)
    assert not read(path, row_filter={"column": "id", "starts_with": "telugu-"}).filtered
    with pytest.raises(BenchmarkError, match="matches none of its 1 rows"):
        read(path, row_filter={"column": "q", "equals": "other"})


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "b", "a.b"]), inner, max_size=3)
        ),
        max_leaves=12,
    ),
    st.sampled_from(["a", "b", "a.b", "a.a.b"]),
)
def test_looking_up_a_column_agrees_with_its_plain_statement(value: object, column: str) -> None:
    def plain(value: object, steps: list[str]) -> list[object]:
        if isinstance(value, list):
            return [found for element in value for found in plain(element, steps)]
        if isinstance(value, dict):
            if ".".join(steps) in value:
                return [value[".".join(steps)]]
            if steps[1:] and steps[0] in value:
                return plain(value[steps[0]], steps[1:])
        return []

    assert list(_lookup(value, column)) == plain(value, column.split("."))


def test_parts_lists_nested_fields_and_numbers_become_fields(tmp_path: Path) -> None:
    row = {
        "id": "q1",
        "turns": ["first", "second"],
        "fields": {"choices": {"text": ["one", "two"], "label": ["A", "B"]}, "answer": 42},
        "support": [{"title": "t1"}, {"title": None}, {"title": "t3"}],
        "image": None,
    }
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    (item,) = read(
        tmp_path / "t.jsonl",
        prompt=["turns", "image"],
        choices=["fields.choices.text"],
        answer=["fields.answer"],
        passage=["support.title"],
    ).items
    assert item.id == "q1"
    assert item.fields == (
        ("prompt", "first"),
        ("prompt", "second"),
        ("choices", "one"),
        ("choices", "two"),
        ("answer", "42"),
        ("passage", "t1"),
        ("passage", "t3"),
    )


def test_a_parquet_map_is_a_nested_column(tmp_path: Path) -> None:
    maps = pa.array([[("a", "one"), ("b", "two")]], pa.map_(pa.string(), pa.string()))
    pa.parquet.write_table(pa.table({"question": ["why?"], "choices": maps}), tmp_path / "t.parquet")
    got = read(tmp_path / "t.parquet", choices=["choices"], answer=["choices.b"])
    assert got.items[0].fields == (
        ("prompt", "why?"),
        ("choices", "one"),
        ("choices", "two"),
        ("answer", "two"),
    )
