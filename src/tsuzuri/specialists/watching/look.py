"""What the broker knows of an installation and the registry does not: lags, dead letters, what gateways say.

May be called from any thread; `measure` asks the broker and blocks.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.specialists.bus.base import Bus, Lag, Record
from tsuzuri.specialists.dead_letters import MARK, REASON
from tsuzuri.specialists.messages import Figures, now_ms
from tsuzuri.specialists.registry.registry import Key, Registry
from tsuzuri.specialists.topics import Topics

FORGOTTEN_S = 15.0
"""After which a gateway that says nothing more is not there any more."""


class Look:
    """As it was when last looked at, or heard."""

    def __init__(
        self, bus: Bus, topics: Topics, registry: Registry, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bus, self._topics, self._registry, self._clock = bus, topics, registry, clock
        self.lags: dict[Key, Lag] = {}
        self.measured_ms = 0
        """When; Unix time."""
        self.trouble = ""
        """What the broker said in place of an answer, when it was last asked; none: it answered."""
        self._lock = threading.Lock()
        self._letters: dict[str, str] = {}
        """Place → reason."""
        self._heard: dict[str, tuple[Figures, float]] = {}
        registry.on_figures(self._hear)
        bus.on_lost(self._lose)
        self._following = bus.follow(topics.dead_letters, self._read, begin="beginning", is_urgent=False)

    @property
    def dead_letters(self) -> dict[str, int]:
        """That nobody has replayed or dropped, by reason."""
        with self._lock:
            return dict(Counter(self._letters.values()))

    @property
    def figures(self) -> dict[str, tuple[Figures, float]]:
        """What each gateway said last, and for how many seconds it has said nothing since."""
        now = self._clock()
        with self._lock:
            self._heard = {name: heard for name, heard in self._heard.items() if now - heard[1] < FORGOTTEN_S}
            return {name: (figures, now - at) for name, (figures, at) in sorted(self._heard.items())}

    def measure(self) -> None:
        """Ask the broker what waits; where it does not answer, that is noted and what was known stays."""
        try:
            self.measured_ms, self.lags = now_ms(), self._measured()
            self.trouble = ""
        except TsuzuriError as error:
            self.trouble = error.message

    def close(self) -> None:
        """Look no more."""
        self._following.close()

    def _measured(self) -> dict[Key, Lag]:
        found = {}
        there, beats = self._bus.topics(), self._registry.beats
        for key in {(beat.specialist, beat.revision) for beat in beats.values()} | {
            *self._registry.descriptors
        }:
            lanes = [name for name in self._topics.lanes(*key) if name in there]
            if lanes:
                lags = list(self._bus.lag(self._topics.group(*key), lanes).values())
                oldest_ms = min((lag.oldest_ms for lag in lags if lag.oldest_ms), default=0)
                is_known = all(lag.records >= 0 for lag in lags)
                found[key] = Lag(sum(lag.records for lag in lags) if is_known else -1, oldest_ms)
        return found

    def _hear(self, figures: Figures) -> None:
        with self._lock:
            self._heard[figures.gateway] = figures, self._clock()

    def _lose(self, identity: str) -> None:
        with self._lock:
            self._letters.clear()

    def _read(self, records: Sequence[Record]) -> None:
        with self._lock:
            for record in records:
                headers = dict(record.headers)
                if MARK in headers:
                    self._letters.pop(headers[MARK].decode("ascii", "replace"), None)
                else:
                    reason = headers.get(REASON, b"unknown").decode("utf-8", "replace")
                    self._letters[f"{record.partition}-{record.offset}"] = reason
