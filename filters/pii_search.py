"""From candidates to identifiers: type by type, what presidio's recognisers and our rules say of each.

Every look around a candidate is bounded (at most 400 characters), so the time is linear in the text.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from filters import pii_candidates as candidates
from filters.pii_candidates import Ints
from filters.pii_recognisers import CONTEXT, judge, judge_phone
from filters.pii_rules import Place, rejected_by, written_like_a_phone
from filters.pii_settings import PiiSettings, Span

STRENGTH: Final = (
    "iban",
    "credit_card",
    "crypto",
    "us_ssn",
    "email",
    "ip",
    "bank_account",
    "phone",
    "person",
    "location",
)
"""Where two types claim the same characters, the first of these wins: a checksum beats a shape, a shape beats
a digit count, and all of them beat a language model."""


def search(text: str, found: Ints, settings: PiiSettings) -> list[Span]:
    """The identifiers among the candidates of one text (rows of `find_candidates`), in any order."""
    spans: list[Span] = []
    runs: list[tuple[int, int]] = []
    for kind, start, end in found[:, 1:].tolist():
        if kind == candidates.RUN:
            runs.append((start, end))
        spans.extend(_FINDERS[kind](text, start, end, settings))
    return [*spans, *_phones(text, _not_covered(runs, spans), settings.regions)]


def _not_covered(runs: list[tuple[int, int]], spans: list[Span]) -> list[tuple[int, int]]:
    """The runs that are not part of a stronger identifier: what is left to the rules of phone numbers."""
    ordered = sorted(spans)
    kept: list[tuple[int, int]] = []
    for start, end in runs:
        at = bisect.bisect(ordered, start, key=_start) - 1
        if at < 0 or not (ordered[at].start <= start and end <= ordered[at].end):
            kept.append((start, end))
    return kept


def _start(span: Span) -> int:
    return span.start


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """The spans in order; of those that share characters the strongest type, then the longest, then the first."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (STRENGTH.index(s.type), s.start - s.end, s.start)):
        at = bisect.bisect(kept, span)
        if (at == 0 or kept[at - 1].end <= span.start) and (at == len(kept) or span.end <= kept[at].start):
            kept.insert(at, span)
    return kept


# --- e-mail ---

# Letters of an address: those of Latin scripts, so that an address set in Chinese or Russian text without
# spaces ends where it ends.
_LATIN = r"A-Za-z0-9\u00c0-\u024f"
# RFC 5321: at most 64 characters before the sign and 255 after it. The local part does not reach over `/ = ?
# &`, which are legal in an address but in practice belong to the URL around it.
_LOCAL = re.compile(rf"[{_LATIN}.+%'_-]{{0,63}}[{_LATIN}_]\Z")
_DOMAIN = re.compile(rf"[{_LATIN}-]{{1,63}}+(?:\.[{_LATIN}-]{{1,63}}+){{1,7}}+")
_LAST_LABELS = 3


def _emails(text: str, start: int, end: int, settings: PiiSettings) -> Iterator[Span]:  # noqa: ARG001
    """presidio's pattern with a registered suffix, tried without the last labels too: "a@b.org.Then the next
    sentence".
    """
    local = _LOCAL.search(text, max(0, start - 64), start)
    domain = _DOMAIN.match(text, end)
    if not local or not domain or rejected_by("email", Place(text, local.start(), domain.end())):
        return
    last = domain.end()
    for _ in range(_LAST_LABELS):
        spans = list(judge("email", text, local.start(), last))
        last = text.rfind(".", end, last)
        if spans or last < 0:
            yield from spans
            return


# --- IP addresses ---

# Not a longer word or number, a network (`/8`) or a reversed name (`4.3.2.1-static`).
_AFTER_IPV4 = re.compile(r"(?!\w|\.\d|/\d|-[A-Za-z])", re.ASCII)
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){1,7}(?:(?::[0-9A-Fa-f]{1,4}){1,7}|[0-9A-Fa-f]{1,4}|:)(?![\w:])"
)


def _ipv4(text: str, start: int, end: int, settings: PiiSettings) -> Iterator[Span]:
    if _AFTER_IPV4.match(text, end):
        yield from _ip(text, start, end, settings)


def _ipv6(text: str, start: int, end: int, settings: PiiSettings) -> Iterator[Span]:
    for match in _IPV6.finditer(text, start, min(len(text), end + 1)):
        yield from _ip(text, match.start(), match.end(), settings)


def _ip(text: str, start: int, end: int, settings: PiiSettings) -> Iterator[Span]:
    reason = rejected_by("ip", Place(text, start, end))
    if reason is None or (reason == "not_global" and settings.ip_scope == "any"):
        yield from judge("ip", text, start, end)


# --- numbers with check digits ---


def _ibans(text: str, start: int, end: int, settings: PiiSettings) -> Iterator[Span]:  # noqa: ARG001
    """Check digits are right already; presidio knows the countries and their lengths."""
    yield from judge("iban", text, start, end)


