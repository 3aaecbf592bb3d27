"""Charts as inline SVG, drawn by pure functions of numbers.

Every horizontal measure is a percentage and every vertical one a pixel, so that a chart fills whatever width
the page gives it while its type keeps its size. Colours are CSS classes (`kept`, `rejected`, `failed`, ...),
which the style sheet sets for light and dark. Each chart carries a title and a description for those who
cannot see it, and each bar its figures as a tooltip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from pipeline.report.formats import axis, measured, number, percent, plural
from pipeline.report.histograms import Limits
from pipeline.report.hostile import plain
from pipeline.report.model import Histogram

TOP, PLOT, FOOT = 24, 112, 22
"""Heights in pixels: room for the threshold's label, the bars, the axis labels."""
OVERFLOW = 9.0
"""Width, in percent, of the slot for values outside of the edges."""
BREAK = 4.0
"""A bar this many times taller than every other is drawn broken, so that the others can be seen."""


@dataclass(frozen=True)
class Part:
    """A piece of a stacked bar: its CSS class, its count and what it is called."""

    kind: str
    count: float
    name: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a bar chart: label, count, CSS class and an optional remark after the count."""

    label: str
    count: int
    kind: str = "kept"
    remark: str = ""


@dataclass(frozen=True)
class _Bar:
    left: float
    width: float
    count: int
    kind: str
    label: str


class _Threshold(NamedTuple):
    place: float
    text: str
    rejects_left: bool
    in_sight: bool = True


def stacked_bar(parts: Sequence[Part], whole: float, height: int = 14) -> Markup:
    """One bar of the parts of a whole, beside figures that say the same (so screen readers pass over it)."""
    pieces, left = [], 0.0
    for part in parts:
        if part.count <= 0 or whole <= 0:
            continue
        width = 100 * part.count / whole
        tip = f"{part.name}: {number(part.count)} ({percent(part.count, whole)})" if part.name else ""
        pieces.append(_rect(left, 0, max(width, 0.25), height, part.kind, tip))
        left += width
    return Markup(
        '<svg class="bar" width="100%" height="{h}" aria-hidden="true" focusable="false">{body}</svg>'
    ).format(h=height, body=Markup("").join(pieces))


def bar_rows(rows: Sequence[Row], ident: str, title: str, whole: int | None = None) -> Markup:
    """Horizontal bars with label and count above each: top values of a column, sizes of clusters."""
    longest = max((row.count for row in rows), default=0) or 1
    pieces = []
    for index, row in enumerate(rows):
        y = 30 * index
        share = f" ({percent(row.count, whole)})" if whole else ""
        pieces += [
            _text(0, y + 12, "start", plain(row.label, 42), "row-label"),
            _text(100, y + 12, "end", f"{number(row.count)}{share}{row.remark}", "figure"),
            Markup('<rect class="track" x="0" y="{}" width="100%" height="6"/>').format(y + 18),
        ]
        if row.count:
            pieces.append(_rect(0, y + 18, max(100 * row.count / longest, 0.4), 6, row.kind))
    spoken = "; ".join(f"{plain(row.label, 42)}: {number(row.count)}" for row in rows[:20])
    return _frame(ident, title, spoken or "nothing to show", 30 * len(rows), pieces)


def histogram(data: Histogram, limits: Limits, ident: str, title: str) -> Markup:
    """A column's values with the thresholds drawn in and the rejected side shaded."""
    left, right = (OVERFLOW if data.below else 0.0), (100 - OVERFLOW if data.above else 100.0)
    bars = _bars(data, limits, left, right)
    ceiling, broken = _ceiling([bar.count for bar in bars])
    thresholds = _thresholds(data, limits, left, right)
    pieces = [
        *_shading(thresholds),
        *_grid(ceiling),
        *(_column(bar, ceiling) for bar in bars if bar.count),
        Markup('<line class="axis" x1="0" x2="100%" y1="{y}" y2="{y}"/>').format(y=TOP + PLOT),
        *_ticks(data, left, right),
        *(_threshold_line(threshold) for threshold in thresholds),
        *_grid_labels(ceiling, bars, thresholds),
        *(_broken(bar, thresholds) for bar in bars if broken and bar.count > ceiling),
    ]
    return _frame(ident, title, _describe(data, limits), TOP + PLOT + FOOT, pieces)


