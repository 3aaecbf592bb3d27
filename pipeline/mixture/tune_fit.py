"""Which mixtures to try, and what their losses say about others: design, regression and optimum of `mixture tune`.

As in RegMix (Liu et al. 2024, arXiv 2407.01492) mixtures are drawn from Dirichlet distributions around the configured
weights, with a concentration from 0.1 to 5, and the losses that a small model reaches are regressed on the weights. With the
few candidates of one machine the regression is linear in its parameters, with one of three sets of features for each
held-out set; the set whose leave-one-out error is least is used. The exponential law of Ye et al. 2024 (arXiv 2403.16952)
is monotonous in every weight, so that for a held-out set of several kinds of text it has no optimum inside.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from pipeline.errors import UserError

Floats = npt.NDArray[np.float64]

SPREAD: Final = (0.1, 5.0)
"""Least and greatest concentration of the design, RegMix's."""
TRIES: Final = 20
"""Times the number of points: draws after which a design with fewer points is taken (where bounds leave no room)."""
DIGITS: Final = 6
"""Decimals of a weight."""
FLOORS: Final = (0.001, 0.01, 0.1)
"""Added to a weight before its logarithm: a weight of 0 is possible. How fast the loss rises near 0 depends on the sample."""
RIDGE: Final = 1e-6
"""Times the features' variance: keeps features that depend on each other from breaking the fit."""
STARTS: Final = 8
"""Points that the search for the optimum begins at."""


class Bounds(BaseModel, frozen=True):
    """The least and the greatest share of each component."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def check(self) -> None:
        """Refuse bounds that no weights fit.

        Raises:
            UserError: naming the bounds.
        """
        wrong = any(low > high for low, high in zip(self.low, self.high, strict=True))
        if wrong or sum(self.low) > 1 or sum(self.high) < 1 - 1e-9:
            listed = ", ".join(
                f"{name} {low:.4g} to {high:.4g}"
                for name, low, high in zip(self.names, self.low, self.high, strict=True)
            )
            raise UserError(
                f"no weights that add up to 1 are within the bounds: {listed}. A component's greatest share follows "
                "from its tokens, its max_epochs and the mixture's `tokens`."
            )


# ---- design


def project(weights: Sequence[float], bounds: Bounds) -> tuple[float, ...]:
    """The weights scaled by one factor and cut at the bounds, so that they add up to 1; rounded to `DIGITS` decimals."""
    given = np.maximum(np.asarray(weights, np.float64), 1e-9)
    low, high = np.array(bounds.low), np.minimum(np.array(bounds.high), 1.0)
    least, most = -60.0, 60.0  # logarithms of the factor
    for _ in range(200):
        factor = (least + most) / 2
        if np.clip(given * np.exp(factor), low, high).sum() < 1:
            least = factor
        else:
            most = factor
    return rounded(np.clip(given * np.exp(most), low, high), low, high)


def rounded(weights: Floats, low: Floats, high: Floats) -> tuple[float, ...]:
    """Weights as decimals that add up to 1: what rounding leaves goes to the largest weight that has room."""
    values = [round(float(each), DIGITS) for each in weights]
    rest = round(1 - sum(values), DIGITS)
    room = [
        at
        for at in sorted(range(len(values)), key=lambda at: (-values[at], at))
        if low[at] - 1e-9 <= values[at] + rest <= high[at] + 1e-9
    ]
    at = room[0] if room else int(np.argmax(values))
    values[at] = round(values[at] + rest, DIGITS)
    return tuple(values)


def design(configured: Sequence[float], count: int, seed: int, bounds: Bounds) -> list[tuple[float, ...]]:
    """The configured weights and `count - 1` others around them, within the bounds, each once.

    Mixture i is drawn from a Dirichlet distribution whose mean is the configured one; its concentration goes in equal steps of
    the logarithm from the least to the greatest of `SPREAD` (times the number of components).
    """
    random = np.random.Generator(np.random.PCG64(seed))
    base = np.asarray(configured, np.float64) / sum(configured)
    found = [project(list(base), bounds)]
    for at in range(TRIES * (count - 1)):
        if len(found) == count:
            break
        step = at % (count - 1) / max(1, count - 2)
        scale = SPREAD[0] * (SPREAD[1] / SPREAD[0]) ** step
        point = project(list(random.dirichlet(base * scale * len(base))), bounds)
        if point not in found:
            found.append(point)
    return found


# ---- regression


def _linear(weights: Floats) -> Floats:
    return weights


def _logarithmic(weights: Floats, floor: float) -> Floats:
    return np.log(weights + floor)


def _quadratic(weights: Floats, floor: float) -> Floats:
    logs = np.log(weights + floor)
    pairs = itertools.combinations_with_replacement(range(logs.shape[1]), 2)
    return np.column_stack([logs, *(logs[:, a] * logs[:, b] for a, b in pairs)])


FORMS: Final[dict[str, Callable[[Floats], Floats]]] = {
    "linear": _linear,
    **{f"logarithmic {floor:g}": functools.partial(_logarithmic, floor=floor) for floor in FLOORS},
    **{f"quadratic {floor:g}": functools.partial(_quadratic, floor=floor) for floor in FLOORS},
}
"""Features of weights (candidates x components): the weights, their logarithms, and these with their products."""


class Fit(BaseModel, frozen=True):
    """A held-out set's loss as a function of the weights: intercept + sum of coefficients times features."""

    form: str
    intercept: float
    coefficients: tuple[float, ...]
    left_out_error: float
    """Root of the mean squared error of candidates that the fit did not see, each left out once; by their trust."""
    rank_correlation: float | None
    """Spearman's, of those predictions and the measured losses; None where all are equal."""
    left_out: tuple[float, ...]
    """Those predictions, in the order of the candidates."""

    def predict(self, weights: Floats) -> Floats:
        """The losses at weights (points x components)."""
        losses: Floats = self.intercept + FORMS[self.form](weights) @ np.array(self.coefficients)
        return losses


