"""One spelling for one address: parsing, normal form, identity and order of http(s) URLs.

`parse_url` reads what stands in a link as browsers do (WHATWG URL Standard) and spells it in one way, which is safe to fetch.
`canonical` goes further, to what says which page is meant: without tracking parameters and session ids. `url_key` is the identity
of that in 128 bits, `surt` its place in the order of hosts. Neither sorts the query: its order can matter.

Normal form, beyond the standard's: no user information, no fragment, no dot at the end of a host; %XX of unreserved characters
decoded and other %XX in upper case (RFC 3986, 6.2.2); a `%` that starts no octet is `%25`; no empty query.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property, lru_cache
from typing import NamedTuple

from pipeline.crawl.hosts import HostError, is_address, normalise_host
from pipeline.crawl.settings import UrlSettings

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_NOT_IN_URLS = dict.fromkeys(map(ord, "\t\n\r"))
_ENDS = "".join(map(chr, range(0x21)))
_AUTHORITY = re.compile(r"[/\\]*([^/\\?#]*)")
_DIGITS = re.compile(r"[0-9]{0,10}")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What is left as it is; everything else is percent-encoded (WHATWG "path" and "special-query percent-encode sets").
_TO_MEND_IN_PATH = re.compile(rb"%[0-9A-Fa-f]{2}|[^!$&-;=@-Z\[\]\\_a-z|~]")
_TO_MEND_IN_QUERY = re.compile(rb"%[0-9A-Fa-f]{2}|[^!$&(-;=?-Z\[\]\\^_`a-z{|}~]")
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*)*/?")
_DOTS = frozenset((".", ".."))

_SESSION_SEGMENT = re.compile(r"/\((?:[A-Za-z]\([A-Za-z0-9_-]{16,}\))+\)(?=/)")  # ASP.NET: /(S(...))/
_HEX = re.compile(r"[0-9A-Fa-f]{16,}")


class UrlError(ValueError):
    """A URL that is none, or that a crawler does not take.

    `reason` is one of: `relative`, `scheme`, `userinfo`, `host`, `port`, `length`.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason, text[:200])
        self.reason = reason


class _Parts(NamedTuple):
    scheme: str
    host: str
    port: int | None
    path: str
    query: str | None


