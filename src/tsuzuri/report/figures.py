"""Numbers as people read them: exact with separators, short for axes, in myriads for Japanese headlines."""

from __future__ import annotations

import math
from typing import Any


def exact(value: Any) -> str:
    """`1,234,567`, or a dash for what is not a finite number."""
    if not is_number(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}"


def decimals(value: Any, places: int = 3) -> str:
    """`4.123`, or a dash for what is not a finite number."""
    return f"{value:,.{places}f}" if is_number(value) else "–"


def percent(part: float, whole: float) -> str:
    """`12.3 %`, or a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def short(value: float) -> str:
    """A tick of an axis: `250`, `40k`, `1.5M`, `0.006`."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 or not value else f"{value:.1e}".replace("e-0", "e-")


def myriads(value: float) -> tuple[str, str]:
    """A number of three or four digits and its Japanese unit: `("708", "万")`, `("1.25", "億")`."""
    for size, unit in ((1e12, "兆"), (1e8, "億"), (1e4, "万")):
        if abs(value) >= size:
            scaled = value / size
            return (
                f"{scaled:,.2f}" if scaled < 10 else f"{scaled:,.1f}" if scaled < 100 else f"{scaled:,.0f}",
                unit,
            )
    return (f"{value:,.0f}" if value == int(value) else f"{value:.3g}"), ""


def duration(seconds: float) -> tuple[str, str]:
    """A time and its Japanese unit: `("8.2", "秒")`, `("23", "分")`, `("1.6", "時間")`, `("98", "日")`."""
    for size, unit in ((86_400 * 3, "日"), (5_400, "時間"), (90, "分")):
        if seconds >= size:
            scaled = seconds / {"日": 86_400, "時間": 3_600, "分": 60}[unit]
            return f"{scaled:.1f}" if scaled < 10 else f"{scaled:,.0f}", unit
    return f"{seconds:.1f}", "秒"


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number (JSON knows NaN through Python alone; a diverged run has it)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