def rejected_by(data: Histogram, limits: Limits) -> int | None:
    """Documents on the rejected side, exact with `choose_edges`; None if a limit goes through a bin."""
    bars = _bars(data, limits, 0, 100)
    if any(bar.kind == "mixed" and bar.count for bar in bars):
        return None
    return sum(bar.count for bar in bars if bar.kind == "rejected")


def _bars(data: Histogram, limits: Limits, left: float, right: float) -> list[_Bar]:
    edges, kept = data.edges, cuts(data.edges, limits)
    places, names = [_place(edge, data, left, right) for edge in edges], _names(edges)
    bars = [
        _Bar(places[i], places[i + 1] - places[i], count, _side(edges[i], edges[i + 1], kept), names[i])
        for i, count in enumerate(data.counts)
    ]
    if data.below:
        kind = _side(-math.inf, edges[0], kept)
        bars.insert(0, _Bar(1, left - 3, data.below, kind, f"below {measured(edges[0])}"))
    if data.above:
        kind = _side(edges[-1], math.inf, kept)
        bars.append(_Bar(right + 2, 100 - right - 3, data.above, kind, f"above {measured(edges[-1])}"))
    return bars


def cuts(edges: Sequence[float], limits: Limits) -> tuple[float, float]:
    """The edges between which the kept bins lie; infinite where there is no limit.

    `choose_edges` puts a limit on an edge as the column's type has it (0.65 as float32 is 0.649999976; whole
    numbers up to 8 end at 9), so the edge is found by nearness; where none is near, the limit itself is the
    cut.
    """
    low = -math.inf if limits.minimum is None else limits.minimum
    high = math.inf if limits.maximum is None else limits.maximum
    if _whole(edges):
        low = float(math.ceil(low)) if math.isfinite(low) else low
        high = float(math.floor(high) + 1) if math.isfinite(high) else high
    return _nearest(edges, low), _nearest(edges, high)


def _whole(edges: Sequence[float]) -> bool:
    """Whether the bins are those of a whole-number column; the bin from 5 to 9 then holds 5, 6, 7 and 8."""
    return all(float(edge).is_integer() for edge in edges)


def _nearest(edges: Sequence[float], limit: float) -> float:
    if not math.isfinite(limit):
        return limit
    near = [edge for edge in edges if abs(edge - limit) <= 1e-5 * abs(limit) + 1e-30]
    return min(near, key=lambda edge: abs(edge - limit), default=limit)


def _side(low: float, high: float, kept: tuple[float, float]) -> str:
    """Which side of the cuts a bin lies on; `mixed` if one goes through it (never so with `choose_edges`)."""
    if high <= kept[0] or low >= kept[1]:
        return "rejected"
    return "kept" if low >= kept[0] and high <= kept[1] else "mixed"


def _place(value: float, data: Histogram, left: float, right: float) -> float:
    """Where a value lies, in percent of the width."""
    low, high, at = data.edges[0], data.edges[-1], value
    if data.scale == "log":
        low, high, at = math.log1p(low), math.log1p(high), math.log1p(max(at, -0.5))
    return left + (right - left) * (at - low) / (high - low)


def _ceiling(counts: Sequence[int]) -> tuple[float, bool]:
    """The count at the top of the plot, and whether some bar is broken to fit under it."""
    ranked = sorted(counts, reverse=True)
    if not ranked or ranked[0] == 0:
        return 1.0, False
    second = ranked[1] if len(ranked) > 1 else 0
    if second and ranked[0] > BREAK * second:
        return second * 1.6, True
    return float(ranked[0]), False


def _column(bar: _Bar, ceiling: float) -> Markup:
    height = max(2.0, PLOT * min(1.0, bar.count / ceiling))
    gap = min(0.15, bar.width / 6)
    tip = f"{bar.label}: {plural(bar.count, 'document')}"
    return _rect(bar.left + gap, TOP + PLOT - height, max(bar.width - 2 * gap, 0.2), height, bar.kind, tip)


