"""What other gateways have with each revision, by what they report: places are shared by all of them."""

from __future__ import annotations

from collections import Counter, defaultdict

from tsuzuri.specialists.messages import Lane, Report
from tsuzuri.specialists.registry.registry import Key

MISSED = 3
"""Reports in a row, after which a gateway is none any more."""


class Others:
    """By the last report of each. `now` is any clock's, the same in every call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said: dict[str, tuple[Report, float]] = {}

    def hear(self, report: Report, now: float) -> None:
        """A gateway says what it has."""
        if report.gateway != self._name:
            self._said[report.gateway] = report, now + MISSED * report.every_ms / 1000

    def look(self, now: float) -> tuple[int, dict[Key, Counter[Lane]]]:
        """How many there are, and what all of them have with each revision, by lane."""
        self._said = {name: said for name, said in self._said.items() if said[1] > now}
        held: defaultdict[Key, Counter[Lane]] = defaultdict(Counter)
        for report, _ in self._said.values():
            for item in report.traffic:
                held[item.specialist, item.revision].update(item.in_flight)
        return len(self._said), held
