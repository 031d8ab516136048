"""How fast a revision answers, as a gateway sees it, and what follows: who is let in, and when silence is too
long. For one event loop."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tsuzuri.serving.engines.base import Overloaded
from tsuzuri.specialists.messages import Lane, Traffic

IN_FLIGHT_PER_SLOT = 2
"""Requests of a lane that are let in for each place that live workers have: one is written, one waits."""
STALL_S = 3.0
STALL_GAPS = 20
"""Times the 99th percentile of the time between two parts; a silence that is longer is a stall."""
FIRST_STALL_S = 30.0
"""The least before the first part: a long prompt takes its time, and a dead worker is known by its beats."""
FIRST_STALL_TIMES = 10
SMOOTHING = 0.1
"""Weight of the newest in the mean time of service."""
KEPT = 512
"""Of each measure, the newest."""
REPORTED = 32
"""Times to the first text in one report."""


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which that share lies (nearest rank); 0 for none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, math.ceil(share * len(ranked)) - 1)] if ranked else 0.0


@dataclass(slots=True)
class Pace:
    """Of one revision of a specialist."""

    slots: int = 0
    """Places of its live workers."""
    in_flight: Counter[Lane] = field(default_factory=Counter)
    """Requests sent to it and not ended."""
    others: Counter[Lane] = field(default_factory=Counter)
    """Those of other gateways, as they said last."""
    gateways: int = 1
    """That share its places."""
    service_s: float = 0.0
    """Mean, from acceptance to the end, of what is written."""
    gaps_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    queued_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    first_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    """From acceptance by the gateway to the first text."""
    total_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    finished: int = 0
    failed: int = 0
    _reported: list[float] = field(default_factory=list)
    _since: Counter[str] = field(default_factory=Counter)
    """Since the last report."""
    _stall: tuple[int, float] = (-1, STALL_S)
    """Gaps seen when it was worked out, and what it was."""
    _gaps: int = 0

    def admit(self, lane: Lane, *, name: str, left_s: float) -> None:
        """Overloaded where one more would wait too long, or too many wait already: all gateways' together, of
        which each may have its part whatever the others have."""
        own, slots = self.in_flight[lane], max(1, self.slots)
        running, most = own + self.others[lane], IN_FLIGHT_PER_SLOT * slots
        wait_s = max(0, running - slots + 1) * self.service_s / slots
        if running >= most and own >= most / self.gateways:
            message = f"{running} requests are with {name}, as many as may"
            raise Overloaded(message, retry_after_s=max(1.0, self.service_s))
        if wait_s > left_s:
            message = f"a request to {name} would wait for {wait_s:.0f} s, and has {left_s:.0f} s"
            raise Overloaded(message, retry_after_s=max(1.0, wait_s - left_s))

    def begin(self, lane: Lane) -> None:
        """A request is sent to it."""
        self.in_flight[lane] += 1
        self._since["sent"] += 1

    def gap(self, seconds: float) -> None:
        """Between two parts of one answer."""
        self.gaps_s.append(seconds)
        self._gaps += 1

    def first(self, seconds: float) -> None:
        """Until the first text of an answer."""
        self.first_s.append(seconds)
        if len(self._reported) < REPORTED:
            self._reported.append(1000 * seconds)

    def waited(self, seconds: float) -> None:
        """So long somebody waited who then went without having seen anything: no less than the others do, it
        is a time to the first text that would have been longer still."""
        if seconds > quantile(self.first_s, 0.95) and len(self._reported) < REPORTED:
            self._reported.append(1000 * seconds)

    def served(self, service_s: float, total_s: float, *, is_text: bool, is_poor: bool) -> None:
        """An answer that ended as it should; a score or a vector is there sooner than a text."""
        if is_text:
            self.service_s += (SMOOTHING if self.service_s else 1.0) * (service_s - self.service_s)
        self.total_s.append(total_s)
        self.finished += 1
        self._since["finished"] += 1
        self._since["poor"] += is_poor

    def blame(self) -> None:
        """An attempt that ended with an error of ours."""
        self.failed += 1
        self._since["failed"] += 1

    def stall_s(self, *, is_streaming: bool) -> float:
        """Silence that is too long."""
        if not is_streaming:
            return max(FIRST_STALL_S, FIRST_STALL_TIMES * max(self.first_s, default=0.0))
        if self._gaps - self._stall[0] > KEPT // 8 or self._gaps < KEPT // 8:
            self._stall = self._gaps, max(STALL_S, STALL_GAPS * quantile(self.gaps_s, 0.99))
        return self._stall[1]

    def report(self, specialist: str, revision: str) -> Traffic | None:
        """What happened since the last report; None: nothing."""
        since, self._since = self._since, Counter()
        first_ms, self._reported = tuple(round(value, 1) for value in self._reported), []
        in_flight = {lane: count for lane, count in self.in_flight.items() if count}
        if not since and not first_ms and not in_flight:
            return None
        return Traffic(
            specialist=specialist,
            revision=revision,
            first_token_ms=first_ms,
            in_flight=in_flight,
            **since,
        )

    def told(self) -> dict[str, float | int]:
        """For people."""
        return {
            "slots": self.slots,
            "in_flight": self.in_flight.total(),
            "finished": self.finished,
            "failed": self.failed,
            **_percentiles("queued_ms", self.queued_s),
            **_percentiles("first_ms", self.first_s),
            **_percentiles("total_ms", self.total_s),
        }


def _percentiles(name: str, values: Sequence[float]) -> dict[str, float]:
    return {
        f"{name}_p50": round(1000 * quantile(values, 0.5), 1),
        f"{name}_p95": round(1000 * quantile(values, 0.95), 1),
    }
