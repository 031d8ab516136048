"""What a queue's consumers have read: what waits, what is out, how far each partition is worked off.

Partitions that are taken away take with them what is buffered and what is out: it is another's by now, and
an acknowledgement that comes late is ignored. Partitions that are lent keep what is out; who reads them then
parks the records of which it hears that somebody has them, until they are done or whoever has them goes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tsuzuri.specialists.bus.base import Place, Position, Record

BUFFERED_RECORDS, LOW_RECORDS = 1024, 512
"""Of a topic, read and not given yet: from so many on it is full, below so many it is low."""
BUFFERED_BYTES = 16 * 1024 * 1024
OURS = ""
"""The lender of what this queue has lent itself, and reads again."""


@dataclass(slots=True, eq=False)
class Partition:
    """One that is ours, for as long as it is."""

    place: Place
    unfinished: deque[int] = field(default_factory=deque)
    """Offsets in the order in which they came, from the first that is not worked off."""
    done: set[int] = field(default_factory=set)
    finished: int = -1
    """What stands before is worked off."""
    committed: int = -1
    is_lent: bool = False

    def finish(self, offset: int) -> None:
        """One record is worked off."""
        self.done.add(offset)
        while self.unfinished and self.unfinished[0] in self.done:
            first = self.unfinished.popleft()
            self.done.remove(first)
            self.finished = first + 1


@dataclass(slots=True, eq=False)
class Given:
    """A record that came, until it is worked off; another one each time it is given."""

    partition: Partition
    record: Record
    deliveries: int = 1
    not_before: float = 0.0

    @property
    def position(self) -> Position:
        """Where it stands."""
        return (*self.partition.place, self.record.offset)


class Buffer:
    """Shared by the threads that read and those that work."""

    def __init__(self, topics: Sequence[str], capacity: int) -> None:
        self._topics, self._capacity = tuple(topics), capacity
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[Given]] = {topic: deque() for topic in topics}
        self._bytes = dict.fromkeys(topics, 0)
        self._released: list[Given] = []
        self._out: set[Given] = set()
        self._partitions: dict[Place, Partition] = {}
        self._elsewhere: dict[Position, str] = {}
        """Records that others have, and who."""
        self._parked: dict[Position, tuple[Given, str]] = {}
        """Of those, what is read of partitions that are ours."""
        self._is_closing = False

    def take(self, timeout_s: float) -> Given | None:
        """The next to work off; None where none came in time, or all is being closed."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while not self._is_closing:
                given, due = self._next()
                if given is not None:
                    self._out.add(given)
                    return given
                now = time.monotonic()
                if now >= until:
                    return None
                self._changed.wait(min(until, due) - now)
            return None

    def _next(self) -> tuple[Given | None, float]:
        """What may be given now; else when the next of what was released may be."""
        due = float("inf")
        if len(self._out) >= self._capacity:
            return None, due
        now = time.monotonic()
        for topic in self._topics:
            for index, given in enumerate(self._released):
                if given.record.topic == topic and given.not_before <= now:
                    return self._released.pop(index), due
            if self._waiting[topic]:
                given = self._waiting[topic].popleft()
                self._bytes[topic] -= len(given.record.value or b"")
                return given, due
        return None, min((given.not_before for given in self._released), default=due)

    def finish(self, given: object) -> None:
        """It is worked off, unless it is somebody else's by now."""
        with self._changed:
            if not isinstance(given, Given) or not self._give_up(given):
                return
            given.partition.finish(given.record.offset)

    def put_back(self, given: object, delay_s: float) -> None:
        """It is given again later, by this queue or by whoever has its partition then."""
        with self._changed:
            if isinstance(given, Given) and self._give_up(given):
                due = time.monotonic() + delay_s
                self._released.append(Given(given.partition, given.record, given.deliveries + 1, due))
                self._changed.notify_all()

    def _give_up(self, given: Given) -> bool:
        """Whether it was out until now."""
        if given not in self._out:
            return False
        if len(self._out) == self._capacity or self._is_closing:
            self._changed.notify_all()
        self._out.remove(given)
        return True

    def add(self, records: Sequence[Record]) -> None:
        """Records that were read; those of partitions that are not ours any more are another's."""
        with self._changed:
            elsewhere = self._others() if records else {}
            for record in records:
                partition = self._partitions.get((record.topic, record.partition))
                if partition is None:
                    continue
                partition.unfinished.append(record.offset)
                given = Given(partition, record)
                if given.position in elsewhere:
                    self._parked[given.position] = given, elsewhere[given.position]
                else:
                    self._wait(given)
            if records:
                self._changed.notify_all()

    def _wait(self, given: Given) -> None:
        self._waiting[given.record.topic].append(given)
        self._bytes[given.record.topic] += len(given.record.value or b"")

    def settle(self, elsewhere: Mapping[Position, str], is_left: Callable[[str, Position], bool]) -> None:
        """What others have by now: of what was parked the rest is done, or given where it was left undone."""
        with self._changed:
            self._elsewhere = dict(elsewhere)
            if not self._parked:
                return
            others = self._others()
            for position, (given, lender) in list(self._parked.items()):
                if position in others:
                    self._parked[position] = given, others[position]
                    continue
                del self._parked[position]
                if lender != OURS and is_left(lender, position):
                    self._wait(given)
                    self._changed.notify_all()
                else:
                    given.partition.finish(given.record.offset)

    def _others(self) -> dict[Position, str]:
        return {**self._elsewhere, **dict.fromkeys(self._lent(), OURS)}

    def _lent(self) -> list[Position]:
        return sorted(given.position for given in (*self._out, *self._released) if given.partition.is_lent)

    def claims(self) -> tuple[tuple[Place, ...], tuple[Position, ...]]:
        """The partitions that are ours, and the records that we have of others."""
        with self._changed:
            return tuple(sorted(self._partitions)), tuple(self._lent())

    def own(self, places: Collection[Place]) -> None:
        """Partitions that are ours from now on."""
        with self._changed:
            self._partitions.update({place: Partition(place) for place in places})

    def disown(self, places: Collection[Place]) -> None:
        """Partitions that are not ours any more, and what was read of them."""
        with self._changed:
            gone = self._let_go(places)
            self._released = [given for given in self._released if given.partition not in gone]
            self._out = {given for given in self._out if given.partition not in gone}
            self._changed.notify_all()

    def lend(self, places: Collection[Place]) -> dict[Place, int]:
        """Give up partitions, but for what is out; how far they are worked off, where that was not asked for
        before."""
        with self._changed:
            gone = self._let_go(places)
            self._released = [given for given in self._released if given.partition not in gone]
            for partition in gone:
                partition.is_lent = True
            self._changed.notify_all()
            return {one.place: one.finished for one in gone if one.finished > one.committed}

    def forget(self) -> None:
        """Everything: the broker has forgotten it, too."""
        self.disown(self.owned(self._topics))
        with self._changed:
            self._out.clear()
            self._released.clear()
            self._elsewhere.clear()
            self._changed.notify_all()

    def _let_go(self, places: Collection[Place]) -> set[Partition]:
        gone = {self._partitions.pop(place) for place in places if place in self._partitions}
        for topic, waiting in self._waiting.items():
            kept = [given for given in waiting if given.partition not in gone]
            self._waiting[topic] = deque(kept)
            self._bytes[topic] = sum(len(given.record.value or b"") for given in kept)
        self._parked = {at: one for at, one in self._parked.items() if one[0].partition not in gone}
        return gone

    def owned(self, topics: Collection[str]) -> set[Place]:
        """Partitions of some topics that are ours."""
        with self._changed:
            return {place for place in self._partitions if place[0] in topics}

    def fill(self, topic: str) -> bool | None:
        """Whether so much of a topic waits that no more should be read; None: neither much nor little."""
        with self._changed:
            records, size = len(self._waiting[topic]), self._bytes[topic]
        if records >= BUFFERED_RECORDS or size >= BUFFERED_BYTES:
            return True
        return False if records < LOW_RECORDS and size < BUFFERED_BYTES // 2 else None

    def to_commit(self, topics: Collection[str]) -> dict[Place, int]:
        """How far partitions are worked off, where that was not asked for before."""
        with self._changed:
            found = {}
            for place, partition in self._partitions.items():
                if place[0] in topics and partition.finished > partition.committed:
                    found[place] = partition.committed = partition.finished
            return found

    def not_committed(self, place: Place) -> None:
        """The broker did not take its position: it is told again."""
        with self._changed:
            if place in self._partitions:
                self._partitions[place].committed = -1

    def close(self, drain_s: float) -> None:
        """Give no more; wait for what is out."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._out, drain_s)
