"""May a URL be fetched, and may what was fetched be used? The answers, each with its reason, from everything a publisher says.

`fetch` asks before a request, `use` after an answer, `follow` before links are taken. The strictest voice wins: a permission from
one side never outweighs a refusal from another.

Reasons are words for the ledger, `kind` or `kind:what`: `robots`, `robots:GPTBot`, `x-robots-tag:noindex`, `meta-robots:noai`,
`tdm:header`, `tdm:meta`, `tdm:file`, `ai.txt`, `content-signal:robots`, `content-usage:header`, `unreachable:dns` ...
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.crawl import opt_outs
from pipeline.crawl.opt_outs import Directive, TdmRules
from pipeline.crawl.robots import Decision, RobotsFile
from pipeline.crawl.robots_fetch import RobotsVerdict
from pipeline.crawl.settings import PolicySettings

Headers = Iterable[tuple[str, str]]
"""Response headers as they came: a name that came twice is there twice."""
Metas = Iterable[tuple[str, str]]
"""Name and content of a page's meta elements, as `links.read_page` gives them."""


class Reason(NamedTuple):
    """Why something is not fetched, not used or not followed."""

    name: str
    """The ledger's word."""
    detail: str
    """The line, header or element that says so, for a person."""
    line: int | None = None
    """The number of the line in robots.txt or ai.txt."""


class FetchDecision(NamedTuple):
    """Whether a URL may be fetched."""

    allowed: bool
    reason: Reason | None
    """None where it may."""
    decision: Decision
    """The line of robots.txt that decided; of the training token's group where that was what refused."""


