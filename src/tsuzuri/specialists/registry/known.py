"""What the registry knows, for any thread: a view, and the lock under which it is read."""

from __future__ import annotations

import threading

from tsuzuri.specialists.messages import Beat, Body, Descriptor, Route, Wanted
from tsuzuri.specialists.registry.view import ROUTE, View


class Known:
    """Everything that was said and still holds, as far as it was heard."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._lock = threading.Condition()

    @property
    def descriptors(self) -> dict[tuple[str, str], Descriptor]:
        """By specialist and revision."""
        with self._lock:
            return {(body.specialist, body.revision): body for body in self._view.of(Descriptor)}

    @property
    def wanted(self) -> dict[tuple[str, str], Wanted]:
        """By specialist and revision."""
        with self._lock:
            return {(body.specialist, body.revision): body for body in self._view.of(Wanted)}

    @property
    def routes(self) -> dict[str, Route]:
        """By alias."""
        said = self.said()
        return {key[len(ROUTE) :]: body for key, body in said.items() if isinstance(body, Route)}

    @property
    def beats(self) -> dict[str, Beat]:
        """The last of every worker that lives, by instance."""
        with self._lock:
            return self._view.beats.alive()

    def has_left(self, instance: str) -> bool:
        """Whether a worker that is heard no more had said that it goes."""
        with self._lock:
            return instance in self._view.beats.left

    @property
    def quiet_s(self) -> float:
        """For how long nobody at all has been heard, neither workers nor who holds a lease."""
        with self._lock:
            return self._view.pulse.quiet_s

    @property
    def ignored(self) -> dict[str, int]:
        """Records that counted for nothing, by reason (`epoch`, `schema`, …)."""
        with self._lock:
            return dict(self._view.ignored)

    def said(self) -> dict[str, Body]:
        """Descriptors, what is wanted, and routes, by key."""
        with self._lock:
            return dict(self._view.said)

    def alive(self, specialist: str, revision: str) -> list[Beat]:
        """The workers of a revision that live, whatever their state."""
        of = (specialist, revision)
        return [beat for beat in self.beats.values() if (beat.specialist, beat.revision) == of]

    def route(self, alias: str) -> Route | None:
        """Who answers for an alias."""
        with self._lock:
            found = self._view.said.get(ROUTE + alias)
        return found if isinstance(found, Route) else None

    def holder(self, lease: str) -> str | None:
        """Who holds a lease; None: nobody who is still heard."""
        with self._lock:
            return self._view.leases.holder(lease)

    def epoch(self, lease: str) -> int:
        """Of the last claim to a lease: another one where it has changed hands. 0: none is known."""
        with self._lock:
            return self._view.leases.epoch(lease)
