"""Kept blocks -> Markdown: headings, lists, tables, code blocks with their language, quotations.

    texts = render_markdown(parsed, chosen.keep)

It is CommonMark with GitHub's tables. The blocks are those of the plain text (`render.render_text`), so the words are the
same; what stands for structure is added, and escaped where a text only looks like it. Text inside formulas and in the middle
of a line is never escaped. Code stands in fences byte for byte, at the margin also inside lists and quotations, because an
indent would be part of it. Links and emphasis are not written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.extraction import layout as at
from pipeline.extraction import vocabulary as names
from pipeline.extraction.blocks import Parsed
from pipeline.extraction.math_scan import TAG, attributes_of

_HEADINGS = {names.TAG[f"h{level}"]: level for level in range(1, 7)}
_QUOTE, _TABLE, _TR, _TD, _TH = (names.TAG[name] for name in ("blockquote", "table", "tr", "td", "th"))
_PRE = frozenset(names.TAG[name] for name in ("pre", "listing", "plaintext"))
_LISTS = frozenset(names.TAG[name] for name in ("ul", "ol", "li", "menu", "dir"))
_CELLS = frozenset((_TD, _TH))

_CLIMB = 64
"""Ancestors of a block that are looked at; deeper structure is not written."""

_DEEPEST = 8
"""Quotations and lists inside each other that are told apart: indents of deeper ones would outgrow the page."""

_WIDEST = 64
"""Cells to which the rows of a table are filled up; wider rows keep what they have."""

_LANGUAGE_CLASS = re.compile(
    r"(?:^|\s)(?:lang(?:uage)?-|highlight-source-|highlight-|brush:\s*)([\w+#.-]{1,30})", re.I
)
_NAMED = re.compile(
    r"(?:^|\s)(?:hljs|sourceCode|src|prettyprint|highlight)\s+(?:src-)?([a-z][\w+#-]{0,20})(?=\s|$)"
)
_NO_LANGUAGE = frozenset(
    "text plain plaintext none nohighlight default notranslate lang auto copy".split()  # noqa: SIM905 - readable
)
_LOOKS_LIKE_STRUCTURE = re.compile(
    r"(#{1,6}(?=\s|$)|>|[-+*](?=\s|$)|(?=`{3}|~{3})|[=-]+\s*$|\||\d{1,9}(?=[.)](?:\s|$)))", re.M
)
_BACKTICKS = re.compile(r"`{3,}")


@dataclass(slots=True)
class _Place:
    """Where a block stands: what of its ancestors Markdown can say. Elements are rows of `Parsed.elements`."""

    heading: int = 0
    outer_quotes: int = 0
    inner_quotes: int = 0
    pre: int = -1
    table: int = -1
    row: int = -1


@dataclass(slots=True)
class _Written:
    """A piece of Markdown: lines, the quotations around it, and whether the next may follow without a blank line."""

    lines: list[str]
    quotes: int = 0
    is_item: bool = False


@dataclass(slots=True)
class _Lists:
    """The open lists of a page: the depth of each and the column where its items' text begins."""

    open: list[tuple[int, int]] = field(default_factory=list)

    def item(self, depth: int, marker: str) -> int:
        """Begin an item; the column of its marker."""
        while self.open and self.open[-1][0] >= depth:
            self.open.pop()
        column = self.open[-1][1] if self.open else 0
        if len(self.open) < _DEEPEST:
            self.open.append((depth, column + len(marker) + 1))
        return column

    def inside(self, depth: int) -> int:
        """The column of a further block of an item."""
        while self.open and self.open[-1][0] > depth:
            self.open.pop()
        return self.open[-1][1] if self.open else 0


def render_markdown(parsed: Parsed, keep: npt.NDArray[np.bool_]) -> pa.Array:
    """The text of each page from the blocks that are kept, as Markdown: a `large_string` array."""
    pages = []
    for begin, stop in pairwise(parsed.block_offsets.tolist()):
        kept = (begin + np.flatnonzero(keep[begin:stop])).tolist()
        pages.append(_joined(list(_written(parsed, kept))))
    return pa.array(pages, pa.large_string())


