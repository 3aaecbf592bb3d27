"""Formulas of web pages as LaTeX in their text, before the body is extracted: `$...$` and `$$...$$`, each once.

Pages show mathematics as rendered markup whose LaTeX source is hidden beside it (MathJax, KaTeX, MediaWiki, LaTeXML), as
MathML, as images (WordPress, CodeCogs), as script elements, or as text between delimiters that a script will typeset.
Extractors drop the hidden part, or take both. Here every formula is replaced in the markup by its source, or by its MathML
converted, so that any extractor reads it as text.

Only pages that show one of the marks of mathematics are read (`pipeline.extraction.math_markers`), and of these nothing
but the formulas is changed: the page is not parsed and written anew, so every other byte stays. A formula that cannot be
read stays as it is.

    math_markers     which pages of a chunk can hold formulas
    math_scan        markup -> tags and open elements
    math_sources     one formula's markup -> its LaTeX
    math_delimiters  delimiters in text -> dollars
    mathml           MathML without source -> LaTeX
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from filters.measures import Column
from pipeline.extraction import math_delimiters as delimiters
from pipeline.extraction import math_sources as sources
from pipeline.extraction.math_markers import show_mathematics
from pipeline.extraction.math_scan import OpenElements, Tag, attributes_of, tags

FORMULAS = Column("page.formulas", pa.int32(), "formulas that were put into the text as LaTeX")

LONGEST_MARKUP = 1 << 19
"""Characters of markup of the longest formula; an element that goes on is no formula."""

_BLOCKS = frozenset(
    """address article aside blockquote body dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p
    pre section ul""".split()  # noqa: SIM905 - readable
)
"""Elements that no rendered formula holds: one inside means that an end tag is missing."""

_MATHJAX_2 = """
MathJax MathJax_Display MathJax_SVG MathJax_SVG_Display MathJax_CHTML MathJax_PHTML MathJax_MathML mjx-chtml
"""
_RENDERED_CLASSES = {
    **dict.fromkeys(_MATHJAX_2.split(), "mathjax2"),
    "MathJax_Preview": "preview",
    "katex-display": "katex",
    "katex": "katex",
    "katex-mathml": "katex",
    "mwe-math-element": "wikipedia",
    "mwe-math-mathml-inline": "wikipedia",
    "mwe-math-mathml-display": "wikipedia",
}
_RENDERED_ELEMENTS = {"mjx-container": "mathjax3", "mjx-assistive-mml": "mathjax3", "math": "mathml"}
_TEX_ELEMENTS = frozenset({"d-math", "dt-math", "tex-math", "amp-mathml"})
_TEX_CLASSES = frozenset({"wp-katex-eq", "katex-eq"})
_GROUPS = frozenset({"\\begingroup", "\\endgroup"})
"""What StackExchange puts around posts so that their macros stay theirs; nothing is shown."""

_HINTS = ("ath", "tex", "mjx", "formula", "expr", "equation", "ltx_eqn", "cht=tx")
_LAYOUT = {"table": "div", "tbody": "div", "thead": "div", "tr": "div", "td": "span", "th": "span"}


@dataclass(frozen=True, slots=True)
class _State:
    """What holds inside an element: whether delimiters count, what a tag of LaTeXML's layout is renamed to."""

    live: bool
    renamed: str | None = None
    layout: bool = False


@dataclass(slots=True)
class _Region:
    """An element that shows a formula, not yet closed."""

    kind: str
    start: Tag
    depth: int
    source: str | None


@dataclass(slots=True)
class _Piece:
    """A part of the page that is written: markup as it was, or a formula. `kind` is what made it."""

    text: str
    kind: str = ""
    source: str = ""


def insert_formulas(pages: Sequence[str]) -> tuple[list[str], pa.Array]:
    """The pages of a chunk with their formulas as LaTeX, and how many each had (`page.formulas`).

    A page without mathematics is the same object as before.
    """
    results = list(pages)
    counts = [0] * len(results)
    for row in show_mathematics(pages):
        results[row], counts[row] = insert_in_page(pages[row])
    return results, pa.array(counts, pa.int32())


def insert_in_page(page: str) -> tuple[str, int]:
    """One page with its formulas as LaTeX, and how many there were; the same page where there are none.

    Time is linear in the length of the page; memory that of the result and of at most 10,000 open elements.
    """
    return _Pass(page).run()


