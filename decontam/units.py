"""What is removed of a contaminated document: all of it, the section of the match, or the match and its surroundings.

    document   the whole document (AFM report, section 3.1.1).
    section    the sections that a match touches (AFM report: licensed data). Under Markdown headings, a section
               is a heading and what follows up to the next heading of the same or a higher level, and the
               innermost one goes, heading and subsections included. A heading at the top whose section would be
               the whole document is its title and divides nothing. Under no heading, a section is the paragraphs
               that the match touches and as many before and after as it takes until `margin` characters on each
               side are gone or the text or a heading is reached; where that stretch has no blank line, lines are
               its paragraphs. The document goes if fewer than `shortest_piece` characters are left.
    span       the match and `margin` characters on each side, which splits the document. Pieces shorter than
               `shortest_piece` are dropped; the document goes if there were more than `most_pieces`, short ones
               included, or if no piece is left (GPT-3: Brown et al. 2020, appendix C).
    none       nothing.

What is left is joined by blank lines. No word is cut, only a run of a hundred characters or more without white
space (Chinese, say), and that between two characters that are not one sign. Words on both sides of a joint may
make an n-gram that the document did not have: scan the result again where that matters.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from decontam.settings import Unit

Spans: TypeAlias = Sequence[tuple[int, int]] | npt.NDArray[np.integer[Any]]
"""Pairs of first character and the one after the last; in any order, overlapping or not."""

FARTHEST_SPACE = 100
"""White space is looked for this far beyond a margin: hardly a word is longer, and a text may have none at all."""

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t\r]|$)")
_UNDERLINE = re.compile(r" {0,3}(={3,}|-{3,})[ \t\r]*$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_JOINERS = "\u200c\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_MOST_FLAG_LETTERS = 1000  # in a row; an even number
_JAMO_VOWELS_AND_FINALS = range(0x1160, 0x1200)


class CutSettings(BaseModel):
    """How much is cut around a match, and what is worth keeping. The defaults are GPT-3's (appendix C)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: int = Field(default=200, ge=0, description="characters that go on each side of a match")
    shortest_piece: int = Field(default=200, ge=1, description="shorter pieces are dropped")
    most_pieces: int = Field(
        default=10, ge=1, description="split into more, the document is removed as a whole"
    )


GPT3 = CutSettings()


class Cut(NamedTuple):
    """What is left of a document: the pieces joined by blank lines, how many they are, and what went."""

    text: str
    removed_characters: int
    pieces: int


class _Line(NamedTuple):
    start: int
    end: int  # without the newline
    text: str

    @property
    def blank(self) -> bool:
        return not self.text or self.text.isspace()


class _Section(NamedTuple):
    start: int
    level: int
    end: int


def cut(text: str, spans: Spans, unit: Unit, settings: CutSettings = GPT3) -> Cut | None:
    """What is left of a text when its matches are removed by a unit; None where nothing worth keeping is.

    Args:
        text: the document.
        spans: the matches as character offsets; without any, the text stays as it is.
        unit: what goes with a match.
        settings: margins and limits of `section` and `span`.

    Raises:
        ValueError: for a span that is empty or not inside the text.
    """
    matches = _merged(spans, len(text))
    if not matches or unit == "none":
        return Cut(text, 0, 1)
    if unit == "document":
        return None
    if unit == "span":
        gone = [_widened(text, start - settings.margin, end + settings.margin) for start, end in matches]
        pieces = _pieces(text, gone)
        if len(pieces) > settings.most_pieces:
            return None
        kept = [piece for piece in pieces if len(piece) >= settings.shortest_piece]
    else:
        kept = _pieces(text, _sections_of(text, matches, settings.margin))
        if sum(map(len, kept)) < settings.shortest_piece:
            return None
    if not kept:
        return None
    return Cut("\n\n".join(kept), len(text) - sum(map(len, kept)), len(kept))


def _merged(spans: Spans, size: int) -> list[tuple[int, int]]:
    """The spans in order, those that overlap or touch as one."""
    pairs = np.asarray(spans, np.int64).reshape(-1, 2)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    starts, ends = pairs[:, 0], pairs[:, 1]
    wrong = np.flatnonzero((starts < 0) | (starts >= ends) | (ends > size))
    if len(wrong):
        start, end = pairs[wrong[0]].tolist()
        raise ValueError(f"[{start}, {end}) is not a stretch of a text of {size} characters")
    reach = np.maximum.accumulate(ends)
    first = np.flatnonzero(np.concatenate(([True], starts[1:] > reach[:-1]))[: len(starts)])
    last = np.append(first[1:], len(starts))[: len(first)] - 1
    return list(zip(starts[first].tolist(), reach[last].tolist(), strict=True))


def _pieces(text: str, gone: Sequence[tuple[int, int]]) -> list[str]:
    """What lies between the stretches that go, without white space at the cuts and without empty pieces."""
    merged = _merged(gone, len(text))
    bounds = [0, *(bound for stretch in merged for bound in stretch), len(text)]
    pieces = []
    for start, end in zip(bounds[::2], bounds[1::2], strict=True):
        piece = text[start:end]
        if end < len(text):
            piece = piece.rstrip()
        if start > 0:
            piece = _without_leading_space(piece, text[start - 1] == "\n")
        if piece and not piece.isspace():
            pieces.append(piece)
    return pieces


