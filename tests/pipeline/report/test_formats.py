from __future__ import annotations

import math

import pytest

from pipeline.report import formats


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (1228, "1,228"), (6_300_000_000, "6,300,000,000")])
def test_counts_have_thousands_separators(count: int, text: str) -> None:
    assert formats.number(count) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (612, 1228, "49.8%"),
        (0, 10, "0%"),
        (10, 10, "100%"),
        (1, 10**6, "<0.1%"),
        (10**6 - 1, 10**6, ">99.9%"),
        (0, 0, "–"),
        (3, 0, "–"),
    ],
)
def test_a_share_never_rounds_something_away(part: int, whole: int, text: str) -> None:
    assert formats.percent(part, whole) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (38_200_000, "38.2 MB"),
        (999_999, "1.00 MB"),
        (512_000_000_000, "512 GB"),
        (10**18, "1000 PB"),
    ],
)
def test_sizes_have_three_figures(count: int, text: str) -> None:
    assert formats.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (9.999, "10.0 s"),
        (59.96, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.6, "1 h 00 min"),
        (3840, "1 h 04 min"),
        (183_600, "2 d 03 h"),
    ],
)
def test_times_never_show_sixty_of_anything(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "no value"),
        (math.nan, "no value"),
        (math.inf, "infinite"),
        (-math.inf, "−infinite"),
        (True, "true"),
        (100000, "100,000"),
        (0.65, "0.65"),
        (0.6499999761581421, "0.65"),
        (0.010000000000000002, "0.01"),
        (1234.5678, "1,235"),
        (0.00002, "2e-05"),
        (-3.25, "-3.25"),
        ("en", "en"),
        (1e300, "1e+300"),
    ],
)
def test_measured_values_have_four_figures(value: float | str | None, text: str) -> None:
    assert formats.measured(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (1000, "1,000"), (20000, "20k"), (3e6, "3M"), (5e9, "5B"), (2e12, "2T")],
)
def test_axis_labels_are_short(value: float, text: str) -> None:
    assert formats.axis(value) == text


def test_rates_and_nouns() -> None:
    assert formats.rate(1228, 0) == "–"
    assert formats.rate(1228, 18.9) == "65.0"
    assert formats.rate(50_000, 2) == "25,000"
    assert formats.plural(1, "document") == "1 document"
    assert formats.plural(1228, "document has", "documents have") == "1,228 documents have"
