from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decontam.rule import (
    UNSEEN,
    any_is_meant,
    blamed,
    count_hits,
    fewest_uses,
    flatten,
    resolve_threshold,
)

LIMIT = 20
DOCUMENTS = st.lists(st.lists(st.integers(0, LIMIT - 1), unique=True).map(sorted), max_size=8)


def hits(*documents: list[int] | None) -> pa.Array:
    return pa.array(documents, pa.list_(pa.uint32()))


def test_counts_are_of_documents() -> None:
    ids, counts = count_hits(hits([1, 5], [5], None, []), 6)
    assert ids.tolist() == [1, 5]
    assert counts.tolist() == [1, 2]


def test_hits_of_another_index_are_refused() -> None:
    with pytest.raises(ValueError, match="n-gram 6 is not below 6"):
        count_hits(hits([6]), 6)


def test_no_documents() -> None:
    ids, counts = count_hits(hits(), 6)
    assert len(ids) == len(counts) == 0


@pytest.mark.parametrize(
    ("asked", "corpus", "threshold"),
    [
        (1000, 1, 1000),
        (7, 10**15, 7),
        ("auto", 0, 10),
        ("auto", 65_000_000, 10),
        ("auto", 653_000_000, 100),
        ("auto", 6_500_000_000, 1000),
        ("auto", 10**15, 1000),
    ],
)
def test_auto_scales_with_the_corpus(asked: int, corpus: int, threshold: int) -> None:
    assert resolve_threshold(asked, corpus) == threshold  # type: ignore[arg-type]


def test_any_needs_ten_terabytes_at_a_thousand_uses() -> None:
    assert any_is_meant(1000, 10**13)
    assert not any_is_meant(1000, 10**13 - 1)
    assert any_is_meant(1, 10**10)


@given(DOCUMENTS, st.lists(st.integers(1, 5), min_size=LIMIT, max_size=LIMIT), st.integers(1, 6))
def test_a_document_is_contaminated_when_one_of_its_ngrams_is_rare(
    documents: list[list[int]], uses: list[int], threshold: int
) -> None:
    offsets, ids = flatten(hits(*documents))
    counts = np.array(uses, np.int64)[ids]
    lengths = (4 + ids % 10).astype(np.uint8)
    chosen = ids % 2 == 0
    fewest = fewest_uses(offsets, counts, chosen)
    places = blamed(offsets, ids, counts, lengths, chosen & (counts < threshold))
    for row, document in enumerate(documents):
        even = [each for each in document if each % 2 == 0]
        assert fewest[row] == min((uses[each] for each in even), default=UNSEEN)
        rare = [each for each in even if uses[each] < threshold]
        assert (fewest[row] < threshold) == bool(rare)
        if not rare:
            assert places[row] == -1
        else:
            best = min(rare, key=lambda each: (-(4 + each % 10), uses[each], each))
            assert offsets[row] <= places[row] < offsets[row + 1]
            assert ids[places[row]] == best
