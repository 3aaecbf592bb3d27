"""Train the model of body extraction on labelled pages, and say how well it reads pages it has not seen.

    uv venv /tmp/train && uv pip install -p /tmp/train/bin/python lightgbm click numba "numpy<2.5" pyarrow pydantic \\
        fastwarc resiliparse trafilatura
    /tmp/train/bin/python -m scripts.train_extraction --pages ../shared/data/pages evaluate
    /tmp/train/bin/python -m scripts.train_extraction --pages ../shared/data/pages train

`evaluate` prints shingle F1 by source and page type, twice: trained on the other sources (nothing is scored on
what its source trained) and trained on other sites (five folds of whole sites). `train` writes
`pipeline/extraction/model.npz`. Readability's own test pages (`mozread`) are in neither: their gold text is
Readability's output.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import lightgbm
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.extraction import columns as col
from pipeline.extraction import second_look
from pipeline.extraction.blocks import Parsed, parse_pages
from pipeline.extraction.classifier import MODEL_FILE, cut_pages
from pipeline.extraction.features import block_features
from pipeline.extraction.render import render_text
from pipeline.extraction.second_look import look_again
from pipeline.sources.charset import decode_html
from scripts.extraction_labels import label_blocks, label_by_snippets

Floats = npt.NDArray[np.float32]
Folds = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]

PARAMETERS = {
    "objective": "cross_entropy",  # labels are shares of a block's words
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 60,
    "min_sum_hessian_in_leaf": 0.01,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbose": -1,
}
ROUNDS = (200, 150)
"""Trees of the first and the second round."""
SITE_FOLDS, INNER_FOLDS = 5, 4
SKIPPED_SOURCE = "mozread"
SAME_SOURCE = {"mh_forum": "mh_article"}
"""Parts of one data set, left out together."""


@dataclass(frozen=True, eq=False)
class Pages:
    """Labelled pages with the features of their blocks."""

    gold: list[dict[str, Any]]
    parsed: Parsed
    matrix: Floats
    shares: npt.NDArray[np.float64]
    """Share of each block's words that are in the gold text; NaN where nothing is known."""
    weights: npt.NDArray[np.float64]
    """Words of each block over those of its page: every page weighs the same."""

    def rows(self, pages: Sequence[int], labelled: bool = False) -> npt.NDArray[np.int64]:
        """The blocks of some pages."""
        offsets = self.parsed.block_offsets
        rows = np.concatenate(
            [np.arange(offsets[p], offsets[p + 1]) for p in pages] or [np.zeros(0, np.int64)]
        )
        return rows[~np.isnan(self.shares[rows])] if labelled else rows

    def of(self, name: str) -> npt.NDArray[np.str_]:
        """A field of all pages."""
        return np.array([str(page.get(name) or "") for page in self.gold])


def read_pages(folder: Path) -> Pages:
    """Read `*.warc.gz` and `gold.*.jsonl`, parse, label and measure."""
    gold = {}
    for file in sorted(folder.glob("gold.*.jsonl")):
        for line in filter(None, file.read_text().split("\n")):
            page = json.loads(line)
            gold[page["url"]] = page
    found, html = [], []
    for url, text in _records(folder):
        found.append(gold[url])
        html.append(text)
    parsed = parse_pages(pa.array(html, pa.large_string()))
    shares, weights = [], []
    for number, page in enumerate(found):
        texts = [parsed.block_text(b) for b in range(*parsed.block_offsets[number : number + 2])]
        if page["text"] is None:
            share, count = label_by_snippets(texts, page.get("with") or [], page.get("without") or [])
        else:
            share, count = label_blocks(texts, page["text"])
        weight = np.maximum(count, 0.5)
        shares.append(share)
        weights.append(100 * weight / max(weight.sum(), 1))
    return Pages(found, parsed, block_features(parsed), np.concatenate(shares), np.concatenate(weights))


def _records(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.glob("*.warc.gz")):
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
                text, _ = decode_html(record.reader.read(), record.http_charset)
                yield record.headers["WARC-Target-URI"], text.encode("utf-8", "replace").decode()


def fit(matrix: Floats, pages: Pages, rows: npt.NDArray[np.int64], rounds: int) -> lightgbm.Booster:
    """Boost trees on labelled blocks."""
    data = lightgbm.Dataset(
        matrix[rows],
        pages.shares[rows],
        weight=pages.weights[rows],
        params={"max_bin": PARAMETERS["max_bin"]},
    )
    return lightgbm.train(PARAMETERS, data, rounds)


def fit_both(pages: Pages, train: npt.NDArray[np.int64]) -> tuple[lightgbm.Booster, lightgbm.Booster]:
    """The two rounds: the second learns from what the first says of pages that it was not trained on."""
    first_says = np.full(len(pages.matrix), 0.5, np.float32)
    fold = _fold_of_site(pages, INNER_FOLDS, "inner")[train]
    for number in range(INNER_FOLDS):
        rows = pages.rows(train[fold == number])
        model = fit(pages.matrix, pages, pages.rows(train[fold != number], labelled=True), ROUNDS[0])
        if len(rows):
            first_says[rows] = model.predict(pages.matrix[rows])
    rows = pages.rows(train, labelled=True)
    first = fit(pages.matrix, pages, rows, ROUNDS[0])
    wide = np.hstack([pages.matrix, look_again(pages.parsed, pages.matrix, first_says)])
    return first, fit(wide, pages, rows, ROUNDS[1])


