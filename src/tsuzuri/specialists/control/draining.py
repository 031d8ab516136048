"""Revisions that are on their way out: nothing new comes, what is there is answered, the workers end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from tsuzuri.specialists.control.standing import Standing
from tsuzuri.specialists.registry.registry import Key

SETTLE_S = 1.0
"""After a route was changed, until gateways that had not read it have sent what they would."""
IDLE_BEATS = 3
"""Of workers that have nothing to do, after which nothing waits for them where that is not known otherwise: a
share group gives at once what there is."""


class Ending(Protocol):
    """What it takes to end workers. None of these may block for long."""

    def drain(self, key: Key) -> None:
        """Let the workers of a revision finish and end."""

    def lag(self, key: Key) -> int:
        """Requests for a revision that nobody has worked off; below 0: it is not known."""

    def forget(self, key: Key) -> None:
        """Remove what was kept for a revision."""


@dataclass(slots=True)
class _Drain:
    began: float
    is_told: bool = False
    is_removed: bool = False
    idle_since: float | None = None
    """Since when its workers have had nothing to do."""


class Drains:
    """All that drain."""

    def __init__(self, standing: Standing, ending: Ending, patience_s: float) -> None:
        """After `patience_s` workers are told to end though requests still wait: those are handed back."""
        self._standing, self._ending, self._patience_s = standing, ending, patience_s
        self._drains: dict[Key, _Drain] = {}

    def __contains__(self, name: str) -> bool:
        """Whether anything of a specialist drains."""
        return any(key[0] == name for key in self._drains)

    def begin(self, key: Key, now: float, *, is_removed: bool = False) -> None:
        """Let a revision drain, and be forgotten then."""
        self._drains[key] = _Drain(now, is_removed=is_removed)
        if (revision := self._standing.registry.descriptors.get(key)) is not None:
            self._standing.decide(msgspec.structs.replace(revision, state="draining"))

    def go_on(self, key: Key) -> None:
        """With what another controller began."""
        self._drains.setdefault(key, _Drain(0.0))

    def stop(self, key: Key) -> bool:
        """It is wanted after all; whether its workers were told to end already."""
        drain = self._drains.pop(key, None)
        return drain is not None and drain.is_told

    def tick(self, now: float) -> list[Key]:
        """Do what is due; the revisions that have gone."""
        return [key for key, drain in list(self._drains.items()) if self._is_over(key, drain, now)]

    def _is_over(self, key: Key, drain: _Drain, now: float) -> bool:
        registry = self._standing.registry
        if not drain.is_told:
            elapsed_s = now - drain.began
            is_late = elapsed_s > self._patience_s or not registry.alive(*key)
            if elapsed_s < SETTLE_S or not (is_late or self._is_empty(key, drain, now)):
                return False
            drain.is_told = True
            if (wanted := registry.wanted.get(key)) is not None:  # so that it can be brought back
                had = wanted.workers or wanted.had
                registry.put_wanted(msgspec.structs.replace(wanted, workers=0, had=had))
            self._ending.drain(key)
        if registry.alive(*key):
            return False
        if drain.is_removed:
            self._ending.forget(key)  # first, for it may have to be tried again
            self._standing.forget(key)
        elif (revision := registry.descriptors.get(key)) is not None:
            self._standing.decide(msgspec.structs.replace(revision, state="gone"))
        del self._drains[key]
        return True

    def _is_empty(self, key: Key, drain: _Drain, now: float) -> bool:
        """Whether nothing waits for a revision any more."""
        lag, beats = self._ending.lag(key), self._standing.registry.alive(*key)
        if lag >= 0:
            return lag == 0
        if any(beat.running or beat.waiting for beat in beats):
            drain.idle_since = None
            return False
        if drain.idle_since is None:
            drain.idle_since = now
        every_s = max((beat.every_ms / 1000 for beat in beats), default=0.0)
        return now - drain.idle_since > IDLE_BEATS * every_s
