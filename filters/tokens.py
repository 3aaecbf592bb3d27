"""Tokens: words and punctuation marks, as the quality rules count them (`tokens_v1`, written down in
docs/quality.md).

Gopher's and FineWeb's bounds were set on a word splitter that counts punctuation marks, cuts "well-known"
into three and leaves "3.14" and "U.S." whole; with the words of `filters.words` one document in five
would be judged otherwise. So these rules have tokens of their own, close to that splitter's (spaCy's English
rules as datatrove runs them) and found without it.

    tokens = index_tokens(index)
    tokens.starts[tokens.offsets[0] : tokens.offsets[1]]       # where the first document's tokens begin
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from filters import unicode_tables as tables
from filters._simd import kernel, load_u8, load_u64
from filters.words import WordIndex

TOKEN_RULE: Final = "tokens_v1"  # noqa: S105 - the version of a rule, not a secret

SPACE, LETTER, NUMBER, UPPER, LOWER, WORD, EDGE, DASH, TERMINAL = (1 << bit for bit in range(9))
"""Class bits of characters, and of the tokens that have one. WORD: letters, numerals, combining marks.
EDGE: marks that are cut off at both ends of a piece. DASH: - and its kin, and the tilde. TERMINAL: full
stops, question and exclamation marks of all scripts."""

JOINERS: Final = "-+/|\\~^@="
"""Symbols that stay with what they stand at: "-5", "and/or", "C++", "@name"."""
DASHES: Final = "-\u2013\u2014~"
# The marks that datatrove's TERMINAL_PUNCTUATION lists (Unicode's Sentence_Terminal, of an older version),
# as code points and ranges.
_TERMINAL_RANGES: Final = """
    21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736
    17D4-17D6 17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F
    203C-203D 2047-2049 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9
    AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89
    11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9
    1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C
    11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F 1DA88
"""

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Classes = npt.NDArray[np.uint16]

_CONTINUATION, _CONTINUATION_MASK = 0x80, 0xC0
_HASH_START, _HASH_MIX = np.uint64(0xE7037ED1A0B428DB), np.uint64(0xA0761D6478BD642F)
_HIGH_BITS = np.uint64(0x8080808080808080)
_ALNUM = LETTER | NUMBER


@dataclass(frozen=True)
class TokenIndex:
    """The tokens of the documents of a word index; those of document `d` are `offsets[d] : offsets[d +
    1]`."""

    offsets: Ints
    starts: Ints
    ends: Ints
    """Byte offsets into the data of the word index; ends are exclusive."""
    hashes: npt.NDArray[np.uint64]
    """A 64-bit hash of each token's bytes as written: upper and lower case differ, as in datatrove. Not for
    storage."""
    lengths: npt.NDArray[np.int32]
    """Characters (code points) of each token."""
    classes: Classes
    """The class bits of each token's characters, combined."""

    @property
    def counts(self) -> Ints:
        """The number of tokens of each document."""
        return np.diff(self.offsets)


def index_tokens(words: WordIndex) -> TokenIndex:
    """Find the tokens of the documents of a word index.

    They are found once for an index and kept with it, like its own derived arrays: three modules of
    measures read them."""
    known = vars(words)
    if "_tokens_v1" not in known:
        known["_tokens_v1"] = _find_tokens(words)
    tokens: TokenIndex = known["_tokens_v1"]
    return tokens


@cache
def character_classes() -> Classes:
    """The class bits of every Unicode character, from the table of `words_v1`."""
    table = tables.character_table()
    entries = table.entries.reshape(-1, tables.PAGE)[table.pages].reshape(-1)
    kinds = entries >> tables.KIND_SHIFT & tables.KIND_MASK
    classes = np.zeros(len(entries), np.uint16)
    for flag, bit in (
        (tables.SPACE, SPACE),
        (tables.LETTER, LETTER),
        (tables.NUMBER, NUMBER),
        (tables.UPPER, UPPER),
        (tables.LOWER, LOWER),
    ):
        classes[entries & np.uint32(flag) != 0] |= np.uint16(bit)
    classes[np.isin(kinds, (tables.WORD, tables.MARK, tables.CJK))] |= np.uint16(WORD)
    edges = (classes & (SPACE | WORD) == 0) & (kinds != tables.IGNORED)
    edges[[ord(joiner) for joiner in JOINERS]] = False
    classes[edges] |= np.uint16(EDGE)
    classes[[ord(dash) for dash in DASHES]] |= np.uint16(DASH)
    for span in _TERMINAL_RANGES.split():
        first, _, last = span.partition("-")
        classes[int(first, 16) : int(last or first, 16) + 1] |= np.uint16(TERMINAL)
    return classes


