"""The extraction stage: the bytes of web pages -> text, title, and what the pages say about themselves.

The work is `pipeline.extraction`; here is its place in the chain: which documents of a chunk are pages, and how their
bytes become characters.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from filters.measures import Column
from pipeline.chunks import with_columns
from pipeline.extraction import settings as extraction
from pipeline.sources.charset import decode_html

TEXT_COLUMNS = (
    Column("text.characters", pa.int64(), "characters of the extracted text; 0 where no body was found"),
    Column("text.bytes", pa.int64(), "bytes of the extracted text as UTF-8"),
)


class ExtractionSettings(extraction.ExtractionSettings, frozen=True, extra="forbid"):
    """How the body of a page is found and written."""

    formulas: bool = True
    """Put the LaTeX or MathML source of formulas into the text, as `$...$` and `$$...$$`."""
    html_in_text: bool = False
    """Documents without a page body (JSONL, Parquet) hold decoded HTML in their text column."""


def page_columns() -> tuple[Column, ...]:
    """The columns that extraction gives beside text and title."""
    from pipeline.extraction.metadata_stage import COLUMNS

    return COLUMNS


def extract(docs: pa.RecordBatch, settings: ExtractionSettings) -> pa.RecordBatch:
    """Fill `text`, `title` and the page's columns, for documents that are pages; the others keep their text.

    A page without a body gets an empty text: a rule decides what becomes of it.

    Raises:
        Exception: whatever the parser raises; the caller tells the document at fault from the others.
    """
    from pipeline.extraction.metadata_stage import extract_columns

    is_page, pages = _pages(docs, settings)
    urls = docs["url"].filter(pa.array(is_page, pa.bool_()))
    found = extract_columns(pages, urls, settings, formulas=settings.formulas)
    kept = {"text": pc.fill_null(docs["text"].cast(pa.large_string()), ""), "title": docs["title"]}
    return with_columns(
        docs, {name: _spread(is_page, values, kept.get(name)) for name, values in found.items()}
    )


def _pages(docs: pa.RecordBatch, settings: ExtractionSettings) -> tuple[list[bool], list[str]]:
    """Which documents are pages, and these decoded."""
    is_page, pages = [], []
    rows = zip(
        docs["raw"].to_pylist(), docs["http.charset"].to_pylist(), docs["text"].to_pylist(), strict=True
    )
    for raw, charset, text in rows:
        html = decode_html(raw, charset)[0] if raw is not None else text if settings.html_in_text else None
        is_page.append(html is not None)
        if html is not None:
            pages.append(html)
    return is_page, pages


def _spread(is_page: list[bool], values: pa.Array, others: pa.Array | None) -> pa.Array:
    """A column of the pages as one of all documents; the others keep theirs, or have none."""
    if all(is_page):
        return values
    mask = pa.array(is_page, pa.bool_())
    rest = pa.nulls(len(is_page), values.type) if others is None else others.cast(values.type)
    return pc.replace_with_mask(rest, mask, values)


def measure_text(text: pa.Array) -> dict[str, pa.Array]:
    """`text.characters` and `text.bytes` of a text column."""
    return {
        "text.characters": pc.fill_null(pc.utf8_length(text), 0).cast(pa.int64()),
        "text.bytes": pc.fill_null(pc.binary_length(text), 0).cast(pa.int64()),
    }
