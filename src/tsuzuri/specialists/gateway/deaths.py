"""Which worker has which requests, and what is known of one over which workers have died.

A worker says that it begins with a request before it looks at it, and waits until this is stored, unless the
request is new (`NEW_S`): then the word may be lost with a worker that it kills at once. Nobody else is given
that request before it is old, so that the next one waits, and its word comes late. Therefore a request of
which no word came while it was new, and to whose revision a worker has died since it was sent, counts as one
that this worker may have died of: as one death, however many there were. That may be unjust, as any count of
deaths may be; what was lost in company is tried alone before it is given up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tsuzuri.specialists.gateway.entry import Entry
from tsuzuri.specialists.messages import NEW_S

MOST_LOSSES = 2
"""Workers that may be lost over a request; then it is what kills them, unless others were lost with it: of
these each is tried again alone, one after the other."""
LAST_LOSS = 4
"""Workers lost over a request, whoever else was lost with it."""


class Deaths:
    """By worker, what it has begun with and not said to be done with."""

    def __init__(self) -> None:
        self._held: defaultdict[str, set[Entry]] = defaultdict(set)

    def hold(self, entry: Entry, worker: str) -> None:
        """It begins with it."""
        entry.holders.add(worker)
        self._held[worker].add(entry)

    def let_go(self, entry: Entry, worker: str) -> None:
        """It is done with it."""
        entry.holders.discard(worker)
        if worker in self._held:
            self._held[worker].discard(entry)

    def forget(self, entry: Entry) -> None:
        """It has ended; who still has it need not say so."""
        for worker in entry.holders:
            self._held[worker].discard(entry)

    def lose(self, worker: str, sent: Iterable[Entry], *, now: float, is_death: bool) -> list[Entry]:
        """What a worker had that is lost now; `sent`: all that were sent to its revision, which count as its
        own where they may have been."""
        had = sorted(self._held.pop(worker, ()), key=lambda entry: entry.id)
        for entry in had:
            entry.holders.discard(worker)
            if is_death:
                entry.losses.add(worker)
        if is_death:
            for entry in sent:
                may_be = not entry.is_said and now - entry.opened_at > NEW_S
                entry.may_have_killed |= may_be and worker not in entry.losses
        return had


def suspects(lost: Sequence[Entry]) -> list[Entry]:
    """Of what was lost with one worker, what may be what kills them."""
    return [entry for entry in lost if entry.deaths >= MOST_LOSSES]


def is_poison(entry: Entry, lost: Sequence[Entry]) -> bool:
    """Whether it is, of what was lost with one worker."""
    return entry.deaths >= LAST_LOSS or suspects(lost) == [entry]
