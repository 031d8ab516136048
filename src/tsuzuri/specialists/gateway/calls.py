"""What a gateway keeps of a request that it sent, and whom it tells what comes of it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tsuzuri.core.errors import InputError, TsuzuriError
from tsuzuri.serving.engines.base import EngineFailed, Overloaded
from tsuzuri.serving.errors import ApiError
from tsuzuri.serving.models import PromptTooLong, TextDelta, TextFinish, TextToken, Usage
from tsuzuri.specialists.bus.base import BusFull, Record
from tsuzuri.specialists.gateway.entry import Entry, State
from tsuzuri.specialists.gateway.living import Target
from tsuzuri.specialists.gateway.pace import Pace
from tsuzuri.specialists.judging import repetition
from tsuzuri.specialists.messages import Body, Delta, Embedded, Failed, Final, Lane, Scored, Told

RETRY_S = 5.0
"""What a client is told to wait where nobody is there."""
LOOP = 0.5
"""Share of repeated 4-grams in its last characters from which on an answer goes in circles."""
BLAMELESS = (
    "overloaded",
    "handed_back",
    "deadline",
    "too_long",
    "invalid",
    "unsupported",
    "malformed",
    "nobody",
)
"""Codes of failures that say nothing against the revision."""


class Sink(Protocol):
    """Whoever waits for an answer."""

    @property
    def is_poor(self) -> bool:
        """Whether what was shown is empty, or ends in a loop."""

    def part(self, entry: Entry, body: Delta) -> None:
        """More of it."""

    def end(self, entry: Entry, state: State, reply: Body | None) -> None:
        """It is over, and why."""

    def fail(self, entry: Entry, error: BaseException) -> None:
        """There is none."""


@dataclass(slots=True)
class Call:
    """A request on its way."""

    id: str
    alias: str
    specialist: str
    """As asked for."""
    body: Body
    lane: Lane
    deadline: float
    sink: Sink
    target: Target
    is_strict: bool
    """Whether nobody else may answer."""
    opened_at: float
    key: str
    """Those of one key go the same way, as long as the shares allow it."""
    trace: Mapping[str, str] = field(default_factory=dict)
    sent: set[tuple[str, str]] = field(default_factory=set)
    """Revisions that were asked, in any attempt."""
    accepted_at: float | None = None
    first_at: float | None = None
    last_at: float | None = None
    record: Record | None = None
    """As it was sent last."""
    blamed: Failed | None = None
    """The last failure that was counted against a revision."""

    def begun(self, pace: Pace, now: float) -> None:
        """A worker begins with it."""
        self.accepted_at = now
        pace.queued_s.append(now - self.opened_at)

    def shown(self, pace: Pace, now: float) -> None:
        """There was something to show."""
        if self.first_at is None:
            self.first_at = now
            pace.first(now - self.opened_at)
        elif self.last_at is not None:
            pace.gap(now - self.last_at)
        self.last_at = now


class Answer:
    """An answer that a worker writes: `serving.models.TextGeneration`. For one event loop."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.usage = Usage()
        self.filtered: Counter[str] = Counter()
        self.call: Call | None = None
        self.is_accepted = False
        self.tail = ""
        """The last of what was shown, for who looks whether it goes in circles."""
        self._cancel = cancel
        self._pending: deque[TextDelta] = deque()
        self._error: BaseException | None = None
        self._is_over = False
        self._woken = asyncio.Event()

    @property
    def is_poor(self) -> bool:
        """See `Sink`."""
        return not self.tail.strip() or repetition(self.tail) > LOOP

    def cancel(self) -> None:
        """See `TextGeneration`."""
        if not self._is_over:
            self._cancel()

    def __aiter__(self) -> AsyncIterator[TextDelta]:
        return self

    async def __anext__(self) -> TextDelta:
        while not self._pending:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._is_over:
                raise StopAsyncIteration
            self._woken.clear()
            await self._woken.wait()
        return self._pending.popleft()

    def part(self, entry: Entry, body: Delta) -> None:
        """See `Sink`."""
        self._count(entry)
        if body.text or body.tokens:
            self._push(body.text, body.tokens)

    def end(self, entry: Entry, state: State, reply: Body | None) -> None:
        """See `Sink`."""
        self._is_over = True
        self._count(entry)
        if isinstance(reply, Final):
            self.usage.cached_tokens = reply.cached_tokens
            self.filtered.update(reply.filtered)
            self._push(reply.text, reply.tokens, reply.finish)
        else:
            self._push("", (), "cancelled" if state == "cancelled" else "timeout")

    def fail(self, entry: Entry, error: BaseException) -> None:
        """See `Sink`."""
        self._count(entry)
        self._is_over, self._error = True, error
        self._woken.set()

    def _count(self, entry: Entry) -> None:
        self.usage.prompt_tokens = entry.prompt_tokens
        self.usage.completion_tokens = entry.completion_tokens

    def _push(self, text: str, tokens: tuple[Told, ...], finish: TextFinish | None = None) -> None:
        self.tail = (self.tail + text)[-200:]
        told = tuple(TextToken(one.text, one.piece, one.offset, one.logprob, one.top) for one in tokens)
        self._pending.append(TextDelta(text, told, finish))
        self._woken.set()


