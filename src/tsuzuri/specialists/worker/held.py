"""The requests that a worker has not acknowledged, and the answers that it remembers. For one event loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tsuzuri.specialists.bus.base import Record, WorkQueue
from tsuzuri.specialists.worker.remembered import Remembered
from tsuzuri.specialists.worker.request import Request

CANCELLED = 4096
"""Ids that are remembered: what overtakes its request counts too."""


class Held:
    """By id and attempt."""

    def __init__(self, queue: WorkQueue, *, remembered: int) -> None:
        self._queue = queue
        self._requests: dict[tuple[str, int], Request] = {}
        self._answered = Remembered(remembered)
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._requests.values()))

    def admit(self, request: Request) -> Sequence[Record] | None:
        """Hold a request: what to answer again, or nothing where it is new. One that was cancelled, that runs
        already, or that a later attempt has overtaken ends here: it is void."""
        others = [held for held in self if held.envelope.id == request.envelope.id]
        same = self._requests.get(request.attempt)
        if same is not None:
            same.works += request.works
            request.is_void = True
        elif request.envelope.id in self._cancelled or any(held.attempt > request.attempt for held in others):
            self._acknowledge(request)
            request.is_void = True
        else:
            for held in others:  # nobody hears them any more
                self.drop(held)
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

    def cancel(self, ids: Sequence[str]) -> list[Request]:
        """Those of these ids; whichever come later are not begun."""
        for request_id in ids:
            self._cancelled[request_id] = None
            if len(self._cancelled) > CANCELLED:
                self._cancelled.popitem(last=False)
        return [held for held in self if held.envelope.id in ids]

    def lose(self) -> None:
        """The broker has forgotten them all: their places are those of other records now."""
        for request in self:
            request.works.clear()
            self.drop(request)
        self._answered.clear()
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

    def _let_go(self, request: Request) -> None:
        if self._requests.pop(request.attempt, None) is not None:
            self._acknowledge(request)
        if not self._requests:
            self._idle.set()

    def _acknowledge(self, request: Request) -> None:
        for work in request.works:
            self._queue.ack(work)
