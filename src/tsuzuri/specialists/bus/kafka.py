"""A bus over Kafka's protocol: Apache Kafka, or the embedded broker. On confluent-kafka's plain clients.

A bus has one producer and a thread that tells what became of what was sent, one consumer for all that it
follows, one for each queue, and a thread that watches whether the broker is still the one that it was. An
embedded broker comes back without its records, and a producer that survived that stays stuck (measured: for
more than 45 s); so once the cluster is another one, the topics that this process declared are made again,
every client is made anew, and then whoever asked for it is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tsuzuri.specialists.bus.base import BusDown, BusFull, Lag, NoPlace, Record, TopicSpec, WorkQueue
from tsuzuri.specialists.bus.checks import check_size, no_topic
from tsuzuri.specialists.bus.client import LOG, Client, is_code
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.kafka_admin import Admin
from tsuzuri.specialists.bus.kafka_assign import Assigned
from tsuzuri.specialists.bus.kafka_buffer import Buffer
from tsuzuri.specialists.bus.kafka_follow import Follower, KafkaFollowing, guarded
from tsuzuri.specialists.bus.kafka_member import Member
from tsuzuri.specialists.bus.kafka_queue import KafkaQueue
from tsuzuri.specialists.bus.kafka_reading import Reader
from tsuzuri.specialists.topics import Topics

Stored = Callable[[Record, BaseException | None], None]

DISOWNED = (
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.UNKNOWN_PRODUCER_ID,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
)
"""The broker takes nothing more of this producer: the embedded one, after records sent again too late."""
POLL_S = 0.1
UNREAD_S = 0.25
"""For what was still asked of a topic by who has stopped reading it: once it is gone the embedded broker
answers that with no name, over which librdkafka 2.16 ends the process."""
WATCH_S, DOUBT_S = 2.0, 0.2
"""Between two looks at the cluster: usually, and while it does not answer."""


class KafkaBus:
    """A broker, as this process reaches it."""

    def __init__(self, config: BusConfig) -> None:
        self.config = config
        self._client = Client(config)
        self._admin = Admin(self._client)
        self._identity = self._admin.identity()
        self._dead_letters = Topics(config.prefix).dead_letters
        self._specs: dict[str, TopicSpec] = {}
        self._queues: list[Any] = []
        self._followers: list[Follower] = []
        self._on_lost: list[Callable[[str], None]] = []
        self._lock = threading.Lock()
        self._closing, self._doubt = threading.Event(), threading.Event()
        self._is_stuck = False
        """Whether the producer does not get on though the broker answers."""
        self._answering_since = time.monotonic()
        self._producer = self._made_producer()
        self._threads = [
            threading.Thread(target=self._tell, name="bus-sent", daemon=True),
            threading.Thread(target=self._watch, name="bus-watch", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, record: Record, on_stored: Stored | None = None) -> None:
        """Send; BusFull while too much is unsent, InputError where a record is too large."""
        check_size(record, self.config.record_bytes * (2 if record.topic == self._dead_letters else 1))
        if self._closing.is_set():
            raise BusDown("this bus is closed")
        try:
            self._producer.produce(
                record.topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
                on_delivery=partial(self._delivered, record, on_stored),
            )
        except BufferError:
            raise BusFull(
                f"{self.config.unsent:,} records wait for the broker", hint="ask again a little later"
            ) from None
        except KafkaException as error:
            if is_code(error, (KafkaError._UNKNOWN_PARTITION,)):
                raise NoPlace(f"{record.topic} has no partition {record.partition}") from None
            raise self._client.down(error, doing="sending") from None

    def _delivered(
        self, record: Record, on_stored: Stored | None, error: KafkaError | None, message: Message
    ) -> None:
        if error is not None and error.code() in DISOWNED:
            self._is_stuck = True
            self._doubt.set()
        elif error is not None and error.code() == KafkaError._MSG_TIMED_OUT:
            answering_s = time.monotonic() - self._answering_since
            self._is_stuck = self._is_stuck or answering_s > self.config.delivery_s
            self._doubt.set()
        if on_stored is None:
            return
        if error is not None:
            failure = self._client.down(KafkaException(error), doing=f"sending to {record.topic}")
            with guarded():
                on_stored(record, failure)
            return
        _, at_ms = message.timestamp()
        stored = Record(
            record.topic,
            value=record.value,
            key=record.key,
            headers=record.headers,
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            appended_ms=max(0, at_ms),
        )
        with guarded():
            on_stored(stored, None)

    def flush(self, timeout_s: float) -> bool:
        """Whether everything sent so far is stored, or has failed."""
        return self._producer.flush(timeout_s) == 0

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

    def remove(self, topics: Sequence[str]) -> None:
        """Remove topics with what is in them."""
        for topic in topics:
            self._specs.pop(topic, None)
        if self._client.is_embedded:
            self._admin.close()  # looked at again, it is reached anew
            time.sleep(UNREAD_S)
        self._admin.remove(topics)

    def topics(self) -> Mapping[str, int]:
        """Name → partitions of every topic."""
        return self._admin.topics()

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
        self._producer.flush(flush_s)
        self._closing.set()
        self._doubt.set()
        for follower in followers:
            follower.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        _abandon(self._producer)
        self._admin.close()

    def _made_producer(self) -> Producer:
        producer: Producer = self._client.made(Producer, self._client.producer(self._failed))
        return producer

    def _failed(self, error: KafkaError) -> None:
        """The client of some thread met an error: it may be time to look."""
        if error.fatal():
            self._is_stuck = True
        self._doubt.set()

    def _tell(self) -> None:
        """Wait for what became of what was sent, and tell."""
        while not self._closing.is_set():
            try:
                self._producer.poll(POLL_S)
            except KafkaException as error:  # this producer can't go on; the next one is on its way
                self._failed(error.args[0])
                self._closing.wait(POLL_S)

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
                    self._answering_since, is_away = time.monotonic(), False
                if _is_another(self._identity, identity):
                    self._begin_anew()
                elif self._is_stuck:
                    LOG.warning("the producer is made anew")
                    self._renew_producer()
                else:
                    self._identity = identity
            except BusDown as error:
                if not is_away:
                    LOG.warning("%s", error.message)
                is_away = True
                self._answering_since = float("inf")
                self._closing.wait(DOUBT_S)

    def _begin_anew(self) -> None:
        """After the broker lost everything: topics, clients, then whoever is to know."""
        LOG.warning("the broker at %s came back without its records", self.config.bootstrap)
        self._admin.restore(tuple(self._specs.values()))
        self._renew_producer()
        with self._lock:
            members, callbacks = [*self._queues, *self._followers], list(self._on_lost)
        for member in members:
            member.begin_anew()
        self._identity = self._admin.identity(patient=False)
        for callback in callbacks:
            with guarded():
                callback(self._identity)

    def _renew_producer(self) -> None:
        self._is_stuck = False
        old, self._producer = self._producer, self._made_producer()
        _abandon(old)


def _abandon(producer: Producer) -> None:
    """What it has not sent has failed; whoever waits for it is told."""
    producer.purge()
    producer.flush(1.0)


def _is_another(before: str, now: str) -> bool:
    """Whether a cluster is another one, or its registry is not the one that it had."""
    cluster, _, registry = before.partition("/")
    return now.partition("/")[0] != cluster or (registry != "" and now != before)
