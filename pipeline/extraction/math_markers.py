"""Which pages of a chunk show a mark of mathematics: one look at every byte, so that the others cost nothing more.

A mark is a string that stands in the markup of pages with formulas and hardly ever in others: `<math`, `katex`,
`mwe-math`, `MathJax`. Letter case is passed over. A mark is a reason to read the page, never yet a formula.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from filters._simd import kernel

MARKS = tuple(
    """
<math 1998/math/mathml math/tex math/mml mathjax tex2jax katex mjx-c mjx-m mjx-a mwe-math ltx_math math-container
class="math class='math class="latex class='latex class="tex" <d-math <dt-math <tex-math <amp-mathml arithmatex
ql-formula hurmet-tex latex-rendered equation_image x-ck12-math latex.php? codecogs.com mathtex.cgi mimetex cht=tx
?tex= ?formula= ?math= upmath.me s2cms.ru
data-latex data-tex= data-math data-expr data-katex data-formula data-equation-content
""".split()  # noqa: SIM905 - readable
)
"""In lower case, at least `_WINDOW` bytes each, ASCII."""

_WINDOW = 5
_CASE = 0x20


def _folded(mark: str) -> bytes:
    return bytes(byte | _CASE for byte in mark.encode())


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The marks, folded, with their offsets; how far to go on for each pair of bytes; the marks whose window ends in it."""
    folded = [_folded(mark) for mark in MARKS]
    data = np.frombuffer(b"".join(folded), np.uint8).copy()
    offsets = np.cumsum([0, *map(len, folded)]).astype(np.int64)
    shifts = np.full(1 << 16, _WINDOW - 1, np.uint8)
    first = np.full(1 << 16, -1, np.int16)
    following = np.full(len(MARKS), -1, np.int16)
    for number, mark in enumerate(folded):
        for end in range(1, _WINDOW):
            pair = mark[end - 1] | mark[end] << 8
            shifts[pair] = min(shifts[pair], _WINDOW - 1 - end)
        following[number], first[pair] = first[pair], number
    return data, offsets, shifts, first, following


_DATA, _OFFSETS, _SHIFTS, _FIRST, _FOLLOWING = _tables()


@kernel
def _has_mark(
    page: np.ndarray,
    marks: np.ndarray,
    offsets: np.ndarray,
    shifts: np.ndarray,
    first: np.ndarray,
    following: np.ndarray,
) -> bool:
    """Whether a page holds a mark (Wu and Manber 1994): the last pair of a window says how far it can move.

    Bit 0x20 is set in every byte before comparing, in the page and in the marks, so letter case does not count.
    """
    end, length = _WINDOW - 1, len(page)
    while end < length:
        pair = (page[end - 1] | _CASE) | (page[end] | _CASE) << 8
        shift = shifts[pair]
        if shift > 0:
            end += shift
            continue
        start, mark = end - _WINDOW + 1, first[pair]
        while mark >= 0:
            size = offsets[mark + 1] - offsets[mark]
            k = 0
            while k < size and start + k < length and page[start + k] | _CASE == marks[offsets[mark] + k]:
                k += 1
            if k == size:
                return True
            mark = following[mark]
        end += 1
    return False


def show_mathematics(pages: Sequence[str]) -> list[int]:
    """The rows of the pages that hold a mark."""
    return [row for row, page in enumerate(pages) if has_mark(page)]


def has_mark(page: str) -> bool:
    """Whether one page holds a mark."""
    data = np.frombuffer(page.encode("utf-8", "surrogatepass"), np.uint8)
    return bool(_has_mark(data, _DATA, _OFFSETS, _SHIFTS, _FIRST, _FOLLOWING))
