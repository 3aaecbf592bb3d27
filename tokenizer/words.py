"""Words as SentencePiece's trainer cuts them, counted on the Arrow buffers.

    table = WordTable()
    table.add_text(batch["text"])
    counts = table.counts()          # as many rows as there are different words

The rule `spm_words_v1`. Text is cut into lines at newlines and nowhere else, lines into words by the regular
expression ` *[^ ]+| +` (spaces belong to the word that they stand before; SentencePiece 0.2,
`SplitIntoWords` with `allow_whitespace_only_pieces`). Three characters are written otherwise, because of what
the trainer does with them:

    U+2581                  a space: it is how SentencePiece writes one
    tab                     U+001F, the boundary that the trainer puts for a symbol; a run of tabs gives one
                            for every 8 (`tab_runs`), since so many are one symbol
    U+2585                  U+001F: the trainer would drop the whole line that holds it

Everything else, control characters included, is taken as it is. So training on these counts makes the same
vocabulary as SentencePiece makes from the text itself, for every text without U+2585.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenizer import _kernels as kernels
from tokenizer.errors import TokenizerError

WORD_RULE: Final = "spm_words_v1"
"""The version of the rule: counts of the same version may be added up, and no others."""
TAB_RUNS: Final = 8

_FIRST_WORDS, _FIRST_BYTES = 1 << 12, 1 << 16
_MOST_WORDS = 2**32 - 2
"""Slots number the words with 32 bits."""

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class WordCounts:
    """Different words and how often each was found."""

    hashes: U64
    """`spelling_v1` of each word, which decides where it is counted; see docs/tokenizer.md."""
    counts: I64
    ends: I64
    """Where each word ends in `data`; one item more than there are words, the first is 0."""
    data: U8
    """The words in UTF-8, behind each other."""

    def __len__(self) -> int:
        """The number of different words."""
        return len(self.counts)

    @property
    def occurrences(self) -> int:
        """How many words were counted."""
        return int(self.counts.sum())

    def word(self, index: int) -> bytes:
        """A word's bytes."""
        return self.data[self.ends[index] : self.ends[index + 1]].tobytes()

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Words and their counts."""
        content, bounds = self.data.tobytes(), self.ends.tolist()
        for index, count in enumerate(self.counts.tolist()):
            yield content[bounds[index] : bounds[index + 1]], count

    def take(self, order: npt.NDArray[np.integer[Any]]) -> WordCounts:
        """The words of the given numbers, in that order."""
        sizes = np.diff(self.ends)[order]
        ends = np.zeros(len(order) + 1, np.int64)
        np.cumsum(sizes, out=ends[1:])
        data = np.empty(int(ends[-1]), np.uint8)
        kernels.gather(self.data, self.ends, order.astype(np.int64), ends, data)
        return WordCounts(self.hashes[order], self.counts[order], ends, data)


class WordTable:
    """A table of words and counts, which grows as it is filled."""

    def __init__(self, tab_runs: int = TAB_RUNS) -> None:
        if tab_runs < 1:
            raise TokenizerError(f"tab_runs is {tab_runs}; it is at least 1")
        self._tab_runs = np.uint64(tab_runs)
        self.size = 0
        """Different words so far."""
        self._slots = np.zeros(2 * _FIRST_WORDS, np.uint64)
        self._hashes = np.empty(_FIRST_WORDS, np.uint64)
        self._counts = np.empty(_FIRST_WORDS, np.int64)
        self._ends = np.zeros(_FIRST_WORDS + 1, np.int64)
        self._arena = np.empty(_FIRST_BYTES, np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the table holds."""
        arrays = (self._slots, self._hashes, self._counts, self._ends, self._arena)
        return sum(array.nbytes for array in arrays)

    def add_text(self, text: pa.Array) -> None:
        """Count the words of a string column; nulls have none.

        Raises:
            TokenizerError: for an array of another type, or whose offsets do not ascend within its data.
        """
        data, starts, stops = text_bounds(text)
        place, (base, limit) = np.zeros(2, np.int64), addresses(data)
        while True:
            size = kernels.count_text(
                base,
                limit,
                (starts, stops),
                place,
                self._tab_runs,
                np.uint64(self.size),
                self.columns(),
                self.room(),
            )
            self.size = int(size)
            if place[0] == len(starts):
                return
            longest = int(stops[place[0]] - starts[place[0]] - place[1])
            self.grow(longest)

    def add(self, words: WordCounts) -> None:
        """Add words with their counts."""
        first, longest = 0, int(np.diff(words.ends).max(initial=0))
        base, limit = addresses(words.data)
        while True:
            first, size = kernels.add_counts(
                base,
                limit,
                words.ends,
                words.counts,
                first,
                np.uint64(self.size),
                self.columns(),
                self.room(),
            )
            self.size = int(size)
            if first == len(words):
                return
            self.grow(longest)

    def counts(self) -> WordCounts:
        """The words so far, ascending by hash; words of one hash as they came."""
        size = self.size
        held = WordCounts(self._hashes[:size], self._counts[:size], self._ends[: size + 1], self._arena)
        return held.take(np.argsort(held.hashes, kind="stable"))

    def words(self, first: int, last: int) -> list[str]:
        """The words `first:last`, in the order in which they came."""
        bounds = self._ends[first : last + 1].tolist()
        content = self._arena[bounds[0] : bounds[-1]].tobytes()
        places = itertools.pairwise(end - bounds[0] for end in bounds)
        return [content[start:end].decode() for start, end in places]

    def column_of_counts(self) -> I64:
        """The counts of the words in the order in which they came; good until the next `grow`."""
        return self._counts[: self.size]

    def columns(self) -> tuple[np.uint64, ...]:
        """The table as kernels take it; good until the next `grow`."""
        columns = (self._hashes, self._ends, self._counts)
        mask = np.uint64(len(self._slots) - 1)
        return (
            addresses(self._slots)[0],
            mask,
            *(addresses(each)[0] for each in columns),
            *addresses(self._arena),
        )

    def room(self) -> tuple[np.uint64, np.uint64]:
        """How many words, and bytes of words, the table can hold without `grow`."""
        return np.uint64(len(self._hashes)), np.uint64(len(self._arena))

    def grow(self, longest: int) -> None:
        """Make room for another word, of at most `longest` bytes."""
        if self.size == len(self._hashes):
            if self.size >= _MOST_WORDS:
                raise TokenizerError("more than 2^32 different words in one table; use smaller splits")
            room = min(2 * self.size, _MOST_WORDS)
            self._hashes = _longer(self._hashes, room)
            self._counts = _longer(self._counts, room)
            self._ends = _longer(self._ends, room + 1)
            self._slots = np.zeros(2 * len(self._slots), np.uint64)
            kernels.fill_slots(self.size, self._hashes, self._slots)
            return
        used = int(self._ends[self.size])
        self._arena = _longer(self._arena, max(2 * len(self._arena), used + longest))