def _broken(bar: _Bar, thresholds: Sequence[_Threshold]) -> Markup:
    """A cut through a bar that is taller than shown, and its count beside it, clear of a threshold's line."""
    cut = Markup('<rect class="cut" x="{:.3f}%" y="{}" width="{:.3f}%" height="4"/>').format(
        max(bar.left - 0.5, 0), TOP + 14, bar.width + 1
    )
    after = bar.left + bar.width
    if after < 70:
        near = [threshold.place for threshold in thresholds if after - 0.1 <= threshold.place < after + 26]
        place, anchor = max([after, *near]) + 1, "start"
    else:
        place, anchor = bar.left - 1, "end"
    kind = f"figure {_halo(place, thresholds)}"
    return cut + _text(place, TOP + 12, anchor, f"{number(bar.count)} documents", kind)


def _halo(place: float, thresholds: Sequence[_Threshold]) -> str:
    """The class that outlines a label in the colour of the ground it stands on."""
    shaded = any((place < t.place) if t.rejects_left else (place > t.place) for t in thresholds)
    return "halo shaded" if shaded else "halo"


def _grid_steps(ceiling: float, most: int = 3) -> list[float]:
    """The counts at which a grid line is drawn: few, round and whole."""
    power = 10.0 ** math.floor(math.log10(max(ceiling, 1) / most))
    steps = [max(1.0, factor * power) for factor in (1, 2, 4, 5, 10)]
    step = next((step for step in steps if ceiling / step < most + 1), steps[-1])
    return [index * step for index in range(1, int(ceiling / step + 1e-9) + 1)]


