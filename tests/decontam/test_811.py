"""The packaged registry of 811 benchmarks; tests/acceptance/test_811.py compares it with its table and with real files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from decontam.registry import Benchmark, read_entries, resolve
from scripts.make_811 import ANSWER_PARTS, TEXT_PARTS, parts, row_filter


@pytest.fixture(scope="module")
def entries() -> dict[str, Benchmark]:
    return {entry.key: entry for entry in read_entries("811.yaml")}


def test_there_are_811_benchmarks_of_unique_names(entries: dict[str, Benchmark]) -> None:
    """`read_entries` refuses a key or alias that is taken; here they are counted once more."""
    assert len(entries) == 811
    names = [name for entry in entries.values() for name in entry.names]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_every_benchmark_says_where_it_is_and_what_it_is(entries: dict[str, Benchmark]) -> None:
    for entry in entries.values():
        assert entry.hf is not None, entry.key
        assert entry.hf.splits, entry.key
        assert entry.prompt, entry.key
        assert entry.family, entry.key
        assert entry.language, entry.key
        assert entry.license, entry.key


def test_a_benchmark_is_verified_or_says_what_is_unsure(entries: dict[str, Benchmark]) -> None:
    for entry in entries.values():
        assert entry.verified != bool(set(entry.unsure) - {"license"}), entry.key
    assert sum(entry.verified for entry in entries.values()) == 644


def test_no_two_benchmarks_are_the_same_rows(entries: dict[str, Benchmark]) -> None:
    """Apart from MAWPS, whose parts the hub does not tell apart; its entries say so."""
    places = Counter(
        (entry.hf.path, entry.hf.config, entry.hf.splits, entry.row_filter)
        for entry in entries.values()
        if entry.hf
    )
    shared = {place[0] for place, count in places.items() if count > 1}
    assert shared == {"MU-NLPC/Calc-mawps"}
    assert {key for key, entry in entries.items() if entry.note} == {
        f"mawps/{part}" for part in ("addsub", "multiarith", "singleeq", "singleop")
    }


def test_the_families_are_whole(entries: dict[str, Benchmark]) -> None:
    families = Counter(entry.family for entry in entries.values())
    wanted = {"mmlu": 57, "bigbench": 163, "blimp": 67, "cmmlu": 67, "ceval": 52, "bbh": 27, "mmlu_pro": 14}
    assert {family: families[family] for family in wanted} == wanted


def test_one_file_of_many_benchmarks_is_divided_by_its_rows(entries: dict[str, Benchmark]) -> None:
    filters = {key: entry.row_filter for key, entry in entries.items() if entry.row_filter}
    assert len(filters) == 23
    assert filters["mmlu_pro/computer_science"].model_dump(exclude_none=True) == {
        "column": "category",
        "equals": "computer science",
    }
    assert filters["tydiqa_goldp/telugu"].model_dump(exclude_none=True) == {
        "column": "id",
        "starts_with": "telugu-",
    }


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("mmlu/anatomy", {"prompt": ["question"], "choices": ["choices"], "answer": ["answer"]}),
        ("cmmlu/anatomy", {"prompt": ["Question"], "choices": ["A", "B", "C", "D"], "answer": ["Answer"]}),
        ("hellaswag", {"prompt": ["ctx_a", "ctx_b"], "choices": ["endings"], "answer": ["label"]}),
        ("squad/v2", {"prompt": ["question"], "passage": ["title", "context"], "answer": ["answers.text"]}),
        ("race/high", {"prompt": ["problems"], "passage": ["article"]}),
        # Nothing but a text is the item: it is the prompt.
        ("lambada/openai", {"prompt": ["text"]}),
        ("wikitext/wikitext-2-raw-v1", {"prompt": ["page"]}),
        ("mutual", {"prompt": ["article"], "choices": ["options"], "answer": ["answers"]}),
        ("arithmetic/two_digit_addition", {"prompt": ["context"], "answer": ["completion"]}),
        ("blimp/adjunct_island", {"prompt": ["sentence_good", "sentence_bad"]}),
        # A situation written for the item belongs to the question.
        (
            "social_iqa",
            {
                "prompt": ["context", "question"],
                "choices": ["answerA", "answerB", "answerC"],
                "answer": ["label"],
            },
        ),
        # Candidates that are not the answer.
        (
            "super_glue/multirc",
            {"prompt": ["question"], "choices": ["answer"], "passage": ["paragraph"], "answer": ["label"]},
        ),
        (
            "truthfulqa/generation",
            {
                "prompt": ["question"],
                "choices": ["incorrect_answers"],
                "answer": ["best_answer", "correct_answers"],
            },
        ),
        ("inverse_scaling/neqa", {"prompt": ["prompt"], "choices": ["classes"]}),
        (
            "code_x_glue/code2text_go",
            {
                "prompt": ["code_tokens"],
                "answer": ["docstring_tokens"],
                "joined": ["code_tokens", "docstring_tokens"],
            },
        ),
    ],
)
def test_columns_are_divided_into_parts(
    entries: dict[str, Benchmark], key: str, wanted: dict[str, list[str]]
) -> None:
    columns = entries[key].model_dump(
        mode="json", include={"prompt", "choices", "answer", "passage", "joined"}
    )
    assert {part: names for part, names in columns.items() if names} == wanted


def test_a_column_that_no_rule_names_is_an_error() -> None:
    row = {"key": "new", "family": "new", "text_fields": "question,riddle", "answer_fields": ""}
    with pytest.raises(ValueError, match="no rule says which part text_fields 'riddle' is"):
        parts(row)
    with pytest.raises(ValueError, match="no column is its prompt"):
        parts({**row, "text_fields": "choices"})
    with pytest.raises(ValueError, match="no form of row filter"):
        row_filter("__import__('os')")


def test_a_column_is_of_one_part() -> None:
    """The rules are written as lists; a name in two of them would be lost from one without a word."""
    from scripts import make_811

    for names in (make_811.PROMPT, make_811.CHOICES, make_811.PASSAGE, make_811.ANSWER):
        assert len(set(names.split())) == len(names.split())
    listed = sum(len(names.split()) for names in (make_811.PROMPT, make_811.CHOICES, make_811.PASSAGE))
    assert len(TEXT_PARTS) == listed + 3
    assert len(ANSWER_PARTS) == len(make_811.ANSWER.split()) + 3


def test_the_file_is_as_the_script_writes_it() -> None:
    """Three lines an entry, a comment for each family; nothing was edited in by hand."""
    lines = Path(resolve("811.yaml")).read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("- {key: ") for line in lines) == 811
    assert sum(line.startswith("   hf: {path: ") for line in lines) == 811
    assert sum(line.startswith("   prompt: [") for line in lines) == 811