class Reply:
    """The one reply to a question that is answered at once."""

    is_poor = False

    def __init__(self) -> None:
        self.arrived: asyncio.Future[Scored | Embedded] = asyncio.get_running_loop().create_future()

    def part(self, entry: Entry, body: Delta) -> None:
        """See `Sink`: not of such a question."""

    def end(self, entry: Entry, state: State, reply: Body | None) -> None:
        """See `Sink`."""
        if self.arrived.done():
            return
        if isinstance(reply, Scored | Embedded):
            self.arrived.set_result(reply)
        elif state == "cancelled":
            self.arrived.cancel()
        else:
            self.arrived.set_exception(EngineFailed("no specialist answered in time"))

    def fail(self, entry: Entry, error: BaseException) -> None:
        """See `Sink`."""
        if not self.arrived.done():
            self.arrived.set_exception(error)


def nobody(name: str) -> ApiError:
    """What a client is told where no worker lives that might answer."""
    message = f"no worker of {name} is up: ask again"
    return ApiError(503, "no_specialist", message, retry_after_s=RETRY_S)


def nobody_yet(alias: str) -> ApiError:
    """What a client is told before the first route."""
    message = (
        f"no specialist of {alias} is admitted yet: ask again (`tsuzuri specialists list` tells its operator "
        "who is loading, and who was refused and why)"
    )
    return ApiError(503, "no_specialist", message, retry_after_s=RETRY_S)


def unsent(error: TsuzuriError) -> TsuzuriError:
    """What a client is told of a request that could not be sent: where that may pass, to come again."""
    if isinstance(error, InputError):
        return error
    is_full = isinstance(error, BusFull)
    message = "more waits for the broker than may" if is_full else "the broker takes nothing"
    return ApiError(
        503, "bus_full" if is_full else "bus_down", f"{message}: ask again", retry_after_s=RETRY_S
    )


def error_of(failure: Failed, name: str) -> TsuzuriError:
    """What a client is told of a failure."""
    if failure.code == "too_long":
        return PromptTooLong(failure.message)
    if failure.code == "invalid":
        return InputError(failure.message)
    if failure.code == "unsupported":
        return ApiError(400, "unsupported", failure.message)
    if failure.code == "overloaded":
        return Overloaded(f"{name}: {failure.message}", retry_after_s=failure.retry_after_s or 1.0)
    if failure.code == "malformed":
        message = f"{name}: {failure.message} (perhaps gateway and workers are of different versions)"
        return ApiError(500, "request_not_read", message)
    if failure.code == "nobody":
        return nobody(name)
    if failure.code == "poison":
        message = "every worker that began with this request failed: it was put aside"
        return ApiError(500, "request_put_aside", message)
    return EngineFailed(f"{name}: {failure.message} ({failure.code})")
