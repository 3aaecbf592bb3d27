"""Personal identifiers in text: found, counted, and replaced by typed placeholders.

`redact` is the edit step of the jobs. Of each text it replaces e-mail addresses, phone numbers, public IP
addresses, payment card numbers, IBANs and US social security numbers by `<EMAIL_1>`, `<PHONE_2>` ...:
numbered per distinct value within the document, so that a text still says which of two people is meant. It
also gives the columns

    pii.email, pii.phone, pii.ip, pii.credit_card, pii.iban, pii.us_ssn   identifiers in the document
    pii.density                                                           identifiers per 1,000 words

How: a vectorised scan finds the documents that can hold any (16 % of real web pages), linear scans find the
candidates in them, and presidio's pattern recognisers (no language model) judge a short window around each.
What they accept then has to pass rules against what was measured to be wrong on real pages: ISBNs, decimals,
tables of numbers, year ranges, ids in URLs, version numbers, private addresses. docs/screens.md has the
figures.

Nothing here fetches anything, and no error or log line carries text of a document.
"""

from __future__ import annotations

import bisect
import functools
import ipaddress
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field

from filters.measures import Column
from filters.words import index_words

Action = Literal["replace", "keep"]
Region = Annotated[str, Field(pattern="^[A-Z]{2}$")]

TYPES = ("email", "phone", "ip", "credit_card", "iban", "us_ssn")
COLUMNS = (
    *(Column(f"pii.{kind}", pa.int32(), f"{kind} identifiers in the document") for kind in TYPES),
    Column("pii.density", pa.float32(), "identifiers per 1,000 words"),
)

MIN_SCORE = 0.4
"""presidio's score below which a match is ignored (research/models.md: below it, precision falls to .05)."""

# Where two types claim the same characters, the first of these wins: a checksum beats a shape, a shape beats
# a digit count.
_STRENGTH = ("iban", "credit_card", "us_ssn", "email", "ip", "phone")


class PiiSettings(BaseModel, frozen=True, extra="forbid"):
    """What happens to each type: `replace` by a placeholder, or `keep` (it is counted all the same).

    `regions` are the countries (ISO 3166) whose national phone numbers are known; numbers that begin with `+`
    need none.
    """

    email: Action = "replace"
    """E-mail addresses: `replace` or `keep`."""
    phone: Action = "replace"
    """Phone numbers: `replace` or `keep`."""
    ip: Action = "replace"
    """Public IP addresses: `replace` or `keep`."""
    credit_card: Action = "replace"
    """Payment card numbers (Luhn): `replace` or `keep`."""
    iban: Action = "replace"
    """IBANs: `replace` or `keep`."""
    us_ssn: Action = "replace"
    """US social security numbers: `replace` or `keep`."""
    regions: tuple[Region, ...] = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")


class Span(NamedTuple):
    """An identifier: characters `start` to `end` (exclusive) of the text, and its type (one of `TYPES`)."""

    start: int
    end: int
    type: str


class PiiError(RuntimeError):
    """A recogniser failed. The message names the document's row and the kind of failure, never its text."""


def redact(text: pa.Array, settings: PiiSettings | None = None) -> tuple[pa.Array, dict[str, pa.Array]]:
    """Replace the identifiers of each document, and count them.

    Args:
        text: string or large_string; a null stays null and counts nothing. Malformed UTF-8 is replaced
            (U+FFFD) in a document that is searched.
        settings: what to replace; everything by default.

    Returns:
        The texts, of the same type and length, and the columns of `COLUMNS`.

    Raises:
        PiiError: a recogniser failed on a document. Only its row and the name of the exception are told.
    """
    chosen = settings or PiiSettings()
    counts = np.zeros((len(TYPES), len(text)), dtype=np.int32)
    edited: dict[int, str] = {}
    found: list[int] = []
    for row in np.flatnonzero(_may_hold_identifiers(text)).tolist():
        document = _decode(text, row)
        spans = _find_in_row(document, row, chosen)
        if spans:
            found.append(row)
            for span in spans:
                counts[TYPES.index(span.type), row] += 1
            replaced = [span for span in spans if getattr(chosen, span.type) == "replace"]
            if replaced:
                edited[row] = replace(document, replaced)
    columns = {f"pii.{kind}": pa.array(counts[i], pa.int32()) for i, kind in enumerate(TYPES)}
    columns["pii.density"] = _density(text, counts.sum(axis=0), found)
    return _with_rows(text, edited), columns