def address_of(data: Bytes) -> np.uint64:
    """The address of the first byte of a buffer, for the kernels that take one."""
    return np.uint64(data.ctypes.data)


def bytes_of(words: WordIndex) -> Bytes:
    """The data of a word index as a read-only array, which it is but for an empty one: kernels are compiled once."""
    data = words.data.view()
    data.flags.writeable = False
    return data


def _find_tokens(words: WordIndex) -> TokenIndex:
    sizes = words.doc_ends - words.doc_starts
    longest = int(sizes.max(initial=0))
    room = len(words.starts) + int(sizes.sum()) // 4 + longest + 1
    table = character_classes()
    offsets = np.zeros(len(words) + 1, np.int64)
    scratch = np.empty(longest + 1, np.uint16)
    while True:
        pen, flags = np.empty((room, 2), np.int64), np.empty(room, np.uint16)
        if _tokenise(bytes_of(words), words.doc_starts, words.doc_ends, table, scratch, pen, flags, offsets):
            break
        room *= 4
    found = int(offsets[-1])
    starts, ends = pen[:found, 0].copy(), pen[:found, 1].copy()
    hashes, lengths = np.empty(found, np.uint64), np.empty(found, np.int32)
    _describe(address_of(words.data), bytes_of(words), starts, ends, hashes, lengths)
    return TokenIndex(offsets, starts, ends, hashes, lengths, flags[:found].copy())


