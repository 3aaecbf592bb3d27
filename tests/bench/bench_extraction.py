"""Body extraction against other extractors: shingle F1 with confidence intervals, and user CPU, in one run.

    uv venv /tmp/bench && uv pip install -p /tmp/bench/bin/python numba "numpy<2.5" pyarrow pydantic fastwarc trafilatura \\
        resiliparse readability-lxml lxml_html_clean html_text boilerpy3 justext
    /tmp/bench/bin/python -m tests.bench.bench_extraction speed [--pages 160] [--runs 3]
    /tmp/bench/bin/python -m tests.bench.bench_extraction quality [--ours FILE.jsonl ...]
    /tmp/bench/bin/python -m tests.bench.bench_extraction growth

`speed`: pages spread over the data set, contestants interleaved, the median of the runs; then where our milliseconds
go, beside bare parses. `quality`: the score of ../shared/tools/score_extraction.py by source and page type (without
`mozread`, whose gold text is Readability's output) with 95% bootstrap intervals; our own line must come from
`scripts/train_extraction.py evaluate`, because the shipped model was trained on these pages. `growth`: hostile pages
of doubled size must cost about twice as much. Peers that are missing are named and left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import resource
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.extraction.blocks import parse_pages
from pipeline.extraction.classic import boilerpipe
from pipeline.extraction.classifier import classify, shipped_model
from pipeline.extraction.extract import extract_pages
from pipeline.extraction.features import block_features
from pipeline.extraction.render import render_text
from pipeline.extraction.second_look import look_again
from pipeline.extraction.settings import ExtractionSettings
from pipeline.sources.charset import decode_html

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[3] / "shared"))
SKIPPED_SOURCE = "mozread"
Extractor = Callable[[str], str | None]


def user_cpu() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def read_pages() -> list[dict[str, Any]]:
    """The labelled pages, decoded, in the order of the archives."""
    folder = SHARED / "data" / "pages"
    lines = (folder / "gold.dev.jsonl").read_text("utf-8").split("\n")
    gold = {page["url"]: page for page in map(json.loads, filter(None, lines))}
    return [gold[url] | {"html": html} for url, html in _records(folder)]


def _records(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.glob("*.warc.gz")):
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
                html, _ = decode_html(record.reader.read(), record.http_charset)
                yield (
                    record.headers["WARC-Target-URI"],
                    html.replace("\0", "").encode("utf-8", "replace").decode(),
                )


def peers() -> dict[str, Extractor]:
    """The extractors that are installed."""
    found: dict[str, Extractor] = {}
    makers = {
        "trafilatura": _trafilatura,
        "trafilatura fast": partial(_trafilatura, fast=True),
        "resiliparse": _resiliparse,
        "readability-lxml": _readability,
        "boilerpy3": _boilerpy3,
        "jusText": _justext,
    }
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as error:
            print(f"not installed: {name} ({error})")
    return found


def _trafilatura(fast: bool = False) -> Extractor:
    trafilatura = importlib.import_module("trafilatura")
    return lambda html: trafilatura.extract(html, fast=fast, with_metadata=False)


def _resiliparse() -> Extractor:
    module = importlib.import_module("resiliparse.extract.html2text")
    return lambda html: module.extract_plain_text(
        html, main_content=True, preserve_formatting=True, comments=False, alt_texts=False, list_bullets=False
    )


def _readability() -> Extractor:
    document, html_text = (
        importlib.import_module("readability").Document,
        importlib.import_module("html_text"),
    )

    def extract(html: str) -> str:
        try:
            return str(html_text.extract_text(document(html).summary()))
        except Exception:  # noqa: BLE001 - the peer raises on empty documents: no text
            return ""

    return extract


def _boilerpy3() -> Extractor:
    return (
        importlib.import_module("boilerpy3.extractors").ArticleExtractor(raise_on_failure=False).get_content
    )


def _justext() -> Extractor:
    justext = importlib.import_module("justext")
    stops = justext.get_stoplist("English")

    def extract(html: str) -> str:
        try:
            return "\n".join(p.text for p in justext.justext(html, stops) if not p.is_boilerplate)
        except Exception:  # noqa: BLE001 - the peer raises on empty documents: no text
            return ""

    return extract


# ---- speed


def speed(pages: list[dict[str, Any]], count: int, runs: int) -> None:
    """User CPU a page of everyone on the same pages, and of our steps."""
    chosen = [page["html"] for page in pages[:: max(len(pages) // count, 1)]][:count]
    column = pa.array(chosen, pa.large_string())
    contestants: dict[str, Callable[[], Any]] = {
        "ours: combined": lambda: extract_pages(column, ExtractionSettings()),
        "ours: model": lambda: extract_pages(column, ExtractionSettings(extractor="model")),
        "ours: reader": lambda: extract_pages(column, ExtractionSettings(extractor="reader")),
        "ours: boilerpipe": lambda: extract_pages(column, ExtractionSettings(extractor="boilerpipe")),
    }
    for name, extract in peers().items():
        contestants[name] = partial(_each, extract, chosen)
    contestants |= _bare_parses(chosen)
    times = _interleaved(contestants, runs)
    fast = times.get("trafilatura fast", float("nan"))
    print(f"{len(chosen)} pages, mean {column.nbytes / len(chosen) / 1e3:.0f} kB; user CPU, median of {runs}")
    print(f"{'':22}{'ms/page':>9}{'pages/s':>9}{'x fast':>8}")
    for name, seconds in times.items():
        each = seconds / len(chosen)
        print(f"{name:22}{1000 * each:9.2f}{1 / each:9.0f}{fast / seconds:8.2f}")
    _steps(column, runs)


def _each(extract: Extractor, chosen: list[str]) -> None:
    for html in chosen:
        extract(html)


def _bare_parses(chosen: list[str]) -> dict[str, Callable[[], Any]]:
    from resiliparse.parse.html import HTMLTree

    parses: dict[str, Callable[[], Any]] = {
        "parse: resiliparse": lambda: [HTMLTree.parse(html) for html in chosen]
    }
    try:
        lxml = importlib.import_module("lxml.html")
    except ImportError:
        return parses
    return parses | {
        "parse: lxml": lambda: [lxml.fromstring(html.encode()) for html in chosen if html.strip()]
    }


def _interleaved(contestants: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    spent: dict[str, list[float]] = defaultdict(list)
    for number in range(runs + 1):  # the first round warms up
        for name, run in contestants.items():
            start = user_cpu()
            run()
            if number:
                spent[name].append(user_cpu() - start)
    return {name: statistics.median(times) for name, times in spent.items()}


def _steps(column: pa.Array, runs: int) -> None:
    parsed = parse_pages(column)
    matrix = block_features(parsed)
    model = shipped_model()
    first = model.first.probabilities(matrix)
    wide = np.hstack([matrix, look_again(parsed, matrix, first)])
    keep = classify(parsed, matrix).keep
    steps = {
        "tokens, blocks": lambda: parse_pages(column),
        "features": lambda: block_features(parsed),
        "first trees": lambda: model.first.probabilities(matrix),
        "second look": lambda: np.hstack([matrix, look_again(parsed, matrix, first)]),
        "second trees": lambda: model.second.probabilities(wide),
        "classify, all": lambda: classify(parsed, matrix),
        "text": lambda: render_text(parsed, keep),
    }
    print(f"\nwhere ours go ({len(matrix) / len(column):.0f} blocks a page)")
    for name, seconds in _interleaved(steps, runs).items():
        print(f"{name:22}{1000 * seconds / len(column):9.3f} ms/page")


# ---- quality


def quality(pages: list[dict[str, Any]], ours: list[Path]) -> None:
    """F1 by source and page type, with bootstrap intervals."""
    sys.path.insert(0, str(SHARED / "tools"))
    scores = importlib.import_module("score_extraction")
    scored = [page for page in pages if page["source"] != SKIPPED_SOURCE and page["text"] is not None]
    predictions: dict[str, list[str]] = {}
    for file in ours:
        lines = map(json.loads, filter(None, file.read_text("utf-8").split("\n")))
        texts = {line["id"]: line["text"] for line in lines}
        predictions[f"ours {file.stem}"] = [texts[page["id"]] for page in scored]
    settings = ExtractionSettings(extractor="reader"), ExtractionSettings(extractor="boilerpipe")
    for setting in settings:
        found = extract_pages([page["html"] for page in scored], setting)
        predictions[f"ours: {setting.extractor}"] = found.texts.to_pylist()
    for name, extract in peers().items():
        predictions[name] = [extract(page["html"]) or "" for page in scored]
    groups = _groups(scored)
    print(f"{'':24}" + "".join(f"{name[:12]:>14}" for name in groups))
    for name, texts in predictions.items():
        pairs = [
            scores.overlap(scores.shingles(scores.words(page["text"])), scores.shingles(scores.words(text)))
            for page, text in zip(scored, texts, strict=True)
        ]
        cells = [_interval(scores, [pairs[i] for i in members]) for members in groups.values()]
        print(f"{name:24}" + "".join(f"{cell:>14}" for cell in cells), flush=True)
    if "boilerpy3" in predictions:
        _agreement(scored, predictions["boilerpy3"])


def _groups(scored: list[dict[str, Any]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for i, page in enumerate(scored):
        for name in ("ALL", page["source"], *([page["page_type"]] if page["source"] == "wcxb" else [])):
            groups[name].append(i)
    return groups


def _interval(scores: Any, pairs: list[tuple[int, int, int]]) -> str:
    """F1 and half the width of its 95% bootstrap interval."""
    random = np.random.default_rng(1)
    samples = [
        scores.shingle_means([pairs[i] for i in random.integers(0, len(pairs), len(pairs))])[0]
        for _ in range(200)
    ]
    low, high = np.percentile(samples, [2.5, 97.5])
    return f"{scores.shingle_means(pairs)[0]:.3f}±{(high - low) / 2:.3f}"


def _agreement(scored: list[dict[str, Any]], theirs: list[str]) -> None:
    """How many words our Boilerpipe rules and boilerpy3 decide the same way."""
    parsed = parse_pages([page["html"] for page in scored])
    keep = boilerpipe(parsed, block_features(parsed))
    same = total = 0
    for page, text in enumerate(theirs):
        lines = " ".join(text.split())
        for block in range(parsed.block_offsets[page], parsed.block_offsets[page + 1]):
            words = parsed.block_text(block).split()
            same += len(words) * ((" ".join(words) in lines) == keep[block])
            total += len(words)
    print(f"boilerpipe rules and boilerpy3 agree on {same / total:.3f} of {total} words")


# ---- growth

HOSTILE = {
    "nested div": lambda n: "<div>" * n + "text" + "</div>" * n,
    "unclosed tags": lambda n: "<p><b><i><a href=x><li><td>x" * n,
    "end tags": lambda n: "<section>" * 500 + "</div></p></b></a></li></td>" * n + "x",
    "list items": lambda n: "<div>" * 500 + "<li>x" * n,
    "attributes": lambda n: "<p " + "a=b " * n + ">x",
    "class names": lambda n: f"<p class='{'postBody ' * n}'>x",
    "open quotes": lambda n: '<a b="' * n,
    "open comments": lambda n: "<!-- - -- " * n,
    "scripts": lambda n: "<script><!--<script>" * n,
    "references": lambda n: "&CounterClockwiseContourIntegral" * n,
    "text": lambda n: "words and, more words. " * n,
    "links": lambda n: "<li><a href=x>link text</a>" * n,
    "cells": lambda n: "<table>" + "<tr><td>a<td>b" * (n // 4),
    "nested tables": lambda n: "<table><tr><td>" * n + "x",
    "lone less": lambda n: "< " * n,
    "open cdata": lambda n: "<svg>" + "<![CDATA[ ]" * n,
}


def growth() -> None:
    """User CPU of pages of n, 2n and 4n pieces: four times the size may cost at most six times as much."""
    extract_pages(["<p>x"], ExtractionSettings(extractor="model"))
    for name, make in HOSTILE.items():
        times = []
        for size in (40_000, 80_000, 160_000):
            page = make(size)
            start = user_cpu()
            extract_pages([page], ExtractionSettings(extractor="model"))
            times.append(user_cpu() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        ratio = times[2] / max(times[0], 0.01)
        verdict = "" if ratio <= 6 else "  MORE THAN LINEAR"
        shown = " ".join(f"{t:.3f}" for t in times)
        print(
            f"{name:16}{len(page) / 1e6:7.1f} MB  {shown} s  x{ratio:.1f}  peak {peak:.0f} MB{verdict}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "quality", "growth"])
    parser.add_argument("--pages", type=int, default=160)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ours", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if options.what == "growth":
        growth()
    elif options.what == "speed":
        speed(read_pages(), options.pages, options.runs)
    else:
        quality(read_pages(), options.ours)


if __name__ == "__main__":
    main()
