"""Who lives, by when its words arrived here: no clock but the reader's own has a say in it.

A bus that is silent as a whole (a broker that pauses, a reader that was stopped) is no death: silence counts
only while somebody else is heard. Where nobody at all is heard, it counts after all once it has lasted long.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from tsuzuri.specialists.messages import Beat

STALE_BEATS = 3
"""Intervals of silence after which somebody is dead."""
GAP_BEATS = 1.5
"""Of the shortest interval: more than this of a silence of everybody does not count."""
PATIENCE = 5
"""So many times the allowed silence is death, whatever else is heard."""
DEFAULT_EVERY_S = 2.0
REMEMBERED = 256
"""Workers that said that they go, of which that is still known."""

Clock = Callable[[], float]


class Pulse:
    """A clock that runs while the bus is heard. Not for several threads at once."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._heard_s, self._last = 0.0, clock()
        self._every_s: dict[str, float] = {}

    def hear(self) -> tuple[float, float]:
        """Something arrived: the moment, by this clock and by the real one."""
        self._heard_s, self._last = self._now(), self._clock()
        return self._heard_s, self._last

    @property
    def quiet_s(self) -> float:
        """For how long nobody at all has been heard."""
        return self._clock() - self._last

    def is_silent(self, since: tuple[float, float], allowed_s: float) -> bool:
        """Whether whoever was last heard at a moment has been silent for longer than is allowed."""
        heard, real = since
        return self._now() - heard > allowed_s or self._clock() - real > PATIENCE * allowed_s

    def expect(self, name: str, every_s: float | None) -> None:
        """How often somebody speaks; None: no more."""
        if every_s is None:
            self._every_s.pop(name, None)
        else:
            self._every_s[name] = every_s

    def _now(self) -> float:
        gap = GAP_BEATS * min(self._every_s.values(), default=DEFAULT_EVERY_S)
        return self._heard_s + min(self._clock() - self._last, gap)


class Beats:
    """The workers that live, by their beats."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._beats: dict[str, tuple[Beat, tuple[float, float]]] = {}
        self.left: deque[str] = deque(maxlen=REMEMBERED)
        """Who said that it goes."""

    def take(self, beat: Beat) -> bool:
        """Note a beat; whether anything but its figures is new."""
        old = self._beats.get(beat.instance)
        if beat.state == "gone":
            self._forget(beat.instance)
            self.left.append(beat.instance)
            return old is not None
        self._pulse.expect(beat.instance, beat.every_ms / 1000)
        self._beats[beat.instance] = beat, self._pulse.hear()
        return old is None or old[0].state != beat.state

    def alive(self) -> dict[str, Beat]:
        """By instance."""
        return {name: beat for name, (beat, since) in self._beats.items() if not self._is_dead(beat, since)}

    def bury(self) -> list[str]:
        """The instances that have died since the last time."""
        dead = [name for name, (beat, since) in self._beats.items() if self._is_dead(beat, since)]
        for name in dead:
            self._forget(name)
        return dead

    def _is_dead(self, beat: Beat, since: tuple[float, float]) -> bool:
        return self._pulse.is_silent(since, STALE_BEATS * beat.every_ms / 1000)

    def _forget(self, name: str) -> None:
        self._beats.pop(name, None)
        self._pulse.expect(name, None)
