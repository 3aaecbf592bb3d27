"""Rules against false alarms: what has the shape of an identifier and, measured on real pages, is none.

Each rule has a name, the types it is for, and a test in tests/filters/test_pii_rules.py. `shape` rules look
at how a number is written; a label right before it ("Tel.: ...") or a leading `+` overrules them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

NEAR: Final = 40
"""Characters before a number in which a word can tell what it is."""

MAX_URL: Final = 300
"""Characters before a number in which the start of its URL is looked for."""


class Place(NamedTuple):
    """A span of a text."""

    text: str
    start: int
    end: int

    @property
    def value(self) -> str:
        """What is written there."""
        return self.text[self.start : self.end]

    @property
    def before(self) -> str:
        """The characters before it."""
        return self.text[max(0, self.start - NEAR) : self.start]

    @property
    def after(self) -> str:
        """The characters after it."""
        return self.text[self.end : self.end + NEAR]


@dataclass(frozen=True)
class Rule:
    """A reason to leave what looks like an identifier of some `types`; `shape` rules yield to a label."""

    name: str
    types: tuple[str, ...]
    shape: bool
    rejects: Callable[[Place], bool]


RULES: list[Rule] = []


def _rule(*types: str, shape: bool = False) -> Callable[[Callable[[Place], bool]], Callable[[Place], bool]]:
    def add(rejects: Callable[[Place], bool]) -> Callable[[Place], bool]:
        RULES.append(Rule(rejects.__name__, types, shape, rejects))
        return rejects

    return add


def rejected_by(kind: str, place: Place, labelled: bool = False) -> str | None:
    """The name of the first rule against a span of a type, None where there is none."""
    for rule in _OF_TYPE.get(kind, ()):
        if not (labelled and rule.shape) and rule.rejects(place):
            return rule.name
    return None


# --- numbers that are called something else ---

_CATALOGUE = re.compile(
    r"(?:isbn|issn|isni|doi|pmid|pmc|arxiv|orcid|routing|invoice|tracking|patent|serial|ean|upc|gtin|sku|asin)"
    r"[^\n\d]{0,12}\Z",
    re.IGNORECASE,
)
_DOI = re.compile(r"\b10\.\d{4,9}/\S{0,60}\Z")


@_rule("phone", "credit_card", "us_ssn", "bank_account")
def catalogue_number(place: Place) -> bool:
    """A number of a book, a paper, a parcel: after ISBN, DOI, PMID, invoice, serial ..."""
    return bool(_CATALOGUE.search(place.before) or _DOI.search(place.before))


@_rule("phone")
def account_number(place: Place) -> bool:
    """After the word "account"."""
    return bool(_ACCOUNT.search(place.before))


_ACCOUNT = re.compile(r"account[^\n\d]{0,12}\Z", re.IGNORECASE)

_URL = re.compile(r"://|www\.", re.IGNORECASE)


@_rule("phone", "credit_card", "us_ssn", "bank_account")
def inside_url(place: Place) -> bool:
    """Part of a URL, where article ids pass every check that digits can pass."""
    if place.start == 0 or place.text[place.start - 1].isspace():
        return False
    token = place.text[max(0, place.start - MAX_URL) : place.start].rsplit(None, 1)[-1:]
    return bool(token) and bool(_URL.search(token[0]))


_KEY = re.compile(
    r"(?:\b|_)(?:id|ids|uid|guid|article|story|post|item|thread|status|tweet|video|asset|node|ref|hash"
    r"|commit|order|token)[\"']?\s?[:=#/_-]{0,2}\s?[\"']?\Z",
    re.IGNORECASE,
)


@_rule("credit_card")
def article_id(place: Place) -> bool:
    """Digits in one piece that a key names an id (`"id": 4012888888881881`): these pass Luhn one time in ten."""
    return place.value.isdigit() and bool(_KEY.search(place.before))


_TIME_KEY = re.compile(
    r"(?:time|date|stamp|created|updated|modified|published|expires?|epoch|unix|\bts|(?:\b|_)at)[\"']?\s?[:=]?\s?[\"']?\Z",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"1\d{9}(?:\d{3}){0,2}")


@_rule("phone", "credit_card", "us_ssn", "bank_account")
def unix_timestamp(place: Place) -> bool:
    """Seconds, milliseconds or microseconds since 1970 (from 2001 to 2033) after a word for time."""
    return bool(_SECONDS.fullmatch(place.value) and _TIME_KEY.search(place.before))


# --- numbers that are not written like a phone number ---

_GROUP = re.compile(r"\d+")
_DATE = re.compile(r"(?<![\d./-])(?:[12]\d{3}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2[12]\d{3})(?!\d)")
_LEAST, _MUCH = 7, 15
"""Digits of the shortest number that is looked for, and of the longest that E.164 allows."""


def _groups(place: Place) -> list[str]:
    return _GROUP.findall(place.value)


@_rule("phone", shape=True)
def one_piece(place: Place) -> bool:
    """Digits without a separator: ids, sizes, timestamps."""
    return len(_groups(place)) == 1


@_rule("phone", shape=True)
def table_cells(place: Place) -> bool:
    """A single digit between others (`2022 2035 7 0 15`), or none of more than two digits (`22 23 24 25`)."""
    groups = _groups(place)
    small = all(len(group) <= 2 for group in groups) and groups[0][0] != "0"
    return small or any(len(group) == 1 for group in groups[1:])


@_rule("phone", shape=True)
def decimal_number(place: Place) -> bool:
    """Two groups with a point between them: `3.0822070014844882`."""
    return len(_groups(place)) == 2 and "." in place.value


@_rule("phone", shape=True)
def year_range(place: Place) -> bool:
    """`1642-1772`."""
    groups = _groups(place)
    return len(groups) == 2 and all(len(group) == 4 and group[0] in "12" for group in groups)


@_rule("phone", shape=True)
def date(place: Place) -> bool:
    """It has a date in it (`57 2020-08-01 17`, `03/09/2018`), or two slashes."""
    return bool(_DATE.search(place.value)) or place.value.count("/") > 1


@_rule("phone", shape=True)
def number_range(place: Place) -> bool:
    """A dash for "to" or an inner plus sign: `23 500 – 24 900`."""
    return any(character in "\u2012\u2013\u2014\u2015+" for character in place.value)


@_rule("phone", shape=True)
def version_range(place: Place) -> bool:
    """`6.4.102...6.4.103`."""
    return ".." in place.value


_INSIDE = re.compile(r"\d[.\-\u2010-\u2015/]\Z|[\w.]\Z")
_CONTINUES = re.compile(r"[.\-\u2010-\u2015/]?\d|[A-Za-z_]")


@_rule("phone", shape=True)
def part_of_longer(place: Place) -> bool:
    """Part of a longer number, word or identifier."""
    return bool(
        _INSIDE.search(place.text, max(0, place.start - 2), place.start)
        or _CONTINUES.match(place.text, place.end)
    )


WRITING: Final = tuple(rule for rule in RULES if rule.shape and rule.rejects is not part_of_longer)
"""The rules that need no more than the number itself."""


def written_like_a_phone(place: Place) -> bool:
    """Whether the number, without a label, can be one.

    A run of more digits than E.164 allows may hold several numbers of any shape, but none of it is in a group
    that is itself too long.
    """
    groups = [len(group) for group in _groups(place)]
    if sum(groups) > _MUCH:
        return sum(size for size in groups if size <= _MUCH) >= _LEAST
    return not any(rule.rejects(place) for rule in WRITING)


# --- addresses ---

_VERSION = re.compile(
    r"(?:\b(?:v|ver|versions?|release|section|chapter|table|figure|step|firmware|build|kernel)|[a-z]/)[\s.:#]*\Z",
    re.IGNORECASE,
)


@_rule("ip")
def version_number(place: Place) -> bool:
    """After "version", "section", a product's slash: `Chrome/86.121.97.24`."""
    return bool(_VERSION.search(place.before[-16:])) and ":" not in place.value


