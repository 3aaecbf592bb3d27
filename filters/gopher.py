"""Gopher's quality and repetition measures (Rae et al. 2021, appendix A.1.1 and table A1), as datatrove's
released code computes them.

Words and punctuation marks are those of the rule `tokens_v1` (`filters.tokens`). Where the paper leaves the
arithmetic open, datatrove's is followed: shares are of all tokens, marks included; repeated n-grams are
counted from left to right without overlap, and their characters divided by all characters of the document.
docs/quality.md has every definition and bound.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters._simd import kernel
from filters.lines import BULLET, ELLIPSIS, duplicates, line_facts, ratio
from filters.measures import Column, measure
from filters.tokens import LETTER, WORD, Bytes, Classes, Ints, address_of, bytes_of, hash_span, index_tokens
from filters.words import WordIndex

STOP_WORDS: Final = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher A.1.1; at most eight, for each has a bit."""
TOP_SIZES: Final = (2, 3, 4)
"""n of the n-grams of which the most frequent one counts (Gopher, table A1)."""
DUPLICATE_SIZES: Final = (5, 6, 7, 8, 9, 10)
"""n of the n-grams of which every repetition counts (Gopher, table A1)."""

_TOP_ABOUT = "characters of the most frequent {} words in a row, spaces between them included, per character"
_DUPLICATE_ABOUT = "characters of {} words in a row that occurred before, per character"

Hashes = npt.NDArray[np.uint64]
Lengths = npt.NDArray[np.int32]


@measure(
    Column("gopher.word_count", pa.int32(), "words: tokens with a letter or numeral (tokens_v1)"),
    Column("gopher.mean_word_length", pa.float32(), "characters per word"),
    Column("gopher.hash_ratio", pa.float32(), '"#" per token'),
    Column("gopher.ellipsis_ratio", pa.float32(), '"..." and "…" per token'),
    Column("gopher.bullet_lines", pa.float32(), "share of lines that begin with a bullet or hyphen"),
    Column("gopher.ellipsis_lines", pa.float32(), "share of lines that end in an ellipsis"),
    Column("gopher.alpha_words", pa.float32(), "share of tokens with a letter"),
    Column("gopher.stop_words", pa.int8(), "how many different ones of: " + ", ".join(STOP_WORDS)),
)
def gopher_quality(_docs: pa.RecordBatch, words: WordIndex) -> dict[str, Any]:
    """Measure what Gopher's quality rules bound; ratios are null for a document without tokens (without
    lines, for lines)."""
    tokens, facts = index_tokens(words), line_facts(words)
    counts = np.zeros((4, len(words)), np.int64)
    _count_words(tokens.offsets, tokens.hashes, tokens.lengths, tokens.classes, _stop_hashes(), counts)
    marks = np.zeros((2, len(words)), np.int64)
    _count_marks(bytes_of(words), words.doc_starts, words.doc_ends, marks)
    word_count, characters, alphabetic, stop_words = counts
    lines = facts.per_document(~facts.blank)
    return {
        "gopher.word_count": word_count,
        "gopher.mean_word_length": ratio(characters, word_count),
        "gopher.hash_ratio": ratio(marks[0], tokens.counts),
        "gopher.ellipsis_ratio": ratio(marks[1], tokens.counts),
        "gopher.bullet_lines": ratio(facts.per_document(facts.ends & BULLET != 0), lines),
        "gopher.ellipsis_lines": ratio(facts.per_document(facts.ends & ELLIPSIS != 0), lines),
        "gopher.alpha_words": ratio(alphabetic, tokens.counts),
        "gopher.stop_words": stop_words,
    }