def find_spans(text: str, settings: PiiSettings | None = None) -> list[Span]:
    """The identifiers of one text in order, none overlapping another, in time linear in its length.

    Raises:
        Exception: whatever a recogniser raised, text and all; it is `redact` that hides it.
    """
    chosen = settings or PiiSettings()
    found = [
        *_emails(text),
        *_ips(text),
        *_ibans(text),
        *_cards(text),
        *_ssns(text),
        *_phones(text, chosen.regions),
    ]
    return _without_overlaps(found)


def replace(text: str, spans: Iterable[Span]) -> str:
    """The text with each span replaced by its type and a number; equal values get the same number."""
    numbers: dict[tuple[str, str], int] = {}
    counters = {kind: itertools.count(1) for kind in TYPES}
    pieces: list[str] = []
    position = 0
    for start, end, kind in sorted(spans):
        value = (kind, _same(text[start:end], kind))
        if value not in numbers:
            numbers[value] = next(counters[kind])
        pieces += [text[position:start], f"<{kind.upper()}_{numbers[value]}>"]
        position = end
    return "".join([*pieces, text[position:]])


def _same(value: str, kind: str) -> str:
    """What two spellings of one identifier share: the digits of a number, else the lower-cased letters."""
    if kind in ("phone", "credit_card", "us_ssn"):
        return "".join(character for character in value if character.isdigit())
    return value.lower().replace(" ", "").replace("-", "") if kind == "iban" else value.lower()


# --- columns ---

# True for every text in which a candidate below can match (a test holds this to `find_spans`). RE2 over the
# Arrow buffer: linear, 700 MB/s, and 84 % of real pages never become a Python string.
_GATE = (
    r"@[\pL\pN_-]|::|[0-9A-Fa-f]:[0-9A-Fa-f]{1,4}:|\p{Nd}\.\p{Nd}{1,3}\.\p{Nd}{1,3}\.\p{Nd}"
    r"|\p{Nd}(?:[-\s.()/+\x{2010}-\x{2015}\x{a0}]{0,4}\p{Nd}){6}|[A-Za-z]{2}[0-9]{2}[ -]?[A-Za-z0-9]{4}"
)


def _may_hold_identifiers(text: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    matched = pc.fill_null(pc.match_substring_regex(text, _GATE), False)
    return np.asarray(matched.to_numpy(zero_copy_only=False), dtype=bool)


def _decode(text: pa.Array, row: int) -> str:
    binary = text.slice(row, 1).cast(
        pa.large_binary() if pa.types.is_large_string(text.type) else pa.binary()
    )
    return str(binary[0].as_py().decode("utf-8", "replace"))


def _find_in_row(document: str, row: int, settings: PiiSettings) -> list[Span]:
    failure = ""
    try:
        return find_spans(document, settings)
    except Exception as error:  # noqa: BLE001 - any exception may quote the text; PiiError does not
        failure = type(error).__name__
    # Outside the handler, so that the exception with the text is not chained to this one.
    raise PiiError(f"document {row} of the chunk: {failure} while looking for identifiers (text not shown)")


def _with_rows(text: pa.Array, edited: dict[int, str]) -> pa.Array:
    """The array with some rows replaced; the rows between are copied as they are."""
    if not edited:
        return text
    pieces: list[pa.Array] = []
    position = 0
    for row, document in edited.items():
        pieces += [text.slice(position, row - position), pa.array([document], text.type)]
        position = row + 1
    return pa.concat_arrays([*pieces, text.slice(position)])


def _density(text: pa.Array, totals: np.ndarray[Any, np.dtype[np.int32]], found: list[int]) -> pa.Array:
    """Identifiers per 1,000 words; 0 where there are none. Only the documents that have some are counted."""
    density = np.zeros(len(text), dtype=np.float32)
    if found:
        words = np.diff(index_words(text.take(pa.array(found, pa.int64()))).word_offsets)
        density[found] = 1000.0 * totals[found] / np.maximum(words, 1)
    return pa.array(density, pa.float32())


# --- candidates and rules, type by type ---

# Letters of an address: those of Latin scripts, so that an address set in Chinese or Russian text without
# spaces ends where it ends.
_LATIN = r"A-Za-z0-9\u00c0-\u024f"
_AT = re.compile(rf"(?<=[{_LATIN}_])@(?=[{_LATIN}])")
# RFC 5321: at most 64 characters before the sign and 255 after it. The local part does not reach over `/ = ?
# &`, which are legal in an address but in practice belong to the URL around it.
_LOCAL = re.compile(rf"[{_LATIN}.+%'_-]{{1,64}}\Z")
_DOMAIN = re.compile(rf"[{_LATIN}-]{{1,63}}+(?:\.[{_LATIN}-]{{1,63}}+){{1,7}}+")
# `git@host:group/repository` and `user@host:/path` are remote paths.
_REMOTE_PATH = re.compile(r":[/~]")


def _emails(text: str) -> Iterator[Span]:
    """presidio's pattern with a registered suffix, tried without the last label too: "a@b.org.Then the next
    sentence".
    """
    for sign in _AT.finditer(text):
        local = _LOCAL.search(text, max(0, sign.start() - 64), sign.start())
        domain = _DOMAIN.match(text, sign.end())
        if not local or not domain or local[0] == "git" or _REMOTE_PATH.match(text, domain.end()):
            continue
        end = domain.end()
        for _ in range(3):
            spans = list(_judge("email", text, local.start(), end))
            end = text.rfind(".", sign.end(), end)
            if spans or end < 0:
                yield from spans
                break


_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d|/\d|-[A-Za-z])")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){1,7}(?:(?::[0-9A-Fa-f]{1,4}){1,7}|[0-9A-Fa-f]{1,4}|:)(?![\w:])"
)
_VERSION = re.compile(
    r"(?:\b(?:v|ver|version|release|section|chapter|table|figure|step)|[a-z]/)[\s.:#]*\Z", re.IGNORECASE
)
_UNICAST = ipaddress.ip_network("2000::/3")


