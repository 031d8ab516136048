"""The requests that a worker has not acknowledged, and the answers that it remembers. For one event loop."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from tsuzuri.specialists.bus.base import Record, WorkQueue
from tsuzuri.specialists.messages import Cancel
from tsuzuri.specialists.worker.remembered import Remembered
from tsuzuri.specialists.worker.request import Request

Value = TypeVar("Value")

SEEN = 4096
"""Ids that are remembered, with their last attempt, or with when they were cancelled."""


class Held:
    """By id and attempt."""

    def __init__(self, queue: WorkQueue, *, remembered: int) -> None:
        self._queue = queue
        self._requests: dict[tuple[str, int], Request] = {}
        self._answered = Remembered(remembered)
        self._last: OrderedDict[str, int] = OrderedDict()
        self._cancelled: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Up to which attempt, and when, by the clock of who asks."""
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._requests.values()))

    def admit(self, request: Request) -> Sequence[Record] | None:
        """Hold a request: what to answer again, or nothing where it is new. One that was cancelled, that runs
        already, or that a later attempt has overtaken ends here: it is void."""
        request_id, number = request.attempt
        same = self._requests.get(request.attempt)
        if same is not None:
            same.works += request.works
            request.is_void = True
        elif number < self._last.get(request_id, 0) or self._is_cancelled(request):
            self._acknowledge(request)
            request.is_void = True
        else:
            for earlier in [held for held in self if held.envelope.id == request_id]:
                self.drop(earlier)  # nobody hears it any more
            _note(self._last, request_id, number)
            self._requests[request.attempt] = request
            return self._answered.get(request.attempt)
        return None

    def settle(self, request: Request) -> None:
        """The end of its answer is stored."""
        if request.attempt in self._requests:
            self._answered.keep(request.attempt, request.records)
            self._let_go(request)

    def drop(self, request: Request) -> None:
        """Nobody hears it any more: it ends, and is done with."""
        request.is_void = True
        request.stop()
        self._let_go(request)

    def cancel(self, order: Cancel, sent_ms: int) -> list[Request]:
        """Those that are meant: of these ids, up to their attempts, and sent before. What comes later is
        begun only where it is none of them: a further attempt, or a dead letter that is replayed."""
        attempts = dict(zip(order.ids, order.attempts, strict=False))
        for request_id in order.ids:
            _note(self._cancelled, request_id, (attempts.get(request_id, math.inf), sent_ms))
        return [held for held in self if self._is_cancelled(held)]

    def lose(self) -> None:
        """The broker has forgotten them all: their places are those of other records now."""
        for request in self:
            request.works.clear()
            self.drop(request)
        self._answered.clear()
        self._last.clear()
        self._cancelled.clear()

    def extend(self) -> None:
        """They take longer."""
        for request in self:
            for work in request.works:
                self._queue.extend(work)

    async def until_empty(self, timeout_s: float) -> None:
        """Wait for the last to be settled, or for so long."""
        self._idle.clear()
        if self._requests:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), timeout_s)

    def _is_cancelled(self, request: Request) -> bool:
        last, sent_ms = self._cancelled.get(request.envelope.id, (0, 0))
        return request.envelope.attempt <= last and request.envelope.sent_ms <= sent_ms

    def _let_go(self, request: Request) -> None:
        if self._requests.pop(request.attempt, None) is not None:
            self._acknowledge(request)
        if not self._requests:
            self._idle.set()

    def _acknowledge(self, request: Request) -> None:
        for work in request.works:
            self._queue.ack(work)


def _note(seen: OrderedDict[str, Value], request_id: str, value: Value) -> None:
    seen[request_id] = value
    if len(seen) > SEEN:
        seen.popitem(last=False)
