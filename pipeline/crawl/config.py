"""The settings of a crawl, as they stand in `jobs/crawl.yaml`, with the sources of their defaults."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field, field_validator

from pipeline.crawl.settings import (
    LinkSettings,
    PolicySettings,
    RobotsFetchSettings,
    ScopeSettings,
    SitemapSettings,
    TrapSettings,
    UrlSettings,
)

_CONTACT = re.compile(
    r"(https?://[^\s()<>;]+\.[^\s()<>;]+|(?:mailto:)?[^\s@()<>;]+@[^\s@()<>;]+\.[^\s@()<>;]+)"
)


class PolitenessSettings(BaseModel, frozen=True, extra="forbid"):
    """How much of a host's time a crawl takes. A host is a name: its schemes and ports share one connection and one pace.

    The pause before a request, counted from the end of the answer before it, is the longest of three: `delay`, the site's
    Crawl-delay, and `delay_factor` times what the last answer took (at most `max_delay`).
    """

    delay: float = Field(default=5.0, ge=0)
    """Seconds (Nutch: 5; BUbiNG: 4; Heritrix: 3 at least)."""
    delay_factor: float = Field(default=5.0, ge=0)
    """Times the seconds of the last answer (Heritrix: 5)..."""
    max_delay: float = Field(default=30.0, ge=0)
    """... up to so many seconds (Heritrix: 30)."""
    max_crawl_delay: float = Field(default=300.0, ge=0)
    """A longer Crawl-delay is not undercut: the host's pages are skipped (Heritrix obeys up to 300; Nutch skips above 30)."""
    ip_delay: float = Field(default=0.5, ge=0)
    """Seconds between requests of one shard to one address, for the many hosts of one server (BUbiNG: 0.5)."""
    max_pages_per_ip: int = Field(default=50_000, ge=1)
    """Requests of one shard to one address in a round; the rest waits for the next."""
    backoff: float = Field(default=60.0, gt=0)
    """Seconds a host is left alone after 429, 503 or a failed connection; doubled with each further one..."""
    max_backoff: float = Field(default=3600.0, gt=0)
    """... up to so many. A Retry-After above this ends the page, and the host rests until then."""
    max_attempts: int = Field(default=3, ge=1)
    """Requests for a page before it counts as failed (Scrapy, Nutch: 3)."""
    max_host_errors: int = Field(default=5, ge=1)
    """Errors in a row after which a host is left alone for the round; twice that in a row ends its pages (Nutch: 5)."""


class LimitSettings(BaseModel, frozen=True, extra="forbid"):
    """What one answer may be, and how long it may take."""

    connect_seconds: float = Field(default=20.0, gt=0)
    """Heritrix: 20."""
    total_seconds: float = Field(default=120.0, gt=0)
    """Scrapy: 180; Heritrix: 1,200."""
    slow_bytes: int = Field(default=100, ge=1)
    """Bytes a second, below which an answer...."""
    slow_seconds: int = Field(default=20, ge=1)
    """... is given up after so many seconds."""
    max_header_bytes: int = Field(default=64 << 10, ge=1024)
    """Octets of status line and fields."""
    max_bytes: int = Field(default=10 << 20, ge=1024)
    """Octets of a body as sent, and again after its codings are undone. `jobs/web.yaml` rejects above 10 MB."""
    max_redirects: int = Field(default=5, ge=0)
    """Redirects in a row from a page (browsers: 20; Nutch: 0 at once, later rounds follow)."""
    media_types: tuple[str, ...] = ("text/html", "application/xhtml+xml")
    """Types of pages that are read to the end; a page that names none is. Empty: every type."""
    store_errors: bool = False
    """Whether answers of status 4xx and 5xx are kept in the WARC files as well."""


class BudgetSettings(BaseModel, frozen=True, extra="forbid"):
    """How much a crawl takes."""

    max_rounds: int = Field(default=20, ge=1)
    """Rounds. A link found in one round is fetched in the next."""
    round_seconds: float = Field(default=3600.0, gt=0)
    """After so long a shard begins no further request; what is left waits for the next round."""
    pages_per_host_round: int = Field(default=2_000, ge=1)
    """Pages of a host in a round; the rest waits."""
    pages_per_host: int = Field(default=100_000, ge=1)
    """Pages of a host in the whole crawl; further ones are skipped."""
    hosts_per_domain: int = Field(default=1_000, ge=1)
    """Hosts of a registered domain; pages of further ones are skipped."""
    patience_seconds: float = Field(default=60.0, ge=0)
    """When all that is left has to wait (for a Retry-After, for a robots.txt that could not be had), the crawl waits with it for so
    long, else it ends; the same command goes on later."""
    max_pages: int | None = Field(default=None, ge=1)
    """Pages of the crawl: no round begins after so many were fetched."""


class CrawlSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides what a crawl does."""

    contact: str = ""
    """An address or a page where site owners reach whoever runs the crawl; it is part of the User-Agent. Required."""
    connect_to: dict[str, str] = Field(default_factory=dict)
    """`host: address:port` where a host is really reached, `*` for all; for tests and mirrors. Names are not resolved then."""
    allow_private: bool = False
    """Whether private, loopback and link-local addresses may be connected to. For tests."""
    ca_file: str | None = None
    """Certificates that are trusted, instead of the system's."""
    shards: int = Field(default=4, ge=1, le=4096)
    """Parts in which the hosts are cut, by registered domain; each is driven by one worker. Fixed for a crawl."""
    part_bytes: int = Field(default=1 << 30, ge=1024)
    """A WARC file is closed when it is longer than this (common usage: 1 GB)."""
    gzip_level: int = Field(default=6, ge=1, le=9)
    """Of WARC records."""
    sitemaps: bool = True
    """Whether the Sitemap lines of robots.txt are followed."""
    sync_pages: int = Field(default=64, ge=1)
    """Pages after which what was written is forced to the disk; a failing machine (not a killed process) loses at most these."""
    politeness: PolitenessSettings = Field(default_factory=PolitenessSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)
    robots: RobotsFetchSettings = Field(default_factory=RobotsFetchSettings)
    scope: ScopeSettings = Field(default_factory=ScopeSettings)
    traps: TrapSettings = Field(default_factory=TrapSettings)
    urls: UrlSettings = Field(default_factory=UrlSettings)
    links: LinkSettings = Field(default_factory=LinkSettings)
    sitemap: SitemapSettings = Field(default_factory=SitemapSettings)

    @field_validator("contact")
    @classmethod
    def _reachable(cls, contact: str) -> str:
        contact = contact.strip()
        if contact and not (_CONTACT.fullmatch(contact) and contact.isascii()):
            raise ValueError(f'"{contact}" is neither an e-mail address nor the URL of a page')
        return contact

    def user_agent(self, version: str) -> str:
        """The User-Agent header: product token, version, contact."""
        contact = self.contact.removeprefix("mailto:")
        contact = contact if contact.startswith("http") else f"mailto:{contact}"
        return f"{self.policy.product_token}/{version} (+{contact})"
