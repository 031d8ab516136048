"""How replies reach the bus: in order, held back where it takes nothing, the end until it is stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from tsuzuri.specialists.bus.base import Bus, BusDown, BusFull, NoPlace, Record
from tsuzuri.specialists.messages import Accepted, Body, Failed
from tsuzuri.specialists.worker.background import Background
from tsuzuri.specialists.worker.held import Held
from tsuzuri.specialists.worker.request import ENDS, Request

BLOCKED_S = 0.1
"""Between two tries to send where the bus takes nothing."""
AGAIN_S = 1.0
"""Before the end of an answer that was not stored is sent again."""
BEGUN_S = 1.0
"""For the broker to store that a request is begun with; then it is begun with in any case."""
LATE_S = 30.0
"""After a deadline, until the end of an answer may be forgotten that can't be stored."""


class Saying:
    """What one worker says. Whoever waits here reads no more of what an engine writes."""

    def __init__(self, bus: Bus, held: Held, background: Background, instance: str) -> None:
        self._bus, self._held, self._background, self._instance = bus, held, background, instance
        self._blocked = 0

    @property
    def is_blocked(self) -> bool:
        """Whether anything waits for the bus to take it."""
        return self._blocked > 0

    async def say(self, request: Request, message: Body) -> bool:
        """Whether it was sent: not where nobody listens any more, or it is far too late. InputError where it
        is more than the broker takes."""
        record = request.record(message, self._instance)
        is_sent = await self._send(request, record, is_end=isinstance(message, ENDS))
        if is_sent:
            request.records.append(record)
        return is_sent

    async def begin(self, request: Request, *, is_new: bool) -> None:
        """Say that it is begun with, and see that this is stored, unless it is new: see `Worker._answer`."""
        if await self.say(request, Accepted()) and not is_new:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEGUN_S):
                    await request.begun.wait()

    async def repeat(self, request: Request, records: Sequence[Record]) -> None:
        """Say once more what was said: whoever has heard it drops it."""
        request.records = list(records)
        for number, record in enumerate(records, start=1):
            await self._send(request, record, is_end=number == len(records))

    async def _send(self, request: Request, record: Record, *, is_end: bool) -> bool:
        while not request.is_void:
            try:
                self._bus.send(record, partial(self._stored, request, is_end))
                return True
            except (BusFull, BusDown) as error:
                is_late = request.deadline is not None and time.monotonic() > request.deadline + LATE_S
                if is_late or request.is_unwanted:
                    self._held.drop(request)
                is_blocked = not isinstance(error, NoPlace)  # that one is in nobody else's way
                self._blocked += is_blocked
                try:
                    await asyncio.sleep(BLOCKED_S)
                finally:
                    self._blocked -= is_blocked
        return False

    def _stored(self, request: Request, is_end: bool, record: Record, error: BaseException | None) -> None:
        """On a thread of the bus: a record is stored, or is not."""
        if error is not None:
            self._background.soon(partial(self._unsent, request, record, is_end))
            return
        if not request.begun.is_set():
            self._background.soon(request.begun.set)
        if is_end:
            self._background.soon(partial(self._held.settle, request))

    def _unsent(self, request: Request, record: Record, is_end: bool) -> None:
        if is_end:
            self._background.spawn(self._send_later(request, record))
        else:  # its gateway misses a part, of which this attempt can't say more
            message = "a part of the answer could not be sent"
            request.stop(Failed(code="unsent", message=message, is_retryable=True))

    async def _send_later(self, request: Request, record: Record) -> None:
        await asyncio.sleep(AGAIN_S)
        await self._send(request, record, is_end=True)
