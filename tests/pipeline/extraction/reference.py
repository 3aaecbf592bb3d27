"""A plain-Python tokenizer of HTML by regular expressions, and random tag soup: what kernels are checked against."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hypothesis import strategies as st

_SPACE = rb"[\t\n\f\r ]"
_OPEN = re.compile(rb"<(/?)([A-Za-z][^\t\n\f\r />]*)")
_ATTRIBUTE = re.compile(
    rb"(?P<name>[^>/\t\n\f\r ][^>/=\t\n\f\r ]*)(?:[\t\n\f\r ]*=[\t\n\f\r ]*"
    rb"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>(?![\"'])[^\t\n\f\r >]*)|(?P<open>[\"'])))?"
)
_COMMENT = re.compile(rb"<!--(?:-?>|.*?(?:--+>|--+!>|\Z))", re.S)


@dataclass(frozen=True)
class Token:
    kind: str
    name: bytes = b""
    attributes: tuple[tuple[bytes, bytes], ...] = ()
    closing: bool = False


def tokens(html: bytes) -> list[Token]:
    """Tags, comments and runs of text; raw text elements are not known here."""
    found: list[Token] = []
    position, text = 0, b""
    while position < len(html):
        token, after = _token(html, position)
        if token is None:
            text += html[position:after]
        else:
            if text:
                found.append(Token("text", text))
            text = b""
            if token.kind != "cut":
                found.append(token)
        position = after
    if text:
        found.append(Token("text", text))
    return found


def _token(html: bytes, position: int) -> tuple[Token | None, int]:
    if html[position : position + 1] != b"<":
        following = html.find(b"<", position)
        return None, len(html) if following < 0 else following
    if opened := _OPEN.match(html, position):
        attributes, closing, after = _attributes(html, opened.end())
        if after is None:
            return Token("cut"), len(html)
        kind = "end" if opened[1] else "start"
        return Token(kind, opened[2].lower(), tuple(attributes), closing), after
    if html.startswith(b"<!--", position):
        return Token("comment"), _COMMENT.match(html, position).end()  # type: ignore[union-attr]
    if html.startswith(b"<![CDATA[", position):
        return Token("cdata"), position + 9
    if html[position + 1 : position + 2] in (b"!", b"?") or (
        html[position + 1 : position + 2] == b"/" and position + 2 < len(html)
    ):
        closed = html.find(b">", position + 2)
        return Token("comment"), len(html) if closed < 0 else closed + 1
    return None, position + 1


def _attributes(html: bytes, position: int) -> tuple[list[tuple[bytes, bytes]], bool, int | None]:
    found = []
    while True:
        blank = re.compile(rb"[\t\n\f\r /]*").match(html, position)
        position = blank.end()  # type: ignore[union-attr]
        if position >= len(html):
            return found, False, None
        if html[position : position + 1] == b">":
            return found, html[position - 1 : position] == b"/" and bool(blank[0]), position + 1  # type: ignore[index]
        attribute = _ATTRIBUTE.match(html, position)
        assert attribute
        if attribute["open"] is not None:
            return found, False, None  # a quote that never closes takes the rest of the page
        has_equals = html[position:].lstrip()[:0] == b"" and attribute.end("name") < attribute.end()
        value = attribute["double"] or attribute["single"] or attribute["bare"] or b""
        if has_equals and attribute["bare"] == b"" and attribute.end() >= len(html):
            return found, False, None  # the page ends before the value
        found.append((attribute["name"].lower(), value))
        position = attribute.end()


_NAMES = "p div span a li ul ol table tr td th h1 h2 pre br b title script style section nav svg math custom-tag x q"
_ATTRIBUTES = [
    "",
    ' class="post body"',
    " hidden",
    ' style="display: none"',
    " href=x",
    " a='>'",
    ' id="S:1"',
    " /",
    " =",
    ' b="',
    " c=d/",
]
pieces = st.one_of(
    st.builds(
        lambda slash, name, attribute, end: f"<{slash}{name}{attribute}{end}",
        st.sampled_from(["", "", "/"]),
        st.sampled_from([*_NAMES.split(), "P", "noscript", "template", "select", "option", "textarea"]),
        st.sampled_from(_ATTRIBUTES),
        st.sampled_from([">", ">", ">", "/>", ""]),
    ),
    st.sampled_from(
        [
            "words of text ",
            "a",
            " ",
            "\n",
            "&amp;",
            "&lt;",
            "&nbsp;",
            "&#x41;",
            "&nGt;",
            "&",
            "é",
            "漢字",
            "\u00a0",
            "😀",
            "\0",
        ]
    ),
    st.sampled_from(
        [
            "<!--",
            "-->",
            "--!>",
            "<!-->",
            "<!--->",
            "<![CDATA[",
            "]]>",
            "<!doctype html>",
            "<?x?>",
            "</>",
            "</ >",
            "<",
            "<3",
        ]
    ),
    st.text(max_size=6),
)
soups = st.lists(pieces, max_size=40).map("".join)
