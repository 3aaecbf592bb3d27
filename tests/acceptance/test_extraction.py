"""Body extraction on the labelled pages of /work/shared/data: what must not get worse.

The shipped model was trained on these pages, so its own score here says only that the pieces fit together; how well it
reads pages it has not seen is measured by `scripts/train_extraction.py evaluate` (docs/extraction.md has the figures).
The classic rules were not trained: their floors are what was measured on 2026-11-22, rounded towards the worse.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.extraction.extract import extract_pages
from pipeline.extraction.settings import ExtractionSettings
from pipeline.sources.charset import decode_html

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[3] / "shared"))
PAGES = SHARED / "data" / "pages"

pytestmark = pytest.mark.skipif(not PAGES.is_dir(), reason=f"no pages at {PAGES}: set CORPUSMILL_SHARED")


@cache
def pages() -> tuple[list[dict], pa.Array]:
    """Every third labelled page with a full gold text, but those whose gold text is Readability's output."""
    lines = (PAGES / "gold.dev.jsonl").read_text("utf-8").split("\n")
    gold = {page["url"]: page for page in map(json.loads, filter(None, lines))}
    found, html = [], []
    for file in sorted(PAGES.glob("*.warc.gz")):
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
                page = gold[record.headers["WARC-Target-URI"]]
                if page["text"] is not None and page["source"] != "mozread":
                    text, _ = decode_html(record.reader.read(), record.http_charset)
                    found.append(page)
                    html.append(text.encode("utf-8", "replace").decode())
    return found[::3], pa.array(html[::3], pa.large_string())


def f1(extractor: str) -> float:
    """Shingle F1 as the scorer of the shared data defines it."""
    sys.path.insert(0, str(SHARED / "tools"))
    import score_extraction as scorer

    gold, html = pages()
    texts = extract_pages(html, ExtractionSettings(extractor=extractor)).texts.to_pylist()
    pairs = [
        scorer.overlap(scorer.shingles(scorer.words(page["text"])), scorer.shingles(scorer.words(text)))
        for page, text in zip(gold, texts, strict=True)
    ]
    return scorer.shingle_means(pairs)[0]


@pytest.mark.parametrize(("extractor", "floor"), [("model", 0.93), ("reader", 0.70), ("boilerpipe", 0.60)])
def test_extractors_read_real_pages(extractor, floor):
    assert f1(extractor) >= floor


def test_no_page_is_lost_and_confidence_means_something():
    gold, html = pages()
    found = extract_pages(html, ExtractionSettings(extractor="model"))
    assert len(found.texts) == len(found.titles) == len(found.extractor) == len(gold)
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    lengths = np.array([len(text) for text in found.texts.to_pylist()])
    assert (lengths[found.confidence > 0] > 0).all()
    assert np.mean(lengths == 0) < 0.02


def test_few_pages_are_handed_over():
    _, html = pages()
    found = extract_pages(html[:120], ExtractionSettings())
    assert found.extractor.to_pylist().count("trafilatura") <= 6
