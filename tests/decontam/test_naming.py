from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from decontam.naming import describe, unit_lengths, units_of
from decontam.ngrams import NgramIndex
from decontam.scan import scan
from filters.words import index_words
from tests.decontam.conftest import index_of

LONG = "Please send us the signed letter as soon as possible because the office closes on Friday at noon"


@pytest.fixture
def index(tmp_path: Path) -> NgramIndex:
    return index_of(tmp_path, [LONG, "As soon as possible", "too short now"])


def phrase(index: NgramIndex) -> np.ndarray:
    return scan(index_words(pa.array(["as soon as possible"], pa.large_string())), index).flatten().to_numpy()


def test_each_unit_has_the_words_of_its_longest_field_at_most_thirteen(index: NgramIndex) -> None:
    assert unit_lengths(index).tolist() == [13, 4, 0]


def test_the_item_rule_blames_the_item_that_is_the_phrase(index: NgramIndex) -> None:
    ids = phrase(index)
    assert len(ids) == 1
    assert describe(index, ids, "item").to_pylist() == [
        {
            "benchmark": "toy",
            "item": "1",
            "part": "prompt",
            "n": 4,
            "words": "as soon as possible",
            "shared_by": 1,
        }
    ]
    (row,) = describe(index, ids, "any").to_pylist()
    assert (row["item"], row["shared_by"]) == ("0", 2)


def test_units_under_either_rule(index: NgramIndex) -> None:
    ids = phrase(index)
    assert units_of(index, ids, "any")[1].tolist() == [0, 1]
    assert units_of(index, ids, "item")[1].tolist() == [1]


def test_an_ngram_that_the_rule_does_not_look_at_is_refused(index: NgramIndex) -> None:
    ids = scan(index_words(pa.array([LONG], pa.large_string())), index).flatten().to_numpy()
    with pytest.raises(ValueError, match="none that the rule item looks at"):
        describe(index, ids, "item")
