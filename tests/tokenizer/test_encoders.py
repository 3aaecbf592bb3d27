"""The fast encoders: exact, and not used where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.conftest import corpus, texts
from tokenizer import Tokenizer, encoders, proto
from tokenizer.encoders import Ids, WordCache, is_separable, proved, reference
from tokenizer.errors import TokenizerError
from tokenizer.proto import Piece


@pytest.fixture(scope="module")
def processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def cache(processor: sentencepiece.SentencePieceProcessor, model: bytes) -> WordCache:
    space = [processor.piece_to_id(f"<0x{byte:02X}>") for byte in "\u2581".encode()]
    return WordCache(processor, proto.read(model), space)


def joined(processor: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
    """What the cache must give: SentencePiece's ids, but the bytes of U+2581 for that character."""
    space = [processor.piece_to_id(f"<0x{byte:02X}>") for byte in "\u2581".encode()]
    parts = [processor.encode(part) for part in text.split("\u2581")]
    return parts[0] + [index for part in parts[1:] for index in (*space, *part)]


@given(st.lists(texts(30), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_the_cache_gives_sentencepieces_ids(
    processor: sentencepiece.SentencePieceProcessor, model: bytes, documents: list[str]
) -> None:
    fresh = cache(processor, model)
    wanted = [joined(processor, text) for text in documents]
    assert [ids.tolist() for ids in fresh(documents)] == wanted
    assert [ids.tolist() for ids in fresh(documents)] == wanted  # now from memory


def test_the_cache_stays_small(
    processor: sentencepiece.SentencePieceProcessor, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "_MOST_WORDS", 50)
    small = cache(processor, model)
    for text in corpus(20):
        assert small([text])[0].tolist() == joined(processor, text)
        assert small._table.size <= 50 or small._known == 0


def test_the_cache_grows(processor: sentencepiece.SentencePieceProcessor, model: bytes) -> None:
    text = " ".join(f"w{number:x}" for number in range(30_000)) + "\u2581" + "y" * 100_000
    found = cache(processor, model)([text])[0]
    assert found.tolist() == joined(processor, text)


def test_a_failed_lookup_is_made_up_for(
    processor: sentencepiece.SentencePieceProcessor, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = cache(processor, model)
    with monkeypatch.context() as patch:
        patch.setattr(broken, "_encode_words", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            broken(["some words here"])
    assert broken(["some words here"])[0].tolist() == joined(processor, "some words here")


def test_columns_are_cut_at_documents(processor: sentencepiece.SentencePieceProcessor, model: bytes) -> None:
    offsets, ids = cache(processor, model).encode_column(pa.array(["a b", None, "", " c"]))
    assert offsets.tolist() == [0, len(joined(processor, "a b"))] + [len(joined(processor, "a b"))] * 2 + [
        len(ids)
    ]
    assert ids.tolist() == joined(processor, "a b") + joined(processor, " c")


@pytest.mark.parametrize(
    "piece", ["a\u2581", "a\u2581b", "\u2581a\u2581", "a\n", "\n\t", "\r\n", "\u2581\n"], ids=repr
)
def test_pieces_that_reach_beyond_a_word_forbid_the_cache(model: bytes, piece: str) -> None:
    facts = proto.read(model)
    assert is_separable(facts)
    assert not is_separable(replace(facts, pieces=(*facts.pieces, Piece(piece, -9.0, proto.NORMAL))))


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": 1},
        {"byte_fallback": False},
        {"add_dummy_prefix": True},
        {"remove_extra_whitespaces": True},
    ],
    ids=str,
)
def test_models_that_change_text_forbid_the_cache(model: bytes, change: dict[str, object]) -> None:
    assert not is_separable(replace(proto.read(model), **change))


def test_an_encoder_that_errs_once_is_not_proved(
    processor: sentencepiece.SentencePieceProcessor, model: bytes
) -> None:
    trusted, facts = reference(processor), proto.read(model)

    def wrong_about_returns(given: Sequence[str]) -> list[Ids]:
        return [
            np.zeros(3, np.int32) if "\r\r" in text else ids
            for text, ids in zip(given, trusted(given), strict=True)
        ]

    assert proved(trusted, trusted, facts)
    assert not proved(wrong_about_returns, trusted, facts)


def test_an_encoder_that_is_not_proved_is_not_used(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "proved", lambda *_: False)
    assert Tokenizer(model).encoder == "sentencepiece"
    with pytest.raises(TokenizerError, match="other ids than SentencePiece"):
        Tokenizer(model, "kitoken")


def test_without_kitoken_there_are_others(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kitoken", None)
    assert Tokenizer(model).encoder == "words"
    with pytest.raises(TokenizerError, match="kitoken is not installed"):
        Tokenizer(model, "kitoken")