def _without_leading_space(piece: str, line_start: bool) -> str:
    """Blank lines go, and the rest of a line; the first whole line keeps its indentation."""
    stripped = piece.lstrip()
    lead = piece[: len(piece) - len(stripped)]
    return lead[lead.rfind("\n") + 1 :] + stripped if line_start or "\n" in lead else stripped


# ---- span


def _widened(text: str, start: int, end: int) -> tuple[int, int]:
    """The stretch, inside the text, and out to white space so that no word is cut."""
    return _outwards(text, max(start, 0), -1), _outwards(text, min(end, len(text)), 1)


def _outwards(text: str, place: int, step: int) -> int:
    """The nearest place outwards beside white space, else one between two signs, else the place itself."""
    candidates = range(place, max(0, min(len(text), place + step * FARTHEST_SPACE)) + step, step)
    for candidate in candidates:
        if candidate in (0, len(text)) or text[candidate - 1].isspace() or text[candidate].isspace():
            return candidate
    return next((candidate for candidate in candidates if not _inside_sign(text, candidate)), place)


def _inside_sign(text: str, place: int) -> bool:
    """Whether a cut before the character would tear apart what is read as one sign (after Unicode's UAX 29)."""
    before, after = text[place - 1], text[place]
    if after in _JOINERS or before == "\u200d" or unicodedata.category(after).startswith("M"):
        return True
    if ord(after) in _SKIN_TONES or ord(after) in _JAMO_VOWELS_AND_FINALS:
        return True
    if ord(after) in _FLAG_LETTERS:  # flags are pairs of them: count how many stand before
        first = place
        while first > 0 and place - first < _MOST_FLAG_LETTERS and ord(text[first - 1]) in _FLAG_LETTERS:
            first -= 1
        return (place - first) % 2 == 1
    return False


# ---- section


def _sections_of(text: str, matches: Sequence[tuple[int, int]], margin: int) -> list[tuple[int, int]]:
    """The sections that the matches touch."""
    lines = list(_lines(text))
    sections = _sections(lines, len(text))
    starts = [section.start for section in sections]
    free = starts[0] if starts else len(text)  # what stands under no heading ends here
    blocks = _Blocks([line for line in lines if line.start < free], free)
    gone: list[tuple[int, int]] = []
    for start, end in matches:
        if start < free:
            gone.append(blocks.around(start, min(end, free), margin))
        if end > free:
            first, last = bisect_right(starts, max(start, free)) - 1, bisect_right(starts, end - 1)
            gone.append((sections[first].start, max(section.end for section in sections[first:last])))
    return gone


def _lines(text: str) -> Iterator[_Line]:
    start = 0
    for line in text.split("\n"):
        yield _Line(start, start + len(line), line)
        start += len(line) + 1


def _sections(lines: Sequence[_Line], size: int) -> list[_Section]:
    """The sections in the order of their headings, each inside those of higher level; without the title's."""
    headings = list(_headings(lines))
    ends: dict[int, int] = {}
    open_sections: list[tuple[int, int]] = []
    for start, level in headings:
        while open_sections and open_sections[-1][1] >= level:
            ends[open_sections.pop()[0]] = start
        open_sections.append((start, level))
    found = [_Section(start, level, ends.get(start, size)) for start, level in headings]
    top = next((line.start for line in lines if not line.blank), size)
    return found[1:] if found and found[0].start == top and found[0].end == size else found


def _headings(lines: Sequence[_Line]) -> Iterator[tuple[int, int]]:
    """Where each heading begins, and its level: `# Like this`, or a single line above === (1) or --- (2)."""
    fence = ""
    alone = False  # the line before stands alone: the one before it is blank, a heading or none
    for number, line in enumerate(lines):
        marks = _FENCE.match(line.text)
        if fence:
            if marks and marks[1].startswith(fence) and not line.text.strip().strip(fence[0]):
                fence = ""
            alone = False
            continue
        if marks:
            fence, alone = marks[1], False
        elif heading := _HEADING.match(line.text):
            yield line.start, len(heading[1])
            alone = False
        elif alone and (underline := _UNDERLINE.match(line.text)):
            yield lines[number - 1].start, 1 if underline[1][0] == "=" else 2
            alone = False
        else:
            opens = (
                number == 0 or lines[number - 1].blank or _HEADING.match(lines[number - 1].text) is not None
            )
            alone = opens and not line.blank and not _UNDERLINE.match(line.text)


class _Blocks:
    """The paragraphs of the text under no heading, or its lines where no blank line divides it."""

    def __init__(self, lines: Sequence[_Line], end: int) -> None:
        full = [number for number, line in enumerate(lines) if not line.blank]
        paragraphs = [number for number in full if number == 0 or lines[number - 1].blank]
        blocks = paragraphs if len(paragraphs) > 1 else full
        self.bounds = [0, *(lines[number].start for number in blocks[1:]), end]

    def around(self, start: int, end: int, margin: int) -> tuple[int, int]:
        """The blocks that a match touches, with the neighbours needed for the margin on each side."""
        first = bisect_right(self.bounds, max(start - margin, 0)) - 1
        last = bisect_left(self.bounds, min(end + margin, self.bounds[-1]))
        return self.bounds[first], self.bounds[last]
