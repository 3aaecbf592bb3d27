"""Odd texts on which a fast encoder must prove, when it starts, that it gives the reference's ids."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

TEXTS: Final = (
    "",
    " ",
    "  ",
    "a",
    " a",
    "a ",
    " a b  c   d    ",
    "\n",
    "\r\n",
    "a\r\nb\r\r\n\n\n\n\nc",
    "\t\tif x:\n\t\t\treturn\t1\n",
    " \n \t \r ",
    "\x00a\x00",
    "\x1f\x7f\x80\x9f\xa0",
    "e\u0301 é ﬁ Å Å 한글 \u1112\u1161\u11ab",
    "中文字符，没有空格。日本語のテキスト",
    "نص عربي עברית हिन्दी ไทย",
    "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪 \U0010ffff \U00010000",
    "∀ε>0 ∃δ: |x−a|<δ ⇒ |f(x)−f(a)|<ε",
    "<s></s><unk><pad><0x0A><|end|><|reserved_0|>",
    "1234567890 3.14159 1,000,000 0x1F 10²³",
    "def f(x):\n    return {'a': [1, 2]}  # comment\n\n\n",
    "https://example.org/a?b=c&d=%20#e",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "…’“”–—•·\ufeff\u200b\u2028\u2029\ufffd\u2585",
)
_PARTS: Final = (
    " ",
    "  ",
    "\n",
    "\t",
    "\r",
    "\r\n",
    "<s>",
    "é",
    "中",
    "😀",
    "\u0301",
    "0",
    "9",
    "\u2585",
    "’",
)
_SEED: Final = 20260722
_FROM_PIECES, _FROM_ANYTHING = 300, 200


def odd_texts(pieces: Sequence[str]) -> list[str]:
    """Some hundred texts without U+2581: the ones above, pieces joined at random, any characters at random.

    Args:
        pieces: the text of the pieces of a vocabulary; U+2581 in them is a space.
    """
    chosen = random.Random(_SEED)  # noqa: S311 - test texts
    spoken = [piece.replace("\u2581", " ") for piece in pieces]
    texts = list(TEXTS)
    for _ in range(_FROM_PIECES):
        drawn = [chosen.choice(spoken) if chosen.random() < 0.9 else chosen.choice(_PARTS) for _ in range(8)]
        texts.append("".join(drawn))
    for _ in range(_FROM_ANYTHING):
        length = chosen.randrange(1, 40)
        texts.append("".join(_character(chosen) for _ in range(length)).replace("\u2581", " "))
    return texts


def _character(chosen: random.Random) -> str:
    kind = chosen.random()
    if kind < 0.2:
        return chosen.choice(_PARTS)
    if kind < 0.7:
        return chr(chosen.randrange(0x20, 0x7F))
    if kind < 0.9:
        return chr(chosen.randrange(0x80, 0x3000))
    code = chosen.randrange(0x3000, 0x110000 - 0x800)
    return chr(code if code < 0xD800 else code + 0x800)  # no surrogates
