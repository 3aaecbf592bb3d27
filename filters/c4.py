"""C4's rules (Raffel et al. 2020, section 2.2), as datatrove's `C4QualityFilter` has them.

Two steps, kept apart: `edit_lines` removes lines, before anything is measured, and `c4` measures what C4 judges
whole documents by. The numbers are those of TensorFlow Datasets' later code and datatrove (3 words in a line, 5
sentences); the first release had them the other way round.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, Field

from filters._simd import kernel
from filters.lines import (
    Bools,
    Edited,
    citation_end,
    count_reasons,
    line_facts,
    lines_with,
    ratio,
    without_lines,
)
from filters.measures import Column, measure
from filters.tokens import (
    SPACE,
    TERMINAL,
    WORD,
    Bytes,
    Classes,
    Ints,
    bytes_of,
    character_classes,
    decode,
    index_tokens,
)
from filters.words import WordIndex

EDIT_COLUMNS: Final = (
    Column("c4.long_word_lines", pa.int32(), "lines removed for a word of more than 1000 characters"),
    Column("c4.unpunctuated_lines", pa.int32(), "lines removed that do not end in terminal punctuation"),
    Column("c4.short_lines", pa.int32(), "lines removed with fewer than 3 words"),
    Column("c4.javascript_lines", pa.int32(), 'lines removed with "javascript"'),
    Column(
        "c4.policy_lines", pa.int32(), "lines removed that speak of cookies, terms of use or a privacy policy"
    ),
    Column("c4.citation_marks", pa.int32(), "[1], [edit] and [citation needed] taken out of other lines"),
    Column("c4.removed_words", pa.float32(), "share of the words (by white space) in removed lines"),
)
"""What `edit_lines` counts; a line is counted under the first of the reasons, in this order, that applies."""


class C4LineEdits(BaseModel, frozen=True, extra="forbid"):
    """Which lines go. Words are what stands between white space, as in the released code."""

    max_word_characters: int = Field(default=1000, ge=1)
    """A line with a longer word goes (datatrove, `max_word_length`; TensorFlow Datasets, `_MAX_WORD_LENGTH`)."""
    terminal_punctuation: bool = False
    """C4 removes lines that do not end in . ? ! or a quotation mark, or that end in "..."; FineWeb (section 3.5)
    does not, for that costs about 30% of all tokens."""
    min_words: int = Field(default=3, ge=0)
    """A line with fewer words goes (datatrove, `min_words_per_line`)."""
    javascript: bool = True
    """A line with "javascript" goes (C4, section 2.2)."""
    policy_phrases: tuple[str, ...] = (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    )
    """datatrove's `POLICY_SUBSTRINGS` (TensorFlow Datasets: `_POLICY_SUBSTRINGS`)."""
    citation_marks: bool = True
    """Take [1], [edit] and [citation needed] out of the lines that stay (TensorFlow Datasets:
    `_CITATION_REGEX`)."""
    keep_blank_lines: bool = True
    """Blank lines separate paragraphs. The released code drops them, as lines with fewer than 3 words."""


def edit_lines(text: pa.Array, words: WordIndex, settings: C4LineEdits) -> Edited:
    """Remove lines by C4's rules, and citation marks from the others.

    Args:
        text: the column that `words` indexes.

    Returns:
        The new column, which needs an index of its own; counts by reason; the share of words removed.
    """
    facts = line_facts(words)
    never = np.zeros(len(facts.blank), np.bool_)
    reasons = {
        "c4.long_word_lines": facts.longest_piece > settings.max_word_characters,
        "c4.unpunctuated_lines": _unpunctuated(words) if settings.terminal_punctuation else never,
        "c4.short_lines": facts.pieces < settings.min_words,
        "c4.javascript_lines": lines_with(words, ["javascript"]) if settings.javascript else never,
        "c4.policy_lines": lines_with(words, settings.policy_phrases),
    }
    removed, counts = count_reasons(facts, reasons)
    removed_words = ratio(facts.per_document(facts.pieces * removed), facts.per_document(facts.pieces))
    if not settings.keep_blank_lines:
        removed |= facts.blank
    edited, marks = without_lines(text, words, removed, citation_marks=settings.citation_marks)
    counts["c4.citation_marks"] = pa.array(marks.astype(np.int32))
    return Edited(edited, counts, removed_words)


