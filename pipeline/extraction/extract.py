"""The pages of a chunk -> their main text, title, and how sure the extractor is.

found = extract_pages(batch["html"], ExtractionSettings())
found.texts[0], found.titles[0], found.confidence[0], found.extractor[0]
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from filters._simd import kernel
from pipeline.extraction import classic
from pipeline.extraction import columns as col
from pipeline.extraction import layout as at
from pipeline.extraction import vocabulary as names
from pipeline.extraction.blocks import Parsed, html_column, parse_pages
from pipeline.extraction.classifier import Classified, classify
from pipeline.extraction.features import block_features
from pipeline.extraction.render import render_text
from pipeline.extraction.settings import ExtractionSettings

Kept = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float32]

_COMMENT_BIT = 1 << names.HINT["comment"]
_MASS, _IN_TITLE, _TAG = col.T["mass"], col.T["in_title"], col.B["tag"]
_H1, _H6 = names.TAG["h1"], names.TAG["h6"]
_PAGES_AT_ONCE = 64
"""Pages whose features are in memory together: about 15 MB."""
_LARGEST_HANDED_OVER = 4 << 20
"""Bytes of the largest page that `combined` hands to trafilatura, whose time and memory hostile pages can blow up."""
_TITLE_MATCH = 0.8
"""Share of a heading's words that stand in the page's `<title>` when it is the page's title."""


@dataclass(frozen=True, eq=False)
class ExtractedPages:
    """The bodies of the pages of a chunk, one row each."""

    texts: pa.Array
    """`large_string`; empty where a page has no body."""
    titles: pa.Array
    """`large_string`: the page's `<title>`, null where it has none."""
    confidence: npt.NDArray[np.float32]
    """The F1 that the model expects of its text, 0 to 1; 0 without a body; NaN from the classic rules alone."""
    extractor: pa.Array
    """What found the text: `model`, `reader`, `boilerpipe` or `trafilatura`, a dictionary array."""


def extract_pages(html: Sequence[str] | pa.Array, settings: ExtractionSettings) -> ExtractedPages:
    """The bodies of decoded pages.

    Raises:
        TypeError: for an array that is neither `string` nor `large_string`.
    """
    column = html_column(html)
    texts, titles, confidence = [], [], [np.zeros(0, np.float32)]
    for start in range(0, len(column), _PAGES_AT_ONCE):
        parsed = parse_pages(column.slice(start, _PAGES_AT_ONCE))
        chosen = choose_blocks(parsed, block_features(parsed), settings)
        texts.append(_write(parsed, chosen.keep, settings))
        titles.append(titles_of(parsed))
        has_blocks = np.diff(parsed.block_offsets) > 0
        confidence.append(np.where(has_blocks, chosen.confidence, np.float32(0)))
    found = ExtractedPages(
        pa.concat_arrays([pa.array([], pa.large_string()), *texts]),
        pa.concat_arrays([pa.array([], pa.large_string()), *titles]),
        np.concatenate(confidence),
        pa.array(
            ["model" if settings.extractor == "combined" else settings.extractor] * len(column), pa.string()
        ),
    )
    return _hand_over(column, found, settings)


def _write(parsed: Parsed, keep: Kept, settings: ExtractionSettings) -> pa.Array:
    if settings.structure == "text":
        return render_text(parsed, keep)
    from pipeline.extraction.markdown import render_markdown

    return render_markdown(parsed, keep)


def choose_blocks(parsed: Parsed, matrix: Matrix, settings: ExtractionSettings) -> Classified:
    """Which blocks are the text of their pages, under the settings."""
    if settings.extractor in ("reader", "boilerpipe"):
        rule = classic.reader if settings.extractor == "reader" else classic.boilerpipe
        keep = rule(parsed, matrix)
        unknown = np.full(len(parsed), np.nan, np.float32)
        chosen = Classified(keep, keep.astype(np.float32), unknown)
    else:
        chosen = classify(parsed, matrix)
    keep = chosen.keep
    if not settings.tables:
        keep = keep & ~parsed.rows
    if not settings.comments:
        keep = keep & ~_readers_comments(parsed, matrix, keep)
    if settings.title_in_text is not None:
        keep = _with_title(parsed, matrix, keep, settings.title_in_text)
    return Classified(keep, chosen.probabilities, chosen.confidence)


