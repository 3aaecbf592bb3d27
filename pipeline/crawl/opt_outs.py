"""What publishers say about the use of their pages outside robots.txt groups: the signals, read; `policy` decides what they mean.

| signal | where | source |
| --- | --- | --- |
| robots directives | X-Robots-Tag header, `<meta name="robots">`, both also for one crawler | Google, "Robots meta tag" |
| TDM reservation | `tdm-reservation` header and meta, `/.well-known/tdmrep.json` | W3C community report TDMRep |
| Content-Signal | robots.txt, header | contentsignals.org |
| Content-Usage | robots.txt, header | IETF aipref (drafts) |
| ai.txt | `/ai.txt` | Spawning |

Everything here reads hostile text: nothing raises, and nothing that cannot be read counts as a permission.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from pipeline.crawl.robots import Decision, RobotsFile, Statement
from pipeline.crawl.robots_rules import RuleIndex, rule_of, spell_pattern, url_path

_MOST_TEXT = 10_000
_MOST_TDM_RULES = 10_000
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_AGENT = re.compile(r"\s*([\w-]+)\s*:(.*)", re.DOTALL)
_WEEKDAY = re.compile(r"\s*(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?\s*", re.IGNORECASE)
_STRANGE_DATE = re.compile(r"(\d{1,2})[ -](\w{3})[ -](\d{4})(.*)")


class Directive(NamedTuple):
    """One word of X-Robots-Tag or meta robots."""

    agent: str | None
    """The crawler that it is for, in lower case; None for all."""
    word: str
    """In lower case."""
    value: str = ""


def robots_directives(values: Iterable[str], agent: str | None = None) -> list[Directive]:
    """The directives of X-Robots-Tag headers, or of a meta element's content.

    A header may be for one crawler: `otherbot: noindex, nofollow`. The name holds until the next one in the same header.

    Args:
        values: one string for each header or element.
        agent: the crawler that a meta element is for by its name; None for `robots`.
    """
    found: list[Directive] = []
    for text in values:
        named = agent.lower() if agent else None
        for part in _parts(text[:_MOST_TEXT]):
            prefix = _AGENT.match(part)
            if prefix is not None and prefix[1].lower() not in _VALUED and agent is None:
                named, part = prefix[1].lower(), prefix[2]
            word, _, value = part.partition(":")
            if word.strip():
                found.append(Directive(named, word.strip().lower(), value.strip()))
    return found


def _parts(text: str) -> Iterator[str]:
    """The text cut at commas, but not at the one inside a date ("Wed, 25 Jun 2025 ...")."""
    pending = ""
    for part in text.split(","):
        part = f"{pending},{part}" if pending else part
        _, colon, value = part.lower().rpartition("unavailable_after:")
        if colon and _WEEKDAY.fullmatch(value):
            pending = part
            continue
        pending = ""
        yield part
    if pending:
        yield pending


def is_past(text: str, now: float) -> bool:
    """Whether the date of an `unavailable_after` has come; one that cannot be read has (no permission can be read from it)."""
    moment = _moment(text.strip())
    return moment is None or moment.timestamp() <= now


def _moment(text: str) -> datetime.datetime | None:
    """RFC 822, RFC 850 and ISO 8601, as Google documents; a date without a zone is in UTC."""
    strange = _STRANGE_DATE.fullmatch(text)
    for spelling in (text, " ".join(strange.groups()) if strange else text):
        for parse in (datetime.datetime.fromisoformat, parsedate_to_datetime):
            try:
                moment = parse(spelling)
            except (ValueError, TypeError, IndexError, OverflowError):
                continue
            return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return None


class TdmRules:
    """The rules of `/.well-known/tdmrep.json`."""

    def __init__(self, rules: Iterable[tuple[str, bool]]) -> None:
        self._rules = [
            (location, reserved, RuleIndex([rule_of(False, _pattern(location), 0, location)]))
            for location, reserved in rules
        ]

    @classmethod
    def parse(cls, body: bytes | str) -> TdmRules:
        """Read the file; one that is not the JSON it should be has no rules (TDMRep, 6.1)."""
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return cls([])
        entries = content[:_MOST_TDM_RULES] if isinstance(content, list) else []
        return cls(
            (entry["location"], _is_one(entry.get("tdm-reservation")))
            for entry in entries
            if isinstance(entry, Mapping) and isinstance(entry.get("location"), str) and entry["location"]
        )

    def reserved(self, url: str) -> str | None:
        """The location of the rule that reserves the rights to a URL; None where none does. The first that matches decides."""
        path = url_path(url)
        for location, reserved, index in self._rules:
            if index.match(path) is not None:
                return location if reserved else None
        return None


def _pattern(location: str) -> str:
    pattern = spell_pattern(location.encode("utf-8", "surrogatepass"))
    return pattern if pattern[:1] in ("/", "*") else "/" + pattern


def is_reserved(values: Iterable[object]) -> bool:
    """Whether any `tdm-reservation` of headers or meta elements says so."""
    return any(_is_one(value) for value in values)


def _is_one(value: object) -> bool:
    return str(value).strip() == "1"


class Usage(NamedTuple):
    """What a Content-Signal or Content-Usage line or header says about one key."""

    key: str
    allowed: bool
    pattern: str
    """The paths that it is about; `/` for all."""


def usages(statement: str) -> list[Usage]:
    """The keys of a line: `train-ai=n, search=y`, or `/blog/ ai-train=no`. Values other than yes and no say nothing.

    Structured fields (RFC 9651) as far as the vocabularies use them: keys, tokens and booleans, parameters left aside.
    """
    text = statement[:_MOST_TEXT].strip()
    pattern = "/"
    if text.startswith(("/", "*")):
        path, _, text = text.partition(" ") if " " in text else text.partition("\t")
        pattern = spell_pattern(path.encode("utf-8", "surrogatepass"))
    found = []
    for member in text.split(","):
        key, equals, value = member.partition(";")[0].partition("=")
        answer = _ANSWERS.get(value.strip().strip('"').lower()) if equals else None
        if answer is not None:
            found.append(Usage(key.strip().lower(), answer, pattern))
    return found


_ANSWERS = {"y": True, "yes": True, "?1": True, "n": False, "no": False, "?0": False}


def refused_usage(
    statements: Iterable[Statement], field: str, keys: Iterable[str], url: str
) -> Statement | None:
    """The line of robots.txt that refuses one of the keys for a URL, if the most specific line about that key does.

    Lines of one pattern that disagree are taken at the stricter one's word (aipref-attach, 3.1).
    """
    path = url_path(url)
    wanted = set(keys)
    best: dict[str, tuple[int, bool, Statement]] = {}
    for statement in statements:
        if statement.field != field:
            continue
        for usage in usages(statement.value):
            if (
                usage.key in wanted
                and RuleIndex([rule_of(False, usage.pattern, 0, "")]).match(path) is not None
            ):
                claim = (len(usage.pattern), not usage.allowed, statement)
                there = best.get(usage.key)
                if there is None or claim[:2] > there[:2]:
                    best[usage.key] = claim
    refusing = [statement for _, refused, statement in best.values() if refused]
    return min(refusing, key=lambda statement: statement.line, default=None)


def stated_keys(statements: Iterable[Statement], field: str) -> set[str]:
    """The keys that lines of a field say anything about, anywhere."""
    return {usage.key for each in statements if each.field == field for usage in usages(each.value)}


_ENDINGS = {
    "text/html": (".html", ".htm"),
    "application/xhtml+xml": (".xhtml", ".html"),
    "text/plain": (".txt",),
    "application/pdf": (".pdf",),
}


def ai_txt_decision(ai_txt: RobotsFile, tokens: Iterable[str], url: str, media_type: str) -> Decision:
    """What `/ai.txt` says: the syntax is that of robots.txt, and patterns are about types of files (`Disallow: *.html`).

    Most pages carry no ending, so the endings of the media type are tried behind the path too; a refusal of any decides.
    """
    names = tuple(tokens)
    path = url.partition("#")[0].partition("?")[0]
    first = ai_txt.decide(names, url)
    for ending in _ENDINGS.get(media_type, ()):
        if first.allowed:
            typed = ai_txt.decide(
                names, path.rstrip("/") + "/index" + ending if path.endswith("/") else path + ending
            )
            first = first if typed.allowed else typed
    return first
