"""A broker within one process, for tests: topics, groups and positions as Kafka has them, kept forever.

Partitions of a topic are shared out among the members of a group by turns, in the order in which they
joined; who joins or goes moves some of them, and what a member had out of those is given again.
"""

from __future__ import annotations

import itertools
import random
import threading
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from tsuzuri.specialists.bus.base import BusDown, Lag, Place, Record, TopicSpec
from tsuzuri.specialists.bus.callbacks import guarded
from tsuzuri.specialists.bus.checks import check_size, check_topic, no_topic
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.memory_following import MemoryFollowing
from tsuzuri.specialists.bus.memory_queue import Group, MemoryQueue
from tsuzuri.specialists.messages import now_ms
from tsuzuri.specialists.topics import Topics

Stored = Callable[[Record, BaseException | None], None]


@dataclass(slots=True)
class _Topic:
    spec: TopicSpec
    partitions: list[list[Record | None]]
    """Records by offset; None: a later one of the same key stands in its place."""
    newest: dict[tuple[int, bytes], int] = field(default_factory=dict)
    """(partition, key) → offset, where it is compacted."""


class MemoryBroker:
    """What every bus of a process reaches."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """Held by whoever reads or changes what is here."""
        self.identity = f"memory-{uuid.uuid4()}"
        self.logs: dict[str, _Topic] = {}
        self.groups: defaultdict[str, Group] = defaultdict(Group)
        self.buses: list[MemoryBus] = []

    def bus(self, config: BusConfig | None = None) -> MemoryBus:
        """One more way to reach it, as another process would have."""
        bus = MemoryBus(self, config or BusConfig())
        with self.changed:
            self.buses.append(bus)
        return bus

    def restart(self, *, empty: bool = True) -> None:
        """As if it had died and come back: with what it had, of which the rest is given again, or without."""
        with self.changed:
            if not empty:
                for group in self.groups.values():
                    group.out.clear()
            else:
                self.identity = f"memory-{uuid.uuid4()}"
                self.logs.clear()
                for group in self.groups.values():
                    group.forget()
                for bus in self.buses:
                    bus.make_anew()
            self.changed.notify_all()

    def append(self, record: Record) -> Record:
        """The record with its place; BusDown where there is no such topic or partition."""
        topic = self.logs.get(record.topic)
        if topic is None or record.partition >= len(topic.partitions):
            raise BusDown(f"there is no topic {record.topic} with a partition {record.partition}")
        partition = record.partition
        if partition < 0:
            of_key = random.getrandbits(32) if record.key is None else zlib.crc32(record.key)
            partition = of_key % len(topic.partitions)  # as librdkafka's `consistent_random`
        log = topic.partitions[partition]
        stored = replace(record, partition=partition, offset=len(log), appended_ms=now_ms())
        if topic.spec.is_compacted and record.key is not None:
            before = topic.newest.get((partition, record.key))
            if before is not None:
                log[before] = None
            topic.newest[partition, record.key] = stored.offset
        log.append(stored)
        self.changed.notify_all()
        return stored

    def end(self, place: Place) -> int:
        """The offset that the next record of a partition gets."""
        topic = self.logs.get(place[0])
        return len(topic.partitions[place[1]]) if topic and place[1] < len(topic.partitions) else 0


class MemoryBus:
    """The broker, as one process reaches it."""

    def __init__(self, broker: MemoryBroker, config: BusConfig) -> None:
        self.broker, self.config = broker, config
        self.followings: list[MemoryFollowing] = []
        self._queues: list[MemoryQueue] = []
        self._specs: dict[str, TopicSpec] = {}
        self._on_lost: list[Callable[[str], None]] = []
        self._calls: list[Callable[[], None]] = []
        """What the thread is to call next."""
        self._unsaid = 0
        """Calls of `on_stored` that are not over."""
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)
        self._thread.start()

    def send(self, record: Record, on_stored: Stored | None = None) -> None:
        """Send; InputError where a record is too large."""
        dead_letters = Topics(self.config.prefix).dead_letters
        check_size(record, self.config.record_bytes * (2 if record.topic == dead_letters else 1))
        with self.broker.changed:
            if self._is_closed:
                raise BusDown("this bus is closed")
            stored, error = record, None
            try:
                stored = self.broker.append(record)
            except BusDown as down:
                error = down
            if on_stored is not None:
                self._unsaid += 1
                self._calls.append(partial(self._say, on_stored, stored, error))
                self.broker.changed.notify_all()

    def _say(self, on_stored: Stored, record: Record, error: BaseException | None) -> None:
        try:
            on_stored(record, error)
        finally:
            with self.broker.changed:
                self._unsaid -= 1
                self.broker.changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Whether everybody was told that what they sent is stored."""
        with self.broker.changed:
            return self.broker.changed.wait_for(lambda: not self._unsaid, timeout_s)

    def queue(self, topics: Sequence[str], group: str, *, capacity: int) -> MemoryQueue:
        """Become a member of a group."""
        queue = MemoryQueue(self, topics, group, capacity)
        self._queues.append(queue)
        return queue

    def follow(
        self,
        topic: str,
        on_records: Callable[[Sequence[Record]], None],
        *,
        partitions: Sequence[int] | None = None,
        begin: Literal["beginning", "end"] = "end",
        is_urgent: bool = True,
    ) -> MemoryFollowing:
        """Be handed the records of a topic, each at once."""
        following = MemoryFollowing(self, on_records)
        with self.broker.changed:
            if topic not in self.broker.logs:
                raise no_topic(topic)
            count = len(self.broker.logs[topic].partitions)
            for partition in range(count) if partitions is None else partitions:
                if not 0 <= partition < count:
                    raise no_topic(topic, partition)
                end = self.broker.end((topic, partition))
                following.wanted[topic, partition] = end if begin == "beginning" else 0
                following.handed[topic, partition] = 0
                following.positions[topic, partition] = 0 if begin == "beginning" else end
            self.followings.append(following)
            self.broker.changed.notify_all()
        return following

    def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Make the topics that are missing; InputError where one is otherwise."""
        with self.broker.changed:
            for spec in topics:
                there = self.broker.logs.get(spec.name)
                if there is None:
                    logs: list[list[Record | None]] = [[] for _ in range(spec.partitions)]
                    self.broker.logs[spec.name] = _Topic(spec, logs)
                else:
                    check_topic(spec, len(there.partitions), is_compacted=there.spec.is_compacted)
                self._specs[spec.name] = spec
            self.broker.changed.notify_all()

    def forget(self, topics: Sequence[str]) -> None:
        """Make topics no more where the broker has lost them."""
        with self.broker.changed:
            for topic in topics:
                self._specs.pop(topic, None)

    def remove(self, topics: Sequence[str]) -> None:
        """Remove topics with what is in them, and what groups know of them."""
        self.forget(topics)
        with self.broker.changed:
            for topic in topics:
                self.broker.logs.pop(topic, None)
                for group in self.broker.groups.values():
                    for known in (group.out, group.given, group.not_before):
                        for place in [place for place in known if place[0] == topic]:
                            del known[place]
                    group.done = {place for place in group.done if place[0] != topic}
                    for of_partition in [place for place in group.committed if place[0] == topic]:
                        del group.committed[of_partition]

    def topics(self) -> Mapping[str, int]:
        """Name → partitions of every topic."""
        with self.broker.changed:
            return {name: len(topic.partitions) for name, topic in self.broker.logs.items()}

    def appended(self, topics: Sequence[str]) -> Mapping[Place, int]:
        """How many records each partition has ever had."""
        with self.broker.changed:
            logs = {name: self.broker.logs[name] for name in topics if name in self.broker.logs}
            return {
                (name, number): len(records)
                for name, log in logs.items()
                for number, records in enumerate(log.partitions)
            }

    def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, Lag]:
        """By topic."""
        lags = {}
        with self.broker.changed:
            known = self.broker.groups[group] if group in self.broker.groups else Group()
            for topic in topics:
                log = self.broker.logs.get(topic)
                left = [
                    record
                    for partition, records in enumerate(log.partitions if log else ())
                    for record in itertools.islice(records, known.committed[topic, partition], None)
                    if record is not None and (topic, partition, record.offset) not in known.done
                ]
                lags[topic] = Lag(len(left), min((record.appended_ms for record in left), default=0))
        return lags

    def identity(self) -> str:
        """Another one after every restart without records."""
        with self.broker.changed:
            return self.broker.identity

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call it once the broker came back empty."""
        with self.broker.changed:
            self._on_lost.append(callback)

    def make_anew(self) -> None:
        """After the broker lost everything: its topics, from their beginnings, and whoever is to know."""
        self.ensure(tuple(self._specs.values()))
        for following in self.followings:
            for positions in (following.positions, following.handed, following.wanted):
                positions.update(dict.fromkeys(positions, 0))
        identity = self.broker.identity
        self._calls += [partial(callback, identity) for callback in self._on_lost]

    def close(self, *, flush_s: float = 5.0) -> None:
        """Leave every group, stop the thread."""
        self.flush(flush_s)
        for queue in self._queues:
            queue.close()
        with self.broker.changed:
            self._is_closed = True
            if self in self.broker.buses:
                self.broker.buses.remove(self)
            self.broker.changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        """Tell senders and followers, in the order of what happened."""
        while True:
            with self.broker.changed:
                calls, self._calls = self._calls, []
                batches = [(following, following.batch()) for following in self.followings]
                if not calls and not any(batch for _, batch in batches):
                    if self._is_closed:
                        return
                    self.broker.changed.wait()
                    continue
            for call in calls:
                with guarded():
                    call()
            for following, batch in batches:
                if batch:
                    with guarded():
                        following.on_records(batch)
            with self.broker.changed:
                for following, _ in batches:
                    following.handed.update(following.positions)
                self.broker.changed.notify_all()
