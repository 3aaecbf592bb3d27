"""The settings of the crawler's rules, as they stand in YAML. Defaults are those of the most careful user; sources beside them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, field_validator

from pipeline.errors import UserError

_HERE = Path(__file__).parent
AGENT_NAME = r"[A-Za-z_-]+"
"""What a crawler may call itself in robots.txt (RFC 9309, 2.2.1)."""


@cache
def packaged(name: str) -> dict[str, Any]:
    """A YAML file of this package."""
    content: dict[str, Any] = yaml.safe_load((_HERE / name).read_text(encoding="utf-8"))
    return content


def packaged_names(name: str, key: str) -> tuple[str, ...]:
    """A list of a packaged file; its entries are names, or mappings with a `name`."""
    return tuple(entry if isinstance(entry, str) else entry["name"] for entry in packaged(name)[key])


class RobotsFetchSettings(BaseModel, frozen=True, extra="forbid"):
    """How answers to requests for /robots.txt are taken (RFC 9309, 2.3 and 2.4)."""

    cache_seconds: float = Field(default=86_400, gt=0, le=86_400)
    """How long a file is obeyed before it is asked for again (2.4: at most 24 hours)."""
    retry_seconds: float = Field(default=3_600, gt=0, le=86_400)
    """When an origin that gave no answer is asked again (StormCrawler: one hour)."""
    max_redirects: int = Field(default=5, ge=5, le=20)
    """Redirects that are followed (2.3.1.2: at least five)."""
    too_many_redirects: Literal["allow_all", "disallow_all"] = "disallow_all"
    """What a longer chain means. The RFC lets crawlers take it for no file; the careful reading is that there may be one."""
    refusing_statuses: tuple[int, ...] = (401, 403)
    """4xx answers that forbid everything. The RFC allows all on any 4xx; a host that refuses its robots.txt does not
    invite a training crawler. `[]` for the RFC's reading."""
    busy_statuses: tuple[int, ...] = (408, 425, 429)
    """4xx answers that mean "not now", and are taken like 5xx (Nutch and StormCrawler: 429)."""
    silence_seconds: float = Field(default=30 * 86_400, ge=30 * 86_400)
    """After so long without an answer... (2.3.1.4: "for example, 30 days")"""
    after_silence: Literal["last_rules", "allow", "disallow"] = "last_rules"
    """... the rules last read are obeyed, if any were (else nothing may be fetched); or everything, or nothing may be."""


class PolicySettings(BaseModel, frozen=True, extra="forbid"):
    """Whose words are obeyed, and which of them keep a page out of the data."""

    product_token: str = Field(default="Corpusmill", pattern=rf"^{AGENT_NAME}$")
    """The crawler's own name in robots.txt, meta tags and headers."""
    fallback_tokens: tuple[str, ...] = ()
    """Whose group is followed where robots.txt does not name us. Applebot documents `[Googlebot]`. By default nobody's: a
    permission given to a search engine was not given to us."""
    training_tokens: tuple[str, ...] = Field(
        default_factory=lambda: packaged_names("opt_outs.yaml", "training_tokens")
    )
    """Names by which sites say no to training (`opt_outs.yaml`): a page that any of them may not fetch, by a group of its own
    name, is not used."""
    require_training_tokens_to_fetch: bool = True
    """Do not even fetch what could not be used, as far as robots.txt tells."""
    directives: tuple[str, ...] = Field(default_factory=lambda: packaged_names("opt_outs.yaml", "directives"))
    """Words of X-Robots-Tag and meta robots that keep a page out of the data."""
    content_signals: tuple[str, ...] = Field(
        default_factory=lambda: packaged_names("opt_outs.yaml", "content_signals")
    )
    """Keys of Content-Signal whose `no` keeps a page out."""
    content_usages: tuple[str, ...] = Field(
        default_factory=lambda: packaged_names("opt_outs.yaml", "content_usages")
    )
    """Keys of Content-Usage whose `n` keeps a page out."""
    tdm_reservation: bool = True
    """Obey TDM reservations (W3C TDMRep): header, meta, `/.well-known/tdmrep.json`."""
    ai_txt: bool = True
    """Obey `/ai.txt` (Spawning)."""
    nofollow: bool = True
    """Do not follow links that say `nofollow`, nor any of a page that says so."""
    unfollowed_rels: tuple[str, ...] = ("nofollow",)
    """Values of `rel` that mean it; `ugc` and `sponsored` are others."""

    @field_validator("fallback_tokens", "training_tokens")
    @classmethod
    def _tokens(cls, tokens: tuple[str, ...]) -> tuple[str, ...]:
        for token in tokens:
            if not token or not all(character.isalnum() or character in "-_" for character in token):
                raise ValueError(f'"{token}" is no product token: letters, digits, "-" and "_"')
        return tokens


