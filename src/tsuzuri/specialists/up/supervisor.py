"""`tsuzuri specialists up`: a broker, a worker process for each specialist, and the API, on one machine.

What is wanted stands in the registry; workers of this machine are started and ended by it, so that `add` and
`replace` need nothing else. What ends is started again. What has to outlive a broker whose records are in
memory is kept in a folder (`kept.py`), which belongs to one `up` at a time.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import locked
from tsuzuri.core.processes import resident_bytes
from tsuzuri.core.progress import say
from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, BusDown, Record
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.config import check_files, read_specialists
from tsuzuri.specialists.control.controller import Controller
from tsuzuri.specialists.messages import Envelope, Order, Wanted, encode, new_id, now_ms
from tsuzuri.specialists.registry.registry import Key, Registry
from tsuzuri.specialists.topics import Topics, make_topics
from tsuzuri.specialists.up.apache import start_apache
from tsuzuri.specialists.up.brokers import Broker, start_embedded
from tsuzuri.specialists.up.children import GRACE_S, USER_ERROR, Child, end_all
from tsuzuri.specialists.up.kept import forget_up, read_state, write_state, write_up
from tsuzuri.specialists.up.workers import Workers
from tsuzuri.specialists.worker.naming import revision_of

TICK_S = 0.05
KNOWN_S = 20.0
"""For the registry to be read once."""
SAVE_EVERY_S = 0.2
GATEWAY = "gateway"
LOOK_S = 5.0
"""Between two looks at how much the embedded broker holds."""
MOST_RECORDS = 4_000
"""In one of its partitions: with each thousand it works 2 ms longer for every further record."""


class Up:
    """Everything that runs. `run` returns once it was told to stop and has."""

    def __init__(
        self,
        path: Path,
        folder: Path,
        *,
        kafka: str | None = None,
        kafka_home: Path | None = None,
        host: str | None = None,
        port: int | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        if kafka is not None and kafka_home is not None:
            raise InputError("--kafka names a broker that runs, --kafka-home one to start: give one of them")
        self._path, self._folder, self._overrides = path, folder, tuple(overrides)
        self._kafka, self._kafka_home = kafka, kafka_home
        self._at = [
            f"--{name}={value}" for name, value in (("host", host), ("port", port)) if value is not None
        ]
        self._config = read_specialists(path, overrides)
        if not self._config.specialists:
            raise InputError(f"{path} names no specialists", hint="specialists: [{name: …, release: …}, …]")
        check_files(self._config)
        self._topics = Topics(self._config.bus.prefix)
        self._is_changed = threading.Event()
        self._stops = 0
        self._asked: dict[str, Any] = {}
        self._shown: dict[Key, str] = {}
        self._looked_at = time.monotonic()
        """At how much the broker holds."""
        self.address = ""
        """Of the API, once it listens."""

    def run(self) -> None:
        """Start all of it, keep it running, and end it in order."""
        with ExitStack() as held:
            held.enter_context(locked(self._folder))
            held.enter_context(self._signals())
            forget_up(self._folder)  # of one that was killed
            held.callback(forget_up, self._folder)
            broker = self._broker()
            if broker is not None:
                held.callback(broker.stop)
            address = broker.address if broker is not None else self._kafka or self._config.bus.bootstrap
            self._bus_config = self._config.bus.model_copy(update={"bootstrap": address})
            bus = open_bus(self._bus_config)
            held.callback(bus.close)
            make_topics(bus, self._topics.specs())
            registry = Registry(bus, self._topics, keeps_all=True)
            held.callback(registry.close)
            self._registry = registry
            self._workers = Workers(registry, self._bus_config, self._folder, beat_s=self._config.beat_s)
            self._recall()
            name = f"up-{new_id()[-12:]}"
            controller = Controller(bus, self._topics, registry, self._config, holder=name)
            held.callback(controller.close)
            gone = self._ask()
            self._gateway = Child(
                GATEWAY,
                ["serve", f"--config={self._path}", f"--kafka={address}", *self._at, *self._set()],
                self._folder / "logs",
            )
            self._note(broker)
            say(f"broker: {address}; logs: {self._folder / 'logs'}")
            try:
                self._keep(bus, controller, gone, broker)
            finally:
                self._end()

    # Beginning

    def _broker(self) -> Broker | None:
        if self._kafka is not None:
            return None
        if self._kafka_home is not None:
            return start_apache(self._kafka_home, self._folder / "kafka")
        return start_embedded(self._folder / "broker")

    def _recall(self) -> None:
        """Say again what was kept, where the broker does not know it."""
        if not self._registry.wait(KNOWN_S):
            raise BusDown(f"the broker did not hand over {self._topics.registry} within {KNOWN_S:.0f} s")
        said, self._asked = read_state(self._folder)
        self._registry.put_back(said)
        if not self._registry.wait_for(lambda: set(said) <= set(self._registry.said()), KNOWN_S):
            raise BusDown(f"the broker did not take what was kept within {KNOWN_S:.0f} s")
        self._registry.on_change(self._note_change)

    def _ask(self) -> list[str]:
        """Want what the file asks for, where it asks for something else than when it was last read: what was
        changed by commands since stays. The names that the file has no more."""
        before, asked, told = self._asked, {}, set[Key]()
        for item in self._config.specialists:
            wanted = Wanted(
                specialist=item.name,
                revision=item.revision or revision_of(item.release, item.engine),
                source=str(item.release.absolute()),
                workers=item.workers,
                engine=dict(item.engine),
                title=item.title,
                texts=str(item.texts.absolute()) if item.texts else "",
                has_gate=item.gate != "none",
                filters=item.said_filters,
            )
            self._topics.group(wanted.specialist, wanted.revision)
            asked[item.name] = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
            if asked[item.name] == before.get(item.name):
                continue
            for specialist, revision in self._registry.wanted:
                if specialist == item.name and revision != wanted.revision:
                    self._registry.drop_wanted(specialist, revision)
            self._registry.put_wanted(wanted)
            told.add((wanted.specialist, wanted.revision))
        self._asked = asked  # kept from here on, and what is wanted with it: an end between them lost that
        known = self._registry.wait_for(lambda: told <= set(self._registry.wanted), KNOWN_S)
        if not known or not self._registry.flush(KNOWN_S):
            raise BusDown(f"the broker did not take what is wanted within {KNOWN_S:.0f} s")
        self._is_changed.set()
        return [name for name in before if name not in asked]

    def _note(self, broker: Broker | None) -> None:
        write_up(
            self._folder,
            bootstrap=self._bus_config.bootstrap,
            prefix=self._bus_config.prefix,
            alias=self._config.alias,
            config=str(self._path.absolute()),
            address=self.address,
            broker="" if broker is None else "apache" if self._kafka_home else "embedded",
        )

    # Running

    def _keep(self, bus: Bus, controller: Controller, gone: list[str], broker: Broker | None) -> None:
        saved_at = 0.0
        while not self._stops:
            self._tend_broker(bus, broker)
            self._tend_gateway(broker)
            self._workers.tend()
            if gone and controller.is_leading:
                for name in gone:
                    order = Order(verb="remove", specialist=name, actor="up")
                    value, headers = encode(Envelope(order, id=new_id(), sent_ms=now_ms()))
                    bus.send(Record(self._topics.control, value, b"*", tuple(headers)))
                gone = []
            if self._is_changed.is_set() and time.monotonic() - saved_at > SAVE_EVERY_S:
                self._is_changed.clear()
                write_state(self._folder, self._registry.said(), self._asked)
                saved_at = time.monotonic()
            self._show()
            time.sleep(TICK_S)

    def _tend_broker(self, bus: Bus, broker: Broker | None) -> None:
        now = time.monotonic()
        if broker is None or broker.is_kept or now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        beats = self._registry.beats.values()
        topics = {spec.name for spec in self._topics.specs()}
        topics.update(*(self._topics.lanes(beat.specialist, beat.revision) for beat in beats))
        try:
            records = max(bus.appended(sorted(topics)).values(), default=0)
        except BusDown:
            return
        size = resident_bytes(broker.pid)
        is_quiet = not any(beat.running or beat.waiting for beat in beats)
        if is_to_renew(size / self._config.broker_bytes, records / MOST_RECORDS, is_quiet=is_quiet):
            held = f"{size >> 20:,} MiB, {records:,} records in a partition"
            say(f"the broker holds {held}: it begins anew, empty")
            broker.renew()

    def _tend_gateway(self, broker: Broker | None) -> None:
        child = self._gateway
        status = child.tend()
        if status == USER_ERROR and not self.address:
            raise InputError(f"the API does not start: {child.said()}", hint=f"its log is {child.log}")
        if not self.address and child.printed.exists() and child.is_running:
            self.address = child.printed.read_text(encoding="utf-8").strip()
            if self.address:
                port = self.address.rpartition(":")[2]
                child.arguments = [*child.arguments, f"--port={port}"]  # the same one when it starts again
                self._note(broker)
                say(f"API and playground: {self.address} (model {self._config.alias})")

    def _show(self) -> None:
        for key, item in self._registry.descriptors.items():
            if self._shown.get(key) != item.state:
                self._shown[key] = item.state
                say(f"{'/'.join(key)}: {item.state}{f' ({item.note})' if item.note else ''}")

    def _note_change(self, key: str) -> None:
        if not key.startswith(("beat/", "lease/")):
            self._is_changed.set()

    # Ending

    def _end(self) -> None:
        """The gateway first, which still wants answers, then the workers."""
        drain_s = self._config.server.drain_s + GRACE_S
        end_all([self._gateway], drain_s, lambda: self._stops > 1)
        write_state(self._folder, self._registry.said(), self._asked)
        end_all(self._workers.children, drain_s, lambda: self._stops > 1)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def note(number: int, _: object) -> None:
            self._stops += 1
            logs.event("told_to_stop", signal=signal.Signals(number).name)

        if threading.current_thread() is not threading.main_thread():
            yield  # a test, say, which calls `stop`
            return
        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """As a signal would."""
        self._stops += 1

    def _set(self) -> list[str]:
        return [f"--set={override}" for override in self._overrides]


def is_to_renew(size: float, records: float, *, is_quiet: bool) -> bool:
    """Whether a broker that forgets nothing is to begin anew, by what it holds of what it may: as soon as
    nothing is being answered, or twice as much later in any case."""
    return max(size, records) > (1 if is_quiet else 2)