def predict(pages: Pages, folds: Folds) -> Floats:
    """How likely each block is part of the text, by models that were not trained on its fold; NaN elsewhere."""
    out = np.full(len(pages.matrix), np.nan, np.float32)
    for train, test in folds:
        first, second = fit_both(pages, train)
        says = first.predict(pages.matrix).astype(np.float32)
        wide = np.hstack([pages.matrix, look_again(pages.parsed, pages.matrix, says)])
        rows = pages.rows(test)
        out[rows] = second.predict(wide[rows])
    return out


def _fold_of_site(pages: Pages, folds: int, salt: str) -> npt.NDArray[np.int64]:
    sites = [urlsplit(url).netloc.split(":")[0].removeprefix("www.") for url in pages.of("url")]
    digests = [hashlib.sha256(f"{salt} {site}".encode()).digest() for site in sites]
    return np.array([int.from_bytes(digest[:8], "big") % folds for digest in digests])


def folds_by_source(pages: Pages) -> Folds:
    """Train on all sources but one, score that one."""
    sources = pages.of("source")
    groups = np.array([SAME_SOURCE.get(source, source) for source in sources])
    used = sources != SKIPPED_SOURCE
    return [
        (np.flatnonzero(used & (groups != group)), np.flatnonzero(groups == group))
        for group in sorted(set(groups[used]))
    ]


def folds_by_site(pages: Pages) -> Folds:
    """Train on four fifths of the sites, score the pages of the others."""
    fold, used = _fold_of_site(pages, SITE_FOLDS, "outer"), pages.of("source") != SKIPPED_SOURCE
    return [
        (np.flatnonzero(used & (fold != number)), np.flatnonzero(used & (fold == number)))
        for number in range(SITE_FOLDS)
    ]


def texts_of(pages: Pages, probabilities: Floats) -> list[str]:
    """The texts that the cut leaves."""
    keep = np.zeros(len(probabilities), np.bool_)
    confidence = np.zeros(len(pages.parsed), np.float32)
    masses = np.ascontiguousarray(pages.matrix[:, col.T["mass"]])
    cut_pages(pages.parsed.block_offsets, masses, np.nan_to_num(probabilities), keep, confidence)
    texts: list[str] = render_text(pages.parsed, keep).to_pylist()
    return texts


def arrays_of(model: lightgbm.Booster, prefix: str) -> dict[str, npt.NDArray[Any]]:
    """A LightGBM model as the arrays of `pipeline.extraction.trees.Trees`."""
    roots, features, thresholds, left, right, leaves = [], [], [], [], [], []

    def add(node: dict[str, Any]) -> int:
        if "leaf_value" in node:
            leaves.append(node["leaf_value"])
            return -len(leaves)
        if node["decision_type"] != "<=" or node["missing_type"] != "None":
            raise ValueError(
                f"a split that the kernel does not know: {node['decision_type']}, {node['missing_type']}"
            )
        place = len(features)
        features.append(node["split_feature"])
        thresholds.append(_not_above(node["threshold"]))
        left.append(0)
        right.append(0)
        left[place], right[place] = add(node["left_child"]), add(node["right_child"])
        return place

    roots = [add(tree["tree_structure"]) for tree in model.dump_model()["tree_info"]]
    return {
        prefix + "roots": np.array(roots, np.int32),
        prefix + "features": np.array(features, np.int16),
        prefix + "thresholds": np.array(thresholds, np.float32),
        prefix + "left": np.array(left, np.int32),
        prefix + "right": np.array(right, np.int32),
        prefix + "leaves": np.array(leaves, np.float32),
    }


def _not_above(threshold: float) -> np.float32:
    """The largest float32 that is at most a threshold: features are float32, so every comparison stays."""
    near = np.float32(threshold)
    return near if near <= threshold else np.nextafter(near, np.float32(-np.inf))


@click.group()
@click.option("--pages", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.pass_context
def main(context: click.Context, pages: Path) -> None:
    """Train or judge the model of body extraction."""
    context.obj = pages


@main.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=MODEL_FILE)
@click.pass_obj
def train(folder: Path, output: Path) -> None:
    """Train on all pages and write the model."""
    pages = read_pages(folder)
    first, second = fit_both(pages, np.flatnonzero(pages.of("source") != SKIPPED_SOURCE))
    np.savez_compressed(
        output,
        columns=np.array([*col.COLUMNS, *second_look.COLUMNS]),
        **arrays_of(first, "first_"),
        **arrays_of(second, "second_"),
    )
    click.echo(f"{output}: {output.stat().st_size / 1e3:.0f} kB")


@main.command()
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.pass_obj
def evaluate(folder: Path, output: Path) -> None:
    """Write the predictions of models that have not seen the source or the site, one JSONL file each.

    Score them with `../shared/tools/score_extraction.py FILE GOLD`, `--by source` or `--by page_type`.
    """
    pages = read_pages(folder)
    output.mkdir(parents=True, exist_ok=True)
    for name, folds in (("by_source", folds_by_source(pages)), ("by_site", folds_by_site(pages))):
        texts = texts_of(pages, predict(pages, folds))
        with (output / f"{name}.jsonl").open("w") as out:
            for page, text in zip(pages.gold, texts, strict=True):
                out.write(json.dumps({"id": page["id"], "text": text}) + "\n")
        click.echo(output / f"{name}.jsonl")


if __name__ == "__main__":
    sys.exit(main())
