from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report.charts import Part, Row, bar_rows, histogram, rejected_by, stacked_bar, tick_values
from pipeline.report.histograms import choose_edges, count_values, limits_of
from pipeline.report.model import Histogram


def counted(values: list[float], bound: str, dtype: type = np.float64) -> Histogram:
    column = np.array(values, dtype)
    edges, scale = choose_edges(float(np.nanmin(column)), float(np.nanmax(column)), bound, dtype=dtype)
    counts, below, above, nulls = count_values(column, edges)
    return Histogram(
        edges=edges.tolist(), counts=counts.tolist(), scale=scale, below=below, above=above, nulls=nulls
    )


def draw(data: Histogram, bound: str) -> ET.Element:
    return ET.fromstring(histogram(data, limits_of(bound), "c", "a rule"))  # noqa: S314 - our own markup


def bars(chart: ET.Element, kind: str) -> list[ET.Element]:
    return [rect for rect in chart.iter("rect") if rect.get("class") == kind]


def texts(chart: ET.Element, kind: str) -> list[str]:
    return [text.text or "" for text in chart.iter("text") if kind in (text.get("class") or "").split()]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
@pytest.mark.parametrize(
    ("bound", "rejected"),
    [
        ("min 2", 2),
        ("max 8", 1),
        ("min 2, max 8", 3),
        ("min 0", 0),
        ("max 0", 8),
        ("in [en]", 0),
        ("min 2000", 9),
    ],
)
def test_the_rejected_side_holds_what_the_rule_rejects(dtype: type, bound: str, rejected: int) -> None:
    data = counted([0, 1, 2, 2, 3, 5, 7, 8, 9], bound, dtype)
    assert rejected_by(data, limits_of(bound)) == rejected
    chart = draw(data, bound)
    assert bool(bars(chart, "rejected")) == (rejected > 0)
    assert bool(bars(chart, "kept")) == (rejected < 9)
    assert not bars(chart, "mixed")


def test_a_limit_is_found_although_the_bound_is_written_with_six_figures() -> None:
    data = counted([1e6, 1234566, 1234567, 1234568, 2e6], "min 1234567")
    assert rejected_by(data, limits_of("min 1.23457e+06")) == 2


def test_edges_that_are_not_ours_are_not_shaded_wrongly() -> None:
    data = Histogram(edges=[0, 0.5, 1], counts=[3, 4])
    assert rejected_by(data, limits_of("min 0.65")) is None
    assert len(bars(draw(data, "min 0.65"), "mixed")) == 1


def test_the_threshold_is_drawn_and_named() -> None:
    chart = draw(counted([0.1, 0.5, 0.9], "min 0.65"), "min 0.65")
    (line,) = [line for line in chart.iter("line") if line.get("class") == "threshold"]
    (shade,) = bars(chart, "shade")
    assert line.get("x1") == shade.get("width")
    assert texts(chart, "threshold-label") == ["min 0.65"]


@pytest.mark.parametrize(("bound", "label"), [("max 1000", "max 1,000 →"), ("min -1000", "← min -1,000")])
def test_a_threshold_out_of_sight_is_named_at_its_end(bound: str, label: str) -> None:
    chart = draw(counted([0.1, 0.5, 0.9], bound), bound)
    assert texts(chart, "threshold-label") == [label]
    assert not [line for line in chart.iter("line") if line.get("class") == "threshold"]


def test_one_tall_bar_is_broken_and_numbered() -> None:
    chart = draw(counted([0.0] * 1000 + [0.5] * 20 + [0.7] * 10, "max 0.6"), "max 0.6")
    assert "1,000 documents" in texts(chart, "figure")
    heights = sorted((float(rect.get("height") or 0) for rect in bars(chart, "kept")), reverse=True)
    assert heights[1] > heights[0] / 2  # the 20 can be seen beside the 1,000


