"""Topics as they come: partitions assigned by hand, no group; one consumer and thread for many of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from tsuzuri.specialists.bus.base import Place, Record
from tsuzuri.specialists.bus.callbacks import LOG, guarded
from tsuzuri.specialists.bus.client import Client

POLL_S = 0.1
BATCH_RECORDS = 500
FAILED_S = 1.0
"""After what nobody had foreseen."""


class KafkaFollowing:
    """Some partitions of a topic."""

    def __init__(
        self,
        follower: Follower,
        on_records: Callable[[Sequence[Record]], None],
        ends: Mapping[Place, int],
        begin: Literal["beginning", "end"],
    ) -> None:
        self.on_records = on_records
        is_all = begin == "beginning"
        self.starts = {place: OFFSET_BEGINNING if is_all else end for place, end in ends.items()}
        self.left = dict(ends) if is_all else {}
        """What was there when this began and was not handed over yet: its ends."""
        self._follower = follower

    def wait(self, timeout_s: float) -> bool:
        """Whether everything was handed over that was there when this began."""
        with self._follower.changed:
            return self._follower.changed.wait_for(lambda: not self.left, timeout_s)

    def close(self) -> None:
        """Stop."""
        self._follower.drop(self)


class Follower:
    """One consumer, and what is handed what it reads."""

    def __init__(self, client: Client, *, is_urgent: bool) -> None:
        self.changed = threading.Condition()
        self._client, self._is_urgent = client, is_urgent
        self._followings: dict[Place, KafkaFollowing] = {}
        self._is_closed = False
        self._is_stale = False
        """Whether the consumer is one of a broker that lost everything."""
        self._consumer = self._connected()
        self._thread = threading.Thread(target=self._run, name="bus-follower", daemon=True)
        self._thread.start()

    def can_take(self, places: Sequence[Place], *, is_urgent: bool) -> bool:
        """Whether it is of that kind and follows none of these yet."""
        with self.changed:
            return self._is_urgent == is_urgent and not self._followings.keys() & set(places)

    def add(self, following: KafkaFollowing) -> None:
        """Read for it, too."""
        with self.changed:
            self._followings.update(dict.fromkeys(following.starts, following))
            self._finish(following, {place: 0 for place, end in following.left.items() if end == 0})
            if not self._is_stale:
                self._consumer.incremental_assign(
                    [TopicPartition(*place, offset) for place, offset in following.starts.items()]
                )

    def drop(self, following: KafkaFollowing) -> None:
        """Read for it no more."""
        with self.changed:
            mine = [place for place in following.starts if self._followings.get(place) is following]
            for place in mine:
                del self._followings[place]
            if mine and not self._is_stale and not self._is_closed:
                self._consumer.incremental_unassign([TopicPartition(*place) for place in mine])

    def begin_anew(self) -> None:
        """The broker came back empty: read everything there is from its beginning."""
        with self.changed:
            self._is_stale = True

    def close(self) -> None:
        """End the thread and the consumer."""
        with self.changed:
            self._is_closed = True
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _connected(self) -> Consumer:
        group = f"{self._client.config.prefix}.follow"
        settings = self._client.consumer(group, is_urgent=self._is_urgent) | {"enable.partition.eof": True}
        consumer: Consumer = self._client.made(Consumer, settings)
        return consumer

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self._step()
            except Exception:  # who reads nothing more would still look well
                LOG.exception("what is followed could not be read")
                time.sleep(FAILED_S)
        self._consumer.close()

    def _step(self) -> None:
        with self.changed:
            if self._is_stale:
                with suppress(RuntimeError):  # it was closed, and another could not be had
                    self._consumer.close()
                self._consumer = self._connected()
                for following in set(self._followings.values()):
                    self._finish(following, dict.fromkeys(following.left, 0))
                self._consumer.incremental_assign(
                    [TopicPartition(*place, OFFSET_BEGINNING) for place in self._followings]
                )
                self._is_stale = False
        self._hand_over(read(self._consumer, POLL_S, BATCH_RECORDS))

    def _hand_over(self, messages: Sequence[Message]) -> None:
        """Give what was read to whom it is for, in its order; then note how far it came."""
        batches: dict[KafkaFollowing, list[Record]] = {}
        reached: dict[KafkaFollowing, dict[Place, int]] = {}
        with self.changed:
            for message in messages:
                place = (message.topic() or "", message.partition() or 0)
                following = self._followings.get(place)
                error, offset = message.error(), message.offset() or 0
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    LOG.debug("following %s: %s", place[0], error)
                elif following is not None:
                    reached.setdefault(following, {})[place] = offset + (error is None)
                    if error is None:
                        batches.setdefault(following, []).append(as_record(message))
        for following, records in batches.items():
            with guarded():
                following.on_records(records)
        with self.changed:
            for following, ends in reached.items():
                self._finish(following, ends)

    def _finish(self, following: KafkaFollowing, reached: Mapping[Place, int]) -> None:
        for place, offset in reached.items():
            if offset >= following.left.get(place, offset + 1) or not offset:
                following.left.pop(place, None)
        self.changed.notify_all()


def read(consumer: Consumer, timeout_s: float, most: int) -> list[Message]:
    """What is there, at once; waits only while there is nothing."""
    messages: list[Message] = []
    message = consumer.poll(timeout_s)
    while message is not None:
        messages.append(message)
        if len(messages) >= most:
            break
        message = consumer.poll(0)
    return messages


def as_record(message: Message) -> Record:
    """A record as the client gives it."""
    headers = message.headers() or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    kind, at_ms = message.timestamp()
    return Record(
        message.topic() or "",
        value=message.value(),
        key=message.key(),
        headers=tuple((name, content if isinstance(content, bytes) else b"") for name, content in pairs),
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        appended_ms=max(0, at_ms) if kind else 0,
    )
