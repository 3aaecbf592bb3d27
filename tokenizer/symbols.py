"""Characters that every vocabulary gets, whether the training text has them or not.

Mathematical text uses some hundred characters beyond ASCII. A corpus of web pages holds each of them too
rarely for `character_coverage` to keep it, and a character outside the vocabulary costs two to four byte
tokens at each use.
"""

from __future__ import annotations

from typing import Final

_RANGES: Final = (
    (0x0391, 0x03A1),  # Greek capitals; U+03A2 is not assigned
    (0x03A3, 0x03A9),
    (0x03B1, 0x03C9),  # Greek small letters
    (0x2032, 0x2037),  # primes
    (0x2070, 0x2071),  # superscripts
    (0x2074, 0x208E),  # superscripts and subscripts; U+208F is not assigned
    (0x2190, 0x2199),  # arrows in the main directions
    (0x21D0, 0x21D5),  # double arrows
    (0x2200, 0x22FF),  # the block Mathematical Operators
    (0x2308, 0x230B),  # ceiling and floor
    (0x27E8, 0x27EB),  # angle brackets
)
_SINGLE: Final = (
    "\N{DEGREE SIGN}\N{PLUS-MINUS SIGN}\N{MULTIPLICATION SIGN}\N{DIVISION SIGN}\N{NOT SIGN}\N{MIDDLE DOT}"
    "\N{SUPERSCRIPT TWO}\N{SUPERSCRIPT THREE}\N{SUPERSCRIPT ONE}\N{MICRO SIGN}\N{VULGAR FRACTION ONE HALF}"
    "\N{GREEK THETA SYMBOL}\N{GREEK PHI SYMBOL}\N{GREEK LUNATE EPSILON SYMBOL}\N{FRACTION SLASH}"
    "\N{PER MILLE SIGN}\N{BULLET}\N{HORIZONTAL ELLIPSIS}\N{EN DASH}\N{EM DASH}"
    "\N{DOUBLE-STRUCK CAPITAL C}\N{DOUBLE-STRUCK CAPITAL N}\N{DOUBLE-STRUCK CAPITAL P}"
    "\N{DOUBLE-STRUCK CAPITAL Q}\N{DOUBLE-STRUCK CAPITAL R}\N{DOUBLE-STRUCK CAPITAL Z}"
    "\N{SCRIPT SMALL L}\N{PLANCK CONSTANT OVER TWO PI}\N{BLACK-LETTER CAPITAL R}\N{BLACK-LETTER CAPITAL I}"
    "\N{SCRIPT CAPITAL L}\N{ALEF SYMBOL}\N{RIGHTWARDS ARROW FROM BAR}\N{RIGHTWARDS ARROW WITH HOOK}"
    "\N{RIGHTWARDS HARPOON OVER LEFTWARDS HARPOON}\N{LONG RIGHTWARDS ARROW}\N{WHITE SQUARE}\N{BLACK SQUARE}"
)

MATHEMATICAL: Final = "".join(chr(code) for low, high in _RANGES for code in range(low, high + 1)) + _SINGLE
"""Greek letters, operators, relations, arrows, sub- and superscripts, number sets: 418 characters."""
