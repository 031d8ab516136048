"""Token buckets: so many requests a minute, a minute's worth at once.

They live in the memory of one process: of several processes behind one address each counts for itself, so
that a caller may get as many times the rate. Quotas and budgets are in the database and hold for all
together.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

MOST_BUCKETS = 100_000
"""Kept at once: a few megabytes."""


class RateLimiter:
    """Buckets by name, each of its own rate."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._full_at_s: dict[str, float] = {}  # of buckets that are not full

    def take(self, name: str, *, many: int, per_s: float) -> float:
        """Take one from the bucket of `many` that fills within `per_s` seconds: 0, or the seconds to wait."""
        now_s, each_s = self._clock(), per_s / many
        full_at_s = max(now_s, self._full_at_s.get(name, now_s)) + each_s
        wait_s = full_at_s - now_s - per_s
        if wait_s > each_s * 1e-6:
            return wait_s
        if len(self._full_at_s) >= MOST_BUCKETS:
            self._drop(now_s)
        self._full_at_s[name] = full_at_s
        return 0.0

    def left(self, name: str, *, many: int, per_s: float) -> int:
        """How many are in the bucket."""
        now_s = self._clock()
        missing_s = max(0.0, self._full_at_s.get(name, now_s) - now_s)
        return max(0, int(many - missing_s * many / per_s + 1e-6))

    def _drop(self, now_s: float) -> None:
        """Forget the buckets that are full; where too many are not, the half that is nearest to it."""
        kept = {name: full_at_s for name, full_at_s in self._full_at_s.items() if full_at_s > now_s}
        if len(kept) >= MOST_BUCKETS:
            kept = dict(sorted(kept.items(), key=lambda item: item[1])[MOST_BUCKETS // 2 :])
        self._full_at_s = kept


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that one IPv6 subscriber is given."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a Unix socket's peer, or a test's
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
