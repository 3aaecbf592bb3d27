"""tokenizer.json gives the same ids: by its own rules stated plainly, and with the library where it is installed."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from tests.tokenizer.conftest import ODD, SETTINGS, corpus
from tokenizer import Tokenizer
from tokenizer.errors import TokenizerError
from tokenizer.export import tokenizer_config, tokenizer_json
from tokenizer.selfcheck import odd_texts


def encode(content: dict[str, Any], text: str) -> list[int]:
    """Added tokens, normaliser, byte-pair encoding by ranks, bytes: what the library does with the file."""
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    pattern = "|".join(map(re.escape, sorted(added, key=len, reverse=True)))
    vocabulary = content["model"]["vocab"]
    ranks = {tuple(pair): rank for rank, pair in enumerate(content["model"]["merges"])}
    ids = []
    for part in re.split(f"({pattern})", text):
        if part in added:
            ids.append(added[part])
            continue
        symbols = list(part.replace(" ", content["normalizer"]["content"]))
        while True:
            pairs = [(ranks.get(pair, len(ranks)), at) for at, pair in enumerate(itertools.pairwise(symbols))]
            best, at = min(pairs, default=(len(ranks), 0))
            if best == len(ranks):
                break
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        for symbol in symbols:
            unknown = [vocabulary[f"<0x{byte:02X}>"] for byte in symbol.encode()]
            ids += [vocabulary[symbol]] if symbol in vocabulary else unknown
    return ids


def samples(model: bytes) -> list[str]:
    texts = [
        *corpus(3),
        *ODD,
        *odd_texts([piece for piece in Tokenizer(model).pieces if not piece.startswith("<")]),
    ]
    return [text for text in texts if "\u2581" not in text]


def test_the_files_rules_give_the_same_ids(model: bytes) -> None:
    content, ours = json.loads(tokenizer_json(model)), Tokenizer(model)
    for text in samples(model):
        assert encode(content, text) == ours.encode(text), text


def test_the_library_gives_the_same_ids(model: bytes) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    theirs, ours = tokenizers.Tokenizer.from_str(tokenizer_json(model).decode()), Tokenizer(model)
    for text in samples(model):
        ids = ours.encode(text)
        assert theirs.encode(text, add_special_tokens=False).ids == ids, text
        assert theirs.decode(ids, skip_special_tokens=False) == text


def test_every_piece_has_its_id(model: bytes) -> None:
    content = json.loads(tokenizer_json(model))
    assert content["model"]["vocab"] == {piece: index for index, piece in enumerate(Tokenizer(model).pieces)}
    assert [token["content"] for token in content["added_tokens"]] == list(SETTINGS.white_space)


def test_special_tokens_are_named(model: bytes) -> None:
    config = json.loads(tokenizer_config(model))
    assert config["additional_special_tokens"] == list(SETTINGS.special_tokens)
    assert (config["bos_token"], config["eos_token"], config["pad_token"]) == ("<s>", "</s>", "<pad>")


def test_models_that_change_text_are_refused() -> None:
    with pytest.raises(TokenizerError):
        tokenizer_json(b"\x0a\x05\x0a\x03abc")
