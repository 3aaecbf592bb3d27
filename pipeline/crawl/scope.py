"""Which URLs a crawl takes: around its seeds, in listed domains, not in blocked ones, to a depth, in a language.

Every refusal is a word for the ledger: `scope:blocked`, `scope:host`, `scope:domain`, `scope:depth`, `scope:suffix`,
`scope:language`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline import storage
from pipeline.crawl.hosts import HostError, is_address, normalise_host, registered_domain
from pipeline.crawl.policy import Reason
from pipeline.crawl.settings import ScopeSettings, packaged
from pipeline.crawl.urls import Url, UrlError, parse_url
from pipeline.errors import UserError

_LANGUAGES = frozenset(packaged("urls.yaml")["languages"].split())
"""ISO 639-1."""
_ALSO_WORDS = frozenset(packaged("urls.yaml")["languages_also_words"].split())
"""Codes that a path or host also uses for other things ("/my/account", "uk.example.org"): no hint on their own."""
_CODE = re.compile(r"([a-z]{2})(?:[-_](?:[a-z]{2}|[a-z]{4}|[0-9]{3}))?", re.IGNORECASE)
_PARAMETER = re.compile(r"(?:^|&)(?:lang|language|hl|locale|setlang)=([A-Za-z_-]{2,8})(?=&|$)", re.IGNORECASE)


class Scope:
    """The bounds of one crawl.

    Args:
        settings: the bounds.
        seeds: where the crawl starts; their hosts (or registered domains) are inside.

    Raises:
        UserError: when a block list is missing or a seed is no URL.
    """

    def __init__(self, settings: ScopeSettings, seeds: Iterable[str] = ()) -> None:
        self.settings = settings
        self._hosts: set[str] = set()
        self._domains = set(settings.domains)
        for seed in seeds:
            try:
                host = parse_url(seed).host
            except UrlError as error:
                raise UserError(f"seed {seed}: no URL that can be crawled ({error.reason}).") from error
            self._hosts.add(host)
            if settings.around == "domain":
                self._domains.add(registered_domain(host))
        self._blocked = set(settings.blocked_domains)
        self._blocked_prefixes: dict[str, list[str]] = {}
        for path in settings.block_lists:
            self._read_block_list(path)
        self._suffixes = tuple(suffix.lower() for suffix in settings.skipped_suffixes)
        self._languages = frozenset(language.lower() for language in settings.languages)

    def refuses(self, url: Url, depth: int = 0) -> Reason | None:
        """Why a URL is outside; None where it is inside.

        Args:
            url: in normal form.
            depth: links between a seed and it.
        """
        if self._is_blocked(url):
            return Reason("scope:blocked", url.host)
        if self.settings.around != "anywhere" and not self._is_inside(url.host):
            return Reason(f"scope:{self.settings.around}", url.host)
        if self.settings.max_depth is not None and depth > self.settings.max_depth:
            return Reason("scope:depth", f"{depth} links from a seed")
        if self._suffixes and url.path.lower().endswith(self._suffixes):
            return Reason("scope:suffix", url.path[-20:])
        if self._languages:
            hint = language_hint(url)
            if hint is not None and hint not in self._languages:
                return Reason("scope:language", hint)
        return None

    def _is_inside(self, host: str) -> bool:
        return host in self._hosts or _below(host, self._domains)

    def _is_blocked(self, url: Url) -> bool:
        if _below(url.host, self._blocked):
            return True
        prefixes = self._blocked_prefixes.get(url.host)
        return prefixes is not None and any(url.target.startswith(prefix) for prefix in prefixes)

    def _read_block_list(self, path: str) -> None:
        try:
            text = storage.read_bytes(path).decode("utf-8", "replace")
        except OSError as error:
            raise UserError(
                f"block list {path}: {error.strerror or error}. Name a file that exists in scope.block_lists."
            ) from error
        for number, line in enumerate(text.splitlines(), start=1):
            entry = line.partition("#")[0].split()
            if entry:
                self._block(entry[-1], f"{path}, line {number}")

    def _block(self, entry: str, where: str) -> None:
        """A domain, `0.0.0.0 domain` of a hosts file (its last word), or a URL with or without its scheme."""
        try:
            if "/" in entry:
                url = parse_url(entry if "://" in entry else f"http://{entry}")
                self._blocked_prefixes.setdefault(url.host, []).append(url.target)
            else:
                self._blocked.add(normalise_host(entry.removeprefix("*.").removeprefix(".")))
        except (UrlError, HostError) as error:
            raise UserError(f'block list {where}: "{entry}" is neither a domain nor a URL.') from error


def _below(host: str, domains: set[str]) -> bool:
    """Whether the host, or a domain above it, is in a set."""
    if host in domains:
        return True
    if is_address(host) or not domains:
        return False
    while "." in host:
        host = host.partition(".")[2]
        if host in domains:
            return True
    return False


def language_hint(url: Url) -> str | None:
    """The language that a URL names (ISO 639-1): a parameter, else the first segment of the path, else the first label.

    A weak sign, for scoping only: what a page is written in is measured on its text.
    """
    parameter = _PARAMETER.search(url.query or "")
    if parameter is not None and (code := _language(parameter[1], alone=True)):
        return code
    segment = url.path[1:].partition("/")[0]
    if code := _language(segment, alone=False):
        return code
    label, dot, rest = url.host.partition(".")
    return _language(label, alone=False) if dot and "." in rest else None


def _language(text: str, *, alone: bool) -> str | None:
    found = _CODE.fullmatch(text)
    if found is None:
        return None
    code = found[1].lower()
    if code not in _LANGUAGES or (not alone and code in _ALSO_WORDS and len(text) == 2):
        return None
    return code