class _Pass:
    """One way through a page."""

    def __init__(self, page: str) -> None:
        self.page = page
        loaded = delimiters.are_typeset(page)
        self.dollar = loaded and delimiters.dollar_is_delimiter(page)
        self.open: OpenElements[_State] = OpenElements(_State(live=loaded))
        self.region: _Region | None = None
        self.blocked = (
            0  # no rendered formula is looked for before this place: one began there and did not end
        )
        self.pieces: list[_Piece] = []
        self.written = 0  # what comes before is in `pieces`
        self.text_from = 0  # where the run of text at hand begins
        self.formulas = 0
        self.changed = False

    def run(self) -> tuple[str, int]:
        position: int | None = 0
        while position is not None:
            position = self._from(position)
        self._text(len(self.page))
        if not self.formulas and not self.changed:
            return self.page, 0
        self._write(len(self.page))
        return _joined(self.pieces), self.formulas

    def _from(self, position: int) -> int | None:
        """Read from a position to the end; or to where a formula turns out to be none, and where to go on then."""
        for tag in tags(self.page, position):
            if self.region is not None and self._too_far(tag):
                return self._give_up(tag.start)
            self._tag(tag)
        return self._give_up(len(self.page)) if self.region is not None else None

    def _too_far(self, tag: Tag) -> bool:
        region = self.region
        if region is None:
            return False
        if tag.name in _BLOCKS and not tag.is_end and region.kind != "attribute":
            return True
        return tag.start - region.start.start > LONGEST_MARKUP

    def _give_up(self, position: int) -> int | None:
        """The open formula is none: go back behind its start tag. Every part of the page is read twice at most."""
        region = self.region
        if region is None:
            return None
        self.region, self.blocked = None, position
        self.open.cut(region.depth)
        self.open.push(region.start, replace(self.open.state, renamed=None))
        self.text_from = region.start.stop
        return region.start.stop

    def _tag(self, tag: Tag) -> None:
        if not tag.name or tag.name in ("br", "wbr"):
            return  # comments and line breaks do not end a run of text
        if tag.is_end:
            self._end(tag)
        elif self.region is not None:
            self.open.push(tag, self.open.state)
        else:
            self._text(tag.start)
            self.text_from = tag.stop
            self._start(tag)

    def _end(self, tag: Tag) -> None:
        if self.region is None:
            self._text(tag.start)
            self.text_from = tag.stop
        state = self.open.pop(tag.name)
        if self.region is not None and len(self.open) <= self.region.depth:
            # Closed by its own end tag, or with an element around it.
            own = len(self.open) == self.region.depth and tag.name == self.region.start.name
            self._close(tag.stop if own else tag.start)
            self.text_from = tag.stop
            if own:
                return
        if self.region is None and state is not None and state.renamed is not None:
            self._replace(tag, _Piece(f"</{state.renamed}>"))

    def _start(self, tag: Tag) -> None:
        """A start tag outside of formulas: perhaps one begins here, or is here as a whole."""
        state = self.open.state
        has_hint = any(hint in tag.attributes for hint in _HINTS)
        attributes = attributes_of(tag.attributes) if has_hint else {}
        classes = set(attributes.get("class", "").split())
        if tag.name == "img" and has_hint:
            self._formula(tag.start, tag.stop, "image", sources.of_image(attributes, classes))
        elif tag.name == "script":
            self._script(tag)
        elif tag.raw is None and not self._begins(tag, attributes, classes):
            inside = self._inside(tag, classes, state)
            if self.open.push(tag, inside) and inside.renamed is not None:
                self._replace(tag, _Piece(f"<{inside.renamed}{tag.attributes}>"))

    def _begins(self, tag: Tag, attributes: dict[str, str], classes: set[str]) -> bool:
        """Open a formula, where this element shows one."""
        if tag.start < self.blocked:
            return False
        kind, source = _RENDERED_ELEMENTS.get(tag.name.rpartition(":")[2]), None
        if kind is None and attributes:
            source = sources.of_attributes(attributes, classes)
            kind = "attribute" if source is not None else None
            if kind is None:
                kind = next(
                    (_RENDERED_CLASSES[name] for name in sorted(classes & _RENDERED_CLASSES.keys())), None
                )
        if kind is None and (tag.name in _TEX_ELEMENTS or classes & _TEX_CLASSES):
            kind = "tex"
        depth = len(self.open)
        if kind is None or not self.open.push(tag, self.open.state):
            return False
        self.region = _Region(kind, tag, depth, source)
        return True

    def _inside(self, tag: Tag, classes: set[str], outer: _State) -> _State:
        """The state inside an element."""
        live, layout, renamed = outer.live, outer.layout, None
        if classes & delimiters.LIVE_CLASSES:
            live = True
        elif tag.name in delimiters.DEAD_ELEMENTS or classes & delimiters.DEAD_CLASSES:
            live = False
        if "ltx_eqn_table" in classes:
            layout = True
        if layout and tag.name in _LAYOUT:
            renamed = _LAYOUT[tag.name]
        if (live, layout, renamed) == (outer.live, outer.layout, outer.renamed):
            return outer
        return _State(live, renamed, layout)

    def _close(self, stop: int) -> None:
        """The formula at hand ends."""
        region = self.region
        if region is None:
            return
        self.region = None
        self.open.cut(region.depth)
        markup = self.page[region.start.start : stop]
        source = region.source
        if source is None and region.kind == "tex":
            source = self._content(region, markup)
        elif source is None and region.kind != "preview":
            source = sources.of_markup(markup)
        if source is None:
            if region.kind in ("preview", "mathjax2"):  # goes if a script with its source follows
                self._write(region.start.start)
                self.pieces.append(_Piece(markup, region.kind))
                self.written = stop
            return
        attributes = attributes_of(region.start.attributes)
        display = sources.is_display(markup) or (region.kind == "tex" and "block" in attributes)
        self._formula(region.start.start, stop, region.kind, source, display)

    @staticmethod
    def _content(region: _Region, markup: str) -> str | None:
        """The source that is an element's text (Distill, AMP, WordPress)."""
        given = attributes_of(region.start.attributes).get("data-formula")
        inside = markup[len(region.start.attributes) + len(region.start.name) + 2 :].rpartition("</")[0]
        return sources.clean(given or html.unescape(inside)) if given or "<" not in inside else None

    def _script(self, tag: Tag) -> None:
        """`<script type="math/tex">`: MathJax 2 keeps the source behind what it renders."""
        source = tag.raw or ""
        if tag.stop - tag.start <= len("<script>") + len(tag.attributes) + len(source):
            return  # there is no end tag: this is the rest of the page
        kind = attributes_of(tag.attributes).get("type", "").strip().lower()
        if kind.startswith("math/tex"):
            self._formula(tag.start, tag.stop, "script", sources.clean(source), "display" in kind)
        elif kind.startswith("math/mml"):
            self._formula(tag.start, tag.stop, "script", sources.of_markup(source))

    def _formula(self, start: int, stop: int, kind: str, source: str | None, display: bool = False) -> None:
        """Write a formula in place of `page[start:stop]`; twins of the same formula before it go."""
        if source is None:
            return
        self._write(start)
        self.written = stop
        if kind in ("script", "mathjax2"):
            self._drop_rendered(("preview", "mathjax2") if kind == "script" else ("preview",))
        before = self._neighbour()
        if before is not None and before.source == source and before.kind != kind:
            return  # the same formula in another form: MathML with its image, a rendered one with its script
        if source in _GROUPS:
            self.pieces.append(_Piece(""))
            self.changed = True
            return
        text = html.escape(source, quote=False)
        text = f"<br>$${text}$$<br>" if display else f"${text}$"
        self.pieces.append(_Piece(text + self._space_inside(start, stop), kind, source))
        self.formulas += 1

    def _space_inside(self, start: int, stop: int) -> str:
        """A space that stood at the end of the formula's markup, where a word follows at once."""
        end = self.page.rfind("</", start, stop)
        is_space = end > start and self.page[end - 1].isspace()
        return " " if is_space and self.page[stop : stop + 1].isalnum() else ""

    def _drop_rendered(self, kinds: tuple[str, ...]) -> None:
        """Take back what was rendered directly before its source."""
        at = first = len(self.pieces)
        while at and (self.pieces[at - 1].kind in kinds or self.pieces[at - 1].text.isspace()):
            at -= 1
            first = at if self.pieces[at].kind in kinds else first
        self.formulas -= sum(bool(piece.source) for piece in self.pieces[first:])
        del self.pieces[first:]

    def _neighbour(self) -> _Piece | None:
        """The formula before this one, where nothing but white space stands between."""
        for piece in reversed(self.pieces[-4:]):
            if piece.source:
                return piece
            if piece.text and not piece.text.isspace():
                return None
        return None

    def _text(self, stop: int) -> None:
        """The run of text at hand ends: normalise its delimiters, where they count."""
        if self.region is not None or not self.open.state.live:
            return
        run = self.page[self.text_from : stop]
        if "\\" not in run:
            return
        text, changed = delimiters.normalised(run, self.dollar)
        if self.dollar:
            text = text.replace("$\\begingroup$", "").replace("$\\endgroup$", "")
        if text != run:
            self.changed = True
            self._write(self.text_from)
            self.pieces.append(_Piece(text))
            self.written = stop
            self.formulas += changed

    def _replace(self, tag: Tag, piece: _Piece) -> None:
        self._write(tag.start)
        self.pieces.append(piece)
        self.written = tag.stop

    def _write(self, stop: int) -> None:
        """Write the page as it is up to a place."""
        if stop > self.written:
            self.pieces.append(_Piece(self.page[self.written : stop]))
            self.written = stop


def _joined(pieces: list[_Piece]) -> str:
    """The page; a space stands between dollars that would meet and read as one delimiter."""
    made: list[str] = []
    last = ""
    for piece in pieces:
        if not piece.text:
            continue
        if last == "$" and piece.text.startswith("$"):
            made.append(" ")
        made.append(piece.text)
        last = piece.text[-1]
    return "".join(made)
