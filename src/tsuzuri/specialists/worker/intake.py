"""What comes to a worker: requests from its queue, and what is said to all workers.

Threads of the bus and one of its own bring it; from here on it is on the worker's event loop.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, Following, Record, Work, WorkQueue
from tsuzuri.specialists.messages import (
    NEW_S,
    Cancel,
    Drain,
    Envelope,
    Malformed,
    Report,
    decode,
)
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.worker.background import Background
from tsuzuri.specialists.worker.clocks import Clocks
from tsuzuri.specialists.worker.presence import Presence
from tsuzuri.specialists.worker.request import Request, read_request, refusal
from tsuzuri.specialists.worker.saying import AGAIN_S, BLOCKED_S

TAKE_S = 0.2
PAST_S = 10.0
"""For what was said to every worker before this one came."""


class Receiver(Protocol):
    """Who is handed what comes, on its event loop."""

    @property
    def is_blocked(self) -> bool:
        """Whether nothing more is to be taken for now; asked on another thread."""

    def receive(self, request: Request) -> None:
        """Something to answer."""

    def cancel(self, order: Cancel, sent_ms: int) -> None:
        """Nobody wants some of it any more."""

    def drain(self) -> None:
        """Nothing more is to be taken at all; called on any thread."""


class Intake:
    """Of one worker, until `stopping` is set. All but `is_new` and `start` blocks."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        presence: Presence,
        background: Background,
        receiver: Receiver,
        stopping: threading.Event,
    ) -> None:
        self._bus, self._topics, self._presence = bus, topics, presence
        self._background, self._receiver, self._stopping = background, receiver, stopping
        self.broken: Exception | None = None
        """Why nothing more can be taken."""
        self._clocks, self._reports = Clocks(), Clocks()
        """Of gateways, by all that they say; and by what never waits for a worker."""
        self._thread = threading.Thread(target=self._take, name="worker", daemon=True)
        self._following: Following | None = None

    def join(self, capacity: int) -> WorkQueue:
        """Become one of those who answer, as long as `capacity` requests are not acknowledged; BusDown."""
        key = self._presence.key
        queue = self._bus.queue(self._topics.lanes(*key), self._topics.group(*key), capacity=capacity)
        self._queue = queue
        return queue

    def listen(self) -> None:
        """Hear what is said to all workers. First what is wanted no more: what a worker had taken is given
        again, though it had killed it."""
        self._following = self._bus.follow(self._topics.control, self._control, is_urgent=False)
        past = self._bus.follow(self._topics.control, self._past, begin="beginning", is_urgent=False)
        try:
            if not past.wait(PAST_S):
                logs.event("past_unknown", topic=self._topics.control)
        finally:
            past.close()
        self._presence.registry.on_report(self._heard)

    def start(self) -> None:
        """Take requests."""
        self._thread.start()

    def wait(self) -> None:
        """Until nothing more is taken."""
        self._thread.join()

    def close(self) -> None:
        """Leave."""
        self._queue.close()
        if self._following is not None:
            self._following.close()

    def is_new(self, request: Request) -> bool:
        """Whether nobody else can have been given a request and have died since; asked when it begins."""
        envelope = request.envelope
        is_first = envelope.attempt == 1 and [work.deliveries for work in request.works] == [1]
        return is_first and self._reports.age_s(envelope.sender, envelope.sent_ms) < NEW_S

    # Requests

    def _take(self) -> None:
        """On a thread of its own."""
        while not self._stopping.is_set():
            if self._receiver.is_blocked:
                self._stopping.wait(BLOCKED_S)
                continue
            try:
                work = self._queue.take(TAKE_S)
            except ResourceError as error:
                logs.event("cannot_take", problem=error.message)
                self._stopping.wait(AGAIN_S)
                continue
            except Exception as error:  # who takes nothing more is of no use
                logs.failure("cannot_take", error)
                self.broken = error
                self._receiver.drain()
                return
            if work is not None:
                self._background.soon(partial(self._taken, work))

    def _taken(self, work: Work) -> None:
        try:
            request = read_request(work, self._topics.replies, self._deadline)
        except Malformed as error:
            self._reject(work, error.reason, error.message)
        except Exception as error:  # whatever is in a record, it takes no place for ever
            logs.failure("cannot_read", error)
            self._reject(work, "unforeseen", type(error).__name__)
        else:
            self._receiver.receive(request)

    def _deadline(self, envelope: Envelope) -> float | None:
        """By this process' clock, from what is known of the gateway's."""
        self._clocks.heard(envelope.sender, envelope.sent_ms)
        return self._clocks.deadline(envelope.deadline_ms, envelope.sender, envelope.sent_ms)

    def _reject(self, work: Work, reason: str, message: str) -> None:
        logs.event("rejected", reason=reason)
        self._queue.reject(work, reason=reason, message=message)
        told = refusal(work, self._topics.replies, message, self._presence.instance)
        if told is not None:
            with suppress(ResourceError, InputError):  # who asked has a deadline, too
                self._bus.send(told)

    # What is said to all workers, on a thread of the bus

    def _past(self, records: Sequence[Record]) -> None:
        """Of what was said before this worker came, what still matters to it."""
        self._control(records, is_past=True)

    def _control(self, records: Sequence[Record], *, is_past: bool = False) -> None:
        for record in records:
            try:
                envelope = decode(record.value, record.headers)
            except Malformed:
                continue  # it is not for this worker to say what it is
            body = envelope.body
            if isinstance(body, Cancel):
                self._background.soon(partial(self._receiver.cancel, body, envelope.sent_ms))
            elif isinstance(body, Drain) and not is_past and self._presence.is_meant(body):
                self._receiver.drain()

    def _heard(self, report: Report) -> None:
        for clocks in (self._clocks, self._reports):
            self._background.soon(partial(clocks.heard, report.gateway, report.at_ms))
