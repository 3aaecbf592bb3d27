"""Hosts, prefixes and words of URLs, hashed on the Arrow buffer: the compiled half of `filters.blocklist`.

A URL is brought to one form (`filters.blocklist.split_url` states it in plain Python) in a small scratch
buffer. What plain ASCII rules cannot decide (other letters, escapes, user names, brackets) is marked SLOW and
left to that function.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from filters._simd import inlined, kernel, load_u8, moremur
from filters._utf8 import EIGHT, ONE, ZERO, Address, Number, U, load_piece

MAX_HOST: Final = 253
"""Bytes of a host that are looked at, the last ones (RFC 1035 allows no more)."""

MAX_URL: Final = 2048
"""Bytes of host and path that are looked at."""

MAX_PREFIXES: Final = 32
"""Prefixes of a URL that are looked up, beside the URL itself."""

MAX_WORDS: Final = 64
"""Different listed words of a URL that are counted."""

HASH_START: Final = U(0x9A3298AFB5AC7173)
"""The start of `bytes_v1`: any odd number would do; another one would be another version."""

FINE, SLOW, EMPTY = range(3)
"""What became of a URL: in the scratch buffer; left to Python; without a host."""

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]

_SLASH, _DOT, _COLON, _HASH, _QUERY, _AND = (U(ord(character)) for character in "/.:#?&")


@kernel
def hash_bytes(base: Address, start: Number, end: Number) -> Number:
    """`bytes_v1`: eight bytes at a time, little-endian, the last piece filled with zeros, then the length."""
    state, position = HASH_START, start
    while position < end:
        state = moremur(state ^ load_piece(base, position, end))
        position += EIGHT
    return moremur(state ^ (end - start))


@inlined
def _lower(byte: Number) -> Number:
    return byte | U(0x20) if byte - U(0x41) < U(26) else byte


@inlined
def _is_alphanumeric(byte: Number) -> bool:
    found: bool = (byte | U(0x20)) - U(0x61) < U(26) or byte - U(0x30) < U(10)
    return found


@kernel
def _skip_scheme(base: Address, position: Number, end: Number) -> Number:
    """Where the host begins: behind `scheme://`, behind `//`, or at once."""
    at = position
    while at < end:
        byte = load_u8(base + at)
        if not _is_alphanumeric(byte) and byte != U(0x2B) and byte != U(0x2D) and byte != _DOT:
            break
        at += ONE
    if at < end and at > position and load_u8(base + at) == _COLON:
        at += ONE
    else:
        at = position
    slashes = ZERO
    while at + slashes < end and load_u8(base + at + slashes) == _SLASH:
        slashes += ONE
    return at + slashes if slashes >= U(2) else position


@kernel
def _copy_host(base: Address, position: Number, end: Number, scratch: Bytes) -> tuple[int, Number, int]:
    """Write the host in lower case; returns its length, where the path begins, and FINE or SLOW."""
    size = 0
    while position < end:
        byte = load_u8(base + position)
        if byte in (_SLASH, _QUERY, _HASH):
            return size, position, FINE
        if byte == _COLON:
            position += ONE
            while position < end and load_u8(base + position) - U(0x30) < U(10):
                position += ONE
            if position < end:
                byte = load_u8(base + position)
                if byte not in (_SLASH, _QUERY, _HASH):
                    return 0, position, SLOW
            return size, position, FINE
        if size >= MAX_HOST or not (
            _is_alphanumeric(byte) or byte == _DOT or byte == U(0x2D) or byte == U(0x5F)
        ):
            return 0, position, SLOW
        scratch[size] = _lower(byte)
        size += 1
        position += ONE
    return size, position, FINE


@kernel
def _label(scratch: Bytes, size: int, last: int) -> int:
    """Where the label begins that ends before `last`."""
    first = min(last, size)
    while first > 0 and scratch[first - 1] != 0x2E:
        first -= 1
    return first


@kernel
def _is_blog(scratch: Bytes, first: int, last: int) -> bool:
    """Whether a label is `blogspot`."""
    name = (0x62, 0x6C, 0x6F, 0x67, 0x73, 0x70, 0x6F, 0x74)
    same = 0
    for i in range(8):
        same += last - first == 8 and scratch[first + i] == name[i]
    return same == 8


@kernel
def _tidy_host(scratch: Bytes, size: int) -> int:
    """Drop points at the end and `www.` at the start, and give blogs their one address; returns the length."""
    while size > 0 and scratch[size - 1] == 0x2E:
        size -= 1
    if size > 4 and scratch[0] == 0x77 and scratch[1] == 0x77 and scratch[2] == 0x77 and scratch[3] == 0x2E:
        dotted = False
        for i in range(4, size):
            dotted = dotted or scratch[i] == 0x2E
        if dotted:
            for i in range(4, size):
                scratch[i - 4] = scratch[i]
            size -= 4
    country = _label(scratch, size, size)
    if country < 2 or size - country > 3 or size - country < 2:
        return size
    second = _label(scratch, size, country - 1)
    blog = second if _is_blog(scratch, second, country - 1) else -1
    if blog < 0 and second > 1 and size - country == 2:
        two = country - 1 - second == 2 and scratch[second] == 0x63 and scratch[second + 1] == 0x6F
        three = (
            country - 1 - second == 3
            and scratch[second] == 0x63
            and scratch[second + 1] == 0x6F
            and scratch[second + 2] == 0x6D
        )
        third = _label(scratch, size, second - 1)
        if (two or three) and _is_blog(scratch, third, second - 1):
            blog = third
    if blog > 0:
        scratch[blog + 9], scratch[blog + 10], scratch[blog + 11] = 0x63, 0x6F, 0x6D
        return blog + 12
    return size


@kernel
def normalise(base: Address, start: Number, end: Number, scratch: Bytes) -> tuple[int, int, int]:
    """Write host and path; returns the length of the host, of both, and FINE, SLOW or EMPTY."""
    while start < end and load_u8(base + start) <= U(0x20):
        start += ONE
    while end > start and load_u8(base + end - ONE) <= U(0x20):
        end -= ONE
    host, position, state = _copy_host(base, _skip_scheme(base, start, end), end, scratch)
    if state == SLOW:
        return 0, 0, SLOW
    host = _tidy_host(scratch, host)
    if host == 0:
        return 0, 0, EMPTY
    size = host
    while position < end and size < MAX_URL:
        byte = load_u8(base + position)
        if byte == _HASH:
            break
        if byte <= U(0x20) or byte >= U(0x7F) or byte == U(0x5C):
            return 0, 0, SLOW
        scratch[size] = _lower(byte)
        size += 1
        position += ONE
    while size > host and scratch[size - 1] == 0x2F:
        size -= 1
    return host, size, FINE


@kernel
def _find(listed: Hashes, value: Number) -> int:
    """Where a sorted column has a value; -1 where it has not."""
    low, high = 0, len(listed)
    while low < high:
        middle = (low + high) // 2
        if U(listed[middle]) < value:
            low = middle + 1
        else:
            high = middle
    return low if low < len(listed) and U(listed[low]) == value else -1


@kernel
def _host_listed(at: Address, host: int, scratch: Bytes, hosts: Hashes) -> bool:
    """Whether the host or a domain above it is listed."""
    for first in range(host):
        if (first == 0 or scratch[first - 1] == 0x2E) and _find(
            hosts, hash_bytes(at, U(first), U(host))
        ) >= 0:
            return True
    return False


@kernel
def _prefix_listed(at: Address, host: int, size: int, scratch: Bytes, urls: Hashes) -> bool:
    """Whether the URL is listed, or a part of it up to a slash, a question mark or an ampersand."""
    if _find(urls, hash_bytes(at, ZERO, U(size))) >= 0:
        return True
    prefixes = 0
    for last in range(host + 1, size):
        byte = U(scratch[last])
        if byte in (_SLASH, _QUERY, _AND):
            if prefixes == MAX_PREFIXES:
                return False
            prefixes += 1
            if _find(urls, hash_bytes(at, ZERO, U(last))) >= 0:
                return True
    return False


@kernel
def look_up(
    base: Address, starts: Ints, ends: Ints, hosts: Hashes, urls: Hashes, blocked: npt.NDArray[np.int8]
) -> None:
    """Set `blocked`: 1 for a listed host or URL, 0 for none, -1 where Python must decide."""
    scratch = np.zeros(MAX_URL + 64, np.uint8)
    at = U(scratch.ctypes.data)
    for row in range(len(starts)):
        host, size, state = normalise(base, U(starts[row]), U(ends[row]), scratch)
        if state == FINE:
            found = _host_listed(at, host, scratch, hosts)
            blocked[row] = found or (len(urls) > 0 and _prefix_listed(at, host, size, scratch, urls))
        else:
            blocked[row] = -1 if state == SLOW else 0


@kernel
def hash_entries(
    base: Address,
    starts: Ints,
    ends: Ints,
    states: npt.NDArray[np.int8],
    hashes: tuple[Hashes, Hashes, Hashes],
) -> None:
    """The hashes of list entries: of the host, of the domain above it (0: none), of the URL (0: no path)."""
    scratch = np.zeros(MAX_URL + 64, np.uint8)
    at = U(scratch.ctypes.data)
    for row in range(len(starts)):
        host, size, state = normalise(base, U(starts[row]), U(ends[row]), scratch)
        states[row] = state
        if state == FINE:
            above = 0
            while above < host and scratch[above] != 0x2E:
                above += 1
            hashes[0][row] = hash_bytes(at, ZERO, U(host))
            hashes[1][row] = hash_bytes(at, U(above + 1), U(host)) if above < host else ZERO
            hashes[2][row] = hash_bytes(at, ZERO, U(size)) if size > host else ZERO


@kernel
def count_words(
    base: Address,
    starts: Ints,
    ends: Ints,
    listed: tuple[Hashes, npt.NDArray[np.int32]],
    points: npt.NDArray[np.int32],
) -> None:
    """Add the points of the different listed words of each URL: longest runs of ASCII letters and digits."""
    scratch = np.zeros(MAX_URL + 64, np.uint8)
    seen = np.zeros(MAX_WORDS, np.int64)
    at = U(scratch.ctypes.data)
    for row in range(len(starts)):
        position, end = U(starts[row]), U(min(ends[row], starts[row] + MAX_URL))
        count, size = 0, 0
        while position <= end:
            byte = load_u8(base + position) if position < end else ZERO
            position += ONE
            if _is_alphanumeric(byte):
                scratch[size] = _lower(byte)
                size += 1
                continue
            word = _find(listed[0], hash_bytes(at, ZERO, U(size))) if size > 0 else -1
            size = 0
            if word < 0 or count == MAX_WORDS:
                continue
            new = True
            for i in range(count):
                new = new and seen[i] != word
            if new:
                seen[count] = word
                count += 1
                points[row] += listed[1][word]


def address(data: npt.NDArray[Any]) -> np.uint64:
    """Where an array's memory begins."""
    return np.uint64(data.ctypes.data)
