"""The compiled half of `filters.words`: fills the columns of a word index, document by document."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from filters import unicode_tables as tables
from filters._simd import BLOCK, kernel
from filters._utf8 import (
    IGNORED,
    ONE,
    ZERO,
    Address,
    Columns,
    Number,
    Table,
    U,
    decode,
    entry_of,
    get,
    kind_of,
    put,
)
from filters._word_hash import FEW_MARKS, NON_ASCII, hash_word, hash_words
from filters._word_scan import scan_document

Ints = npt.NDArray[np.int64]
SPACE = U(tables.SPACE)


@kernel
def is_blank(base: Address, position: Number, end: Number, limit: Number, table: Table) -> bool:
    """Whether a line has nothing but white space and zero-width characters."""
    while position < end:
        code, size = decode(base, position, end, limit)
        entry = entry_of(code, table)
        if entry & SPACE == ZERO and kind_of(entry) != IGNORED:
            return False
        position += size
    return True


@kernel
def find_paragraphs(
    base: Address,
    limit: Number,
    table: Table,
    lines: Columns,
    first: Number,
    last: Number,
    found: Number,
    paragraphs: Columns,
    count: Number,
) -> Number:
    """Group the lines `first:last` of one document between blank lines; returns the paragraphs so far."""
    after_blank, line = True, first
    while line < last:
        start, end = get(lines[0], line), get(lines[1], line)
        next_word = get(lines[2], line + ONE) if line + ONE < last else found
        blank = get(lines[2], line) == next_word and is_blank(base, start, end, limit, table)
        if not blank:
            if after_blank:
                put(paragraphs[0], count, start)
                count += ONE
            put(paragraphs[1], count - ONE, end)
        after_blank = blank
        line += ONE
    return count


@kernel
def index_documents(
    base: Address,
    limit: Number,
    table: Table,
    documents: tuple[Ints, Ints],
    words: Columns,
    lines: Columns,
    paragraphs: Columns,
    offsets: tuple[Ints, Ints, Ints],
) -> None:
    """Fill the columns of a word index by document.

    Columns are the addresses of: starts, ends, hashes and classes of words; starts, ends and first words of
    lines; starts and ends of paragraphs. `offsets` are those of words, lines and paragraphs.
    """
    spare, marks = np.zeros(BLOCK, np.uint8), np.zeros(int(FEW_MARKS), np.uint64)
    spare_at, marks_at = U(spare.ctypes.data), U(marks.ctypes.data)
    bounds = words[0], words[1]
    word = line = paragraph = hashed = ZERO
    for document in range(len(documents[0])):
        start, end, first_line = U(documents[0][document]), U(documents[1][document]), line
        word, line = scan_document(base, start, end, limit, table, bounds, word, lines, line, spare_at)
        hashed = hash_words(base, limit, table, words, hashed, word, marks_at)
        paragraph = find_paragraphs(base, limit, table, lines, first_line, line, word, paragraphs, paragraph)
        offsets[0][document + 1], offsets[1][document + 1], offsets[2][document + 1] = word, line, paragraph
    while hashed < word:
        hash_word(base, limit, table, words, hashed, marks_at)
        hashed += ONE
    put(lines[2], line, word)


@kernel
def count_characters(
    base: Address,
    limit: Number,
    table: Table,
    starts: Ints,
    ends: Ints,
    classes: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int32],
) -> None:
    """The characters of each word, zero-width ones apart."""
    for word in range(len(starts)):
        lengths[word] = ends[word] - starts[word]
        if U(classes[word]) & NON_ASCII != ZERO:
            position, end, count = U(starts[word]), U(ends[word]), 0
            while position < end:
                code, size = decode(base, position, end, limit)
                count += kind_of(entry_of(code, table)) != IGNORED
                position += size
            lengths[word] = count