_ETHEREUM = re.compile(r"0x[0-9A-Fa-f]{40}")


def _crypto(text: str, start: int, end: int, settings: PiiSettings) -> Iterator[Span]:  # noqa: ARG001
    if rejected_by("crypto", Place(text, start, end)):
        return
    if _ETHEREUM.fullmatch(text, start, end):
        yield Span(start, end, "crypto")
    elif not text[start:end].startswith("0"):
        yield from judge("crypto", text, start, end)


# --- runs of digits ---


def _numbers(text: str, start: int, end: int, settings: PiiSettings) -> Iterator[Span]:  # noqa: ARG001
    """All that a run of digits can be but a phone number."""
    if end - start >= _MIN_SSN:
        yield from _ssns(text, start, end)
        yield from _accounts(text, start, end)
    if end - start >= _MIN_CARD:
        yield from _cards(text, start, end)


_MIN_SSN, _MIN_CARD = 8, 12

# As written on cards: in one piece, in fours, or 4-6-5 and 4-6-4 (American Express, Diners), one kind of
# separator throughout.
_CARD = re.compile(
    r"(?<![\d.])(?:\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?!\d|\.\d)"
)
# Issuer prefixes with their lengths (ISO/IEC 7812): Visa, Mastercard, American Express, Discover, JCB,
# Diners, UnionPay, Maestro.
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|35\d{14,17}|(?:2131|1800)\d{11}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|62\d{14,17}|(?:50(?:18|20|38)|5[68]\d\d|6304|67\d\d)\d{8,15}"
)


def _cards(text: str, start: int, end: int) -> Iterator[Span]:
    """An issuer's prefix and length, and the check digit (Luhn, by presidio)."""
    # Two characters more, for what must not follow.
    for match in _CARD.finditer(text, start, end + 2):
        if not _ISSUED.fullmatch(re.sub(r"\D", "", match[0])):
            continue
        if not rejected_by("credit_card", Place(text, match.start(), match.end())):
            yield from judge("credit_card", text, match.start(), match.end())


_SSN = re.compile(r"(?<![\w.-])\d{3}(?:([- .])\d{2}\1|\d{2})\d{4}(?!\w|[-.]\d)")
_SSN_LABEL = re.compile(r"(?:ssn|social|security)[^\n\d]{0,24}\Z", re.IGNORECASE)
_SSN_NAMED = re.compile(r"(?:\bssn|social security (?:number|no|#))[^\n\d]{0,16}\Z", re.IGNORECASE)


def _ssns(text: str, start: int, end: int) -> Iterator[Span]:
    """Three, two and four digits of issued ranges; without hyphens only where the text names it."""
    for match in _SSN.finditer(text, start, end + 2):
        place = Place(text, match.start(), match.end())
        label = _SSN_LABEL if match[1] else _SSN_NAMED
        if (match[1] == "-" or label.search(place.before)) and not rejected_by("us_ssn", place):
            yield from judge("us_ssn", text, match.start(), match.end(), 0.0 if match[1] else CONTEXT)


_ACCOUNT_LABEL = re.compile(
    r"(?:\b(?:bank|checking|savings|current|deposit|debit|beneficiary|giro)\s+(?:account|acct|a/c)"
    r"|\b(?:account|acct|a/c|acc)\.?\s{0,3}(?:number|num\b|nr\b|no\b\.?|#)|\baccnum\b|\baccount[#:])"
    r"[^\n\d]{0,24}\Z",
    re.IGNORECASE,
)
_BANK_LETTERS = re.compile(r"(?<![A-Za-z0-9])[A-Z]{1,11}\Z")
_ACCOUNT = re.compile(r"\d(?:[ -]?\d){7,16}[A-Z]?(?![\w]|[-.]\d)")


def _accounts(text: str, start: int, end: int) -> Iterator[Span]:
    """8 to 17 digits, a bank's letters before them and a check letter behind allowed, after a label."""
    letters = _BANK_LETTERS.search(text, max(0, start - 12), start)
    first = letters.start() if letters else start
    place = Place(text, first, end)
    if not _ACCOUNT_LABEL.search(place.before):
        return
    number = _ACCOUNT.match(text, start, min(len(text), end + 3))
    if number and not rejected_by("bank_account", place):
        yield from judge("bank_account", text, first, number.end(), CONTEXT)


# --- phone numbers ---

