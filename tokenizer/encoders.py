"""What turns texts into ids: SentencePiece, the reference, and two that are faster with the same ids.

    words         remembers the ids of every word, so that a word is encoded once; see `WordCache`
    kitoken       the library of that name, which reads SentencePiece models
    sentencepiece the reference

A fast encoder is used only after it has given the reference's ids on some hundred odd texts with this very
model (`proved`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sentencepiece

from tokenizer import _encode_kernels as kernels
from tokenizer.errors import TokenizerError
from tokenizer.proto import BPE, BYTE, CONTROL, SPACE, UNKNOWN, USER_DEFINED, ModelFacts, Piece
from tokenizer.selfcheck import odd_texts
from tokenizer.words import WordTable, addresses, text_bounds

Encoder = Literal["auto", "words", "kitoken", "sentencepiece"]
"""What does the encoding; the ids are the same. `auto` takes the first of these that is possible and proved:
words, kitoken, sentencepiece."""
Ids = npt.NDArray[np.int32]
EncodeAll = Callable[[Sequence[str]], list[Ids]]

_NEWLINE: Final = Piece("\n", 0.0, USER_DEFINED)
_AT_ONCE: Final = 256
_APART: Final = "\n\t\r"
_MOST_WORDS: Final = 1 << 20
_MOST_BYTES: Final = 64 << 20
"""A cache that holds more than one of these is emptied: about 150 MB."""


def reference(processor: sentencepiece.SentencePieceProcessor) -> EncodeAll:
    """SentencePiece itself."""

    def encode_all(texts: Sequence[str]) -> list[Ids]:
        return [processor.encode_as_numpy(text).astype(np.int32, copy=False) for text in texts]

    return encode_all


def kitoken(model: bytes) -> EncodeAll:
    """kitoken on this model.

    Raises:
        TokenizerError: when it is not installed, or cannot read the model.
    """
    try:
        import kitoken as library
    except ImportError as error:
        raise TokenizerError(
            "kitoken is not installed; `pip install kitoken`, or choose another encoder"
        ) from error
    try:
        loaded = library.Kitoken.from_sentencepiece(model)
    except ValueError as error:
        raise TokenizerError(f"kitoken cannot read this model: {error}") from error

    def encode_all(texts: Sequence[str]) -> list[Ids]:
        return [np.array(ids, np.int32) for ids in loaded.encode_all(list(texts))]

    return encode_all


def proved(encode_all: EncodeAll, trusted: EncodeAll, facts: ModelFacts) -> bool:
    """Whether an encoder gives the trusted one's ids on odd texts, among them ones made of the model's pieces."""
    silent = (UNKNOWN, CONTROL, BYTE)
    texts = odd_texts([piece.text for piece in facts.pieces if piece.kind not in silent])
    both = zip(encode_all(texts), trusted(texts), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in both)


def is_separable(facts: ModelFacts) -> bool:
    """Whether words can be encoded on their own: no token of this model can reach beyond one.

    A piece of byte-pair encoding is made of two shorter ones and is itself in the vocabulary; so where no piece
    has a space behind another character, nothing is ever joined across the beginning of a word; and likewise
    for runs of newlines, tabs and carriage returns where no piece has one of these beside another character.
    """
    if facts.model_type != BPE or not facts.keeps_text:
        return False
    texts = [piece.text for piece in facts.pieces if piece.kind not in (UNKNOWN, CONTROL, BYTE)]
    return all(
        SPACE not in text.lstrip(SPACE) and all(set(text) == {mark} for mark in _APART if mark in text)
        for text in texts
    )


class WordCache:
    """Encodes each different word once, and looks it up from then on.

    Nine of ten words of a text have been seen before, so most of the work is a look-up per word, on the Arrow
    buffers. The ids are SentencePiece's of the words, which is exact for models that are `is_separable`.
    """

    def __init__(
        self, processor: sentencepiece.SentencePieceProcessor, facts: ModelFacts, space_ids: Sequence[int]
    ) -> None:
        self._processor = processor
        self._newline = next((i for i, piece in enumerate(facts.pieces) if piece == _NEWLINE), None)
        self._space_ids = np.array(space_ids, np.int32)
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._table = WordTable()
        self._known = 0
        """Words whose ids are known: all up to this number."""
        self._ids = np.empty(1 << 12, np.int32)
        self._used = 0

    def encode_column(self, text: pa.Array) -> tuple[npt.NDArray[np.int64], Ids]:
        """The ids of all texts behind each other, and where each text's begin (one item more than texts).

        Raises:
            TokenizerError: for an array that is no string column.
        """
        with self._lock:
            found, firsts = self._find(text)
            self._learn()
            counts = self._table.column_of_counts().view(np.uint64)
            offsets = np.zeros(len(text) + 1, np.int64)
            kernels.count_ids(found, firsts, counts, offsets)
            out = np.empty(int(offsets[-1]), np.int32)
            kernels.write_ids(found, counts, self._ids, out)
            if self._table.size > _MOST_WORDS or self._table.nbytes > _MOST_BYTES:
                self._clear()
        return offsets, out

    def __call__(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text."""
        offsets, ids = self.encode_column(pa.array(texts, pa.large_string()))
        return np.split(ids, offsets[1:-1]) if len(texts) else []

    def _find(self, text: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """The words' numbers, and the first word of each text."""
        data, starts, stops = text_bounds(text)
        base, limit = addresses(data)
        table, place = self._table, np.zeros(3, np.int64)
        found = np.empty(int((stops - starts).sum()) // 4 + 64, np.uint32)
        firsts = np.zeros(len(starts) + 1, np.int64)
        while True:
            size, columns, room = np.uint64(table.size), table.columns(), table.room()
            size = kernels.find_words(base, limit, (starts, stops), place, size, columns, room, found, firsts)
            table.size = int(size)
            if place[0] == len(starts):
                return found[: place[2]], firsts
            if place[2] == len(found):
                found = np.concatenate([found, np.empty(len(found), np.uint32)])
            else:
                table.grow(int(stops[place[0]] - starts[place[0]] - place[1]))

    def _learn(self) -> None:
        """Encode the words that are new since the last time."""
        size = self._table.size
        if self._known == size:
            return
        ids, lengths = self._encode_words(self._table.words(self._known, size))
        ends = np.uint64(self._used) + np.cumsum(lengths)
        total = int(ends[-1])
        if total > len(self._ids):
            self._ids = np.concatenate([self._ids[: self._used], np.empty(2 * total - self._used, np.int32)])
        self._ids[self._used : total] = ids
        counts = self._table.column_of_counts().view(np.uint64)
        counts[self._known : size] = ((ends - lengths) << kernels.IDS_SHIFT) | lengths
        self._known, self._used = size, total

    def _encode_words(self, words: Sequence[str]) -> tuple[Ids, npt.NDArray[np.uint64]]:
        """The ids of all words behind each other, and how many each has."""
        ids: list[Ids] = []
        lengths: list[npt.NDArray[np.int64]] = []
        ordinary: list[str] = []

        def flush() -> None:
            for first in range(0, len(ordinary), _AT_ONCE):
                found, sizes = self._encode_joined(ordinary[first : first + _AT_ONCE])
                ids.append(found)
                lengths.append(sizes)
            ordinary.clear()

        for word in words:
            if self._newline is not None and word[0] not in ("\n", SPACE):
                ordinary.append(word)
                continue
            flush()
            is_space = word.startswith(SPACE)
            ids.append(np.tile(self._space_ids, len(word)) if is_space else self._encode(word))
            lengths.append(np.array([len(ids[-1])]))
        flush()
        return np.concatenate(ids), np.concatenate(lengths).astype(np.uint64)

    def _encode_joined(self, words: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64]]:
        """Encode words in one call, which is four times as fast: newlines between them keep them apart."""
        found = self._encode("\n".join(words))
        is_newline = found == self._newline
        sizes = np.diff(np.flatnonzero(is_newline), prepend=-1, append=len(found)) - 1
        if len(sizes) != len(words):
            raise TokenizerError("a word's ids hold the newline's: this model cannot use the encoder words")
        return found[~is_newline], sizes

    def _encode(self, text: str) -> Ids:
        found: Ids = self._processor.encode_as_numpy(text).astype(np.int32, copy=False)
        return found
