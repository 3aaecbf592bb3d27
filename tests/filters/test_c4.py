"""C4's measures and line edits against their plain statement, and each rule on both sides of its bound."""

from __future__ import annotations

import functools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from filters.c4 import EDIT_COLUMNS, C4LineEdits, c4, edit_lines
from filters.lines import Edited
from filters.words import index_words
from tests.filters import quality_rules as rules
from tests.filters.quality_texts import check_edit, chunks, column, expected, measured


def edited(texts: list[str | None], **settings: object) -> Edited:
    text = column(texts)
    return edit_lines(text, index_words(text), C4LineEdits.model_validate(settings))


@given(chunks())
@settings(max_examples=120, deadline=None)
def test_measures_are_those_of_the_plain_rules(texts: list[str]) -> None:
    columns = measured(c4, texts)
    assert columns["c4.lorem_ipsum"] == expected(rules.lorem_ipsum, texts)
    assert columns["c4.curly_brackets"] == expected(rules.curly_brackets, texts)
    assert columns["c4.sentences"] == expected(rules.sentences, texts)


@given(chunks(), st.booleans(), st.booleans())
@settings(max_examples=120, deadline=None)
def test_edits_are_those_of_the_plain_rules(texts: list[str], marks: bool, punctuation: bool) -> None:
    made = edited(texts, citation_marks=marks, terminal_punctuation=punctuation)
    reason = functools.partial(rules.c4_reason, terminal_punctuation=punctuation)
    check_edit(made, texts, reason, citation_marks=marks)
    assert {*made.counts, "c4.removed_words"} == {declared.name for declared in EDIT_COLUMNS}


@pytest.mark.parametrize(
    ("kept", "removed", "reason"),
    [
        ("one two three", "one two", "c4.short_lines"),
        ("a b " + "c" * 1000, "a b " + "c" * 1001, "c4.long_word_lines"),
        ("a b " + "é" * 1000, "a b " + "é" * 1001, "c4.long_word_lines"),
        ("we like java scripts", "enable JavaScript to see this", "c4.javascript_lines"),
        ("a policy of privacy", "see our Privacy Policy here", "c4.policy_lines"),
        ("they use a cookie", "we USE COOKIES for this", "c4.policy_lines"),
    ],
)
def test_each_line_rule_on_both_sides(kept: str, removed: str, reason: str) -> None:
    made = edited([f"{kept}\n{removed}\n{kept} too"])
    assert made.text.to_pylist() == [f"{kept}\n{kept} too"]
    assert {
        name: counts.to_pylist() for name, counts in made.counts.items() if counts.to_pylist() != [0]
    } == {reason: [1]}


@pytest.mark.parametrize("end", [".", "?", "!", '"', "'", ". [12]", ".[edit] "])
def test_terminal_punctuation_keeps_a_line(end: str) -> None:
    assert edited([f"one two three{end}"], terminal_punctuation=True).removed_words.to_pylist() == [0.0]


@pytest.mark.parametrize("end", ["", ",", "...", "....", " [1]", "…"])
def test_a_line_without_terminal_punctuation_goes_if_asked(end: str) -> None:
    made = edited([f"one two three{end}"], terminal_punctuation=True)
    assert made.counts["c4.unpunctuated_lines"].to_pylist() == [1]
    assert edited([f"one two three{end}"]).removed_words.to_pylist() == [0.0]


def test_citation_marks_are_taken_out_of_lines_that_stay() -> None:
    made = edited(["As said[1][23] before.[citation needed]\n[edit]\nSee [a1] and [x[2]]."])
    assert made.text.to_pylist() == ["As said before.\nSee [a1] and [x]."]
    assert made.counts["c4.citation_marks"].to_pylist() == [4]


def test_paragraphs_stay_apart_and_a_removed_one_leaves_no_gap() -> None:
    made = edited(["menu\n\none two three\nmenu\n\nmenu\n\nmenu\n\nfour five six\n\n\nmenu\n"])
    assert made.text.to_pylist() == ["one two three\n\nfour five six"]
    assert made.removed_words.to_pylist() == [pytest.approx(5 / 11)]


def test_blank_lines_can_go_as_in_the_released_code() -> None:
    made = edited(["one two three\n\nfour five six\n", "one two three"], keep_blank_lines=False)
    assert made.text.to_pylist() == ["one two three\nfour five six", "one two three"]
    assert made.counts["c4.short_lines"].to_pylist() == [0, 0]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_type_nulls_and_slices_stay(kind: pa.DataType) -> None:
    text = pa.array(["out", "a b c\r\nd", None, "", "a b c\r\n"], kind)[1:]
    made = edit_lines(text, index_words(text), C4LineEdits())
    assert made.text.type == kind
    made.text.validate(full=True)
    assert made.text.to_pylist() == ["a b c", None, "", "a b c\r\n"]
    assert made.removed_words.to_pylist() == [0.25, None, None, 0.0]


def test_nothing_to_edit() -> None:
    text = pa.array([], pa.string())
    assert len(edit_lines(text, index_words(text), C4LineEdits()).text) == 0
    assert edited(["the end is nigh"]).text.to_pylist() == ["the end is nigh"]


def test_sentences() -> None:
    texts = [
        "One. Two! Three?",
        "No end\nNor here",
        "At 3.14 p.m. the U.S. team won.",
        "Why?! (Because.) So",
        "…",
        "",
    ]
    assert measured(c4, texts)["c4.sentences"] == [3, 2, 1, 3, 1, 0]


def test_documents_without_text_count_nothing() -> None:
    assert measured(c4, [None, ""]) == {
        "c4.lorem_ipsum": [0, 0],
        "c4.curly_brackets": [0, 0],
        "c4.sentences": [0, 0],
    }


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError):
        C4LineEdits.model_validate({"min_word": 3})
    with pytest.raises(ValueError, match="empty phrase"):
        edited(["a b c"], policy_phrases=[""])
