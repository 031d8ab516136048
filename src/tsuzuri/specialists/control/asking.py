"""Questions to one revision over the bus, with the answer waited for: what the controller examines with.

It reads a partition of replies that it holds the lease of, like a gateway, so that workers know that somebody
waits. It asks in the batch lane, behind whatever clients ask.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tsuzuri.core.errors import ResourceError
from tsuzuri.specialists.bus.base import Bus, BusDown, Record
from tsuzuri.specialists.messages import (
    Ask,
    Body,
    Delta,
    Envelope,
    Failed,
    Final,
    Malformed,
    Score,
    Scored,
    decode,
    encode,
    new_id,
    now_ms,
)
from tsuzuri.specialists.registry.leases import Held, LeaseTaken
from tsuzuri.specialists.registry.registry import REPLIES, Key, Registry
from tsuzuri.specialists.topics import Topics

LOOK_S = 0.5
"""Between two looks at whether anybody is there who could answer."""
BATCH_TEXTS = 8
"""Of one question for scores."""


class Unanswered(ResourceError):  # noqa: N818 (it reports a state that may pass)
    """No answer came; `is_final` where none will, however often one asks."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Answer:
    """A text that a revision wrote."""

    text: str
    final: Final
    first_s: float
    """From the question to the first text."""


class Asker:
    """Asks, one question at a time."""

    def __init__(
        self, bus: Bus, topics: Topics, registry: Registry, holder: str, closing: threading.Event
    ) -> None:
        """Once `closing` is set, no answer is waited for any more."""
        self._bus, self._topics, self._registry, self._name = bus, topics, registry, holder
        self._closing = closing
        self._lease, self._partition = lease_replies(bus, topics, registry, holder, is_backwards=True)
        self._replies: queue.SimpleQueue[Envelope] = queue.SimpleQueue()
        self._following = bus.follow(topics.replies, self._take, partitions=[self._partition])
        self._following.wait(LOOK_S)

    def answer(self, key: Key, prompt: str, sampling: dict[str, Any], timeout_s: float) -> Answer:
        """What a revision writes after a prompt; Unanswered, BusDown."""
        began, first_s, text = time.monotonic(), None, ""
        body = Ask(specialist=key[0], revision=key[1], prompt=prompt, sampling=sampling)
        for reply in self._ask(key, body, timeout_s):
            if isinstance(reply, Delta | Final):
                text += reply.text
                first_s = time.monotonic() - began if first_s is None and text else first_s
            if isinstance(reply, Final):
                return Answer(text, reply, time.monotonic() - began if first_s is None else first_s)
        raise AssertionError("questions end with an answer or an error")

    def score(self, key: Key, texts: Sequence[str], timeout_s: float) -> Scored:
        """How likely texts are to a revision; Unanswered, BusDown."""
        parts = []
        for first in range(0, len(texts), BATCH_TEXTS):
            body = Score(specialist=key[0], revision=key[1], texts=tuple(texts[first : first + BATCH_TEXTS]))
            parts += [reply for reply in self._ask(key, body, timeout_s) if isinstance(reply, Scored)]
        return Scored(
            nats=tuple(value for part in parts for value in part.nats),
            tokens=tuple(value for part in parts for value in part.tokens),
            utf8_bytes=tuple(value for part in parts for value in part.utf8_bytes),
        )

    def close(self) -> None:
        """Ask no more."""
        self._following.close()
        self._lease.close()

    def _ask(self, key: Key, body: Body, timeout_s: float) -> Iterator[Body]:
        """The replies as they come, of which the last ends it; Unanswered, BusDown."""
        identity, now, cluster = new_id(), now_ms(), self._bus.identity()
        envelope = Envelope(
            body,
            id=identity,
            deadline_ms=now + round(1000 * timeout_s),
            reply_topic=self._topics.replies,
            reply_partition=self._partition,
            lane="batch",
            sent_ms=now,
            sender=self._name,
        )
        value, headers = encode(envelope)
        topic = self._topics.requests(*key, "batch")
        self._bus.send(Record(topic, value, identity.encode(), tuple(headers)))
        until = time.monotonic() + timeout_s
        name = "/".join(key)
        while time.monotonic() < until:
            try:
                reply = self._replies.get(timeout=LOOK_S)
            except queue.Empty:
                if self._closing.is_set():
                    raise BusDown("whoever asked is being stopped") from None
                if self._bus.identity() != cluster:
                    raise BusDown("the broker has lost the question: it came back empty") from None
                if not self._registry.alive(*key):
                    raise Unanswered(f"nobody is there any more who could answer for {name}") from None
                continue
            if reply.id != identity:
                continue
            if isinstance(reply.body, Failed):
                message = f"{name} did not answer: {reply.body.message} ({reply.body.code})"
                raise Unanswered(message, is_final=not reply.body.is_retryable)
            yield reply.body
            if isinstance(reply.body, Final | Scored):
                return
        raise Unanswered(f"{name} did not answer within {timeout_s:.0f} s")

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                self._replies.put(decode(record.value, record.headers))
            except Malformed:
                continue  # whoever wrote it, it answers nothing


def lease_replies(
    bus: Bus, topics: Topics, registry: Registry, holder: str, *, is_backwards: bool = False
) -> tuple[Held, int]:
    """The lease of a partition of replies that nobody reads, and its number; BusDown where all are taken."""
    partitions = bus.topics().get(topics.replies, 0)
    for number in sorted(range(partitions), reverse=is_backwards):
        if registry.holder(f"{REPLIES}/{number}") is None:
            try:
                return registry.lease(f"{REPLIES}/{number}", holder), number
            except LeaseTaken:
                continue  # somebody was quicker
    raise BusDown(
        f"all {partitions} partitions of {topics.replies} are read by somebody: no gateway more can join",
        hint="stop one, or make the topic again with more partitions",
    )