class Url(_Parts):
    """An address in normal form. `port` is None where it is the scheme's own; `path` starts with a slash."""

    @property
    def authority(self) -> str:
        """Host, and port unless it is the scheme's own."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority: what one robots.txt speaks for, and where connections go."""
        return f"{self.scheme}://{self.authority}"

    @property
    def target(self) -> str:
        """Path and query: what is requested."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @cached_property
    def text(self) -> str:
        """The whole."""
        return f"{self.origin}{self.target}"

    def __str__(self) -> str:
        return self.text


def parse_url(
    text: str, base: str | Url | None = None, *, encoding: str = "utf-8", max_length: int = 2083
) -> Url:
    """Read a URL, as browsers do, into its normal form.

    Args:
        text: absolute, or relative to `base`.
        base: the page it stands in, in normal form or not.
        encoding: of that page: what its queries are encoded in.
        max_length: characters of the result.

    Raises:
        UrlError: with the reason.
    """
    if len(text) > 4 * max_length:
        raise UrlError("length", text)
    text = text.strip(_ENDS).translate(_NOT_IN_URLS)
    scheme = _SCHEME.match(text)
    if scheme is not None:
        name, rest = scheme[1].lower(), text[scheme.end() :]
        if name not in _DEFAULT_PORTS:
            raise UrlError("scheme", text)
        on = _base(base)
        if on is None or on.scheme != name or rest[:1] in ("/", "\\"):
            url = _absolute(name, rest, encoding)
        else:  # "http:page" beside an http page is relative
            url = _relative(rest, on, encoding)
    else:
        on = _base(base)
        if on is None:
            raise UrlError("relative", text)
        url = _relative(text, on, encoding)
    if len(url.text) > max_length:
        raise UrlError("length", text)
    return url


def canonical(url: Url, settings: UrlSettings | None = None) -> Url:
    """The address without what does not say which page is meant: tracking parameters and session ids.

    Equal canonical URLs are one page to the crawler; what is fetched is the URL as it was found. The function is idempotent.
    """
    dropped = _dropped(settings or _DEFAULTS)
    path, query = url.path, url.query
    if ";" in path:
        segments = (_without(segment, ";", dropped, keep_first=True) for segment in path.split("/"))
        path = "/".join(segments)
    if "/(" in path:
        path = _SESSION_SEGMENT.sub("", path)
    if path != url.path:
        path = _tidy(path or "/")  # "/.;jsessionid=1" leaves a dot segment behind
    if query is not None:
        query = _without(query, "&", dropped) or None
    return url if (path, query) == (url.path, url.query) else url._replace(path=path, query=query)


def url_key(url: Url) -> bytes:
    """The identity of an address: 16 octets, BLAKE2b of its text.

    Not a fast hash: a site that could make two of its pages collide with a page of another could hide that one.
    """
    return hashlib.blake2b(url.text.encode("ascii"), digest_size=16, person=b"corpusmill.url.1").digest()


def surt(url: Url) -> str:
    """The address in Sort-friendly URI Reordering form, `org,example,www)/path?query`: neighbours belong together.

    The scheme is left out, so http and https stand beside each other; path and query keep their case, and `www` stays.
    """
    host = url.host if is_address(url.host) else ",".join(reversed(url.host.split(".")))
    port = "" if url.port is None else f":{url.port}"
    return f"{host}{port}){url.target}"


_DEFAULTS = UrlSettings()


@lru_cache(maxsize=1024)
def _parsed_base(base: str) -> Url:
    return parse_url(base, max_length=65_536)


def _base(base: str | Url | None) -> Url | None:
    return _parsed_base(base) if isinstance(base, str) else base


def _absolute(scheme: str, rest: str, encoding: str) -> Url:
    """From behind `http:` on; any number of slashes of either kind begins the authority."""
    found = _AUTHORITY.match(rest)
    assert found is not None  # noqa: S101 - every part of the pattern may be empty
    authority = found[1]
    if "@" in authority:
        raise UrlError("userinfo", rest)
    host, port = authority, ""
    if ":" in authority and not authority.endswith("]"):
        host, _, port = authority.rpartition(":")
    if not _DIGITS.fullmatch(port) or not 0 < int(port or "1") <= 65_535:
        raise UrlError("port", rest)
    try:
        host = normalise_host(host)
    except HostError as error:
        raise UrlError("host", rest) from error
    number = int(port) if port and int(port) != _DEFAULT_PORTS[scheme] else None
    path, query = _target(rest[found.end() :], encoding)
    return Url(scheme, host, number, _tidy(path or "/"), query)


def _relative(text: str, base: Url, encoding: str) -> Url:
    if text[:2].replace("\\", "/") == "//":
        return _absolute(base.scheme, text, encoding)
    path, query = _target(text, encoding)
    if not path:
        keep = base.query if "?" not in text.partition("#")[0] else query
        return base._replace(query=keep)
    if not path.startswith("/"):
        path = base.path[: base.path.rindex("/") + 1] + path
    return base._replace(path=_tidy(path), query=query)


def _target(text: str, encoding: str) -> tuple[str, str | None]:
    """Path (backslashes turned) and encoded query; the fragment falls."""
    path, _, query = text.partition("#")[0].partition("?")
    return path.replace("\\", "/"), _query(query, encoding) if query else None


def _tidy(path: str) -> str:
    """Encoding normalised, dot segments resolved."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    path = _TO_MEND_IN_PATH.sub(_mend, path.encode("utf-8", "replace")).decode("ascii")
    if "/." not in path:
        return path
    done: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del done[-1:]
        elif segment != ".":
            done.append(segment)
    if segments[-1] in _DOTS:
        done.append("")
    return "/" + "/".join(done)


def _query(query: str, encoding: str) -> str:
    try:
        octets = query.encode(encoding)
    except (UnicodeError, LookupError):
        octets = query.encode("utf-8", "replace")
    return _TO_MEND_IN_QUERY.sub(_mend, octets).decode("ascii")


def _mend(found: re.Match[bytes]) -> bytes:
    octets = found[0]
    if len(octets) == 3:
        octet = int(octets[1:], 16)
        return bytes((octet,)) if octet in _UNRESERVED else octets.upper()
    return b"%%%02X" % octets[0]


class _Dropped(NamedTuple):
    names: frozenset[str]
    prefixes: tuple[str, ...]
    if_hex: frozenset[str]


@lru_cache(maxsize=16)
def _dropped(settings: UrlSettings) -> _Dropped:
    names = [name.lower() for name in settings.tracking_parameters + settings.session_parameters]
    return _Dropped(
        frozenset(name for name in names if not name.endswith("*")),
        tuple(name[:-1] for name in names if name.endswith("*")),
        frozenset(name.lower() for name in settings.session_parameters_if_hex),
    )


def _without(text: str, separator: str, dropped: _Dropped, *, keep_first: bool = False) -> str:
    """Parameters without those to be dropped, and without empty ones."""
    parts = text.split(separator)
    kept = parts[:1] if keep_first else []
    for part in parts[len(kept) :]:
        name, _, value = part.partition("=")
        name = name.lower()
        known = name in dropped.names or name.startswith(dropped.prefixes)
        if part and not known and not (name in dropped.if_hex and _HEX.fullmatch(value)):
            kept.append(part)
    return separator.join(kept)
