"""What reads the topics of a queue into its buffer: one consumer, and a thread that never waits long.

How partitions come to a member is its subclasses' own: by a consumer group (`kafka_member`), or settled among
the members (`kafka_assign`). A topic of which much waits pauses.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tsuzuri.specialists.bus.base import BusDown, Place
from tsuzuri.specialists.bus.callbacks import LOG
from tsuzuri.specialists.bus.client import Client
from tsuzuri.specialists.bus.kafka_buffer import Buffer
from tsuzuri.specialists.bus.kafka_follow import read

IDLE_POLL_S, PAUSED_POLL_S = 0.1, 0.005
BATCH_RECORDS = 256
LEAVING_S = 5.0
FAILED_S = 1.0
"""After what nobody had foreseen."""


class Reader(ABC):
    """A member of a group, as far as it reads."""

    def __init__(self, client: Client, buffer: Buffer, group: str, topics: Sequence[str]) -> None:
        self._client, self._buffer = client, buffer
        self._group, self._topics = group, tuple(topics)
        self._paused: set[Place] = set()
        self._is_stopped = self._is_stale = False
        """Stale: the consumer is of no more use."""

    def start(self) -> None:
        """Join the group; InputError where a setting is none."""
        self._consumer = self._connected()
        self._thread = threading.Thread(target=self._run, name="bus-queue", daemon=True)
        self._thread.start()

    @abstractmethod
    def retire(self) -> None:
        """Nothing more is taken from the buffer; what is out is still worked off."""

    @abstractmethod
    def begin_anew(self) -> None:
        """The broker came back empty."""

    def stop(self) -> None:
        """Leave soon."""
        self._is_stopped = True

    def join(self) -> None:
        """Wait until it has left; a broker that is away is not waited for."""
        if threading.current_thread() is not self._thread:
            self._thread.join(LEAVING_S)

    @abstractmethod
    def _connected(self) -> Consumer:
        """A consumer for a new beginning."""

    @abstractmethod
    def _step(self) -> None:
        """Read what is there, and say how far it is worked off."""

    @abstractmethod
    def _leave(self) -> None:
        """Say what there is to say at the end."""

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                if self._is_stale:
                    self._is_stale = False
                    with suppress(RuntimeError):  # it was closed, and another could not be had
                        self._consumer.close()
                    self._buffer.forget()
                    self._paused.clear()
                    self._consumer = self._connected()
                self._step()
            except (KafkaException, BusDown) as error:
                LOG.warning("a member of %s: %s", self._group, self._client.said(error))
                time.sleep(IDLE_POLL_S)
            except Exception:  # of whatever kind: who reads nothing more would still look well
                LOG.exception("a member of %s begins again", self._group)
                self._is_stale = True
                time.sleep(FAILED_S)
        try:
            self._leave()
        except (KafkaException, BusDown) as error:  # what it worked off is given again
            LOG.warning("a member of %s leaves: %s", self._group, self._client.said(error))
        self._consumer.close()

    def _read(self) -> list[Message]:
        """What is there, without what tells of errors."""
        messages = []
        for message in read(self._consumer, PAUSED_POLL_S if self._paused else IDLE_POLL_S, BATCH_RECORDS):
            if (error := message.error()) is not None:
                LOG.debug("a member of %s: %s", self._group, error)
            else:
                messages.append(message)
        return messages

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

    def _disown(self, places: Collection[Place]) -> None:
        self._buffer.disown(places)
        self._paused -= set(places)
