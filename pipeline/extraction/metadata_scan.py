"""The few tags of a page that say something about it, found in one pass of a kernel over its bytes.

Scripts, comments and attribute values are stepped over as the tokenizer does (`pipeline.extraction.tokens`), so that a
`<meta>` in a script does not count. A page gives at most `MAX_TAGS` tags: more are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from filters._simd import kernel
from pipeline.extraction.hashing import hash_table, look_up
from pipeline.extraction.tokens import (
    END_TAG,
    LESS,
    START_TAG,
    after_tag,
    find,
    open_token,
    raw_text_end,
)

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

MAX_TAGS = 600
"""Tags of one page that are looked at; pages with more than 300 are rare."""

NAMES = ("html", "base", "meta", "link", "title", "body", "h1", "time", "script", "a", "main")
HTML, BASE, META, LINK, TITLE, BODY, H1, TIME, SCRIPT, A, MAIN = range(1, len(NAMES) + 1)
_RAW = ("style", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "template", "svg")
_RAW_FROM = 100
_KEYS, _VALUES = hash_table(
    {name: number for number, name in enumerate(NAMES, 1)}
    | {name: _RAW_FROM + number for number, name in enumerate(_RAW)}
)
_COLUMNS = 4


@dataclass(slots=True)
class Found:
    """A tag: its number among `NAMES`, its attributes as they stand, and the markup inside (title, h1, script)."""

    kind: int
    attributes: str
    inside: str


def found_tags(data: Bytes, start: int, end: int) -> Iterator[Found]:
    """The telling tags of the page `data[start:end]`, in order."""
    rows = np.empty((MAX_TAGS, _COLUMNS), np.int64)
    count = scan(data, start, end, _KEYS, _VALUES, rows)
    for kind, first, inside, stop in rows[:count].tolist():
        yield Found(
            kind, _decoded(data, first, inside), _decoded(data, inside, stop) if stop > inside else ""
        )


def _decoded(data: Bytes, start: int, stop: int) -> str:
    return str(data[start:stop].tobytes().decode("utf-8", "replace"))


@kernel
def scan(data: Bytes, start: int, end: int, keys: Any, values: Any, rows: Ints) -> int:
    """Fill `rows` with (number, start of attributes, end of the tag, end of its content); how many there are."""
    count, position = 0, start
    while position < end and count < len(rows):
        position = find(data, position, end, LESS)
        if position >= end:
            break
        kind, name, position = open_token(data, position, end)
        if kind == END_TAG:
            position = after_tag(data, position, end)
        if kind != START_TAG:
            continue
        number = look_up(keys, values, name, 0)
        attributes = position
        position = after_tag(data, position, end)
        if number == 0:
            continue
        if position >= end and data[end - 1] != 0x3E:
            break  # the page ends inside the tag
        inside = stop = position
        if number >= _RAW_FROM or number in (SCRIPT, TITLE):
            stop = raw_text_end(data, position, end, name, number == SCRIPT)
            position = stop
        elif number == H1:
            stop = _element_end(data, position, end, name)
        if number < _RAW_FROM and _tells(data, attributes, inside, number):
            rows[count, 0], rows[count, 1], rows[count, 2], rows[count, 3] = number, attributes, inside, stop
            count += 1
    return count


@kernel
def _element_end(data: Bytes, position: int, end: int, name: np.uint64) -> int:
    """Where the end tag of a heading begins; at most 4,000 bytes on."""
    limit = min(end, position + 4000)
    while position < limit:
        at = find(data, position, limit, LESS)
        if at >= limit:
            break
        kind, found, position = open_token(data, at, limit)
        if kind == END_TAG and found == name:
            return at
    return limit


@kernel
def _tells(data: Bytes, start: int, stop: int, number: int) -> bool:
    """Whether a tag is worth handing out: JSON-LD among the scripts, licences and the canonical address among the links."""
    if number == SCRIPT:
        return _holds(data, start, stop, b"ld+json")
    if number == A:
        return _holds(data, start, stop, b"license") or _holds(
            data, start, stop, b"creativecommons.org/publicdomain"
        )
    if number == LINK:
        return _holds(data, start, stop, b"canonical") or _holds(data, start, stop, b"license")
    return True


@kernel
def _holds(data: Bytes, start: int, stop: int, wanted: bytes) -> bool:
    """Whether ASCII bytes, in lower case, stand between two places, in any case."""
    for i in range(start, stop - len(wanted) + 1):
        k = 0
        while k < len(wanted):
            byte = data[i + k]
            if (byte | 0x20 if 0x41 <= byte <= 0x5A else byte) != wanted[k]:
                break
            k += 1
        if k == len(wanted):
            return True
    return False
