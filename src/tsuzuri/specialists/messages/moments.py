"""Moments and ids."""

from __future__ import annotations

import time
import uuid

NEW_S = 1.0
"""A request that was sent more lately than this has been with nobody who has died since: to see that a worker
is dead, and to give what it had to another, takes every queue more than twice as long."""


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """An id whose order is that of time (UUID version 7, RFC 9562)."""
    value = (now_ms() << 80) | uuid.uuid4().int & ((1 << 80) - 1)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))
