"""The texts of a benchmark's items as words: what the index is made from.

A field is one string of an item; a unit is a part of an item, with one or more fields. The word rule folds
case by character, so that a few texts have other words in upper case (German Straße, Turkish ışık): those
fields are indexed in upper case too, as variants of the same unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from decontam.layout import I64, U8, U32, U64, Flags
from decontam.registry import Item
from decontam.settings import PARTS
from filters._simd import kernel
from filters.unicode_tables import CJK as CJK_KIND
from filters.unicode_tables import character_table
from filters.words import CJK, NON_ASCII, WordIndex, index_words, split_words

_HANGUL = range(0xAC00, 0xD7A4)  # its syllables are composed of letters
_LONGEST_SINGLE = 4  # characters: no canonical decomposition of one character is longer (UAX #15)


@dataclass(frozen=True)
class FieldWords:
    """The words of one benchmark. Fields in the order of the items, then the variants."""

    words: WordIndex
    """A document for every field."""
    single: Flags
    """Which words are a single letter or digit."""
    new_words: I64
    """The first occurrence of every distinct word."""
    units: U32
    """The unit of each field."""
    is_variant: Flags
    """Which fields are variants."""
    items: I64
    """The number of the item of each unit."""
    parts: U8
    """The rank in PARTS of each unit."""

    @property
    def spellings(self) -> pa.LargeStringArray:
        """The distinct words, as they are first written."""
        return cut_words(self.words, self.new_words)

    @property
    def places(self) -> int:
        """The words and the ends of fields."""
        return len(self.words.hashes) + len(self.units)

    def item_n(self, least: int, most: int) -> U8:
        """The n of each field under the rule `item`: the words of the unit's longest field, at most `most`.

        0 where that is below `least`. For variants, the unit's fields are taken as they are in upper case.
        """
        counts, original = self.words.word_counts, ~self.is_variant
        longest = np.zeros(len(self.items), np.int64)
        np.maximum.at(longest, self.units[original], counts[original])
        in_upper_case = longest.copy()
        np.maximum.at(in_upper_case, self.units[self.is_variant], counts[self.is_variant])
        n = np.where(self.is_variant, in_upper_case[self.units], longest[self.units])
        n[n < least] = 0
        return np.minimum(n, most).astype(np.uint8)


def field_words(items: Sequence[Item]) -> FieldWords:
    """Finds the words of all fields of the items, and of their variants."""
    texts: list[str] = []
    units: list[int] = []
    owners: list[tuple[int, int]] = []
    for number, item in enumerate(items):
        for part, text in item.fields:
            owner = (number, PARTS.index(part))
            if not owners or owners[-1] != owner:
                owners.append(owner)
            units.append(len(owners) - 1)
            texts.append(text)
    cleaned = _as_column(texts)
    originals = len(texts)
    variants, upper = _variants(texts, cleaned)
    words = index_words(pa.concat_arrays([cleaned, upper]) if len(variants) else cleaned)
    new_words, ranks = distinct_words(words.hashes)
    return FieldWords(
        words=words,
        single=_single_characters(words, new_words)[ranks],
        new_words=new_words,
        units=np.concatenate([np.array(units, np.uint32), np.array(units, np.uint32)[variants]]),
        is_variant=np.arange(originals + len(variants)) >= originals,
        items=np.array([number for number, _ in owners], np.int64),
        parts=np.array([part for _, part in owners], np.uint8),
    )


def cut_words(words: WordIndex, chosen: I64) -> pa.LargeStringArray:
    """Some words of an index as they are written."""
    starts, sizes = words.starts[chosen], words.ends[chosen] - words.starts[chosen]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    data = words.data[np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])]
    return pa.LargeStringArray.from_buffers(len(chosen), pa.py_buffer(offsets), pa.py_buffer(data))


def normalised(spellings: pa.Array) -> pa.Array:
    """Words as they are written -> as the word rule has them."""
    lower = pc.ascii_lower(spellings)
    is_ascii = pc.string_is_ascii(spellings)
    if pc.all(is_ascii, min_count=0).as_py():
        return lower
    others = spellings.filter(pc.invert(is_ascii)).to_pylist()
    folded = pa.array([split_words(word)[0] for word in others], spellings.type)
    return pc.replace_with_mask(lower, pc.invert(is_ascii), folded)


def distinct_words(hashes: U64) -> tuple[I64, U32]:
    """The first place of every distinct hash, and for each place which of them it has."""
    slots = np.zeros(1 << max(4, (2 * len(hashes)).bit_length()), np.uint32)
    firsts, ranks = np.empty(len(hashes), np.int64), np.empty(len(hashes), np.uint32)
    count = _distinct_words(hashes, slots, firsts, ranks)
    return firsts[:count].copy(), ranks


@kernel
def _distinct_words(hashes: U64, slots: U32, firsts: I64, ranks: U32) -> int:
    mask = np.uint64(len(slots) - 1)
    count = 0
    for i in range(len(hashes)):
        slot = hashes[i] & mask
        while slots[slot] != 0 and hashes[firsts[slots[slot] - 1]] != hashes[i]:
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == 0:
            firsts[count] = i
            count += 1
            slots[slot] = count
        ranks[i] = slots[slot] - 1
    return count


def _as_column(texts: Sequence[str]) -> pa.LargeStringArray:
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:  # JSON may hold lone surrogates
        return pa.array([text.encode("utf-8", "replace").decode() for text in texts], pa.large_string())


def _variants(texts: Sequence[str], column: pa.Array) -> tuple[npt.NDArray[np.int64], Any]:
    """The numbers of the texts that have other words in upper case, and these texts in upper case."""
    changed = [
        (number, upper)
        for number, text in enumerate(texts)
        if not text.isascii() and (upper := text.upper()) != text
    ]
    if not changed:
        return np.zeros(0, np.int64), column[:0]
    numbers = np.array([number for number, _ in changed], np.int64)
    upper_column = _as_column([upper for _, upper in changed])
    before, after = index_words(column.take(pa.array(numbers))), index_words(upper_column)
    differs = before.word_counts != after.word_counts
    same_size = np.flatnonzero(~differs)
    owners = np.repeat(same_size, before.word_counts[same_size])
    changed_words = (
        before.hashes[np.repeat(~differs, before.word_counts)]
        != after.hashes[np.repeat(~differs, after.word_counts)]
    )
    differs[owners[changed_words]] = True
    return numbers[differs], upper_column.filter(pa.array(differs))


def _single_characters(words: WordIndex, chosen: I64) -> Flags:
    """Which of the chosen words are a single letter or digit; ideographs, kana and Hangul syllables are more."""
    classes = words.classes[chosen]
    single: Flags = (words.ends[chosen] - words.starts[chosen] == 1) & (classes & NON_ASCII == 0)
    unsure = (classes & NON_ASCII != 0) & (classes & CJK == 0) & (words.lengths[chosen] <= _LONGEST_SINGLE)
    for each in np.flatnonzero(unsure).tolist():
        single[each] = _is_letter_or_digit(words.text(int(chosen[each])))
    return single


@lru_cache(maxsize=1 << 16)
def _is_letter_or_digit(word: str) -> bool:
    folded = split_words(word)[0]
    return len(folded) == 1 and ord(folded) not in _HANGUL and character_table().kind(folded) != CJK_KIND
