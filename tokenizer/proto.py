"""What a SentencePiece model file says: its pieces and their kinds, read from the protocol buffer itself.

SentencePiece's Python package has a class for it (`sentencepiece_model_pb2`), but that cannot be imported
beside the older protobuf that Beam asks for, and its processor does not tell user-defined symbols from
learned pieces. The format: sentencepiece_model.proto of SentencePiece 0.2, in the encoding of protocol
buffers (a field is a varint `number << 3 | wire type` and its value).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from tokenizer.errors import TokenizerError

SPACE: Final = "\u2581"
"""The character that stands for a space inside pieces."""
NORMAL: Final = 1
UNKNOWN: Final = 2
CONTROL: Final = 3
USER_DEFINED: Final = 4
UNUSED: Final = 5
BYTE: Final = 6
"""Kinds of pieces (`ModelProto.SentencePiece.Type`)."""

BPE: Final = 2
"""`TrainerSpec.model_type` of byte-pair encoding."""

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_PIECE, _SCORE, _KIND = 1, 2, 3
_INPUT_FORMAT, _NUM_THREADS, _MODEL_TYPE, _SPLIT_BY_WHITESPACE, _BYTE_FALLBACK = 7, 16, 3, 22, 35
_TREAT_AS_SUFFIX = 24
_CHARSMAP, _DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE = 2, 3, 4, 5
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5


class Piece(NamedTuple):
    """A piece of the vocabulary; its id is its place in the list."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class ModelFacts:
    """What decides how a model encodes, beside the pieces. Defaults are those of the format."""

    pieces: tuple[Piece, ...]
    model_type: int = 1
    byte_fallback: bool = False
    split_by_whitespace: bool = True
    treat_whitespace_as_suffix: bool = False
    has_charsmap: bool = False
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True

    @property
    def keeps_text(self) -> bool:
        """Whether encoding loses nothing but the character U+2581."""
        changes = self.has_charsmap or self.add_dummy_prefix or self.remove_extra_whitespaces
        return self.byte_fallback and self.escape_whitespaces and not changes


class _Field(NamedTuple):
    number: int
    value: int | bytes
    start: int
    end: int


def read(model: bytes) -> ModelFacts:
    """The facts of a model.

    Raises:
        TokenizerError: when the bytes are not a model.
    """
    try:
        return _read(model)
    except (IndexError, ValueError, struct.error) as error:
        raise TokenizerError(f"not a SentencePiece model: {error}") from error


def _read(model: bytes) -> ModelFacts:
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for field in _fields(model):
        if field.number == _PIECES:
            pieces.append(_piece(_bytes(field)))
        elif field.number == _TRAINER:
            trainer = {each.number: each.value for each in _fields(_bytes(field))}
        elif field.number == _NORMALIZER:
            normalizer = {each.number: each.value for each in _fields(_bytes(field))}
    if not pieces:
        raise ValueError("it holds no pieces")
    return ModelFacts(
        pieces=tuple(pieces),
        model_type=int(trainer.get(_MODEL_TYPE, 1)),
        byte_fallback=bool(trainer.get(_BYTE_FALLBACK, 0)),
        split_by_whitespace=bool(trainer.get(_SPLIT_BY_WHITESPACE, 1)),
        treat_whitespace_as_suffix=bool(trainer.get(_TREAT_AS_SUFFIX, 0)),
        has_charsmap=bool(normalizer.get(_CHARSMAP, b"")),
        add_dummy_prefix=bool(normalizer.get(_DUMMY_PREFIX, 1)),
        remove_extra_whitespaces=bool(normalizer.get(_REMOVE_SPACES, 1)),
        escape_whitespaces=bool(normalizer.get(_ESCAPE, 1)),
    )


def without_circumstances(model: bytes) -> bytes:
    """The model without the number of threads and the input's form, so that equal vocabularies are equal files."""
    kept = bytearray()
    for field in _fields(model):
        content = model[field.start : field.end]
        if field.number == _TRAINER:
            spec = _bytes(field)
            inner = b"".join(
                spec[each.start : each.end]
                for each in _fields(spec)
                if each.number not in (_NUM_THREADS, _INPUT_FORMAT)
            )
            content = bytes([_TRAINER << 3 | _LENGTH]) + _varint(len(inner)) + inner
        kept += content
    return bytes(kept)


def _piece(content: bytes) -> Piece:
    text, score, kind = "", 0.0, NORMAL
    for field in _fields(content):
        if field.number == _PIECE:
            text = _bytes(field).decode("utf-8")
        elif field.number == _SCORE:
            score = struct.unpack("<f", _bytes(field))[0]
        elif field.number == _KIND:
            kind = int(field.value)
    return Piece(text, score, kind)


def _bytes(field: _Field) -> bytes:
    if not isinstance(field.value, bytes):
        raise ValueError(f"field {field.number} is a number")
    return field.value


def _fields(content: bytes) -> Iterator[_Field]:
    """The fields of a message, and where each lies."""
    at = 0
    while at < len(content):
        start = at
        key, at = _read_varint(content, at)
        wire = key & 7
        value: int | bytes
        if wire == _VARINT:
            value, at = _read_varint(content, at)
        else:
            if wire == _LENGTH:
                size, at = _read_varint(content, at)
            elif wire in (_EIGHT, _FOUR):
                size = 8 if wire == _EIGHT else 4
            else:
                raise ValueError(f"wire type {wire} at byte {start:,}")
            if at + size > len(content):
                raise ValueError(f"it ends inside the field at byte {start:,}")
            value = content[at : at + size]
            at += size
        yield _Field(key >> 3, value, start, at)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(f"a number of more than 64 bits at byte {at:,}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
