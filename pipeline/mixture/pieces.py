"""Where a text may be cut, told from its tokens: the classes of a vocabulary's pieces."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tokenizer.model import SPACE as SPACE_MARK

LINE_END, SENTENCE_END, FULL_STOP, CLOSING, SPACE = 1, 2, 4, 8, 16
"""Classes of pieces, as bits: ends a line; ends in a sentence's last mark (counts before a space); ends in one that needs no
space; only closes quotes or brackets; begins with white space."""

_MARKS, _WIDE_MARKS, _CLOSERS = ".!?…", "。！？｡", "\"')]}”’»›」』）】"


def piece_classes(pieces: Iterable[str]) -> npt.NDArray[np.uint8]:
    """The class bits of every piece of a vocabulary, given as SentencePiece writes them (U+2581, <0x0A>)."""
    return np.array([_classes(_spelled(piece)) for piece in pieces], np.uint8)


def _spelled(piece: str) -> str:
    """The text that a piece stands for; a byte of a longer character is a character that has no class."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        byte = int(piece[3:5], 16)
        return chr(byte) if byte < 128 else "\ufffd"
    return piece.replace(SPACE_MARK, " ")


def _classes(text: str) -> int:
    if not text:
        return 0
    open_end = text.rstrip(_CLOSERS)
    return (
        (LINE_END if text.endswith("\n") else 0)
        | (SENTENCE_END if open_end.endswith(tuple(_MARKS)) else 0)
        | (FULL_STOP if open_end.endswith(tuple(_WIDE_MARKS)) else 0)
        | (CLOSING if not open_end else 0)
        | (SPACE if text[0].isspace() else 0)
    )
