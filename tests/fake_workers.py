"""Workers for tests of the gateway: they speak as real ones do, write what they are told to, and fail."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tsuzuri.specialists.bus.base import Bus, Record, Work
from tsuzuri.specialists.messages import (
    Accepted,
    Ask,
    Beat,
    Body,
    Cancel,
    Delta,
    Descriptor,
    Embed,
    Embedded,
    Envelope,
    Failed,
    Final,
    Resume,
    Route,
    Score,
    Scored,
    decode,
    encode,
    now_ms,
)
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics

BEAT_S = 0.05
TEXT = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"


def answer_of(specialist: str, ask: Ask) -> str:
    """What a worker of a specialist writes."""
    most = int(ask.sampling.get("max_new_tokens", 256))
    return f"{specialist}:{TEXT}"[:most]


class FakeWorker:
    """Writes a character a token, `step_s` apart, until `stop_after` characters of an answer; then `at_stop`
    is called, and where that returns nothing it falls silent. Or it dies before it has said a word."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        specialist: str,
        revision: str,
        instance: str,
        *,
        slots: int = 4,
        step_s: float = 0.0,
        tokenizer: str = "t",
        stop_after: int | None = None,
        at_stop: Callable[[FakeWorker, Envelope], Body | None] = lambda worker, envelope: None,
        dies_at_once: bool = False,
    ) -> None:
        self.bus, self.topics = bus, topics
        self.specialist, self.revision, self.instance = specialist, revision, instance
        self.slots, self.step_s, self.stop_after, self.at_stop = slots, step_s, stop_after, at_stop
        self.tokenizer, self.dies_at_once = tokenizer, dies_at_once
        self.asked: list[Envelope] = []
        self.cancelled: dict[str, float] = {}
        """Up to which attempt."""
        self.busy = 0
        self._is_dead = threading.Event()
        bus.ensure(topics.request_specs(specialist, revision))
        self._control = bus.follow(topics.control, self._hear)
        self._queue = bus.queue(
            topics.lanes(specialist, revision), topics.group(specialist, revision), capacity=slots
        )
        self._threads = [threading.Thread(target=self._beat), *(self._writer() for _ in range(slots))]
        for thread in self._threads:
            thread.start()

    def die(self) -> None:
        """End at once: nothing is acknowledged or said any more."""
        if self._is_dead.is_set():
            return
        self._is_dead.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._control.close()
        self._queue.close()

    def say(self, body: Body, to: Envelope, *, seq: int = 0, **others: Any) -> None:
        """A reply."""
        fields = {"attempt": to.attempt, "worker": self.instance, **others}
        value, headers = encode(Envelope(body, id=to.id, seq=seq, sent_ms=now_ms(), **fields))
        self.bus.send(
            Record(to.reply_topic, value, to.id.encode(), tuple(headers), partition=to.reply_partition)
        )

    def _writer(self) -> threading.Thread:
        return threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self._is_dead.is_set():
            work = self._queue.take(0.02)
            if work is None:
                continue
            envelope = decode(work.record.value, work.record.headers)
            self.asked.append(envelope)
            self.busy += 1
            try:
                self._answer(work, envelope)
            finally:
                self.busy -= 1

    def _answer(self, work: Work, envelope: Envelope) -> None:
        body = envelope.body
        if isinstance(body, Ask):
            if not self._write(body, envelope):
                return
        elif isinstance(body, Score):
            self.say(Scored(nats=tuple(float(len(text)) for text in body.texts)), envelope)
        elif isinstance(body, Embed):
            self.say(Embedded(vectors=tuple((1.0, 0.0) for _ in body.texts)), envelope)
        if not self._is_dead.is_set():
            self._queue.ack(work)

    def _write(self, ask: Ask, envelope: Envelope) -> bool:
        """Whether it came to an end."""
        if self.dies_at_once:
            self.die()
            return False
        prompt_tokens = len(ask.prompt or ask.ids) or sum(len(one["content"]) for one in ask.messages)
        self.say(Accepted(prompt_tokens=prompt_tokens), envelope)
        resume = ask.resume or Resume(text="")
        text, seq = answer_of(self.specialist, ask), 0
        for place in range(len(resume.text), len(text)):
            if self._is_dead.is_set():
                return False
            if envelope.attempt <= self.cancelled.get(envelope.id, 0):
                self.say(Final(finish="cancelled", sha256=_sum(text[:place])), envelope, seq=seq)
                return True
            if self.stop_after is not None and place >= self.stop_after:
                told = self.at_stop(self, envelope)
                if told is None:
                    self._is_dead.wait()
                    return False
                self.say(told, envelope, seq=seq)
                return True
            self.say(Delta(text=text[place], ids=(place,)), envelope, seq=seq)
            seq += 1
            if self.step_s:
                time.sleep(self.step_s)
        most = int(ask.sampling.get("max_new_tokens", 256))
        final = Final(
            finish="length" if len(text) == most else "stop",
            prompt_tokens=prompt_tokens,
            completion_tokens=len(text),
            sha256=_sum(text),
        )
        self.say(final, envelope, seq=seq)
        return True

    def _hear(self, records: Sequence[Record]) -> None:
        for record in records:
            body = decode(record.value, record.headers).body
            if isinstance(body, Cancel):
                last = body.attempts or (math.inf,) * len(body.ids)
                self.cancelled |= dict(zip(body.ids, last, strict=True))

    def _beat(self) -> None:
        while not self._is_dead.is_set():
            beat = Beat(
                instance=self.instance,
                specialist=self.specialist,
                revision=self.revision,
                at_ms=now_ms(),
                every_ms=round(1000 * BEAT_S),
                slots=self.slots,
                running=self.busy,
            )
            value, headers = encode(Envelope(beat, sent_ms=now_ms()))
            self.bus.send(Record(self.topics.beats, value, self.instance.encode(), tuple(headers)))
            self._is_dead.wait(BEAT_S)


def admit(
    registry: Registry,
    alias: str,
    shares: dict[str, dict[str, float]],
    *,
    generalist: str = "general",
    tokenizers: dict[str, str] | None = None,
    **others: Any,
) -> Route:
    """Say of revisions that they are ready, and who answers for an alias."""
    for name, of in shares.items():
        for revision in of:
            registry.put_descriptor(
                Descriptor(
                    specialist=name,
                    revision=revision,
                    state="ready",
                    tokenizer_sha256=(tokenizers or {}).get(name, "t"),
                    context=256,
                    characters_per_token=1.0,
                    capabilities=("logprobs", "embeddings"),
                    has_chat=True,
                    is_generalist=name == generalist,
                )
            )
    return registry.put_route(alias, Route(epoch=0, shares=shares, generalist=generalist, **others))


def failing(
    code: str, *, is_retryable: bool = True, is_once: bool = False
) -> Callable[[FakeWorker, Envelope], Body]:
    """What says so in place of an answer, every time or once."""

    def told(worker: FakeWorker, envelope: Envelope) -> Body:
        if is_once:
            worker.stop_after = None
        return Failed(code=code, message="as asked", is_retryable=is_retryable)

    return told


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