def _joined(pieces: list[_Written]) -> str:
    """The pieces with blank lines between them; items of a list follow each other without."""
    lines: list[str] = []
    before: _Written | None = None
    for piece in pieces:
        if before is not None and not (before.is_item and piece.is_item and before.quotes == piece.quotes):
            lines.append(("> " * min(before.quotes, piece.quotes)).rstrip())
        prefix = "> " * piece.quotes
        lines.extend(
            (prefix + line).rstrip() if prefix and not line else prefix + line for line in piece.lines
        )
        before = piece
    return "\n".join(lines)


def _written(parsed: Parsed, kept: list[int]) -> Iterator[_Written]:
    """The kept blocks of a page, those of one table or one `<pre>` together."""
    places = {block: _place(parsed, block) for block in kept}
    lists = _Lists()
    for (pre, table), group in groupby(kept, key=lambda block: (places[block].pre, places[block].table)):
        blocks = list(group)
        place = places[blocks[0]]
        if pre >= 0:
            lists.open.clear()
            yield _code(parsed, blocks, pre)
        elif table >= 0:
            column = lists.inside(_list_depth(parsed, blocks[0]))
            rows = _table(parsed, blocks, places)
            yield _Written([" " * column + row for row in rows], place.outer_quotes)
        else:
            for block in blocks:
                yield _block(parsed, block, places[block], lists)


def _place(parsed: Parsed, block: int) -> _Place:
    """Read the ancestors of a block."""
    place = _Place()
    segment = parsed.segments[parsed.blocks[block]]
    element, is_pre = int(segment[at.G_ELEMENT]), bool(segment[at.G_PRE])
    is_row = bool(parsed.rows[block]) and not is_pre
    for _ in range(_CLIMB):
        if element < 0:
            break
        tag = int(parsed.elements[element, at.E_TAG])
        if tag in _HEADINGS and not place.heading:
            place.heading = _HEADINGS[tag]
        elif tag == _QUOTE:
            place.outer_quotes += 1
        elif tag in _LISTS:
            place.inner_quotes, place.outer_quotes = place.inner_quotes + place.outer_quotes, 0
        elif tag in _PRE and is_pre:
            place.pre = element
        elif tag == _TR and is_row and place.row < 0:
            place.row = element
        elif tag == _TABLE and is_row and place.table < 0:
            place.table = element
        element = int(parsed.elements[element, at.E_PARENT])
    if place.table < 0 and is_row:
        place.row = -1
    place.outer_quotes = min(place.outer_quotes, _DEEPEST)
    place.inner_quotes = min(place.inner_quotes, _DEEPEST)
    return place


def _list_depth(parsed: Parsed, block: int) -> int:
    return int(parsed.segments[parsed.blocks[block], at.G_LIST_DEPTH])


def _texts(parsed: Parsed, block: int) -> list[str]:
    """The text of each segment of a block."""
    segments = parsed.segments[parsed.blocks[block] : parsed.blocks[block + 1], : at.G_END + 1].tolist()
    return [parsed.text[start:end].tobytes().decode("utf-8", "replace") for start, end in segments]


def _block(parsed: Parsed, block: int, place: _Place, lists: _Lists) -> _Written:
    """A paragraph, a heading or a list item."""
    depth, marker = _list_depth(parsed, block), int(parsed.segments[parsed.blocks[block], at.G_MARKER])
    text = _flowing(" ".join(_texts(parsed, block)), place.heading)
    text = "> " * place.inner_quotes + text.replace("\n", "\n" + "> " * place.inner_quotes)
    if marker:
        sign = "-" if marker < 0 else f"{marker}."
        column = lists.item(depth, sign)
        indent = " " * (column + len(sign) + 1)
        lines = (" " * column + sign + " " + text.replace("\n", "\n" + indent)).split("\n")
        return _Written(lines, place.outer_quotes, is_item=True)
    if depth == 0:
        lists.open.clear()
    indent = " " * lists.inside(depth)
    return _Written([indent + line for line in text.split("\n")], place.outer_quotes)


def _flowing(text: str, heading: int) -> str:
    """A heading on one line; other text with its line breaks."""
    if heading:
        return "#" * heading + " " + " ".join(text.split("\n"))
    return _escaped(text).replace("\n", "  \n")


def _escaped(text: str) -> str:
    """A text whose lines do not begin like a heading, a quotation, a list item, a fence, a table or a rule."""

    def escape(found: re.Match[str]) -> str:
        mark = found[1]
        return mark + "\\" if mark.isdigit() else "\\" + mark

    return "\n".join(
        _LOOKS_LIKE_STRUCTURE.sub(escape, line, count=1) if _begins(line) else line
        for line in text.split("\n")
    )