def trust(means: Floats) -> Floats:
    """How much each candidate counts in the fits: 1 for the best, 1/2 for the median, near 0 for those far worse.

    A component that is nearly left out can multiply the loss; the fits have to be right where the losses are low.

    Args:
        means: the candidates' mean losses.
    """
    distance = means - means.min()
    scale = float(np.median(distance))
    return 1 / (1 + (distance / scale) ** 2) if scale > 0 else np.ones(len(means))


def fit(weights: Floats, losses: Floats, trusted: Floats) -> Fit:
    """Fit the losses of candidates by the form with the least leave-one-out error.

    Args:
        weights: candidates x components.
        losses: one for each candidate.
        trusted: how much each candidate counts, see `trust`.

    Raises:
        UserError: for fewer candidates than a line through the weights needs.
    """
    candidates, components = weights.shape
    if candidates < components + 1:
        raise UserError(
            f"{candidates} candidates are too few to fit {components} weights: at least {components + 1} are needed, "
            f"{4 * components} or more are advised."
        )
    fits = []
    for form, features in FORMS.items():
        found = features(weights)
        # Weights add up to 1: as many parameters as components, intercept included, are free in the linear form.
        if form == "linear" or candidates > found.shape[1] + 2:
            fits.append(_fitted(form, found, losses, trusted))
    return min(fits, key=lambda each: each.left_out_error)


def _fitted(form: str, features: Floats, losses: Floats, trusted: Floats) -> Fit:
    """Weighted ridge regression with leave-one-out predictions from the hat matrix."""
    share = trusted / trusted.sum()
    centre, mean = share @ features, float(share @ losses)
    scale = np.sqrt(share @ (features - centre) ** 2)
    scale[scale < 1e-12] = 1.0
    scaled = (features - centre) / scale
    inner = (scaled.T * share) @ scaled + RIDGE * np.eye(scaled.shape[1])
    solver = np.linalg.solve(inner, scaled.T * share)
    coefficients = solver @ (losses - mean)
    leverage = np.minimum(np.einsum("ij,ji->i", scaled, solver) + share, 1 - 1e-6)
    residuals = (losses - mean - scaled @ coefficients) / (1 - leverage)
    left_out = losses - residuals
    unscaled = coefficients / scale
    return Fit(
        form=form,
        intercept=float(mean - centre @ unscaled),
        coefficients=tuple(map(float, unscaled)),
        left_out_error=float(np.sqrt(share @ residuals**2)),
        rank_correlation=rank_correlation(left_out, losses),
        left_out=tuple(map(float, left_out)),
    )


def rank_correlation(a: Floats, b: Floats) -> float | None:
    """Spearman's correlation; None where one of the two is constant."""
    first, second = _ranks(a), _ranks(b)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, equal values with the mean of theirs."""
    _, positions, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Floats = ends - (counts + 1) / 2
    return means[positions]


# ---- optimum


def best_weights(
    fits: Mapping[str, Fit], importance: Mapping[str, float], tried: Floats, bounds: Bounds
) -> tuple[float, ...]:
    """The weights within the bounds at which the weighted mean of the predicted losses is least.

    No component gets a share outside of what was tried of it: there the fits say nothing. The search moves share from one
    component to another, in steps that become smaller, from the best of the candidates tried and from their mean.

    Args:
        fits: per held-out set.
        importance: per held-out set, its weight in the mean.
        tried: the candidates' weights (candidates x components).
        bounds: least and greatest shares.
    """
    low = np.maximum(bounds.low, tried.min(axis=0))
    high = np.minimum(bounds.high, tried.max(axis=0))

    def mean(points: Floats) -> Floats:
        return weighted({name: each.predict(points) for name, each in fits.items()}, importance)

    order = np.argsort(mean(tried), kind="stable")[:STARTS]
    ends = [_descended(point, mean, low, high) for point in [*tried[order], tried.mean(axis=0)]]
    values = mean(np.array(ends))
    return rounded(ends[int(np.argmin(values))], low, high)


def weighted(losses: Mapping[str, Floats], importance: Mapping[str, float]) -> Floats:
    """The weighted mean of losses over the held-out sets."""
    total: Floats = np.sum([importance[name] * each for name, each in losses.items()], axis=0)
    return total / sum(importance[name] for name in losses)


def _descended(start: Floats, value: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """Where a descent ends that moves share between two components at a time."""
    point, step = start.copy(), 0.25
    pairs = list(itertools.permutations(range(len(point)), 2))
    while pairs and step > 1e-6:
        moved = np.repeat(point[None], len(pairs), axis=0)
        for row, (giver, taker) in enumerate(pairs):
            amount = max(0.0, min(step, point[giver] - low[giver], high[taker] - point[taker]))
            moved[row, giver] -= amount
            moved[row, taker] += amount
        values = value(moved)
        best = int(np.argmin(values))
        if values[best] < value(point[None])[0] - 1e-12:
            point = moved[best]
        else:
            step /= 2
    return point
