"""A member of a consumer group. Its thread polls and never blocks, for that is its sign of life.

What it has read waits in a buffer for each topic; a topic whose buffer is full is paused. A position is
committed once everything before it is worked off. Partitions that are taken away take with them what is
buffered and what is out: it is another's by now, and an acknowledgement that comes late is ignored.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tsuzuri.specialists.bus.base import BusFull, Record, Work
from tsuzuri.specialists.bus.client import LOG, Client
from tsuzuri.specialists.bus.kafka_follow import Place, as_record, read
from tsuzuri.specialists.dead_letters import dead_letter
from tsuzuri.specialists.topics import Topics

Send = Callable[[Record, Callable[[Record, BaseException | None], None]], None]

IDLE_POLL_S, PAUSED_POLL_S = 0.1, 0.005
BUFFERED_RECORDS, LOW_RECORDS = 1024, 512
"""Of a topic, read and not given yet: from so many on it is paused, below so many it goes on."""
BUFFERED_BYTES = 16 * 1024 * 1024
BATCH_RECORDS = 256
REJECT_AGAIN_S = 1.0
LEAVING_S = 5.0


@dataclass(slots=True, eq=False)
class _Partition:
    """One that is ours, for as long as it is."""

    place: Place
    unfinished: deque[int] = field(default_factory=deque)
    """Offsets in the order in which they came, up to the first that is not worked off."""
    done: set[int] = field(default_factory=set)
    finished: int = -1
    """What stands before is worked off."""
    committed: int = -1


@dataclass(slots=True, eq=False)
class _Given:
    """A record that came, until it is worked off; another one each time it is given."""

    partition: _Partition
    record: Record
    deliveries: int = 1
    not_before: float = 0.0


class KafkaQueue:
    """What one member is given."""

    def __init__(self, client: Client, send: Send, topics: Sequence[str], group: str, capacity: int) -> None:
        self._client, self._send = client, send
        self._topics, self._group, self._capacity = tuple(topics), group, capacity
        self._changed = threading.Condition()
        self._buffers: dict[str, deque[_Given]] = {topic: deque() for topic in topics}
        self._bytes = dict.fromkeys(topics, 0)
        self._released: list[_Given] = []
        self._out: set[_Given] = set()
        self._partitions: dict[Place, _Partition] = {}
        self._paused: set[Place] = set()
        self._is_closing = self._is_stopped = self._is_stale = False
        self._consumer = self._joined()
        self._thread = threading.Thread(target=self._run, name="bus-queue", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Work | None:
        """The next record to work off."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while not self._is_closing:
                given, due = self._next()
                if given is not None:
                    self._out.add(given)
                    return Work(given.record, given.deliveries, lease=given)
                now = time.monotonic()
                if now >= until:
                    return None
                self._changed.wait(min(until, due) - now)
            return None

    def _next(self) -> tuple[_Given | None, float]:
        """What may be given now; else when the next of what was released may be."""
        due = float("inf")
        if len(self._out) >= self._capacity:
            return None, due
        now = time.monotonic()
        for topic in self._topics:
            for index, given in enumerate(self._released):
                if given.record.topic == topic and given.not_before <= now:
                    return self._released.pop(index), due
            if self._buffers[topic]:
                given = self._buffers[topic].popleft()
                self._bytes[topic] -= len(given.record.value or b"")
                return given, due
        return None, min((given.not_before for given in self._released), default=due)

    def ack(self, work: Work) -> None:
        """It is done with, unless it is somebody else's by now."""
        with self._changed:
            given = self._given_up(work)
            if given is None:
                return
            partition = given.partition
            partition.done.add(given.record.offset)
            while partition.unfinished and partition.unfinished[0] in partition.done:
                offset = partition.unfinished.popleft()
                partition.done.remove(offset)
                partition.finished = offset + 1

    def release(self, work: Work, *, delay_s: float = 0.0) -> None:
        """It is given again by this member, or by another when this one has gone."""
        with self._changed:
            given = self._given_up(work)
            if given is not None:
                due = time.monotonic() + delay_s
                self._released.append(_Given(given.partition, given.record, given.deliveries + 1, due))
                self._changed.notify_all()

    def _given_up(self, work: Work) -> _Given | None:
        """What was out, and is so no more; None where it was not, or is another's by now."""
        given = work.lease
        if not isinstance(given, _Given) or given not in self._out:
            return None
        if len(self._out) == self._capacity or self._is_closing:
            self._changed.notify_all()
        self._out.remove(given)
        return given

    def reject(self, work: Work, *, reason: str, message: str = "") -> None:
        """It becomes a dead letter, and is acknowledged once that is stored."""
        topic = Topics(self._client.config.prefix).dead_letters
        letter = dead_letter(work.record, topic=topic, group=self._group, reason=reason, message=message)
        try:
            self._send(letter, partial(self._rejected, work))
        except BusFull as error:
            self._rejected(work, letter, error)

    def _rejected(self, work: Work, _: Record, error: BaseException | None) -> None:
        if error is None:
            self.ack(work)
        else:
            LOG.warning("a dead letter could not be stored: %s", error)
            self.release(work, delay_s=REJECT_AGAIN_S)

    def extend(self, work: Work) -> None:
        """Nothing: a partition is ours for as long as this process lives."""

    def begin_anew(self) -> None:
        """The broker came back empty: join again, with nothing."""
        with self._changed:
            self._is_stale = True

    def close(self, *, drain_s: float = 0.0) -> None:
        """Wait for what is out, say what was worked off, leave the group."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._out, drain_s)
            self._is_stopped = True
        if threading.current_thread() is not self._thread:
            self._thread.join(LEAVING_S)  # a broker that is away is not waited for

    def _joined(self) -> Consumer:
        """A consumer that has asked to be a member."""
        consumer: Consumer = self._client.made(
            Consumer, self._client.member(self._group, self._failed) | {"on_commit": self._committed}
        )
        consumer.subscribe(
            list(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        return consumer

    def _run(self) -> None:
        while not self._is_stopped:
            if self._is_stale:
                self._consumer.close()
                with self._changed:
                    self._forget(list(self._partitions))
                    self._is_stale = False
                self._consumer = self._joined()
            try:
                self._receive(
                    read(self._consumer, PAUSED_POLL_S if self._paused else IDLE_POLL_S, BATCH_RECORDS)
                )
                self._pause_or_resume()
                self._commit()
            except KafkaException as error:
                LOG.warning("a member of %s: %s", self._group, self._client.said(error))
                time.sleep(IDLE_POLL_S)
        try:
            self._commit(is_last=True)
        except KafkaException as error:  # what it worked off is given again
            LOG.warning("a member of %s leaves: %s", self._group, self._client.said(error))
        self._consumer.close()

    def _receive(self, messages: Sequence[Message]) -> None:
        with self._changed:
            for message in messages:
                if (error := message.error()) is not None:
                    LOG.debug("a member of %s: %s", self._group, error)
                    continue
                record = as_record(message)
                partition = self._partitions.get((record.topic, record.partition))
                if partition is None:
                    continue
                partition.unfinished.append(record.offset)
                self._buffers[record.topic].append(_Given(partition, record))
                self._bytes[record.topic] += len(record.value or b"")
            if messages:
                self._changed.notify_all()

    def _pause_or_resume(self) -> None:
        with self._changed:
            for topic, buffer in self._buffers.items():
                if len(buffer) >= BUFFERED_RECORDS or self._bytes[topic] >= BUFFERED_BYTES:
                    more = {place for place in self._partitions if place[0] == topic} - self._paused
                    self._consumer.pause([TopicPartition(*place) for place in more])
                    self._paused |= more
                elif len(buffer) < LOW_RECORDS and self._bytes[topic] < BUFFERED_BYTES // 2:
                    mine = {place for place in self._paused if place[0] == topic}
                    self._consumer.resume([TopicPartition(*place) for place in mine])
                    self._paused -= mine

    def _commit(self, *, is_last: bool = False) -> None:
        """Tell the broker how far each partition is worked off, where it does not know."""
        with self._changed:
            offsets = []
            for place, partition in self._partitions.items():
                if partition.finished > partition.committed:
                    partition.committed = partition.finished
                    offsets.append(TopicPartition(*place, partition.finished))
        if offsets and is_last:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        elif offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _committed(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        with self._changed:
            for offset in offsets:
                failed = error or offset.error
                partition = self._partitions.get((offset.topic, offset.partition))
                if failed is not None and partition is not None:
                    LOG.debug("a position of %s was not committed: %s", self._group, failed)
                    partition.committed = -1

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        with self._changed:
            for item in partitions:
                self._partitions[item.topic, item.partition] = _Partition((item.topic, item.partition))

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Say what was worked off; the rest is another's."""
        try:
            self._commit()
        except KafkaException as error:
            LOG.debug("a position of %s was not committed: %s", self._group, error)
        self._lost(_, partitions)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        with self._changed:
            self._forget([(item.topic, item.partition) for item in partitions])

    def _forget(self, places: Sequence[Place]) -> None:
        """Partitions that are not ours any more, and what was read of them."""
        gone = {self._partitions.pop(place) for place in places if place in self._partitions}
        for topic, buffer in self._buffers.items():
            kept = [given for given in buffer if given.partition not in gone]
            self._buffers[topic] = deque(kept)
            self._bytes[topic] = sum(len(given.record.value or b"") for given in kept)
        self._released = [given for given in self._released if given.partition not in gone]
        self._out = {given for given in self._out if given.partition not in gone}
        self._paused -= set(places)
        self._changed.notify_all()

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            LOG.warning("a member of %s begins again: %s", self._group, error)
            self._is_stale = True