def titles_of(parsed: Parsed) -> pa.Array:
    """The `<title>` of each page, white space collapsed; null where there is none."""
    pieces = [parsed.text[start:end].tobytes().decode("utf-8", "replace") for start, end in parsed.titles]
    return pa.array([piece.strip() or None for piece in pieces], pa.large_string())


def _hand_over(column: pa.Array, found: ExtractedPages, settings: ExtractionSettings) -> ExtractedPages:
    """Let trafilatura read all pages, or those the model is unsure of; what it finds nothing in stays as it was."""
    if settings.extractor == "trafilatura":
        pages = np.arange(len(column))
    elif settings.extractor == "combined":
        # Pages without any block have confidence 0, and nothing for trafilatura either.
        sizes = np.asarray(pc.fill_null(pc.binary_length(column), 0))
        unsure = (found.confidence > 0) & (found.confidence < settings.fallback_below)
        pages = np.flatnonzero(unsure & (sizes <= _LARGEST_HANDED_OVER))
    else:
        pages = np.zeros(0, np.int64)
    texts, used = found.texts, found.extractor
    if len(pages):
        listed, names_used = texts.to_pylist(), used.to_pylist()
        for page in pages:
            text = _trafilatura(column[int(page)].as_py() or "", settings)
            if text or settings.extractor == "trafilatura":
                listed[page], names_used[page] = text, "trafilatura"
        texts, used = pa.array(listed, pa.large_string()), pa.array(names_used, pa.string())
    return ExtractedPages(texts, found.titles, found.confidence, used.dictionary_encode())


def _trafilatura(html: str, settings: ExtractionSettings) -> str:
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    text = trafilatura.extract(
        html.replace("\x00", ""),
        fast=settings.extractor == "combined",
        include_comments=settings.comments,
        include_tables=settings.tables,
        deduplicate=False,  # remembers text from page to page: the result would depend on the order
        with_metadata=False,
        output_format="markdown" if settings.structure == "markdown" else "txt",
        include_formatting=False,
    )
    return (text or "").replace("\x00", "")


def _readers_comments(parsed: Parsed, matrix: Matrix, keep: Kept) -> Kept:
    """Kept blocks in elements that are named for comments, on pages that are not made of them."""
    found = np.zeros(len(matrix), np.bool_)
    find_comments(
        parsed.elements,
        parsed.segments,
        parsed.blocks,
        parsed.block_offsets,
        matrix[:, _MASS].copy(),
        keep,
        found,
    )
    return found


@kernel
def find_comments(
    elements: Any, segments: Any, blocks: Any, block_offsets: Any, masses: Any, keep: Any, found: Any
) -> None:
    """Mark the blocks inside elements for comments; none where they hold half of the words kept."""
    inside = np.zeros(len(elements), np.bool_)
    for element in range(len(elements)):
        parent = elements[element, at.E_PARENT]
        inside[element] = elements[element, at.E_HINTS] & _COMMENT_BIT != 0 or (
            parent >= 0 and inside[parent]
        )
    for page in range(len(block_offsets) - 1):
        comments = words = 0.0
        for block in range(block_offsets[page], block_offsets[page + 1]):
            found[block] = inside[segments[blocks[block], at.G_ELEMENT]]
            if keep[block]:
                words += masses[block]
                comments += masses[block] * found[block]
        if 2 * comments >= words:
            found[block_offsets[page] : block_offsets[page + 1]] = False


def _with_title(parsed: Parsed, matrix: Matrix, keep: Kept, wanted: bool) -> Kept:
    """Keep or drop the heading that says the page's title: the best match, at or before the text's beginning."""
    keep = keep.copy()
    offsets = parsed.block_offsets
    headings = (matrix[:, _TAG] >= _H1) & (matrix[:, _TAG] <= _H6) & (matrix[:, _IN_TITLE] >= _TITLE_MATCH)
    for begin, stop in itertools.pairwise(offsets):
        candidates = begin + np.flatnonzero(headings[begin:stop])
        kept = begin + np.flatnonzero(keep[begin:stop])
        if len(candidates) and len(kept):
            title = candidates[np.argmax(matrix[candidates, _IN_TITLE] * np.sqrt(matrix[candidates, _MASS]))]
            keep[title] = wanted
    return keep
