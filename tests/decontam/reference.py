"""The rule `item` and the common-usage rule in plain Python: sets of word tuples, document by document."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from filters.words import split_words

Gram = tuple[str, ...]


def is_single(word: str) -> bool:
    """A single letter or digit; ideographs, kana and Hangul syllables are words of their own."""
    if len(word) != 1:
        return False
    name = unicodedata.name(word, "")
    return not name.startswith(("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "HANGUL SYLLABLE"))


def item_ngrams(fields: Sequence[str], least: int, most: int) -> set[Gram]:
    """The n-grams of one part of an item."""
    texts = [split_words(field) for field in fields]
    n = min(most, max(map(len, texts), default=0))
    if n < least:
        return set()
    grams = {tuple(words[i : i + n]) for words in texts for i in range(len(words) - n + 1)}
    return {gram for gram in grams if not all(map(is_single, gram))}


def hits(document: str | None, grams: set[Gram]) -> set[Gram]:
    """The benchmark n-grams that a document holds."""
    words = split_words(document or "")
    lengths = {len(gram) for gram in grams}
    return {tuple(words[i : i + n]) for n in lengths for i in range(len(words) - n + 1)} & grams


def usage(documents: Iterable[str | None], grams: set[Gram]) -> Counter[Gram]:
    """How many documents hold each n-gram."""
    return Counter(gram for document in documents for gram in hits(document, grams))


def removed(documents: Sequence[str | None], grams: set[Gram], threshold: int) -> list[bool]:
    """Which documents hold an n-gram that fewer than `threshold` documents hold."""
    counts = usage(documents, grams)
    return [any(counts[gram] < threshold for gram in hits(document, grams)) for document in documents]
