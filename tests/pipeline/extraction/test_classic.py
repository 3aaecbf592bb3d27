"""Boilerpipe's decision tree against a plain statement of it, and both classic rules on plain pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.blocks import parse_pages
from pipeline.extraction.classic import boilerpipe, num_words_rule, reader
from pipeline.extraction.features import block_features
from tests.pipeline.extraction.reference import soups

PARAGRAPH = "<p>" + "Here is a sentence, with a comma, of the article. " * 6
PAGE = f"""<title>The article</title><div id=nav><ul><li><a href=a>Home</a><li><a href=b>News</a></ul></div>
<div class=article><h1>The article</h1>{PARAGRAPH}{PARAGRAPH}{PARAGRAPH}</div>
<div class=comments><p>Comments</p><p>I agree.</p></div><div class=footer><a href=c>Imprint</a></div>"""


def kept(rule, html):
    parsed = parse_pages([html])
    keep = rule(parsed, block_features(parsed))
    return [parsed.block_text(block) for block in range(len(keep)) if keep[block]]


def plain_rule(words, links, before, links_before, after):
    """NumWordsRulesClassifier as Kohlschuetter's code states it."""
    if links <= 0.333333:
        if links_before <= 0.555556:
            if words <= 16:
                return (after > 15) or (before > 4)
            return True
        return (words > 40) or (after > 17)
    return False


counts = st.sampled_from([0, 3, 4, 5, 15, 16, 17, 18, 40, 41, 100])
densities = st.sampled_from([0.0, 0.2, 0.34, 0.5, 0.55, 0.56, 1.0])


@given(counts, densities, counts, densities, counts)
def test_the_decision_tree(words, links, before, links_before, after):
    assert num_words_rule(words, links, before, links_before, after) == plain_rule(
        words, links, before, links_before, after
    )


@pytest.mark.parametrize("rule", [boilerpipe, reader])
def test_an_article_is_found(rule):
    found = kept(rule, PAGE)
    assert len([text for text in found if text.startswith("Here is")]) == 3
    assert not {"Home", "News", "Imprint", "Comments", "I agree."} & set(found)


def test_reader_takes_siblings_that_join():
    html = f"<div><div class=part>{PARAGRAPH * 3}</div><div class=part>{PARAGRAPH}</div><div><a href=x>link</a></div></div>"
    assert len(kept(reader, html)) == 4


@pytest.mark.parametrize("rule", [boilerpipe, reader])
@given(soup=soups)
def test_rules_take_any_soup(rule, soup):
    assert isinstance(kept(rule, soup), list)