@measure(
    Column("gopher.duplicate_lines", pa.float32(), "share of lines that repeat an earlier one"),
    Column("gopher.duplicate_paragraphs", pa.float32(), "share of paragraphs that repeat an earlier one"),
    Column("gopher.duplicate_line_chars", pa.float32(), "characters of repeated lines, per character"),
    Column(
        "gopher.duplicate_paragraph_chars", pa.float32(), "characters of repeated paragraphs, per character"
    ),
    *(Column(f"gopher.top_{n}gram_chars", pa.float32(), _TOP_ABOUT.format(n)) for n in TOP_SIZES),
    *(
        Column(f"gopher.duplicate_{n}gram_chars", pa.float32(), _DUPLICATE_ABOUT.format(n))
        for n in DUPLICATE_SIZES
    ),
)
def gopher_repetition(_docs: pa.RecordBatch, words: WordIndex) -> dict[str, Any]:
    """Measure what Gopher's repetition rules bound; all are null for a document without lines (nothing but
    white space)."""
    facts = line_facts(words)
    lines = facts.per_document(~facts.blank)
    characters = np.zeros(len(words), np.int64)
    _count_characters(bytes_of(words), words.doc_starts, words.doc_ends, characters)
    characters[lines == 0] = 0
    line_counts, line_characters = duplicates(facts.offsets, facts.hashes, facts.characters, facts.blank)
    paragraph_counts, paragraph_characters = _duplicate_paragraphs(words)
    columns = {
        "gopher.duplicate_lines": ratio(line_counts, lines),
        "gopher.duplicate_paragraphs": ratio(paragraph_counts, words.paragraph_counts),
        "gopher.duplicate_line_chars": ratio(line_characters, characters),
        "gopher.duplicate_paragraph_chars": ratio(paragraph_characters, characters),
    }
    top, repeated = _repeated_ngrams(words)
    for row, n in enumerate(TOP_SIZES):
        columns[f"gopher.top_{n}gram_chars"] = ratio(top[row], characters)
    for row, n in enumerate(DUPLICATE_SIZES):
        columns[f"gopher.duplicate_{n}gram_chars"] = ratio(repeated[row], characters)
    return columns


@cache
def _stop_hashes() -> Hashes:
    """The hashes of the stop words, as the token index has them."""
    hashes = np.zeros(len(STOP_WORDS), np.uint64)
    for i, word in enumerate(STOP_WORDS):
        encoded = np.frombuffer(word.encode(), np.uint8)
        hashes[i] = hash_span(address_of(encoded), 0, len(encoded), len(encoded))[0]
    return hashes


def _duplicate_paragraphs(words: WordIndex) -> tuple[Ints, Ints]:
    hashes = np.zeros(len(words.paragraph_starts), np.uint64)
    characters = np.zeros(len(words.paragraph_starts), np.int64)
    _hash_spans(address_of(words.data), bytes_of(words), words.paragraph_starts, words.paragraph_ends, hashes)
    _count_characters(bytes_of(words), words.paragraph_starts, words.paragraph_ends, characters)
    none = np.zeros(len(hashes), np.bool_)
    return duplicates(words.paragraph_offsets, hashes, characters.astype(np.int32), none)


def _repeated_ngrams(words: WordIndex) -> tuple[Ints, Ints]:
    """Characters of the most frequent 2- to 4-grams and of the repeated 5- to 10-grams: a row for each n, a
    column per document."""
    tokens = index_tokens(words)
    top = np.zeros((len(TOP_SIZES), len(words)), np.int64)
    repeated = np.zeros((len(DUPLICATE_SIZES), len(words)), np.int64)
    _measure_ngrams(tokens.offsets, tokens.hashes, tokens.lengths, top, repeated)
    return top, repeated


@kernel
def _count_words(
    offsets: Ints, hashes: Hashes, lengths: Lengths, classes: Classes, stop_hashes: Hashes, counts: Ints
) -> None:
    """Count per document: words, their characters, tokens with a letter, different stop words."""
    for document in range(counts.shape[1]):
        words = characters = alphabetic = 0
        seen = np.uint8(0)
        for token in range(offsets[document], offsets[document + 1]):
            alphabetic += classes[token] & LETTER != 0
            if classes[token] & WORD:
                words += 1
                characters += lengths[token]
                if lengths[token] <= 4:
                    for i in range(len(stop_hashes)):
                        if hashes[token] == stop_hashes[i]:
                            seen |= np.uint8(1 << i)
        counts[0, document], counts[1, document], counts[2, document] = words, characters, alphabetic
        for i in range(8):
            counts[3, document] += seen >> i & 1


@kernel
def _count_marks(data: Bytes, starts: Ints, ends: Ints, counts: Ints) -> None:
    """Count per document: "#"; and ellipses: every three full stops of a run, and the character U+2026."""
    for document in range(len(starts)):
        stops = 0
        for i in range(starts[document], ends[document]):
            byte = data[i]
            counts[0, document] += byte == ord("#")
            stops = stops + 1 if byte == ord(".") else 0
            if stops == 3:
                counts[1, document] += 1
                stops = 0
            if byte == 0xE2 and i + 2 < ends[document] and data[i + 1] == 0x80 and data[i + 2] == 0xA6:
                counts[1, document] += 1


