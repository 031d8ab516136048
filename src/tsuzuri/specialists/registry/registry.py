"""Who there is: revisions and their state, what is wanted, who holds which lease, the routes, who lives.

Everybody reads all of it (`known.py`) and nobody is asked. What this process has put it puts again where it
was not stored, and when a broker came back empty: then in the words that the view last had, for a decision
may have come since. Everything here may be called from any thread; callbacks come on a thread of the bus or
of the registry and may not block.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from tsuzuri.specialists.bus.base import Bus, BusDown, BusFull, Record
from tsuzuri.specialists.messages import (
    Body,
    Descriptor,
    Envelope,
    Figures,
    Lease,
    Report,
    Route,
    Wanted,
    encode,
    new_id,
    now_ms,
)
from tsuzuri.specialists.registry.known import Known
from tsuzuri.specialists.registry.leases import Held, LeaseTaken
from tsuzuri.specialists.registry.pulse import Clock
from tsuzuri.specialists.registry.view import LEASE, ROUTE, View
from tsuzuri.specialists.steady import Steady
from tsuzuri.specialists.topics import Topics

CONTROLLER = "controller"
"""The lease of whoever decides about admission and routes."""
REPLIES = "replies"
"""`replies/3`: the lease of whoever reads the third partition of replies."""
TICK_S = 0.2
LEASE_S = 6.0
RENEWALS = 3
"""Of a lease, within the time that it says."""

Key = tuple[str, str]
"""Specialist and revision."""


class Registry(Known):
    """All of it, and what this process says in it.

    With `keeps_all` it is not only what this process has put that is put again after a loss, but whatever was
    there.
    """

    def __init__(
        self, bus: Bus, topics: Topics, *, keeps_all: bool = False, clock: Clock = time.monotonic
    ) -> None:
        super().__init__(View(topics.routes, clock=clock))
        self._bus, self._topics, self._keeps_all = bus, topics, keeps_all
        self._own: dict[str, Body] = {}
        self._unsent: set[str] = set()
        self._held: dict[str, Held] = {}
        self._callbacks: list[Callable[[str], None]] = []
        self._readers: list[Callable[[Report], None]] = []
        self._watchers: list[Callable[[Figures], None]] = []
        self._is_lost = self._is_closed = False
        self._steady = Steady("registry_failed")
        bus.on_lost(self._note_loss)
        self._followed = [
            bus.follow(topics.registry, self._take, begin="beginning", is_urgent=False),
            bus.follow(topics.routes, self._take, begin="beginning", is_urgent=False),
            bus.follow(topics.beats, self._take, is_urgent=False),
        ]
        self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
        self._thread.start()

    # What comes

    def wait(self, timeout_s: float) -> bool:
        """Whether everything is known that was said before this call."""
        until = time.monotonic() + timeout_s
        return all(item.wait(max(0.0, until - time.monotonic())) for item in self._followed)

    def wait_for(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Whether something came to hold in time; asked again whenever anything is heard."""
        until = time.monotonic() + timeout_s
        while not holds():
            with self._lock:
                left = until - time.monotonic()
                if left <= 0 or self._is_closed:
                    return False
                self._lock.wait(min(left, TICK_S))
        return True

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call it with the key of what is new: `name/revision`, `wanted/…`, `lease/…`, `route/alias`, and
        `beat/instance` where a worker came, went or changed its state."""
        self._callbacks.append(callback)

    def on_report(self, callback: Callable[[Report], None]) -> None:
        """Call it with what gateways report."""
        self._readers.append(callback)

    def on_figures(self, callback: Callable[[Figures], None]) -> None:
        """Call it with what gateways say for whoever watches."""
        self._watchers.append(callback)

    # What this process says

    def put_descriptor(self, body: Descriptor) -> Descriptor:
        """Say what a revision is: as it was put, with the moment."""
        body = msgspec.structs.replace(body, changed_ms=now_ms())
        self._put(f"{body.specialist}/{body.revision}", body)
        return body

    def put_wanted(self, body: Wanted) -> None:
        """Ask supervisors for workers."""
        self._put(f"wanted/{body.specialist}/{body.revision}", body)

    def put_route(self, alias: str, body: Route) -> Route:
        """Say who answers for an alias: the route as it was put, its epoch one above the last."""
        key = ROUTE + alias
        with self._lock:
            known = [
                item.epoch
                for item in (self._view.said.get(key), self._own.get(key))
                if isinstance(item, Route)
            ]
            body = msgspec.structs.replace(body, epoch=max(known, default=0) + 1, changed_ms=now_ms())
            self._own[key] = body
        self._send(key)
        return body

    def put_back(self, kept: dict[str, Body]) -> None:
        """Say what was kept elsewhere over a restart, epochs and all, where nothing else is said by now."""
        with self._lock:
            missing = {key: body for key, body in kept.items() if key not in self._view.said}
        for key, body in missing.items():
            self._put(key, body)

    def drop_descriptor(self, specialist: str, revision: str) -> None:
        """Forget a revision."""
        self._drop(f"{specialist}/{revision}")

    def drop_wanted(self, specialist: str, revision: str) -> None:
        """Ask for no more workers of a revision; supervisors let theirs drain."""
        self._drop(f"wanted/{specialist}/{revision}")

    def lease(self, name: str, holder: str, ttl_s: float = LEASE_S, *, timeout_s: float = 10.0) -> Held:
        """A lease, renewed until it is closed; LeaseTaken where somebody has it; BusDown."""
        with self._lock:
            leases = self._view.leases
            other = leases.holder(name)
            held = Held(name, holder, ttl_s, new_id(), leases.epoch(name) + 1, leases, self._give_back)
            if other is None:
                self._held[name] = held
        if other is None:
            self._renew(held)
            if self.wait_for(lambda: leases.epoch(name) >= held.epoch, timeout_s) and held.is_held:
                return held
            with self._lock:
                self._held.pop(name, None)
                other = leases.holder(name)
        if other is None:
            raise BusDown(
                f"the lease {name!r} could not be asked for: nothing came back in {timeout_s:.0f} s"
            )
        raise LeaseTaken(name, other)

    def flush(self, timeout_s: float) -> bool:
        """Whether all that was said is stored."""
        until = time.monotonic() + timeout_s
        is_sent = self.wait_for(lambda: not self._unsent, timeout_s)
        return self._bus.flush(max(0.0, until - time.monotonic())) and is_sent and not self._unsent

    def close(self) -> None:
        """Give leases back and read no more; what was said stays."""
        for held in list(self._held.values()):
            held.close()
        with self._lock:
            self._is_closed = True
            self._lock.notify_all()
        self._thread.join()
        for item in self._followed:
            item.close()

    # How

    def _put(self, key: str, body: Body) -> None:
        with self._lock:
            self._own[key] = body
        self._send(key)

    def _drop(self, key: str) -> None:
        with self._lock:
            self._own.pop(key, None)
        self._send(key)

    def _give_back(self, held: Held) -> None:
        with self._lock:
            is_ours = self._held.pop(held.name, None) is held and held.is_held
        if is_ours:
            self._renew(held, is_over=True)

    def _renew(self, held: Held, *, is_over: bool = False) -> None:
        now = now_ms()
        until_ms = now if is_over else now + round(1000 * held.ttl_s)
        lease = Lease(holder=held.holder, epoch=held.epoch, until_ms=until_ms)
        held.renewed_at = time.monotonic()
        key = LEASE + held.name
        value, headers = encode(Envelope(lease, id=held.claim, sent_ms=now))
        self._transmit(key, Record(self._topics.registry, value, key.encode(), tuple(headers)), is_kept=False)

    def _send(self, key: str) -> None:
        """Send what this process says under a key: where it says nothing, that nothing stands there."""
        body = self._own.get(key)
        value, headers = encode(Envelope(body, sent_ms=now_ms())) if body else (None, [])
        topic = self._topics.routes if key.startswith(ROUTE) else self._topics.registry
        self._transmit(key, Record(topic, value, key.removeprefix(ROUTE).encode(), tuple(headers)))

    def _transmit(self, key: str, record: Record, *, is_kept: bool = True) -> None:
        def stored(_: Record, error: BaseException | None) -> None:
            if error is not None and is_kept:
                with self._lock:
                    self._unsent.add(key)

        try:
            self._bus.send(record, stored)
        except (BusFull, BusDown) as error:
            stored(record, error)

    def _take(self, records: Sequence[Record]) -> None:
        with self._lock:
            news = [self._view.take(record) for record in records]
            self._lock.notify_all()
        self._tell([item for item in news if isinstance(item, str)])
        for item in news:
            if isinstance(item, Report):
                for reader in self._readers:
                    reader(item)
            elif isinstance(item, Figures):
                for watcher in self._watchers:
                    watcher(item)

    def _tell(self, keys: Sequence[str]) -> None:
        for key in keys:
            for callback in self._callbacks:
                with self._steady:
                    callback(key)

    def _note_loss(self, _: str) -> None:
        with self._lock:
            self._is_lost = True
            self._view.leases.lose({name for name, held in self._held.items() if held.is_held})
            self._lock.notify_all()

    def _run(self) -> None:
        """Renew, send again, notice who has died; until closed."""
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._is_closed or self._is_lost, TICK_S)
                if self._is_closed:
                    return
                is_lost, self._is_lost = self._is_lost, False
                dead = self._view.beats.bury()
                if is_lost:
                    known = self._view.said
                    kept = {**self._own, **known} if self._keeps_all else self._own
                    self._own = {key: known.get(key, body) for key, body in kept.items()}
                    self._unsent |= set(self._own)
                unsent, self._unsent = self._unsent, set()
                now = time.monotonic()
                due = [
                    item
                    for item in self._held.values()
                    if item.is_held and (is_lost or now - item.renewed_at > item.ttl_s / RENEWALS)
                ]
            for key in sorted(unsent):
                with self._steady:
                    self._send(key)
            for item in due:
                with self._steady:
                    self._renew(item)
            self._tell([f"beat/{name}" for name in dead])
