"""What is read from a model file is what SentencePiece reads from it."""

from __future__ import annotations

import contextlib

import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.conftest import SETTINGS, corpus, reference_counts
from tokenizer import proto
from tokenizer.errors import TokenizerError
from tokenizer.training import train


def test_pieces_are_those_of_sentencepiece(model: bytes) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    facts = proto.read(model)
    assert len(facts.pieces) == processor.vocab_size()
    for index, piece in enumerate(facts.pieces):
        assert piece.text == processor.id_to_piece(index)
        assert piece.score == processor.get_score(index)
        assert (piece.kind == proto.CONTROL) == processor.is_control(index)
        assert (piece.kind == proto.BYTE) == processor.is_byte(index)
        assert (piece.kind == proto.UNKNOWN) == processor.is_unknown(index)


def test_settings_are_those_of_the_training(model: bytes) -> None:
    facts = proto.read(model)
    assert facts.model_type == proto.BPE
    assert facts.keeps_text


def test_threads_and_input_form_are_left_out(model: bytes) -> None:
    again = train(reference_counts(corpus()).items(), SETTINGS, threads=4)
    assert again == model == proto.without_circumstances(model)
    assert b"tsv" not in model


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_model_or_an_error(content: bytes) -> None:
    with contextlib.suppress(TokenizerError):  # any other exception fails the test
        assert proto.read(content).pieces


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_cut_model_is_a_shorter_one_or_an_error(model: bytes, data: st.DataObject) -> None:
    cut = model[: data.draw(st.integers(0, len(model)))]
    with contextlib.suppress(TokenizerError):
        assert len(proto.read(cut).pieces) <= SETTINGS.vocab_size
