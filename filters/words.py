"""The word index: the words, lines and paragraphs of a chunk of documents, found once on the Arrow buffers.

    index = index_words(batch["text"])
    index.hashes[index.word_offsets[0] : index.word_offsets[1]]     # the words of the first document

What a word is, what it folds to and how it is hashed is the rule `words_v1`, written down in docs/words.md
and stated in plain Python by `split_words` and `word_hash`. All measures and all deduplication read this
index; none splits text itself.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters import _word_hash as hashing
from filters import _word_kernels as kernels
from filters import _word_scan as scanning
from filters import unicode_tables as tables
from filters._simd import MOREMUR_FACTORS, MOREMUR_SHIFTS

WORD_RULE: Final = "words_v1"
"""The version of the rule: hashes of the same version can be compared, and no others."""

ALPHABETIC: Final = int(hashing.ALPHABETIC)
"""Class bit: the word has a letter (general category L)."""
DIGIT: Final = int(hashing.DIGIT)
"""Class bit: the word has a digit or another numeral (general category N)."""
UPPER: Final = int(hashing.UPPER)
"""Class bit: the word has an upper-case or title-case letter."""
LOWER: Final = int(hashing.LOWER)
"""Class bit: the word has a lower-case letter."""
CJK: Final = int(hashing.CJK)
"""Class bit: the word is one ideograph or kana."""
NON_ASCII: Final = int(hashing.NON_ASCII)
"""Class bit: the word has a character beyond ASCII."""

_HASH_START: Final = int(hashing.HASH_START)
_WORD_KINDS: Final = (tables.WORD, tables.MARK, tables.CJK)

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class WordIndex:
    """The words, lines and paragraphs of the documents of one string column.

    All `starts` and `ends` are byte offsets into `data`; `ends` are exclusive. The items of document `d` are
    `offsets[d] : offsets[d + 1]` of the arrays that `offsets` belongs to. Lines are what lies between
    newlines (a carriage return before a newline belongs to it; a newline at the very end opens no further
    line; blank lines are lines). Paragraphs are the longest runs of lines that are not blank; blank lines
    have nothing but white space.
    """

    data: npt.NDArray[np.uint8]
    """The column's data buffer, not copied."""
    doc_starts: Ints
    doc_ends: Ints
    """Bounds of the documents' bytes, one each; a null is an empty document."""

    word_offsets: Ints
    starts: Ints
    ends: Ints
    hashes: npt.NDArray[np.uint64]
    """The hash of each normalised word, see `word_hash`."""
    classes: npt.NDArray[np.uint8]
    """What each word is made of, before folding: ALPHABETIC | DIGIT | UPPER | LOWER | CJK | NON_ASCII."""

    line_offsets: Ints
    line_starts: Ints
    line_ends: Ints
    line_words: Ints
    """The first word of each line, then the number of all words; one item more than there are lines."""

    paragraph_offsets: Ints
    paragraph_starts: Ints
    paragraph_ends: Ints

    def __len__(self) -> int:
        """The number of documents."""
        return len(self.doc_starts)

    @property
    def word_counts(self) -> Ints:
        """The number of words of each document."""
        return np.diff(self.word_offsets)

    @property
    def line_counts(self) -> Ints:
        """The number of lines of each document, blank ones included."""
        return np.diff(self.line_offsets)

    @property
    def paragraph_counts(self) -> Ints:
        """The number of paragraphs of each document."""
        return np.diff(self.paragraph_offsets)

    @cached_property
    def lengths(self) -> npt.NDArray[np.int32]:
        """The characters of each word as written (before folding), zero-width ones not counted."""
        lengths = np.empty(len(self.starts), np.int32)
        kernels.count_characters(
            _address(self.data),
            np.uint64(len(self.data)),
            _table_addresses(),
            self.starts,
            self.ends,
            self.classes,
            lengths,
        )
        return lengths

    @property
    def numeric(self) -> Bools:
        """Words of digits (or other numerals) without a letter."""
        found: Bools = (self.classes & (ALPHABETIC | DIGIT)) == DIGIT
        return found

    @property
    def upper_case(self) -> Bools:
        """Words with upper-case letters and no lower-case one."""
        found: Bools = (self.classes & (UPPER | LOWER)) == UPPER
        return found

    def text(self, word: int) -> str:
        """The word number `word` as it is written; for messages and tests."""
        return self.data[self.starts[word] : self.ends[word]].tobytes().decode("utf-8", "replace")


