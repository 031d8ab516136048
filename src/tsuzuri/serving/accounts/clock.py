"""Moments and periods: milliseconds since 1970, and days and months by the clock of the configuration."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def day_of(at_ms: int, offset_h: float) -> str:
    """The day of a moment, as 2026-11-23; its first seven characters are the month."""
    return _local(at_ms, offset_h).strftime("%Y-%m-%d")


def next_day_ms(at_ms: int, offset_h: float) -> int:
    """When the next day begins."""
    shift_ms = round(offset_h * HOUR_MS)
    return (at_ms + shift_ms) // DAY_MS * DAY_MS + DAY_MS - shift_ms


def next_month_ms(at_ms: int, offset_h: float) -> int:
    """When the next month begins."""
    first = _local(at_ms, offset_h).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return int(following.timestamp() * 1000) - round(offset_h * HOUR_MS)


def seconds(at_ms: int | None) -> int | None:
    """A moment as the API tells it: whole seconds since 1970."""
    return None if at_ms is None else at_ms // 1000


def _local(at_ms: int, offset_h: float) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC) + timedelta(hours=offset_h)
