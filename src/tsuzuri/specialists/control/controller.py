"""Whoever holds the lease `controller` decides about admission and routes: one process, and another after it.

It may run in any process that has a registry (`up`, a gateway). Those that don't hold the lease wait for it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, BusDown, BusFull, Record
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.control.conductor import Conductor
from tsuzuri.specialists.control.examining import Decision, Examination, Examinations
from tsuzuri.specialists.messages import (
    Body,
    Drain,
    Envelope,
    Malformed,
    Order,
    Outcome,
    Report,
    decode,
    encode,
    now_ms,
)
from tsuzuri.specialists.registry.leases import Held, LeaseTaken
from tsuzuri.specialists.registry.registry import CONTROLLER, LEASE_S, Key, Registry
from tsuzuri.specialists.topics import Topics

TICK_S = 0.1
AGAIN_S = 1.0
"""Between two tries to get the lease."""
MOST_FAILURES = 5
"""One after another, after which whoever decides gives the lease back."""
RESIGNED_S = 3 * AGAIN_S
"""For others to ask for it first."""
Item = Envelope | Report | Decision | None


class Controller:
    """Decides, while it holds the lease. `close` ends it."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        registry: Registry,
        config: SpecialistsConfig,
        *,
        holder: str,
        ttl_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus, self._topics, self._registry, self._config = bus, topics, registry, config
        self._holder, self._ttl_s, self._clock = holder, ttl_s, clock
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._examinations = Examinations(bus, topics, registry, config, holder, self._inbox.put)
        self._unsaid: deque[Record] = deque()
        self._lease: Held | None = None
        self._conductor: Conductor | None = None
        self._next_try = 0.0
        self._is_closed = threading.Event()
        registry.on_report(self._inbox.put)
        self._following = bus.follow(topics.control, self._take, is_urgent=False)
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._thread.start()

    @property
    def is_leading(self) -> bool:
        """Whether this one decides."""
        return self._lease is not None and self._lease.is_held

    def close(self) -> None:
        """Decide no more; another may at once."""
        self._is_closed.set()
        self._inbox.put(None)
        self._thread.join()
        self._following.close()
        self._examinations.close()
        if self._lease is not None:
            self._lease.close()

    # Effects

    def examine(self, task: Examination) -> None:
        """See `Effects`."""
        self._examinations.begin(task)

    def drain(self, key: Key) -> None:
        """See `Effects`."""
        self._say(Drain(specialist=key[0], revision=key[1]))

    def lag(self, key: Key) -> int:
        """See `Effects`."""
        found = self._bus.lag(self._topics.group(*key), self._topics.lanes(*key)).values()
        return sum(item.records for item in found) if all(item.records >= 0 for item in found) else -1

    def tell(self, order: str, text: str, state: str) -> None:
        """See `Effects`."""
        logs.event("order", order=order, state=state, text=text)
        self._say(Outcome(text=text, state=state), order)  # type: ignore[arg-type]

    def forget(self, key: Key) -> None:
        """See `Effects`."""
        self._bus.remove(self._topics.lanes(*key))

    # How

    def _run(self) -> None:
        item: Item = None
        failures = 0
        while not self._is_closed.is_set():
            try:
                item = item or self._inbox.get(timeout=TICK_S)
            except queue.Empty:
                item = None
            try:
                if self._leads():
                    item, taken = None, item
                    self._work(taken)
                    failures = 0
                elif isinstance(item, Envelope) and self._registry.holder(CONTROLLER) is None:
                    self._is_closed.wait(TICK_S)  # an order is for whoever decides next
                else:
                    item = None
            except (BusDown, BusFull) as error:  # what is due now is due at the next tick
                logs.event("controller_waits", problem=error.message)
                self._is_closed.wait(AGAIN_S)
            except Exception as error:
                told = {"problem": error.message} if isinstance(error, TsuzuriError) else {}
                logs.failure("controller", error, **told)
                failures += 1
                if failures == MOST_FAILURES:
                    failures = 0
                    self._resign()
                self._is_closed.wait(AGAIN_S)

    def _resign(self) -> None:
        """Let another decide, if there is one, before this one begins anew."""
        if self._lease is not None:
            self._lease.close()
        self._lease = self._conductor = None
        self._next_try = time.monotonic() + RESIGNED_S
        logs.event("controller_resigns", holder=self._holder)

    def _leads(self) -> bool:
        if self.is_leading:
            return True
        self._conductor = None
        now = time.monotonic()
        if now < self._next_try:
            return False
        self._next_try = now + AGAIN_S
        try:
            self._lease = self._registry.lease(CONTROLLER, self._holder, self._ttl_s)
        except LeaseTaken:
            return False
        self._conductor = Conductor(self._registry, self._config, self, self._holder)
        logs.event("controls", holder=self._holder, epoch=self._lease.epoch)
        return True

    def _work(self, item: Item) -> None:
        assert self._conductor is not None, "who leads has a conductor"
        now = self._clock()
        if isinstance(item, Envelope) and isinstance(item.body, Order):
            self._conductor.order(item.id, item.body, now)
        elif isinstance(item, Report):
            self._conductor.report(item)
        elif isinstance(item, tuple):
            revision, key, problem = item
            self._conductor.decide(revision, key, now, problem)
        self._conductor.tick(now)
        self._say_all()

    def _say(self, body: Body, number: str = "") -> None:
        value, headers = encode(Envelope(body, id=number, sent_ms=now_ms()))
        self._unsaid.append(Record(self._topics.control, value, (number or "*").encode(), tuple(headers)))
        self._say_all()

    def _say_all(self) -> None:
        """Send what there is to say; what can't be sent or is not stored waits for the next tick."""
        for _ in range(len(self._unsaid)):
            record = self._unsaid.popleft()
            try:
                self._bus.send(record, partial(self._said, record))
            except (BusDown, BusFull):
                self._unsaid.appendleft(record)
                return

    def _said(self, record: Record, _: Record, error: BaseException | None) -> None:
        if error is not None and not self._is_closed.is_set():
            self._unsaid.append(record)

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                envelope = decode(record.value, record.headers)
            except Malformed:
                continue  # whoever follows control counts it
            if isinstance(envelope.body, Order):
                self._inbox.put(envelope)
