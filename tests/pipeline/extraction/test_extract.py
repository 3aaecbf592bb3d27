"""Pages in, texts out: settings, hand-over, and pages that were made to do harm."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.extraction import extract as module
from pipeline.extraction import layout as at
from pipeline.extraction.blocks import parse_pages
from pipeline.extraction.extract import choose_blocks, extract_pages
from pipeline.extraction.features import block_features
from pipeline.extraction.settings import ExtractionSettings
from tests.pipeline.extraction.reference import soups

MODEL = ExtractionSettings(extractor="model")
SENTENCES = "The river rises in the hills, and it was known to the people of the valley for its floods. " * 5
ARTICLE = f"""<html><head><title>The river - Daily</title></head><body>
<nav class=menu><ul><li><a href=/>Home</a><li><a href=/n>News</a></ul></nav>
<article class=post><h1>The river</h1><div class=entry-content>
<p>One. {SENTENCES}</p><p>Two. {SENTENCES}</p><p>Three. {SENTENCES}</p>
<table><tr><th>Year<th>Level<tr><td>1901<td>2.1<tr><td>1902<td>2.4</table></div></article>
<div class=comments><p>Anna said it is so.</p></div>
<footer class=footer><p>Copyright Daily. All rights reserved.</p></footer></body></html>"""


def text_of(html, **chosen):
    return extract_pages([html], ExtractionSettings(**{"extractor": "model", **chosen})).texts[0].as_py()


def test_the_model_reads_an_article():
    found = extract_pages([ARTICLE], MODEL)
    text = found.texts[0].as_py()
    assert text.count("The river rises") == 15
    assert "Home" not in text
    assert "Copyright" not in text
    assert found.titles.to_pylist() == ["The river - Daily"]
    assert found.extractor.to_pylist() == ["model"]
    assert 0.8 < found.confidence[0] <= 1


@pytest.mark.parametrize("extractor", ["reader", "boilerpipe", "trafilatura", "combined"])
def test_every_extractor_reads_an_article(extractor):
    found = extract_pages([ARTICLE], ExtractionSettings(extractor=extractor))
    assert found.texts[0].as_py().count("The river rises") == 15
    assert found.extractor.to_pylist() == ["model" if extractor == "combined" else extractor]


def test_the_title_in_the_text_is_a_choice():
    assert text_of(ARTICLE, title_in_text=True).startswith("The river\n")
    assert "The river\n" not in text_of(ARTICLE, title_in_text=False)


def kept_by(html, keep, **chosen):
    """The blocks left when the model would keep all."""
    parsed = parse_pages([html])
    return [parsed.block_text(block) for block in np.flatnonzero(keep(parsed, block_features(parsed)))]


@pytest.mark.parametrize(("tables", "rows"), [(True, 3), (False, 0)])
def test_tables_are_a_choice(monkeypatch, tables, rows):
    monkeypatch.setattr(module, "classify", keep_all)
    parsed = parse_pages([ARTICLE])
    chosen = choose_blocks(
        parsed, block_features(parsed), ExtractionSettings(extractor="model", tables=tables)
    )
    assert (chosen.keep & parsed.rows).sum() == rows


@pytest.mark.parametrize(("comments", "there"), [(True, True), (False, False)])
def test_comments_are_a_choice(monkeypatch, comments, there):
    monkeypatch.setattr(module, "classify", keep_all)
    assert ("Anna said" in text_of(ARTICLE, comments=comments)) is there


def test_a_page_made_of_comments_keeps_them(monkeypatch):
    monkeypatch.setattr(module, "classify", keep_all)
    forum = "<h1>Topic</h1>" + f"<div class=comment><p>{SENTENCES}</div>" * 3
    assert text_of(forum, comments=False).count("The river rises") == 15


def keep_all(parsed, matrix):
    ones = np.ones(len(matrix), np.float32)
    return module.Classified(ones > 0, ones, np.ones(len(parsed), np.float32))


def test_unsure_pages_are_handed_over():
    shop = "<p>Buy<p>Cart<p>Now<p>" + SENTENCES
    found = extract_pages([ARTICLE, shop, ""], ExtractionSettings(fallback_below=1.0))
    assert found.extractor.to_pylist() == ["trafilatura", "trafilatura", "model"]
    assert (
        extract_pages([ARTICLE, shop], ExtractionSettings(fallback_below=0.0)).extractor.to_pylist()
        == ["model"] * 2
    )


def test_huge_pages_are_not_handed_over():
    huge = ARTICLE + f"<script>{'x' * module._LARGEST_HANDED_OVER}</script>"
    assert extract_pages([huge], ExtractionSettings(fallback_below=1.0)).extractor.to_pylist() == ["model"]


def test_pages_without_a_body_are_rows():
    found = extract_pages(pa.array([None, "", "<p>", "<script>x"], pa.string()), ExtractionSettings())
    assert found.texts.to_pylist() == ["", "", "", ""]
    assert found.confidence.tolist() == [0, 0, 0, 0]
    assert found.titles.to_pylist() == [None] * 4


def test_an_empty_chunk():
    assert len(extract_pages([], ExtractionSettings()).texts) == 0


def test_code_is_kept_byte_for_byte(monkeypatch):
    monkeypatch.setattr(module, "classify", keep_all)
    code = "def f(x):\n\n    return  x\t# &lt;\n"
    assert "def f(x):\n\n    return  x\t# <\n" in text_of(f"<p>{SENTENCES}<pre><code>{code}</code></pre>")


@given(st.lists(soups, max_size=3))
@settings(max_examples=40)
def test_any_soup_gives_the_same_text_alone_and_in_a_chunk(pages):
    together = extract_pages(pages, MODEL)
    again = extract_pages(pages, MODEL)
    assert together.texts == again.texts
    assert together.confidence.tobytes() == again.confidence.tobytes()
    for number, page in enumerate(pages):
        assert extract_pages([page], MODEL).texts[0] == together.texts[number]


def soup_of_bytes(seed):
    """Random bytes that are mostly markup characters, as text."""
    source = random.Random(seed)  # noqa: S311 - a fixed sequence
    return "".join(source.choice("<>/=\"'!-&;#ap []\n\0é") for _ in range(3000))


@pytest.mark.parametrize("seed", range(12))
def test_noise_is_taken(seed):
    assert len(extract_pages([soup_of_bytes(seed)], MODEL).texts) == 1


HOSTILE = {
    "nested": lambda n: "<div>" * n + "deep" + "</div>" * n,
    "nested spans": lambda n: "<span hidden>" * n + "deep",
    "unclosed": lambda n: "<p><b><i><a href=x><li><td>x" * n,
    "end tags": lambda n: "<section>" * 500 + "</div></p></b></a></li></td></h1>" * n,
    "items": lambda n: "<div>" * 500 + "<li>x" * n,
    "paragraphs": lambda n: "<p>" + "<section>" * 500 + "<p>x" * n,
    "links": lambda n: "<a href=x>" + "<div>" * 500 + "<a href=x>x" * n,
    "cells": lambda n: "<table><tr>" + "<td>x" * n,
    "tables": lambda n: "<table><tr><td>" * n + "x",
    "headings": lambda n: "<div>" * 500 + "</h1>" * n,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_work_grows_with_the_page_and_no_faster(name):
    """Steps over open elements: a page of twice the tags may take twice the steps, never the square."""
    work = {n: parse_pages([HOSTILE[name](n)]).work for n in (5_000, 10_000)}
    assert work[10_000] <= 2.2 * work[5_000] + 10_000
    assert work[10_000] <= at.MAX_DEPTH * 12 * 10_000


def test_deep_nesting_gives_its_text():
    page = f"<body>{'<div>' * 100_000}<p>{SENTENCES}{'</div>' * 100_000}"
    assert "The river rises" in extract_pages([page], MODEL).texts[0].as_py()


def test_elements_are_bounded():
    parsed = parse_pages(["<div>x" * (at.MAX_ELEMENTS + 1000)])
    assert len(parsed.elements) <= at.MAX_ELEMENTS + 2
    assert len(parsed.blocks) - 1 == at.MAX_SEGMENTS


def test_segments_are_bounded_and_keep_their_text():
    pieces = at.MAX_SEGMENTS + 1000
    parsed = parse_pages(["<p>xy" * pieces, "<p>after"])
    assert len(parsed.segments) == at.MAX_SEGMENTS + 1
    assert parsed.text.tobytes().count(b"xy") == pieces
    last = parsed.block_text(at.MAX_SEGMENTS - 1)
    assert last.count("xy") == 1001
    assert parsed.block_text(at.MAX_SEGMENTS) == "after"


@pytest.mark.parametrize(
    "page",
    [
        "<p class='" + "x" * 2_000_000 + "'>text",
        "<p " + "a=b " * 500_000 + ">text",
        "<!--" + "- -- " * 400_000 + "--><p>text",
        "<script>" + "<!--<script>" * 100_000 + "</script>" * 2 + "<p>text",
    ],
    ids=["attribute", "attributes", "comment", "script"],
)
def test_large_pieces(page):
    assert parse_pages([page]).text.tobytes().endswith(b"text\n")