@measure(
    Column("c4.lorem_ipsum", pa.int32(), 'lines with "lorem ipsum"'),
    Column("c4.curly_brackets", pa.int32(), 'how many "{"'),
    Column("c4.sentences", pa.int32(), "sentences: parts of lines that terminal punctuation ends"),
)
def c4(_docs: pa.RecordBatch, words: WordIndex) -> dict[str, Any]:
    """Count what C4 judges whole documents by: "lorem ipsum", "{" and sentences."""
    tokens, facts = index_tokens(words), line_facts(words)
    brackets, sentences = np.zeros(len(words), np.int64), np.zeros(len(words), np.int64)
    _count_byte(bytes_of(words), words.doc_starts, words.doc_ends, ord("{"), brackets)
    _count_sentences(
        words.line_offsets,
        words.line_ends,
        tokens.offsets,
        tokens.ends,
        tokens.lengths,
        tokens.classes,
        sentences,
    )
    return {
        "c4.lorem_ipsum": facts.per_document(lines_with(words, ["lorem ipsum"])),
        "c4.curly_brackets": brackets,
        "c4.sentences": sentences,
    }


def _unpunctuated(words: WordIndex) -> Bools:
    """Lines that do not end, citation marks and white space aside, as C4 wants it."""
    missing = np.zeros(len(words.line_starts), np.bool_)
    _find_unpunctuated(bytes_of(words), words.line_starts, words.line_ends, character_classes(), missing)
    return missing


@kernel
def _find_unpunctuated(data: Bytes, starts: Ints, ends: Ints, table: Classes, missing: Bools) -> None:
    """Mark lines whose last visible character is not one of . ? ! " ' or that end in three full stops."""
    for line in range(len(starts)):
        position, end = starts[line], ends[line]
        last, stops, spaced = 0, 0, False
        while position < end:
            after = citation_end(data, position, end)
            if after > position:
                position = after
                continue
            code, size = decode(data, position, end)
            position += size
            if code >= 0 and table[code] & SPACE:
                spaced = True
                continue
            if spaced or code != ord("."):
                stops = 0
            stops += code == ord(".")
            last, spaced = code, False
        ended = last == ord(".") or last == ord("?") or last == ord("!")
        missing[line] = stops >= 3 or not (ended or last == ord('"') or last == ord("'"))


@kernel
def _count_byte(data: Bytes, starts: Ints, ends: Ints, byte: int, counts: Ints) -> None:
    """Count one byte value in each span."""
    for span in range(len(starts)):
        count = 0
        for i in range(starts[span], ends[span]):
            count += data[i] == byte
        counts[span] = count


@kernel
def _count_sentences(
    line_offsets: Ints,
    line_ends: Ints,
    token_offsets: Ints,
    token_ends: Ints,
    lengths: npt.NDArray[np.int32],
    classes: Classes,
    counts: Ints,
) -> None:
    """Count sentences as spaCy's sentencizer does, line by line: one begins with a line, and with a token
    that is not punctuation after a mark that ends one."""
    for document in range(len(counts)):
        token, last = token_offsets[document], token_offsets[document + 1]
        for line in range(line_offsets[document], line_offsets[document + 1]):
            begun, ended = False, False
            while token < last and token_ends[token] <= line_ends[line]:
                is_end = lengths[token] == 1 and classes[token] & TERMINAL
                if not begun or (ended and classes[token] & WORD):
                    counts[document] += 1
                    begun, ended = True, False
                ended = ended or is_end != 0
                token += 1