def _grid(ceiling: float) -> list[Markup]:
    line = Markup('<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
    return [line.format(y=TOP + PLOT - PLOT * count / ceiling) for count in _grid_steps(ceiling)]


def _grid_labels(ceiling: float, bars: Sequence[_Bar], thresholds: Sequence[_Threshold]) -> list[Markup]:
    """Counts on the grid lines, at the end where the bars are lower."""
    first = max((bar.count for bar in bars if bar.left < 15), default=0)
    last = max((bar.count for bar in bars if bar.left + bar.width > 85), default=0)
    place, anchor = (0.0, "start") if first < last else (100.0, "end")
    kind = f"tick {_halo(place, thresholds)}"
    return [
        _text(place, TOP + PLOT - PLOT * count / ceiling - 4, anchor, axis(count), kind)
        for count in _grid_steps(ceiling)
    ]


def _ticks(data: Histogram, left: float, right: float) -> list[Markup]:
    y = TOP + PLOT + 15
    # Where each whole number has a bar of its own, its label stands under the middle of the bar.
    single = (
        _whole(data.edges)
        and data.scale == "linear"
        and len(data.edges) - 1 == data.edges[-1] - data.edges[0]
    )
    last = data.edges[-1] - 1 if single else data.edges[-1]
    pieces = []
    for value in tick_values(data.edges[0], last, data.scale, whole=single):
        place = _place(value + 0.5 * single, data, left, right)
        if (data.above and place > right - 6) or (data.below and place < left + 6):
            continue  # it would run into "more" or "less" on a narrow screen
        anchor = "start" if place < left + 3 else "end" if place > right - 3 else "middle"
        pieces.append(_text(place, y, "middle" if single else anchor, axis(value), "tick"))
        if not single:
            pieces.append(
                Markup('<line class="axis" x1="{x:.3f}%" x2="{x:.3f}%" y1="{a}" y2="{b}"/>').format(
                    x=place, a=TOP + PLOT, b=TOP + PLOT + 4
                )
            )
    if data.below:
        pieces.append(_text(0, y, "start", "less", "tick"))
    if data.above:
        pieces.append(_text(100, y, "end", "more", "tick"))
    return pieces


def tick_values(low: float, high: float, scale: str, most: int = 6, *, whole: bool = False) -> list[float]:
    """About `most` round numbers along an axis; powers of ten (and zero) on a log axis."""
    if low >= high:
        return [low]
    if scale == "log":
        exponents = range(math.ceil(math.log10(max(low, 1))), 19)
        powers = [0.0] * (low == 0) + [10.0**k for k in exponents if 10.0**k <= high]
        kept = powers[:: max(1, math.ceil(len(powers) / most))]
        if len(kept) >= 2:
            return kept
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    steps = [factor * power for factor in (1, 2, 5, 10)]
    step = next((step for step in steps if (high - low) / step <= most), 10 * power)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _thresholds(data: Histogram, limits: Limits, left: float, right: float) -> list[_Threshold]:
    """Where the limits are drawn; one that is out of sight is named at the end that it lies beyond."""
    low, high = cuts(data.edges, limits)
    found = []
    for name, limit, cut in (("min", limits.minimum, low), ("max", limits.maximum, high)):
        if limit is None:
            continue
        text = f"{name} {measured(limit)}"
        if cut < data.edges[0]:
            found.append(_Threshold(0, f"← {text}", name == "min", in_sight=False))
        elif cut > data.edges[-1]:
            found.append(_Threshold(100, f"{text} →", name == "min", in_sight=False))
        else:
            found.append(_Threshold(_place(cut, data, left, right), text, name == "min"))
    return found


def _shading(thresholds: Sequence[_Threshold]) -> list[Markup]:
    pieces = []
    for threshold in thresholds:
        start, width = (
            (0.0, threshold.place) if threshold.rejects_left else (threshold.place, 100 - threshold.place)
        )
        pieces.append(
            Markup('<rect class="shade" x="{:.3f}%" y="{}" width="{:.3f}%" height="{}"/>').format(
                start, TOP, width, PLOT
            )
        )
    return pieces


def _threshold_line(threshold: _Threshold) -> Markup:
    if not threshold.in_sight:
        anchor = "start" if threshold.place == 0 else "end"
        return _text(threshold.place, 14, anchor, threshold.text, "threshold-label")
    line = Markup('<line class="threshold" x1="{x:.3f}%" x2="{x:.3f}%" y1="{a}" y2="{b}"/>').format(
        x=threshold.place, a=6, b=TOP + PLOT
    )
    # The label stands on the kept side, where there is room for it.
    rightwards = threshold.rejects_left if 15 < threshold.place < 85 else threshold.place <= 50
    place, anchor, shift = (threshold.place, "start", 5) if rightwards else (threshold.place, "end", -5)
    return line + _text(place, 14, anchor, threshold.text, "threshold-label", shift)


def _describe(data: Histogram, limits: Limits) -> str:
    """The chart in words."""
    told = [f"{plural(data.documents, 'document')} with a value"]
    known = [("min", limits.minimum), ("max", limits.maximum)]
    drawn = [f"{name} {measured(limit)}" for name, limit in known if limit is not None]
    if drawn:
        told.append("threshold " + ", ".join(drawn))
        outside = rejected_by(data, limits)
        if outside is not None:
            told.append(f"{number(outside)} on the rejected side")
    peak = max(range(len(data.counts)), key=data.counts.__getitem__)
    told.append(f"most often {_names(data.edges)[peak]} ({plural(data.counts[peak], 'document')})")
    for count, where in (
        (data.below, f"below {measured(data.edges[0])}"),
        (data.above, f"above {measured(data.edges[-1])}"),
    ):
        if count:
            told.append(f"{number(count)} {where}")
    if data.nulls:
        told.append(f"{number(data.nulls)} without a value")
    return "; ".join(told) + "."


def _names(edges: Sequence[float]) -> list[str]:
    """What each bin holds, in words."""
    pairs = list(pairwise(edges))
    if not _whole(edges):
        return [f"{measured(low)} to {measured(high)}" for low, high in pairs]
    return [
        measured(low) if high == low + 1 else f"{measured(low)} to {measured(high - 1)}"
        for low, high in pairs
    ]


def _rect(left: float, top: float, width: float, height: float, kind: str, tip: str = "") -> Markup:
    shape = Markup('<rect class="{}" x="{:.3f}%" y="{:.4g}" width="{:.3f}%" height="{:.4g}"').format(
        kind, left, top, width, height
    )
    return shape + (Markup("><title>{}</title></rect>").format(tip) if tip else Markup("/>"))


def _text(place: float, y: float, anchor: str, text: str, kind: str, shift: int = 0) -> Markup:
    moved = Markup(' dx="{}"').format(shift) if shift else Markup("")
    return Markup('<text class="{}" x="{:.3f}%" y="{:.4g}" text-anchor="{}"{}>{}</text>').format(
        kind, place, y, anchor, moved, text
    )


def _frame(ident: str, title: str, description: str, height: int, pieces: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" width="100%" height="{h}" role="img" aria-labelledby="{i}-t {i}-d">'
        '<title id="{i}-t">{t}</title><desc id="{i}-d">{d}</desc>{body}</svg>'
    ).format(h=height, i=ident, t=plain(title), d=plain(description, 2000), body=Markup("").join(pieces))
