"""FineWeb's own quality measures (Penedo et al. 2024, section 3.6), as datatrove's `FineWebQualityFilter` has them.

Three are in the paper; newlines per word is in the released code only. For characters in repeated lines the
paper's text says .1, its table 2 and the released code .01: .01 is right. See docs/quality.md.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from filters.lines import PUNCTUATED, duplicates, line_facts, ratio
from filters.measures import Column, measure
from filters.tokens import index_tokens
from filters.words import WordIndex

SHORT_LINE: Final = 30
"""A line of at most so many characters is short (FineWeb, section 3.6)."""


@measure(
    Column(
        "fineweb.line_punctuation",
        pa.float32(),
        "share of lines whose last character is terminal punctuation",
    ),
    Column("fineweb.short_lines", pa.float32(), "share of lines of at most 30 characters"),
    Column(
        "fineweb.duplicate_line_chars",
        pa.float32(),
        "characters in repeated lines, per character beyond newlines",
    ),
    Column("fineweb.newlines_per_word", pa.float32(), "newlines per word or punctuation mark (tokens_v1)"),
)
def fineweb(_docs: pa.RecordBatch, words: WordIndex) -> dict[str, Any]:
    """Measure FineWeb's four ratios; lines are those that are not blank; null where there is nothing to
    divide by."""
    facts = line_facts(words)
    lines = facts.per_document(~facts.blank)
    _, repeated = duplicates(facts.offsets, facts.hashes, facts.characters, facts.blank)
    short = ~facts.blank & (facts.characters <= SHORT_LINE)
    newlines = words.line_counts - (words.line_counts > 0) + _ends_in_newline(words)
    return {
        "fineweb.line_punctuation": ratio(
            facts.per_document(~facts.blank & (facts.ends & PUNCTUATED != 0)), lines
        ),
        "fineweb.short_lines": ratio(facts.per_document(short), lines),
        "fineweb.duplicate_line_chars": ratio(
            repeated, np.where(lines, facts.per_document(facts.characters), 0)
        ),
        "fineweb.newlines_per_word": ratio(newlines, index_tokens(words).counts),
    }


def _ends_in_newline(words: WordIndex) -> Any:
    """1 for a document whose last byte is a newline (which opens no further line), else 0."""
    filled = words.doc_ends > words.doc_starts
    last = np.zeros(len(words), np.uint8)
    last[filled] = words.data[words.doc_ends[filled] - 1]
    return (last == ord("\n")).astype(np.int64)
