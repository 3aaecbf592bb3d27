"""Everything that extraction makes of the pages of a chunk: text, title, metadata, formulas, who found it, how surely.

    columns = extract_columns(pages, batch["url"], settings)

The steps are those of the package, in this order: formulas to LaTeX (`math`), body to text or Markdown (`extract`), and what
the page says about itself (`metadata`), the last two on one copy of the pages.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from filters.measures import Column
from pipeline.extraction import metadata
from pipeline.extraction.blocks import html_column
from pipeline.extraction.extract import extract_pages
from pipeline.extraction.math import FORMULAS, insert_formulas
from pipeline.extraction.settings import ExtractionSettings

EXTRACTOR = Column(
    "page.extractor", pa.string(), "what found the text: model, reader, boilerpipe or trafilatura"
)
CONFIDENCE = Column("page.confidence", pa.float32(), "F1 that the extractor expects of its text, 0 to 1")

COLUMNS = (
    EXTRACTOR,
    CONFIDENCE,
    FORMULAS,
    *(column for column in metadata.COLUMNS if column.name != "title"),
)
"""What `extract_columns` gives beside `text` and `title`."""


def extract_columns(
    pages: Sequence[str],
    urls: Sequence[str | None] | pa.Array,
    settings: ExtractionSettings,
    *,
    formulas: bool = True,
) -> dict[str, pa.Array]:
    """The columns `text`, `title` and `COLUMNS` of decoded pages; `text` is empty where a page has no body.

    `formulas` puts the source of formulas into the text; without, pages are read as they are.
    """
    counts = pa.array([0] * len(pages), FORMULAS.type)
    if formulas:
        pages, counts = insert_formulas(pages)
    column = html_column(pages)
    found = extract_pages(column, settings)
    described = metadata.page_metadata(column, urls)
    return {
        "text": found.texts.cast(pa.large_string()),
        "title": described.pop("title"),
        EXTRACTOR.name: found.extractor.cast(EXTRACTOR.type),
        CONFIDENCE.name: pa.array(found.confidence, CONFIDENCE.type),
        FORMULAS.name: counts,
        **described,
    }