class UrlSettings(BaseModel, frozen=True, extra="forbid"):
    """What makes two URLs the same page, and which are refused."""

    max_length: int = Field(default=2083, ge=64, le=65_536)
    """Characters of a URL, percent-encoded (Scrapy and old browsers: 2,083)."""
    tracking_parameters: tuple[str, ...] = Field(
        default_factory=lambda: packaged_names("urls.yaml", "tracking_parameters")
    )
    """Query parameters that say how a visitor came; `utm_*` ends in a wildcard."""
    session_parameters: tuple[str, ...] = Field(
        default_factory=lambda: packaged_names("urls.yaml", "session_parameters")
    )
    """Query and path parameters that name a visit."""
    session_parameters_if_hex: tuple[str, ...] = Field(
        default_factory=lambda: packaged_names("urls.yaml", "session_parameters_if_hex")
    )
    """The same where the value is 16 or more hexadecimal digits: short names that also mean other things."""


class ScopeSettings(BaseModel, frozen=True, extra="forbid"):
    """Which URLs a crawl takes."""

    around: Literal["host", "domain", "anywhere"] = "domain"
    """How far from its seeds a crawl goes: their hosts, their registered domains, or the web."""
    domains: tuple[str, ...] = ()
    """Hosts or domains that are taken besides, with all hosts below them."""
    blocked_domains: tuple[str, ...] = ()
    """Hosts or domains that are never taken, with all hosts below them."""
    block_lists: tuple[str, ...] = ()
    """Files with a domain, or a URL whose prefix is blocked, on each line; also in the form of a hosts file."""
    max_depth: int | None = Field(default=None, ge=0)
    """Links from a seed; none: any number."""
    languages: tuple[str, ...] = ()
    """Languages (ISO 639-1) that a URL may name, as in `/de/` or `de.example.org`; a URL that names none is taken."""
    skipped_suffixes: tuple[str, ...] = Field(
        default_factory=lambda: packaged_names("urls.yaml", "skipped_suffixes")
    )
    """Endings of paths that hold no text for us."""

    @field_validator("domains", "blocked_domains")
    @classmethod
    def _lower(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(domain.strip().lower().strip(".") for domain in domains)


class TrapSettings(BaseModel, frozen=True, extra="forbid"):
    """Bounds on the shape of URLs that sites make without end."""

    max_segments: int = Field(default=20, ge=1)
    """Segments of a path (Heritrix, TooManyPathSegments: 20)."""
    max_repeats: int = Field(default=2, ge=1)
    """How often a segment, or a run of segments, may repeat itself (Heritrix, PathologicalPath: 2)."""
    max_same_segment: int = Field(default=4, ge=1)
    """How often a segment may occur in a path, wherever."""
    max_parameters: int = Field(default=20, ge=1)
    """Parameters of a query."""
    max_segment_length: int = Field(default=255, ge=8)
    """Characters of a segment, percent-encoded."""
    first_year: int = 1990
    """Calendars are taken from this year on..."""
    years_ahead: int = Field(default=1, ge=0)
    """... to so many years after the crawl's."""


class SitemapSettings(BaseModel, frozen=True, extra="forbid"):
    """Bounds on sitemaps. The protocol's own (sitemaps.org): 50,000 URLs and 50 MiB, decompressed."""

    max_bytes: int = Field(default=50 << 20, ge=1)
    """Octets after decompression; what comes after is not read."""
    max_urls: int = Field(default=50_000, ge=1)
    """Addresses of one sitemap."""
    max_depth: int = Field(default=3, ge=1)
    """Sitemaps below sitemaps; the protocol has one level of indexes."""
    max_sitemaps: int = Field(default=1_000, ge=1)
    """Sitemaps of one host."""


class LinkSettings(BaseModel, frozen=True, extra="forbid"):
    """Bounds on what is read from a page."""

    max_bytes: int = Field(default=4 << 20, ge=1)
    """Octets of a page that are parsed."""
    max_links: int = Field(default=5_000, ge=1)
    """Links of a page."""
    max_metas: int = Field(default=500, ge=1)
    """Meta elements of a page."""


def read_policy(path: str) -> PolicySettings:
    """Policy settings from a YAML file.

    Raises:
        UserError: when the file is missing or not a policy.
    """
    from pipeline.config import validate  # here: it loads every filter, which no rule of the crawler needs

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"policy {path}: {error}") from error
    if not isinstance(content or {}, dict):
        raise UserError(f"policy {path}: it must map settings to values, as docs/robots.md shows.")
    return validate(PolicySettings, content or {}, path)
