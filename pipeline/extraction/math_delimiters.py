r"""Formulas that stand in the text between TeX delimiters, waiting for MathJax or KaTeX in the reader's browser.

`\(x\)` becomes `$x$`; `\[x\]` and `\begin{align}...\end{align}` become `$$...$$`. `$$` and `$` stay as they are: where
a page has them as delimiters they are what is wanted, and where it has not, "$5 and $6" is a price.
"""

from __future__ import annotations

import re

LONGEST_FORMULA = 20_000
"""Characters of markup between delimiters; a longer distance means that they do not belong together."""

ENVIRONMENTS = "equation|align|alignat|gather|multline|eqnarray|displaymath|flalign"  # what MathJax typesets outside delimiters
_OPENING = re.compile(
    rf"(?<!\\)(?:\\\\)*(?P<mark>\\\(|\\\[|\$\$|\$|\\begin\s*\{{(?P<environment>(?:{ENVIRONMENTS})\*?)\}})"
    r"|\\\$"
)

LOADERS = (
    *(
        "mathjax.js",
        "mathjax@",
        "/mathjax/",
        "window.mathjax",
        "mathjax =",
        "mathjax=",
        "mathjax.hub",
        "tex2jax",
    ),
    *(
        "x-mathjax-config",
        "tex-mml-chtml",
        "tex-chtml",
        "tex-mml-svg",
        "tex-svg",
        "rendermathinelement",
        "auto-render",
    ),
)
"""What a page has, in lower case, that lets a script typeset the delimiters in its text."""

_SINGLE_DOLLAR = re.compile(r"""(["'])\$\1\s*,\s*(?:right\s*:\s*)?(["'])\$\2""")

LIVE_CLASSES = {"math", "arithmatex", "tex2jax_process", "mathjax_process"}
"""Elements whose delimiters count on every page (pandoc, Sphinx, Jupyter Book, arithmatex)."""

DEAD_CLASSES = {"tex2jax_ignore", "mathjax_ignore", "no-mathjax", "nomathjax"}
"""Elements that MathJax leaves alone, where they do not ask for it again."""

DEAD_ELEMENTS = frozenset(
    {"pre", "code", "annotation", "annotation-xml", "option", "samp", "kbd", "tt", "svg"}
)
"""Elements whose text is not typeset."""


def are_typeset(page: str) -> bool:
    """Whether a page loads or configures a script that typesets delimiters."""
    lower = page.lower()
    return any(loader in lower for loader in LOADERS)


def dollar_is_delimiter(script: str) -> bool:
    """Whether a configuration (MathJax 2 to 4, KaTeX) makes the single dollar a delimiter."""
    return _SINGLE_DOLLAR.search(script) is not None


def normalised(text: str, dollar: bool) -> tuple[str, int]:
    """A run of text with its formulas between dollars, and how many were changed. Entities stay as they are.

    `dollar` tells that `$...$` is a formula too: what stands in it is then not looked at.
    """
    made: list[str] = []
    changed, at = 0, 0
    closings = _Closings(text)
    while (found := _OPENING.search(text, at)) is not None:
        mark = found["mark"]
        left, right, closing = _delimiters(mark or "", found["environment"])
        end = -1 if mark is None or (mark == "$" and not dollar) else closings.next(closing, found.end())
        if not found.end() < end <= found.end() + LONGEST_FORMULA:
            made.append(text[at : found.end()])
            at = found.end()
            continue
        stop = end + len(closing)
        made.append(text[at : found.start("mark")])
        if mark in ("$", "$$"):
            made.append(text[found.start("mark") : stop])
        else:
            inside = text[found.start("mark") : stop] if found["environment"] else text[found.end() : end]
            made.append(left + inside.strip() + right)
            changed += 1
        at = stop
    return ("".join(made) + text[at:], changed) if changed else (text, 0)


class _Closings:
    """The next closing delimiter behind a position that only grows: the text is searched once for each."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next: dict[str, int] = {}

    def next(self, closing: str, start: int) -> int:
        """Where it stands next, not escaped; -1 where it does not."""
        at = self._next.get(closing, 0)
        if at < 0 or at >= start:
            return at
        at = self._text.find(closing, start)
        while at >= 0 and self._escaped(at):
            at = self._text.find(closing, at + 1)
        self._next[closing] = at
        return at

    def _escaped(self, at: int) -> bool:
        """Whether an odd number of backslashes stands before: `\\\\]` ends a row, not the formula."""
        before = at
        while before > 0 and self._text[before - 1] == "\\":
            before -= 1
        return (at - before) % 2 == 1


def _delimiters(mark: str, environment: str | None) -> tuple[str, str, str]:
    """The dollars to write at each side, and what closes the formula."""
    if mark in ("$", "$$"):
        return mark, mark, mark
    if mark == "\\(":
        return "$", "$", "\\)"
    if mark == "\\[":
        return "$$", "$$", "\\]"
    return "$$", "$$", f"\\end{{{environment}}}"
