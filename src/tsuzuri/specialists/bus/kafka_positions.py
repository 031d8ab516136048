"""How far groups are, asked by consumers that never join them.

librdkafka's admin client could ask too, but what it asks a group's coordinator ends the process where the
connection breaks in the wrong moment (2.16.1; pull request 5397 of librdkafka).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from confluent_kafka import Consumer, TopicPartition

from tsuzuri.specialists.bus.base import Place
from tsuzuri.specialists.bus.client import Client

KEPT = 16
"""Groups whose consumers are kept for the next time."""


class Positions:
    """Those that were committed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._consumers: OrderedDict[str, Consumer] = OrderedDict()

    def of(self, group: str, places: Sequence[Place], timeout_s: float) -> dict[Place, int]:
        """Of a group of the protocol; partitions of which it has said nothing are missing. KafkaException."""
        with self._lock:
            consumer = self._consumers.pop(group, None) or self._connected(group)
            self._consumers[group] = consumer
            if len(self._consumers) > KEPT:
                self._consumers.popitem(last=False)[1].close()
            found = consumer.committed([TopicPartition(*place) for place in places], timeout_s)
        return {(item.topic, item.partition): item.offset for item in found if item.offset >= 0}

    def close(self) -> None:
        """Let go of the broker; asked again, it is reached anew."""
        with self._lock:
            while self._consumers:
                self._consumers.popitem()[1].close()

    def _connected(self, group: str) -> Consumer:
        consumer: Consumer = self._client.made(Consumer, self._client.consumer(group))
        return consumer
