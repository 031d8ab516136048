"""A gateway: requests on their way (`dispatch.py`), and what looks after them while they are.

It has its seat (a partition for replies), keeps its view of who lives, gives up workers that have died,
notices time and the broker's losses, and says every second what went through it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, BusDown
from tsuzuri.specialists.gateway.dispatch import Dispatch
from tsuzuri.specialists.gateway.entry import Entry
from tsuzuri.specialists.gateway.others import Others
from tsuzuri.specialists.messages import Failed
from tsuzuri.specialists.registry.registry import LEASE_S, Key, Registry
from tsuzuri.specialists.steady import Steady
from tsuzuri.specialists.topics import Topics, make_topics, partitions_for

TICK_S = 0.05
REPORT_S = 1.0
REFRESH_S = 1.0
FAREWELL_S = 0.5
"""After a worker is known to be gone, for what it handed back before to arrive."""
UNTAKEN_S = 6.0
"""For which a request may wait for the worker that reads its partition, where another one has room."""
STRANDED_S = 1.0
"""For which a request may wait with a revision that has no worker any more: one of them may still hand it
back, or begin with it."""


class Gateway(Dispatch):
    """One process' part in it all. `open` and `close` block; the rest does not."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        registry: Registry,
        *,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(bus, topics, registry, name=name, clock=clock)
        self.on_forgotten: Callable[[Key], None] = lambda key: None
        """Called with a revision that is known no more."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is anything new of routes, revisions and workers."""
        self._others = Others(name)
        self._known: set[Key] = set()
        """Revisions whose topics the bus knows."""
        self._tasks: list[asyncio.Task[None]] = []

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

    # What it hears of

    def _changed(self, key: str) -> None:
        """Something in the registry is new."""
        self._refresh()
        kind, _, instance = key.partition("/")
        if kind == "beat" and instance not in self.registry.beats and self._loop is not None:
            is_death = self.registry.quiet_s < LEASE_S  # else it is the broker that is away
            self._loop.call_later(FAREWELL_S, partial(self._lost, instance, is_death=is_death))
        self.on_change()

    def _lost(self, instance: str, *, is_death: bool = True) -> None:
        home = None if self.registry.has_left(instance) else self.living.homes.get(instance)
        sent = [call.id for call in self._calls.values() if home in call.sent]
        self._apply(self.ledger.lost(instance, sent, now=self._clock(), is_death=is_death))

    def _broker_lost(self) -> None:
        """The broker came back without its records; the bus has made again the topics it was told of."""
        logs.event("broker_lost", held=len(self.ledger))
        self._apply(self.ledger.resend(now=self._clock()))

    # What time brings

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
            self.bus.forget(self.topics.lanes(*key))
            self.on_forgotten(key)
