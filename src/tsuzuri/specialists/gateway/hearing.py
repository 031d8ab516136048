"""How much of the time nothing could be heard: a gateway that stood still, or a broker that did, says nothing
about workers."""

from __future__ import annotations

LATE_S = 1.0
"""Between two looks, from which on this process itself has stood still."""
QUIET_S = 2.6
"""Silence of everybody: leases, this gateway's own among them, are renewed every two seconds."""


class Hearing:
    """`now` is any clock's, the same in every call."""

    def __init__(self, now: float) -> None:
        self._looked_at = self._heard_at = now
        self._is_quiet = False

    def heard(self, now: float) -> None:
        """Something came."""
        self._heard_at = now

    def deaf_s(self, now: float, quiet_s: float) -> float:
        """What of the time since the last look does not count, where everybody else has been silent for so
        long; of a silence that is too long by now, all of it."""
        passed_s, self._looked_at = now - self._looked_at, now
        quiet_s, was_quiet = min(quiet_s, now - self._heard_at), self._is_quiet
        self._is_quiet = quiet_s > QUIET_S
        if passed_s > LATE_S:
            return passed_s
        if not self._is_quiet:
            return 0.0
        return passed_s if was_quiet else quiet_s
