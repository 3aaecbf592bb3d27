"""The rules of one robots.txt group, indexed: which is the longest pattern that matches a path.

Paths and patterns are compared octet by octet in one spelling (RFC 9309, 2.2.2): %XX of unreserved characters is decoded, other
%XX is in upper case, and what no URI may hold is percent-encoded. In a pattern `*` stands for any octets and a last `$` for the
end (2.2.3); as characters of a path both are encoded, `%2A` and `%24`. For the search a spelling becomes a string with one
character for each octet, %XX as U+0100 and above, so that no wildcard ends inside a %XX.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_TO_MEND = re.compile(rb"%[0-9A-Fa-f]{2}|[^!#$&-;=?-\[\]_a-z~]")
_PLAIN_PATH = re.compile(r"/[!&-)+-;=?-Z\[\]_a-z~]*")
_BEFORE_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


class Rule(NamedTuple):
    """An allow or disallow line. Made by `rule_of`."""

    allow: bool
    pattern: str
    """One character for each octet; `*` and a last `$` are special."""
    octets: int
    """Of the pattern as spelt: how specific it is."""
    line: int
    written: str


class _Glob(NamedTuple):
    """A rule with wildcards, cut for the search."""

    rule: Rule
    prefix: str
    middle: tuple[str, ...]
    suffix: str | None
    """What the path must end with; None where it may end anyhow."""


def rule_of(allow: bool, spelling: str, line: int, written: str) -> Rule:
    """A rule from the spelling of its pattern (`spell_pattern`)."""
    return Rule(allow, _symbols(spelling), len(spelling), line, written)


def spell_pattern(text: bytes) -> str:
    """The one spelling of a pattern: ASCII, and idempotent. A `$` that is not the last octet stands for itself."""
    spelling = _TO_MEND.sub(_mend, text).decode("ascii")
    return spelling[:-1].replace("$", "%24") + spelling[-1:]


@lru_cache(maxsize=1024)
def url_path(url: str) -> str:
    """The path and query of an absolute URL (or of a path), one character for each octet, to be matched with rules."""
    text = url.partition("#")[0]
    before = _BEFORE_PATH.match(text)
    path = text[before.end() :] if before else text
    if not path.startswith("/"):
        path = "/" + path
    if _PLAIN_PATH.fullmatch(path):
        return path
    spelling = _TO_MEND.sub(_mend, path.encode("utf-8", "surrogatepass")).decode("ascii")
    return _symbols(spelling.replace("*", "%2A").replace("$", "%24"))


def _mend(found: re.Match[bytes]) -> bytes:
    octets = found[0]
    if len(octets) == 3:
        octet = int(octets[1:], 16)
        return bytes((octet,)) if octet in _UNRESERVED else octets.upper()
    return b"%%%02X" % octets[0]


def _symbols(spelling: str) -> str:
    """One character for each octet. Where a spelling is plain, it is that already."""
    first, *rest = spelling.split("%")
    return first + "".join(chr(0x100 + int(part[:2], 16)) + part[2:] for part in rest)


class RuleIndex:
    """The rules of a group, ready to be asked.

    The longest pattern that matches decides, and of two as long the one that allows (2.2.2); of several lines with one pattern, the
    first is named. Plain prefixes are looked up, one for each length that occurs. Patterns with `*` are tried from the longest on,
    each by forward search without backtracking.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._prefixes: dict[str, Rule] = {}
        self._whole: dict[str, Rule] = {}
        globs: dict[tuple[str, bool], Rule] = {}
        for rule in rules:
            if "*" in rule.pattern:
                globs.setdefault((rule.pattern, rule.allow), rule)
            elif rule.pattern.endswith("$"):
                _prefer_allow(self._whole, rule.pattern[:-1], rule)
            else:
                _prefer_allow(self._prefixes, rule.pattern, rule)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self._globs = [_glob(rule) for rule in sorted(globs.values(), key=_priority)]

    def match(self, path: str) -> Rule | None:
        """The rule that decides about a path (of `url_path`), or None where none matches."""
        best = self._whole.get(path)
        for length in self._lengths:
            if length <= len(path) and (rule := self._prefixes.get(path[:length])) is not None:
                best = rule if best is None else min(best, rule, key=_priority)
                break
        for glob in self._globs:
            if best is not None and _priority(best) <= _priority(glob.rule):
                break
            if _matches(glob, path):
                return glob.rule
        return best


def _priority(rule: Rule) -> tuple[int, bool]:
    """Sorts the rule that decides first."""
    return -rule.octets, not rule.allow


def _prefer_allow(table: dict[str, Rule], key: str, rule: Rule) -> None:
    there = table.get(key)
    if there is None or _priority(rule) < _priority(there):
        table[key] = rule


def _glob(rule: Rule) -> _Glob:
    anchored = rule.pattern.endswith("$")
    prefix, *rest = (rule.pattern[:-1] if anchored else rule.pattern).split("*")
    suffix = rest.pop() if anchored else None
    return _Glob(rule, prefix, tuple(part for part in rest if part), suffix)


def _matches(glob: _Glob, path: str) -> bool:
    if not path.startswith(glob.prefix):
        return False
    at = len(glob.prefix)
    for part in glob.middle:
        at = path.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return glob.suffix is None or (len(path) - len(glob.suffix) >= at and path.endswith(glob.suffix))
