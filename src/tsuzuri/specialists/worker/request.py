"""One attempt at a request, from the queue to the record that ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tsuzuri.specialists.bus.base import Record, Work
from tsuzuri.specialists.messages import (
    Ask,
    Body,
    Delta,
    Embed,
    Embedded,
    Envelope,
    Failed,
    Final,
    Malformed,
    Score,
    Scored,
    addressed,
    decode,
    encode,
    now_ms,
)
from tsuzuri.specialists.registry.registry import LEASE_S, REPLIES
from tsuzuri.specialists.worker.answering import Answering
from tsuzuri.specialists.worker.failures import handed_back

ASKED = Ask | Score | Embed
ENDS = Final | Scored | Embedded | Failed


@dataclass(slots=True, eq=False)
class Request:
    """An attempt that this worker holds."""

    envelope: Envelope
    works: list[Work]
    """All that it was given as: more than one where it came twice."""
    deadline: float | None
    """`time.monotonic()`."""
    taken_at: float = field(default_factory=time.monotonic)
    answering: Answering | None = None
    """Once it has begun."""
    holder: str | None = None
    """Who reads its replies, once known."""
    instead: Failed | None = None
    """What is said at its end, where it was stopped for a reason of this worker's."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the first that was said of it is stored."""
    is_stopped: bool = False
    is_unwanted: bool = False
    """Whether nobody waits for it any more: where its end can't be said, it need not be."""
    is_void: bool = False
    """Whether nobody listens to it any more, nor waits for its acknowledgement."""
    records: list[Record] = field(default_factory=list)
    """What was said."""
    said: int = 0
    """Parts of its answer."""

    @property
    def attempt(self) -> tuple[str, int]:
        """What tells it from all others."""
        return self.envelope.id, self.envelope.attempt

    def is_orphaned(self, holder_of: Callable[[str], str | None]) -> bool:
        """Whether the gateway that waits for it is gone, by who holds the lease of its partition of replies.
        Where nobody is known to hold it, the word of that may be on its way."""
        holder = holder_of(f"{REPLIES}/{self.envelope.reply_partition}")
        self.holder = self.holder or holder
        if self.holder is None:
            return time.monotonic() - self.taken_at > LEASE_S
        return holder != self.holder

    def account(self, end: Body) -> dict[str, Any]:
        """How it ended, in figures, for the log."""
        asked = self.envelope
        how = end.code if isinstance(end, Failed) else end.finish if isinstance(end, Final) else "complete"
        return {
            "id": asked.id,
            "attempt": asked.attempt,
            "kind": type(asked.body).__name__.lower(),
            "lane": asked.lane,
            "end": how,
            "prompt_tokens": getattr(end, "prompt_tokens", None),
            "completion_tokens": getattr(end, "completion_tokens", None),
            "elapsed_ms": round(1000 * (time.monotonic() - self.taken_at), 1),
            "traceparent": asked.trace.get("traceparent"),
        }

    def stop(self, instead: Failed | None = None) -> None:
        """Let it end within a step, with something else said than that it was cancelled."""
        self.instead = self.instead or instead
        self.is_stopped = True
        if self.answering is not None:
            self.answering.cancel()

    def outcome(self, message: Body) -> Body:
        """What is said in place of a message: of one that was stopped, that it is not whole."""
        is_cut = isinstance(message, Final) and message.finish == "cancelled"
        if isinstance(message, Scored) and self.is_stopped:
            return self.instead or handed_back()
        return self.instead if is_cut and self.instead else message

    def record(self, body: Body, worker: str) -> Record:
        """What is sent to say so."""
        asked = self.envelope
        reply = Envelope(
            body,
            id=asked.id,
            attempt=asked.attempt,
            seq=self.said,
            worker=worker,
            epoch=asked.epoch,
            lane=asked.lane,
            sent_ms=now_ms(),
            trace=asked.trace,
        )
        self.said += isinstance(body, Delta)
        value, headers = encode(reply)
        return Record(
            asked.reply_topic, value, asked.id.encode(), tuple(headers), partition=asked.reply_partition
        )


def refusal(work: Work, replies: str, why: str, worker: str) -> Record | None:
    """What tells whoever asked that their record can't be read, if its headers say who that is."""
    failed = Failed(code="malformed", message=f"its worker can't read it: {why}"[:500])
    envelope = addressed(failed, work.record.headers)
    if not envelope.id or envelope.reply_topic != replies:
        return None
    return Request(envelope, [work], None).record(failed, worker)


def read_request(work: Work, replies: str, deadline: Callable[[Envelope], float | None]) -> Request:
    """The request in a record, of those who read that topic; Malformed where it is none."""
    envelope = decode(work.record.value, work.record.headers)
    if not isinstance(envelope.body, ASKED):
        raise Malformed(
            f"{type(envelope.body).__name__.lower()} is nothing that a worker is asked", reason="kind"
        )
    if not envelope.id or envelope.reply_topic != replies:
        raise Malformed(f"a request has no id, or its answer does not go to {replies}", reason="no_reply")
    return Request(envelope, [work], deadline(envelope))
