"""What a gateway sends: requests, cancellations, dead letters, reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.specialists.bus.base import Bus, Record
from tsuzuri.specialists.dead_letters import dead_letter
from tsuzuri.specialists.gateway.calls import Call
from tsuzuri.specialists.gateway.entry import Entry
from tsuzuri.specialists.messages import (
    Ask,
    Body,
    Cancel,
    Envelope,
    Failed,
    Figures,
    Report,
    Traffic,
    encode,
    now_ms,
)
from tsuzuri.specialists.topics import Topics


class Post:
    """The way from a gateway to the topics of an installation."""

    def __init__(self, bus: Bus, topics: Topics) -> None:
        self._bus, self._topics = bus, topics

    def request(self, call: Call, entry: Entry, *, sender: str, partition: int, left_s: float) -> Record:
        """An attempt, as its target is sent it."""
        target, now = call.target, now_ms()
        body: Body = msgspec.structs.replace(
            call.body, specialist=target.specialist, revision=target.revision
        )
        if isinstance(body, Ask):
            body = msgspec.structs.replace(body, resume=entry.resume())
        envelope = Envelope(
            body,
            id=call.id,
            attempt=entry.attempt,
            deadline_ms=now + round(1000 * left_s),
            reply_topic=self._topics.replies,
            reply_partition=partition,
            epoch=target.epoch,
            lane=call.lane,
            sent_ms=now,
            sender=sender,
            trace=call.trace,
        )
        value, headers = encode(envelope)
        topic = self._topics.requests(target.specialist, target.revision, call.lane)
        # A later attempt goes by another key: perhaps to another partition, whose worker has room for it.
        key = call.id if entry.attempt == 1 else f"{call.id}/{entry.attempt}"
        return Record(topic, value, key.encode(), tuple(headers))

    def cancel(self, call: Call, attempt: int) -> None:
        """Tell workers that nobody wants it up to that attempt; they look at deadlines and leases too."""
        self._say(self._topics.control, call.id, Cancel(ids=(call.id,), attempts=(attempt,)), id=call.id)

    def report(self, name: str, traffic: Sequence[Traffic], *, every_s: float) -> None:
        """Say what went through, and that this gateway lives."""
        body = Report(gateway=name, at_ms=now_ms(), every_ms=round(1000 * every_s), traffic=tuple(traffic))
        self._say(self._topics.beats, name, body)

    def figures(self, body: Figures) -> None:
        """Say what was seen lately."""
        self._say(self._topics.beats, body.gateway, body)

    def bury(self, call: Call, entry: Entry, failure: Failed) -> None:
        """Put a request aside that nobody is to be sent again."""
        assert call.record is not None
        letter = dead_letter(
            call.record,
            topic=self._topics.dead_letters,
            group=self._topics.group(*call.target.key),
            reason=failure.code,
            message=failure.message,
            deaths=entry.deaths,
        )
        with suppress(ResourceError, InputError):  # its client is told in any case
            self._bus.send(letter)

    def _say(self, topic: str, key: str, body: Body, *, id: str = "") -> None:
        value, headers = encode(Envelope(body, id=id, sent_ms=now_ms()))
        with suppress(ResourceError):
            self._bus.send(Record(topic, value, key.encode(), tuple(headers)))
