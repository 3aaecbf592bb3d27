"""Training on counts gives the vocabulary of training on the text, byte for byte."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
import sentencepiece

from tests.tokenizer.conftest import SETTINGS, corpus, reference_counts
from tokenizer import proto
from tokenizer.errors import TokenizerError
from tokenizer.settings import TokenizerSettings
from tokenizer.training import train, vocabulary
from tokenizer.words import WordTable


def trained_on_text(folder: Path, texts: list[str], settings: TokenizerSettings) -> bytes:
    """SentencePiece's own `.vocab`, from the text in a file."""
    (folder / "text.txt").write_bytes("\n".join(texts).encode())
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "peer"), **settings.trainer_arguments(1)
    )
    return (folder / "peer.vocab").read_bytes()


def trained_on_counts(texts: list[str], settings: TokenizerSettings, *, threads: int = 1) -> bytes:
    table = WordTable(settings.tab_runs)
    table.add_text(pa.array(texts))
    return train(table.counts().items(), settings, threads=threads)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"vocab_size": 1400, "character_coverage": 0.99},
        {"tab_runs": 1, "newline_runs": 1},
        {"special_tokens": ("<|a|>", "the", " x".strip() + "yz"), "required_characters": "∀"},
        {"allow_smaller": True, "vocab_size": 60_000},
    ],
    ids=["default", "coverage", "runs", "tokens", "smaller"],
)
def test_counts_and_text_give_the_same_vocabulary(tmp_path: Path, changes: dict[str, object]) -> None:
    settings = SETTINGS.model_copy(update=changes)
    texts = corpus()
    assert vocabulary(trained_on_counts(texts, settings)) == trained_on_text(tmp_path, texts, settings)


def test_random_characters_give_the_same_vocabulary(tmp_path: Path) -> None:
    chosen = random.Random(8)  # noqa: S311 - test data
    marks = [
        " ",
        "\u2581",
        "\t",
        "\r",
        "\x00",
        "\x1f",
        "<s>",
        "<|end|>",
        "<0xE2>",
        "ab",
        "ba",
        "\u2580",
        "\n",
    ]
    ranges = [(0x20, 0x7F), (0x80, 0x250), (0x3040, 0x30FF), (0x2580, 0x2584), (0xE000, 0xE010)]

    def character() -> str:
        if chosen.random() < 0.5:
            return chosen.choice(marks)
        return chr(chosen.randrange(*chosen.choice(ranges))).replace("\u2585", "")

    texts = ["".join(character() for _ in range(400)) for _ in range(200)]
    settings = SETTINGS.model_copy(update={"vocab_size": 1500})
    assert vocabulary(trained_on_counts(texts, settings)) == trained_on_text(tmp_path, texts, settings)


def test_u2585_cuts_a_word_where_sentencepiece_drops_the_line(tmp_path: Path) -> None:
    texts = [f"{text}\u2585 tail" for text in corpus()]
    instead = [text.replace("\u2585", "\x1f") for text in texts]
    found = vocabulary(trained_on_counts(texts, SETTINGS))
    assert found == trained_on_text(tmp_path, instead, SETTINGS)
    assert found != trained_on_text(tmp_path, texts, SETTINGS)


def test_no_line_is_too_long(tmp_path: Path) -> None:
    texts = [*corpus(), "rareword " * 20_000]
    model = trained_on_counts(texts, SETTINGS)
    assert "\u2581rareword" in {piece.text for piece in proto.read(model).pieces}


def test_counts_decide() -> None:
    counts = reference_counts(corpus())
    flat = train(((word, 1) for word in counts), SETTINGS)
    heavy = train([*counts.items(), (b" zyxwv", 5000)], SETTINGS)
    assert flat != train(counts.items(), SETTINGS)
    assert "\u2581zyxwv" in {piece.text for piece in proto.read(heavy).pieces}


def test_order_and_threads_do_not_change_a_byte(model: bytes) -> None:
    counts = list(reference_counts(corpus()).items())
    assert train(reversed(counts), SETTINGS, threads=2) == model
    assert trained_on_counts(corpus(), SETTINGS, threads=3) == model


def test_fixed_pieces_come_first(model: bytes) -> None:
    pieces = proto.read(model).pieces
    assert [piece.text for piece in pieces[:5]] == ["<unk>", "<s>", "</s>", "<pad>", "<|system|>"]
    kinds = {piece.text: piece.kind for piece in pieces}
    assert all(kinds[token] == proto.CONTROL for token in SETTINGS.special_tokens)
    assert all(kinds[run] == proto.USER_DEFINED for run in SETTINGS.white_space)
    assert all(kinds[f"<0x{byte:02X}>"] == proto.BYTE for byte in range(256))
    assert set(SETTINGS.required_characters) <= kinds.keys()
    assert len(pieces) == SETTINGS.vocab_size


def test_no_learned_piece_holds_two_digits(model: bytes) -> None:
    learned = [piece.text for piece in proto.read(model).pieces if piece.kind == proto.NORMAL]
    assert all(len(text.lstrip("\u2581")) == 1 for text in learned if any(mark.isdigit() for mark in text))


def test_a_vocabulary_that_the_text_cannot_give_is_refused_with_what_it_can() -> None:
    settings = SETTINGS.model_copy(update={"vocab_size": 100_000})
    with pytest.raises(
        TokenizerError, match=r"vocab_size 100,000 is too large.* gives [\d,]+ pieces"
    ) as caught:
        trained_on_counts(["a few words here"], settings)
    possible = int(str(caught.value).split("gives ")[1].split(" ")[0].replace(",", ""))
    fitting = settings.model_copy(update={"vocab_size": possible})
    assert len(proto.read(trained_on_counts(["a few words here"], fitting)).pieces) == possible


def test_smaller_vocabularies_can_be_allowed() -> None:
    settings = SETTINGS.model_copy(update={"vocab_size": 100_000, "allow_smaller": True})
    assert len(proto.read(trained_on_counts(["a few words here"], settings)).pieces) < 1000


def test_no_words_is_an_error() -> None:
    with pytest.raises(TokenizerError, match="no words to train on"):
        trained_on_counts(["", "\n"], SETTINGS)


def test_too_many_characters_for_the_vocabulary_is_an_error() -> None:
    text = "".join(chr(0x4E00 + index) for index in range(2000))
    with pytest.raises(
        TokenizerError, match="no room for the characters of this text: with the fixed pieces they are 2,"
    ):
        trained_on_counts([text], SETTINGS)
