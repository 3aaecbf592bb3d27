"""presidio's pattern recognisers, without its engine, for short pieces of text.

They are imported on first use: the import costs 4 seconds of processor time. Nothing here fetches anything,
and presidio's log is silenced, because it writes values that it could not validate.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from filters.pii_settings import Span

MIN_SCORE: Final = 0.4
"""presidio's score below which a match is ignored (research/models.md: below it, precision falls to .05)."""

CONTEXT: Final = 0.35
"""What presidio adds to the score where a word near by names the type."""

MIN_PHONE_DIGITS: Final = 7

Recogniser = Callable[[str], list[Any]]


def judge(kind: str, text: str, start: int, end: int, context: float = 0.0) -> Iterator[Span]:
    """What the recogniser of a type accepts between two positions, seen alone."""
    for result in recognisers()[kind](text[start:end]):
        if result.score + context >= MIN_SCORE - 1e-9:
            yield Span(start + result.start, start + result.end, kind)


def judge_phone(text: str, start: int, end: int, region: str) -> Iterator[Span]:
    """The phone numbers that Google's rules find between two positions, for callers in a region."""
    piece = text[start:end]
    if sum(map(str.isdigit, piece)) < shortest_number(region):
        return
    for result in phone_recogniser(region)(piece):
        digits = sum(character.isdigit() for character in text[start + result.start : start + result.end])
        if result.score >= MIN_SCORE and digits >= MIN_PHONE_DIGITS:
            yield Span(start + result.start, start + result.end, "phone")


@functools.cache
def recognisers() -> dict[str, Recogniser]:
    """The recogniser of each type but `phone`."""
    import presidio_analyzer.predefined_recognizers as predefined
    import tldextract
    from presidio_analyzer import Pattern

    logging.getLogger("presidio-analyzer").addFilter(lambda _record: False)
    suffixes = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)

    class OfflineEmailRecognizer(predefined.EmailRecognizer):
        """presidio's own asks a suffix list that may be fetched from the network."""

        def validate_result(self, pattern_text: str) -> bool:
            return bool(suffixes(pattern_text).fqdn)

    flags = re.DOTALL | re.MULTILINE | re.IGNORECASE
    made = {
        "email": OfflineEmailRecognizer(),
        "ip": predefined.IpRecognizer(),
        "iban": predefined.IbanRecognizer(regex_flags=flags),
        # Shape and issuer are checked before; presidio's own pattern misses half of the issuers.
        "credit_card": predefined.CreditCardRecognizer(patterns=[Pattern("card", r"\d[\d -]{10,21}\d", 0.3)]),
        "us_ssn": predefined.UsSsnRecognizer(),
        # presidio's own takes digits in one piece, without a bank's letters.
        "bank_account": predefined.UsBankRecognizer(
            patterns=[Pattern("account", r"\b[A-Z]{0,11}\d(?:[ -]?\d){7,16}[A-Z]?\b", 0.05)]
        ),
        "crypto": predefined.CryptoRecognizer(),
    }
    return {kind: _analyse(recogniser) for kind, recogniser in made.items()}


@functools.cache
def phone_recogniser(region: str) -> Recogniser:
    """The recogniser of phone numbers as they are dialled in a region."""
    import presidio_analyzer.predefined_recognizers as predefined

    return _analyse(predefined.PhoneRecognizer(supported_regions=(region,)))


@functools.cache
def shortest_number(region: str) -> int:
    """The least digits of a national number of a region; 0 where Google's rules do not know the region."""
    import phonenumbers

    known = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    general = known.general_desc if known else None
    return min((size for size in general.possible_length if size > 0), default=0) if general else 0


def _analyse(recogniser: Any) -> Recogniser:
    entities = recogniser.supported_entities
    return lambda text: list(recogniser.analyze(text, entities, None))
