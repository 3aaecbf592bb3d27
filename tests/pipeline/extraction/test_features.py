"""Features against plain-Python counts, and what must hold of them on any page."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.extraction import columns as col
from pipeline.extraction import lexicon
from pipeline.extraction import vocabulary as names
from pipeline.extraction.blocks import parse_pages
from pipeline.extraction.features import block_features
from pipeline.extraction.hashing import hash_table, look_up, name_hash
from pipeline.extraction.second_look import COLUMNS as LOOK_COLUMNS
from pipeline.extraction.second_look import look_again
from tests.pipeline.extraction.reference import soups


def features_of(html, block=0):
    row = block_features(parse_pages([html]))[block]
    return dict(zip(col.COLUMNS, row.tolist(), strict=True))


WORD_CLASSES = lexicon._classes()
ascii_texts = st.lists(
    st.sampled_from(
        [
            "The",
            "of",
            "house",
            "COOKIES",
            "price",
            "2024",
            "May",
            "login",
            ",",
            ".",
            "?",
            ":",
            " ",
            "|",
            "x1",
            "share",
            "(",
            "'",
        ]
    ),
    min_size=1,
    max_size=30,
).map(" ".join)


@given(ascii_texts)
@settings(max_examples=100)
def test_text_features_agree_with_plain_counts(text):
    found = features_of(f"<p>.{text}")
    words = re.findall(r"[A-Za-z0-9]+", text)
    classes = [WORD_CLASSES.get(word.lower(), 0) for word in words]
    assert found["text.mass"] == len(words)
    assert found["text.chars"] == pytest.approx(np.log1p(len(" ".join(f".{text}".split()))), abs=1e-5)
    assert found["text.commas"] == text.count(",")
    assert found["text.sentences"] == text.count(".") + text.count("?") + 1
    assert found["text.stops"] == sum(c & lexicon.STOP != 0 for c in classes)
    assert found["text.boiler"] == sum(c & lexicon.BOILER != 0 for c in classes)
    assert found["text.commerce"] == sum(c & lexicon.COMMERCE != 0 for c in classes)
    assert found["text.account"] == sum(c & lexicon.ACCOUNT != 0 for c in classes)
    capitals = sum(word[0].isupper() for word in words)
    assert found["text.capitalised"] == pytest.approx(capitals / max(len(words), 1))


def test_link_density_and_bold():
    found = features_of("<p><a href=x>ab</a>cd<b>ef</b>gh")
    assert found["text.link_density"] == pytest.approx(0.25)
    assert found["text.bold"] == pytest.approx(0.25)
    assert found["text.links"] == 1


@pytest.mark.parametrize(
    ("text", "mass"),
    [
        ("漢字かな", 2.4),
        ("한국어 단어", 2),
        ("naïve façade", 2),
        ("a—b…c", 3),
        ("«a»", 1),
        ("中文 word", 2.2),
    ],
)
def test_words_of_other_scripts(text, mass):
    assert features_of(f"<p>{text}")["text.mass"] == pytest.approx(mass)


def test_hints_are_nearer_the_closer_their_element():
    found = features_of("<body><div class=sidebar><div><p class='postBody x'>text</p></div></div>")
    near = {name: found[f"hint.{name}"] for name in ("post", "body", "sidebar", "comment")}
    assert near["post"] == near["body"] == 1
    assert 0 < near["sidebar"] < 1
    assert near["comment"] == 0


@pytest.mark.parametrize(
    ("value", "hints"),
    [
        ("comment-list", {"comment", "list"}),
        ("postBody", {"post", "body"}),
        ("articleBody", {"article", "body"}),
        ("sidebarwrap", {"sidebar"}),
        ("reading", set()),
        ("ad", {"promo"}),
        ("adult", set()),
        ("a1b2", set()),
        ("NAV", {"nav"}),
    ],
)
def test_words_of_class_names(value, hints):
    parsed = parse_pages([f"<p class='{value}'>x"])
    bits = int(parsed.elements[-1, 2])
    assert {name for name, number in names.HINT.items() if bits >> number & 1} == hints


def test_neighbours_and_ends():
    matrix = block_features(parse_pages(["<p>one<p>two words<p>three words here"]))
    mass = col.COLUMNS.index("text.mass")
    after, before = (col.COLUMNS.index(f"neighbour{offset}.mass") for offset in ("+1", "-1"))
    assert matrix[:, after].tolist() == [2, 3, -1]
    assert matrix[:, before].tolist() == [-1, 1, 2]
    assert matrix[:, mass].tolist() == [1, 2, 3]


def test_the_title_is_found():
    html = "<title>A long walk home over the hills - Site</title><p>menu<h1>A long walk home over the hills</h1><p>text"
    matrix = block_features(parse_pages([html]))
    since = matrix[:, col.COLUMNS.index("context.since_title")]
    assert since.tolist() == [-1, 0, 1]


@given(st.lists(soups, max_size=3))
@settings(max_examples=60)
def test_features_of_any_soup(pages):
    parsed = parse_pages(pages)
    matrix = block_features(parsed)
    assert matrix.shape == (len(parsed.blocks) - 1, len(col.COLUMNS))
    assert np.isfinite(matrix).all()
    probabilities = np.linspace(0, 1, len(matrix), dtype=np.float32)
    look = look_again(parsed, matrix, probabilities)
    assert look.shape == (len(matrix), len(LOOK_COLUMNS))
    assert np.isfinite(look).all()
    for number, page in enumerate(pages):
        first, after = parsed.block_offsets[number], parsed.block_offsets[number + 1]
        assert np.array_equal(block_features(parse_pages([page])), matrix[first:after])


def test_a_second_look_at_three_blocks():
    parsed = parse_pages(["<div><p>one two three<p>four five six</div><p>seven"])
    matrix = block_features(parsed)
    look = look_again(parsed, matrix, np.array([0.9, 0.8, 0.1], np.float32))
    found = {name: look[:, place] for place, name in enumerate(LOOK_COLUMNS)}
    assert found["look.own"].tolist() == pytest.approx([0.9, 0.8, 0.1])
    assert found["look.neighbour+1"].tolist() == pytest.approx([0.8, 0.1, -1])
    assert found["look.run_of_kept"].tolist() == [1, 2, 0]
    assert found["look.to_last_kept"].tolist() == [1, 0, -1]
    assert found["look.level1_mean"][0] == pytest.approx(0.85)


def test_hash_tables_find_what_they_hold_and_nothing_else():
    words = {f"word{i}": i for i in range(200)}
    keys, values = hash_table(words)
    assert all(look_up(keys, values, np.uint64(name_hash(word)), -1) == i for word, i in words.items())
    assert look_up(keys, values, np.uint64(name_hash("other")), -1) == -1
    assert name_hash("ABC") == name_hash("abc")
