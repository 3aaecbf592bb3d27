"""JSON-LD of a page (schema.org): when it was published, by whom, under which licence.

Only objects that describe the page itself are read: at the top, in `@graph`, as `mainEntity`. What a page lists or mentions
(related articles, comments, products beside it) is passed over. Size, number and depth are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 1 << 20
"""Characters of one script, and of all together; a longer one is not read."""

MAX_OBJECTS = 500
_ARTICLES = (
    "article",
    "posting",
    "report",
    "question",
    "recipe",
    "review",
    "howto",
    "book",
    "podcastepisode",
)
_PAGES = ("page", "creativework", "videoobject", "dataset", "softwareapplication", "course", "product")


@dataclass
class Described:
    """What JSON-LD says of a page: the best description first."""

    dates: list[str] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)
    licenses: list[str] = field(default_factory=list)
    sites: list[str] = field(default_factory=list)


def described(scripts: list[str]) -> Described:
    """What the scripts of a page say; scripts that are no JSON are passed over."""
    objects: list[dict[str, Any]] = []
    left = MAX_BYTES
    for script in scripts:
        if len(script) > left:
            continue
        left -= len(script)
        objects.extend(_objects(_parsed(script), MAX_OBJECTS - len(objects)))
    named = {
        found["@id"]: found for found in objects if isinstance(found.get("@id"), str) and "name" in found
    }
    result = Described()
    for found in sorted(objects, key=_rank):
        if _rank(found) == 2:
            result.sites.extend(_strings(found.get("name")) if "website" in _types(found) else [])
            continue
        for key in ("datePublished", "uploadDate", "dateCreated"):
            result.dates.extend(_strings(found.get(key)))
        if not result.authors:
            result.authors = list(_names(found.get("author") or found.get("creator"), named))
        result.licenses.extend(_strings(found.get("license")))
    return result


def _parsed(script: str) -> Any:
    text = script.strip().removeprefix("<!--").removesuffix("-->")
    text = text.removeprefix("//<![CDATA[").removesuffix("//]]>").strip().removesuffix(";")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _objects(found: Any, most: int) -> Iterator[dict[str, Any]]:
    """The objects that describe the page, no deeper than six levels."""
    waiting = [(found, 0)]
    while waiting and most > 0:
        value, depth = waiting.pop(0)
        if isinstance(value, list) and depth < 6:
            waiting.extend((item, depth + 1) for item in value[:MAX_OBJECTS])
        elif isinstance(value, dict):
            most -= 1
            yield value
            if depth < 6:
                waiting.extend((value[key], depth + 1) for key in ("@graph", "mainEntity") if key in value)


def _types(found: dict[str, Any]) -> str:
    return " ".join(_strings(found.get("@type"))).lower()


def _rank(found: dict[str, Any]) -> int:
    """0 for articles and their like, 1 for pages and works, 2 for all else (organisations, breadcrumbs)."""
    types = _types(found)
    if any(name in types for name in _ARTICLES):
        return 0
    return 1 if any(name in types for name in _PAGES) else 2


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    found = (each.get("@id") or each.get("url") if isinstance(each, dict) else each for each in values[:50])
    return [each for each in found if isinstance(each, str)]


def _names(value: Any, named: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Names of people: strings, objects with a name, or references to such an object."""
    for each in (value if isinstance(value, list) else [value])[:50]:
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            person = each if "name" in each else named.get(str(each.get("@id")), {})
            yield from _strings(person.get("name"))
