"""What every Unicode character is to the word rule `words_v1`, and what it folds to.

The table is stored (`data/words_v1.npz`, made from Unicode 14.0) and not derived from the running Python's
`unicodedata`: a hash that is stored today must be the hash that is computed next year, under whatever
Python. `python -m filters.unicode_tables` writes the same file again under a Python with that Unicode
version.

An entry is 32 bits:

    bits  0-20   without a count: the folded character, 0 for the character itself;
                 with a count: an index into `expansions`
    bits 21-23   the count of characters of `expansions` that it folds to; one that folds to a single
                 character without a combining class has none
    bits 24-26   the kind: SEPARATOR, WORD, MARK, CJK, APOSTROPHE or IGNORED
    bits 27-31   LETTER, NUMBER, UPPER, LOWER (by Unicode's general category), SPACE

A character of `expansions` has its canonical combining class in bits 24-31. Folding is simple case folding
followed by compatibility decomposition, repeated until nothing changes; see docs/words.md.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

_Form = Literal["NFKD", "NFD"]

UNICODE_VERSION: Final = "14.0.0"
TABLE_FILE: Final = Path(__file__).parent / "data" / "words_v1.npz"

SEPARATOR, WORD, MARK, CJK, APOSTROPHE, IGNORED = range(6)

FLAG_SHIFT: Final = 27
LETTER: Final = 1 << FLAG_SHIFT
NUMBER: Final = 1 << 28
UPPER: Final = 1 << 29
LOWER: Final = 1 << 30
SPACE: Final = 1 << 31

PAYLOAD_MASK: Final = (1 << 21) - 1
COUNT_SHIFT, COUNT_MASK = 21, 7
KIND_SHIFT, KIND_MASK = 24, 7
COMBINING_SHIFT: Final = 24
PAGE: Final = 256
"""Characters in one page of the two-level table."""

APOSTROPHES: Final = frozenset("'\u2018\u2019\u201b\u02bc\uff07")

# Default_Ignorable_Code_Point of the Unicode Character Database, beyond general category Cf (which is all
# ignored): grapheme joiner, Hangul fillers, Khmer inherent vowels, Mongolian and general variation
# selectors.
_IGNORED_RANGES: Final = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xE0100, 0xE01EF),
)
# Planes reserved for ideographs: characters that Unicode has yet to assign there are ideographs too.
_IDEOGRAPHIC_PLANES: Final = ((0x20000, 0x2FFFD), (0x30000, 0x3FFFD))
_CJK_NAMES: Final = (
    "CJK UNIFIED IDEOGRAPH",
    "CJK COMPATIBILITY IDEOGRAPH",
    "HIRAGANA",
    "KATAKANA",
    "IDEOGRAPHIC",
)


@dataclass(frozen=True)
class CharacterTable:
    """The two-level table, `entries[pages[code // 256] * 256 + code % 256]`, and the longer foldings."""

    pages: npt.NDArray[np.uint16]
    entries: npt.NDArray[np.uint32]
    expansions: npt.NDArray[np.uint32]

    def entry(self, character: str) -> int:
        """The entry of one character."""
        code = ord(character)
        return int(self.entries[int(self.pages[code // PAGE]) * PAGE + code % PAGE])

    def kind(self, character: str) -> int:
        """SEPARATOR, WORD, MARK, CJK, APOSTROPHE or IGNORED."""
        return self.entry(character) >> KIND_SHIFT & KIND_MASK

    def fold(self, character: str) -> str:
        """What a word character folds to: case folded and decomposed."""
        entry = self.entry(character)
        payload, count = entry & PAYLOAD_MASK, entry >> COUNT_SHIFT & COUNT_MASK
        if not count:
            return chr(payload) if payload else character
        return "".join(
            chr(int(folded) & PAYLOAD_MASK) for folded in self.expansions[payload : payload + count]
        )


@cache
def character_table() -> CharacterTable:
    """The table of `words_v1`, read once per process."""
    with np.load(TABLE_FILE, allow_pickle=False) as stored:
        return CharacterTable(stored["pages"], stored["entries"], stored["expansions"])


def build_table() -> CharacterTable:
    """Make the table from this Python's `unicodedata` (which the stored one equals under Unicode 14.0)."""
    expansions: list[int] = []
    known: dict[str, int] = {}
    entries = np.zeros(0x110000, np.uint32)
    for low, high in _IDEOGRAPHIC_PLANES:
        entries[low : high + 1] = CJK << KIND_SHIFT | LETTER
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) not in ("Cn", "Co", "Cs"):
            entries[code] = _entry(character, expansions, known)
    pages, first_use = np.unique(entries.reshape(-1, PAGE), axis=0, return_inverse=True)
    return CharacterTable(
        pages=first_use.reshape(-1).astype(np.uint16),
        entries=pages.reshape(-1),
        expansions=np.array(expansions, np.uint32),
    )


