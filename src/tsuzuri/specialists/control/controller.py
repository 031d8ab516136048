"""Whoever holds the lease `controller` decides about admission and routes: one process, and another after it.

It may run in any process that has a registry (`up`, a gateway). Those that don't hold the lease wait for it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, BusDown, BusFull, Record
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.control.admission import Examiner, Figures, Refused, held_out, with_figures
from tsuzuri.specialists.control.asking import Asker, Unanswered
from tsuzuri.specialists.control.conductor import Conductor, Examination
from tsuzuri.specialists.messages import (
    Body,
    Descriptor,
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
"""Between two tries to get the lease, or to examine what did not answer."""
TRIES = 3
OFF_DOMAIN_TEXTS = 8
"""Of each other domain, on which a revision is measured for the record."""

Decision = tuple[Descriptor | None, Key]
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
        found = self._bus.lag(self._topics.group(*key), self._topics.lanes(*key))
        return sum(item.records for item in found.values())

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
        while not self._is_closed.is_set():
            try:
                item = item or self._inbox.get(timeout=TICK_S)
            except queue.Empty:
                item = None
            try:
                if self._leads():
                    item, taken = None, item
                    self._work(taken)
                elif isinstance(item, Envelope) and self._registry.holder(CONTROLLER) is None:
                    self._is_closed.wait(TICK_S)  # an order is for whoever decides next
                else:
                    item = None
            except TsuzuriError as error:  # what is due now is due at the next tick
                logs.event("controller_waits", problem=error.message)
                self._is_closed.wait(AGAIN_S)

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
            self._conductor.decide(*item)
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


class Examinations:
    """Looks at one revision after another, on a thread of its own."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        registry: Registry,
        config: SpecialistsConfig,
        holder: str,
        decide: Callable[[Decision], None],
    ) -> None:
        self._bus, self._topics, self._registry = bus, topics, registry
        self._config, self._holder, self._decide = config, holder, decide
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="examination")
        self._asker: Asker | None = None
        self._is_closed = threading.Event()

    def begin(self, task: Examination) -> None:
        """Look at a revision when it is its turn."""
        self._pool.submit(self._examine, task)

    def close(self) -> None:
        """End, the present one too."""
        self._is_closed.set()
        self._pool.shutdown(cancel_futures=True)

    def _examine(self, task: Examination) -> None:
        key = (task.revision.specialist, task.revision.revision)
        try:
            found = self._looked_at(task)
        except BaseException as error:
            logs.failure("examination", error, specialist=key[0], revision=key[1])
            found = None
        self._decide((found, key))
        if found is not None and found.state == "ready" and task.generalist is not None:
            try:
                self._off_domain(task.revision, task.generalist)
            except TsuzuriError as error:  # it is for the record alone
                logs.event("off_domain", specialist=key[0], revision=key[1], problem=error.message)

    def _looked_at(self, task: Examination) -> Descriptor | None:
        """The revision, ready or refused; None: nothing could be found out."""
        for _ in range(TRIES):
            if self._is_closed.is_set():
                return None
            try:
                asker = Asker(self._bus, self._topics, self._registry, self._holder)
            except (BusDown, BusFull):
                self._is_closed.wait(AGAIN_S)
                continue
            try:
                return self._judged(Examiner(asker, self._config.gate), task)
            except (Refused, Unanswered) as error:
                if isinstance(error, Refused) or error.is_final:
                    figures = error.figures if isinstance(error, Refused) else None
                    refused = with_figures(task.revision, figures)
                    return msgspec.structs.replace(refused, state="refused", note=error.message)
                self._is_closed.wait(AGAIN_S)
            except (BusDown, BusFull):
                self._is_closed.wait(AGAIN_S)
            finally:
                asker.close()
        return None

    def _judged(self, examiner: Examiner, task: Examination) -> Descriptor:
        """The revision, ready, with its figures; Refused."""
        examiner.golden(task.revision)
        figures: Figures | None = None
        if task.generalist is not None or task.old is not None:
            texts = self._texts(task.texts, task.revision.specialist)
        if task.generalist is not None:
            figures = examiner.against(task.revision, task.generalist, texts)
            examiner.check(figures)
        if task.old is not None:
            self._not_worse(examiner, task.revision, task.old, texts)
        note = f"on its own domain {figures} (the generalist)" if figures else ""
        return msgspec.structs.replace(with_figures(task.revision, figures), state="ready", note=note)

    def _texts(self, path: Path | None, name: str) -> list[str]:
        if path is None:
            raise Refused(f"{name} has no held-out texts on which it could beat the generalist")
        try:
            return held_out(path, self._config.gate.texts)
        except TsuzuriError as error:
            raise Refused(error.message) from error

    def _not_worse(
        self, examiner: Examiner, revision: Descriptor, old: Descriptor, texts: Sequence[str]
    ) -> None:
        figures = examiner.against(revision, old, texts)
        worse = self._config.rollout.worse_bits
        if figures.gain < -worse:
            refusal = Refused(
                f"it is worse than revision {old.revision}: {figures}; allowed are {-worse:+.1%}"
            )
            refusal.figures = figures
            raise refusal

    def _off_domain(self, revision: Descriptor, generalist: Descriptor) -> None:
        """Log what a revision loses on the domains of others; nobody is refused for it."""
        asker = Asker(self._bus, self._topics, self._registry, self._holder)
        losses: dict[str, float] = {}
        try:
            examiner = Examiner(asker, self._config.gate)
            for other in self._config.specialists:
                if other.texts is not None and other.name != revision.specialist:
                    texts = held_out(other.texts, OFF_DOMAIN_TEXTS)
                    losses[other.name] = round(-examiner.against(revision, generalist, texts).gain, 4)
        finally:
            asker.close()
        logs.event("off_domain", specialist=revision.specialist, revision=revision.revision, losses=losses)