# Numbers in one line over more than this many characters are a table. Only what has the strict shape of a
# phone number is looked at there.
_TABLE = 100
_STRICT = re.compile(
    r"\+\d[\d .()-]{7,18}\d|\(\d{3}\) ?\d{3}[-. ]\d{4}(?!\d)|(?<!\d)\d{3}([-.])\d{3}\1\d{4}(?!\d)"
)
_LABELS = (
    r"(?:\b(?:phones?|telephone|tel[eé]?f?|telefono|teléfono|téléphone|telefone|telefon|mobile|mob|cell|cellular"
    r"|cellphone|handy|fax|whatsapp|hotline|helpline|desk|ph)\b|電話|电话|手機|手机|行動|전화|тел)"
)
# A label right before or after a number: it is one, whatever its digits.
_IS_LABELLED = re.compile(
    rf"{_LABELS}(?: (?:no\.?|numbers?|#))?(?:[.\s]?[:：]\s{{0,3}}|\.?[ \n])\Z", re.IGNORECASE
)
_IS_LABELLED_AFTER = re.compile(r" \(?(?:office|fax|mobile|cell)\b", re.IGNORECASE)
# The same at the end of a clause ("2546712361 fax"), not "1500000000 mobile users": enough for digits in one piece.
_ENDS_LABELLED = re.compile(r" \(?(?:office|fax|mobile|cell)\b\)?\s*(?:[\n,;.|]|\Z)", re.IGNORECASE)
# A label near by: a number without separators may be one.
_NEAR_LABEL = re.compile(
    rf"(?:{_LABELS}|\b(?:call|calling|contact|dial|text|sms|number is)\b)[^\n\d]{{0,18}}\Z", re.IGNORECASE
)
_SEPARATOR = r"[ .()\-\u2010-\u2015\u00a0/+]"
_DIALLED = re.compile(
    rf"\(?\+?\(?\d(?:{_SEPARATOR}{{0,3}}+\d){{6,14}}(?: ?(?:x|ext\.?) ?\d{{1,5}})?(?!\w)", re.IGNORECASE
)
_COUNTRY = re.compile(r"\(?\+\d{1,3}\)?[ .-]?\Z")
# Around a run, for what belongs to its first or last number: a leading "+" or "(", an extension, and letters
# that would make it part of a word.
_MARGIN = 24


def _phones(text: str, runs: list[tuple[int, int]], regions: tuple[str, ...]) -> Iterator[Span]:
    """Google's phone number rules (through presidio), for what looks like a number or is labelled as one."""
    pieces: list[tuple[int, int]] = []
    for start, end in runs:
        if end - start <= _TABLE:
            pieces.append((start, end))
        else:
            pieces += [match.span() for match in _STRICT.finditer(text, start, end)]
    borders = [0, *(border for piece in pieces for border in piece), len(text)]
    for i, (start, end) in enumerate(pieces):
        # The window does not reach into the numbers before and after: a list of them is read once.
        window = max(borders[2 * i], start - _MARGIN), min(borders[2 * i + 3], end + _MARGIN)
        yield from _phones_between(text, start, end, window, regions)


def _phones_between(
    text: str, start: int, end: int, window: tuple[int, int], regions: tuple[str, ...]
) -> Iterator[Span]:
    """The phone numbers in a run of digits: what presidio accepts there, else the run itself if labelled."""
    place = Place(text, start, end)
    before = place.before
    labelled = _labelled(text, before, start)
    international = text[start] == "+" or before[-2:].rstrip("(").endswith("+")
    named = _NEAR_LABEL.search(before) or _ENDS_LABELLED.match(text, end)
    sure = bool(labelled or international or named)
    if not sure and not written_like_a_phone(place):
        return
    # As if labelled, because the shape of the whole run has been looked at.
    if rejected_by("phone", place, labelled=True):
        return
    if labelled and text[start:end].isdigit() and not international:
        yield labelled
        return
    for region in regions:
        spans = [s for s in judge_phone(text, *window, region) if s.start < end and s.end > start]
        if spans:
            kept = (s for s in spans if sure or not rejected_by("phone", Place(text, s.start, s.end)))
            yield from (_with_country(text, span) for span in kept)
            return
    if labelled:
        yield labelled


def _labelled(text: str, before: str, start: int) -> Span | None:
    """The 7 to 15 digits that a label introduces ("Fax: 467 3395") or follows ("467 3395 mobile")."""
    opening = len(before) - len(before.rstrip("(+"))
    number = _DIALLED.match(text, start - opening)
    if not number:
        return None
    label = _IS_LABELLED.search(before[: len(before) - opening])
    sure = "+" in number[0] or (label and label[0].rstrip().endswith((":", "：")))
    written = sure or written_like_a_phone(Place(text, number.start(), number.end()))
    if (label or _IS_LABELLED_AFTER.match(text, number.end())) and written:
        return Span(number.start(), number.end(), "phone")
    return None


def _with_country(text: str, span: Span) -> Span:
    """The span with the country code that phone number rules leave out in "+41 (0)96 471 07 95"."""
    country = _COUNTRY.search(text, max(0, span.start - 8), span.start)
    return Span(country.start(), span.end, span.type) if country else span


_FINDERS: Final[dict[int, Callable[[str, int, int, PiiSettings], Iterator[Span]]]] = {
    candidates.SIGN: _emails,
    candidates.RUN: _numbers,
    candidates.IPV4: _ipv4,
    candidates.IPV6: _ipv6,
    candidates.IBAN: _ibans,
    candidates.CRYPTO: _crypto,
}