def test_whole_numbers_are_labelled_under_their_bars() -> None:
    chart = draw(counted([0, 1, 2, 3, 4], "min 2", np.int32), "min 2")
    assert texts(chart, "tick")[:5] == ["0", "1", "2", "3", "4"]
    assert "2: 1 document" in [title.text for title in chart.iter("title")]


def test_values_beyond_the_edges_have_their_own_bars() -> None:
    data = Histogram(edges=[0, 1, 2], counts=[5, 6], below=3, above=4, nulls=2)
    chart = draw(data, "min 0, max 2")
    assert {"less", "more"} <= set(texts(chart, "tick"))
    description = chart.findtext("desc") or ""
    for told in ("18 documents with a value", "3 below 0", "4 above 2", "2 without a value"):
        assert told in description


def test_charts_name_themselves_to_those_who_cannot_see_them() -> None:
    chart = draw(counted([0.1, 0.5, 0.9], "min 0.65"), "min 0.65")
    assert chart.get("role") == "img"
    ids = {element.get("id") for element in chart.iter() if element.get("id")}
    assert set((chart.get("aria-labelledby") or "").split()) == ids == {"c-t", "c-d"}
    assert "2 on the rejected side" in (chart.findtext("desc") or "")


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.one_of(st.floats(-1e6, 1e9, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=40),
    st.sampled_from(["", "min 0.65", "max 0", "min 50, max 100000", "max 1e6", "in [en]"]),
)
def test_any_histogram_makes_a_chart_inside_its_frame(values: list[float], bound: str) -> None:
    data = counted(values, bound)
    chart = draw(data, bound)
    for rect in chart.iter("rect"):
        left, width = (float((rect.get(name) or "0").rstrip("%")) for name in ("x", "width"))
        assert left >= -0.5
        assert left + width <= 101.5
        assert 0 <= float(rect.get("y") or 0) <= 140
    for text in chart.iter("text"):
        assert -0.1 <= float((text.get("x") or "").rstrip("%")) <= 100.1


def test_an_empty_histogram_makes_a_chart() -> None:
    chart = draw(Histogram(edges=[0, 1], counts=[0], nulls=7), "min 0.5")
    assert "7 without a value" in (chart.findtext("desc") or "")


def test_stacked_bars_fill_their_share() -> None:
    bar = ET.fromstring(stacked_bar([Part("kept", 60, "kept"), Part("rejected", 20), Part("failed", 0)], 100))  # noqa: S314
    assert [(rect.get("x"), rect.get("width")) for rect in bar.iter("rect")] == [
        ("0.000%", "60.000%"),
        ("60.000%", "20.000%"),
    ]
    assert bar.get("aria-hidden") == "true"
    assert "rect" not in stacked_bar([Part("kept", 0)], 0)


def test_labels_cannot_break_out() -> None:
    chart = bar_rows([Row('</text><script>alert("x")</script>\u202e', 3, "kept")], "v", "<b>title</b>\x00")
    parsed = ET.fromstring(chart)  # noqa: S314
    assert {element.tag for element in parsed.iter()} == {"svg", "title", "desc", "text", "rect"}
    assert "\u202e" not in chart


@pytest.mark.parametrize(
    ("low", "high", "scale", "ticks"),
    [
        (0, 1, "linear", [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.4, 1, "linear", [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        (0, 2000, "log", [0, 1, 10, 100, 1000]),
        (40, 200_000, "log", [100, 1000, 10_000, 100_000]),
        (0, 1e12, "log", [0, 100, 1e5, 1e8, 1e11]),
        (110, 900, "log", [200, 400, 600, 800]),
        (5, 5, "linear", [5]),
    ],
)
def test_ticks_are_few_and_round(low: float, high: float, scale: str, ticks: list[float]) -> None:
    assert tick_values(low, high, scale) == pytest.approx(ticks)


def test_ticks_of_whole_numbers_are_whole() -> None:
    assert all(math.isclose(tick % 1, 0) for tick in tick_values(0, 2, "linear", whole=True))
