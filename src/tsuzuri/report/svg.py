"""Pictures as inline SVG: pure functions from numbers to markup. Colours and fonts are the style sheet's.

A line of many points is drawn as the mean of about a hundred buckets over a band from their smallest to their
largest value: what a training loss does stays visible, and the page stays small whatever the run's length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tsuzuri.report.figures import is_number, short
from tsuzuri.report.markup import Markup, safe

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 26
BUCKETS = 120
COLOURS = 6

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A named line of (x, y) points in rising x."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Scale:
    """A straight map from values `low` … `high` to places `start` … `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of `value`."""
        return self.start + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)


def line_chart(series: Sequence[Series], *, title: str, from_zero: bool = False) -> Markup:
    """Lines over training steps, or an empty string when no series has a finite point."""
    shown = [(index, clean) for index, item in enumerate(series) if (clean := _finite(item))]
    if not shown:
        return Markup("")
    xs = [x for _, item in shown for x, _ in item.points]
    ys = [y for _, item in shown for _, y in item.points]
    ticks = nice_ticks(min(0.0, *ys) if from_zero else min(ys), max(ys))
    x_scale = Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_scale = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    lines = "".join(_line(item, index % COLOURS, x_scale, y_scale) for index, item in shown)
    said = "; ".join(_in_words(item) for _, item in shown)
    return _picture(f"{title}. {said}", _grid(ticks, y_scale) + _steps(x_scale) + lines)


def column_chart(columns: Sequence[tuple[str, float]], *, title: str, unit: str) -> Markup:
    """Labelled columns side by side, or an empty string when there is none of any height."""
    highest = max((value for _, value in columns), default=0)
    if highest <= 0:
        return Markup("")
    ticks = nice_ticks(0, highest)
    y_scale = Scale(0, ticks[-1], HEIGHT - BOTTOM, TOP)
    pitch = (WIDTH - LEFT - RIGHT) / len(columns)
    every = math.ceil(len(columns) / 7)
    parts = [_grid(ticks, y_scale)]
    for index, (label, value) in enumerate(columns):
        left, top = LEFT + index * pitch, y_scale(value)
        words = safe(f"{label}: {value:,.0f} {unit}")
        parts.append(
            f'<rect class="column" x="{left + 0.1 * pitch:.1f}" y="{top:.1f}" width="{0.8 * pitch:.1f}" '
            f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{words}</title></rect>'
        )
        if index % every == 0:
            parts.append(f'<text class="x" x="{left + pitch / 2:.1f}" y="{HEIGHT - 8}">{safe(label)}</text>')
    return _picture(f"{title}. {len(columns)} columns, the highest {highest:,.0f} {unit}", "".join(parts))


def bar(parts: Sequence[tuple[str, float]], whole: float, *, title: str) -> Markup:
    """A row of adjoining (class, amount) parts of `whole`, as wide as the place it is put in."""
    left, rects = 0.0, []
    for name, amount in parts:
        width = 100 * amount / whole if whole else 0.0
        rects.append(f'<rect class="{safe(name)}" x="{left:.2f}%" y="0" width="{width:.2f}%" height="100%"/>')
        left += width
    words = safe(title)
    return Markup(
        f'<svg class="bar" role="img" aria-label="{words}"><title>{words}</title>{"".join(rects)}</svg>'
    )


def waterfall_bar(left: float, before: float, whole: float, *, title: str) -> Markup:
    """What is left after a stage, and beside it in another colour what the stage took away."""
    return bar([("kept", left), ("dropped", max(0.0, before - left))], whole, title=title)


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` + 1 evenly spaced round numbers from at most `low` to at least `high`."""
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-100):
        high = low + (abs(low) if abs(low) > 1e-9 else 1.0)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def _finite(series: Series) -> Series | None:
    points = [(float(x), float(y)) for x, y in series.points if is_number(x) and is_number(y)]
    return Series(series.name, points) if points else None


def _line(series: Series, colour: int, x_scale: Scale, y_scale: Scale) -> str:
    size = math.ceil(len(series.points) / BUCKETS)
    buckets = [series.points[start : start + size] for start in range(0, len(series.points), size)]
    xs = [x_scale(sum(x for x, _ in bucket) / len(bucket)) for bucket in buckets]
    means = [y_scale(sum(y for _, y in bucket) / len(bucket)) for bucket in buckets]
    markup = ""
    if size > 1:
        lowest = [y_scale(min(y for _, y in bucket)) for bucket in buckets]
        highest = [y_scale(max(y for _, y in bucket)) for bucket in buckets]
        outline = [*zip(xs, highest, strict=True), *reversed([*zip(xs, lowest, strict=True)])]
        markup += f'<polygon class="band c{colour}" points="{_places(outline)}"/>'
    markup += f'<polyline class="line c{colour}" points="{_places(list(zip(xs, means, strict=True)))}"/>'
    if len(series.points) <= 30:
        for (x, y), place in zip(series.points, zip(xs, means, strict=True), strict=True):
            words = safe(f"{series.name}, step {x:,.0f}: {y:.4g}")
            centre = f'cx="{place[0]:.1f}" cy="{place[1]:.1f}"'
            markup += f'<circle class="dot c{colour}" {centre} r="2.6"><title>{words}</title></circle>'
    return markup


def _places(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _grid(ticks: Sequence[float], y_scale: Scale) -> str:
    lines = []
    for tick in ticks:
        y = y_scale(tick)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="y" x="{LEFT - 6}" y="{y + 4:.1f}">{short(tick)}</text>')
    return "".join(lines)


def _steps(x_scale: Scale) -> str:
    """Round step numbers under a line chart, the last one named by its unit."""
    ticks = [tick for tick in nice_ticks(x_scale.low, x_scale.high) if x_scale.low <= tick <= x_scale.high]
    words = [
        f'<text class="x{" end" if x_scale(tick) > WIDTH - RIGHT - 14 else ""}" '
        f'x="{x_scale(tick):.1f}" y="{HEIGHT - 8}">{short(tick)}</text>'
        for tick in ticks
    ]
    unit = f'<text class="y" x="{LEFT - 6}" y="{HEIGHT - 8}">step</text>'
    return "".join([unit, *words])


def _in_words(series: Series) -> str:
    (first_x, first_y), (last_x, last_y) = series.points[0], series.points[-1]
    return f"{series.name}: {first_y:.4g} at step {first_x:,.0f}, {last_y:.4g} at step {last_x:,.0f}"


def _picture(description: str, content: str) -> Markup:
    words = safe(description)
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    return Markup(f'<svg class="chart" {box} role="img" aria-label="{words}">{content}</svg>')
