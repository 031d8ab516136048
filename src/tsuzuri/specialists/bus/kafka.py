"""A bus over Kafka's protocol: Apache Kafka, or the embedded broker. On confluent-kafka's plain clients.

A bus has what sends, one consumer for all that it follows, one for each queue, and a thread that watches
whether the broker is still the one that it was. An embedded broker comes back without its records: once the
cluster is another one, the topics that this process declared are made again, every client is made anew, and
then whoever asked for it is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tsuzuri.specialists.bus.base import BusDown, Lag, Place, Record, TopicSpec, WorkQueue
from tsuzuri.specialists.bus.callbacks import LOG, guarded
from tsuzuri.specialists.bus.checks import no_topic
from tsuzuri.specialists.bus.client import Client
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.kafka_admin import Admin
from tsuzuri.specialists.bus.kafka_assign import Assigned
from tsuzuri.specialists.bus.kafka_buffer import Buffer
from tsuzuri.specialists.bus.kafka_follow import Follower, KafkaFollowing
from tsuzuri.specialists.bus.kafka_member import Member
from tsuzuri.specialists.bus.kafka_queue import KafkaQueue
from tsuzuri.specialists.bus.kafka_reading import Reader
from tsuzuri.specialists.bus.kafka_sending import Sender, Stored

WATCH_S, DOUBT_S = 2.0, 0.2
"""Between two looks at the cluster: usually, and while it does not answer."""


class KafkaBus:
    """A broker, as this process reaches it."""

    def __init__(self, config: BusConfig) -> None:
        self.config = config
        self._client = Client(config)
        self._admin = Admin(self._client)
        self._identity = self._admin.identity()
        self._specs: dict[str, TopicSpec] = {}
        self._queues: list[Any] = []
        self._followers: list[Follower] = []
        self._on_lost: list[Callable[[str], None]] = []
        self._lock = threading.Lock()
        self._closing, self._doubt = threading.Event(), threading.Event()
        self._sender = Sender(self._client, closing=self._closing, doubt=self._doubt)
        self._thread = threading.Thread(target=self._watch, name="bus-watch", daemon=True)
        self._thread.start()

    def send(self, record: Record, on_stored: Stored | None = None) -> None:
        """Send; BusFull while too much is unsent, InputError where a record is too large."""
        self._sender.send(record, on_stored)

    def flush(self, timeout_s: float) -> bool:
        """Whether everything sent so far is stored, or has failed."""
        return self._sender.flush(timeout_s)

    def queue(self, topics: Sequence[str], group: str, *, capacity: int) -> WorkQueue:
        """Become a member of a group."""
        if self.config.backend == "share":
            from tsuzuri.specialists.bus.share import ShareQueue

            queue: Any = ShareQueue(self._client, self._admin, self.send, topics, group, capacity)
        else:
            buffer = Buffer(topics, capacity)
            reader: Reader = (
                Assigned(self._client, buffer, group, topics, self._admin, self.send)
                if self._client.is_embedded
                else Member(self._client, buffer, group, topics)
            )
            queue = KafkaQueue(self._client, self.send, group, buffer, reader)
        with self._lock:
            self._queues.append(queue)
        member: WorkQueue = queue
        return member

    def follow(
        self,
        topic: str,
        on_records: Callable[[Sequence[Record]], None],
        *,
        partitions: Sequence[int] | None = None,
        begin: Literal["beginning", "end"] = "end",
        is_urgent: bool = True,
    ) -> KafkaFollowing:
        """Be handed the records of a topic from now on, or all that there are."""
        count = self._admin.topics().get(topic)
        if count is None:
            raise no_topic(topic)
        wanted = range(count) if partitions is None else partitions
        for partition in wanted:
            if not 0 <= partition < count:
                raise no_topic(topic, partition)
        ends = self._admin.ends([(topic, partition) for partition in wanted])
        with self._lock:
            able = [one for one in self._followers if one.can_take(list(ends), is_urgent=is_urgent)]
            if not able:
                able = [Follower(self._client, is_urgent=is_urgent)]
                self._followers += able
            following = KafkaFollowing(able[0], on_records, ends, begin)
            able[0].add(following)
        return following

    def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Make the topics that are missing; InputError where one is otherwise than it has to be."""
        self._admin.ensure(topics)
        self._specs.update({spec.name: spec for spec in topics})

    def forget(self, topics: Sequence[str]) -> None:
        """Make topics no more where a broker has lost them."""
        for topic in topics:
            self._specs.pop(topic, None)

    def remove(self, topics: Sequence[str]) -> None:
        """Remove topics with what is in them, where that ends nobody: the embedded broker answers who still
        asks of a topic that is gone with no name, over which librdkafka 2.16 ends the process. Anybody may
        be looking at one (how far its group is, say), so that it stays until that broker begins anew."""
        self.forget(topics)
        if not self._client.is_embedded:
            self._admin.remove(topics)

    def topics(self) -> Mapping[str, int]:
        """Name → partitions of every topic."""
        return self._admin.topics()

    def appended(self, topics: Sequence[str]) -> Mapping[Place, int]:
        """How many records each partition has had; of the embedded broker's last batch one is counted."""
        return self._admin.appended(topics)

    def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, Lag]:
        """By topic, as far as positions are committed: a tenth of a second behind."""
        return self._admin.lag(group, topics)

    def identity(self) -> str:
        """Of the cluster, and of its registry where there is one."""
        return self._identity

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call it, on the thread that watches, once the broker came back empty."""
        with self._lock:
            self._on_lost.append(callback)

    def close(self, *, flush_s: float = 5.0) -> None:
        """Send what is unsent, leave every group, stop every thread."""
        with self._lock:
            queues, self._queues = self._queues, []
            followers, self._followers = self._followers, []
        for queue in queues:
            queue.close()
        self._sender.flush(flush_s)
        self._closing.set()
        self._doubt.set()
        for follower in followers:
            follower.close()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._sender.close()
        self._admin.close()

    def _watch(self) -> None:
        """Look whether the cluster is the one that it was."""
        is_away = False
        while not self._closing.is_set():
            self._doubt.wait(DOUBT_S if is_away else WATCH_S)
            self._doubt.clear()
            if self._closing.is_set():
                return
            try:
                identity = self._admin.identity(patient=False)
                if is_away:
                    self._sender.answering_since, is_away = time.monotonic(), False
                if _is_another(self._identity, identity):
                    self._begin_anew()
                elif self._sender.is_stuck:
                    LOG.warning("the producer is made anew")
                    self._sender.renew()
                else:
                    self._identity = identity
            except BusDown as error:
                if not is_away:
                    LOG.warning("%s", error.message)
                is_away = True
                self._sender.answering_since = float("inf")
                self._closing.wait(DOUBT_S)

    def _begin_anew(self) -> None:
        """After the broker lost everything: topics, clients, then whoever is to know."""
        LOG.warning("the broker at %s came back without its records", self.config.bootstrap)
        self._admin.restore(tuple(self._specs.values()))
        self._sender.renew()
        with self._lock:
            members, callbacks = [*self._queues, *self._followers], list(self._on_lost)
        for member in members:
            member.begin_anew()
        self._identity = self._admin.identity(patient=False)
        for callback in callbacks:
            with guarded():
                callback(self._identity)


def _is_another(before: str, now: str) -> bool:
    """Whether a cluster is another one, or its registry is not the one that it had."""
    cluster, _, registry = before.partition("/")
    return now.partition("/")[0] != cluster or (registry != "" and now != before)
