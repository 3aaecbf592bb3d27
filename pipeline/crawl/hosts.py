"""Host names and addresses in one spelling (WHATWG URL, 3.5), and the registered domain that a host belongs to."""

from __future__ import annotations

import ipaddress
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import idna

if TYPE_CHECKING:
    import tldextract

_PLAIN = re.compile(r"[a-z0-9_]+(?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_]+(?:[a-z0-9_-]*[a-z0-9_])?)*")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^`{|}]")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")
_MOST_CHARACTERS, _MOST_IN_LABEL = 253, 63


class HostError(ValueError):
    """A host that names nothing."""


@lru_cache(maxsize=100_000)
def normalise_host(text: str) -> str:
    """A host in the one spelling: lower case, IDNA in its ASCII form, IPv4 in four decimals, IPv6 in brackets and compressed.

    Follows the standard's host parser, but for a final dot, which is dropped: with and without is one host. Labels are mapped
    by UTS 46 and not checked against IDNA 2008, as browsers do.

    Raises:
        HostError: when it is none.
    """
    if text.startswith("["):
        return _ipv6(text)
    host = text.lower()
    if not _PLAIN.fullmatch(host) or "xn--" in host:
        host = _to_ascii(text)
    host = host.removesuffix(".")
    labels = host.split(".")
    if not host or len(host) > _MOST_CHARACTERS or any(not 0 < len(x) <= _MOST_IN_LABEL for x in labels):
        raise HostError(text)
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(labels)
    return host


def is_address(host: str) -> bool:
    """Whether a normalised host is an IP address."""
    return host.startswith("[") or host.rpartition(".")[2].isdigit()


@lru_cache(maxsize=100_000)
def registered_domain(host: str, *, private: bool = True) -> str:
    """The domain under which a host was registered: `example.co.uk` of `www.example.co.uk`.

    By the copy of the public suffix list that tldextract brings; nothing is downloaded. An address, or a host that is itself a
    suffix or has none ("localhost"), is its own.

    Args:
        host: normalised.
        private: whether suffixes of companies count (`alice.github.io` is then a domain of its own).
    """
    if is_address(host):
        return host
    parts = _suffixes()(host, include_psl_private_domains=private)
    return f"{parts.domain}.{parts.suffix}" if parts.domain and parts.suffix else host


@cache
def _suffixes() -> tldextract.TLDExtract:
    import tldextract

    return tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)


def _to_ascii(text: str) -> str:
    try:
        mapped = idna.uts46_remap(
            unquote_to_bytes(text).decode("utf-8"), std3_rules=False, transitional=False
        )
        labels = [_label(label) for label in mapped.lower().split(".")]
    except (UnicodeError, idna.IDNAError) as error:
        raise HostError(text) from error
    host = ".".join(labels)
    if _FORBIDDEN.search(host):
        raise HostError(text)
    return host


def _label(label: str) -> str:
    """A label in its ASCII form; one that claims to be in it must decode.

    Raises:
        UnicodeError: when it does not.
    """
    if label.startswith("xn--"):
        if label[4:].encode("ascii").decode("punycode").isascii():
            raise UnicodeError(label)
        return label
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def _ipv4(labels: list[str]) -> str:
    """The WHATWG IPv4 parser: one to four numbers, decimal, octal or hexadecimal; the last fills what is left."""
    if len(labels) > 4:
        raise HostError(".".join(labels))
    numbers = []
    for label in labels:
        if not _NUMBER.fullmatch(label):
            raise HostError(".".join(labels))
        try:
            if label[:2] in ("0x", "0X"):
                numbers.append(int(label[2:] or "0", 16))
            else:
                numbers.append(int(label, 8 if len(label) > 1 and label[0] == "0" else 10))
        except ValueError as error:  # an 8 or 9 in an octal number
            raise HostError(".".join(labels)) from error
    *first, last = numbers
    if any(number > 255 for number in first) or last >= 256 ** (5 - len(numbers)):
        raise HostError(".".join(labels))
    value = last + sum(number << (24 - 8 * at) for at, number in enumerate(first))
    return str(ipaddress.IPv4Address(value))


def _ipv6(text: str) -> str:
    if not text.endswith("]") or "%" in text:  # a zone means something on one machine only
        raise HostError(text)
    try:
        packed = ipaddress.IPv6Address(text[1:-1]).packed
    except ValueError as error:
        raise HostError(text) from error
    groups = [packed[at] << 8 | packed[at + 1] for at in range(0, 16, 2)]
    # The first longest run of zeros is left out; not `str(IPv6Address)`, whose form differs by Python version.
    runs = [
        (end - start, -start)
        for start in range(8)
        for end in range(start + 2, 9)
        if not any(groups[start:end])
    ]
    if not runs:
        return "[" + ":".join(f"{group:x}" for group in groups) + "]"
    length, start = max(runs)
    before, after = groups[:-start], groups[-start + length :]
    return "[" + ":".join(f"{x:x}" for x in before) + "::" + ":".join(f"{x:x}" for x in after) + "]"
