"""The page of `mixture tune`: one HTML file that asks for nothing from anywhere, in the style of the run reports."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Final

import jinja2
from markupsafe import Markup

from pipeline.report import formats, hostile
from pipeline.report.charts import tick_values

if TYPE_CHECKING:
    from pipeline.mixture.tune_model import Candidate, HeldOutResult, Tuned

PLOT: Final = 180
"""Height of a plot in pixels."""
TOP: Final = 14
MARGIN: Final = 3.0
"""Percent of the width (and part of the height) that stays free at each side."""


def page(result: Tuned) -> str:
    """The page as text; the same result gives the same page."""
    style = resources.files("pipeline.report").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    names = list(result.bounds.names)
    text: str = _template().render(
        result=result,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704 - our own file
        verdict=verdict(result),
        names=names,
        sets=[each.name for each in result.held_out],
        weights_charts=[weight_chart(result, name, at) for at, name in enumerate(names)],
        fit_charts=[(each, fit_chart(result, each, at)) for at, each in enumerate(result.held_out)],
        ranked=sorted(result.candidates, key=lambda each: each.mean),
        special=[
            ("optimum of the fits, as predicted", result.predicted),
            ("the same, measured", result.checked),
            ("proposed", result.proposal),
        ],
    )
    return text


def verdict(result: Tuned) -> str:
    """The result in one sentence."""
    shares = ", ".join(
        f"{name} {share:.1%}" for name, share in sorted(result.proposal.weights.items(), key=_by_share)
    )
    return f"{shares}: a mean loss of {result.proposal.mean:.4f} nats per token, the least that was measured."


def _by_share(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]


def weight_chart(result: Tuned, name: str, at: int) -> Markup:
    """The mean loss over the share of one component, for all that was tried, and the proposal."""
    tried = [*result.candidates, result.checked]
    points = [(each.weights[name], each.mean, "mixed", _tip(each)) for each in tried]
    points.append((result.proposal.weights[name], result.proposal.mean, "kept", _tip(result.proposal)))
    told = f"Proposed: {result.proposal.weights[name]:.1%}. {len(tried)} sets of weights."
    return _scatter(points, f"weight-{at}", f"Mean loss by the share of {name}", told, f"share of {name}")


def fit_chart(result: Tuned, held: HeldOutResult, at: int) -> Markup:
    """Losses as predicted with the candidate left out of the fit, over those that were measured; the line is agreement."""
    measured = [each.loss[held.name] for each in result.candidates]
    points = [
        (loss, guess, "mixed", _tip(each))
        for loss, guess, each in zip(measured, held.fit.left_out, result.candidates, strict=True)
    ]
    optimum = result.checked.loss[held.name], result.predicted.loss[held.name]
    points.append((*optimum, "kept", _tip(result.checked)))
    told = f"Error where left out: {held.fit.left_out_error:.4f} nats per token."
    title = f"Predicted over measured loss on {held.name}"
    return _scatter(points, f"fit-{at}", title, told, "measured", diagonal=True)


def _tip(each: Candidate) -> str:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in each.weights.items())
    return f"{shares}: {each.mean:.4f}"


def _scatter(
    points: Sequence[tuple[float, float, str, str]],
    ident: str,
    title: str,
    told: str,
    below: str,
    *,
    diagonal: bool = False,
) -> Markup:
    """Points (x, y, style class, tooltip) over axes of their own ranges, or of a common one with its diagonal."""
    across, up = _range([x for x, *_ in points]), _range([y for _, y, *_ in points])
    if diagonal:
        across = up = min(across[0], up[0]), max(across[1], up[1])

    def place(x: float) -> float:
        return MARGIN + (100 - 2 * MARGIN) * (x - across[0]) / (across[1] - across[0])

    def height(y: float) -> float:
        return TOP + PLOT - PLOT * (MARGIN / 100 + (1 - 2 * MARGIN / 100) * (y - up[0]) / (up[1] - up[0]))

    pieces = []
    for value in tick_values(*up, "linear", 4):
        y = height(value)
        pieces.append(Markup('<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>').format(y=y))
        pieces.append(_text(0, y - 3, "start", formats.axis(value)))
    pieces += [
        _text(place(value), TOP + PLOT + 16, "middle", formats.axis(value))
        for value in tick_values(*across, "linear", 5)
    ]
    if diagonal:
        line = '<line class="axis" x1="{:.2f}%" x2="{:.2f}%" y1="{:.1f}" y2="{:.1f}"/>'
        pieces.append(
            Markup(line).format(place(up[0]), place(up[1]), height(up[0]), height(up[1]))  # noqa: S704 - our own text
        )
    dot = Markup('<circle class="{}" cx="{:.3f}%" cy="{:.1f}" r="{}"><title>{}</title></circle>')
    pieces += [
        dot.format(kind, place(x), height(y), 6 if kind == "kept" else 4, hostile.plain(tip, 300))
        for x, y, kind, tip in points
    ]
    pieces.append(_text(100, TOP + PLOT + 32, "end", hostile.plain(below, 60)))
    return Markup(
        '<svg class="chart" width="100%" height="{h}" role="img" aria-labelledby="{i}-t {i}-d">'
        '<title id="{i}-t">{t}</title><desc id="{i}-d">{d}</desc>{body}</svg>'
    ).format(
        h=TOP + PLOT + 38,
        i=ident,
        t=hostile.plain(title),
        d=hostile.plain(told, 500),
        body=Markup("").join(pieces),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _text(place: float, y: float, anchor: str, text: str) -> Markup:
    return Markup('<text class="tick" x="{:.3f}%" y="{:.1f}" text-anchor="{}">{}</text>').format(
        place, y, anchor, text
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": formats.number, "size": formats.size, "label": hostile.label}
    source = resources.files("pipeline.mixture").joinpath("tune_page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)
