"""From words and their counts to a SentencePiece model.

SentencePiece's trainer first cuts its text into words and counts them; nothing that follows sees more than
the counts. Given the counts (`input_format=tsv`), it makes the same vocabulary, byte for byte, as from the
text, provided that the words are cut as it cuts them (`tokenizer.words`).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator

import sentencepiece

from tokenizer import proto
from tokenizer.errors import TokenizerError
from tokenizer.settings import TokenizerSettings

_NEEDED = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")
_LIMIT = re.compile(r"Please set it to a value <= (\d+)")


def train(words: Iterable[tuple[bytes, int]], settings: TokenizerSettings, *, threads: int = 1) -> bytes:
    """The model (SentencePiece's `.model`, a serialised protocol buffer) for words and their counts.

    Args:
        words: words as `tokenizer.words` cuts and writes them, with counts of at least 1; in any order, each
            once.
        settings: what the vocabulary is like.
        threads: threads of the trainer. They do not change the model, nor a byte of it.

    Raises:
        TokenizerError: without words, or when they cannot give a vocabulary of the size asked for; the
            message says which size they can.
    """
    sink = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(words),
            model_writer=sink,
            input_format="tsv",
            **settings.trainer_arguments(threads),
        )
    except RuntimeError as error:
        raise TokenizerError(_explained(str(error), settings)) from error
    return proto.without_circumstances(sink.getvalue())


def _lines(words: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
    for word, count in words:
        yield b"%b\t%d" % (word, count)


def _explained(message: str, settings: TokenizerSettings) -> str:
    possible = _LIMIT.search(message)
    if possible:
        return (
            f"vocab_size {settings.vocab_size:,} is too large for this text: it gives {int(possible[1]):,} "
            "pieces. Ask for at most that, give more text, or allow a smaller vocabulary."
        )
    if "sentences_.empty()" in message or "all_chars_count" in message:
        return "there are no words to train on: the input holds no text."
    needed = _NEEDED.search(message)
    if needed:
        return (
            f"vocab_size {settings.vocab_size:,} has no room for the characters of this text: with the fixed "
            f"pieces they are {int(needed[1]):,}. Ask for more than that, or lower character_coverage "
            f"({settings.character_coverage})."
        )
    return f"SentencePiece could not train: {message}"


def vocabulary(model: bytes) -> bytes:
    """The pieces and scores of a model in SentencePiece's `.vocab` form: `piece<TAB>score`, a line each."""
    return "".join(f"{piece.text}\t{piece.score:g}\n" for piece in proto.read(model).pieces).encode()
