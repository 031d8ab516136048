"""The gateway: it holds requests (`ledger.py`), sends them to workers, and hands on what they say.

Everything here runs on one event loop but what the bus calls, which hands over to it: a batch of replies in
one call. A request is accepted once the ledger holds it; from then on whatever happens to workers and broker
is this process' business until the deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, BusDown, Record
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
from tsuzuri.specialists.gateway.others import Others
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
from tsuzuri.specialists.registry.registry import LEASE_S, Key, Registry
from tsuzuri.specialists.steady import Steady
from tsuzuri.specialists.topics import Topics, make_topics, partitions_for

TICK_S = 0.05
REPORT_S = 1.0
REFRESH_S = 1.0
FAREWELL_S = 0.5
"""After a worker is known to be gone, for what it handed back before to arrive."""
NOBODY_S = 0.5
"""Between two looks for a worker for a request that was accepted before they all went."""
UNTAKEN_S = 6.0
"""For which a request may wait for the worker that reads its partition, where another one has room."""
STRANDED_S = 1.0
"""For which a request may wait with a revision that has no worker any more: one of them may still hand it
back, or begin with it."""
DEFAULT_S = 600.0
"""For a request that names no deadline."""


class Gateway:
    """Requests to specialists, each held until it has ended. `open` and `close` block; the rest does not."""

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
        self.on_forgotten: Callable[[Key], None] = lambda key: None
        """Called with a revision that is known no more."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is anything new of routes, revisions and workers."""
        self.seat = Seat(bus, topics, registry, name, self._replies)
        self._post = Post(bus, topics)
        self._clock = clock
        self._hearing = Hearing(clock())
        self._others = Others(name)
        self._calls: dict[str, Call] = {}
        self._known: set[Key] = set()
        """Revisions whose topics the bus knows."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # Its life

    def open(self) -> None:
        """Join: topics, a partition for replies, and a view of who there is; BusDown, InputError."""
        make_topics(self.bus, self.topics.specs())
        if not self.registry.wait(10.0):
            raise BusDown(f"the broker did not hand over {self.topics.registry} within 10 s")
        self.seat.take()
        self._refresh()

    async def start(self) -> None:
        """Begin to work, on this event loop."""
        self._loop = asyncio.get_running_loop()
        self._refresh()
        self.registry.on_change(lambda key: self._soon(lambda: self._changed(key)))
        self.registry.on_report(lambda report: self._soon(lambda: self._others.hear(report, self._clock())))
        self.bus.on_lost(lambda identity: self._soon(self._broker_lost))
        self._tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._report())]

    async def stop(self) -> None:
        """End what is still held."""
        for request_id in list(self._calls):
            failure = Failed(code="handed_back", message="the gateway is being stopped")
            self._apply(self.ledger.fail(request_id, failure))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._loop = None

    def close(self) -> None:
        """Leave: nobody answers to this gateway any more."""
        self.seat.close()

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

    # How

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
                call.accepted_at = now
                self.paces[call.target.key].queued_s.append(now - call.opened_at)
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
                    self._time(call)
                call.sink.part(effect.entry, effect.part)
            elif isinstance(effect, Withdraw):
                self._post.cancel(call, effect.attempt)
            else:
                self._end(call, effect)

    def _time(self, call: Call) -> None:
        now, pace = self._clock(), self.paces[call.target.key]
        if call.first_at is None:
            call.first_at = now
            pace.first(now - call.opened_at)
        elif call.last_at is not None:
            pace.gap(now - call.last_at)
        call.last_at = now

    def _end(self, call: Call, end: End) -> None:
        now, pace = self._clock(), self.paces[call.target.key]
        if end.state in ("done", "expired") and end.reply is not None:
            if call.first_at is None:
                self._time(call)
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

    def _changed(self, key: str) -> None:
        """Something in the registry is new."""
        self._refresh()
        kind, _, instance = key.partition("/")
        if kind == "beat" and instance not in self.registry.beats and self._loop is not None:
            is_death = self.registry.quiet_s < LEASE_S  # else it is the broker that is away
            self._loop.call_later(FAREWELL_S, self._lost, instance, is_death)
        self.on_change()

    def _lost(self, instance: str, is_death: bool = True) -> None:
        self._apply(self.ledger.lost(instance, now=self._clock(), is_death=is_death))

    def _broker_lost(self) -> None:
        """The broker came back without its records; the bus has made again the topics it was told of."""
        logs.event("broker_lost", held=len(self.ledger))
        self._apply(self.ledger.resend(now=self._clock()))

    async def _tick(self) -> None:
        refreshed_at, steady = self._clock(), Steady("tick_failed")
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock()
            with steady:
                self.ledger.excuse(self._hearing.deaf_s(now, self.registry.quiet_s), now=now)
                self._apply(self.ledger.tick(now=now, stall_s=self._stall_s))
                if now - refreshed_at > REFRESH_S:
                    refreshed_at = now
                    self._refresh()
                    if self.seat.is_taken:
                        with suppress(ResourceError):
                            await asyncio.to_thread(self.seat.take)
                    await self._keep_topics()
                    self._look_for_stranded()

    def _look_for_stranded(self) -> None:
        """Send again what waits with a revision whose workers have all gone, or for a worker that does not
        take it though others have room."""
        now = self._clock()
        for entry in list(self.ledger):
            key, waited_s = self._calls[entry.id].target.key, now - entry.moved_at
            is_untaken = waited_s > UNTAKEN_S and self.living.has_room(key)
            if is_untaken or (key not in self.living.live and waited_s > STRANDED_S):
                self._apply(self.ledger.stranded(entry.id, now=now))

    def _stall_s(self, entry: Entry) -> float:
        call = self._calls[entry.id]
        return self.paces[call.target.key].stall_s(is_streaming=call.last_at is not None)

    async def _keep_topics(self) -> None:
        """Have the bus know the topics of all who answer: it makes them again where a broker forgot them."""
        for key in [key for key in self.living.live if key not in self._known]:
            with suppress(ResourceError, InputError):
                partitions = partitions_for(len(self.living.live[key]))
                specs = self.topics.request_specs(*key, partitions=partitions)
                await asyncio.to_thread(make_topics, self.bus, specs)
                self._known.add(key)

    async def _report(self) -> None:
        steady = Steady("report_failed")
        while True:
            await asyncio.sleep(REPORT_S)
            with steady:
                told = [pace.report(*key) for key, pace in self.paces.items()]
                traffic = [item for item in told if item is not None]
                self._post.report(self.name, traffic, every_s=REPORT_S)

    def _refresh(self) -> None:
        self.living.refresh()
        others, held = self._others.look(self._clock())
        for key in {*self.living.slots, *self.paces, *held}:
            pace = self.paces[key]
            pace.slots, pace.others = self.living.slots.get(key, 0), held.get(key, Counter())
            pace.gateways = 1 + others
        spared = {*self.living.slots, *self.living.descriptors, *held}
        for key in [key for key in self.paces if key not in spared and not self.paces[key].in_flight.total()]:
            del self.paces[key]
            self._known.discard(key)
            self.on_forgotten(key)

    def _soon(self, work: Callable[[], None]) -> None:
        """Do it on the event loop; from any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed: so is everything that waits
                loop.call_soon_threadsafe(work)
