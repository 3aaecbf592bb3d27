"""MathML without source: the LaTeX that it becomes, and markup that is no formula."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.extraction.mathml import to_latex
from pipeline.extraction.mathml_symbols import SYMBOLS, plain_letter
from pipeline.extraction.mathml_tree import MAX_DEPTH, MAX_NODES


def row(inner: str) -> str:
    return f"<math><mrow>{inner}</mrow></math>"


X, Y, TWO, PLUS = "<mi>x</mi>", "<mi>y</mi>", "<mn>2</mn>", "<mo>+</mo>"


@pytest.mark.parametrize(
    ("markup", "latex"),
    [
        (X + PLUS + TWO, "x+2"),
        (f"<mfrac>{X}{TWO}</mfrac>", r"\frac{x}{2}"),
        (f'<mfrac linethickness="0">{X}{TWO}</mfrac>', r"{x \atop 2}"),
        (f'<mfrac bevelled="true">{X}{TWO}</mfrac>', r"{x}/{2}"),
        (f"<msup>{X}{TWO}</msup>", "x^2"),
        (f"<msup>{X}<mrow>{TWO}{PLUS}{Y}</mrow></msup>", "x^{2+y}"),
        (f"<msup><mrow>{X}{PLUS}{Y}</mrow>{TWO}</msup>", "{x+y}^2"),
        (f"<msup><mrow><mo>(</mo>{X}{PLUS}{Y}<mo>)</mo></mrow>{TWO}</msup>", "{(x+y)}^2"),
        (f"<msubsup>{X}<mi>i</mi>{TWO}</msubsup>", "x_i^2"),
        (f"<msup><msup>{X}{TWO}</msup>{TWO}</msup>", "{x^2}^2"),
        (f"<msup>{X}<mo>′</mo></msup>", "x'"),
        (f"<msqrt>{X}{PLUS}{Y}</msqrt>", r"\sqrt{x+y}"),
        (f"<mroot>{X}<mn>3</mn></mroot>", r"\sqrt[3]{x}"),
        (f"<mi>α</mi>{X}", r"\alpha x"),
        ("<mi>sin</mi><mo>&#x2061;</mo><mi>x</mi>", r"\sin x"),
        ("<mi>Hom</mi>", r"\mathrm{Hom}"),
        ('<mi mathvariant="double-struck">R</mi>', r"\mathbb{R}"),
        ("<mi>ℝ</mi>", r"\mathbb{R}"),
        ("<mi>𝐯</mi>", r"\mathbf{v}"),
        ('<mi mathvariant="normal">Ω</mi>', r"\Omega"),
        ('<mi mathvariant="normal">d</mi>', r"\mathrm{d}"),
        (f"<mover><mo>∑</mo>{TWO}</mover>", r"\sum^2"),
        (
            "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>",
            r"\sum_{i=1}^n",
        ),
        (f"<munder><mi>lim</mi><mrow>{X}<mo>→</mo><mn>0</mn></mrow></munder>", r"\lim_{x\rightarrow 0}"),
        (f"<mover>{X}<mo>^</mo></mover>", r"\hat{x}"),
        (f"<mover><mrow>{X}{Y}</mrow><mo>^</mo></mover>", r"\widehat{xy}"),
        ('<mover accent="true"><mi>AB</mi><mo>→</mo></mover>', r"\overrightarrow{\mathrm{AB}}"),
        (f"<mover><mo>=</mo>{Y}</mover>", r"\overset{y}{=}"),
        (f"<mover><mo>→</mo>{Y}</mover>", r"\xrightarrow{y}"),
        (f"<munder><munder>{X}<mo>⏟</mo></munder><mi>n</mi></munder>", r"\underbrace{x}_n"),
        (f"<mo>(</mo><mfrac>{X}{Y}</mfrac><mo>)</mo>", r"\left( \frac{x}{y} \right)"),
        (f"<mo>(</mo>{X}<mo>)</mo>", "(x)"),
        (
            f"<mo>(</mo><mfrac>{X}{Y}</mfrac><mo>)</mo><mo>(</mo><mfrac>{X}{Y}</mfrac><mo>)</mo>",
            r"(\frac{x}{y})(\frac{x}{y})",
        ),
        (f'<mfenced open="[" close=")">{X}{Y}</mfenced>', "[x,y)"),
        (f"<menclose notation='box'>{X}</menclose>", r"\boxed{x}"),
        (f"<mphantom>{X}</mphantom>", r"\phantom{x}"),
        (f'{X}<mspace width="1em"/>{Y}', r"x\quad y"),
        (f'{X}<mspace width="-0.1667em"></mspace>{Y}', r"x\!y"),
        ("<mtext>if 50% &amp; more</mtext>", r"\text{if 50\% \& more}"),
        ("<mtext>a_b</mtext>", r"\text{a\_b}"),
        ("<mo>{</mo><mi>x</mi><mo>}</mo>", r"\{x\}"),
        (
            f"<mmultiscripts>{X}<mi>a</mi><mi>b</mi><mprescripts/><mi>c</mi><none/></mmultiscripts>",
            "{}_cx_a^b",
        ),
        (
            f"<mstyle displaystyle='true'><semantics>{X}<annotation>wrong</annotation></semantics></mstyle>",
            "x",
        ),
        (f"<mml:mfrac>{X.replace('mi', 'mml:mi')}{TWO}</mml:mfrac>", r"\frac{x}{2}"),
        ("<MI>x</MI><mo>&lt;</mo><mi>y", "x<y"),
        (f"<mfrac>{X}</mfrac>", r"\frac{x}{}"),
        ("", None),
    ],
)
def test_elements(markup: str, latex: str | None) -> None:
    assert to_latex(row(markup)) == latex


def table(rows: list[list[str]], **attributes: str) -> str:
    cells = "".join("<mtr>" + "".join(f"<mtd>{cell}</mtd>" for cell in each) + "</mtr>" for each in rows)
    written = "".join(f" {name}='{value}'" for name, value in attributes.items())
    return f"<mtable{written}>{cells}</mtable>"


@pytest.mark.parametrize(
    ("left", "right", "environment"),
    [("(", ")", "pmatrix"), ("[", "]", "bmatrix"), ("|", "|", "vmatrix"), ("{", None, "cases")],
)
def test_a_fenced_table_is_its_environment(left: str, right: str | None, environment: str) -> None:
    closing = f"<mo>{right}</mo>" if right else ""
    made = to_latex(row(f"<mo>{left}</mo>{table([[X, Y], [TWO, X]])}{closing}"))
    assert made == rf"\begin{{{environment}}} x & y \\ 2 & x \end{{{environment}}}"


def test_aligned_equations_and_numbered_ones() -> None:
    aligned = table([[X, f"<mo>=</mo>{Y}"]], columnalign="right left")
    assert to_latex(row(aligned)) == r"\begin{aligned} x & =y \end{aligned}"
    numbered = f"<mtable><mlabeledtr><mtd><mtext>(1.2)</mtext></mtd><mtd>{X}</mtd></mlabeledtr></mtable>"
    assert to_latex(row(numbered)) == r"x \tag{1.2}"


def test_bounds() -> None:
    def nested(depth: int) -> str:
        return "<math>" + "<msqrt>" * depth + X + "</msqrt>" * depth + "</math>"

    assert to_latex(nested(MAX_DEPTH - 1)) == r"\sqrt{" * (MAX_DEPTH - 1) + "x" + "}" * (MAX_DEPTH - 1)
    assert to_latex(nested(MAX_DEPTH + 1)) is None
    assert to_latex(nested(1_000_000)) is None
    assert to_latex(f"<math>{X * (MAX_NODES + 1)}</math>") is None
    scripts = "<mmultiscripts><mi>a</mi>" * 90 + X + "</mmultiscripts>" * 90
    assert to_latex(f"<math>{scripts}</math>") is not None  # twice the work a level would take 2^90 steps


@pytest.mark.parametrize("markup", ["", "<mi>x</mi>", "no markup", "<math/><mi>x</mi>", "<math></math>", "<"])
def test_what_is_no_formula(markup: str) -> None:
    assert to_latex(markup) is None


NAMES = "mi mo mn mtext mrow mfrac msup msub msubsup munderover mover mtable mtr mtd mfenced msqrt menclose mmultiscripts"
pieces = st.one_of(
    st.sampled_from([f"<{name}>" for name in NAMES.split()] + [f"</{name}>" for name in NAMES.split()]),
    st.sampled_from(
        ["<none/>", "<mprescripts/>", "x", "α", "(", ")", "{", "&lt;", "&#0;", "\\", "$", "<", '<mi a="']
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces, max_size=40))
def test_any_soup_gives_balanced_braces_or_nothing(soup: list[str]) -> None:
    made = to_latex("<math>" + "".join(soup) + "</math>")
    assert made == to_latex("<math>" + "".join(soup) + "</math>")
    if made is not None:
        bare = made.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
        assert bare.count("{") == bare.count("}")


def test_symbols_are_commands_or_characters() -> None:
    assert all(len(character) == 1 for character in SYMBOLS)
    assert SYMBOLS["≤"] == r"\leq"
    assert SYMBOLS["{"] == r"\{"
    assert [plain_letter(character) for character in "ℒ𝔤𝑥é√"] == [
        ("L", "mathcal"),
        ("g", "mathfrak"),
        ("x", None),
        ("é", None),
        ("√", None),
    ]
