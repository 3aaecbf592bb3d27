"""How well scores tell good documents from bad ones, and calibrating them: textbook definitions over plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.classifier import Calibration

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PLATT_STEPS = 100


@dataclass(frozen=True)
class Judgement:
    """Scores against the truth, at a threshold. A figure that has nothing to divide by is NaN."""

    documents: int
    good: int
    auc: float
    precision: float
    recall: float
    f1: float


def judge(scores: Floats, good: Bools, threshold: float = 0.5) -> Judgement:
    """AUC, and precision, recall and F1 of calling a score of at least `threshold` good."""
    called = scores >= threshold
    right = int(np.sum(called & good))
    return Judgement(
        documents=len(scores),
        good=int(good.sum()),
        auc=auc(scores, good),
        precision=_share(right, int(called.sum())),
        recall=_share(right, int(good.sum())),
        f1=_share(2 * right, int(called.sum()) + int(good.sum())),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def auc(scores: Floats, good: Bools) -> float:
    """The probability that a good document has a higher score than a bad one, ties counting half; NaN without either."""
    positives, negatives = int(good.sum()), int((~good).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = mid_ranks(scores)
    return float((ranks[good].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def mid_ranks(values: Floats) -> Floats:
    """Ranks from 1, ascending; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Floats = (last - (counts - 1) / 2)[inverse]
    return means


def calibration_error(scores: Floats, good: Bools, bins: int = 10) -> float:
    """Expected calibration error: mean distance of score and share of good documents over equally wide bins."""
    if not len(scores):
        return float("nan")
    which = np.minimum((scores * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(which, scores - good, bins)
    return float(np.abs(gaps).sum() / len(scores))


def fit_platt(log_odds: Floats, good: Bools) -> Calibration:
    """The sigmoid that makes the labels most likely (Platt 1999, with his smoothed targets, by Newton's method: Lin, Lin
    and Weng 2007). Good and bad documents weigh as they come.

    Raises:
        ValueError: when there are not both kinds of documents.
    """
    positives, negatives = int(good.sum()), int((~good).sum())
    if not positives or not negatives:
        raise ValueError("calibration needs good and bad documents")
    target = np.where(good, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, offset = 0.0, float(np.log((positives + 1) / (negatives + 1)))
    loss = _platt_loss(log_odds, target, slope, offset)
    for _ in range(PLATT_STEPS):
        p = 0.5 * (1 + np.tanh(0.5 * (slope * log_odds + offset)))
        weight = p * (1 - p) + 1e-12
        gradient = np.array([np.sum((p - target) * log_odds), np.sum(p - target)])
        if np.abs(gradient).max() < 1e-5:
            break
        a, b, c = np.sum(weight * log_odds**2) + 1e-12, np.sum(weight * log_odds), np.sum(weight) + 1e-12
        step = np.array([c * gradient[0] - b * gradient[1], a * gradient[1] - b * gradient[0]]) / (
            a * c - b * b
        )
        size = 1.0
        while size > 1e-10:
            tried = (slope - size * step[0], offset - size * step[1])
            tried_loss = _platt_loss(log_odds, target, *tried)
            if tried_loss < loss + 1e-4 * size * float(-gradient @ step):
                (slope, offset), loss = (float(tried[0]), float(tried[1])), tried_loss
                break
            size /= 2
        else:
            break
    # A model that ranks bad documents above good ones is not turned over: its card shows the AUC.
    return Calibration(kind="platt", slope=max(slope, 1e-6), offset=offset)


def _platt_loss(log_odds: Floats, target: Floats, slope: float, offset: float) -> float:
    line = slope * log_odds + offset
    return float(np.sum(np.logaddexp(0, line) - target * line))


def fit_isotonic(log_odds: Floats, good: Bools) -> Calibration:
    """The ascending function with the least squared error (pool adjacent violators; Zadrozny and Elkan 2002).

    Raises:
        ValueError: when there are no documents.
    """
    if not len(log_odds):
        raise ValueError("calibration needs documents")
    points, inverse, counts = np.unique(log_odds, return_inverse=True, return_counts=True)
    sums = np.bincount(inverse, good.astype(float), len(points))
    blocks: list[tuple[float, int, int]] = []  # good documents, documents, points
    for total, count in zip(sums.tolist(), counts.tolist(), strict=True):
        blocks.append((total, count, 1))
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last, before = blocks.pop(), blocks.pop()
            blocks.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    means = np.repeat([total / count for total, count, _ in blocks], [size for _, _, size in blocks])
    # Only the ends of level parts are needed to draw the function.
    edge = np.ones(len(points), bool)
    if len(points) > 2:
        edge[1:-1] = (means[1:-1] != means[:-2]) | (means[1:-1] != means[2:])
    return Calibration(
        kind="isotonic", points=tuple(points[edge].tolist()), values=tuple(means[edge].tolist())
    )
