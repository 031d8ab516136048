"""Looks at single records of partitions: how far they go, and when what stands somewhere was appended."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from tsuzuri.specialists.bus.base import Place
from tsuzuri.specialists.bus.client import Client
from tsuzuri.specialists.bus.kafka_follow import as_record

POLL_S = 0.1
FETCH_BYTES = 4096


class Probe:
    """A consumer that is assigned what is looked at, and nothing between."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._ids: dict[str, str] = {}

    def begin_anew_for(self, ids: Mapping[str, str]) -> None:
        """Reach the broker anew where a topic is another one than when it was looked at: librdkafka 2.16 ends
        the process when a consumer is assigned a topic that was removed and made again."""
        if any(self._ids.get(topic, of) != of for topic, of in ids.items()):
            self.close()
        self._ids |= ids

    def ends(self, listed: Mapping[Place, int]) -> dict[Place, int]:
        """The ends as they are, given what the embedded broker says: that one counts only one record of the
        last batch."""
        found = dict.fromkeys((place for place, end in listed.items() if not end), 0)
        starts = {place: end - 1 for place, end in listed.items() if end}
        for place, message in self._look(starts, is_end=True).items():
            found[place] = message.offset() or 0
        return found

    def appended_ms(self, offsets: Mapping[Place, int]) -> dict[Place, int]:
        """When the first record from each offset on was appended, Unix time; 0: there is none."""
        return {
            place: 0 if message.error() else as_record(message).appended_ms
            for place, message in self._look(offsets, is_end=False).items()
        }

    def close(self) -> None:
        """Let go of the broker; looked at again, it is reached anew."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None
                self._ids.clear()

    def _look(self, starts: Mapping[Place, int], *, is_end: bool) -> dict[Place, Message]:
        """The first message from each place on, or the one that says where its end is; BusDown."""
        found: dict[Place, Message] = {}
        if not starts:
            return found
        with self._lock:
            consumer = self._consumer = self._consumer or self._connected()
            consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
            until = time.monotonic() + self._client.config.request_s
            while len(found) < len(starts):
                message = consumer.poll(POLL_S)
                if message is not None:
                    error = message.error()
                    is_wanted = error.code() == KafkaError._PARTITION_EOF if error else not is_end
                    if is_wanted:
                        found.setdefault((message.topic() or "", message.partition() or 0), message)
                elif time.monotonic() > until:
                    raise self._client.down(None, doing="looking into topics")
            consumer.unassign()
        return found

    def _connected(self) -> Consumer:
        settings = self._client.consumer(f"{self._client.config.prefix}.probe")
        settings |= {"enable.partition.eof": True, "fetch.message.max.bytes": FETCH_BYTES}
        consumer: Consumer = self._client.made(Consumer, settings)
        return consumer
