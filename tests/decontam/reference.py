"""The n-grams of the benchmarks and the common-usage rule in plain Python: sets of word tuples."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from filters.words import split_words

Gram = tuple[str, ...]
Fields = Sequence[str]
Item = Mapping[str, Fields]
"""The fields of each part."""
Holder = tuple[int, int, str]
"""The number of a benchmark and of an item in it, and the part."""


def is_single(word: str) -> bool:
    """A single letter or digit; ideographs, kana and Hangul syllables are words of their own."""
    if len(word) != 1:
        return False
    name = unicodedata.name(word, "")
    return not name.startswith(("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "HANGUL SYLLABLE"))


def item_ngrams(fields: Sequence[str], least: int, most: int) -> set[Gram]:
    """The n-grams of one part of an item under the rule `item`, templates aside."""
    texts = [split_words(field) for field in fields]
    n = min(most, max(map(len, texts), default=0))
    if n < least:
        return set()
    grams = {tuple(words[i : i + n]) for words in texts for i in range(len(words) - n + 1)}
    return {gram for gram in grams if not all(map(is_single, gram))}


def writings(fields: Fields) -> list[list[list[str]]]:
    """The words of the fields as they are, and of those fields that have other words in upper case."""
    written = [split_words(field) for field in fields]
    upper = [split_words(field.upper()) for field in fields]
    return [written, [high for low, high in zip(written, upper, strict=True) if low != high]]


def template_grams(items: Sequence[Item], share: float = 0.3, least_items: int = 10) -> set[Gram]:
    """The 4-grams that so many items of one benchmark hold."""
    holding: Counter[Gram] = Counter()
    for item in items:
        texts = [words for fields in item.values() for texts in writings(fields) for words in texts]
        grams = {tuple(words[i : i + 4]) for words in texts for i in range(len(words) - 3)}
        holding.update(gram for gram in grams if not all(map(is_single, gram)))
    needed = max(least_items, math.ceil(share * len(items)))
    return {gram for gram, count in holding.items() if count >= needed}


def template_words(words: Sequence[str], templates: set[Gram]) -> list[bool]:
    """Which words of a field belong to a template."""
    marked = [False] * len(words)
    for i in range(len(words) - 3):
        if tuple(words[i : i + 4]) in templates:
            marked[i : i + 4] = [True] * 4
    return marked


def index_ngrams(
    benchmarks: Sequence[Sequence[Item]], least: int, most: int
) -> tuple[dict[Gram, set[Holder]], set[Gram]]:
    """The permitted n-grams with the units that have them, and those of them that are n-grams of the rule item."""
    holders: dict[Gram, set[Holder]] = defaultdict(set)
    of_items: set[Gram] = set()
    for number, items in enumerate(benchmarks):
        templates = template_grams(items)
        for item_number, item in enumerate(items):
            for part, fields in item.items():
                longest = 0
                for texts in writings(fields):
                    longest = max(longest, *map(len, texts), 0)
                    for gram in permitted_ngrams(texts, templates, least, most):
                        holders[gram].add((number, item_number, part))
                        if len(gram) == min(longest, most):
                            of_items.add(gram)
    return dict(holders), of_items


def permitted_ngrams(
    texts: Iterable[Sequence[str]], templates: set[Gram], least: int, most: int
) -> set[Gram]:
    """The n-grams inside fields that are not made only of single letters or digits, or of template words."""
    found = set()
    for words in texts:
        marked = template_words(words, templates)
        for n in range(least, most + 1):
            for i in range(len(words) - n + 1):
                gram = tuple(words[i : i + n])
                if not all(map(is_single, gram)) and not all(marked[i : i + n]):
                    found.add(gram)
    return found


def occurrences(document: str | None, grams: set[Gram]) -> list[tuple[int, Gram]]:
    """Every place in a document where one of the n-grams is, in order of place and length."""
    words = split_words(document or "")
    lengths = sorted({len(gram) for gram in grams})
    return [
        (i, gram)
        for i in range(len(words))
        for n in lengths
        if len(gram := tuple(words[i : i + n])) == n and gram in grams
    ]


def hits(document: str | None, grams: set[Gram]) -> set[Gram]:
    """The benchmark n-grams that a document holds."""
    return {gram for _, gram in occurrences(document, grams)}


def usage(documents: Iterable[str | None], grams: set[Gram]) -> Counter[Gram]:
    """How many documents hold each n-gram."""
    return Counter(gram for document in documents for gram in hits(document, grams))


def removed(documents: Sequence[str | None], grams: set[Gram], threshold: int) -> list[bool]:
    """Which documents hold an n-gram that fewer than `threshold` documents hold."""
    counts = usage(documents, grams)
    return [any(counts[gram] < threshold for gram in hits(document, grams)) for document in documents]
