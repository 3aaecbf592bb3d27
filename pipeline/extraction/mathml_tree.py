"""The tree of one formula, read from markup as pages have it: entities, unclosed elements, prefixes (`mml:mi`).

One pass, with bounds on depth and size, so hostile markup costs what its length says.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

MAX_DEPTH = 100
"""Deeper formulas are not converted: writing recurses, four frames to a level. Real ones stay under 40."""

MAX_NODES = 20_000
"""Larger formulas are not converted."""

_TAG = re.compile(r"<!--.*?(?:-->|\Z)|<(/?)([a-zA-Z][^\s/>]*+)([^>]*+)(?:>|\Z)|<[!?/][^>]*+>?", re.S)
_ATTRIBUTE = re.compile(r"([^\s/>=]++)\s*+=\s*+(?:\"([^\"]*+)|'([^']*+)|([^\s>]++))")
LEAVES = {"mi", "mn", "mo", "mtext", "ms", "mspace", "mglyph"}
SKIPPED = {
    "annotation",
    "annotation-xml",
    "maligngroup",
    "malignmark",
    "none",
    "mprescripts",
    "script",
    "style",
}


@dataclass
class Node:
    """An element of a formula: its name without prefix, attributes, children, and the text of a token element."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    text: str = ""


def parse(markup: str) -> Node | None:
    """The tree of the first `<math>` element in the markup; None where there is none within the bounds."""
    root: Node | None = None
    stack: list[Node] = []
    nodes, after = 0, 0
    for tag in _TAG.finditer(markup):
        if stack:
            _add_text(stack[-1], markup[after : tag.start()])
        after = tag.end()
        if tag[2] is None:
            continue
        name = tag[2].rpartition(":")[2].lower()
        if tag[1]:
            _close(stack, name)
            if root is not None and not stack:
                return root
            continue
        if root is None and name != "math":
            continue
        nodes += 1
        if nodes > MAX_NODES or len(stack) > MAX_DEPTH:
            return None
        node = Node(name, _attributes(tag[3]))
        if root is None:
            root = node
        else:
            stack[-1].children.append(node)
        if not tag[3].endswith("/"):
            stack.append(node)
        elif not stack:
            return root  # <math/>
    return root


def _close(stack: list[Node], name: str) -> None:
    """Close the innermost element of that name; an end tag without one is passed over."""
    for at in range(len(stack) - 1, -1, -1):
        if stack[at].name == name:
            del stack[at:]
            return


def _add_text(node: Node, raw: str) -> None:
    text = html.unescape(raw)
    if node.name in LEAVES:
        node.text += text
    elif text.strip() and node.name not in SKIPPED:
        # HTML inside <mtext>, or bare text that belongs to no token element: shown by browsers too.
        node.children.append(Node("mtext", {}, [], text))


def _attributes(raw: str) -> dict[str, str]:
    if not raw:
        return {}
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(raw):
        found.setdefault(match[1].lower(), html.unescape(match[2] or match[3] or match[4] or "").strip())
    return found


def core_of(node: Node) -> Node:
    """The element inside rows of one."""
    while node.name in ("mrow", "mstyle", "mpadded", "semantics", "math") and inked(node.children):
        solid = inked(node.children)
        if len(solid) != 1:
            break
        node = solid[0]
    return node


def inked(children: list[Node]) -> list[Node]:
    """The elements that show something or take up space."""
    return [child for child in children if child.name not in SKIPPED and not _is_blank(child)]


def _is_blank(node: Node) -> bool:
    return node.name in LEAVES - {"mspace", "mglyph"} and not node.text.strip(
        "\u2061\u2062\u2063\u2064\u200b "
    )


def plain_text(node: Node) -> str:
    """All text of an element: of HTML inside a token element, for example. Goes no deeper than the parser did."""
    return node.text + "".join(plain_text(child) for child in node.children)
