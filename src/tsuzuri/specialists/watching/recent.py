"""The last minute of a gateway, small enough to be said every second: counts, and times by buckets.

Buckets are 2^(1/8) apart, so that a percentile is at most 4.4 % beside the true one, and those of several
gateways add up. For one event loop; no bus in it.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tsuzuri.specialists.messages import Recent, Routed
from tsuzuri.specialists.registry.registry import Key

WINDOW_S = 60.0
PART_S = 2.0
PARTS = round(WINDOW_S / PART_S)
BUCKETS = 8
"""To a doubling of the time."""
ROUTED = 100
"""Requests of which a gateway knows how they were routed."""


def bucket_of(time_ms: float) -> int:
    """The bucket of a time; all below a millisecond are in the first."""
    return round(BUCKETS * math.log2(max(1.0, time_ms)))


def percentile_ms(buckets: Mapping[int, int], share: float) -> float | None:
    """The middle of the bucket below which that share of the times lies (nearest rank); None of none."""
    rank = math.ceil(share * sum(buckets.values()))
    for bucket in sorted(buckets):
        rank -= buckets[bucket]
        if rank <= 0:
            return float(2 ** (bucket / BUCKETS))
    return None


@dataclass(slots=True)
class _Part:
    """What ended within one part of the time, of one revision."""

    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    first_ms: Counter[int] = field(default_factory=Counter)
    total_ms: Counter[int] = field(default_factory=Counter)


class LastMinute:
    """What ended in it, by revision, and how the last requests were routed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = self._number()
        self._parts: dict[int, dict[Key, _Part]] = {}
        self.routed: deque[Routed] = deque(maxlen=ROUTED)
        """The newest first."""

    def note(
        self,
        key: Key,
        outcome: str,
        *,
        tokens: int = 0,
        first_s: float | None = None,
        total_s: float | None = None,
    ) -> None:
        """A request has ended."""
        part = self._parts.setdefault(self._number(), {}).setdefault(key, _Part())
        part.outcomes[outcome] += 1
        part.tokens += tokens
        if first_s is not None:
            part.first_ms[bucket_of(1000 * first_s)] += 1
        if total_s is not None:
            part.total_ms[bucket_of(1000 * total_s)] += 1

    def told(self, in_flight: Mapping[Key, int]) -> tuple[Recent, ...]:
        """Of every revision that has requests now, or had some in the last minute."""
        now = self._number()
        first = max(self._begun, now - PARTS + 1)
        for number in [number for number in self._parts if number < first]:
            del self._parts[number]
        keys = {key for key, count in in_flight.items() if count}
        keys |= {key for part in self._parts.values() for key in part}
        return tuple(self._recent(key, in_flight.get(key, 0), range(first, now + 1)) for key in sorted(keys))

    def _recent(self, key: Key, in_flight: int, numbers: range) -> Recent:
        parts = [self._parts.get(number, {}).get(key) or _Part() for number in numbers]
        return Recent(
            specialist=key[0],
            revision=key[1],
            in_flight=in_flight,
            outcomes=dict(sum((part.outcomes for part in parts), Counter())),
            tokens=sum(part.tokens for part in parts),
            each=tuple(part.outcomes.total() for part in parts),
            first_ms=dict(sum((part.first_ms for part in parts), Counter())),
            total_ms=dict(sum((part.total_ms for part in parts), Counter())),
        )

    def _number(self) -> int:
        return int(self._clock() / PART_S)
