"""The settings of a tokenizer, and what SentencePiece is told for them.

The defaults make the tokenizer of the AFM report (2024, section 3.1) and of LLaMA 2: byte-pair encoding,
numbers split into single digits, bytes for characters outside the vocabulary, no Unicode normalisation.
With the settings that are not open here (no dummy prefix, spaces kept, white space as symbols) encoding
loses nothing: `decode(encode(text)) == text`.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field, model_validator

from tokenizer.symbols import MATHEMATICAL

PRESETS: Final = {"32k": 32_000, "49k": 49_152, "100k": 100_352}
"""Vocabulary sizes: LLaMA 2; the AFM report's on-device and server models. All are multiples of 128, which
keeps the embedding's matrix products on whole tiles (100k is 784 x 128)."""

UNK, BOS, EOS, PAD = "<unk>", "<s>", "</s>", "<pad>"
UNK_ID, BOS_ID, EOS_ID, PAD_ID = 0, 1, 2, 3
LONGEST_PIECE: Final = 16
"""Characters of the longest piece: SentencePiece's own default."""
LONGEST_WORD: Final = 1 << 30
"""Bytes above which SentencePiece would drop a line: the largest number that it takes."""

CHAT: Final = tuple(f"<|{name}|>" for name in ("system", "user", "assistant", "tool", "end"))
CODE: Final = tuple(
    f"<|{name}|>" for name in ("fim_prefix", "fim_middle", "fim_suffix", "file", "repository")
)
RESERVED: Final = tuple(f"<|reserved_{index}|>" for index in range(54))

BYTES: Final = 256
_FORBIDDEN: Final = frozenset(" \t\n\r\x00\x1f\u2581\u2585")


class TokenizerSettings(BaseModel, frozen=True, extra="forbid"):
    """What decides the vocabulary, beside the words and their counts."""

    vocab_size: int = Field(default=PRESETS["49k"], ge=300)
    """Pieces, special tokens and bytes included."""
    special_tokens: tuple[str, ...] = CHAT + CODE + RESERVED
    """Control tokens beside <unk>, <s>, </s> and <pad>, which have the ids 0 to 3; these follow. Text never
    encodes to one of them, also where it spells one."""
    character_coverage: float = Field(default=0.99995, ge=0.98, le=1.0)
    """Share of the text's characters that are pieces of their own; the rarest are left to their bytes. 0.9995
    is SentencePiece's default for alphabets, which drops a tenth of the Han characters of a mixed corpus."""
    required_characters: str = MATHEMATICAL
    """Characters that are pieces of their own, however rare."""
    newline_runs: int = Field(default=3, ge=1, le=16)
    """Runs of up to so many newlines are one token."""
    tab_runs: int = Field(default=8, ge=1, le=32)
    """Runs of up to so many tabs are one token."""
    allow_smaller: bool = False
    """Whether a corpus that is too small gives a smaller vocabulary, where it is an error otherwise."""

    @model_validator(mode="after")
    def _tokens_can_be(self) -> TokenizerSettings:
        taken = {UNK, BOS, EOS, PAD, *(f"<0x{byte:02X}>" for byte in range(BYTES))}
        for token in self.special_tokens:
            if not token or _FORBIDDEN & set(token):
                raise ValueError(f"special token {token!r}: it is empty, or holds white space or U+2585")
            if len(token) < 3:
                raise ValueError(
                    f"special token {token!r}: at least three characters, such as <|x|>, so that it does not "
                    "take ordinary text from the training"
                )
            if token in taken:
                raise ValueError(f"special token {token!r}: it stands twice, or is one that every model has")
            taken.add(token)
        if bad := _FORBIDDEN & set(self.required_characters):
            raise ValueError(f"required_characters: {sorted(bad)} cannot be pieces of their own")
        if self.vocab_size < self.smallest:
            raise ValueError(
                f"vocab_size {self.vocab_size:,} has no room for pieces: special tokens, bytes, white space and "
                f"required characters are {self.smallest - 1:,}"
            )
        return self

    @property
    def white_space(self) -> tuple[str, ...]:
        """The symbols of white space: runs of newlines, runs of tabs, the carriage return.

        No run holds both a carriage return and a newline: the fast encoder kitoken cuts such symbols
        differently from SentencePiece.
        """
        newlines = (("\n" * length) for length in range(1, self.newline_runs + 1))
        tabs = (("\t" * length) for length in range(1, self.tab_runs + 1))
        return (*newlines, *tabs, "\r")

    @property
    def smallest(self) -> int:
        """A vocabulary size that leaves room for one piece of the text."""
        fixed = 4 + len(self.special_tokens) + len(self.white_space) + BYTES
        return fixed + len(set(self.required_characters)) + 1

    def trainer_arguments(self, threads: int) -> dict[str, Any]:
        """The arguments of `SentencePieceTrainer.train`, but for where words come from and the model goes."""
        return {
            "model_type": "bpe",
            "vocab_size": self.vocab_size,
            "hard_vocab_limit": not self.allow_smaller,
            "character_coverage": self.character_coverage,
            "required_chars": "".join(sorted(set(self.required_characters))),
            "split_digits": True,
            "byte_fallback": True,
            "normalization_rule_name": "identity",
            "add_dummy_prefix": False,
            "remove_extra_whitespaces": False,
            "allow_whitespace_only_pieces": True,
            "max_sentence_length": LONGEST_WORD,
            "max_sentencepiece_length": LONGEST_PIECE,
            "control_symbols": list(self.special_tokens),
            "user_defined_symbols": list(self.white_space),
            "unk_id": UNK_ID,
            "bos_id": BOS_ID,
            "eos_id": EOS_ID,
            "pad_id": PAD_ID,
            "unk_piece": UNK,
            "bos_piece": BOS,
            "eos_piece": EOS,
            "pad_piece": PAD,
            "num_threads": threads,
            "minloglevel": 2,
        }
