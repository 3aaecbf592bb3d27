"""Settings that cannot be are refused before anything is counted."""

from __future__ import annotations

import unicodedata

import pytest
from pydantic import ValidationError

from tokenizer.settings import PRESETS, TokenizerSettings
from tokenizer.symbols import MATHEMATICAL


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "it is empty"),
        ("<| |>", "holds white space"),
        ("<|\t|>", "holds white space"),
        ("a\u2581b", "holds white space"),
        ("a\u2585b", "or U\\+2585"),
        ("ab", "at least three characters"),
        ("<s>", "every model has"),
        ("<0x0A>", "every model has"),
        ("<|end|>", "stands twice"),
    ],
)
def test_special_tokens_that_cannot_be(token: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TokenizerSettings(special_tokens=("<|end|>", token))


def test_required_characters_that_cannot_be() -> None:
    with pytest.raises(ValidationError, match="cannot be pieces"):
        TokenizerSettings(required_characters="a b")


def test_a_vocabulary_needs_room() -> None:
    smallest = TokenizerSettings().smallest
    assert TokenizerSettings(vocab_size=smallest).vocab_size == smallest
    with pytest.raises(ValidationError, match="no room for pieces"):
        TokenizerSettings(vocab_size=smallest - 1)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        TokenizerSettings(vocabulary_size=5)  # type: ignore[call-arg]


def test_presets_are_multiples_of_128() -> None:
    assert all(size % 128 == 0 for size in PRESETS.values())


def test_mathematical_characters_are_assigned_and_distinct() -> None:
    assert len(set(MATHEMATICAL)) == len(MATHEMATICAL)
    assert all(unicodedata.category(mark) != "Cn" and ord(mark) > 127 for mark in MATHEMATICAL)
    assert set("∀∃∈ℝ∑∫≤≠αβγπ→⇒×±²½") <= set(MATHEMATICAL)


def test_white_space_symbols_hold_one_character_each() -> None:
    symbols = TokenizerSettings(newline_runs=2, tab_runs=3).white_space
    assert symbols == ("\n", "\n\n", "\t", "\t\t", "\t\t\t", "\r")