def _begins(line: str) -> bool:
    return _LOOKS_LIKE_STRUCTURE.match(line) is not None


def _table(parsed: Parsed, blocks: list[int], places: dict[int, _Place]) -> list[str]:
    """The kept rows of a table; the first one is its head, as tables of Markdown have one."""
    rows = [_cells(parsed, block, places[block].row) for block in blocks]
    width = min(max(map(len, rows)), _WIDEST)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    return [lines[0], "|" + " --- |" * max(width, len(rows[0])), *lines[1:]]


def _cells(parsed: Parsed, block: int, row: int) -> list[str]:
    """The cells of a row, empty ones too."""
    texts: dict[int, list[str]] = {}
    first = parsed.blocks[block]
    for offset, text in enumerate(_texts(parsed, block)):
        cell = _cell_of(parsed, int(parsed.segments[first + offset, at.G_ELEMENT]), row)
        texts.setdefault(cell, []).append(" ".join(text.split("\n")).replace("|", "\\|"))
    cells = [*_cells_of_row(parsed, row, max(texts)), *(cell for cell in texts if cell == row)]
    return [" ".join(texts.pop(cell, [])) for cell in cells] + [" ".join(rest) for rest in texts.values()]


def _cell_of(parsed: Parsed, element: int, row: int) -> int:
    """The cell of a row in which an element lies; the row itself where it lies in none."""
    for _ in range(_CLIMB):
        parent = int(parsed.elements[element, at.E_PARENT])
        if element <= row or parent <= row:
            break
        element = parent
    return max(element, row)


def _cells_of_row(parsed: Parsed, row: int, last: int) -> list[int]:
    """The `<td>` and `<th>` of a row up to one of its descendants; at most 200."""
    found = []
    for element in range(row + 1, min(len(parsed.elements), last + 400)):
        parent, tag = parsed.elements[element, : at.E_TAG + 1].tolist()
        if parent < row:
            break
        if parent == row and tag in _CELLS:
            found.append(element)
            if len(found) == 200 and element >= last:
                break
    return found


def _code(parsed: Parsed, blocks: list[int], pre: int) -> _Written:
    """A `<pre>` in fences longer than any run of backticks inside."""
    content = "\n".join("\n".join(_texts(parsed, block)) for block in blocks)
    longest = max((len(run) for run in _BACKTICKS.findall(content)), default=2)
    fence = "`" * (longest + 1)
    end = "" if content.endswith("\n") else "\n"
    return _Written((fence + _language(parsed, pre) + "\n" + content + end + fence).split("\n"))


def _language(parsed: Parsed, pre: int) -> str:
    """The language of a code block: the class of `<pre>`, of a `<code>` right inside, or of the elements around it."""
    element = pre
    for level in range(4):
        if element < 0:
            break
        for attributes in _tags_at(
            parsed, int(parsed.elements[element, at.E_SOURCE]), 2 if level == 0 else 1
        ):
            found = _named_language(attributes)
            if found:
                return found
        element = int(parsed.elements[element, at.E_PARENT])
    return ""


def _tags_at(parsed: Parsed, source: int, most: int) -> Iterator[dict[str, str]]:
    """The attributes of the tag at a place of the page and, where that follows at once, of the next."""
    markup = parsed.html[source : source + 2000].tobytes().decode("utf-8", "replace")
    position = 0
    for _ in range(most):
        found = TAG.match(markup, position)
        if found is None or found["name"] is None or found["end"]:
            return
        if position and found["name"].lower() not in ("code", "samp", "span"):
            return
        yield attributes_of(found["attributes"])
        position = found.end()
        while position < len(markup) and markup[position].isspace():
            position += 1


def _named_language(attributes: dict[str, str]) -> str:
    for name in ("data-lang", "data-language", "lang-name"):
        value = attributes.get(name, "").strip().lower()
        if re.fullmatch(r"[\w+#.-]{1,30}", value) and value not in _NO_LANGUAGE:
            return value
    classes = attributes.get("class", "")
    for pattern in (_LANGUAGE_CLASS, _NAMED):
        for found in pattern.findall(classes):
            if found.lower() not in _NO_LANGUAGE:
                return str(found.lower())
    return ""