def _ips(text: str) -> Iterator[Span]:
    """Public addresses only: private, loopback and reserved ones say nothing about anybody.

    Four single digits (`3.1.2.4`) are a section or a version far more often than an address.
    """
    for match in _IPV4.finditer(text):
        if (
            len(match[0]) > 7
            and _is_public(match[0])
            and not _VERSION.search(text, max(0, match.start() - 12), match.start())
        ):
            yield from _judge("ip", text, match.start(), match.end())
    for match in _IPV6.finditer(text):
        if _is_public(match[0]):
            yield from _judge("ip", text, match.start(), match.end())


def _is_public(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    # Abbreviated, only what is assigned (2000::/3): C++ has names like `dead::beef`.
    return address.is_global and ("::" not in value or address in _UNICAST)


_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=((?:[ -]?[A-Za-z0-9]){11,30}+))")


def _ibans(text: str) -> Iterator[Span]:
    """presidio's national formats and check digits, tried at every word end: an IBAN may be followed by more
    words.
    """
    for match in _IBAN.finditer(text):
        last = match.end(1)
        for end in range(last, match.end() + 10, -1):
            cut_word = end < len(text) and text[end].isalnum() and end < last
            if not cut_word and _mod_97(text[match.start() : end]):
                spans = list(_judge("iban", text, match.start(), end))
                if spans:
                    yield from spans
                    break


def _mod_97(value: str) -> bool:
    """ISO 13616: with the first four characters moved to the end and A = 10 ... Z = 35, the remainder is
    1.
    """
    compact = value.replace(" ", "").replace("-", "").upper()
    return compact.isascii() and int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


_SEPARATOR = r"[ .()\-\u2010-\u2015\u00a0/+]"
# Seven digits or more with at most four separators between two; possessive, so that no text makes it
# backtrack.
_DIGITS = re.compile(rf"\d(?:{_SEPARATOR}{{0,4}}+\d){{6,}}+")


def _in_digit_runs(pattern: re.Pattern[str], text: str, digits: int) -> Iterator[re.Match[str]]:
    """The matches of a pattern in the digit runs of so many characters: most digits of a page are in none."""
    for run in _DIGITS.finditer(text):
        if run.end() - run.start() >= digits:
            # Two characters more, for what must not follow.
            yield from pattern.finditer(text, run.start(), run.end() + 2)


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


def _cards(text: str) -> Iterator[Span]:
    """An issuer's prefix and length, and the check digit (Luhn, by presidio); never inside a URL, where
    article ids pass both.
    """
    for match in _in_digit_runs(_CARD, text, 12):
        if _ISSUED.fullmatch(re.sub(r"\D", "", match[0])) and not _in_url(text, match.start()):
            yield from _judge("credit_card", text, match.start(), match.end())