class Policy:
    """The answers under given settings. Has no state: one object serves a whole crawl."""

    def __init__(self, settings: PolicySettings | None = None) -> None:
        self.settings = settings or PolicySettings()
        self._tokens = (self.settings.product_token, *self.settings.fallback_tokens)
        self._training = tuple(dict.fromkeys(self.settings.training_tokens))
        self._addressed = {token.lower() for token in (*self._tokens, *self._training)}
        self._directives = frozenset(word.lower() for word in self.settings.directives)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Our name and those followed in its stead, the first named in a robots.txt is obeyed."""
        return self._tokens

    def crawl_delay(self, robots: RobotsFile) -> float | None:
        """The Crawl-delay that the site asks of us, in seconds."""
        return robots.crawl_delay(self._tokens)

    def fetch(self, robots: RobotsFile | RobotsVerdict, url: str) -> FetchDecision:
        """Whether a URL may be requested.

        Args:
            robots: the file of the URL's origin, or the verdict about it.
            url: in normal form (`urls.parse_url`).
        """
        decision = robots.decide(self._tokens, url)
        if not decision.allowed:
            if isinstance(robots, RobotsVerdict) and robots.kind != "rules":
                return FetchDecision(False, Reason(robots.reason, f"{robots.url}: {robots.reason}"), decision)
            return FetchDecision(False, _robots_reason("robots", decision), decision)
        if self.settings.require_training_tokens_to_fetch:
            refused = self._refused_training(_file(robots), url)
            if refused is not None:
                return FetchDecision(False, *refused)
        return FetchDecision(True, None, decision)

    def use(
        self,
        url: str,
        *,
        robots: RobotsFile | RobotsVerdict | None = None,
        headers: Headers = (),
        meta: Metas = (),
        tdm: TdmRules | None = None,
        ai_txt: RobotsFile | None = None,
        media_type: str = "text/html",
        now: float,
    ) -> list[Reason]:
        """Why a page may not go into the data; empty where it may. All reasons are given, not only the first.

        Args:
            url: that the page was fetched from, in normal form.
            robots: of its origin.
            headers: of the response.
            meta: name and content of the page's meta elements.
            tdm: the origin's `/.well-known/tdmrep.json`, if it has one.
            ai_txt: the origin's `/ai.txt`, if it has one.
            media_type: of the page, for ai.txt.
            now: when it was fetched, in seconds since 1970, UTC.
        """
        headers = [(name.lower(), value) for name, value in headers]
        meta = [(name.strip().lower(), content) for name, content in meta]
        reasons: list[Reason] = []
        if robots is not None:
            refused = self._refused_training(_file(robots), url)
            reasons += [refused[0]] if refused else []
            reasons += self._robots_statements(_file(robots), url)
        reasons += self._directive_reasons(headers, meta, now)
        reasons += self._header_statements(headers)
        reasons += self._reservations(url, headers, meta, tdm)
        if ai_txt is not None and self.settings.ai_txt:
            decision = opt_outs.ai_txt_decision(ai_txt, (*self._tokens, *self._training), url, media_type)
            if not decision.allowed:
                reasons.append(_robots_reason("ai.txt", decision))
        return list(dict.fromkeys(reasons))

    def follow(self, headers: Headers = (), meta: Metas = ()) -> Reason | None:
        """Why no link of a page is followed; None where links may be."""
        if not self.settings.nofollow:
            return None
        for source, directive in self._directives_for_us(headers, meta):
            if directive.word in ("nofollow", "none"):
                return Reason(f"{source}:{directive.word}", _written(source, directive))
        return None

    def follow_link(self, rels: Iterable[str]) -> Reason | None:
        """Why one link is not followed, by the values of its `rel`; None where it may be."""
        if self.settings.nofollow:
            for rel in rels:
                if rel in self.settings.unfollowed_rels:
                    return Reason(f"rel:{rel}", f'rel="{rel}"')
        return None

    def _refused_training(self, robots: RobotsFile, url: str) -> tuple[Reason, Decision] | None:
        for token in robots.named(self._training):
            decision = robots.decide(token, url, everyone=False)
            if not decision.allowed:
                return _robots_reason(f"robots:{token}", decision), decision
        return None

    def _robots_statements(self, robots: RobotsFile, url: str) -> list[Reason]:
        """Content-Signal and Content-Usage of our group; what it leaves unsaid, everyone's says."""
        ours = robots.statements(self._tokens)
        everyones = robots.statements_for_everyone()
        reasons: list[Reason] = []
        if not ours and not everyones:
            return reasons
        for field, keys in self._vocabularies():
            silent = set(keys) - opt_outs.stated_keys(ours, field)
            refusing = opt_outs.refused_usage(ours, field, keys, url) or opt_outs.refused_usage(
                everyones, field, silent, url
            )
            if refusing is not None:
                reasons.append(
                    Reason(f"{field}:robots", f"{refusing.field}: {refusing.value}", refusing.line)
                )
        return reasons

    def _header_statements(self, headers: Headers) -> list[Reason]:
        reasons = []
        for field, keys in self._vocabularies():
            for name, value in headers:
                if name == field and any(
                    usage.key in keys and not usage.allowed for usage in opt_outs.usages(value)
                ):
                    reasons.append(Reason(f"{field}:header", f"{field}: {value[:200]}"))
        return reasons

    def _vocabularies(self) -> Sequence[tuple[str, tuple[str, ...]]]:
        return (
            ("content-signal", self.settings.content_signals),
            ("content-usage", self.settings.content_usages),
        )

    def _directive_reasons(self, headers: Headers, meta: Metas, now: float) -> list[Reason]:
        reasons = []
        for source, directive in self._directives_for_us(headers, meta):
            word = directive.word
            if word == "max-snippet" and directive.value == "0":
                word = "nosnippet"
            if word in self._directives and (
                word != "unavailable_after" or opt_outs.is_past(directive.value, now)
            ):
                reasons.append(Reason(f"{source}:{word}", _written(source, directive)))
        return reasons

    def _directives_for_us(self, headers: Headers, meta: Metas) -> list[tuple[str, Directive]]:
        """Directives for everyone, for us, and for those whose training opt-outs we obey."""
        values = [value for name, value in headers if name.lower() in ("x-robots-tag", "robots-tag")]
        found = [("x-robots-tag", directive) for directive in opt_outs.robots_directives(values)]
        for name, content in meta:
            agent = name.strip().lower()
            if agent == "robots" or agent in self._addressed:
                directives = opt_outs.robots_directives([content], None if agent == "robots" else agent)
                found += [("meta-robots", directive) for directive in directives]
        return [
            (source, directive)
            for source, directive in found
            if directive.agent in (None, "robots") or directive.agent in self._addressed
        ]

    def _reservations(self, url: str, headers: Headers, meta: Metas, tdm: TdmRules | None) -> list[Reason]:
        if not self.settings.tdm_reservation:
            return []
        reasons = [
            Reason(f"tdm:{place}", f"tdm-reservation: {value.strip()}")
            for place, pairs in (("header", headers), ("meta", meta))
            for name, value in pairs
            if name == "tdm-reservation" and opt_outs.is_reserved([value])
        ]
        location = tdm.reserved(url) if tdm is not None else None
        if location is not None:
            reasons.append(Reason("tdm:file", f"/.well-known/tdmrep.json: {location}"))
        return reasons


def _file(robots: RobotsFile | RobotsVerdict) -> RobotsFile:
    return robots.robots if isinstance(robots, RobotsVerdict) else robots


def _robots_reason(name: str, decision: Decision) -> Reason:
    return Reason(name, f"{decision.rule} (group {decision.group})", decision.line)


def _written(source: str, directive: Directive) -> str:
    agent = f"{directive.agent}: " if directive.agent else ""
    value = f": {directive.value}" if directive.value else ""
    return f"{source}: {agent}{directive.word}{value}"[:200]
