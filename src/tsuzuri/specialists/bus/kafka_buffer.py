"""What a queue's consumers have read: what waits, what is out, how far each partition is worked off.

Partitions that are taken away take with them what is buffered and what is out: it is another's by now, and
an acknowledgement that comes late is ignored.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tsuzuri.specialists.bus.base import Record
from tsuzuri.specialists.bus.kafka_follow import Place

BUFFERED_RECORDS, LOW_RECORDS = 1024, 512
"""Of a topic, read and not given yet: from so many on it is full, below so many it is low."""
BUFFERED_BYTES = 16 * 1024 * 1024


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


@dataclass(slots=True, eq=False)
class Given:
    """A record that came, until it is worked off; another one each time it is given."""

    partition: Partition
    record: Record
    deliveries: int = 1
    not_before: float = 0.0


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
            partition = given.partition
            partition.done.add(given.record.offset)
            while partition.unfinished and partition.unfinished[0] in partition.done:
                offset = partition.unfinished.popleft()
                partition.done.remove(offset)
                partition.finished = offset + 1

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
            for record in records:
                partition = self._partitions.get((record.topic, record.partition))
                if partition is not None:
                    partition.unfinished.append(record.offset)
                    self._waiting[record.topic].append(Given(partition, record))
                    self._bytes[record.topic] += len(record.value or b"")
            if records:
                self._changed.notify_all()

    def own(self, places: Collection[Place]) -> None:
        """Partitions that are ours from now on."""
        with self._changed:
            self._partitions.update({place: Partition(place) for place in places})

    def disown(self, places: Collection[Place]) -> None:
        """Partitions that are not ours any more, and what was read of them."""
        with self._changed:
            gone = {self._partitions.pop(place) for place in places if place in self._partitions}
            for topic, waiting in self._waiting.items():
                kept = [given for given in waiting if given.partition not in gone]
                self._waiting[topic] = deque(kept)
                self._bytes[topic] = sum(len(given.record.value or b"") for given in kept)
            self._released = [given for given in self._released if given.partition not in gone]
            self._out = {given for given in self._out if given.partition not in gone}
            self._changed.notify_all()

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
