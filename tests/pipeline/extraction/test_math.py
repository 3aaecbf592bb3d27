"""Formulas of pages as LaTeX in their text: every form in which pages show them, once each, and nothing else changed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.extraction import math, math_scan
from pipeline.extraction.math import insert_formulas, insert_in_page
from pipeline.extraction.math_delimiters import normalised
from pipeline.extraction.math_markers import MARKS, has_mark
from pipeline.extraction.math_scan import RAW_TEXT, OpenElements, attributes_of, tags
from pipeline.extraction.math_sources import clean, looks_like_tex

MATHML = (
    "<math{0}><semantics><mrow><mi>k</mi><mo>&lt;</mo><mn>2</mn></mrow>"
    '<annotation encoding="application/x-tex">k &lt; 2</annotation></semantics></math>'
)
KATEX = (
    f'<span class="katex"><span class="katex-mathml">{MATHML.format("")}</span>'
    '<span class="katex-html" aria-hidden="true"><span class="mord">k</span>&lt;<span>2</span></span></span>'
)
MATHJAX_2 = (
    '<span class="MathJax_Preview">k < 2</span><span class="MathJax" id="MathJax-Element-1-Frame"><nobr>k2</nobr>'
    '<span class="MJX_Assistive_MathML"><math><mi>k</mi></math></span></span>\n'
    '<script type="math/tex" id="MathJax-Element-1">k < 2</script>'
)
WIKIPEDIA = (
    '<span class="mwe-math-element"><span class="mwe-math-mathml-inline" style="display: none;">'
    '<math alttext="{\\displaystyle k&lt;2}"><mi>k</mi></math></span>'
    '<img class="mwe-math-fallback-image-inline" alt="{\\displaystyle k&lt;2}" src="x.svg"></span>'
)
MATHJAX_3 = (
    '<mjx-container class="MathJax" jax="CHTML"{0}><mjx-math><mjx-mi><mjx-c class="mjx-c1D458"></mjx-c></mjx-mi>'
    "</mjx-math><mjx-assistive-mml><math><mi>k</mi><mo>&lt;</mo><mn>2</mn></math></mjx-assistive-mml></mjx-container>"
)
LOADER = '<script src="https://cdn/mathjax@3/es5/tex-chtml.js"></script>'


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (KATEX, "$k &lt; 2$"),
        (f'<span class="katex-display">{KATEX}</span>', "<br>$$k &lt; 2$$<br>"),
        (MATHML.format(""), "$k &lt; 2$"),
        (MATHML.format(' display="block"'), "<br>$$k &lt; 2$$<br>"),
        (MATHJAX_2, "$k &lt; 2$"),
        ('<script type="math/tex; mode=display">% <![CDATA[\nk < 2 %]]></script>', "<br>$$k &lt; 2$$<br>"),
        ('<script type="math/mml"><math><mi>k</mi></math></script>', "$k$"),
        (WIKIPEDIA, "$k&lt;2$"),
        (MATHJAX_3.format(""), "$k&lt;2$"),
        (MATHJAX_3.format(' display="true"'), "<br>$$k&lt;2$$<br>"),
        ('<mjx-container><mjx-math data-latex="k &lt; 2"><mjx-mi data-latex="k"></mjx-mi></mjx-math></mjx-container>',
         "$k &lt; 2$"),
        ('<span class="MathJax" data-mathml="&lt;math&gt;&lt;mi&gt;k&lt;/mi&gt;&lt;/math&gt;"><nobr>k</nobr></span>',
         "$k$"),
        ('<math class="ltx_Math" alttext="k^{2}"><mi>k</mi></math>', "$k^{2}$"),
        ('<math alttext="k squared over two"><msup><mi>k</mi><mn>2</mn></msup></math>', "$k^2$"),
        ("<mml:math><mml:mi>k</mml:mi></mml:math>", "$k$"),
        ('<img class="latex" alt="k &lt; 2" src="https://s0.wp.com/latex.php?latex=k">', "$k &lt; 2$"),
        ('<img src="https://s0.wp.com/latex.php?latex=%5Calpha+%2B+1&#038;bg=ffffff&#038;fg=000">', r"$\alpha + 1$"),
        (r'<img src="https://latex.codecogs.com/gif.latex?\dpi{110}&space;\bg_white&space;\Delta&space;x">',
         r"$\Delta x$"),
        ('<img src="http://chart.apis.google.com/chart?cht=tx&chl=a%2Bb&chs=20">', "$a+b$"),
        ('<img src="/cgi-bin/mimetex.cgi?\\Large x^2">', "$\\Large x^2$"),
        ('<img src="https://www.zhihu.com/equation?tex=a%5E2" alt="[公式]">', "$a^2$"),
        ('<span class="ztext-math" data-tex="k_1"><span>k1</span></span>', "$k_1$"),
        ('<span class="ql-formula" data-value="e^x">﻿<span>ex</span></span>', "$e^x$"),
        ('<div class="latex-rendered" data-attrs="{&quot;persistentExpression&quot;:&quot;\\\\frac12&quot;}"></div>',
         r"$\frac12$"),
        ('<p class="hurmet-tex" data-entry="E = mc^2"><math display="block"><mi>E</mi></math></p>',
         "<br>$$E = mc^2$$<br>"),
        ("<d-math block>\n k &lt; 2 </d-math>", "<br>$$k &lt; 2$$<br>"),
        ('<span class="wp-katex-eq" data-display="true">k_1</span>', "<br>$$k_1$$<br>"),
    ],
)  # fmt: skip
def test_every_form_becomes_its_source_once(markup: str, text: str) -> None:
    page = f"<!doctype html><p title='a>b'>Let {markup}, then.</p>"
    made, count = insert_in_page(page)
    assert made == page.replace(markup, text)
    assert count == 1
    assert has_mark(page) == has_mark(page.upper())


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (r"\(x\)", "$x$"),
        (r"so \( x < y \), and \[ y \] ", r"so $x < y$, and $$y$$ "),
        (r"\[ a \\[2pt] b \]", r"$$a \\[2pt] b$$"),
        (r"\begin{align*} a &amp;= b \end{align*}", r"$$\begin{align*} a &amp;= b \end{align*}$$"),
        (r"$$\text{\(x\)}$$ \(y\)", r"$$\text{\(x\)}$$ $y$"),
        (r"\\(x\)", r"\\(x\)"),
        (r"\(x", r"\(x"),
        (r"x\)", r"x\)"),
        (r"\(\)", r"\(\)"),
        ("$5 and $6", "$5 and $6"),
        (r"$5 \(x\) $6", r"$5 $x$ $6"),
        (r"\begin{matrix}x\end{matrix}", r"\begin{matrix}x\end{matrix}"),
        (r"C:\(dir)\[1]", r"C:\(dir)\[1]"),
    ],
)
def test_delimiters(text: str, made: str) -> None:
    assert normalised(text, dollar=False)[0] == made


def test_a_configured_dollar_shields_what_it_encloses() -> None:
    assert normalised(r"$\text{if \(x\)}$ \(y\)", dollar=True) == (r"$\text{if \(x\)}$ $y$", 1)


def test_delimiters_count_where_a_script_typesets_them() -> None:
    body = r"<p>\(a\)</p><pre>\(b\)</pre><code>\(c\)</code><div class='tex2jax_ignore'>\(d\)<b class=math>\(e\)</b></div>"
    body += r"<script>f('\(g\)')</script><p>\(h<!-- x --><br>\)"
    made, count = insert_in_page(LOADER + body)
    expected = (
        body.replace(r"\(a\)", "$a$")
        .replace(r"\(e\)", "$e$")
        .replace(r"\(h<!-- x --><br>\)", "$h<!-- x --><br>$")
    )
    assert (made, count) == (LOADER + expected, 3)
    unmarked = body.replace("class=math", "").replace("tex2jax_ignore", "")
    assert insert_in_page(unmarked) == (unmarked, 0)


def test_stackexchange_groups_go() -> None:
    page = '<script>MathJax = {tex: {inlineMath: [["$", "$"]]}}</script><div>$\\begingroup$ text $x$ $\\endgroup$</div>'
    assert insert_in_page(page)[0].endswith("<div> text $x$ </div>")


def test_latexml_equation_tables_are_no_tables() -> None:
    cell = '<td class="ltx_eqn_cell"><math alttext="x"></math></td>'
    page = f'<table class="ltx_eqn_table"><tbody><tr>{cell}<td>(1)</td></tr></tbody></table><table><tr><td>a</table>'
    made, _ = insert_in_page(page)
    assert made == (
        '<div class="ltx_eqn_table"><div><div><span class="ltx_eqn_cell">$x$</span><span>(1)</span></div></div></div>'
        "<table><tr><td>a</table>"
    )


def test_neighbours_do_not_share_a_dollar() -> None:
    assert insert_in_page('<math alttext="a"></math><math alttext="b"></math>')[0] == "$a$ $b$"
    assert insert_in_page('<math alttext="a"> </math>b')[0] == "$a$ b"
    assert insert_in_page('<math alttext="a"> </math>, <math alttext="n"></math>th')[0] == "$a$, $n$th"
    assert insert_in_page('US$<math alttext="a"></math>')[0] == "US$ $a$"


@pytest.mark.parametrize(
    "page",
    [
        "<p>$5 and $6, f(x) = \\(x\\)</p>",
        "<p>I like <b>mathematics</b> &amp; latex gloves</p>",
        "<math></math>",
        "<math><mi></mi></math>",
        "<!-- <math alttext='x'></math> --><script>'<math alttext=\"x\"></math>'</script>",
        "<a title='<math alttext=x></math>'>katex</a>",
        "<noscript><img class='latex' alt='x'></noscript>",
        "<textarea><math alttext='x'></math></textarea><title><math alttext='x'></math></title>",
        "<img class='photo' alt='x^2' src='cat.png'><img class='latex'>",
        "<span class='katex'>unclosed <p>the rest of the page",
        "<span class='katex-other'>x</span>",
        "<span class='katex'><span>no source</span></span>",
        "<span data-math=''>x</span><span data-latex='two plain words here'>x</span>",
        '<script type="math/tex"> </script>',
        "",
    ],
)
def test_pages_without_formulas_keep_every_byte(page: str) -> None:
    assert insert_in_page(page) == (page, 0)


def test_an_element_that_never_ends_does_not_hide_what_follows() -> None:
    page = '<span class="katex">open<p>text</p><math alttext="x"></math>'
    assert insert_in_page(page) == ('<span class="katex">open<p>text</p>$x$', 1)
    long = '<span class="katex">' + "<b></b>" * 100_000 + "</span>"
    assert insert_in_page(long + '<math alttext="x"></math>') == (long + "$x$", 1)


def test_a_formula_ends_with_the_element_around_it() -> None:
    assert (
        insert_in_page('<p><b><span class="katex"><math alttext="x"></math></b> text</p>')[0]
        == "<p><b>$x$</b> text</p>"
    )


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{\\displaystyle {\\frac {1}{2}}}", "{\\frac {1}{2}}"),
        ("{\\displaystyle a}+{b}", "{\\displaystyle a}+{b}"),
        ("\\displaystyle x", "x"),
        ("\\displaystyleX", "\\displaystyleX"),
        (" $x$ ", "x"),
        ("$$x$$", "x"),
        ("\\(x\\)", "x"),
        ("\\text{if $x$ and $y$}", "\\text{if \\(x\\) and \\(y\\)}"),
        ("5\\$", "5\\$"),
        ("a$b", "ab"),
        ("a % comment\n+ b", "a + b"),
        ("50\\% + x", "50\\% + x"),
        ("x\\ ", "x"),
        ("x \\\\", "x \\\\"),
        ("\\", None),
        ("  ", None),
        ("x" * 40_000, None),
    ],
)
def test_clean(source: str, made: str | None) -> None:
    assert clean(source) == made


def test_alternative_texts_in_words_are_no_source() -> None:
    assert not looks_like_tex("a squared plus b squared")
    assert not looks_like_tex("x squared")
    assert not looks_like_tex("formula")
    assert not looks_like_tex("[公式]")
    assert looks_like_tex("α+β")
    assert not looks_like_tex("Graph 3 shows that")
    assert not looks_like_tex("  ")
    assert looks_like_tex("a^2+b")
    assert looks_like_tex("x")
    assert looks_like_tex("abc")
    assert looks_like_tex("\\text{if and only if}")


MARKUP = [
    KATEX,
    MATHJAX_2,
    WIKIPEDIA,
    MATHML.format(""),
    LOADER,
    "\\(x\\)",
    "\\[",
    "\\]",
    "$",
    "$$",
    "text ",
    "<br>",
]
MARKUP += [
    "<span class='katex'>",
    "</span>",
    "<p>",
    "</p>",
    "<math>",
    "</math>",
    "<mi>x",
    '<script type="math/tex">y',
]
MARKUP += [
    "</script>",
    "<!--",
    "-->",
    "<a href='",
    '"',
    "<img class=latex alt=z>",
    "\x00",
    "\ud800",
    "é",
    "<",
    "&lt;",
]
MARKUP += ['<table class="ltx_eqn_table"><tr><td>', "</td></tr></table>", "<pre>", "</pre>", "<d-math>"]


def words(page: str) -> list[str]:
    return re.findall(r"[a-zé]+", page)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(MARKUP), max_size=30))
def test_any_soup(soup: list[str]) -> None:
    """Never raises, gives the same twice, and finds no second formula in its own result."""
    page = "".join(soup)
    made, count = insert_in_page(page)
    assert insert_in_page(page) == (made, count)
    assert count <= page.count("<") + page.count("\\")
    if not count and made != page:
        pytest.fail("changed without a formula")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abc $5\\()[]<>&;\n", max_size=60))
def test_pages_without_marks_are_the_same_object(text: str) -> None:
    (made,), counts = insert_formulas([text])
    assert made is text
    assert counts.to_pylist() == [0]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*MARKS, "<m", "ma", "é", "kat", "KaTeX", "\ud800"]), max_size=4).map("".join)
)
def test_marks(page: str) -> None:
    folded = "".join(chr(ord(c) | 0x20) if c < "\x80" else c for c in page)
    wanted = ["".join(chr(ord(c) | 0x20) for c in mark) for mark in MARKS]
    assert has_mark(page) == any(mark in folded for mark in wanted)


def test_a_chunk() -> None:
    pages = [
        "<p>a</p>",
        "<p>\u00e9 <math alttext='x'></math></p>",
        "",
        "<i data-tex='y'></i><math alttext='z'></math>",
    ]
    made, counts = insert_formulas(pages)
    assert made == ["<p>a</p>", "<p>\u00e9 $x$</p>", "", "$y$ $z$"]
    assert counts.to_pylist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    "unit",
    [
        "<span class='katex'>",
        "<span class='katex'><p>",
        "<span class='katex'>x</div>",
        "<math>",
        "<math><mi>x",
        '<math><annotation encoding="tex">',
        "<math><!--",
        '<math><a href="',
        '<script type="math/tex">',
        "<div class=math>\\(",
    ],
)
def test_no_part_of_a_page_is_read_more_than_twice(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: tags read, and characters handed on as a formula's markup."""
    read = []

    def counted(page: str, start: int = 0) -> Iterator[math_scan.Tag]:
        for tag in tags(page, start):
            read.append(tag)
            yield tag

    def markup(text: str) -> None:
        read.extend(text)

    monkeypatch.setattr(math, "tags", counted)
    monkeypatch.setattr(math.sources, "of_markup", markup)
    page = unit * 500
    assert insert_in_page(page) == (page, 0)
    assert len(read) <= 2 * len(page)


def test_tags() -> None:
    page = "a<B x='>'>c<!-- <i> --></B ><br/><script >'</i>'</SCRIPT><!x><p"
    found = [(tag.name, tag.is_end, tag.raw) for tag in tags(page)]
    assert found == [
        ("b", False, None),
        ("", False, None),
        ("b", True, None),
        ("br", False, None),
        ("script", False, "'</i>'"),
        ("", False, None),
        ("p", False, None),
    ]
    assert "script" in RAW_TEXT
    assert attributes_of(""" A=1 b='x y' c="&lt;" d a=2 e = f/""") == {
        "a": "1",
        "b": "x y",
        "c": "<",
        "d": "",
        "e": "f/",
    }


def test_open_elements() -> None:
    opened: OpenElements[int] = OpenElements(0)
    for number, tag in enumerate(tags("<a><b><br><c>"), 1):
        opened.push(tag, number)
    assert (len(opened), opened.state) == (3, 4)
    assert opened.pop("x") is None
    assert opened.pop("b") == 2
    assert (len(opened), opened.state) == (1, 1)
    opened.cut(0)
    assert opened.pop("a") is None
