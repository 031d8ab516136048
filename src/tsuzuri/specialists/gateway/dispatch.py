"""Requests on their way: admitted, sent to a worker, handed on as they are answered, sent again, ended.

The ledger (`ledger.py`) says what is to be done about a request; here it is done. All of it runs on one event
loop but what the bus calls, which hands over to it: a batch of replies in one call. A request is accepted
once the ledger holds it; from then on whatever happens to workers and broker is this process' business until
the deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, Record
from tsuzuri.specialists.gateway.calls import (
    BLAMELESS,
    Answer,
    Call,
    Reply,
    Sink,
    error_of,
    nobody,
    unsent,
)
from tsuzuri.specialists.gateway.entry import Effect, End, Entry, Send, Show, Withdraw
from tsuzuri.specialists.gateway.hearing import Hearing
from tsuzuri.specialists.gateway.ledger import Ledger
from tsuzuri.specialists.gateway.living import Living
from tsuzuri.specialists.gateway.pace import Pace
from tsuzuri.specialists.gateway.post import Post
from tsuzuri.specialists.gateway.seat import Seat
from tsuzuri.specialists.messages import (
    Accepted,
    Ask,
    Body,
    Embed,
    Embedded,
    Failed,
    Lane,
    Malformed,
    Score,
    Scored,
    decode,
    new_id,
)
from tsuzuri.specialists.registry.registry import Key, Registry
from tsuzuri.specialists.topics import Topics

NOBODY_S = 0.5
"""Between two looks for a worker for a request that was accepted before they all went."""
DEFAULT_S = 600.0
"""For a request that names no deadline."""


class Dispatch:
    """Requests to specialists, each held until it has ended. Nothing here blocks."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        registry: Registry,
        *,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bus, self.topics, self.registry, self.name = bus, topics, registry, name
        self.ledger = Ledger()
        self.paces: defaultdict[Key, Pace] = defaultdict(Pace)
        self.living = Living(registry)
        self.malformed = 0
        """Replies that were none."""
        self.on_end: Callable[[Call, End], None] = lambda call, end: None
        """Called with each request that has ended."""
        self.seat = Seat(bus, topics, registry, name, self._replies)
        self._post = Post(bus, topics)
        self._clock = clock
        self._hearing = Hearing(clock())
        self._calls: dict[str, Call] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    # What it does for others

    def ask(
        self,
        alias: str,
        specialist: str,
        body: Ask,
        *,
        deadline: float | None,
        lane: Lane = "interactive",
        trace: dict[str, str] | None = None,
        is_strict: bool = False,
        key: str = "",
    ) -> Answer:
        """Begin an answer; Overloaded, InputError, ApiError 503 where nobody is there to write it. Of those
        with one key all go to the same revision, as long as the route has it."""
        request_id = new_id()
        answer = Answer(lambda: self._apply(self.ledger.cancel(request_id)))
        answer.call = self._begin(
            request_id, alias, specialist, body, answer, deadline, lane, is_strict, key, trace
        )
        return answer

    async def score(
        self,
        alias: str,
        specialist: str,
        texts: Sequence[str],
        befores: Sequence[str] = (),
        *,
        deadline: float | None = None,
        lane: Lane = "interactive",
    ) -> Scored:
        """How likely texts are to a specialist."""
        body = Score(specialist=specialist, revision="", texts=tuple(texts), befores=tuple(befores))
        reply = await self._question(alias, specialist, body, deadline, lane)
        assert isinstance(reply, Scored)
        return reply

    async def embed(self, alias: str, specialist: str, texts: Sequence[str]) -> Embedded:
        """Vectors of texts."""
        body = Embed(specialist=specialist, revision="", texts=tuple(texts))
        reply = await self._question(alias, specialist, body)
        assert isinstance(reply, Embedded)
        return reply

    # The way there

    def _begin(
        self,
        request_id: str,
        alias: str,
        specialist: str,
        body: Body,
        sink: Sink,
        deadline: float | None,
        lane: Lane,
        is_strict: bool,
        key: str = "",
        trace: dict[str, str] | None = None,
    ) -> Call:
        now, key = self._clock(), key or request_id
        target = self.living.target(alias, specialist, key, is_strict=is_strict, body=body)
        if target is None:
            raise nobody(specialist)
        until = now + DEFAULT_S if deadline is None else deadline
        self.paces[target.key].admit(lane, name="/".join(target.key), left_s=until - now)
        call = Call(
            request_id, alias, specialist, body, lane, until, sink, target, is_strict, now, key, trace or {}
        )
        self._calls[request_id] = call
        self.paces[target.key].begin(lane)
        entry = self.ledger.open(request_id, deadline=until, now=now)
        try:
            self._transmit(call, entry)
        except (ResourceError, InputError) as error:
            self.ledger.cancel(request_id)
            self._forget(call)
            raise unsent(error) from None
        return call

    async def _question(
        self,
        alias: str,
        specialist: str,
        body: Body,
        deadline: float | None = None,
        lane: Lane = "interactive",
    ) -> Scored | Embedded:
        request_id, reply = new_id(), Reply()
        self._begin(request_id, alias, specialist, body, reply, deadline, lane, True)
        try:
            return await reply.arrived
        except asyncio.CancelledError:
            self._apply(self.ledger.cancel(request_id))
            raise

    def _transmit(self, call: Call, entry: Entry) -> None:
        """Send an attempt to the call's target; BusFull, BusDown, InputError."""
        target = call.target
        call.sent.add(target.key)
        self.ledger.sent(entry, tokenizer=target.tokenizer)
        left_s = call.deadline - self._clock()
        call.record = self._post.request(
            call, entry, sender=self.name, partition=self.seat.partition, left_s=left_s
        )
        attempt = entry.attempt

        def stored(_: Record, error: BaseException | None) -> None:
            if error is not None:
                self._soon(lambda: self._apply(self.ledger.unsent(entry.id, attempt, now=self._clock())))

        self.bus.send(call.record, stored)

    def _again(self, entry: Entry) -> None:
        """Send another attempt, to whoever is there now."""
        call, now = self._calls[entry.id], self._clock()
        self._blame(call, entry.failure)
        target = self.living.target(
            call.alias, call.specialist, call.key, is_strict=call.is_strict, body=call.body
        )
        if target is None:
            self.ledger.postpone(entry, delay_s=NOBODY_S, now=now)
            return
        self.paces[call.target.key].in_flight[call.lane] -= 1
        self.paces[target.key].begin(call.lane)
        call.target, call.accepted_at, call.last_at = target, None, None
        try:
            self._transmit(call, entry)
        except ResourceError:
            self.ledger.postpone(entry, delay_s=NOBODY_S, now=now)
        except InputError as error:  # what was shown has made it too large, say
            self._apply(self.ledger.fail(entry.id, Failed(code="too_long", message=error.message)))

    # What comes back

    def _replies(self, records: Sequence[Record]) -> None:
        self._soon(lambda: self._take(records))

    def _take(self, records: Sequence[Record]) -> None:
        now = self._clock()
        self._hearing.heard(now)
        for record in records:
            try:
                envelope = decode(record.value, record.headers)
            except Malformed:
                self.malformed += 1
                continue
            call = self._calls.get(envelope.id)
            if call is not None and isinstance(envelope.body, Accepted) and call.accepted_at is None:
                call.begun(self.paces[call.target.key], now)
            self._apply(self.ledger.reply(envelope, now=now))

    def _apply(self, effects: Sequence[Effect]) -> None:
        """Do what the ledger says."""
        for effect in effects:
            call = self._calls.get(effect.entry.id)
            if call is None:
                continue
            if isinstance(effect, Send):
                self._again(effect.entry)
            elif isinstance(effect, Show):
                if effect.part.text or effect.part.tokens:
                    call.shown(self.paces[call.target.key], self._clock())
                call.sink.part(effect.entry, effect.part)
            elif isinstance(effect, Withdraw):
                self._post.cancel(call, effect.attempt)
            else:
                self._end(call, effect)

    def _end(self, call: Call, end: End) -> None:
        now, pace = self._clock(), self.paces[call.target.key]
        if end.state in ("done", "expired") and end.reply is not None:
            if call.first_at is None:
                call.shown(pace, now)
            call.sink.end(end.entry, end.state, end.reply)
            began_at = call.accepted_at or call.opened_at
            is_text, is_poor = isinstance(call.body, Ask), call.sink.is_poor
            pace.served(now - began_at, now - call.opened_at, is_text=is_text, is_poor=is_poor)
        elif end.state in ("cancelled", "expired"):
            self._note_silence(call, end.state, now)
            call.sink.end(end.entry, end.state, None)
        else:
            failure = end.failure or Failed(code="unknown", message="")
            self._blame(call, failure)
            if failure.code == "poison":
                self._post.bury(call, end.entry, failure)
            call.sink.fail(end.entry, error_of(failure, call.specialist))
        self._forget(call)
        self.on_end(call, end)

    def _note_silence(self, call: Call, state: str, now: float) -> None:
        """Of a request that a worker had: nothing was shown until its client went, or its time was over."""
        if call.accepted_at is None or call.first_at is not None:
            return
        if state == "expired":
            self._blame(call, Failed(code="silent", message="nothing was shown before its time was over"))
        elif isinstance(call.body, Ask):
            self.paces[call.target.key].waited(now - call.opened_at)

    def _forget(self, call: Call) -> None:
        del self._calls[call.id]
        self.paces[call.target.key].in_flight[call.lane] -= 1

    def _blame(self, call: Call, failure: Failed | None) -> None:
        if failure is not None and failure is not call.blamed and failure.code not in BLAMELESS:
            call.blamed = failure
            self.paces[call.target.key].blame()
            logs.event("specialist_failed", id=call.id, target="/".join(call.target.key), code=failure.code)

    def _soon(self, work: Callable[[], None]) -> None:
        """Do it on the event loop; from any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed: so is everything that waits
                loop.call_soon_threadsafe(work)