@kernel
def _count_characters(data: Bytes, starts: Ints, ends: Ints, counts: Ints) -> None:
    """Count the characters (code points) of each span: the bytes that do not continue one."""
    for span in range(len(starts)):
        count = 0
        for i in range(starts[span], ends[span]):
            count += data[i] & 0xC0 != 0x80
        counts[span] = count


@kernel
def _hash_spans(base: Any, data: Bytes, starts: Ints, ends: Ints, hashes: Hashes) -> None:
    """Hash the bytes of each span."""
    for span in range(len(starts)):
        hashes[span], _ = hash_span(base, starts[span], ends[span], len(data))


@kernel
def _measure_ngrams(offsets: Ints, hashes: Hashes, lengths: Lengths, top: Ints, repeated: Ints) -> None:
    """Measure the n-grams of every document, n from 2 up.

    Only what repeats is followed: an (n+1)-gram can repeat only where the n-grams at its position and at
    the next one do, and two of them are equal exactly if those are. So after the pairs, which all go
    through a hash table, few places are left."""
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    groups, counts = np.empty(longest, np.int64), np.empty(longest, np.int64)
    places, seen = np.empty(longest, np.int64), np.empty(longest, np.int64)
    keys = np.empty(longest, np.uint64)
    ends, size = np.zeros(longest + 1, np.int64), 2
    while size < 2 * longest:
        size *= 2
    slots = np.empty(size, np.int64)
    for document in range(len(offsets) - 1):
        first = offsets[document]
        total = offsets[document + 1] - first
        for i in range(total):
            ends[i + 1] = ends[i] + lengths[first + i]
        for i in range(total - 1):
            keys[i] = hashes[first + i] * np.uint64(0x9E3779B97F4A7C15) + hashes[first + i + 1]
            places[i] = i
        found = group_places(keys, places, max(total - 1, 0), groups, counts, slots)
        for n in range(2, 11):
            if n > 2:
                found = longer_places(places, found, groups, keys)
                found = group_places(keys, places, found, groups, counts, slots)
            if n <= 4 and total >= n:
                top[n - 2, document] = top_characters(places, found, groups, counts, ends, n)
            if n >= 5:
                repeated[n - 5, document] = repeated_characters(places, found, groups, seen, ends, n)


@kernel
def group_places(keys: Hashes, places: Ints, count: int, groups: Ints, counts: Ints, slots: Ints) -> int:
    """Group `count` places by their keys; keeps, in order, those whose key another place has too, and
    returns their number.

    The group of a place, `groups[place]`, is the first place with its key; `counts[group]` says how many
    have it."""
    size = 2
    while size < 2 * count:
        size *= 2
    slots[:size] = -1
    for i in range(count):
        slot = np.int64((keys[i] * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(32)) & (size - 1)
        while slots[slot] >= 0 and keys[slots[slot]] != keys[i]:
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = i
            groups[places[i]], counts[places[i]] = places[i], 1
        else:
            group = groups[places[slots[slot]]]
            groups[places[i]] = group
            counts[group] += 1
    kept = 0
    for i in range(count):
        if counts[groups[places[i]]] > 1:
            places[kept] = places[i]
            kept += 1
    return kept


@kernel
def longer_places(places: Ints, count: int, groups: Ints, keys: Hashes) -> int:
    """From the places of repeated n-grams to those where an (n+1)-gram may be repeated, with keys equal
    just if those are."""
    kept = 0
    for i in range(count - 1):
        place = places[i]
        if places[i + 1] == place + 1:
            keys[kept] = np.uint64(groups[place]) << np.uint64(32) | np.uint64(groups[place + 1])
            places[kept] = place
            kept += 1
    return kept


@kernel
def top_characters(places: Ints, count: int, groups: Ints, counts: Ints, ends: Ints, n: int) -> int:
    """Characters of all occurrences of the most frequent n-gram, joined by spaces; of equally frequent ones
    the first counts."""
    group, times = 0, 1
    for i in range(count):
        place = places[i]
        if groups[place] == place and counts[place] > times:
            group, times = place, counts[place]
    return times * int(ends[group + n] - ends[group] + n - 1)


@kernel
def repeated_characters(places: Ints, count: int, groups: Ints, seen: Ints, ends: Ints, n: int) -> int:
    """Characters of n-grams that occurred before, from left to right; none begins inside one that was
    counted."""
    for i in range(count):
        seen[groups[places[i]]] = 0
    characters, free = 0, 0
    for i in range(count):
        place = places[i]
        if place < free:
            continue
        if seen[groups[place]]:
            characters += ends[place + n] - ends[place]
            free = place + n
        seen[groups[place]] = 1
    return characters
