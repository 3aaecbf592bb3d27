"""Markdown of kept blocks: the structures it has, what is escaped, and the same words as the plain text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.words import split_words
from pipeline.extraction.blocks import parse_pages
from pipeline.extraction.markdown import render_markdown
from pipeline.extraction.render import render_text


def markdown(page: str, drop: str | None = None) -> str:
    """The Markdown of a page of which all blocks are kept but those that hold a text."""
    parsed = parse_pages([page])
    blocks = range(len(parsed.blocks) - 1)
    keep = np.array([drop is None or drop not in parsed.block_text(block) for block in blocks], np.bool_)
    return str(render_markdown(parsed, keep)[0].as_py())


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("<h1>A <b>b</b></h1><p>c</p><h3>d<br>e</h3>", "# A b\n\nc\n\n### d e"),
        ("<p>a<br>b</p>", "a  \nb"),
        ("<ul><li>a<li>b</ul><p>c", "- a\n- b\n\nc"),
        ("<ol><li>a<ul><li>b<ol><li>c</ol></ul><li>d</ol>", "1. a\n   - b\n     1. c\n2. d"),
        ("<ul><li><p>a</p><p>b</p></li></ul><p>c", "- a\n\n  b\n\nc"),
        ("<ul><li>a<br>b</ul>", "- a  \n  b"),
        ("<blockquote><p>a<p>b</blockquote>c", "> a\n>\n> b\n\nc"),
        ("<blockquote>a<blockquote>b</blockquote></blockquote>", "> a\n>\n> > b"),
        ("<blockquote><ul><li>a<li>b</ul></blockquote>", "> - a\n> - b"),
        ("<ul><li>a<blockquote>b</blockquote></ul>", "- a\n\n  > b"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        (
            "<table><tr><td>a<td>b<td>c<tr><td>1<td><td>3|4</table>",
            "| a | b | c |\n| --- | --- | --- |\n| 1 |  | 3\\|4 |",
        ),
        ("<pre>  a  \n\n\tb</pre>", "```\n  a  \n\n\tb\n```"),
        ("<pre>````</pre>", "`````\n````\n`````"),
        ("<pre><code class='hljs language-C++'>x</code></pre>", "```c++\nx\n```"),
        ("<pre class='brush: py; gutter: false'>x</pre>", "```py\nx\n```"),
        ("<pre data-lang='rust'>x</pre>", "```rust\nx\n```"),
        ("<div class='highlight-python3 notranslate'><div class=highlight><pre>x</pre></div></div>", "```python3\nx\n```"),
        ("<pre class='sourceCode bash'>x</pre>", "```bash\nx\n```"),
        ("<pre><code class='language-none'>x</code></pre>", "```\nx\n```"),
        ("<ul><li>a<pre>b</pre><li>c</ul>", "- a\n\n```\nb\n```\n\n- c"),
        ("<p>$a_1 * b$ and *c* [d](e) `f`", "$a_1 * b$ and *c* [d](e) `f`"),
        ("", ""),
    ],
)  # fmt: skip
def test_structures(page: str, made: str) -> None:
    assert markdown(page) == made


@pytest.mark.parametrize(
    "line", ["# a", "> a", "- a", "+ a", "* a", "1. a", "12) a", "```", "~~~ a", "---", "===", "| a |"]
)
def test_text_that_only_looks_like_structure_is_escaped(line: str) -> None:
    made = markdown(f"<p>{line.replace('>', '&gt;')}</p>")
    assert made == (line[: line.index(line.lstrip("0123456789")[0])] + "\\" + line.lstrip("0123456789"))
    assert made.replace("\\", "") == line


@pytest.mark.parametrize("line", ["#tag", "-5 degrees", "1.5 m", "2020 was", "a # b", "*a*", "`a`", "--- a"])
def test_other_text_is_not(line: str) -> None:
    assert markdown(f"<p>{line}</p>") == line


def test_dropped_blocks_leave_well_formed_structure() -> None:
    nested = "<ul><li>gone<ul><li>a<li>b</ul></ul>"
    assert markdown(nested, drop="gone") == "- a\n- b"
    table = "<table><tr><th>gone<th>x<tr><td>1<td>2<tr><td>3<td>4</table>"
    assert markdown(table, drop="gone") == "| 1 | 2 |\n| --- | --- |\n| 3 | 4 |"


def test_posts_stand_in_their_order() -> None:
    posts = "".join(f"<div class=post><p>post {number}</p><ul><li>x</ul></div>" for number in range(5))
    made = markdown(posts)
    assert [made.index(f"post {number}") for number in range(5)] == sorted(
        made.index(f"post {n}") for n in range(5)
    )


def test_pages_of_a_chunk_are_apart() -> None:
    parsed = parse_pages(["<ul><li>a</ul>", "", "<p>b"])
    assert render_markdown(parsed, np.ones(2, np.bool_)).to_pylist() == ["- a", "", "b"]
    assert render_markdown(parsed, np.zeros(2, np.bool_)).to_pylist() == ["", "", ""]
    assert render_markdown(parse_pages([]), np.zeros(0, np.bool_)).to_pylist() == []


NAMES = "p h2 ul ol li blockquote table tr td th pre code div b dl dd main br".split()  # noqa: SIM905 - readable
PIECES = [f"<{name}>" for name in NAMES] + [f"</{name}>" for name in NAMES]
PIECES += [
    "some words",
    "# x",
    "1. y",
    "a|b",
    "```",
    "- z",
    "&gt; q",
    "\n",
    "é\u4e2d",
    "$x$",
    "hidden <i hidden>no</i>",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.data())
def test_markdown_has_the_words_of_the_plain_text(pieces: list[str], data: st.DataObject) -> None:
    parsed = parse_pages(["".join(pieces)])
    blocks = len(parsed.blocks) - 1
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=blocks, max_size=blocks)), np.bool_)
    text, made = render_text(parsed, keep)[0].as_py(), render_markdown(parsed, keep)[0].as_py()
    assert split_words(made) == split_words(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="a `~\n\t*#<&", max_size=40))
def test_code_is_exact(code: str) -> None:
    page = "<pre>\n" + code.replace("&", "&amp;").replace("<", "&lt;") + "</pre>"
    parsed = parse_pages([page])
    keep = np.ones(len(parsed.blocks) - 1, np.bool_)
    text, made = render_text(parsed, keep)[0].as_py(), render_markdown(parsed, keep)[0].as_py()
    if text:
        fence, _, rest = made.partition("\n")
        assert set(fence) == {"`"}
        assert rest.endswith("\n" + fence)
        assert rest.removesuffix(fence) == (text if text.endswith("\n") else text + "\n")
        assert fence not in rest[: -len(fence)]


@pytest.mark.parametrize("unit", ["<blockquote>a", "<ul><li>a", "<ol><li>a", "<table><tr><td>a<td>b"])
def test_structure_does_not_outgrow_the_page(unit: str) -> None:
    lengths = [len(markdown(unit * count)) for count in (500, 1000, 2000)]
    assert lengths[2] - lengths[1] <= 2.2 * (lengths[1] - lengths[0])
    assert lengths[2] <= 60 * 2000


def test_wide_tables_are_not_filled_up() -> None:
    cells = "<td>x" * 1_000
    made = markdown(f"<table><tr>{cells}" + "<tr><td>y<td>z" * 500 + "</table>")
    assert made.count("x") == 1_000
    assert made.count("y") == 500
    assert len(made) < 200_000
