"""A trained tokenizer: text to ids and back, without loss.

    tokenizer = load("tokenizer-out")            # the folder of `corpusmill tokenizer train`, or a .model file
    ids = tokenizer.encode("Let x ∈ ℝ.")
    tokenizer.decode(ids) == "Let x ∈ ℝ."

For the models that this project trains, `decode(encode(text)) == text` for every Unicode text. SentencePiece
alone loses one character, U+2581, which is how it writes a space; it is encoded here by its three bytes.
Control tokens (<s>, <|end|>, ...) are never made from text that spells them; they have ids (`special`), and
whoever builds sequences puts those in.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import sentencepiece

from tokenizer import encoders, proto
from tokenizer.encoders import EncodeAll, Encoder, Ids, WordCache
from tokenizer.errors import TokenizerError
from tokenizer.proto import SPACE

__all__ = ["MODEL_NAME", "SPACE", "Encoder", "Ids", "Tokenizer", "load"]

MODEL_NAME: Final = "tokenizer.model"
"""The model's file in a tokenizer's folder."""
_MOST_IDS: Final = 2**31 - 1
_FASTER: Final[tuple[Encoder, ...]] = ("words", "kitoken")
_SPACE_PIECES: Final = ("<0xE2>", "<0x96>", "<0x81>")


class Tokenizer:
    """A SentencePiece model that encodes and decodes; made by `load`. It is not changed by use."""

    def __init__(self, model: bytes, encoder: Encoder = "auto") -> None:
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise TokenizerError(f"not a SentencePiece model: {error}") from error
        self.model = model
        self.sha256 = hashlib.sha256(model).hexdigest()
        self.vocab_size = int(self._processor.vocab_size())
        self.unk_id = int(self._processor.unk_id())
        self.bos_id = int(self._processor.bos_id())
        self.eos_id = int(self._processor.eos_id())
        self.pad_id = int(self._processor.pad_id())
        """The ids of the special tokens that every trained model has; -1 where a model of others has none."""
        self.facts = proto.read(model)
        keeps = self.facts.keeps_text
        self._space_ids = [self._processor.piece_to_id(name) for name in _SPACE_PIECES] if keeps else None
        self._encode_all: EncodeAll = encoders.reference(self._processor)
        self.encoder: Encoder = "sentencepiece"
        """What encodes: words, kitoken or sentencepiece."""
        if encoder != "sentencepiece":
            self._choose(encoder)

    def _choose(self, wanted: Encoder) -> None:
        """Take a faster encoder, if it is possible and proved; one that is asked for by name must be."""
        for name in _FASTER if wanted == "auto" else (wanted,):
            try:
                faster = self._faster(name)
                if not encoders.proved(faster, self._encode_all, self.facts):
                    raise TokenizerError(
                        f"the encoder {name} gives other ids than SentencePiece on this model"
                    )
            except TokenizerError:
                if wanted == "auto":
                    continue
                raise
            self._encode_all, self.encoder = faster, name
            return

    def _faster(self, name: Encoder) -> EncodeAll:
        if name == "kitoken":
            return encoders.kitoken(self.model)
        if self._space_ids is None or not encoders.is_separable(self.facts):
            raise TokenizerError("the encoder words needs a model whose words can be encoded on their own")
        return WordCache(self._processor, self.facts, self._space_ids)

    @property
    def lossless(self) -> bool:
        """Whether decoding gives back every text: so for all models that this project trains."""
        return self._space_ids is not None

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The pieces by id, as SentencePiece writes them (U+2581 for a space, <0x0A> for a byte)."""
        return tuple(piece.text for piece in self.facts.pieces)

    @cached_property
    def special(self) -> dict[str, int]:
        """Control tokens and their ids: <s>, </s>, <pad> and those that the settings reserved."""
        pieces = self.facts.pieces
        return {piece.text: index for index, piece in enumerate(pieces) if piece.kind == proto.CONTROL}

    def encode(self, text: str) -> list[int]:
        """The ids of a text; no special token is added.

        Raises:
            TokenizerError: for a lone surrogate, which UTF-8 cannot hold.
        """
        ids: list[int] = self.encode_batch([text])[0].tolist()
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text.

        Raises:
            TokenizerError: as `encode`; the message says which text.
        """
        for index, text in enumerate(texts):
            _check_encodable(text, index)
        takes_spaces = self._space_ids is None or isinstance(self._encode_all, WordCache)
        if takes_spaces or not any(SPACE in text for text in texts):
            return self._encode_all(texts)
        return [self._encode_with_spaces(text) for text in texts]

    def encode_column(self, text: pa.Array) -> pa.ListArray:
        """The ids of each text of a string column, as lists of int32; null for a null.

        Raises:
            TokenizerError: for an array of another type, or one with 2^31 tokens and more.
        """
        if isinstance(self._encode_all, WordCache):
            offsets, values = self._encode_all.encode_column(text)
        else:
            if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
                raise TokenizerError(f"string or large_string columns are taken, not {text.type}")
            found = self.encode_batch([value or "" for value in text.to_pylist()])
            offsets = np.zeros(len(found) + 1, np.int64)
            np.cumsum([len(ids) for ids in found], out=offsets[1:])
            values = np.concatenate(found) if found else np.zeros(0, np.int32)
        if offsets[-1] > _MOST_IDS:
            raise TokenizerError(f"{offsets[-1]:,} tokens are too many for one column; use smaller chunks")
        mask = text.is_null() if text.null_count else None
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values), mask=mask)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; control tokens have none, and bytes that are no UTF-8 become U+FFFD.

        Raises:
            TokenizerError: for an id that the vocabulary does not have.
        """
        listed = np.asarray(ids if isinstance(ids, np.ndarray | list) else list(ids), np.int64)
        wrong = listed[(listed < 0) | (listed >= self.vocab_size)]
        if len(wrong):
            raise TokenizerError(f"id {wrong[0]} is none of the {self.vocab_size:,} of this vocabulary")
        text: str = self._processor.decode(listed.tolist())
        return text

    def decode_batch(self, batch: Iterable[Iterable[int]]) -> list[str]:
        """The text of each list of ids, as `decode`."""
        return [self.decode(ids) for ids in batch]

    def _encode_with_spaces(self, text: str) -> Ids:
        """Encode the parts between the characters U+2581, and put the bytes of that character between them.

        No piece of text holds U+2581 but as a space, so the parts do not depend on each other.
        """
        parts = self._encode_all(text.split(SPACE))
        between = np.array(self._space_ids, np.int32)
        joined = [piece for part in parts for piece in (between, part)]
        return np.concatenate(joined[1:])


def load(path: str | os.PathLike[str], encoder: Encoder = "auto") -> Tokenizer:
    """The tokenizer of a folder (with `tokenizer.model` in it) or of a SentencePiece `.model` file.

    Args:
        path: local.
        encoder: what encodes, see `Encoder`.

    Raises:
        TokenizerError: when there is no model, or when the encoder asked for gives other ids on it.
    """
    place = os.fspath(path)
    if os.path.isdir(place):
        place = os.path.join(place, MODEL_NAME)
    try:
        with open(place, "rb") as file:
            model = file.read()
    except OSError as error:
        raise TokenizerError(f"{place}: {error.strerror or error}: no tokenizer's model there") from error
    try:
        return Tokenizer(model, encoder)
    except TokenizerError as error:
        raise TokenizerError(f"{place}: {error}") from error


def _check_encodable(text: str, index: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"text {index}: character {error.start} is a lone surrogate (U+{ord(text[error.start]):04X}), which "
            "is no text; decode the input with errors='replace' where it enters"
        ) from error
