"""Body extraction: the bytes of a web page -> its main text and title.

First version: trafilatura, whose quality the later extractor must beat. Its metadata step is left out, because it guesses
dates from the page and bounds them by today's date, and a run's bytes must not depend on the day.
"""

from __future__ import annotations

import logging
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel

from filters.measures import Column
from pipeline.chunks import with_columns
from pipeline.sources.charset import decode_html

COLUMNS = (
    Column("text.characters", pa.int64(), "characters of the extracted text; 0 where no body was found"),
    Column("text.bytes", pa.int64(), "bytes of the extracted text as UTF-8"),
)


class ExtractionSettings(BaseModel, frozen=True, extra="forbid"):
    """How the body of a page is found.

    `comments` keeps readers' comments and forum answers (trafilatura's own default); `tables` keeps tables.
    """

    extractor: Literal["trafilatura"] = "trafilatura"
    """What finds the body."""
    comments: bool = True
    tables: bool = True


def extract(docs: pa.RecordBatch, settings: ExtractionSettings) -> pa.RecordBatch:
    """Fill `text` and `title` from `raw`, for documents that have a `raw` body; the others keep their text.

    A page without a body gets an empty text: a rule decides what becomes of it.

    Raises:
        Exception: whatever the parser raises; the caller tells the document at fault from the others.
    """
    texts, titles = [], []
    rows = zip(
        docs["raw"].to_pylist(),
        docs["http.charset"].to_pylist(),
        docs["text"].to_pylist(),
        docs["title"].to_pylist(),
        strict=True,
    )
    for raw, charset, text, title in rows:
        if raw is not None:
            text, title = extract_page(raw, charset, settings)
        texts.append(text if text is not None else "")
        titles.append(title)
    return with_columns(
        docs, {"text": pa.array(texts, pa.large_string()), "title": pa.array(titles, pa.string())}
    )


def extract_page(raw: bytes, charset: str | None, settings: ExtractionSettings) -> tuple[str, str | None]:
    """The main text and the title of one page; the text is empty where there is none."""
    import trafilatura
    from resiliparse.parse.html import HTMLTree

    html, _ = decode_html(raw, charset)
    html = html.replace("\x00", "")
    if not html.strip():
        return "", None
    title = " ".join((HTMLTree.parse(html).title or "").split()) or None
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    text = trafilatura.extract(
        html,
        include_comments=settings.comments,
        include_tables=settings.tables,
        deduplicate=False,  # remembers text from page to page: the result would depend on the order
        with_metadata=False,
    )
    return clean_text(text or ""), title


def clean_text(text: str) -> str:
    """Text that every UTF-8 reader takes: lone surrogates become U+FFFD, NULs go."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def measure_text(text: pa.Array) -> dict[str, pa.Array]:
    """`text.characters` and `text.bytes` of a text column."""
    import pyarrow.compute as pc

    return {
        "text.characters": pc.fill_null(pc.utf8_length(text), 0).cast(pa.int64()),
        "text.bytes": pc.fill_null(pc.binary_length(text), 0).cast(pa.int64()),
    }
