"""Encoding loses nothing, never makes a control token of text, and is the same with every encoder."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenizer
from tests.tokenizer.conftest import SETTINGS, corpus, texts
from tokenizer import Tokenizer
from tokenizer.encoders import Encoder
from tokenizer.errors import TokenizerError

ENCODERS: tuple[Encoder, ...] = ("words", "kitoken", "sentencepiece")


@pytest.fixture(scope="module")
def loaded(model: bytes) -> dict[str, Tokenizer]:
    return {name: Tokenizer(model, name) for name in ENCODERS}


@pytest.fixture(scope="module")
def foreign() -> bytes:
    """A model as SentencePiece makes it by default: it changes what it encodes."""
    sink = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=sink, vocab_size=300, minloglevel=2
    )
    return sink.getvalue()


@given(texts())
@settings(max_examples=400, deadline=None)
def test_nothing_is_lost_and_all_encoders_agree(loaded: dict[str, Tokenizer], text: str) -> None:
    ids = loaded["sentencepiece"].encode(text)
    assert loaded["sentencepiece"].decode(ids) == text
    assert loaded["words"].encode(text) == ids
    assert loaded["kitoken"].encode(text) == ids
    assert not set(ids) & {0, *loaded["words"].special.values()}


@given(st.text(st.characters(exclude_categories=("Cs",))))
@settings(max_examples=300, deadline=None)
def test_any_unicode_comes_back(loaded: dict[str, Tokenizer], text: str) -> None:
    assert loaded["words"].decode(loaded["words"].encode(text)) == text


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    "text", ["\u2581", "\u2581\u2581", "a\u2581", " \u2581 ", "\u2581\n\u2581", "\u2580\u2581\u2582"]
)
def test_the_character_that_stands_for_spaces_comes_back(
    loaded: dict[str, Tokenizer], name: str, text: str
) -> None:
    encoder = loaded[name]
    assert encoder.decode(encoder.encode(text)) == text
    assert [encoder.pieces[index] for index in encoder.encode("\u2581")] == ["<0xE2>", "<0x96>", "<0x81>"]


@pytest.mark.parametrize("token", ["<s>", "</s>", "<unk>", "<pad>", "<|end|>", "<|reserved_3|>", "<0x0A>"])
def test_control_tokens_in_text_stay_text(loaded: dict[str, Tokenizer], token: str) -> None:
    for encoder in loaded.values():
        ids = encoder.encode(f"{token} a{token}b")
        assert encoder.decode(ids) == f"{token} a{token}b"
        assert encoder.pieces.index(token) not in ids


def test_what_a_tokenizer_says_of_itself(loaded: dict[str, Tokenizer], model: bytes) -> None:
    encoder = loaded["words"]
    assert (encoder.unk_id, encoder.bos_id, encoder.eos_id, encoder.pad_id) == (0, 1, 2, 3)
    assert encoder.vocab_size == len(encoder.pieces) == SETTINGS.vocab_size
    assert encoder.sha256 == hashlib.sha256(model).hexdigest()
    assert encoder.special["<|system|>"] == 4
    assert list(encoder.special) == ["<s>", "</s>", "<pad>", *SETTINGS.special_tokens]
    assert encoder.lossless


def test_white_space_runs_are_single_tokens(loaded: dict[str, Tokenizer]) -> None:
    encoder = loaded["words"]
    for run in ("\n", "\n\n", "\n\n\n", "\t", "\t" * 8, "\r"):
        assert [encoder.pieces[index] for index in encoder.encode(run)] == [run]
    assert [encoder.pieces[index] for index in encoder.encode("\n" * 4)] == ["\n\n\n", "\n"]


def test_digits_are_single_tokens(loaded: dict[str, Tokenizer]) -> None:
    encoder = loaded["words"]
    pieces = [encoder.pieces[index] for index in encoder.encode("in 2024 it was 31415")]
    assert not [piece for piece in pieces if sum(mark.isdigit() for mark in piece) > 1]


@pytest.mark.parametrize("name", ENCODERS)
def test_batches_and_columns_are_the_single_texts(loaded: dict[str, Tokenizer], name: str) -> None:
    encoder = loaded[name]
    documents = [*corpus(6), "", "\u2581 x", "<s>"]
    single = [encoder.encode(text) for text in documents]
    batch = encoder.encode_batch(documents)
    assert [ids.tolist() for ids in batch] == single
    assert all(ids.dtype == np.int32 for ids in batch)
    assert encoder.decode_batch(batch) == documents
    for kind in (pa.string(), pa.large_string()):
        column = encoder.encode_column(pa.array(documents, kind))
        assert column.type == pa.list_(pa.int32())
        assert column.to_pylist() == single


@pytest.mark.parametrize("name", ENCODERS)
def test_empty_input(loaded: dict[str, Tokenizer], name: str) -> None:
    encoder = loaded[name]
    assert encoder.encode("") == []
    assert encoder.decode([]) == ""
    assert encoder.encode_batch([]) == []
    assert encoder.encode_column(pa.array([], pa.string())).to_pylist() == []
    column = encoder.encode_column(pa.array([None, "a b", "", None, "c"])[1:])
    assert column.to_pylist() == [encoder.encode("a b"), [], None, encoder.encode("c")]


@pytest.mark.parametrize("name", ENCODERS)
def test_a_lone_surrogate_is_refused(loaded: dict[str, Tokenizer], name: str) -> None:
    with pytest.raises(TokenizerError, match=r"text 1: character 2 is a lone surrogate \(U\+D800\)"):
        loaded[name].encode_batch(["fine", "no\ud800"])


@pytest.mark.parametrize("index", [-1, 1000, 10**9])
def test_unknown_ids_are_refused(loaded: dict[str, Tokenizer], index: int) -> None:
    with pytest.raises(TokenizerError, match=f"id {index} is none of the 1,000"):
        loaded["words"].decode([5, index])


def test_control_tokens_have_no_text(loaded: dict[str, Tokenizer]) -> None:
    encoder = loaded["words"]
    assert encoder.decode([encoder.bos_id, *encoder.encode(" a\n"), encoder.eos_id]) == " a\n"


@pytest.mark.parametrize("name", ENCODERS)
def test_other_columns_are_refused(loaded: dict[str, Tokenizer], name: str) -> None:
    with pytest.raises(TokenizerError, match="string or large_string"):
        loaded[name].encode_column(pa.array([1, 2]))


def test_auto_takes_the_word_cache(model: bytes) -> None:
    assert Tokenizer(model).encoder == "words"


def test_load_takes_folders_and_files(tmp_path: Path, model: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(model)
    assert tokenizer.load(tmp_path).sha256 == tokenizer.load(tmp_path / "tokenizer.model").sha256
    assert tokenizer.load(tmp_path, "sentencepiece").encoder == "sentencepiece"


def test_load_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.model: No such file"):
        tokenizer.load(tmp_path)
    with pytest.raises(TokenizerError, match=r"none\.model: No such file"):
        tokenizer.load(tmp_path / "none.model")


@pytest.mark.parametrize("content", [b"", b"\x00", b"no model at all, but text", b"\x0a\xff\xff\xff\xff\x0f"])
def test_other_files_are_no_models(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(TokenizerError, match="not a SentencePiece model"):
        tokenizer.load(tmp_path)


def test_models_of_others_encode_as_sentencepiece_does(foreign: bytes) -> None:
    encoder = Tokenizer(foreign)
    peer = sentencepiece.SentencePieceProcessor(model_proto=foreign)
    assert not encoder.lossless
    assert encoder.encoder != "words"
    for text in [*corpus(4), "a\u2581b", "  x  "]:
        assert encoder.encode(text) == peer.encode(text)


def test_the_word_cache_refuses_models_of_others(foreign: bytes) -> None:
    with pytest.raises(TokenizerError, match="words can be encoded on their own"):
        Tokenizer(foreign, "words")
