"""Where two scorers disagree most: documents that one ranks high and the other low, side by side.

Scores of different models have different scales, so ranks are compared: the share of the documents that a document is
better than, by each scorer.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import storage
from pipeline.errors import UserError
from pipeline.quality.corpus import Corpus
from pipeline.quality.judging import mid_ranks
from pipeline.report import hostile

Floats = npt.NDArray[np.float64]
ScoreOf = Callable[[pa.RecordBatch], Floats]
"""Scores of a batch of documents, higher for better ones, NaN where there is none."""

SHARES = (0.1, 0.25, 0.5)
"""Top shares whose overlap is told."""
EXCERPT = 700
"""Characters shown of a document."""


@dataclass(frozen=True)
class Case:
    """A document on which the scorers disagree; ranks are 0 (worst) to 1 (best)."""

    id: str
    url: str | None
    text: str
    score_a: float
    score_b: float
    rank_a: float
    rank_b: float


@dataclass(frozen=True)
class Comparison:
    """What two scorers say about the same documents."""

    documents: int
    unscored: int
    """Documents that one or both gave no score; they are not compared."""
    correlation: float
    """Spearman's, of the ranks."""
    overlap: dict[float, float]
    """Top share -> the part of it that both have."""
    a_likes: list[Case]
    b_likes: list[Case]


def compare(corpus: Corpus, a: ScoreOf, b: ScoreOf, most: int) -> Comparison:
    """Score all documents by both, and find those whose ranks differ most, `most` on each side.

    Raises:
        UserError: when fewer than two documents have both scores.
    """
    scores_a, scores_b, ids = [], [], []
    for batch in corpus.batches():
        scores_a.append(a(batch))
        scores_b.append(b(batch))
        ids.extend(batch["id"].to_pylist())
    if not ids:
        raise UserError("compare: the inputs hold no documents.")
    values_a, values_b = np.concatenate(scores_a), np.concatenate(scores_b)
    rows = np.flatnonzero(~np.isnan(values_a) & ~np.isnan(values_b))
    if len(rows) < 2:
        raise UserError(
            f"compare: {len(rows)} of {len(ids)} documents have both scores; are these files of the same documents?"
        )
    ranks_a, ranks_b = (_shares(values[rows]) for values in (values_a, values_b))
    difference = ranks_a - ranks_b
    names = np.array(ids)[rows]
    order = np.lexsort((names, -difference))
    chosen = [
        [at for at in order[:most] if difference[at] > 0],
        [at for at in order[::-1][:most] if difference[at] < 0],
    ]
    texts = _texts(corpus, {int(rows[at]) for side in chosen for at in side})

    def case(at: int) -> Case:
        row = int(rows[at])
        url, text = texts[row]
        return Case(
            ids[row],
            url,
            text,
            float(values_a[row]),
            float(values_b[row]),
            float(ranks_a[at]),
            float(ranks_b[at]),
        )

    return Comparison(
        documents=len(rows),
        unscored=len(ids) - len(rows),
        correlation=_correlation(ranks_a, ranks_b),
        overlap={share: _overlap(ranks_a, ranks_b, share) for share in SHARES},
        a_likes=[case(int(at)) for at in chosen[0]],
        b_likes=[case(int(at)) for at in chosen[1]],
    )


def _shares(values: Floats) -> Floats:
    """The share of the other documents that each is better than, equal ones counting half."""
    return (mid_ranks(values) - 1) / (len(values) - 1)


def _correlation(a: Floats, b: Floats) -> float:
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _overlap(a: Floats, b: Floats, share: float) -> float:
    size = max(1, round(share * len(a)))
    top_a, top_b = (set(np.argsort(-ranks, kind="stable")[:size].tolist()) for ranks in (a, b))
    return len(top_a & top_b) / size


def _texts(corpus: Corpus, wanted: set[int]) -> dict[int, tuple[str | None, str]]:
    """URL and beginning of the text of the documents at some positions: a second pass, so that no texts are held."""
    found, base = {}, 0
    for batch in corpus.batches():
        for row in wanted:
            if base <= row < base + batch.num_rows:
                text = batch["text"][row - base].as_py() or ""
                found[row] = (batch["url"][row - base].as_py(), text[: EXCERPT + 1])
        base += batch.num_rows
    return found


def write_page(path: str, found: Comparison, name_a: str, name_b: str) -> None:
    """The comparison as one HTML file without scripts; nothing of a document can act in it."""
    template = importlib.resources.files("pipeline.quality") / "compare.html.j2"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    content = environment.from_string(template.read_text(encoding="utf-8")).render(
        found=found, name_a=hostile.plain(name_a), name_b=hostile.plain(name_b), shown=_shown
    )
    storage.write_bytes(path, content.encode("utf-8", "backslashreplace"))


def _shown(case: Case) -> dict[str, Any]:
    return {
        "place": hostile.label(case.url or case.id),
        "text": hostile.plain(case.text, EXCERPT),
        "a": f"{case.score_a:.4g}",
        "b": f"{case.score_b:.4g}",
        "rank_a": f"{case.rank_a:.0%}",
        "rank_b": f"{case.rank_b:.0%}",
    }