_NETWORK_WORD = re.compile(
    r"(?:\b(?:ips?|ipv4|dns|resolvers?|nameservers?|servers?|address(?:es)?|hosts?|ping|traceroute|dig|nslookup"
    r"|gateway|via|from|client|router|proxy)\b[^\n\d]{0,12}|://|@)\Z",
    re.IGNORECASE,
)
# Public resolvers of Google, Cloudflare and Level 3, always addresses.
_RESOLVERS: Final = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "4.2.2.1", "4.2.2.2"})


@_rule("ip")
def section_number(place: Place) -> bool:
    """Four single digits (`3.1.2.4`) are a section or a version, unless the text speaks of a network."""
    if len(place.value) > 7 or ":" in place.value or place.value in _RESOLVERS:
        return False
    return not (_NETWORK_WORD.search(place.before) or re.match(r":\d", place.after))


_UNICAST = ipaddress.ip_network("2000::/3")


@_rule("ip")
def not_global(place: Place) -> bool:
    """Private, loopback, reserved: such an address says nothing about anybody.

    Abbreviated, only what is assigned (2000::/3) counts: C++ has names like `dead::beef`.
    """
    try:
        address = ipaddress.ip_address(place.value)
    except ValueError:
        return True
    return not address.is_global or ("::" in place.value and address not in _UNICAST)


# --- addresses of mail ---

# `git@host:group/repository` and `user@host:/path`.
_REMOTE_PATH = re.compile(r":[/~]")


@_rule("email")
def remote_path(place: Place) -> bool:
    """A place to fetch code or files from."""
    return place.value.startswith("git@") or bool(_REMOTE_PATH.match(place.after))


# --- wallets ---

_DISTINCT = 8


@_rule("crypto")
def filler(place: Place) -> bool:
    """An address of few different characters (`0x000...dEaD`) belongs to nobody."""
    return len(set(place.value.lower())) < _DISTINCT


_OF_TYPE: Final = {
    kind: tuple(rule for rule in RULES if kind in rule.types)
    for kind in {kind for rule in RULES for kind in rule.types}
}