_SSN = re.compile(r"(?<![\w.-])\d{3}([- .])\d{2}\1\d{4}(?!\w|[-.]\d)")
_SSN_LABEL = re.compile(r"(?:ssn|social|security)[^\n\d]{0,24}\Z", re.IGNORECASE)


def _ssns(text: str) -> Iterator[Span]:
    """Three, two and four digits of issued ranges; with points or spaces only where the text names it."""
    for match in _in_digit_runs(_SSN, text, 9):
        if match[1] == "-" or _SSN_LABEL.search(text, max(0, match.start() - 40), match.start()):
            yield from _judge("us_ssn", text, match.start(), match.end())


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
# A label near by: a number without separators may be one.
_NEAR_LABEL = re.compile(
    rf"(?:{_LABELS}|\b(?:call|calling|contact|dial|text|sms|number is)\b)[^\n\d]{{0,18}}\Z", re.IGNORECASE
)
_NOT_PHONE = re.compile(
    r"(?:isbn|issn|doi|pmid|pmc|arxiv|orcid|account|routing|invoice|tracking|patent|serial)[^\n\d]{0,12}\Z",
    re.IGNORECASE,
)


def _phones(text: str, regions: tuple[str, ...]) -> Iterator[Span]:
    """Google's phone number rules (through presidio), for what looks like a number or is labelled as one."""
    for cluster in _DIGITS.finditer(text):
        if cluster.end() - cluster.start() <= _TABLE:
            yield from _phones_between(text, cluster.start(), cluster.end(), regions)
        else:
            for match in _STRICT.finditer(text, cluster.start(), cluster.end()):
                yield from _phones_between(text, match.start(), match.end(), regions)


def _phones_between(text: str, start: int, end: int, regions: tuple[str, ...]) -> Iterator[Span]:
    """The phone numbers in a run of digits: what presidio accepts there, else the run itself if labelled."""
    before = text[max(0, start - 40) : start]
    if _NOT_PHONE.search(before) or _in_url(text, start):
        return
    labelled = _labelled(text, before, start)
    international = text[start] == "+" or before[-2:].rstrip("(").endswith("+")
    sure = bool(labelled or international or _NEAR_LABEL.search(before))
    if not sure and not _may_be_a_phone(text[start:end]):
        return
    if labelled and text[start:end].isdigit() and not international:
        yield labelled
        return
    # 24 characters on each side: a leading "+" or "(", an extension, and letters that would make it part of a
    # word.
    first, last = max(0, start - 24), min(len(text), end + 24)
    for region in regions:
        spans = [s for s in _judge_phone(text, first, last, region) if s.start < end and s.end > start]
        if spans:
            yield from (_with_country(text, span) for span in spans if sure or _stands_alone(text, span))
            return
    if labelled:
        yield labelled


_DIALLED = re.compile(
    rf"\(?\+?\(?\d(?:{_SEPARATOR}{{0,3}}+\d){{6,14}}(?: ?(?:x|ext\.?) ?\d{{1,5}})?(?!\w)", re.IGNORECASE
)


def _labelled(text: str, before: str, start: int) -> Span | None:
    """The 7 to 15 digits that a label introduces ("Fax: 467 3395") or follows ("467 3395 mobile")."""
    opening = len(before) - len(before.rstrip("(+"))
    number = _DIALLED.match(text, start - opening)
    if not number:
        return None
    label = _IS_LABELLED.search(before[: len(before) - opening])
    sure = "+" in number[0] or (label and label[0].rstrip().endswith((":", "：")))
    if (label or _IS_LABELLED_AFTER.match(text, number.end())) and (sure or _written_like_a_phone(number[0])):
        return Span(number.start(), number.end(), "phone")
    return None


def _may_be_a_phone(cluster: str) -> bool:
    """Whether an unlabelled run of digits is worth a look: longer ones may hold several numbers."""
    return sum(map(str.isdigit, cluster)) > 15 or _written_like_a_phone(cluster)


_DATE = re.compile(r"[12]\d{3}([-./])\d{1,2}\1\d{1,2}(?!\d)|\d{1,2}([-./])\d{1,2}\2[12]\d{3}(?!\d)")


