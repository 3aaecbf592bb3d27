"""DCLM's line edits (Li et al. 2024, appendix; after RefinedWeb, Penedo et al. 2023, table G.2): lines that
are not prose go.

An edit step of its own, before anything is measured. The document itself is judged by the share of words
that went: `dclm.removed_words`, at most .05. See docs/quality.md for where this differs from DCLM's
released code.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, Field

from filters._simd import kernel
from filters.lines import (
    Bools,
    Edited,
    count_reasons,
    line_facts,
    lines_with,
    matches_at,
    pack_phrases,
    ratio,
    without_lines,
)
from filters.measures import Column
from filters.tokens import LETTER, NUMBER, SPACE, Bytes, Classes, Ints, bytes_of, character_classes, decode
from filters.words import WordIndex

EDIT_COLUMNS: Final = (
    Column(
        "dclm.uppercase_lines",
        pa.int32(),
        "lines removed in which more than half of the characters are capitals",
    ),
    Column("dclm.numeric_lines", pa.int32(), "lines removed of nothing but digits"),
    Column("dclm.counter_lines", pa.int32(), 'lines removed that only count something: "3 likes"'),
    Column("dclm.one_word_lines", pa.int32(), "lines removed of one word"),
    Column("dclm.phrase_lines", pa.int32(), 'short lines removed for a phrase of web pages: "items in cart"'),
    Column("dclm.removed_words", pa.float32(), "share of the words (by white space) in removed lines"),
)
"""What `edit_lines` counts; a line is counted under the first of the reasons, in this order, that applies."""

COUNTED: Final = (
    "likes",
    "shares",
    "comments",
    "retweets",
    "reposts",
    "quotes",
    "bookmarks",
    "upvotes",
    "downvotes",
    "downloads",
    "views",
    "followers",
)
"""What a counter counts (DCLM, `counter_line_modifier`)."""


class DclmLineEdits(BaseModel, frozen=True, extra="forbid"):
    """Which lines go. Words are what stands between white space, as in the released code."""

    max_uppercase: float = Field(default=0.5, ge=0, le=1)
    """Share of a line's characters (dclm_baseline_refinedweb.yaml, `uppercase_ratio_line_modifier`)."""
    max_numeric: float = Field(default=0.999999, ge=0, le=1)
    """Share of a line's characters (`numeric_ratio_line_modifier`): all of them, but for rounding."""
    counters: bool = True
    """`counter_line_modifier`."""
    min_words: int = Field(default=2, ge=0)
    """`line_length_modifier`: a line of one word goes."""
    phrases: tuple[str, ...] = ("items in cart", "read more...", "read more…", "sign in", "sign-in")
    """The three `substring_line_modifier`s, with the other spelling of two of them."""
    phrase_max_words: int = Field(default=10, ge=0)
    """A longer line may have the phrase (`max_length`)."""


def edit_lines(text: pa.Array, words: WordIndex, settings: DclmLineEdits) -> Edited:
    """Remove lines by DCLM's rules.

    Args:
        text: the column that `words` indexes.

    Returns:
        The new column, which needs an index of its own; counts by reason; the share of words removed.
    """
    facts = line_facts(words)
    never = np.zeros(len(facts.blank), np.bool_)
    characters = np.maximum(facts.characters, 1)
    reasons = {
        "dclm.uppercase_lines": facts.upper / characters > settings.max_uppercase,
        "dclm.numeric_lines": facts.numerals / characters > settings.max_numeric,
        "dclm.counter_lines": _counters(words) if settings.counters else never,
        "dclm.one_word_lines": facts.pieces < settings.min_words,
        "dclm.phrase_lines": lines_with(words, settings.phrases)
        & (facts.pieces <= settings.phrase_max_words),
    }
    removed, counts = count_reasons(facts, reasons)
    removed_words = ratio(facts.per_document(facts.pieces * removed), facts.per_document(facts.pieces))
    return Edited(without_lines(text, words, removed)[0], counts, removed_words)


def _counters(words: WordIndex) -> Bools:
    """Lines that are a number and what it counts, and nothing else but marks: "1,234 views", "3.4k Likes
    •"."""
    found = np.zeros(len(words.line_starts), np.bool_)
    packed, bounds = pack_phrases(COUNTED)
    _find_counters(
        bytes_of(words), words.line_starts, words.line_ends, character_classes(), packed, bounds, found
    )
    return found


@kernel
def _find_counters(
    data: Bytes, starts: Ints, ends: Ints, table: Classes, packed: Bytes, bounds: Ints, found: Bools
) -> None:
    """Mark the lines that are counters."""
    for line in range(len(starts)):
        end = ends[line]
        number = skip_marks(data, starts[line], end, table)
        after = skip_number(data, number, end)
        if after == number:
            continue
        noun = skip_spaces(data, after, end, table)
        if noun == after:
            continue
        for phrase in range(len(bounds) - 1):
            counted = packed[bounds[phrase] : bounds[phrase + 1]]
            if matches_at(data, noun, end, counted):
                found[line] |= skip_marks(data, noun + len(counted), end, table) == end


@kernel
def skip_marks(data: Bytes, position: int, end: int, table: Classes) -> int:
    """The next letter, numeral or underscore, or `end`."""
    while position < end:
        code, size = decode(data, position, end)
        if code == ord("_") or (code >= 0 and table[code] & (LETTER | NUMBER)):
            return position
        position += size
    return position


@kernel
def skip_spaces(data: Bytes, position: int, end: int, table: Classes) -> int:
    """The next character that is not white space, or `end`."""
    while position < end:
        code, size = decode(data, position, end)
        if code < 0 or not table[code] & SPACE:
            return position
        position += size
    return position


@kernel
def skip_number(data: Bytes, position: int, end: int) -> int:
    """The end of a number as counters have it, "1,234", "3.4k" or "2M"; `position` where there is none."""
    if position >= end or not (data[position] >= ord("0") and data[position] <= ord("9")):
        return position
    while position < end:
        byte = data[position]
        if not ((byte >= ord("0") and byte <= ord("9")) or byte == ord(",") or byte == ord(".")):
            break
        position += 1
    if position < end:
        unit = data[position] | 0x20
        if unit == ord("k") or unit == ord("m") or unit == ord("b"):
            position += 1
    return position