@kernel
def decode(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """The character at `position` and its size in bytes; (-1, 1) where no well-formed sequence begins
    before `end`."""
    first: Any = np.int64(data[position])
    if first < _CONTINUATION:
        return first, 1
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if first < 0xC2 or first > 0xF4 or position + size > end:
        return -1, 1
    code = first & (0x7F >> size)
    for i in range(position + 1, position + size):
        if data[i] & _CONTINUATION_MASK != _CONTINUATION:
            return -1, 1
        code = code << 6 | np.int64(data[i]) & 0x3F
    shortest = 0x80 if size == 2 else 0x800 if size == 3 else 0x10000
    if code < shortest or code > 0x10FFFF or (code >> 11) == 0xD800 >> 11:
        return -1, 1
    return code, size


@kernel
def classify_bytes(data: Bytes, start: int, end: int, table: Classes, out: Classes) -> None:
    """Write the class of the character that each byte of `start:end` belongs to; malformed bytes have
    none."""
    position = start
    while position < end:
        first = data[position]
        if first < _CONTINUATION:
            out[position - start] = table[first]
            position += 1
            continue
        code, size = decode(data, position, end)
        for i in range(position, position + size):
            out[i - start] = table[code] if code >= 0 else 0
        position += size


@kernel
def _tokenise(
    data: Bytes,
    doc_starts: Ints,
    doc_ends: Ints,
    table: Classes,
    classes: Classes,
    pen: Ints,
    flags: Classes,
    offsets: Ints,
) -> bool:
    """Cut every document into pieces at white space, and the pieces into tokens; False when there is no
    room for them."""
    found, room = 0, len(flags)
    for document in range(len(doc_starts)):
        start, end = doc_starts[document], doc_ends[document]
        if found + end - start > room:
            return False
        classify_bytes(data, start, end, table, classes)
        classes[end - start] = SPACE  # so that the last piece ends too
        text = data[start:end]
        position, size = 0, end - start
        while position < size:
            seen = common = classes[position]
            if seen & SPACE:
                position += 1
                continue
            piece, before = position, found
            position += 1
            following = classes[position]
            while not following & SPACE:
                seen |= following
                common &= following
                position += 1
                following = classes[position]
            if common & WORD:
                pen[found, 0], pen[found, 1], flags[found] = piece + start, position + start, seen
                found += 1
                continue
            found = cut_piece(text, classes, piece, position, pen, found)
            for token in range(before, found):
                seen = np.uint16(0)
                for i in range(pen[token, 0], pen[token, 1]):
                    seen |= classes[i]
                flags[token] = seen
                pen[token, 0] += start
                pen[token, 1] += start
        offsets[document + 1] = found
    return True


@kernel
def emit(pen: Ints, found: int, start: int, end: int) -> int:
    """Add a token, unless it would be empty; returns how many there are."""
    if end > start:
        pen[found, 0], pen[found, 1] = start, end
        found += 1
    return found


@kernel
def run_end(text: Bytes, position: int, end: int) -> int:
    """Where the run of the character at `position` ends: all full stops or dashes alike; of other marks,
    one alone."""
    after = position + 1
    while after < end and text[after] & _CONTINUATION_MASK == _CONTINUATION:
        after += 1
    size = after - position
    while after + size <= end and size < 4:
        same = True
        for i in range(size):
            same = same and text[after + i] == text[position + i]
        if not same:
            break
        after += size
    return after


@kernel
def mark_end(text: Bytes, position: int, end: int) -> int:
    """Where the mark at `position` ends: a run of full stops is one mark, of anything else each character."""
    if text[position] == ord("."):
        return run_end(text, position, end)
    after = position + 1
    while after < end and text[after] & _CONTINUATION_MASK == _CONTINUATION:
        after += 1
    return after


@kernel
def character_start(text: Bytes, last: int, first: int) -> int:
    """Where the character begins whose last byte is at `last`; not before `first`."""
    while last > first and text[last] & _CONTINUATION_MASK == _CONTINUATION:
        last -= 1
    return last


@kernel
def cut_piece(text: Bytes, classes: Classes, start: int, end: int, pen: Ints, found: int) -> int:
    """Cut one piece: marks off its left and right ends, then what is between them."""
    while start < end and classes[start] & EDGE:
        after = mark_end(text, start, end)
        if text[start] == ord(".") and after == start + 1:
            break  # a single full stop stays with what follows: ".5", ".com"
        found = emit(pen, found, start, after)
        start = after
    core = end
    while core > start and classes[core - 1] & EDGE:
        mark = character_start(text, core - 1, start)
        if text[mark] == ord("."):
            while mark > start and text[mark - 1] == ord("."):
                mark -= 1
            if core - mark == 1 and (mark == start or ends_in_initial(text, classes, start, mark)):
                break
        core = mark
    if core > start:
        if is_one_word(classes, start, core) or is_address(text, start, core):
            found = emit(pen, found, start, core)
        else:
            found = cut_core(text, classes, start, core, pen, found)
    while core < end:
        after = mark_end(text, core, end)
        found = emit(pen, found, core, after)
        core = after
    return found


@kernel
def ends_in_initial(text: Bytes, classes: Classes, start: int, end: int) -> bool:
    """Whether the text before a full stop ends in a single letter: a capital, or one after a full stop.

    So "J.", "U.S." and "p.m." stay whole, "NATO." and "b." do not.
    """
    letter = character_start(text, end - 1, start)
    if letter > start and text[letter - 1] == ord("."):
        return bool(classes[end - 1] & LETTER)
    if not classes[end - 1] & UPPER:
        return False
    return letter == start or not classes[letter - 1] & UPPER


@kernel
def is_one_word(classes: Classes, start: int, end: int) -> bool:
    """Whether there are only letters, numerals and combining marks."""
    common = np.uint16(WORD)
    for i in range(start, end):
        common &= classes[i]
    return bool(common)


@kernel
def is_address(text: Bytes, start: int, end: int) -> bool:
    """Whether a piece is a URL or an e-mail address: it has "@" or "://", or begins with "www."."""
    for i in range(start, end):
        if text[i] == ord("@"):
            return True
        if text[i] == ord(":") and i + 2 < end and text[i + 1] == ord("/") and text[i + 2] == ord("/"):
            return True
    www = end - start > 4 and text[start + 3] == ord(".")
    for i in range(start, start + 3):
        www = www and text[i] | 0x20 == ord("w")
    return www


@kernel
def cut_core(text: Bytes, classes: Classes, start: int, end: int, pen: Ints, found: int) -> int:
    """Cut a piece without its outer marks at the marks between words that separate them."""
    position = start
    while position < end:
        if classes[position] & WORD or position == start:
            position += 1
            continue
        after = separator_end(text, classes, position, end)
        if after:
            found = emit(pen, found, start, position)
            found = emit(pen, found, position, after)
            start = position = after
        else:
            position += 1
    suffix = contraction(text, start, end)
    found = emit(pen, found, start, suffix)
    return emit(pen, found, suffix, end)


@kernel
def separator_end(text: Bytes, classes: Classes, position: int, end: int) -> int:
    """The end of a mark inside a piece that separates words there, or 0 where it does not ("3.14", "and/or"
    does)."""
    mark, before = text[position], classes[position - 1]
    if text[position] & _CONTINUATION_MASK == _CONTINUATION:
        return 0
    after = run_end(text, position, end) if classes[position] & DASH else mark_end(text, position, end)
    following = classes[after] if after < end else 0
    single = after == position + 1
    if classes[position] & DASH and before & _ALNUM and following & LETTER:
        return after
    if mark == ord(",") and before & LETTER and following & LETTER:
        return after
    if (
        mark == ord(":") or mark == ord("/") or mark == ord("=") or mark == ord("<") or mark == ord(">")
    ) and (before & _ALNUM and following & LETTER):
        return after
    if mark == ord(".") and (not single or (before & LOWER and following & UPPER)):
        return after
    if (mark == ord("-") or mark == ord("+") or mark == ord("*") or mark == ord("^")) and single:
        return after if before & NUMBER and following & NUMBER else 0
    ellipsis = after == position + 3 and mark == 0xE2 and text[position + 1] == 0x80
    return after if ellipsis and text[position + 2] == 0xA6 else 0


@kernel
def contraction(text: Bytes, start: int, end: int) -> int:
    """Where 's, 't, 'd, 'm, 'll, 're or 've begins at the end of a token, or `end`; the apostrophe may be
    U+2019."""
    last = text[end - 1] | 0x20
    letters = 0
    if last == ord("s") or last == ord("t") or last == ord("d") or last == ord("m"):
        letters = 1
    if end - start > 2:
        first = text[end - 2] | 0x20
        if last == ord("l") and first == ord("l"):
            letters = 2
        if last == ord("e") and (first == ord("r") or first == ord("v")):
            letters = 2
    at = end - letters
    if letters and at - start > 1 and text[at - 1] == ord("'"):
        return at - 1
    if letters and at - start > 3 and text[at - 3] == 0xE2 and text[at - 2] == 0x80 and text[at - 1] == 0x99:
        return at - 3
    return end


@kernel
def hash_span(base: Any, start: int, end: int, limit: int) -> tuple[np.uint64, bool]:
    """A 64-bit hash of the bytes `start:end`, and whether they are all ASCII; bytes from `limit` are not
    read."""
    position, stop, size = np.uint64(start), np.uint64(end), np.uint64(limit)
    eight, seen = np.uint64(8), np.uint64(0)
    state = _HASH_START ^ (stop - position)
    while position < stop:
        taken = min(stop - position, eight)
        if position + eight <= size:
            piece = load_u64(base + position) << (eight - taken) * eight
        else:
            piece = np.uint64(0)
            for i in range(taken):
                piece = piece >> eight | np.uint64(load_u8(base + position + i)) << np.uint64(56)
        seen |= piece
        state = (state ^ piece) * _HASH_MIX
        state ^= state >> np.uint64(32)
        position += eight
    return state, seen & _HIGH_BITS == np.uint64(0)


@kernel
def count_characters(data: Bytes, start: int, end: int) -> int:
    """The characters (code points) of well-formed UTF-8."""
    count = 0
    for i in range(start, end):
        count += data[i] & _CONTINUATION_MASK != _CONTINUATION
    return count


@kernel
def _describe(
    base: Any,
    data: Bytes,
    starts: Ints,
    ends: Ints,
    hashes: npt.NDArray[np.uint64],
    lengths: npt.NDArray[np.int32],
) -> None:
    """Hash the tokens and count their characters."""
    for token in range(len(hashes)):
        start, end = starts[token], ends[token]
        hashes[token], is_ascii = hash_span(base, start, end, len(data))
        lengths[token] = end - start if is_ascii else count_characters(data, start, end)