def _written_like_a_phone(value: str) -> bool:
    """Whether an unlabelled national number is not rather a decimal, a date, a range, or cells of a table.

    Each line answers false positives on real pages.
    """
    groups = re.findall(r"\d+", value)
    if len(groups) == 1 or any(len(group) == 1 for group in groups[1:]):
        return False
    if all(len(group) <= 2 for group in groups) and groups[0][0] != "0":
        return False
    if len(groups) == 2 and ("." in value or all(len(group) == 4 and group[0] in "12" for group in groups)):
        return False
    return not (re.search(r"[\u2012-\u2015+]", value) or value.count("/") > 1 or _DATE.match(value))


_INSIDE = re.compile(r"\d[.\-\u2010-\u2015/]\Z|[\w.]\Z")
_CONTINUES = re.compile(r"[.\-\u2010-\u2015/]?\d|[A-Za-z_]")
_COUNTRY = re.compile(r"\(?\+\d{1,3}\)?[ .-]?\Z")


def _stands_alone(text: str, span: Span) -> bool:
    """Written like a phone number, and not a part of a longer number, word or identifier."""
    return _written_like_a_phone(text[span.start : span.end]) and not (
        _INSIDE.search(text, max(0, span.start - 2), span.start) or _CONTINUES.match(text, span.end)
    )


def _with_country(text: str, span: Span) -> Span:
    """The span with the country code that phone number rules leave out in "+41 (0)96 471 07 95"."""
    country = _COUNTRY.search(text, max(0, span.start - 8), span.start)
    return Span(country.start(), span.end, span.type) if country else span


def _in_url(text: str, position: int) -> bool:
    token = text[max(0, position - 300) : position].rsplit(None, 1)[-1:]
    return bool(token) and not text[position - 1 : position].isspace() and bool(_URL.search(token[0]))


_URL = re.compile(r"://|www\.", re.IGNORECASE)


def _without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Of spans that share characters the strongest type stays, then the longest, then the first."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (_STRENGTH.index(s.type), s.start - s.end, s.start)):
        at = bisect.bisect(kept, span)
        if (at == 0 or kept[at - 1].end <= span.start) and (at == len(kept) or span.end <= kept[at].start):
            kept.insert(at, span)
    return kept


# --- presidio ---


def _judge(kind: str, text: str, start: int, end: int) -> Iterator[Span]:
    """What the recogniser of a type accepts between two positions, seen alone: the candidates are never
    long.
    """
    for result in _recognisers()[kind](text[start:end]):
        if result.score >= MIN_SCORE:
            yield Span(start + result.start, start + result.end, kind)


def _judge_phone(text: str, start: int, end: int, region: str) -> Iterator[Span]:
    for result in _phone_recogniser(region)(text[start:end]):
        digits = sum(character.isdigit() for character in text[start + result.start : start + result.end])
        if result.score >= MIN_SCORE and digits >= 7:
            yield Span(start + result.start, start + result.end, "phone")


_Recogniser = Callable[[str], list[Any]]


@functools.cache
def _recognisers() -> dict[str, _Recogniser]:
    """presidio's recognisers without its engine. Imported on first use: the import costs 4 seconds of CPU
    time.
    """
    import presidio_analyzer.predefined_recognizers as predefined
    import tldextract
    from presidio_analyzer import Pattern

    # presidio writes a match it could not validate into its log.
    logging.getLogger("presidio-analyzer").addFilter(lambda _record: False)
    suffixes = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)

    class OfflineEmailRecognizer(predefined.EmailRecognizer):
        """presidio's own asks a suffix list that may be fetched from the network."""

        def validate_result(self, pattern_text: str) -> bool:
            return bool(suffixes(pattern_text).fqdn)

    flags = re.DOTALL | re.MULTILINE | re.IGNORECASE
    recognisers = {
        "email": OfflineEmailRecognizer(),
        "ip": predefined.IpRecognizer(),
        "iban": predefined.IbanRecognizer(regex_flags=flags),
        # The candidate's shape and issuer are checked already; presidio's own pattern misses half of the
        # issuers.
        "credit_card": predefined.CreditCardRecognizer(patterns=[Pattern("card", r"\d[\d -]{10,21}\d", 0.3)]),
        "us_ssn": predefined.UsSsnRecognizer(),
    }
    return {kind: _analyse(recogniser) for kind, recogniser in recognisers.items()}


@functools.cache
def _phone_recogniser(region: str) -> _Recogniser:
    import presidio_analyzer.predefined_recognizers as predefined

    return _analyse(predefined.PhoneRecognizer(supported_regions=(region,)))


def _analyse(recogniser: Any) -> _Recogniser:
    entities = recogniser.supported_entities
    return lambda text: list(recogniser.analyze(text, entities, None))