def write_table() -> None:
    """Write the table file anew.

    Raises:
        RuntimeError: under a Python with another Unicode version than the one the rule is fixed to.
    """
    if unicodedata.unidata_version != UNICODE_VERSION:
        raise RuntimeError(
            f"words_v1 is made from Unicode {UNICODE_VERSION}, not {unicodedata.unidata_version}"
        )
    table = build_table()
    np.savez_compressed(TABLE_FILE, pages=table.pages, entries=table.entries, expansions=table.expansions)


def _entry(character: str, expansions: list[int], known: dict[str, int]) -> int:
    flags = _flags(character)
    if character in APOSTROPHES:
        return ord("'") | APOSTROPHE << KIND_SHIFT
    if _is_ignored(character):
        return flags & SPACE | IGNORED << KIND_SHIFT
    if not _is_word_character(character):
        return flags & SPACE
    folded = _fold(character)
    kind = _kind(folded)
    if len(folded) == 1 and not unicodedata.combining(folded):
        return (0 if folded == character else ord(folded)) | kind << KIND_SHIFT | flags
    if folded not in known:
        known[folded] = len(expansions)
        expansions.extend(ord(part) | unicodedata.combining(part) << COMBINING_SHIFT for part in folded)
    if len(folded) > COUNT_MASK:
        raise ValueError(f"U+{ord(character):04X} folds to more than {COUNT_MASK} characters")
    return known[folded] | len(folded) << COUNT_SHIFT | kind << KIND_SHIFT | flags


def _flags(character: str) -> int:
    category = unicodedata.category(character)
    return (
        (LETTER if category[0] == "L" else 0)
        | (NUMBER if category[0] == "N" else 0)
        | (UPPER if category in ("Lu", "Lt") else 0)
        | (LOWER if category == "Ll" else 0)
        | (SPACE if character.isspace() else 0)
    )


def _is_ignored(character: str) -> bool:
    in_range = any(low <= ord(character) <= high for low, high in _IGNORED_RANGES)
    return in_range or unicodedata.category(character) == "Cf"


def _is_word_character(character: str) -> bool:
    is_named = unicodedata.category(character)[0] in "LMN"
    return is_named and character not in APOSTROPHES and not _is_ignored(character)


def _kind(folded: str) -> int:
    if all(unicodedata.category(part)[0] == "M" for part in folded):
        return MARK
    return CJK if unicodedata.name(folded[0], "").startswith(_CJK_NAMES) else WORD


def _fold(character: str) -> str:
    """Compatibility folding; canonical, or none, where that would not be one word any more (½, the kana ゟ)."""
    forms: tuple[_Form, ...] = ("NFKD", "NFD")
    for form in forms:
        folded = _until_stable(character, form)
        if _is_in_one_word(folded):
            return folded
    return character


def _is_in_one_word(folded: str) -> bool:
    ideographs = [part for part in folded if _is_word_character(part) and _kind(part) == CJK]
    starters = [part for part in folded if not unicodedata.category(part).startswith("M")]
    return all(map(_is_word_character, folded)) and (not ideographs or len(starters) == 1)


def _until_stable(text: str, form: _Form) -> str:
    while True:
        cased = "".join(map(_simple_case_folding, unicodedata.normalize(form, text)))
        folded = unicodedata.normalize(form, cased)
        if folded == text:
            return folded
        text = folded


def _simple_case_folding(character: str) -> str:
    if unicodedata.category(character)[0] == "M":
        return character  # U+0345 would become a letter, and its place among the marks would be lost
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character


if __name__ == "__main__":
    write_table()
