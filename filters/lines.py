"""Lines, as the quality rules see them: what each is made of, which ones repeat, and texts without some of
them.

Lines are those of the word index (between newlines, a carriage return before a newline left out).
`line_facts` measures them in one pass over the bytes; the rules of `filters.gopher`, `filters.fineweb`,
`filters.c4` and `filters.dclm` are arithmetic on what it finds, and `without_lines` writes the text that is
left when an edit has removed some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters._simd import kernel
from filters.tokens import (
    NUMBER,
    SPACE,
    TERMINAL,
    UPPER,
    Bytes,
    Classes,
    Ints,
    address_of,
    bytes_of,
    character_classes,
    decode,
    hash_span,
)
from filters.words import WordIndex

Bools = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]

BULLET, ELLIPSIS, PUNCTUATED = (np.uint8(1 << bit) for bit in range(3))
"""How a line begins or ends: with a bullet or hyphen (after white space); with an ellipsis (before white
space); its very last character is terminal punctuation."""

_EDIT = np.frombuffer(b"[edit]", np.uint8)
_CITATION_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@dataclass(frozen=True)
class LineFacts:
    """What the lines of a word index are made of, one value for each line."""

    offsets: Ints
    """Lines of document `d` are `offsets[d] : offsets[d + 1]`, as in the word index."""
    blank: Bools
    """Nothing but white space."""
    characters: npt.NDArray[np.int32]
    pieces: npt.NDArray[np.int32]
    """Runs between white space: what `str.split` gives, and what C4 and DCLM call words."""
    longest_piece: npt.NDArray[np.int32]
    """Characters of the longest one."""
    upper: npt.NDArray[np.int32]
    """Upper-case and title-case letters."""
    numerals: npt.NDArray[np.int32]
    """Characters of general category N."""
    ends: npt.NDArray[np.uint8]
    """BULLET | ELLIPSIS | PUNCTUATED."""
    hashes: Hashes
    """A 64-bit hash of each line's bytes. Not for storage."""

    @property
    def documents(self) -> Ints:
        """The document of each line."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def per_document(self, values: npt.NDArray[Any]) -> Ints:
        """The sum of a value of the lines over each document."""
        sums = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
        return sums[self.offsets[1:]] - sums[self.offsets[:-1]]


class Edited(NamedTuple):
    """What a line edit made."""

    text: pa.Array
    """The column with the lines removed: same type, nulls where they were."""
    counts: Mapping[str, pa.Array]
    """How often each reason applied, per document: column name -> int32."""
    removed_words: pa.Array
    """The share of each document's words (by white space) that went with removed lines, float32; null for
    one without words."""


def line_facts(words: WordIndex) -> LineFacts:
    """Measure the lines of a word index; done once for an index and kept with it."""
    known = vars(words)
    if "_line_facts" not in known:
        known["_line_facts"] = _measure_lines(words)
    facts: LineFacts = known["_line_facts"]
    return facts


def duplicates(
    offsets: Ints, hashes: Hashes, characters: npt.NDArray[np.int32], skipped: Bools
) -> tuple[Ints, Ints]:
    """How many items of each document repeat an earlier one of the same document, and their characters;
    some are skipped."""
    documents = len(offsets) - 1
    counts, repeated = np.zeros(documents, np.int64), np.zeros(documents, np.int64)
    room = _table_size(int(np.diff(offsets).max(initial=0)))
    _count_duplicates(offsets, hashes, characters, skipped, np.empty(room, np.int64), counts, repeated)
    return counts, repeated


def lines_with(words: WordIndex, phrases: Sequence[str]) -> Bools:
    """Which lines have one of the phrases, upper or lower case of ASCII letters alike."""
    found = np.zeros(len(words.line_starts), np.bool_)
    if phrases:
        packed, bounds = pack_phrases(phrases)
        _search_lines(bytes_of(words), words.line_starts, words.line_ends, packed, bounds, found)
    return found


def pack_phrases(phrases: Sequence[str]) -> tuple[Bytes, Ints]:
    """Phrases as the kernels take them: their UTF-8 bytes in lower case, one after the other, and where
    each begins and ends.

    Raises:
        ValueError: for an empty phrase, which every line would have.
    """
    if not all(phrases):
        raise ValueError("an empty phrase is found in every line")
    encoded = [phrase.encode().lower() for phrase in phrases]
    bounds = np.concatenate(([0], np.cumsum([len(phrase) for phrase in encoded], dtype=np.int64)))
    return np.frombuffer(b"".join(encoded), np.uint8), bounds


def without_lines(
    text: pa.Array, words: WordIndex, removed: Bools, *, citation_marks: bool = False
) -> tuple[pa.Array, Ints]:
    """The texts without the removed lines and, if asked for, without citation marks in the others.

    A document where nothing is removed keeps its bytes. In another, lines end in a newline alone, removed
    lines leave no second blank line where there was one, nor any at the ends.

    Returns:
        The new column, of the type of the old one, and the number of citation marks taken out of each
        document.
    """
    # An edited document gets a newline after each line before the last ones are taken off again: one byte
    # more than it had.
    data = np.empty(int((words.doc_ends - words.doc_starts).sum()) + 1, np.uint8)
    offsets, marks = np.zeros(len(words) + 1, np.int64), np.zeros(len(words), np.int64)
    _copy_documents(
        bytes_of(words),
        words.doc_starts,
        words.doc_ends,
        words.line_offsets,
        words.line_starts,
        words.line_ends,
        line_facts(words).blank,
        removed,
        citation_marks,
        data,
        offsets,
        marks,
    )
    width = np.int64 if pa.types.is_large_string(text.type) else np.int32
    valid = np.asarray(text.is_valid())
    return pa.Array.from_buffers(
        text.type,
        len(text),
        [
            pa.array(valid).buffers()[1] if text.null_count else None,
            pa.py_buffer(offsets.astype(width)),
            pa.py_buffer(data[: offsets[-1]].copy()),
        ],
    ), marks


def count_reasons(facts: LineFacts, reasons: Mapping[str, Bools]) -> tuple[Bools, dict[str, pa.Array]]:
    """Count lines under the first of the reasons that applies to them; blank lines are under none.

    Returns:
        Which lines have a reason, and per reason the number of lines of each document (int32).
    """
    open_lines = ~facts.blank
    counts = {}
    for name, applies in reasons.items():
        counts[name] = pa.array(facts.per_document(applies & open_lines).astype(np.int32))
        open_lines &= ~applies
    return ~open_lines & ~facts.blank, counts


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> pa.Array:
    """`part / whole` as float32, null where `whole` is 0: where there is nothing to measure."""
    empty = whole == 0
    values = np.divide(part, whole, out=np.zeros(len(part), np.float64), where=~empty)
    return pa.array(values.astype(np.float32), mask=empty)


def _measure_lines(words: WordIndex) -> LineFacts:
    count = len(words.line_starts)
    numbers = np.zeros((5, count), np.int32)
    blank, ends, hashes = np.zeros(count, np.bool_), np.zeros(count, np.uint8), np.zeros(count, np.uint64)
    _scan_lines(
        address_of(words.data),
        bytes_of(words),
        words.line_starts,
        words.line_ends,
        character_classes(),
        numbers,
        blank,
        ends,
        hashes,
    )
    characters, pieces, longest, upper, numerals = numbers
    return LineFacts(words.line_offsets, blank, characters, pieces, longest, upper, numerals, ends, hashes)


def _table_size(items: int) -> int:
    """Slots of a hash table for so many items: a power of two, at least half of them free."""
    return 1 << max(2 * items - 1, 1).bit_length()


@kernel
def _scan_lines(
    base: Any,
    data: Bytes,
    starts: Ints,
    ends: Ints,
    table: Classes,
    numbers: npt.NDArray[np.int32],
    blank: Bools,
    marks: Bytes,
    hashes: Hashes,
) -> None:
    """Fill the arrays of `LineFacts`; `numbers` are characters, pieces, longest piece, upper-case letters
    and numerals."""
    for line in range(len(starts)):
        start, end = starts[line], ends[line]
        characters = pieces = longest = upper = numerals = piece = 0
        first, last, last_class = end, start, np.uint16(0)
        position = start
        while position < end:
            code, size = decode(data, position, end)
            last_class = table[code] if code >= 0 else np.uint16(0)
            position += size
            characters += 1
            upper += last_class & UPPER != 0
            numerals += last_class & NUMBER != 0
            if last_class & SPACE:
                piece = 0
                continue
            if not piece:
                pieces += 1
            first, last = min(first, position - size), position
            piece += 1
            longest = max(longest, piece)
        numbers[0, line], numbers[1, line], numbers[2, line] = characters, pieces, longest
        numbers[3, line], numbers[4, line] = upper, numerals
        blank[line] = pieces == 0
        if first < last and (data[first] == ord("-") or has_bytes(data, first, last, 0xE2, 0x80, 0xA2)):
            marks[line] |= BULLET
        if last - first >= 3 and (
            has_bytes(data, last - 3, last, 0x2E, 0x2E, 0x2E)
            or has_bytes(data, last - 3, last, 0xE2, 0x80, 0xA6)
        ):
            marks[line] |= ELLIPSIS
        if last_class & TERMINAL:
            marks[line] |= PUNCTUATED
        hashes[line], _ = hash_span(base, start, end, len(data))


@kernel
def has_bytes(data: Bytes, position: int, end: int, first: int, second: int, third: int) -> bool:
    """Whether these three bytes are at `position`."""
    if position + 3 > end or data[position] != first:
        return False
    return bool(data[position + 1] == second and data[position + 2] == third)


@kernel
def _count_duplicates(
    offsets: Ints,
    hashes: Hashes,
    characters: npt.NDArray[np.int32],
    skipped: Bools,
    slots: Ints,
    counts: Ints,
    repeated: Ints,
) -> None:
    """Look every item up among the earlier ones of its document, in a hash table of item numbers."""
    for document in range(len(counts)):
        first, last = offsets[document], offsets[document + 1]
        size = 2
        while size < 2 * (last - first):
            size *= 2
        slots[:size] = -1
        for item in range(first, last):
            if skipped[item]:
                continue
            slot = np.int64(hashes[item] >> np.uint64(32)) & (size - 1)
            while slots[slot] >= 0 and hashes[slots[slot]] != hashes[item]:
                slot = (slot + 1) & (size - 1)
            if slots[slot] < 0:
                slots[slot] = item
            else:
                counts[document] += 1
                repeated[document] += characters[item]


@kernel
def matches_at(data: Bytes, position: int, end: int, phrase: Bytes) -> bool:
    """Whether a lower-case phrase is at `position`, upper or lower case of ASCII letters alike."""
    if position + len(phrase) > end:
        return False
    for i in range(len(phrase)):
        byte = data[position + i]
        if byte >= ord("A") and byte <= ord("Z"):
            byte |= 0x20
        if byte != phrase[i]:
            return False
    return True


@kernel
def first_pairs(packed: Bytes, bounds: Ints) -> Bools:
    """Which pairs of bytes (256 times the first plus the second) can begin a phrase, in either case."""
    pairs = np.zeros(1 << 16, np.bool_)
    for phrase in range(len(bounds) - 1):
        first = np.int64(packed[bounds[phrase]])
        alone = bounds[phrase + 1] - bounds[phrase] == 1
        for second in range(256):
            if alone or second == packed[bounds[phrase] + 1]:
                pairs[first << 8 | second] = True
    for upper in range(ord("A"), ord("Z") + 1):
        for other in range(256):
            pairs[other << 8 | upper] |= pairs[other << 8 | upper | 0x20]
    for upper in range(ord("A"), ord("Z") + 1):
        for other in range(256):
            pairs[upper << 8 | other] |= pairs[(upper | 0x20) << 8 | other]
    return pairs


@kernel
def _search_lines(data: Bytes, starts: Ints, ends: Ints, packed: Bytes, bounds: Ints, found: Bools) -> None:
    """Mark the lines that have a phrase; the first two bytes pass over nearly every position."""
    pairs = first_pairs(packed, bounds)
    for line in range(len(starts)):
        end = ends[line]
        for position in range(starts[line], end):
            second = np.int64(data[position + 1]) if position + 1 < end else 0
            if pairs[np.int64(data[position]) << 8 | second]:
                for phrase in range(len(bounds) - 1):
                    if matches_at(data, position, end, packed[bounds[phrase] : bounds[phrase + 1]]):
                        found[line] = True
                if found[line]:
                    break


@kernel
def citation_end(data: Bytes, position: int, end: int) -> int:
    """The end of the citation mark at `position`: [1], [edit], [citation needed] or []; `position` itself
    where there is none."""
    if data[position] != ord("["):
        return position
    after = position + 1
    while after < end and data[after] >= ord("0") and data[after] <= ord("9"):
        after += 1
    if after < end and data[after] == ord("]"):
        return after + 1
    for size in (6, 17):
        phrase = _EDIT if size == 6 else _CITATION_NEEDED
        same = position + size <= end
        for i in range(size):
            same = same and data[position + i] == phrase[i]
        if same:
            return position + size
    return position


@kernel
def _copy_line(
    data: Bytes, start: int, end: int, citation_marks: bool, out: Bytes, at: int
) -> tuple[int, int]:
    """Copy one line, citation marks left out or not; returns the end of the copy and how many marks there
    were."""
    taken = 0
    while start < end:
        mark, after = end, end
        if citation_marks:
            mark = start
            while mark < end and (data[mark] != ord("[") or citation_end(data, mark, end) == mark):
                mark += 1
            if mark < end:
                after = citation_end(data, mark, end)
                taken += 1
        for i in range(start, mark):
            out[at + i - start] = data[i]
        at += mark - start
        start = after
    return at, taken


@kernel
def _copy_document(
    data: Bytes,
    starts: Ints,
    ends: Ints,
    blank: Bools,
    removed: Bools,
    citation_marks: bool,
    out: Bytes,
    at: int,
) -> tuple[int, int]:
    """Copy the lines of one document that has lines to remove; returns the end of the copy and the citation
    marks left out."""
    begin, taken = at, 0
    gap, after_blank = False, True
    for line in range(len(starts)):
        if removed[line]:
            gap = True
            continue
        if blank[line] and gap and after_blank:
            continue
        if not blank[line]:
            gap = False
        after_blank = blank[line]
        at, marks = _copy_line(data, starts[line], ends[line], citation_marks, out, at)
        taken += marks
        out[at] = ord("\n")
        at += 1
    while at > begin and out[at - 1] == ord("\n"):
        at -= 1
    return at, taken


@kernel
def _copy_documents(
    data: Bytes,
    doc_starts: Ints,
    doc_ends: Ints,
    offsets: Ints,
    starts: Ints,
    ends: Ints,
    blank: Bools,
    removed: Bools,
    citation_marks: bool,
    out: Bytes,
    out_offsets: Ints,
    marks: Ints,
) -> None:
    """Copy every document, whole where no line is removed."""
    at = 0
    for document in range(len(doc_starts)):
        lines = slice(offsets[document], offsets[document + 1])
        if np.any(removed[lines]):
            at, marks[document] = _copy_document(
                data, starts[lines], ends[lines], blank[lines], removed[lines], citation_marks, out, at
            )
        else:
            start, end = doc_starts[document], doc_ends[document]
            at, marks[document] = _copy_line(data, start, end, citation_marks, out, at)
        out_offsets[document + 1] = at
