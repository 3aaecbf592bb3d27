"""DCLM's line edits against their plain statement, and each rule on both sides of its bound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from filters.dclm import EDIT_COLUMNS, DclmLineEdits, edit_lines
from filters.lines import Edited
from filters.words import index_words
from tests.filters import quality_rules as rules
from tests.filters.quality_texts import check_edit, chunks, column


def edited(texts: list[str | None], **settings: object) -> Edited:
    text = column(texts)
    return edit_lines(text, index_words(text), DclmLineEdits.model_validate(settings))


@given(chunks())
@settings(max_examples=120, deadline=None)
def test_edits_are_those_of_the_plain_rules(texts: list[str]) -> None:
    made = edited(texts)
    check_edit(made, texts, rules.dclm_reason, citation_marks=False)
    assert {*made.counts, "dclm.removed_words"} == {declared.name for declared in EDIT_COLUMNS}


@pytest.mark.parametrize(
    ("kept", "removed", "reason"),
    [
        ("AAAa aaa", "AAAAA aaa", "dclm.uppercase_lines"),
        ("ÀÀÀ bbb", "ÀÀÀÀ bb", "dclm.uppercase_lines"),
        ("20 24", "2024", "dclm.numeric_lines"),
        ("3 likes today", "• 1,234 Likes •", "dclm.counter_lines"),
        ("3k x views", "3.4k\u00a0views", "dclm.counter_lines"),
        ("about 3 views", "2M followers!", "dclm.counter_lines"),
        ("two words", "word", "dclm.one_word_lines"),
        ("a b c d e f g h i j sign in", "a b c d e f g h Sign In", "dclm.phrase_lines"),
        ("Read some more...", "Read More...", "dclm.phrase_lines"),
        ("items in the cart", "0 items in cart", "dclm.phrase_lines"),
    ],
)
def test_each_rule_on_both_sides(kept: str, removed: str, reason: str) -> None:
    made = edited([f"{kept}\n{removed}\n{kept}."])
    assert made.text.to_pylist() == [f"{kept}\n{kept}."]
    assert {
        name: counts.to_pylist() for name, counts in made.counts.items() if counts.to_pylist() != [0]
    } == {reason: [1]}


def test_the_share_of_words_removed_judges_the_document() -> None:
    prose = "these are ordinary words\n"
    made = edited([prose * 5 + "Menu", prose * 4 + "Menu", "Menu", "", None])
    assert made.removed_words.to_pylist() == [
        pytest.approx(1 / 21),
        pytest.approx(1 / 17),
        1.0,
        None,
        None,
    ]
    assert made.text.to_pylist() == [(prose * 5)[:-1], (prose * 4)[:-1], "", "", None]


def test_rules_can_be_turned_off() -> None:
    off = {"max_uppercase": 1, "max_numeric": 1, "counters": False, "min_words": 0, "phrases": []}
    text = "SIGN IN\n2024\n3 likes\nMenu"
    assert edited([text], **off).text.to_pylist() == [text]
