"""The columns of the feature matrix, by name and place."""

from __future__ import annotations

from typing import Final

from pipeline.extraction import vocabulary as names

TEXT: Final = (
    "chars", "mass", "word_length", "links", "link_density", "upper", "digits", "capitalised", "commas", "sentences",
    "ending", "stop_share", "stops", "symbols", "boiler", "dates", "commerce", "social", "account", "copyright", "bold",
    "breaks", "first", "in_title", "repeat", "boiler_share",
)  # fmt: skip
BLOCK: Final = ("tag", "list_depth", "marker", "row", "cells", "preformatted", "depth", "inline_hints")
LEVELS: Final = 4
LEVEL: Final = ("mass", "link_density", "blocks", "share", "mean_mass", "prose", "growth")
SCORE: Final = ("best", "in_top", "levels_to_top", "top_share", "parent")
SIGNATURE: Final = ("count", "link_density", "mass", "siblings")
NEIGHBOURS: Final = (-3, -2, -1, 1, 2, 3)
NEIGHBOUR: Final = ("mass", "link_density", "ending", "tag", "same_element", "stop_share")
CONTEXT: Final = (
    "prose_3", "prose_8", "links_3", "links_8", "to_prose_before", "to_prose_after", "prose_before", "prose_before_share",
    "position", "position_chars", "from_end", "index", "heading_level", "since_heading", "since_h1", "since_title",
    "title_match",
)  # fmt: skip
PAGE: Final = (
    "blocks",
    "mass",
    "link_density",
    "prose_share",
    "h1",
    "headings",
    "rows",
    "max_mass",
    "mean_mass",
)
PAGE_HINTS: Final = (
    "comment",
    "thread",
    "question",
    "product",
    "review",
    "article",
    "post",
    "list",
    "user",
    "content",
)
PATH_TAGS: Final = (
    "nav", "header", "footer", "aside", "main", "article", "section", "form", "table", "ul", "ol", "dl", "figure",
    "blockquote", "button", "p", "li", "details", "address", "td", "th", "dd", "body",
)  # fmt: skip

COLUMNS: Final = (
    *(f"text.{name}" for name in TEXT),
    *(f"block.{name}" for name in BLOCK),
    *(f"hint.{name}" for name in names.HINTS),
    *(f"path.{name}" for name in PATH_TAGS),
    *(f"level{level}.{name}" for level in range(LEVELS) for name in LEVEL),
    *(f"score.{name}" for name in SCORE),
    *(f"signature.{name}" for name in SIGNATURE),
    *(f"neighbour{offset:+d}.{name}" for offset in NEIGHBOURS for name in NEIGHBOUR),
    *(f"context.{name}" for name in CONTEXT),
    *(f"page.{name}" for name in PAGE),
    *(f"page_hint.{name}" for name in PAGE_HINTS),
)
"""Names of all columns, in order."""

TEXT_AT: Final = 0
BLOCK_AT: Final = len(TEXT)
HINT_AT: Final = BLOCK_AT + len(BLOCK)
PATH_AT: Final = HINT_AT + len(names.HINTS)
LEVEL_AT: Final = PATH_AT + len(PATH_TAGS)
SCORE_AT: Final = LEVEL_AT + LEVELS * len(LEVEL)
SIGNATURE_AT: Final = SCORE_AT + len(SCORE)
NEIGHBOUR_AT: Final = SIGNATURE_AT + len(SIGNATURE)
CONTEXT_AT: Final = NEIGHBOUR_AT + len(NEIGHBOURS) * len(NEIGHBOUR)
PAGE_AT: Final = CONTEXT_AT + len(CONTEXT)
PAGE_HINT_AT: Final = PAGE_AT + len(PAGE)

T = {name: TEXT_AT + place for place, name in enumerate(TEXT)}
B = {name: BLOCK_AT + place for place, name in enumerate(BLOCK)}
C = {name: CONTEXT_AT + place for place, name in enumerate(CONTEXT)}
P = {name: PAGE_AT + place for place, name in enumerate(PAGE)}
