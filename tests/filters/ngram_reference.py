"""Interpolated, modified Kneser-Ney smoothing in plain Python over words, as the papers write it: what the model is compared with.

Chen and Goodman 1999 (an empirical study), section 3: p(w|h) = (a(hw) - D) / sum of a(hv) + left(h) * p(w|h without its first
word), where `a` counts occurrences for the longest n-grams and those that begin a line, and different words before the
n-gram for all others.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from filters.words import split_words

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
Gram = tuple[str, ...]


class ReferenceModel:
    """The model of some texts; `kept` are the n-grams that it holds."""

    def __init__(self, texts: Sequence[str], order: int, min_words: int, min_ngrams: int) -> None:
        lines = [line for text in texts for line in sentences(text)]
        words = Counter(word for line in lines for word in line)
        self.order = order
        self.vocabulary = {word for word, count in words.items() if count >= min_words}
        counts = [Counter[Gram]() for _ in range(order + 2)]
        for line in lines:
            tokens = (BEGIN, *(word if word in self.vocabulary else UNKNOWN for word in line), END)
            for length in range(1, order + 1):
                for end in range(max(1, length - 1), len(tokens)):
                    counts[length][tokens[end - length + 1 : end + 1]] += 1
        counts[1].setdefault((UNKNOWN,), 0)
        self.predicted = {gram[0] for gram in counts[1]}
        self.kept = {
            g
            for length in range(1, order + 1)
            for g, c in counts[length].items()
            if length < 3 or c >= min_ngrams
        }
        self.shares: dict[Gram, float] = {}
        self.left: dict[Gram, float] = defaultdict(lambda: 1.0)
        for length in range(1, order + 1):
            self._estimate(counts[length], counts[length + 1] if length < order else None)

    def _estimate(self, counts: Counter[Gram], longer: Counter[Gram] | None) -> None:
        before: Counter[Gram] = Counter(gram[1:] for gram in longer) if longer is not None else Counter()
        adjusted = {g: c if longer is None or g[0] == BEGIN else before[g] for g, c in counts.items()}
        discount = discounts(list(adjusted.values()))
        sums: Counter[Gram] = Counter()
        for gram, count in adjusted.items():
            sums[gram[:-1]] += count
        given: dict[Gram, float] = defaultdict(float)
        for gram, count in adjusted.items():
            if gram in self.kept:
                share = count - discount[min(count, 3)]
                self.shares[gram] = share / sums[gram[:-1]] if sums[gram[:-1]] else 0.0
                given[gram[:-1]] += share
        for context, total in sums.items():
            self.left[context] = 1 - given[context] / total if total else 1.0

    def probability(self, word: str, context: Gram) -> float:
        """p(word | context), the context as long as it may be."""
        context = context[max(0, len(context) - self.order + 1) :]
        if not context:
            return self.shares[(word,)] + self.left[()] / len(self.predicted)
        rest = self.probability(word, context[1:])
        return (
            self.shares.get((*context, word), 0.0) + self.left[context] * rest
            if self._extends(context)
            else rest
        )

    def _extends(self, context: Gram) -> bool:
        """Whether the model holds the context; a context of left-out n-grams only leaves everything to shorter ones."""
        return context in self.kept or context == (BEGIN,)

    def score(self, text: str) -> tuple[float, int, int]:
        """Log-probability of a document, its predicted tokens, its unknown words."""
        total, tokens, unknown = 0.0, 0, 0
        for line in sentences(text):
            history: Gram = (BEGIN,)
            for written in (*line, END):
                word = written if (written,) in self.kept else UNKNOWN
                unknown += word != written
                total += math.log(self.probability(word, history))
                history = (*history, word)
                tokens += 1
        return total, tokens, unknown


def sentences(text: str) -> list[list[str]]:
    """The lines of a document that have words."""
    return [words for words in map(split_words, text.split("\n")) if words]


def discounts(counts: Sequence[int]) -> tuple[float, float, float, float]:
    """What is taken from counts of 0, 1, 2, and 3 and more."""
    n1, n2, n3, n4 = (sum(count == n for count in counts) for n in (1, 2, 3, 4))
    if n1 and n2 and n3 and n4:
        y = n1 / (n1 + 2 * n2)
        found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if 0 < found[0] < 1 and 0 < found[1] < 2 and 0 < found[2] < 3:
            return (0.0, *found)
    return (0.0, 0.5, 1.0, 1.5)
