"""One page as a report for the browser: each block, kept or dropped, with the features that spoke for and against it.

    inspect_page("page.html", "report.html")
    inspect_page("https://example.org/a", "report.html", inputs=["crawl/*.warc.gz"])

The report is one file without scripts; nothing of the page can act in it, since all of it is escaped and no markup is used.
Pages are read from a file or from archives: nothing is fetched.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from pipeline import storage
from pipeline.errors import UserError, did_you_mean
from pipeline.extraction import columns as col
from pipeline.extraction import layout as at
from pipeline.extraction import metadata
from pipeline.extraction import vocabulary as names
from pipeline.extraction.blocks import Parsed, parse_pages
from pipeline.extraction.classifier import Classified, shipped_model
from pipeline.extraction.extract import choose_blocks, extract_pages
from pipeline.extraction.features import block_features
from pipeline.extraction.math import insert_in_page
from pipeline.extraction.math_scan import TAG, attributes_of
from pipeline.extraction.second_look import COLUMNS as SECOND_COLUMNS
from pipeline.extraction.second_look import look_again
from pipeline.extraction.settings import ExtractionSettings
from pipeline.extraction.trees import Trees
from pipeline.report import hostile
from pipeline.sources import ReadSettings, SplitReader
from pipeline.sources.charset import decode_html
from pipeline.sources.discover import SourceConfig, plan_splits

Floats = npt.NDArray[np.float32]

REASONS = 5
"""Features shown for a block."""

MOST_BLOCKS = 5_000
"""Blocks shown; a page with more says so."""

_PATH = 6
_MARKUP = 300_000
_SHOWN_TEXT = 5_000


@dataclass(frozen=True)
class Reason:
    """A feature that set a block's score apart from those of the page's other blocks: its value, and by how much in log-odds."""

    feature: str
    value: str
    weight: float


@dataclass(frozen=True)
class Block:
    """A block as it is shown. `score` is None where a rule decided, not a model."""

    number: int
    kept: bool
    score: float | None
    path: str
    text: str
    first: tuple[Reason, ...]
    second: tuple[Reason, ...]
    words: int
    link_density: float


def inspect_page(
    target: str,
    out_path: str,
    *,
    inputs: Sequence[str] = (),
    settings: ExtractionSettings | None = None,
) -> str:
    """Write the report of a page; its path. `target` is a file, or an address in the WARC files `inputs`.

    Raises:
        UserError: when the page is not there.
    """
    raw, charset, url = _page_in(inputs, target) if inputs else _file(target)
    page, encoding = decode_html(raw, charset)
    html = report(page, url, settings or ExtractionSettings(), encoding)
    with storage.write_atomically(out_path) as file:
        file.write(html.encode("utf-8", "replace"))
    return out_path


def _file(target: str) -> tuple[bytes, str | None, str]:
    if target.startswith(("http://", "https://")):
        raise UserError(
            f"{target}: nothing is fetched. Give --input WARC files that hold the page, or a file."
        )
    try:
        return storage.read_bytes(target), None, target
    except (OSError, ValueError) as error:
        raise UserError(f"{target} cannot be read: {error}") from error


def _page_in(inputs: Sequence[str], url: str) -> tuple[bytes, str | None, str]:
    """The first page of that address in the archives."""
    seen: list[str] = []
    for split in plan_splits(SourceConfig(name="web", inputs=tuple(inputs)), 0):
        for chunk in SplitReader(split, ReadSettings()):
            urls = chunk.batch["url"].to_pylist()
            seen.extend(address for address in urls if address and len(seen) < 100_000)
            if url not in urls:
                continue
            row = urls.index(url)
            raw = chunk.batch["raw"][row].as_py()
            if raw is None:
                raise UserError(f"{url}: the archive holds no body of this page that can be read.")
            return raw, chunk.batch["http.charset"][row].as_py(), url
    raise UserError(f"{url} is not in the input ({len(seen):,} addresses).{did_you_mean(url, seen[:20_000])}")


def report(page: str, url: str, settings: ExtractionSettings, encoding: str = "utf-8") -> str:
    """The report of a decoded page, as HTML."""
    page = page.replace("\x00", "")
    with_formulas, formulas = insert_in_page(page)
    parsed = parse_pages([with_formulas])
    matrix = block_features(parsed)
    chosen = choose_blocks(parsed, matrix, settings)
    found = extract_pages([with_formulas], settings)
    said = metadata.one_page_metadata(with_formulas, url)
    blocks = list(_blocks(parsed, matrix, chosen, settings))
    confidence = float(found.confidence[0])
    return _template().render(
        url=hostile.plain(url, 2000),
        encoding=encoding,
        extractor=found.extractor[0].as_py(),
        confidence=None if np.isnan(confidence) else confidence,
        formulas=formulas,
        metadata={name: hostile.lines(value) if value else None for name, value in said.items()},
        blocks=blocks,
        total=len(chosen.keep),
        kept=int(chosen.keep.sum()),
        text=hostile.lines(found.texts[0].as_py() or ""),
        markup=hostile.lines(page[:_MARKUP]),
        markup_left=max(0, len(page) - _MARKUP),
        css=_resource("inspect.css"),
    )


def _template() -> jinja2.Template:
    loader = jinja2.FunctionLoader(_resource)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("inspect.html.j2")


def _resource(name: str) -> str:
    return (importlib.resources.files("pipeline.extraction") / name).read_text("utf-8")


def _blocks(
    parsed: Parsed, matrix: Floats, chosen: Classified, settings: ExtractionSettings
) -> Iterator[Block]:
    judged = settings.extractor in ("combined", "model")
    first = second = np.zeros((0, 0), np.float32)
    if judged and len(matrix):
        model = shipped_model()
        looked = np.hstack([matrix, look_again(parsed, matrix, model.first.probabilities(matrix))])
        first = contributions(model.first, matrix[:MOST_BLOCKS])
        second = contributions(model.second, looked[:MOST_BLOCKS])
    second_names = (*col.COLUMNS, *SECOND_COLUMNS)
    for block in range(min(len(chosen.keep), MOST_BLOCKS)):
        yield Block(
            number=block,
            kept=bool(chosen.keep[block]),
            score=float(chosen.probabilities[block]) if judged else None,
            path=hostile.plain(_path(parsed, block), 300),
            text=hostile.lines(parsed.block_text(block)[:_SHOWN_TEXT]),
            first=_reasons(first[block], matrix[block], col.COLUMNS) if judged else (),
            second=_reasons(second[block], looked[block], second_names) if judged else (),
            words=int(matrix[block, col.T["mass"]]),
            link_density=float(matrix[block, col.T["link_density"]]),
        )


def contributions(trees: Trees, matrix: Floats) -> Floats:
    """By how much each feature set the log-odds of a row apart from those of the other rows, shape of the matrix.

    On its way down a tree a row's score goes from the mean of all rows that come to one node to the mean of those that
    come to the next; the difference is put down to the feature that the node asks for (Saabas 2014, with the rows of the
    page as the sample). With the mean score they add up to the row's score; a feature that is the same in all rows has 0.
    """
    made = np.zeros(matrix.shape, np.float32)
    sums, counts = np.zeros(len(trees.features)), np.zeros(len(trees.features))
    for root in trees.roots.tolist():
        steps, scores = _walk(trees, root, matrix)
        for rows, nodes, _ in steps:
            np.add.at(sums, nodes, scores[rows])
            np.add.at(counts, nodes, 1)
        for rows, nodes, children in steps:
            inner = np.maximum(children, 0)
            after = np.where(children < 0, scores[rows], sums[inner] / np.maximum(counts[inner], 1))
            np.add.at(made, (rows, trees.features[nodes]), after - sums[nodes] / counts[nodes])
    return made


def _walk(trees: Trees, root: int, matrix: Floats) -> tuple[list[tuple[Any, Any, Any]], Any]:
    """The ways of all rows down one tree: by level the rows, their nodes and the next ones; and the leaves they come to."""
    steps = []
    scores = np.full(len(matrix), trees.leaves[-1 - root] if root < 0 else 0.0)
    rows = np.arange(len(matrix) if root >= 0 else 0)
    nodes = np.full(len(rows), root, np.int64)
    while len(rows):
        goes_left = matrix[rows, trees.features[nodes]] <= trees.thresholds[nodes]
        children = np.where(goes_left, trees.left[nodes], trees.right[nodes]).astype(np.int64)
        steps.append((rows, nodes, children))
        ended = children < 0
        scores[rows[ended]] = trees.leaves[-1 - children[ended]]
        rows, nodes = rows[~ended], children[~ended]
    return steps, scores


def _reasons(weights: Any, values: Any, columns: Sequence[str]) -> tuple[Reason, ...]:
    """The features that moved a score most, either way."""
    order = np.argsort(-np.abs(weights), kind="stable")[:REASONS]
    return tuple(
        Reason(columns[place], _value(columns[place], float(values[place])), float(weights[place]))
        for place in order.tolist()
        if abs(weights[place]) >= 0.005
    )


def _value(column: str, value: float) -> str:
    if column.endswith(".tag"):
        return names.TAGS[int(value)] or "other" if 0 <= value < len(names.TAGS) else "none"
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"


def _path(parsed: Parsed, block: int) -> str:
    """The elements around a block, the innermost last, with id and classes."""
    element = int(parsed.segments[parsed.blocks[block], at.G_ELEMENT])
    parts: list[str] = []
    while element >= 0 and len(parts) < _PATH:
        parent = int(parsed.elements[element, at.E_PARENT])
        if parent >= 0:
            parts.append(_element(parsed, element))
        element = parent
    return " > ".join(reversed(parts)) + (" > row" if parsed.rows[block] else "")


def _element(parsed: Parsed, element: int) -> str:
    source = int(parsed.elements[element, at.E_SOURCE])
    markup = parsed.html[source : source + 1000].tobytes().decode("utf-8", "replace")
    found = TAG.match(markup)
    if found is None or found["name"] is None:
        return names.TAGS[int(parsed.elements[element, at.E_TAG])] or "element"
    attributes = attributes_of(found["attributes"])
    classes = "".join("." + name for name in attributes.get("class", "").split()[:3])
    identity = f"#{attributes['id']}" if attributes.get("id") else ""
    return found["name"].lower() + identity + classes
