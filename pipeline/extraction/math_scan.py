"""The markup of one page as a stream of tags, with the elements that are open: what the formula pass reads.

No tree is built and nothing is written back but what a caller replaces, so a page without formulas keeps every byte, and
parsers that give up on deep or large pages are not needed. The tokens follow the HTML standard's tokenizer where it
matters (comments, quoted attributes, raw text elements); nesting is by end tags alone: an end tag closes the innermost
open element of its name with all inside it, and is passed over where there is none.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State")

MAX_OPEN = 10_000
"""Open elements that are remembered; deeper ones are passed over."""

RAW_TEXT = (
    "script",
    "style",
    "textarea",
    "title",
    "xmp",
    "iframe",
    "noembed",
    "noframes",
    "noscript",
    "template",
)
"""Elements whose content is not markup, or (noscript, template) not shown."""

# Every alternative takes all that it starts with, to the end of the page if need be, so each character is read once.
_ATTRIBUTES = r"(?:[^>=]++|=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\s>\"'][^\s>]*+)?+)*+"
TAG = re.compile(
    r"<!--(?:-?>|(?:[^-]++|-(?!-!?>))*+(?:--!?>|\Z))"
    rf"|<(?P<raw>{'|'.join(RAW_TEXT)})(?=[\s/>])(?P<raw_attributes>{_ATTRIBUTES})(?:>|\Z)"
    r"(?P<content>[^<]*+(?:<(?!/(?P=raw)[\s/>])[^<]*+)*+)(?:</(?P=raw)[^>]*+(?:>|\Z)|\Z)"
    rf"|<(?P<end>/?)(?P<name>[a-z][^\s/>]*+)(?P<attributes>{_ATTRIBUTES})(?:>|\Z)"
    r"|<[!?/][^>]*+(?:>|\Z)",
    re.I | re.S,
)
_ATTRIBUTE = re.compile(r"([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"?|'([^']*+)'?|([^\s>]*+)))?+")

VOID = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()  # noqa: SIM905 - readable
)
_FOREIGN = ("math", "svg")


@dataclass(slots=True)
class Tag:
    """A tag, comment or raw text element and where it stands: `html[start:stop]`.

    `name` is in lower case; empty for comments and declarations. `raw` is the content of a raw text element, which comes
    as one tag, None for others.
    """

    start: int
    stop: int
    name: str
    is_end: bool
    attributes: str
    raw: str | None = None


def tags(page: str, start: int = 0) -> Iterator[Tag]:
    """The tags from a position on."""
    for found in TAG.finditer(page, start):
        raw, raw_attributes, content, end, name, attributes = found.groups()
        if name is not None:
            yield Tag(found.start(), found.end(), name.lower(), bool(end), attributes)
        elif raw is not None:
            yield Tag(found.start(), found.end(), raw.lower(), False, raw_attributes, content)
        else:
            yield Tag(found.start(), found.end(), "", False, "")


def attributes_of(raw: str) -> dict[str, str]:
    """The attributes of a tag; the first of equal names counts."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(raw):
        value = match[2] or match[3] or match[4] or ""
        found.setdefault(match[1].lower(), html.unescape(value) if "&" in value else value)
    return found


class OpenElements(Generic[State]):
    """The open elements of a page, each with a state that its children inherit unless they set their own."""

    def __init__(self, state: State) -> None:
        self._outside = state
        self._names: list[str] = []
        self._states: list[State] = []
        self._count: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._names)

    @property
    def state(self) -> State:
        """The state of the innermost open element."""
        return self._states[-1] if self._states else self._outside

    def push(self, tag: Tag, state: State) -> bool:
        """Open an element; False where it holds nothing (void, or self-closing inside MathML and SVG)."""
        if tag.name in VOID or not tag.name or tag.raw is not None or len(self._names) >= MAX_OPEN:
            return False
        if tag.attributes.endswith("/") and any(self._count[name] for name in _FOREIGN):
            return False
        self._names.append(tag.name)
        self._states.append(state)
        self._count[tag.name] += 1
        return True

    def pop(self, name: str) -> State | None:
        """Close the innermost element of that name, with all inside it; its state, or None where none is open."""
        if not self._count[name]:
            return None
        state = None
        while self._names:
            closed, state = self._names.pop(), self._states.pop()
            self._count[closed] -= 1
            if closed == name:
                break
        return state

    def cut(self, length: int) -> None:
        """Forget all but the outermost `length` elements."""
        while len(self._names) > length:
            self._count[self._names.pop()] -= 1
            self._states.pop()
