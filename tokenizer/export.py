"""The tokenizer in Hugging Face's form: `tokenizer.json` (library `tokenizers`) and `tokenizer_config.json`.

The ids are those of this package, with two exceptions that the format has no words for: U+2581 in a text is
taken for a space, and a library that registers control tokens as special (transformers does) finds them in
text that spells them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tokenizer import proto
from tokenizer.errors import TokenizerError
from tokenizer.proto import ModelFacts, Piece
from tokenizer.settings import BOS, EOS, PAD, UNK


def tokenizer_json(model: bytes) -> bytes:
    """`tokenizer.json` of a model that this project trained.

    Raises:
        TokenizerError: for a model of another kind, which this form would not encode alike.
    """
    facts = proto.read(model)
    if facts.model_type != proto.BPE or not facts.keeps_text:
        raise TokenizerError(
            "only byte-pair models that keep the text as it is can be written as tokenizer.json"
        )
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(index, piece) for index, piece in _symbols(facts)],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": proto.SPACE},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": proto.SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": UNK,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece.text: index for index, piece in enumerate(facts.pieces)},
            "merges": [list(pair) for pair in merges(facts)],
        },
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def tokenizer_config(model: bytes) -> bytes:
    """`tokenizer_config.json`, which tells transformers the names of the special tokens."""
    control = [piece.text for piece in proto.read(model).pieces if piece.kind == proto.CONTROL]
    content = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": UNK,
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "additional_special_tokens": [text for text in control if text not in (BOS, EOS, PAD)],
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(1e30),
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def merges(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    """The pairs that are joined, most urgent first.

    SentencePiece's model does not say which pair made a piece: it joins any two neighbours that make one, the
    piece with the higher score first. So every way to cut a piece in two pieces is a pair of its rank.
    """
    learned = {piece.text: index for index, piece in enumerate(facts.pieces) if piece.kind == proto.NORMAL}
    ranked = sorted(learned.items(), key=lambda item: (-facts.pieces[item[1]].score, item[1]))
    for text, _ in ranked:
        cuts = ((text[:at], text[at:]) for at in range(1, len(text)))
        pairs = [pair for pair in cuts if pair[0] in learned and pair[1] in learned]
        yield from sorted(pairs, key=lambda pair: (learned[pair[0]], learned[pair[1]]))


def _symbols(facts: ModelFacts) -> Iterator[tuple[int, Piece]]:
    return ((index, piece) for index, piece in enumerate(facts.pieces) if piece.kind == proto.USER_DEFINED)


def _added(index: int, piece: Piece) -> dict[str, Any]:
    return {
        "id": index,
        "content": piece.text,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": False,
    }
