"""Moments and ids."""

from __future__ import annotations

import time
import uuid


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """An id whose order is that of time (UUID version 7, RFC 9562)."""
    value = (now_ms() << 80) | uuid.uuid4().int & ((1 << 80) - 1)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))
