"""What an identifier is replaced by: a numbered placeholder, or a pseudonym that a secret key makes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from typing import Final

from filters.pii_settings import TYPES, PiiSettings, Span

PSEUDONYM_BYTES: Final = 8
"""64 bits: among a million values the chance that two share a pseudonym is 3 in 100 million."""

_DIGITS_ONLY = frozenset({"phone", "credit_card", "us_ssn"})
_COMPACT = frozenset({"iban", "bank_account"})
_CASED = frozenset({"crypto"})


class Editor:
    """Replaces the identifiers of one document, whose columns (title, text ...) are given one by one.

    Placeholders are numbered by value over all of them: the same value has the same one.
    """

    def __init__(self, settings: PiiSettings, key: bytes | None = None) -> None:
        self._settings = settings
        self._key = key
        self._numbers: dict[tuple[str, str], int] = {}
        self._counters = {kind: itertools.count(1) for kind in TYPES}

    def edit(self, text: str, spans: Iterable[Span]) -> str:
        """The text with each span replaced as its type's action says."""
        pieces: list[str] = []
        position = 0
        for span in sorted(spans):
            if self._settings.action(span.type) == "keep":
                continue
            pieces += [text[position : span.start], self._placeholder(text, span)]
            position = span.end
        return "".join([*pieces, text[position:]])

    def _placeholder(self, text: str, span: Span) -> str:
        value = same_value(text[span.start : span.end], span.type)
        if self._settings.action(span.type) == "pseudonym" and self._key is not None:
            return f"<{span.type.upper()}_{pseudonym(span.type, value, self._key)}>"
        number = self._numbers.get((span.type, value))
        if number is None:
            number = self._numbers[span.type, value] = next(self._counters[span.type])
        return f"<{span.type.upper()}_{number}>"


def same_value(value: str, kind: str) -> str:
    """What all spellings of one identifier share: the digits of a number, else its letters in lower case."""
    if kind in _DIGITS_ONLY:
        return "".join(str(int(character)) for character in value if character.isdecimal())
    if kind in _COMPACT:
        return value.lower().replace(" ", "").replace("-", "")
    return value if kind in _CASED else " ".join(value.lower().split())


def pseudonym(kind: str, value: str, key: bytes) -> str:
    """Sixteen hexadecimal digits of a value: keyed BLAKE2b (RFC 7693), for each type another function.

    Without the key nobody can tell which value it was, even by trying all phone numbers.
    """
    message = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
    # BLAKE2b takes keys of up to 64 bytes; a longer one is hashed first, as HMAC does.
    short = key if len(key) <= hashlib.blake2b.MAX_KEY_SIZE else hashlib.blake2b(key).digest()
    return hashlib.blake2b(
        message, key=short, digest_size=PSEUDONYM_BYTES, person=b"corpusmill.pii"
    ).hexdigest()
