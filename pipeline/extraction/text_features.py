"""What the text of a block says by itself: lengths, punctuation, function words, stock phrases, links."""

from __future__ import annotations

from typing import Any

import numpy as np

from filters._simd import kernel
from pipeline.extraction import layout as at
from pipeline.extraction import lexicon
from pipeline.extraction.columns import T
from pipeline.extraction.hashing import FNV_START, add_byte, look_up

CHARS, MASS, WORD_LENGTH, LINKS = T["chars"], T["mass"], T["word_length"], T["links"]
LINK_DENSITY, UPPER, DIGITS, CAPITALISED = T["link_density"], T["upper"], T["digits"], T["capitalised"]
COMMAS, SENTENCES, ENDING, STOP_SHARE = T["commas"], T["sentences"], T["ending"], T["stop_share"]
STOPS, SYMBOLS, BOILER, DATES = T["stops"], T["symbols"], T["boiler"], T["dates"]
COMMERCE, SOCIAL, ACCOUNT, COPYRIGHT = T["commerce"], T["social"], T["account"], T["copyright"]
BOLD, BREAKS, FIRST, IN_TITLE = T["bold"], T["breaks"], T["first"], T["in_title"]
REPEAT, BOILER_SHARE = T["repeat"], T["boiler_share"]

CJK_MASS = 0.6
"""Words that a CJK character counts for."""
TITLE_WORDS = 64

# What a character is.
_NOTHING, _LETTER, _CJK, _COMMA, _STOP_MARK, _SYMBOL, _COLON, _QUESTION, _ELLIPSIS, _DIGIT = range(10)
# What a row counts.
(_N_CHARS, _N_WORDS, _N_CJK, _N_UPPER, _N_LETTERS, _N_DIGITS, _N_CAPITAL, _N_COMMAS, _N_ENDS, _N_SYMBOLS) = (
    range(10)
)
(_N_STOP, _N_BOILER, _N_DATE, _N_COMMERCE, _N_SOCIAL, _N_ACCOUNT, _N_TITLE, _N_COPYRIGHT, _LAST, _FIRST) = (
    range(10, 20)
)
_COUNTS = 20


@kernel
def character(text: Any, position: int, end: int) -> tuple[int, int]:
    """What the character at `position` is, and its bytes."""
    byte = text[position]
    if byte < 0x80:
        return _ascii(byte), 1
    if byte < 0xE0 or position + 2 >= end:
        if byte == 0xC2:
            return (_COPYRIGHT_SIGN if position + 1 < end and text[position + 1] == 0xA9 else _SYMBOL), 2
        return _LETTER, 2
    if byte >= 0xF0:
        return _SYMBOL, 4  # mostly emoji
    return _three_bytes(
        np.int64(byte) << 16 | np.int64(text[position + 1]) << 8 | np.int64(text[position + 2])
    ), 3


_COPYRIGHT_SIGN = 10


@kernel
def _ascii(byte: int) -> int:
    if 0x61 <= byte | 0x20 <= 0x7A:
        return _LETTER
    if 0x30 <= byte <= 0x39:
        return _DIGIT
    if byte == 0x2C or byte == 0x3B:
        return _COMMA
    if byte == 0x2E or byte == 0x21:
        return _STOP_MARK
    if byte == 0x3F:
        return _QUESTION
    if byte == 0x3A:
        return _COLON
    if byte == 0x7C or byte == 0x2F or byte == 0x3E or byte == 0x23 or byte == 0x2B or byte == 0x24:
        return _SYMBOL
    return _NOTHING


@kernel
def _three_bytes(code: Any) -> int:
    if code == 0xE3808C or code == 0xE3808D:  # corner brackets
        return _NOTHING
    if code == 0xE38082 or code == 0xEFBC81:  # ideographic full stop, full-width !
        return _STOP_MARK
    if code == 0xEFBC9F:
        return _QUESTION
    if code == 0xE38081 or code == 0xEFBC8C or code == 0xEFBC9B:
        return _COMMA
    if code == 0xEFBC9A:
        return _COLON
    if code == 0xE280A6:
        return _ELLIPSIS
    if code == 0xE280A2 or code == 0xE280BA:  # bullet, single guillemet
        return _SYMBOL
    if 0xE38180 <= code <= 0xE383BF or 0xE39080 <= code <= 0xE9BFBF:
        return _CJK
    if 0xE28080 <= code <= 0xE2BFBF or 0xE38080 <= code <= 0xE380BF or 0xEFBC80 <= code <= 0xEFBFBF:
        return _SYMBOL if code >= 0xE28690 and code < 0xE38080 else _NOTHING
    return _LETTER


