"""Revisions of long ago are forgotten: of those that went, and of those refused, only the last few are kept.

Those can be brought back, or are remembered as refused; each has its topics, with as many partitions as
replicas, and is looked at by everybody who measures.
"""

from __future__ import annotations

from collections import defaultdict

from tsuzuri.serving import logs
from tsuzuri.specialists.control.draining import Ending
from tsuzuri.specialists.control.standing import OVER, Standing
from tsuzuri.specialists.control.succession import Succession
from tsuzuri.specialists.messages import Descriptor, State
from tsuzuri.specialists.registry.registry import Key

KEPT = 3
"""Revisions of a specialist that went, and as many that were refused."""
EVERY_S = 10.0
"""Between two looks; one revision is forgotten at each."""


class Retiring:
    """Of every specialist."""

    def __init__(self, standing: Standing, succession: Succession, ending: Ending) -> None:
        self._standing, self._succession, self._ending = standing, succession, ending
        self._next_at: float | None = None

    def tick(self, now: float) -> None:
        """Forget a revision, if there is one to forget."""
        if self._next_at is None:
            self._next_at = now + EVERY_S  # who has just begun has not heard everybody yet
        if now < self._next_at:
            return
        self._next_at = now + EVERY_S
        for key in self._too_many()[:1]:
            self._ending.forget(key)
            self._standing.forget(key)
            logs.event("forgotten", specialist=key[0], revision=key[1])

    def _too_many(self) -> list[Key]:
        over: defaultdict[tuple[str, State], list[Descriptor]] = defaultdict(list)
        for name, revision in self._standing.registry.descriptors:
            item = self._standing.of((name, revision))
            if item is not None and item.state in OVER and not self._is_of_use((name, revision)):
                over[name, item.state].append(item)
        return [
            (item.specialist, item.revision)
            for items in over.values()
            for item in sorted(items, key=lambda item: item.changed_ms)[:-KEPT]
        ]

    def _is_of_use(self, key: Key) -> bool:
        name, revision = key
        return (
            revision in self._standing.route.shares.get(name, {})
            or revision == self._succession.coming(name)
            or self._standing.is_wanted(key)
            or bool(self._standing.registry.alive(*key))
        )
