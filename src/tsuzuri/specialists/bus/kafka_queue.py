"""A queue over consumer groups: with KIP-848 one consumer for all its topics, else one for each of them.

Assignors that members run themselves and that move few partitions (`cooperative-sticky`) balance the sum
over all topics, so that one worker may get every interactive request and the other a lane in which there are
none; in a group for each topic, every member has its part of each. Each consumer has a thread that polls and
never blocks, for that is its sign of life; a topic of which much waits pauses. What is committed is how far
all before it is worked off.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tsuzuri.specialists.bus.base import Work
from tsuzuri.specialists.bus.client import LOG, Client
from tsuzuri.specialists.bus.kafka_buffer import Buffer
from tsuzuri.specialists.bus.kafka_follow import Place, as_record, read
from tsuzuri.specialists.bus.kafka_reject import Rejecting, Send

IDLE_POLL_S, PAUSED_POLL_S = 0.1, 0.005
BATCH_RECORDS = 256
LEAVING_S = 5.0


class KafkaQueue(Rejecting):
    """What one member is given."""

    def __init__(self, client: Client, send: Send, topics: Sequence[str], group: str, capacity: int) -> None:
        super().__init__(client, send, group)
        self._buffer = Buffer(topics, capacity)
        groups = client.groups(group, topics)
        self._members = [Member(client, self._buffer, name, share) for name, share in groups.items()]

    def take(self, timeout_s: float) -> Work | None:
        """The next record to work off."""
        given = self._buffer.take(timeout_s)
        return None if given is None else Work(given.record, given.deliveries, lease=given)

    def ack(self, work: Work) -> None:
        """It is done with, unless it is somebody else's by now."""
        self._buffer.finish(work.lease)

    def release(self, work: Work, *, delay_s: float = 0.0) -> None:
        """It is given again by this member, or by another when this one has gone."""
        self._buffer.put_back(work.lease, delay_s)

    def extend(self, work: Work) -> None:
        """Nothing: a partition is ours for as long as this process lives."""

    def begin_anew(self) -> None:
        """Nothing: a broker that came back empty does not know its members, tells them so within a heartbeat,
        and they join again, with nothing. (Another consumer would wait for the old one's session to end.)"""

    def close(self, *, drain_s: float = 0.0) -> None:
        """Wait for what is out, say what was worked off, leave the groups."""
        self._buffer.close(drain_s)
        for member in self._members:
            member.stop()
        for member in self._members:
            member.join()


class Member:
    """A consumer of some topics, and the thread that reads them into the buffer."""

    def __init__(self, client: Client, buffer: Buffer, group: str, topics: Sequence[str]) -> None:
        self._client, self._buffer = client, buffer
        self._group, self._topics = group, tuple(topics)
        self._paused: set[Place] = set()
        self._is_stopped = self._is_stale = False
        self._consumer = self._joined()
        self._thread = threading.Thread(target=self._run, name="bus-queue", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave soon."""
        self._is_stopped = True

    def join(self) -> None:
        """Wait until it has left; a broker that is away is not waited for."""
        if threading.current_thread() is not self._thread:
            self._thread.join(LEAVING_S)

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
                self._is_stale = False
                self._consumer.close()
                self._disown(self._buffer.owned(self._topics))
                self._consumer = self._joined()
            try:
                self._read()
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

    def _read(self) -> None:
        records = []
        for message in read(self._consumer, PAUSED_POLL_S if self._paused else IDLE_POLL_S, BATCH_RECORDS):
            if (error := message.error()) is not None:
                LOG.debug("a member of %s: %s", self._group, error)
            else:
                records.append(as_record(message))
        self._buffer.add(records)

    def _pause_or_resume(self) -> None:
        for topic in self._topics:
            is_full = self._buffer.fill(topic)
            if is_full:
                more = self._buffer.owned([topic]) - self._paused
                self._consumer.pause([TopicPartition(*place) for place in more])
                self._paused |= more
            elif is_full is False and self._paused:
                again = {place for place in self._paused if place[0] == topic}
                self._consumer.resume([TopicPartition(*place) for place in again])
                self._paused -= again

    def _commit(self, *, is_last: bool = False) -> None:
        """Tell the broker how far each partition is worked off, where it does not know."""
        positions = self._buffer.to_commit(self._topics)
        offsets = [TopicPartition(*place, offset) for place, offset in positions.items()]
        if offsets and is_last:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        elif offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _committed(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        for offset in offsets:
            if failed := error or offset.error:
                LOG.debug("a position of %s was not committed: %s", self._group, failed)
                self._buffer.not_committed((offset.topic, offset.partition))

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._buffer.own([(item.topic, item.partition) for item in partitions])

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Say what was worked off; the rest is another's."""
        try:
            self._commit()
        except KafkaException as error:
            LOG.debug("a position of %s was not committed: %s", self._group, error)
        self._lost(_, partitions)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._disown([(item.topic, item.partition) for item in partitions])

    def _disown(self, places: Collection[Place]) -> None:
        self._buffer.disown(places)
        self._paused -= set(places)

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            LOG.warning("a member of %s begins again: %s", self._group, error)
            self._is_stale = True
