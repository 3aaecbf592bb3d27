"""How the body of a page is found and written."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class ExtractionSettings(BaseModel, frozen=True, extra="forbid"):
    """Which method finds the text of a page, and what the text has."""

    extractor: Literal["combined", "model", "reader", "boilerpipe", "trafilatura"] = "combined"
    """`model` is the classifier of this package. `combined` is the model, with pages that it is unsure of handed
    to trafilatura. `reader` and `boilerpipe` are the classic rules on the same blocks: Readability's scores
    (Arc90, Mozilla) and Boilerpipe's article classifier (Kohlschuetter et al. 2010)."""
    structure: Literal["text", "markdown"] = "text"
    """Plain text with list markers, or Markdown with headings, lists, tables and code blocks."""
    title_in_text: bool | None = None
    """Whether the page's title stands at the head of the text: never, always, or (None) where the extractor
    keeps it. It is a column of its own in any case."""
    comments: bool = True
    """Keep what the extractor keeps of readers' comments; without, blocks in elements whose class or id names
    comments go, unless they are most of the page (a forum)."""
    tables: bool = True
    """Keep the rows of data tables."""
    fallback_below: float = Field(default=0.5, ge=0, le=1)
    """`combined` hands pages to trafilatura whose confidence is below this: 1 to 2% of the labelled pages,
    where it raises the F1 of unknown kinds of pages; above .6 it lowers that of known kinds (docs/extraction.md)."""
