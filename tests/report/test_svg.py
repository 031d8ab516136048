from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tsuzuri.report.svg import (
    BUCKETS,
    HEIGHT,
    WIDTH,
    Series,
    bar,
    column_chart,
    line_chart,
    nice_ticks,
    waterfall_bar,
)

numbers = st.floats(-1e12, 1e12).map(lambda value: 0.0 if abs(value) < 1e-6 else value)


def places(svg: str, tag: str) -> list[tuple[float, float]]:
    points = etree.fromstring(svg).find(tag).get("points")
    return [tuple(map(float, pair.split(","))) for pair in points.split()]


@given(numbers, numbers)
def test_ticks_enclose_their_values_evenly(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    ticks = nice_ticks(low, high)
    span = max(abs(low), abs(high), ticks[-1] - ticks[0])
    assert ticks[0] <= low + 1e-8 * span
    assert ticks[-1] >= high - 1e-8 * span
    assert 2 <= len(ticks) <= 7
    steps = [after - before for before, after in itertools.pairwise(ticks)]
    assert min(steps) > 0
    assert max(steps) == pytest.approx(min(steps), rel=1e-6)


def test_ticks_are_round() -> None:
    assert nice_ticks(0, 1834) == [0, 500, 1000, 1500, 2000]
    assert nice_ticks(3.1, 3.9) == [3.0, 3.2, 3.4, 3.6, 3.8, 4.0]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e6, 1e6)), min_size=1, max_size=400))
def test_a_line_stays_inside_its_picture(points: list[tuple[int, float]]) -> None:
    svg = line_chart([Series("loss", sorted(points))], title="損失")
    line = places(svg, "polyline")
    assert len(line) <= BUCKETS
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)
    assert [x for x, _ in line] == sorted(x for x, _ in line)


def test_a_falling_loss_falls_in_the_picture_too() -> None:
    line = places(line_chart([Series("loss", [(1, 9.0), (2, 5.0), (3, 4.0)])], title="損失"), "polyline")
    assert line[0][1] < line[1][1] < line[2][1]  # SVG counts y downwards


def test_many_points_become_means_over_a_band() -> None:
    noisy = [(step, 4.0 + (-1) ** step) for step in range(1200)]
    svg = line_chart([Series("loss", noisy)], title="損失")
    assert len(places(svg, "polyline")) == BUCKETS
    assert len({y for _, y in places(svg, "polyline")}) == 1
    assert len({y for _, y in places(svg, "polygon")}) == 2


def test_what_is_no_finite_number_is_left_out() -> None:
    svg = line_chart([Series("loss", [(1, 9.0), (2, math.nan), (3, math.inf), (4, 4.0)])], title="損失")
    assert len(places(svg, "polyline")) == 2
    assert "nan" not in svg


@pytest.mark.parametrize("points", [[], [(1, math.nan)]])
def test_nothing_to_draw_is_no_picture(points: list[tuple[float, float]]) -> None:
    assert line_chart([Series("loss", points)], title="損失") == ""
    assert column_chart([], title="長さ", unit="documents") == ""


def test_a_picture_says_its_numbers_in_words() -> None:
    svg = line_chart([Series("loss", [(1, 9.0), (600, 4.25)])], title="損失")
    assert etree.fromstring(svg).get("aria-label") == "損失. loss: 9 at step 1, 4.25 at step 600"


def test_columns_are_as_high_as_their_numbers() -> None:
    svg = column_chart([("≤250", 10), ("≤500", 40), ("≤1k", 20)], title="長さ", unit="documents")
    heights = [float(rect.get("height")) for rect in etree.fromstring(svg).findall("rect")]
    assert heights[1] == pytest.approx(4 * heights[0], abs=0.2)
    assert heights[2] == pytest.approx(2 * heights[0], abs=0.2)


def test_a_waterfall_shows_what_is_left_and_what_went() -> None:
    svg = etree.fromstring(waterfall_bar(60, 80, 100, title="length"))
    assert [(rect.get("class"), rect.get("x"), rect.get("width")) for rect in svg.findall("rect")] == [
        ("kept", "0.00%", "60.00%"),
        ("dropped", "60.00%", "20.00%"),
    ]


def test_titles_cannot_break_out() -> None:
    evil = '"><script>alert(1)</script>'
    for svg in (
        bar([("kept", 1)], 1, title=evil),
        line_chart([Series(evil, [(1, 1.0)])], title=evil),
        column_chart([(evil, 1)], title=evil, unit=evil),
    ):
        assert not list(etree.fromstring(svg).iter("script"))
