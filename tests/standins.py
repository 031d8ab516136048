"""Workers without a model, for tests of those who watch, examine and replace workers."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import msgspec

from buses import OpenBus
from tsuzuri.specialists.bus.base import BusDown, Record
from tsuzuri.specialists.messages import (
    Accepted,
    Ask,
    Beat,
    Body,
    Delta,
    Descriptor,
    Drain,
    Envelope,
    Failed,
    Final,
    Score,
    Scored,
    State,
    decode,
    encode,
    now_ms,
)
from tsuzuri.specialists.topics import Topics

EVERY_S = 0.1


def record(topic: str, body: Body, key: str = "", **fields: object) -> Record:
    """A message as it is sent."""
    value, headers = encode(Envelope(body, **{"sent_ms": now_ms(), **fields}))  # type: ignore[arg-type]
    return Record(topic, value, key.encode(), tuple(headers))


class StandIn:
    """A worker that announces itself, beats, scores every byte with as many bits, and drains when told to."""

    def __init__(
        self,
        open_bus: OpenBus,
        topics: Topics,
        specialist: str,
        revision: str = "1",
        *,
        bits: float = 2.0,
        answer: str = "むかし、山に人が住んでいた。",
        skew_ms: int = 0,
        capabilities: Sequence[str] = ("prompt_logprobs",),
        announce: bool = True,
    ) -> None:
        self.key = (specialist, revision)
        self.instance = f"{specialist}-{revision}-{id(self):x}"
        self._bits, self._answer, self._skew_ms = bits, answer, skew_ms
        self._topics, self._bus = topics, open_bus()
        self._bus.ensure(topics.request_specs(specialist, revision))
        self._state: State = "loading"
        self._over = threading.Event()
        self.running = 0
        self.descriptor = Descriptor(
            specialist=specialist,
            revision=revision,
            state="loading",
            model_sha256=f"weights of {specialist} {revision}",
            context=1024,
            capabilities=tuple(capabilities),
        )
        self._queue = self._bus.queue(topics.lanes(*self.key), topics.group(*self.key), capacity=8)
        self._control = self._bus.follow(topics.control, self._told)
        if announce:
            self.announce("checking")
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._beat, self._work)]
        for thread in self._threads:
            thread.start()

    def announce(self, state: State) -> None:
        """Say what it is."""
        self._state = state
        described = msgspec.structs.replace(self.descriptor, state=state, changed_ms=now_ms())
        self._bus.send(record(self._topics.registry, described, "/".join(self.key)))

    def stop(self) -> None:
        """Die, as after SIGKILL: without a word."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _told(self, records: Sequence[Record]) -> None:
        for item in records:
            body = decode(item.value, item.headers).body
            if (
                isinstance(body, Drain)
                and body.specialist == self.key[0]
                and body.revision in ("", self.key[1])
            ):
                self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(EVERY_S):
            beat = Beat(
                instance=self.instance,
                specialist=self.key[0],
                revision=self.key[1],
                at_ms=now_ms() + self._skew_ms,
                every_ms=round(1000 * EVERY_S),
                state=self._state,
                running=self.running,
            )
            self._send(record(self._topics.beats, beat, self.instance, sent_ms=now_ms() + self._skew_ms))

    def _work(self) -> None:
        while not self._over.is_set():
            work = self._queue.take(EVERY_S)
            if work is None:
                continue
            envelope = decode(work.record.value, work.record.headers)
            for seq, body in enumerate(self._replies(envelope.body)):
                reply = Envelope(body, id=envelope.id, seq=seq, worker=self.instance, sent_ms=now_ms())
                value, headers = encode(reply)
                place = envelope.reply_partition
                self._send(Record(envelope.reply_topic, value, b"", tuple(headers), place))
            self._queue.ack(work)
        self._queue.close()

    def _replies(self, body: Body) -> list[Body]:
        if isinstance(body, Score):
            sizes = [len(text.encode()) for text in body.texts]
            nats = [
                size * (self._bits + 0.01 * (len(text) % 7)) * math.log(2)
                for size, text in zip(sizes, body.texts, strict=True)
            ]
            return [Scored(nats=tuple(nats), utf8_bytes=tuple(sizes))]
        if isinstance(body, Ask):
            return [
                Accepted(prompt_tokens=3),
                Delta(text=self._answer[:3]),
                Final(finish="stop", text=self._answer[3:]),
            ]
        return [Failed(code="unsupported", message="a stand-in can't")]

    def _send(self, item: Record) -> None:
        try:
            self._bus.send(item)
        except BusDown:
            self._over.set()
