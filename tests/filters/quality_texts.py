"""Texts for the tests of the quality rules, and the one way that those tests run a measure or an edit."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import strategies as st

from filters.lines import Edited
from filters.measures import Measure
from filters.words import index_words
from tests.filters import quality_rules as rules

FRAGMENTS = [
    "the", "The", "be", "to", "and", "with", "that's", "don’t", "cat", "NATO", "Über", "naïve",
    "e\u0301", "漢字", "かな", "𐐀𐐨", "3.14", "1,000", "12:30", "covid-19", "well-known", "10-20", "10–20",
    "and/or", "U.S.", "J.", "end.Start", "x=y", "a<b", "http://a.b/c-d", "me@x.org", "WWW.x",
    "rock'n'roll", "we'll", "'s", "ab,cd", "1+1", "C++", "~20", "x²", "Ⅳ", "٣", ".", "..", "...",
    "....", "…", "?!", "。", "؟", "(", ")", "\"", "“", "-", "--", "—", "•", "#", "##", "*", "_", "[",
    "]", "{", "[1]", "[]", "[edit]", "[citation needed]", "[12", "3 likes", "1,234 Views",
    "3.4k\tshares", "likes", "JavaScript", "lorem ipsum", "Privacy Policy", "use cookies",
    "items in cart", "Read more...", "sign-in", "x" * 31, "y" * 1001, " ", "  ", "\n", "\n", "\n\n",
    "\r\n", "\r", "\t", "\x0b", "\x85", "\u2028", "\u00a0", "\u200b", "\xad", "\x00", "😀", "\ue000",
]  # fmt: skip
"""What the rules look at, whole and in parts, to be put together at random."""


def documents() -> st.SearchStrategy[str]:
    """Arbitrary texts; most are made of fragments that the rules look at, so that things repeat."""
    pieces = st.sampled_from(FRAGMENTS) | st.text(max_size=4)
    separators = st.sampled_from([" ", " ", "", "\n", ", "])
    return st.lists(st.tuples(pieces, separators), max_size=60).map(
        lambda parts: "".join(piece + separator for piece, separator in parts)
    )


def chunks() -> st.SearchStrategy[list[str]]:
    """A few documents of one column."""
    return st.lists(documents(), min_size=1, max_size=4)


def column(texts: list[str | None]) -> pa.Array:
    """A column whose data buffer has text before and behind what belongs to it: a slice."""
    return pa.array(["the before the before", *texts, "behind\nbehind"], pa.large_string())[1:-1]


def measured(measure: Measure, texts: list[str | None]) -> dict[str, list[Any]]:
    """The columns that a measure makes of some documents."""
    text = column(texts)
    columns = measure(pa.record_batch({"text": text}), index_words(text))
    return {name: values.to_pylist() for name, values in columns.items()}


def expected(rule: Any, texts: list[str]) -> list[Any]:
    """What a plain rule says of each document, compared as float32."""
    values = [rule(text) for text in texts]
    return [None if value is None else pytest.approx(value, rel=1e-6, abs=1e-12) for value in values]


def check_edit(made: Edited, texts: list[str], reason: rules.Reason, *, citation_marks: bool) -> None:
    """Compare a line edit with the plain rules."""
    assert made.text.to_pylist() == [
        rules.edited(text, reason, citation_marks=citation_marks) for text in texts
    ]
    assert made.removed_words.to_pylist() == expected(lambda text: rules.removed_words(text, reason), texts)
    removed = [rules.removed_lines(text, reason) for text in texts]
    for name, counts in made.counts.items():
        if name != "c4.citation_marks":
            assert counts.to_pylist() == [of_document.get(name, 0) for of_document in removed], name
