from __future__ import annotations

import math

import pytest

from tsuzuri.report.figures import decimals, duration, exact, myriads, percent, short


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (512, ("512", "")),
        (9_999, ("9,999", "")),
        (14_620, ("1.46", "万")),
        (708_123, ("70.8", "万")),
        (69_412_830, ("6,941", "万")),
        (125_000_000, ("1.25", "億")),
        (300_000_000_000, ("3,000", "億")),
        (1.7e12, ("1.70", "兆")),
    ],
)
def test_myriads(value: float, expected: tuple[str, str]) -> None:
    assert myriads(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (8.24, ("8.2", "秒")),
        (89, ("89.0", "秒")),
        (1380, ("23", "分")),
        (5837, ("1.6", "時間")),
        (98 * 86_400, ("98", "日")),
    ],
)
def test_duration(seconds: float, expected: tuple[str, str]) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (0.002, "0.002"),
        (0.0005, "0.0005"),
        (2.5e-5, "2.5e-5"),
        (250, "250"),
        (1500, "1,500"),
        (40_000, "40k"),
        (1.5e6, "1.5M"),
    ],
)
def test_short(value: float, expected: str) -> None:
    assert short(value) == expected


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "12", True])
def test_what_is_no_finite_number_is_a_dash(value: object) -> None:
    assert exact(value) == decimals(value) == "–"


def test_shares() -> None:
    assert percent(1, 3) == "33.3 %"
    assert percent(0, 0) == "–"