def index_words(text: pa.Array) -> WordIndex:
    """Index the words of a string column.

    Args:
        text: `string` or `large_string`, sliced or not; a null is an empty document. Bytes that are not
            UTF-8 separate words.

    Raises:
        TypeError: for an array of another type.
        ValueError: for a damaged array, whose offsets do not ascend or lie outside its data.
    """
    data, doc_starts, doc_ends = _documents(text)
    documents = len(doc_starts)
    first, last = (int(doc_starts.min()), int(doc_ends.max())) if documents else (0, 0)
    base, limit = _address(data), np.uint64(len(data))
    bound, newlines = scanning.count_bounds(base, np.uint64(first), np.uint64(last), limit)
    # A word or a line may begin at each document's start without a separator before it.
    words, lines = int(bound) + documents, int(newlines) + documents + 1
    starts, ends, hashes = (
        _allocate(words + scanning.SLACK, kind) for kind in (np.int64, np.int64, np.uint64)
    )
    classes = _allocate(words + scanning.SLACK, np.uint8)
    line_starts, line_ends, line_words, paragraph_starts, paragraph_ends = (
        _allocate(lines, np.int64) for _ in range(5)
    )
    word_offsets, line_offsets, paragraph_offsets = (np.zeros(documents + 1, np.int64) for _ in range(3))
    kernels.index_documents(
        base,
        limit,
        _table_addresses(),
        (doc_starts, doc_ends),
        tuple(map(_address, (starts, ends, hashes, classes))),
        tuple(map(_address, (line_starts, line_ends, line_words))),
        tuple(map(_address, (paragraph_starts, paragraph_ends))),
        (word_offsets, line_offsets, paragraph_offsets),
    )
    words, lines, paragraphs = int(word_offsets[-1]), int(line_offsets[-1]), int(paragraph_offsets[-1])
    return WordIndex(
        data=data,
        doc_starts=doc_starts,
        doc_ends=doc_ends,
        word_offsets=word_offsets,
        starts=_cut(starts, words),
        ends=_cut(ends, words),
        hashes=_cut(hashes, words),
        classes=_cut(classes, words),
        line_offsets=line_offsets,
        line_starts=_cut(line_starts, lines),
        line_ends=_cut(line_ends, lines),
        line_words=_cut(line_words, lines + 1),
        paragraph_offsets=paragraph_offsets,
        paragraph_starts=_cut(paragraph_starts, paragraphs),
        paragraph_ends=_cut(paragraph_ends, paragraphs),
    )


def split_words(text: str) -> list[str]:
    """The normalised words of a text, in composed form (NFC): the plain statement of the rule `words_v1`."""
    return [unicodedata.normalize("NFC", word) for word in _folded_words(text)]


def word_hash(word: str) -> int:
    """The 64-bit hash that the index gives to a word, written in any case and any Unicode normalisation form.

    The word's folded, decomposed UTF-8 bytes are taken in pieces of eight, each a little-endian number (so
    the last one is filled up with zero bytes); from a fixed start, `state = moremur(state ^ piece)` for
    each. Words of up to eight bytes never collide with each other, because `moremur` can be undone.

    Raises:
        ValueError: when the text is not exactly one word.
    """
    words = _folded_words(word)
    if len(words) != 1:
        raise ValueError(f"{word!r} is {len(words)} words under {WORD_RULE}, not one")
    state, encoded = _HASH_START, words[0].encode()
    for start in range(0, len(encoded), 8):
        state = _moremur(state ^ int.from_bytes(encoded[start : start + 8], "little"))
    return state