def addresses(data: npt.NDArray[Any]) -> tuple[np.uint64, np.uint64]:
    """Where an array lies in memory: its first byte, and the one behind its last."""
    return np.uint64(data.ctypes.data), np.uint64(data.ctypes.data + data.nbytes)


def text_bounds(text: pa.Array) -> tuple[U8, I64, I64]:
    """The data of a string column (not copied), and where each text begins and ends in it; a null is empty.

    Raises:
        TokenizerError: for an array of another type, or a damaged one.
    """
    if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        raise TokenizerError(f"string or large_string columns are taken, not {text.type}")
    width: Any = np.int32 if pa.types.is_string(text.type) else np.int64
    _, offsets, data = text.buffers()
    held = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    if not len(text):
        return held, np.zeros(0, np.int64), np.zeros(0, np.int64)
    bounds = np.frombuffer(offsets, width)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    if bounds[0] < 0 or bounds[-1] > len(held) or np.any(bounds[1:] < bounds[:-1]):
        raise TokenizerError(f"the offsets of the string column do not ascend within its {len(held):,} bytes")
    starts, stops = bounds[:-1].copy(), bounds[1:].copy()
    if text.null_count:
        nulls = np.asarray(text.is_null())
        stops[nulls] = starts[nulls]
    return held, starts, stops


def _longer(array: npt.NDArray[Any], size: int) -> Any:
    longer = np.empty(size, array.dtype)
    longer[: len(array)] = array
    return longer
