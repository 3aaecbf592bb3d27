"""Compiled parts of the n-gram language model: keys of n-grams, the table of a model, scoring.

An n-gram's key is a chain over the hashes of its words: `key = moremur(key ^ word)` from a fixed start, so the key of
its first words is on the way. Key 0 marks an empty slot and is never given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from filters._simd import inlined, kernel, moremur

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
Number = Any
"""A number of 64 bits; which kind, the kernel's body says."""

MOST_ORDER = 6
"""Longest n-grams that a model can have."""

START = np.uint64(0x6E6772616D5F7631)
BEGIN = np.uint64(0x3C733E0000000001)
END = np.uint64(0x3C2F733E00000001)
UNKNOWN = np.uint64(0x3C756E6B3E000001)
"""Stand for words: before a line, after it, and any that the model does not know."""

NEVER = -(1 << 30)
"""The stored logarithm of what is never asked for."""


@inlined
def step(key: Number, word: Number) -> Number:
    """The key of an n-gram and one more word."""
    mixed = moremur(key ^ word)
    return mixed if mixed != np.uint64(0) else np.uint64(1)


@kernel
def count_ngrams(line_words: Ints, order: int) -> int:
    """How many n-grams of a length the lines hold: each ends at a word or at the line's end, none is the beginning mark."""
    total = 0
    for line in range(len(line_words) - 1):
        words = line_words[line + 1] - line_words[line]
        if words > 0:
            # Tokens: beginning, words, end; the first is never predicted.
            total += words + 1 if order == 1 else max(0, words + 3 - order)
    return total


@kernel
def list_ngrams(
    line_words: Ints,
    words: Hashes,
    order: int,
    keys: Hashes,
    contexts: Hashes,
    suffixes: Hashes,
    begins: Bools,
) -> int:
    """The key of every n-gram of a length, of its first and of its last n-1 words, and whether it begins a line."""
    at = 0
    for line in range(len(line_words) - 1):
        first, last = line_words[line], line_words[line + 1]
        if last == first:
            continue
        # Token t of a line: 0 the beginning, 1 to n its words, n + 1 the end.
        tokens = last - first + 2
        for end in range(max(1, order - 1), tokens):
            key, suffix, context = START, START, START
            for token in range(end - order + 1, end + 1):
                if token == 0:
                    word = BEGIN
                elif token == tokens - 1:
                    word = END
                else:
                    word = words[first + token - 1]
                context = key
                key = step(key, word)
                if token > end - order + 1:
                    suffix = step(suffix, word)
            keys[at], contexts[at], suffixes[at], begins[at] = key, context, suffix, end == order - 1
            at += 1
    return at


@kernel
def fill_table(table: Hashes, keys: Hashes, payloads: Hashes) -> None:
    """Put entries into an empty open-addressing table (slots are a power of two, more than there are entries)."""
    mask = np.uint64(len(table) - 1)
    for item in range(len(keys)):
        slot = keys[item] & mask
        while table[slot, 0] != np.uint64(0):
            slot = (slot + np.uint64(1)) & mask
        table[slot, 0] = keys[item]
        table[slot, 1] = payloads[item]


@inlined
def find(table: Hashes, key: Number) -> Number:
    """The slot of a key, -1 where it is not there; a full table ends the search too."""
    mask = np.uint64(len(table) - 1)
    slot = key & mask
    for _ in range(len(table)):
        if table[slot, 0] == key:
            return np.int64(slot)
        if table[slot, 0] == np.uint64(0):
            return np.int64(-1)
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@inlined
def log_probability(payload: Number) -> Number:
    """The upper half of an entry's payload."""
    return np.int64(np.int32(np.uint32(payload >> np.uint64(32))))


@inlined
def log_backoff(payload: Number) -> Number:
    """The lower half."""
    return np.int64(np.int32(np.uint32(payload & np.uint64(0xFFFFFFFF))))


@kernel
def score_documents(
    line_offsets: Ints,
    line_words: Ints,
    words: Hashes,
    table: Hashes,
    order: int,
    totals: Ints,
    tokens: Ints,
    unknown: Ints,
) -> None:
    """Per document the sum of log-probabilities, how many tokens were predicted, and how many words are unknown.

    A model holds, with an n-gram, its first and its last n-1 words. So the longest n-gram to look for ends one word
    after the longest that was found, and most words cost one look-up.
    """
    before, after = np.empty(MOST_ORDER + 1, np.uint64), np.empty(MOST_ORDER + 1, np.uint64)
    begin = find(table, step(START, BEGIN)) if order > 1 else np.int64(-1)
    for document in range(len(line_offsets) - 1):
        for line in range(line_offsets[document], line_offsets[document + 1]):
            first, last = line_words[line], line_words[line + 1]
            if last == first:
                continue
            before[0] = START
            before[1] = step(START, BEGIN)
            # The longest run of words just read that the model has, and the slot of it.
            known, known_slot = (1, begin) if begin >= 0 else (0, np.int64(-1))
            total = np.int64(0)
            for at in range(first, last + 1):
                word = words[at] if at < last else END
                found, slot, gained = _predict(before, after, known, known_slot, word, table, order)
                if found == 0:
                    unknown[document] += 1
                    found, slot, gained = _predict(before, after, known, known_slot, UNKNOWN, table, order)
                total += gained
                known = min(found, order - 1)
                known_slot = slot if known == found else np.int64(-1)
                before, after = after, before
                before[0] = START
            totals[document] += total
            tokens[document] += last - first + 1


@inlined
def _predict(
    before: Hashes, after: Hashes, known: int, known_slot: Number, word: Number, table: Hashes, order: int
) -> tuple[Number, Number, Number]:
    """The longest n-gram that a word ends: its length, its slot, the log-probability of the word; length 0 for none.

    `before[k]` is the key of the last k words; `after[k]` becomes that with the new word.
    """
    longest = min(known + 1, order)
    for length in range(1, longest + 1):
        after[length] = step(before[length - 1], word)
    gained = np.int64(0)
    for length in range(longest, 0, -1):
        slot = find(table, after[length])
        if slot >= 0:
            return length, slot, gained + log_probability(table[slot, 1])
        if length > 1:
            context = (
                known_slot if length - 1 == known and known_slot >= 0 else find(table, before[length - 1])
            )
            if context >= 0:
                gained += log_backoff(table[context, 1])
    return 0, np.int64(-1), np.int64(0)