def _moremur(value: int) -> int:
    for shift, factor in zip(MOREMUR_SHIFTS, MOREMUR_FACTORS, strict=False):
        value = ((value ^ value >> shift) * factor) & 0xFFFFFFFFFFFFFFFF
    return value ^ value >> MOREMUR_SHIFTS[-1]


def _folded_words(text: str) -> list[str]:
    """The folded words in decomposed form: the state machine of the rule."""
    table = tables.character_table()
    words: list[str] = []
    word, pending, is_cjk = "", "", False
    for character in text:
        kind = table.kind(character)
        if kind == tables.IGNORED:
            continue
        if kind == tables.APOSTROPHE and word and not is_cjk and not pending:
            pending = "'"
            continue
        belongs = kind == tables.MARK or (kind == tables.WORD and not is_cjk)
        if word and not belongs:
            words.append(_ordered(word))
            word = ""
        if kind in _WORD_KINDS:
            is_cjk = is_cjk if word else kind == tables.CJK
            word += (pending if word else "") + table.fold(character)
        pending = ""
    if word:
        words.append(_ordered(word))
    return words


def _ordered(word: str) -> str:
    """Canonical order: the marks between two starters by combining class, otherwise as they came."""
    ordered: list[str] = []
    marks: list[str] = []
    for character in word:
        if unicodedata.combining(character):
            marks.append(character)
        else:
            ordered += [*sorted(marks, key=unicodedata.combining), character]
            marks = []
    return "".join(ordered + sorted(marks, key=unicodedata.combining))


def _documents(text: pa.Array) -> tuple[npt.NDArray[np.uint8], Ints, Ints]:
    """The data buffer of a string column and the bounds of its documents in it."""
    if pa.types.is_string(text.type):
        width: Any = np.int32
    elif pa.types.is_large_string(text.type):
        width = np.int64
    else:
        raise TypeError(f"words are found in string or large_string columns, not in {text.type}")
    _, offsets, data = text.buffers()
    empty = np.zeros(0, np.uint8)
    if not len(text):
        return empty, np.zeros(0, np.int64), np.zeros(0, np.int64)
    bounds = np.frombuffer(offsets, width)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    size = 0 if data is None else data.size
    if bounds[0] < 0 or bounds[-1] > size or np.any(bounds[1:] < bounds[:-1]):
        raise ValueError(f"the offsets of the string column do not ascend within its {size} bytes")
    doc_starts, doc_ends = bounds[:-1].copy(), bounds[1:].copy()
    if text.null_count:
        nulls = np.asarray(text.is_null())
        doc_ends[nulls] = doc_starts[nulls]
    return empty if data is None else np.frombuffer(data, np.uint8), doc_starts, doc_ends


def _address(data: npt.NDArray[Any]) -> np.uint64:
    return np.uint64(data.ctypes.data)


@cache
def _table_addresses() -> tuple[np.uint64, np.uint64, np.uint64]:
    """Where the character table lies; it is never freed, because `character_table` keeps it."""
    table = tables.character_table()
    return _address(table.pages), _address(table.entries), _address(table.expansions)


def _allocate(size: int, kind: Any) -> Any:
    """An uninitialised array from Arrow's memory pool.

    The pool keeps freed memory for the next chunk, where the C library returns it: a third of the time was
    spent on page faults.
    """
    return np.frombuffer(pa.allocate_buffer(size * np.dtype(kind).itemsize), kind)


def _cut(array: Any, size: int) -> Any:
    """The first `size` items; copied where the bound was far too large, so that little memory is held."""
    return array[:size] if 2 * size >= len(array) else array[:size].copy()
