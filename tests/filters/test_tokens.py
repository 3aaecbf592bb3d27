"""The tokens of Gopher's and FineWeb's measures."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.tokens import LETTER, TERMINAL, WORD, index_tokens
from filters.words import index_words
from tests.filters import quality_rules as rules
from tests.filters.quality_texts import chunks, column


def tokens_of(texts: list[str | None]) -> list[list[str]]:
    words = index_words(column(texts))
    tokens = index_tokens(words)
    spans = [
        words.data[start:end].tobytes().decode()
        for start, end in zip(tokens.starts, tokens.ends, strict=True)
    ]
    return [spans[begin:end] for begin, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)]


@given(chunks())
@settings(max_examples=200, deadline=None)
def test_tokens_are_those_of_the_plain_rule(texts: list[str]) -> None:
    assert tokens_of(texts) == [rules.split_tokens(text) for text in texts]


@given(chunks())
@settings(max_examples=100, deadline=None)
def test_what_is_known_of_each_token(texts: list[str]) -> None:
    tokens = index_tokens(index_words(column(texts)))
    plain = [token for text in texts for token in rules.split_tokens(text)]
    assert tokens.lengths.tolist() == [len(token) for token in plain]
    for bit, test in ((LETTER, rules.is_letter), (WORD, rules.is_word), (TERMINAL, rules.is_terminal)):
        assert (tokens.classes & bit != 0).tolist() == [any(map(test, token)) for token in plain]
    by_hash = dict(zip(tokens.hashes.tolist(), plain, strict=True))
    assert [by_hash[number] for number in tokens.hashes.tolist()] == plain
    assert len(by_hash) == len(set(plain))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A well-known fact, isn't it?", "A|well|-|known|fact|,|isn|'t|it|?"),
        ("(He said: “no”...)", "(|He|said|:|“|no|”|...|)"),
        ("3.14 1,000 12:30 2024-05-01 covid-19", "3.14|1,000|12:30|2024|-|05|-|01|covid-19"),
        ("U.S. J. Smith, NATO. 5.", "U.S.|J.|Smith|,|NATO|.|5|."),
        ("at 3 p.m., e.g. in plan b.", "at|3|p.m.|,|e.g.|in|plan|b|."),
        ("end.Start end.start", "end|.|Start|end.start"),
        ("me@x.org http://a.b/c-d www.x-y.z!", "me@x.org|http://a.b/c-d|www.x-y.z|!"),
        ("and/or C++ -5 .5 #5 $5", "and|/|or|C++|-5|.5|#|5|$|5"),
        ("wait...what yes…no", "wait|...|what|yes|…|no"),
        ("the cat’s O'Neil's we'll", "the|cat|’s|O'Neil|'s|we|'ll"),
        ("漢字かな。漢字 x—y", "漢字かな。漢字|x|—|y"),
        ("- . -- ''", "-|.|--|'|'"),
        ("", ""),
    ],
)
def test_examples(text: str, tokens: str) -> None:
    assert "|".join(tokens_of([text])[0]) == tokens


def test_nulls_and_empty_documents_have_no_tokens() -> None:
    assert tokens_of([None, "", " \n", "a"]) == [[], [], [], ["a"]]
    assert index_tokens(index_words(pa.array([], pa.string()))).offsets.tolist() == [0]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_malformed_utf8_is_read_within_its_bounds(texts: list[bytes]) -> None:
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in texts]))).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
    words = index_words(pa.Array.from_buffers(pa.string(), len(texts), buffers))
    tokens = index_tokens(words)
    for document in range(len(texts)):
        of_document = slice(tokens.offsets[document], tokens.offsets[document + 1])
        assert (tokens.starts[of_document] >= words.doc_starts[document]).all()
        assert (tokens.ends[of_document] <= words.doc_ends[document]).all()
        assert (tokens.starts[of_document] < tokens.ends[of_document]).all()


def test_one_document_of_marks_only_gets_the_room_it_needs() -> None:
    text = "(" * 5000
    assert tokens_of(["a", text, "b"]) == [["a"], list(text), ["b"]]