@kernel
def read_words(text: Any, start: int, end: int, title: Any, title_words: int, counts: Any) -> np.uint64:
    """Fill the counts of a block; the hash of its text. `title` has the hashes of the title's words."""
    counts[:] = 0
    whole, word = FNV_START, FNV_START
    length, upper_first, kind = 0, False, _NOTHING
    position = start
    while position <= end:
        size = 1
        kind = _NOTHING
        if position < end:
            kind, size = character(text, position, end)
            counts[_N_CHARS] += 1
        if kind in (_LETTER, _DIGIT):
            byte = text[position]
            upper = 0x41 <= byte <= 0x5A
            if length == 0:
                word, upper_first = FNV_START, upper
            counts[_N_UPPER] += upper
            counts[_N_LETTERS if kind == _LETTER else _N_DIGITS] += 1
            for i in range(position, min(position + size, end)):
                word = add_byte(word, text[i] | 0x20 if upper else text[i])
            length += 1
        elif length > 0:
            whole = whole * np.uint64(31) + word
            _count_word(word, counts, title, title_words)
            counts[_N_CAPITAL] += upper_first
            counts[_N_WORDS] += 1
            length = 0
        if kind == _CJK:
            word = FNV_START
            for i in range(position, min(position + size, end)):
                word = add_byte(word, text[i])
            whole = whole * np.uint64(31) + word
            _count_word(word, counts, title, title_words)
            counts[_N_CJK] += 1
        elif kind > _CJK and kind != _DIGIT:
            _count_mark(kind, counts)
        if position < end and text[position] > 0x20:
            # Quotes and brackets after a full stop leave the ending as it is.
            if kind != _NOTHING or counts[_LAST] < _STOP_MARK:
                counts[_LAST] = kind
            if counts[_FIRST] == 0:
                counts[_FIRST] = 1 + kind + (20 if 0x41 <= text[position] <= 0x5A else 0)
        position += size
    return whole


@kernel
def _count_word(word: np.uint64, counts: Any, title: Any, title_words: int) -> None:
    bits = look_up(lexicon.WORD_KEYS, lexicon.WORD_VALUES, word, 0)
    if bits:
        for bit in range(6):
            counts[_N_STOP + bit] += bits >> bit & 1
    for i in range(title_words):
        if title[i] == word:
            counts[_N_TITLE] += 1
            break


@kernel
def _count_mark(kind: int, counts: Any) -> None:
    if kind == _COMMA:
        counts[_N_COMMAS] += 1
    elif kind in (_STOP_MARK, _QUESTION, _ELLIPSIS):
        counts[_N_ENDS] += 1
    elif kind == _SYMBOL:
        counts[_N_SYMBOLS] += 1
    elif kind == _COPYRIGHT_SIGN:
        counts[_N_COPYRIGHT] += 1


@kernel
def read_title(text: Any, start: int, end: int, title: Any) -> int:
    """Fill the hashes of the words of a title; how many there are."""
    words, length, word = 0, 0, FNV_START
    position = start
    while position <= end and words < TITLE_WORDS:
        kind, size = _NOTHING, 1
        if position < end:
            kind, size = character(text, position, end)
        if kind in (_LETTER, _DIGIT):
            byte = text[position]
            if length == 0:
                word = FNV_START
            for i in range(position, min(position + size, end)):
                word = add_byte(word, text[i] | 0x20 if 0x41 <= byte <= 0x5A else text[i])
            length += 1
        elif length > 0:
            title[words] = word
            words, length = words + 1, 0
        if kind == _CJK and words < TITLE_WORDS:
            word = FNV_START
            for i in range(position, min(position + size, end)):
                word = add_byte(word, text[i])
            title[words] = word
            words += 1
        position += size
    return words


@kernel
def text_features(
    text: Any, segments: Any, first: int, after: int, title: Any, title_words: int, counts: Any, row: Any
) -> np.uint64:
    """Fill the TEXT columns of the block of segments `first:after`; the hash of its text."""
    start, end = segments[first, at.G_START], segments[after - 1, at.G_END]
    whole = read_words(text, start, end, title, title_words, counts)
    links = link_bytes = bold_bytes = breaks = 0
    for segment in range(first, after):
        links += segments[segment, at.G_LINKS]
        link_bytes += segments[segment, at.G_LINK_BYTES]
        bold_bytes += segments[segment, at.G_BOLD_BYTES]
        breaks += segments[segment, at.G_BREAKS]
    size = max(end - start, 1)
    words = counts[_N_WORDS] + counts[_N_CJK]
    some = max(words, 1)
    row[CHARS] = np.log1p(counts[_N_CHARS])
    row[MASS] = counts[_N_WORDS] + CJK_MASS * counts[_N_CJK]
    row[WORD_LENGTH] = (counts[_N_LETTERS] + counts[_N_DIGITS]) / max(counts[_N_WORDS], 1)
    row[LINKS], row[LINK_DENSITY] = links, link_bytes / size
    row[UPPER] = counts[_N_UPPER] / max(counts[_N_LETTERS], 1)
    row[DIGITS] = counts[_N_DIGITS] / max(counts[_N_CHARS], 1)
    row[CAPITALISED] = counts[_N_CAPITAL] / max(counts[_N_WORDS], 1)
    row[COMMAS], row[SENTENCES] = counts[_N_COMMAS], counts[_N_ENDS]
    row[ENDING], row[FIRST] = counts[_LAST], counts[_FIRST]
    row[STOP_SHARE], row[STOPS] = counts[_N_STOP] / some, counts[_N_STOP]
    row[SYMBOLS] = counts[_N_SYMBOLS] / max(counts[_N_CHARS], 1)
    row[BOILER], row[BOILER_SHARE] = counts[_N_BOILER], counts[_N_BOILER] / some
    row[DATES], row[COMMERCE] = counts[_N_DATE], counts[_N_COMMERCE]
    row[SOCIAL], row[ACCOUNT] = counts[_N_SOCIAL], counts[_N_ACCOUNT]
    row[COPYRIGHT] = counts[_N_COPYRIGHT]
    row[BOLD], row[BREAKS] = bold_bytes / size, breaks
    row[IN_TITLE] = counts[_N_TITLE] / some
    return whole
