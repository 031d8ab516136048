"""The requests that a worker has not acknowledged, and the answers that it remembers. For one event loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tsuzuri.specialists.bus.base import Record, WorkQueue
from tsuzuri.specialists.worker.remembered import Remembered
from tsuzuri.specialists.worker.request import Request

SEEN = 4096
"""Ids that are remembered, with their last attempt: what comes late is not begun."""
NONE_MORE = 2**31
"""The last attempt of what was cancelled."""


class Held:
    """By id and attempt."""

    def __init__(self, queue: WorkQueue, *, remembered: int) -> None:
        self._queue = queue
        self._requests: dict[tuple[str, int], Request] = {}
        self._answered = Remembered(remembered)
        self._last: OrderedDict[str, int] = OrderedDict()
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
        elif number < self._last.get(request_id, 0):
            self._acknowledge(request)
            request.is_void = True
        else:
            for earlier in [held for held in self if held.envelope.id == request_id]:
                self.drop(earlier)  # nobody hears it any more
            self._note(request_id, number)
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
            self._note(request_id, NONE_MORE)
        return [held for held in self if held.envelope.id in ids]

    def lose(self) -> None:
        """The broker has forgotten them all: their places are those of other records now."""
        for request in self:
            request.works.clear()
            self.drop(request)
        self._answered.clear()
        self._last.clear()

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

    def _note(self, request_id: str, attempt: int) -> None:
        self._last[request_id] = attempt
        if len(self._last) > SEEN:
            self._last.popitem(last=False)

    def _let_go(self, request: Request) -> None:
        if self._requests.pop(request.attempt, None) is not None:
            self._acknowledge(request)
        if not self._requests:
            self._idle.set()

    def _acknowledge(self, request: Request) -> None:
        for work in request.works:
            self._queue.ack(work)
