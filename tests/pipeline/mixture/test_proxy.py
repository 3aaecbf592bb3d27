"""The n-gram proxy: its kernels against plain Python, and that its probabilities add up to one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.mixture.proxy import (
    CONCENTRATIONS,
    MAX_ORDER,
    Line,
    Taken,
    choose_concentrations,
    count_candidates,
    held_out_text,
    loss,
)

VOCABULARY = 6
Documents = list[list[int]]

documents = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=12), max_size=6)
texts = documents.filter(lambda docs: any(docs))


def line(docs: Sequence[Sequence[int]], kind: str = "int32") -> Line:
    starts = np.cumsum([0, *map(len, docs)]).astype(np.int64)
    return Line(np.array([token for doc in docs for token in doc], kind), starts)


def reference_counts(
    docs: Documents, order: int
) -> tuple[Counter[tuple[int, ...]], Counter[tuple[int, ...]]]:
    """How often n-grams occur, and how often contexts are followed by a token."""
    grams, contexts = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    for doc in docs:
        for at in range(len(doc)):
            for n in range(1, min(order, at + 1) + 1):
                gram = tuple(doc[at - n + 1 : at + 1])
                grams[gram] += 1
                contexts[gram[:-1]] += 1
    return grams, contexts


def reference_loss(text: Documents, docs: Documents, concentrations: Sequence[float]) -> float:
    grams, contexts = reference_counts(docs, len(concentrations))
    found = 0.0
    for doc in text:
        for at in range(len(doc)):
            p = 1 / VOCABULARY
            for n, m in enumerate(concentrations, start=1):
                if n <= at + 1:
                    gram = tuple(doc[at - n + 1 : at + 1])
                    p = (grams[gram] + m * p) / (contexts[gram[:-1]] + m)
            found -= math.log(p)
    return found


@settings(deadline=None, max_examples=60)
@given(texts, documents, documents, st.integers(1, 4), st.data())
def test_losses_of_many_candidates_agree_with_the_reference(
    text: Documents, first: Documents, second: Documents, order: int, data: st.DataObject
) -> None:
    taken = [
        [
            Taken(data.draw(st.integers(0, 2)), data.draw(st.integers(0, len(docs))))
            for docs in (first, second)
        ]
        for _ in range(3)
    ]
    asked = held_out_text(line(text), order)
    counts, totals = count_candidates([line(first, "uint16"), line(second, "uint16")], taken, asked)
    concentrations = [0.5, 3.0, 7.0, 1.5][:order]
    for at, each in enumerate(taken):
        docs = [
            doc
            for part, docs in zip(each, (first, second), strict=True)
            for doc in docs * part.whole + docs[: part.front]
        ]
        assert totals[at] == sum(map(len, docs))
        got = loss(asked, counts[at], int(totals[at]), concentrations, VOCABULARY)
        assert got == pytest.approx(reference_loss(text, docs, concentrations), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_of_all_tokens_add_up_to_one(order: int) -> None:
    train = line([[0, 1, 2, 1, 0, 3], [1, 2, 2, 1]])
    total = 0.0
    prefix = [1, 2][: order - 1]
    for token in range(VOCABULARY):
        nats = []
        for doc in (prefix, [*prefix, token]):
            if not doc:
                nats.append(0.0)
                continue
            asked = held_out_text(line([doc]), order)
            counts, totals = count_candidates([train], [[Taken(1, 0)]], asked)
            nats.append(loss(asked, counts[0], int(totals[0]), [0.7, 2.0, 4.0][:order], VOCABULARY))
        total += math.exp(nats[0] - nats[1])
    assert total == pytest.approx(1)


def test_concentrations_are_the_best_in_each_order() -> None:
    text = held_out_text(line([[0, 1, 2, 0, 1, 2, 3]] * 2), 2)
    counts, totals = count_candidates([line([[0, 1, 2, 0, 1, 2, 0, 1]] * 3)], [[Taken(1, 0)]], text)
    chosen = choose_concentrations([text], [counts[0]], int(totals[0]), VOCABULARY)
    best = loss(text, counts[0], int(totals[0]), chosen, VOCABULARY)
    for n in range(2):
        for value in CONCENTRATIONS:
            other = [*chosen[:n], value, *chosen[n + 1 :]]
            assert loss(text, counts[0], int(totals[0]), other, VOCABULARY) >= best


def test_wrong_arguments_are_refused() -> None:
    good = held_out_text(line([[1, 2]]), 2)
    with pytest.raises(ValueError, match="order"):
        held_out_text(line([[1]]), MAX_ORDER + 1)
    with pytest.raises(ValueError, match="do not divide"):
        held_out_text(Line(np.array([1, 2], np.int32), np.array([0, 3])), 2)
    with pytest.raises(ValueError, match="do not divide"):
        count_candidates([Line(np.array([1, 2], np.int32), np.array([0, 5, 2]))], [[Taken(1, 0)]], good)
    with pytest.raises(ValueError, match="front"):
        count_candidates([line([[1], [2]])], [[Taken(0, 3)]], good)
    with pytest.raises(ValueError, match="another text"):
        loss(good, np.zeros(1, np.int32), 0, [1.0, 1.0], VOCABULARY)
