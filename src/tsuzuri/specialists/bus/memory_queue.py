"""Groups and their members on the broker within one process."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsuzuri.specialists.bus.base import BusDown, Place, Position, Work
from tsuzuri.specialists.dead_letters import dead_letter
from tsuzuri.specialists.topics import Topics

if TYPE_CHECKING:
    from tsuzuri.specialists.bus.memory import MemoryBus

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Group:
    """Whose members the records of some topics are shared out among."""

    members: list[MemoryQueue] = field(default_factory=list)
    committed: Counter[Place] = field(default_factory=Counter)
    """What stands before is worked off."""
    done: set[Position] = field(default_factory=set)
    """Worked off, behind one that is not."""
    out: dict[Position, MemoryQueue] = field(default_factory=dict)
    given: Counter[Position] = field(default_factory=Counter)
    not_before: dict[Position, float] = field(default_factory=dict)
    """When what was released may be given again, by the monotonic clock."""

    def owner(self, topic: str, partition: int) -> MemoryQueue | None:
        members = [member for member in self.members if topic in member.topics]
        return members[partition % len(members)] if members else None

    def share_out(self) -> None:
        """After a member came or went: what is out of a partition that moved is out no more."""
        self.out = {place: by for place, by in self.out.items() if self.owner(*place[:2]) is by}

    def forget(self) -> None:
        """All but its members, as the broker did."""
        for known in (self.committed, self.done, self.out, self.given, self.not_before):
            known.clear()


class MemoryQueue:
    """A member of a group."""

    def __init__(self, bus: MemoryBus, topics: Sequence[str], group: str, capacity: int) -> None:
        self.topics = tuple(topics)
        self._bus, self._broker = bus, bus.broker
        self._name, self._group = group, bus.broker.groups[group]
        self._capacity = capacity
        self._is_closing = False
        with self._broker.changed:
            self._group.members.append(self)
            self._group.share_out()
            self._broker.changed.notify_all()

    def take(self, timeout_s: float) -> Work | None:
        """The next record to work off."""
        until = time.monotonic() + timeout_s
        with self._broker.changed:
            while not self._is_closing:
                work, due = self._next()
                if work is not None:
                    return work
                wait_s = min(until, due) - time.monotonic()
                if time.monotonic() >= until:
                    return None
                self._broker.changed.wait(max(0.0, wait_s))
            return None

    def _next(self) -> tuple[Work | None, float]:
        """What may be given now; else when the next of what was released may be."""
        due = float("inf")
        if sum(by is self for by in self._group.out.values()) >= self._capacity:
            return None, due
        for topic in self.topics:
            log = self._broker.logs.get(topic)
            for partition in range(len(log.partitions) if log else 0):
                if self._group.owner(topic, partition) is not self:
                    continue
                assert log is not None
                for offset in range(self._group.committed[topic, partition], len(log.partitions[partition])):
                    place, record = (topic, partition, offset), log.partitions[partition][offset]
                    if record is None or place in self._group.done or place in self._group.out:
                        continue
                    if (when := self._group.not_before.get(place, 0.0)) > time.monotonic():
                        due = min(due, when)
                        continue
                    self._group.out[place] = self
                    self._group.given[place] += 1
                    return Work(record, self._group.given[place], lease=place), due
        return None, due

    def ack(self, work: Work) -> None:
        """It is done with, unless it is somebody else's by now."""
        with self._broker.changed:
            if not self._give_up(work):
                return
            topic, partition, offset = _position(work)
            self._group.done.add((topic, partition, offset))
            while (topic, partition, self._group.committed[topic, partition]) in self._group.done:
                self._group.done.remove((topic, partition, self._group.committed[topic, partition]))
                self._group.committed[topic, partition] += 1
            self._broker.changed.notify_all()

    def release(self, work: Work, *, delay_s: float = 0.0) -> None:
        """It is given back."""
        with self._broker.changed:
            if self._give_up(work):
                self._group.not_before[_position(work)] = time.monotonic() + delay_s
                self._broker.changed.notify_all()

    def _give_up(self, work: Work) -> bool:
        """Whether it was this member's until now."""
        return self._group.out.get(_position(work)) is self and bool(self._group.out.pop(_position(work)))

    def reject(self, work: Work, *, reason: str, message: str = "") -> None:
        """It becomes a dead letter."""
        topic = Topics(self._bus.config.prefix).dead_letters
        letter = dead_letter(work.record, topic=topic, group=self._name, reason=reason, message=message)
        with self._broker.changed:
            if self._group.out.get(_position(work)) is not self:
                return
            try:
                self._broker.append(letter)
            except BusDown as error:
                _LOG.warning("a dead letter could not be stored: %s", error)
                self.release(work, delay_s=1.0)
            else:
                self.ack(work)

    def extend(self, work: Work) -> None:
        """Nothing: what is out stays out."""

    def vanish(self) -> None:
        """As if its process had died."""
        with self._broker.changed:
            self._is_closing = True
            if self in self._group.members:
                self._group.members.remove(self)
                self._group.share_out()
            self._broker.changed.notify_all()

    def close(self, *, drain_s: float = 0.0) -> None:
        """Leave the group once what is out came back, or the time is over."""
        with self._broker.changed:
            self._is_closing = True
            self._broker.changed.notify_all()
            self._broker.changed.wait_for(lambda: self not in self._group.out.values(), drain_s)
        self.vanish()


def _position(work: Work) -> Position:
    assert isinstance(work.lease, tuple)
    return work.lease
