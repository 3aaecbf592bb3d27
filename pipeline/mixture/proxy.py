"""A token n-gram model as the proxy of `mixture tune`: the losses of many mixtures from one pass over their documents.

The probability of a token after its context is interpolated down to the uniform distribution over the vocabulary, with
Dirichlet priors (MacKay and Peto 1995):

    p(w | h) = (c(h w) + m p(w | h')) / (c(h) + m)        h' is h without its first token, m a number for each order

It needs nothing but counts, and counts add up over documents: candidates whose documents are the fronts of the same lines
are counted in one pass. Only n-grams of the held-out text are counted, under 64-bit hashes; two that share a hash
(chance below 1e-6 for a million) are taken as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.dedup.arrays import I64, U64, mix64

Floats = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
Tokens = npt.NDArray[Any]

MAX_ORDER = 6
CONCENTRATIONS = tuple(2.0**power for power in range(-2, 15))
"""Values of m that are tried; one is chosen for each order."""
SWEEPS = 3

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Line:
    """Documents in the order in which mixtures take them: document d is `tokens[starts[d]:starts[d + 1]]`."""

    tokens: Tokens
    starts: I64

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.starts) - 1


@dataclass(frozen=True)
class Taken:
    """What a candidate takes of a line: all of it `whole` times, and its first `front` documents once more."""

    whole: int
    front: int


@dataclass(frozen=True)
class HeldOutText:
    """Held-out documents, ready to be counted for: the n-grams that end at each token, as positions in the table.

    Row n - 1 of `slots` is the n-gram that ends at a token, row order + n - 2 the n - 1 tokens before it; -1 where the
    document begins later.
    """

    order: int
    slots: I32
    keys: U64
    values: I32
    queries: int

    @property
    def tokens(self) -> int:
        """How many tokens are predicted."""
        return int(self.slots.shape[1])


# ---- n-grams


@njit(cache=True, nogil=True, inline="always")
def _key(tokens: Any, first: int, stop: int, kind: int) -> Any:
    """The hash of tokens[first:stop] as an n-gram (kind 0) or as a context (kind 1)."""
    found = mix64(np.uint64(2 * (stop - first) + kind + 1))
    for at in range(first, stop):
        found = mix64(found ^ (np.uint64(tokens[at]) + np.uint64(1)) * _GOLDEN)
    return found


@njit(cache=True, nogil=True)
def _all_keys(tokens: Any, starts: Any, order: int) -> Any:
    keys = np.zeros((2 * order - 1, len(tokens)), np.uint64)
    fits = np.zeros((2 * order - 1, len(tokens)), np.bool_)
    for document in range(len(starts) - 1):
        for at in range(starts[document], starts[document + 1]):
            depth = min(order, at - starts[document] + 1)
            for n in range(1, depth + 1):
                keys[n - 1, at], fits[n - 1, at] = _key(tokens, at - n + 1, at + 1, 0), True
                if n > 1:
                    row = order + n - 2
                    keys[row, at], fits[row, at] = _key(tokens, at - n + 1, at, 1), True
    return keys, fits


@njit(cache=True, nogil=True)
def _hash_table(queries: Any, slots: int) -> Any:
    keys, values = np.zeros(slots, np.uint64), np.full(slots, -1, np.int32)
    mask = np.uint64(slots - 1)
    for query in range(len(queries)):
        at = queries[query] & mask
        while values[at] >= 0:
            at = (at + np.uint64(1)) & mask
        keys[at], values[at] = queries[query], query
    return keys, values


@njit(cache=True, nogil=True, inline="always")
def _find(keys: Any, values: Any, key: Any) -> Any:
    mask = np.uint64(len(keys) - 1)
    at = key & mask
    while values[at] >= 0:
        if keys[at] == key:
            return values[at]
        at = (at + np.uint64(1)) & mask
    return np.int32(-1)


def held_out_text(line: Line, order: int) -> HeldOutText:
    """Index the n-grams of held-out documents, and their contexts, up to `order` tokens.

    Raises:
        ValueError: for an order outside of 1 to `MAX_ORDER`, or starts that do not divide the tokens.
    """
    if not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order {order} is not within 1 to {MAX_ORDER}")
    _check(line)
    keys, fits = _all_keys(line.tokens, line.starts, order)
    queries, positions = np.unique(keys[fits], return_inverse=True)
    slots = np.full(keys.shape, -1, np.int32)
    slots[fits] = positions.astype(np.int32)
    # At least half of the table stays free: looking for a key ends at a free slot.
    size = 1 << max(4, (2 * len(queries)).bit_length())
    table_keys, table_values = _hash_table(queries, size)
    return HeldOutText(order, slots, table_keys, table_values, len(queries))


def _check(line: Line) -> None:
    starts = line.starts
    if not len(starts) or starts[0] != 0 or starts[-1] != len(line.tokens) or np.any(np.diff(starts) < 0):
        raise ValueError(f"the starts of the documents do not divide {len(line.tokens)} tokens")


# ---- counts


@njit(cache=True, nogil=True)
def _count(
    tokens: Any, starts: Any, first: int, stop: int, order: int, keys: Any, values: Any, counts: Any
) -> None:
    """Add the n-grams and contexts of documents first..stop to the counts of those that are asked for."""
    for document in range(first, stop):
        for at in range(starts[document], starts[document + 1]):
            for n in range(1, min(order, at - starts[document] + 1) + 1):
                if n > 1:
                    context = _find(keys, values, _key(tokens, at - n + 1, at, 1))
                    if context < 0:
                        break  # a longer context ends in this one, so it is not asked for either
                    counts[context] += 1
                gram = _find(keys, values, _key(tokens, at - n + 1, at + 1, 0))
                if gram >= 0:
                    counts[gram] += 1


def count_candidates(
    lines: Sequence[Line], taken: Sequence[Sequence[Taken]], text: HeldOutText
) -> tuple[npt.NDArray[np.int32], I64]:
    """The counts of the held-out text's n-grams in the documents of every candidate, from one pass over the lines.

    Args:
        lines: the documents.
        taken: per candidate, what it takes of each line.
        text: whose n-grams are counted.

    Returns:
        Counts (candidates x n-grams), and the tokens of each candidate.

    Raises:
        ValueError: for lines whose starts are wrong, or a front beyond a line's end.
    """
    counts = np.zeros((len(taken), text.queries), np.int32)
    totals = np.zeros(len(taken), np.int64)
    for at, line in enumerate(lines):
        _check(line)
        fronts = [each[at].front for each in taken]
        if any(not 0 <= front <= line.documents for front in fronts):
            raise ValueError(f"a line of {line.documents} documents has no front of {max(fronts)}")
        running, done = np.zeros(text.queries, np.int32), 0
        ends = {*fronts, *([line.documents] if any(each[at].whole for each in taken) else [])}
        for end in sorted(ends):
            _count(line.tokens, line.starts, done, end, text.order, text.keys, text.values, running)
            done = end
            for candidate, each in enumerate(taken):
                times = (each[at].front == end) + (each[at].whole if end == line.documents else 0)
                if times:
                    counts[candidate] += np.int32(times) * running
                    totals[candidate] += times * int(line.starts[end])
    return counts, totals


# ---- loss


@njit(cache=True, nogil=True)
def _loss(slots: Any, order: int, counts: Any, total: int, concentrations: Any, vocabulary: int) -> Any:
    loss = 0.0
    for at in range(slots.shape[1]):
        p = 1.0 / vocabulary
        p = (counts[slots[0, at]] + concentrations[0] * p) / (total + concentrations[0])
        for n in range(2, order + 1):
            if slots[n - 1, at] < 0:
                break
            context = counts[slots[order + n - 2, at]]
            p = (counts[slots[n - 1, at]] + concentrations[n - 1] * p) / (context + concentrations[n - 1])
        loss -= np.log(p)
    return loss


def loss(
    text: HeldOutText,
    counts: npt.NDArray[np.int32],
    total: int,
    concentrations: Sequence[float],
    vocabulary: int,
) -> float:
    """The nats that a held-out text costs under a candidate's counts.

    Args:
        text: the held-out text.
        counts: of its n-grams in the candidate's documents, a row of `count_candidates`.
        total: tokens of the candidate's documents.
        concentrations: m of each order, from 1 on, all above 0.
        vocabulary: pieces of the tokenizer.
    """
    if len(counts) != text.queries or len(concentrations) != text.order:
        raise ValueError("the counts or concentrations are those of another text or order")
    return float(
        _loss(text.slots, text.order, counts, total, np.array(concentrations, np.float64), vocabulary)
    )


def choose_concentrations(
    texts: Sequence[HeldOutText], counts: Sequence[npt.NDArray[np.int32]], total: int, vocabulary: int
) -> list[float]:
    """The numbers m that give the least mean loss per token of some texts, each order in turn, from `CONCENTRATIONS`."""

    def mean(values: Sequence[float]) -> float:
        each = [
            loss(text, found, total, values, vocabulary) / text.tokens
            for text, found in zip(texts, counts, strict=True)
        ]
        return sum(each) / len(each)

    chosen = [16.0] * texts[0].order
    for _ in range(SWEEPS):
        before = list(chosen)
        for n in range(len(chosen)):
            tried = [(mean([*chosen[:n], value, *chosen[n + 1 :]]), value) for value in CONCENTRATIONS]
            chosen[n] = min(tried)[1]
        if chosen == before:
            break
    return chosen
