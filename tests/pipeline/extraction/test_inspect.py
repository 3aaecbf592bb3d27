"""The report of a page: what it shows, that nothing of the page acts in it, and where pages are found."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.extraction.inspect import contributions, inspect_page, report
from pipeline.extraction.settings import ExtractionSettings
from pipeline.extraction.trees import Trees
from tests.jobs.corpus import article
from tests.pipeline.sources import archives

READER = ExtractionSettings(extractor="reader")
URL = "https://example.org/<script>alert(1)</script>"
EVIL = f"""
<html><head><title>A "title" </title><meta name=author content="&lt;img src=x onerror=alert(1)&gt;"></head>
<body onload=alert(1)><div class='post "><script>alert(2)</script>' id="<b>">
<p>{article(1)} &lt;script&gt;alert(3)&lt;/script&gt; \u202egnp</p><math alttext="x&lt;y"></math></div>
<nav><a href="javascript:alert(4)">Home {{{{ 7 * 7 }}}}</a></nav></body></html>
"""


class Tags(HTMLParser):
    """All tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_blocks_with_their_verdicts() -> None:
    made = report(EVIL, URL, READER)
    shown = Tags(made)
    assert "1 formulas" in shown.text
    assert "1 of 2 blocks kept" in " ".join(shown.text.split()) or "2 of" in " ".join(shown.text.split())
    assert article(1)[:100] in shown.text
    assert "Home" in shown.text
    assert made.count('<section class="kept">') >= 1
    assert "$x<y$" in shown.text
    assert "nav" in shown.text


def test_nothing_of_the_page_acts() -> None:
    made = report(EVIL, URL, READER)
    shown = Tags(made)
    assert not shown.names & {"script", "img", "iframe", "link", "object", "a", "form", "svg", "math"}
    assert not [
        name for name in shown.attributes if name.startswith("on") or name in ("src", "href", "style")
    ]
    assert "<script" not in made.lower()
    assert "default-src 'none'" in made
    assert "{{ 7 * 7 }}" in shown.text
    assert "\u202e" not in made
    assert "U+202E" in made


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(["<p>", "<script>", "</p>", '"', "'", "&lt;", "<", "text ", "<b ", "\x00", "\ud800"]),
        max_size=12,
    )
)
def test_any_page_gives_the_same_tags(pieces: list[str]) -> None:
    known = set("html head meta title style body header h1 p b dl dt dd i input label main div span".split())  # noqa: SIM905
    known |= set("section small ul li details summary pre".split())  # noqa: SIM905
    assert Tags(report("".join(pieces), "x", READER)).names <= known


def test_a_file(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_bytes(f"<meta charset=windows-1252><p>caf\u00e9 {article(2)}".encode("windows-1252"))
    out = inspect_page(str(page), str(tmp_path / "out.html"), settings=READER)
    made = Path(out).read_text("utf-8")
    assert "caf\u00e9" in made
    assert "windows-1252" in made
    again = inspect_page(str(page), str(tmp_path / "again.html"), settings=READER)
    assert Path(again).read_bytes() == Path(out).read_bytes()


def test_a_page_of_an_archive(tmp_path: Path) -> None:
    records = [archives.page(str(number), b"<p>" + article(3).encode()) for number in range(3)]
    archives.archive(tmp_path, records)
    out = str(tmp_path / "out.html")
    inspect_page("http://example.org/1", out, inputs=[str(tmp_path / "*.warc.gz")], settings=READER)
    assert "http://example.org/1" in Path(out).read_text("utf-8")
    with pytest.raises(UserError, match=r"is not in the input \(3 addresses\).*Did you mean"):
        inspect_page("http://example.org/9", out, inputs=[str(tmp_path / "*.warc.gz")], settings=READER)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is fetched"):
        inspect_page("https://example.org/", str(tmp_path / "out.html"))
    with pytest.raises(UserError, match="cannot be read"):
        inspect_page(str(tmp_path / "no.html"), str(tmp_path / "out.html"))


def small_trees() -> Trees:
    """Two trees over three features: x0 <= 1 ? (x2 <= 5 ? -1 : 2) : 4, and one leaf of 0.5."""
    return Trees(
        roots=np.array([0, -4], np.int32),
        features=np.array([0, 2], np.int16),
        thresholds=np.array([1, 5], np.float32),
        left=np.array([1, -1], np.int32),
        right=np.array([-3, -2], np.int32),
        leaves=np.array([-1, 2, 4, 0.5], np.float32),
    )


def test_contributions_add_up_to_the_score() -> None:
    trees = small_trees()
    matrix = np.array([[0, 9, 0], [0, 9, 7], [3, 9, 0]], np.float32)
    made = contributions(trees, matrix)
    scores = np.log(trees.probabilities(matrix) / (1 - trees.probabilities(matrix)))
    np.testing.assert_allclose(scores.mean() + made.sum(axis=1), scores, rtol=1e-4)
    assert (made[:, 1] == 0).all()
    np.testing.assert_allclose(made[0], [0.5 - 5 / 3, 0, -1.5], rtol=1e-5)
    assert contributions(trees, matrix[:0]).shape == (0, 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-2, 8)] * 3), min_size=1, max_size=8))
def test_what_all_blocks_share_is_no_reason(rows: list[tuple[int, int, int]]) -> None:
    matrix = np.array(rows, np.float32)
    made = contributions(small_trees(), matrix)
    for feature in range(3):
        if len(set(matrix[:, feature])) == 1:
            np.testing.assert_allclose(made[:, feature], 0, atol=1e-6)
    np.testing.assert_allclose(made.sum(axis=0).sum(), 0, atol=1e-4)
