"""Showing text that came from the data without letting it act.

Nothing that a document says may run, load, hide, reorder or flood the page: markup is escaped, long strings
are cut, characters that steer or vanish are shown by their code point, and only plain http(s) addresses
become links.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from markupsafe import Markup, escape

EXCERPT = 400
"""Characters shown of a document's text."""
LABEL = 200
"""Characters shown of anything else."""
LONGEST_LINK = 2000
"""An address longer than this is shown as text only."""

# Controls (C0, C1, line separators), what reorders or hides text (bidirectional controls, zero-width
# characters, tags, byte-order marks), lone surrogates and noncharacters. The zero-width (non-)joiners stay:
# Persian, Indic scripts and emoji need them.
_STEERING = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff"
)
_SPECIAL = re.compile(rf"([ \t\xa0]*[\r\n][ \t\xa0\r\n]*)|([ \t]+)|([{_STEERING}])\3*")
_RUN = re.compile(rf"([{_STEERING}])\1*")
_COMBINING = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_PILED = re.compile(rf"([{_COMBINING}]{{4}})[{_COMBINING}]+")
_ADDRESS = re.compile(r"[!-~\u00a1-\uffef]+")


def plain(text: str, limit: int = LABEL) -> str:
    """The text on one line, cut, with steering characters as ⟨U+202E⟩; still to be escaped."""
    shown = one_line(text[:limit]).strip()
    return f"{shown}…" if len(text) > limit else shown


def one_line(text: str) -> str:
    """The text on one line, whole, with steering characters shown; still to be escaped."""
    return _SPECIAL.sub(_plain_mark, _PILED.sub(r"\1", text))


def lines(text: str) -> str:
    """A text of many lines, whole, with steering characters shown; still to be escaped."""
    split = text.replace("\r\n", "\n").expandtabs(4).split("\n")
    return "\n".join(_RUN.sub(_code_point, line) for line in split).rstrip("\n")


def block(text: str) -> Markup:
    """A text of many lines as HTML for inside <pre>, whole, with steering characters shown."""
    return escape(lines(text))


def label(text: str, limit: int = LABEL) -> Markup:
    """The text as a piece of HTML that keeps its direction to itself."""
    return Markup("<bdi>{}</bdi>").format(plain(text, limit))


def excerpt(text: str, limit: int = EXCERPT) -> Markup:
    """The beginning of a document's text as HTML: line ends and steering characters shown, length told."""
    shown = _rich(text[:limit].strip())
    if len(text) > limit:
        shown += Markup('… <span class="cut-note">{:,} characters in all</span>').format(len(text))
    return Markup('<bdi dir="auto">{}</bdi>').format(shown)


def passage(before: str, match: str, after: str, limit: int = EXCERPT) -> Markup:
    """A match marked in what surrounds it, as HTML; the surroundings are cut on the far side, a long match inside."""
    half = limit // 2
    marked = _rich(match)
    if len(match) > 2 * limit:
        left_out = len(match) - 2 * limit
        note = Markup(' … <span class="cut-note">{:,} characters</span> … ').format(left_out)
        marked = _rich(match[:limit]) + note + _rich(match[-limit:])
    return Markup('<bdi dir="auto">{}{}<mark>{}</mark>{}{}</bdi>').format(
        "…" if len(before) > half else "",
        _rich(before[-half:].lstrip()),
        marked,
        _rich(after[:half].rstrip()),
        "…" if len(after) > half else "",
    )


def address(url: str | None) -> Markup:
    """A URL as a link that sends nothing along if it is a plain http(s) address, else as text."""
    if not url:
        return Markup("")
    shown = Markup('<bdi dir="ltr">{}</bdi>').format(plain(_shorten(url, 96), 120))
    if not _is_web_address(url):
        return shown
    return Markup('<a href="{}" rel="noopener noreferrer nofollow">{}</a>').format(url, shown)


def _is_web_address(url: str) -> bool:
    if len(url) > LONGEST_LINK or _ADDRESS.fullmatch(url) is None or _RUN.search(url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _shorten(url: str, limit: int) -> str:
    """Cut from the middle: the host says who, the end says what."""
    if len(url) <= limit:
        return url
    return f"{url[: limit * 2 // 3]}…{url[-limit // 3 :]}"


def _rich(text: str) -> Markup:
    """A piece of text as HTML, with line ends and steering characters shown."""
    cut = _PILED.sub(r"\1", text)
    pieces: list[str] = []
    end = 0
    for found in _SPECIAL.finditer(cut):
        pieces += [escape(cut[end : found.start()]), _rich_mark(found)]
        end = found.end()
    pieces.append(escape(cut[end:]))
    return Markup("").join(pieces)


def _code_point(match: re.Match[str]) -> str:
    run = match.group(0)
    times = f" ×{len(run)}" if len(run) > 1 else ""
    return f"⟨U+{ord(run[0]):04X}{times}⟩"


def _plain_mark(match: re.Match[str]) -> str:
    return _code_point(match) if match.group(3) else " "


def _rich_mark(match: re.Match[str]) -> Markup:
    if match.group(1):
        return Markup(' <span class="nl">↵</span> ')
    if match.group(3):
        return Markup('<span class="ctl">{}</span>').format(_code_point(match)[1:-1])
    return Markup(" ")
