"""robots.txt by RFC 9309: which line of a file allows or forbids a URL to a crawler.

`robotexclusionrulesparser` parses; this layer makes the file safe for it and matches by the RFC. Alone, the parser ends groups
at blank lines, finds directives anywhere in a line, drops groups without rules, unquotes paths, compares names as substrings
and obeys the first rule. So every record is put before it as the RFC reads it: one field at the start of a line, names cut to
tokens, no blank lines, octets that survive its unquoting, and the number of the source line in front of each path, by which a
rule is known again.

Sections in comments are RFC 9309's. Where owners make mistakes that the RFC leaves open, the reading that fetches less is taken:
misspelt and colon-less `disallow`, a path without its slash, names in a list.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from robotexclusionrulesparser import RobotExclusionRulesParser, _Ruleset  # type: ignore[import-untyped]

from pipeline.crawl.robots_rules import Rule, RuleIndex, rule_of, spell_pattern, url_path

LIMIT = 500 * 1024
"""Bytes of a file that are read (2.5: at least 500 KiB)."""

_ANYONE = "*"
_FIELDS = {
    "user-agent": "user-agent",
    "allow": "allow",
    "disallow": "disallow",
    "crawl-delay": "crawl-delay",
    "sitemap": "sitemap",
    "content-signal": "content-signal",
    "content-usage": "content-usage",
    # What owners write instead; Google's parser takes these for the same.
    **dict.fromkeys(("useragent", "user agent"), "user-agent"),
    **dict.fromkeys(("dissallow", "dissalow", "disalow", "diasllow", "disallaw"), "disallow"),
    **dict.fromkeys(("crawldelay", "crawl delay"), "crawl-delay"),
    **dict.fromkeys(("site-map",), "sitemap"),
}
_BARE = re.compile(r"(user-agent|disallow)\s+(\S+)", re.IGNORECASE)
_NAME = re.compile(r"[\w-]+")
_TOKEN = re.compile(r"[A-Za-z_-]*")
_MANY_NAMES = re.compile(r"[\w-]+(?:\s*,\s*[\w-]+)+")
_MOST_IGNORED = 100


class Decision(NamedTuple):
    """Whether a URL may be fetched, and the line that says so."""

    allowed: bool
    rule: str | None
    """The deciding line as it stands in the file, without its comment; None where no rule matched."""
    line: int | None
    """Its number, from 1."""
    group: str | None
    """The name of the group that applied, as in the file ("*" for everyone's); None where none did."""
    agent: str | None
    """Which of the tokens asked for has that group; None for everyone's or none."""


_FREE = Decision(True, None, None, None, None)


class Statement(NamedTuple):
    """A Content-Signal or Content-Usage line."""

    field: str
    value: str
    line: int
    group: str
    """The group that it stands in; "*" for a line before the first group."""


class _Record(NamedTuple):
    line: int
    field: str
    value: str
    written: str


@dataclass
class _Group:
    """A run of user-agent lines and what follows it (2.2.1), on its way to the parser."""

    line: int
    names: list[str] = field(default_factory=list)
    rules: list[_Record] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    statements: list[_Record] = field(default_factory=list)

    def for_parser(self) -> Iterator[str]:
        yield from (f"user-agent: {name}" for name in self.names)
        # The parser forgets groups without rules, and would fall back to everyone's; this one matches nothing.
        yield f"disallow: {self.line}:"
        for rule in self.rules:
            path = _pattern(rule.field, rule.value).replace("%", "%25")
            yield f"{rule.field}: {rule.line}:{path}"
        if self.delays:
            yield f"crawl-delay: {max(self.delays)}"


@dataclass
class _Parsed:
    """What the groups of a file share."""

    written: dict[int, str]
    """The rules as written, by line."""
    statements: dict[int, list[_Record]]
    """The Content-Signal and Content-Usage lines of a group, by the group's first line."""
    indexes: dict[tuple[int, ...], RuleIndex] = field(default_factory=dict)
    """Indexes made so far, by the first lines of their groups: a thousand names of one group have one."""


@dataclass(frozen=True)
class _Merged:
    """All groups of a name as one (2.2.1). Reads the rules when it is first asked: most names of a file never are."""

    name: str
    members: tuple[tuple[int, _Ruleset], ...]
    """First line and parsed rules of each, in the order of the file."""
    parsed: _Parsed

    @cached_property
    def index(self) -> RuleIndex:
        key = tuple(line for line, _ in self.members)
        index = self.parsed.indexes.get(key)
        if index is None:
            rules = (rule for _, ruleset in self.members for rule in _rules(ruleset, self.parsed.written))
            index = self.parsed.indexes[key] = RuleIndex(rules)
        return index

    @cached_property
    def crawl_delay(self) -> float | None:
        delays = [ruleset.crawl_delay for _, ruleset in self.members if ruleset.crawl_delay is not None]
        return max(delays, default=None)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        return tuple(
            Statement(each.field, each.value, each.line, self.name)
            for line, _ in self.members
            for each in self.parsed.statements[line]
        )


class RobotsFile:
    """A parsed robots.txt. Make one with `parse`."""

    def __init__(
        self,
        groups: dict[str, _Merged],
        *,
        sitemaps: Iterable[str] = (),
        statements: Iterable[Statement] = (),
        ignored: Iterable[tuple[int, str]] = (),
        truncated: bool = False,
    ) -> None:
        self._groups = groups
        self._everywhere = tuple(statements)
        self._named: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.sitemaps = tuple(dict.fromkeys(sitemaps))
        """Addresses of the Sitemap lines, as written."""
        self.ignored = tuple(ignored)
        """Number and text of lines that are no record, or a rule outside any group; at most a hundred."""
        self.truncated = truncated
        """Whether the file was longer than what is read."""

    @classmethod
    def parse(cls, body: bytes | str, limit: int = LIMIT) -> RobotsFile:
        """Parse a file; nothing in it raises.

        Args:
            body: the file as served (UTF-8; UTF-16 with a byte order mark is decoded; other octets are kept as they are).
            limit: bytes that are read. A line that the limit cuts is not read.
        """
        content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
        truncated = len(content) > limit
        if truncated:
            # Up to the last whole line; a cut "Allow: /private/open" would allow "/private".
            content = content[
                : max(content.rfind(b"\n", 0, limit + 1), content.rfind(b"\r", 0, limit + 1), 0)
            ]
        records, ignored = _records(_as_utf8(content))
        groups, sitemaps, loose = _group(records)
        ignored += [
            (record.line, record.written) for record in loose if record.field in ("allow", "disallow")
        ]
        return cls(
            _merge(groups),
            sitemaps=sitemaps,
            statements=(
                Statement(each.field, each.value, each.line, _ANYONE)
                for each in loose
                if each.field.startswith("content-")
            ),
            ignored=sorted(ignored)[:_MOST_IGNORED],
            truncated=truncated,
        )

    def decide(self, tokens: str | Sequence[str], url: str, *, everyone: bool = True) -> Decision:
        """Decide whether a URL may be fetched (2.2.2).

        Args:
            tokens: product tokens, the most wanted first: the first that the file names is obeyed.
            url: absolute, or a path; what comes before the path, and the fragment, do not matter.
            everyone: whether the group of `*` stands in where no token is named.
        """
        group, agent = self._applying(tokens, everyone)
        if group is None:
            return _FREE
        path = url_path(url)
        if path == "/robots.txt":
            return Decision(True, "/robots.txt is always allowed", None, None, None)
        rule = group.index.match(path)
        if rule is None:
            return Decision(True, None, None, group.name, agent)
        return Decision(rule.allow, rule.written, rule.line, group.name, agent)

    def names(self, token: str) -> bool:
        """Whether the file has a group for this very token."""
        return self._find(token) is not None

    def named(self, tokens: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the tokens that the file has groups for; remembered, as a crawler asks about the same ones for each URL."""
        known = self._named.get(tokens)
        if known is None:
            known = self._named[tokens] = tuple(filter(self.names, tokens))
        return known

    def crawl_delay(self, tokens: str | Sequence[str]) -> float | None:
        """The Crawl-delay of the group that applies, in seconds; the longest where there are several."""
        group, _ = self._applying(tokens, everyone=True)
        return group.crawl_delay if group else None

    def statements(self, tokens: str | Sequence[str]) -> tuple[Statement, ...]:
        """The Content-Signal and Content-Usage lines of the group that applies, and those before the first group."""
        group, _ = self._applying(tokens, everyone=True)
        return self._everywhere + (group.statements if group else ())

    def statements_for_everyone(self) -> tuple[Statement, ...]:
        """The Content-Signal and Content-Usage lines of `*` and those before the first group."""
        anyone = self._groups.get(_ANYONE)
        return self._everywhere + (anyone.statements if anyone else ())

    def _applying(self, tokens: str | Sequence[str], everyone: bool) -> tuple[_Merged | None, str | None]:
        for token in (tokens,) if isinstance(tokens, str) else tokens:
            group = self._find(token)
            if group is not None:
                return group, token
        return (self._groups.get(_ANYONE) if everyone else None), None

    def _find(self, token: str) -> _Merged | None:
        """The group of a token: names compare without case and as wholes (2.2.1)."""
        wanted = token.lower()
        return self._groups.get(wanted) if wanted != _ANYONE else None


def _as_utf8(content: bytes) -> bytes:
    """The content without byte order marks and NUL octets."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if content.startswith(mark):
            return content[2:].decode(encoding, "replace").encode()
    for mark in (b"\xef\xbb\xbf", b"\xef\xbb", b"\xef"):  # Google's parser takes a partial mark too
        if content.startswith(mark):
            content = content[len(mark) :]
            break
    return content.replace(b"\0", b"")


def _records(content: bytes) -> tuple[list[_Record], list[tuple[int, str]]]:
    """The lines that are records, and those that say nothing to us. Each line stands for itself (2.3.1.5)."""
    records, ignored = [], []
    for number, line in enumerate(content.splitlines(), start=1):
        written = line.partition(b"#")[0].strip().decode("utf-8", "surrogateescape")
        if not written:
            continue
        name, colon, value = written.partition(":")
        known = _FIELDS.get(name.strip().lower()) if colon else None
        if known is None:
            bare = _BARE.fullmatch(written)
            known, value = (bare[1].lower(), bare[2]) if bare else (None, "")
            if known == "disallow" and value[0] not in "/*":
                known = None
        if known is None:
            ignored.append((number, written[:200]))
        else:
            records.append(_Record(number, known, value.strip(), written))
    return records, ignored


def _group(records: list[_Record]) -> tuple[list[_Group], list[str], list[_Record]]:
    """Groups in file order, addresses of sitemaps, and the records that stand before the first group.

    Only a rule ends a run of user-agent lines: other records belong to the group but are no part of its grammar (2.2.4).
    """
    groups: list[_Group] = []
    sitemaps: list[str] = []
    loose: list[_Record] = []
    open_run = False
    for record in records:
        if record.field == "user-agent":
            if not open_run:
                groups.append(_Group(record.line))
            groups[-1].names += _names(record.value)
            open_run = True
        elif record.field == "sitemap":
            sitemaps.append(record.value)
        elif not groups:
            loose.append(record)
        elif record.field in ("allow", "disallow"):
            groups[-1].rules.append(record)
            open_run = False
        elif record.field == "crawl-delay":
            groups[-1].delays += _seconds(record.value)
        else:
            groups[-1].statements.append(record)
    return groups, sitemaps, loose


def _merge(groups: list[_Group]) -> dict[str, _Merged]:
    """Parse the groups, and join those of a name; keys are names in lower case."""
    parser = RobotExclusionRulesParser()
    parser.parse("\n".join(line for group in groups for line in group.for_parser()))
    # The parser has no accessor for what it parsed. It is frozen since 2016; tests hold it to what is read here.
    rulesets: list[_Ruleset] = parser._RobotExclusionRulesParser__rulesets
    parsed = _Parsed(
        {rule.line: rule.written for group in groups for rule in group.rules},
        {group.line: group.statements for group in groups},
    )
    found: dict[str, dict[int, _Ruleset]] = {}
    spelt: dict[str, str] = {}
    for ruleset in rulesets:
        first_line = int(ruleset.rules[0][1].partition(":")[0])
        for name in ruleset.robot_names:
            for key in _keys(name):
                found.setdefault(key, {})[first_line] = ruleset
                spelt.setdefault(key, name)
    # In the order of the file again: the parser moves everyone's group to the end.
    return {
        name: _Merged(spelt[name], tuple(sorted(by_line.items())), parsed) for name, by_line in found.items()
    }


def _rules(ruleset: _Ruleset, written: dict[int, str]) -> Iterator[Rule]:
    for kind, numbered in ruleset.rules:
        number, _, pattern = numbered.partition(":")
        if pattern:  # an empty one means nothing is disallowed, or allowed: it never matches
            yield rule_of(kind == _Ruleset.ALLOW, pattern, int(number), written[int(number)])


def _names(value: str) -> list[str]:
    """The names of a user-agent line: `*`, or the value up to the first character that no name has."""
    if value.startswith(_ANYONE):
        return [_ANYONE]
    if "," in value and _MANY_NAMES.fullmatch(value):
        return _NAME.findall(value)
    name = _NAME.match(value)
    return [name[0]] if name else []


def _keys(name: str) -> set[str]:
    """The tokens that a name stands for.

    The RFC reads a name as far as it is a token, `A-Z a-z _ -`. Owners also write digits and letters of other scripts
    ("AI2Bot"); a token that has them must find the whole name.
    """
    if name == _ANYONE:
        return {name}
    short = _TOKEN.match(name)
    return {name.lower(), short[0].lower() if short else ""} - {""}


def _seconds(value: str) -> list[float]:
    """A delay, or nothing where the value is none."""
    try:
        seconds = float(value)
    except ValueError:
        return []
    return [seconds] if math.isfinite(seconds) and seconds >= 0 else []


def _pattern(kind: str, value: str) -> str:
    """The path pattern in the one spelling."""
    pattern = spell_pattern(value.encode("utf-8", "surrogateescape"))
    if kind == "disallow" and pattern and pattern[0] not in "/*$":
        return "/" + pattern
    return pattern
