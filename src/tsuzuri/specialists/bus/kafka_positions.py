"""How far groups are, asked and said by consumers that never join them.

librdkafka's admin client could do both, but what it asks a group's coordinator ends the process where the
connection breaks in the wrong moment (2.16.1; pull request 5397 of librdkafka).
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tsuzuri.specialists.bus.base import Place
from tsuzuri.specialists.bus.client import Client

KEPT = 16
"""Groups whose consumers are kept for the next time."""


class Positions:
    """Those that were committed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._groups: OrderedDict[str, _Group] = OrderedDict()

    def of(self, group: str, places: Sequence[Place], timeout_s: float) -> dict[Place, int]:
        """Of a group of the protocol; partitions of which it has said nothing are missing. KafkaException."""
        wanted = [TopicPartition(*place) for place in places]
        with self._lock:
            found = self._reached(group).consumer.committed(wanted, timeout_s)
        return {(item.topic, item.partition): item.offset for item in found if item.offset >= 0}

    def say(self, group: str, positions: Mapping[Place, int]) -> Future[None]:
        """Say how far a group of the protocol is; the future tells what came of it, once that was `heard`."""
        said: Future[None] = Future()
        with self._lock:
            reached = self._reached(group)
            offsets = [TopicPartition(*place, offset) for place, offset in positions.items()]
            reached.consumer.commit(offsets=offsets, asynchronous=True)
            reached.unheard.append(said)
        return said

    def hear(self, wait_s: float = 0.0) -> None:
        """Take in what the broker has answered to what was said."""
        with self._lock:
            for group in self._groups.values():
                if group.unheard:
                    group.consumer.poll(wait_s)

    def close(self) -> None:
        """Let go of the broker; asked again, it is reached anew."""
        with self._lock:
            while self._groups:
                self._groups.popitem()[1].close()

    def _reached(self, name: str) -> _Group:
        group = self._groups.pop(name, None) or _Group(self._client, name)
        self._groups[name] = group
        if len(self._groups) > KEPT:
            self._groups.popitem(last=False)[1].close()
        return group


class _Group:
    """One group, as a consumer reaches it."""

    def __init__(self, client: Client, name: str) -> None:
        self.unheard: deque[Future[None]] = deque()
        """In the order in which it was said."""
        settings = client.consumer(name) | {"on_commit": self._committed}
        self.consumer: Consumer = client.made(Consumer, settings)

    def close(self) -> None:
        """Let go of the broker; where it still owes an answer, librdkafka waits for that however long."""
        unheard, self.unheard = self.unheard, deque()
        if not unheard:
            self.consumer.close()
            return
        threading.Thread(target=self.consumer.close, name="bus-unheard", daemon=True).start()
        for said in unheard:
            said.set_exception(KafkaException(KafkaError(KafkaError._DESTROY)))

    def _committed(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """Within a poll of the consumer, or its end."""
        if not self.unheard:
            return  # nobody waits for it any more
        said = self.unheard.popleft()
        if failed := error or next((offset.error for offset in offsets if offset.error), None):
            said.set_exception(KafkaException(failed))
        else:
            said.set_result(None)
