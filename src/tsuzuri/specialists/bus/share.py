"""A member of a share group (KIP-932, Apache Kafka 4.2 and later): records are shared out one by one.

More workers than partitions then all have work, a record that is given back may come to another at once,
and the broker counts deliveries. What confluent-kafka lacks as of 2.16: it gives more only once all that it
gave is answered, so that a member works batch by batch; and a lock can't be renewed, so that what takes
longer than `group.share.record.lock.duration.ms` is given to somebody else meanwhile. A delay before a record
is given again is ours: we answer later. What nobody acknowledged in `group.share.delivery.count.limit`
deliveries is dropped by the broker.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import AcknowledgeType, KafkaException, Message, ShareConsumer

from tsuzuri.specialists.bus.base import Record, Work
from tsuzuri.specialists.bus.callbacks import LOG
from tsuzuri.specialists.bus.client import Client
from tsuzuri.specialists.bus.kafka_admin import Admin
from tsuzuri.specialists.bus.kafka_follow import as_record
from tsuzuri.specialists.bus.kafka_reject import Rejecting, Send

POLL_S = 0.1
LEAVING_S = 5.0


@dataclass(slots=True, eq=False)
class _Given:
    message: Message
    record: Record


class ShareQueue(Rejecting):
    """What one member is given. The client is used by one thread alone."""

    def __init__(
        self, client: Client, admin: Admin, send: Send, topics: Sequence[str], group: str, capacity: int
    ) -> None:
        super().__init__(client, send, group)
        self._topics, self._capacity = tuple(topics), capacity
        self._changed = threading.Condition()
        self._buffers: dict[str, deque[_Given]] = {topic: deque() for topic in topics}
        self._out: set[_Given] = set()
        self._answers: list[tuple[float, int, _Given, AcknowledgeType]] = []
        """What is to be told to the broker, and when."""
        self._numbers = itertools.count()
        self._is_closing = self._is_stopped = self._is_stale = False
        self._settings = client.sharer(group)
        admin.share_from_beginning(group)
        self._consumer = self._joined()
        self._thread = threading.Thread(target=self._run, name="bus-share", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Work | None:
        """The next record to work off."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while not self._is_closing:
                buffer = next((self._buffers[topic] for topic in self._topics if self._buffers[topic]), None)
                if buffer is not None and len(self._out) < self._capacity:
                    given = buffer.popleft()
                    self._out.add(given)
                    return Work(given.record, given.message.delivery_count() or 1, lease=given)
                left_s = until - time.monotonic()
                if left_s <= 0:
                    return None
                self._changed.wait(left_s)
            return None

    def ack(self, work: Work) -> None:
        """It is done with."""
        self._answer(work, AcknowledgeType.ACCEPT)

    def release(self, work: Work, *, delay_s: float = 0.0) -> None:
        """It is given back; with a delay, at its end."""
        self._answer(work, AcknowledgeType.RELEASE, delay_s)

    def _answer(self, work: Work, answer: AcknowledgeType, delay_s: float = 0.0) -> None:
        with self._changed:
            given = work.lease
            if isinstance(given, _Given) and given in self._out:
                self._out.remove(given)
                heapq.heappush(
                    self._answers, (time.monotonic() + delay_s, next(self._numbers), given, answer)
                )
                self._changed.notify_all()

    def extend(self, work: Work) -> None:
        """Nothing: this client can't ask for more time."""

    def begin_anew(self) -> None:
        """The broker came back empty."""
        with self._changed:
            self._is_stale = True

    def close(self, *, drain_s: float = 0.0) -> None:
        """Wait for what is out, give back what was not given, leave the group."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._out, drain_s)
            self._is_stopped = True
        if threading.current_thread() is not self._thread:
            self._thread.join(LEAVING_S)  # a broker that is away is not waited for

    def _joined(self) -> ShareConsumer:
        consumer: ShareConsumer = self._client.made(ShareConsumer, self._settings)
        consumer.subscribe(list(self._topics))
        return consumer

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                if self._is_stale:
                    self._consumer.close()
                    with self._changed:
                        self._forget()
                    self._consumer = self._joined()
                self._tell()
                self._receive()
            except (KafkaException, RuntimeError) as error:  # its IllegalStateException is one
                LOG.warning("a member of %s: %s", self._group, self._client.said(error))
                time.sleep(POLL_S)
        with self._changed:
            left = [given for buffer in self._buffers.values() for given in buffer] + list(self._out)
            for given in left:
                heapq.heappush(self._answers, (0.0, next(self._numbers), given, AcknowledgeType.RELEASE))
            self._answers = [(0.0, number, given, answer) for _, number, given, answer in self._answers]
        try:
            self._tell()
            self._consumer.commit_sync(5.0)
        except KafkaException as error:  # its locks end by themselves
            LOG.warning("a member of %s leaves: %s", self._group, self._client.said(error))
        self._consumer.close()

    def _tell(self) -> None:
        """Tell the broker what became of what it gave."""
        with self._changed:
            due = []
            while self._answers and self._answers[0][0] <= time.monotonic():
                due.append(heapq.heappop(self._answers))
        for _, _, given, answer in due:
            self._consumer.acknowledge(given.message, answer)
        if due:
            self._consumer.commit_async()

    def _receive(self) -> None:
        """Ask for more once all is answered: before, the client does not let us."""
        with self._changed:
            if self._out or self._answers or any(self._buffers.values()):
                next_s = self._answers[0][0] - time.monotonic() if self._answers else POLL_S
                self._changed.wait(max(0.0, min(POLL_S, next_s)))
                return
        messages = self._consumer.poll(POLL_S)
        with self._changed:
            for message in messages:
                if message.error() is None:
                    self._buffers[message.topic() or ""].append(_Given(message, as_record(message)))
            self._changed.notify_all()

    def _forget(self) -> None:
        self._is_stale = False
        self._out.clear()
        self._answers.clear()
        for buffer in self._buffers.values():
            buffer.clear()
