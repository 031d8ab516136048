"""What the records of registry, routes and beats come to: a view, with no bus and no thread in it.

    registry (compacted)   specialist/revision          Descriptor
                           wanted/specialist/revision   Wanted
                           lease/name                   Lease
    routes (compacted)     alias                        Route, here under route/alias
    beat                   instance, gateway            Beat, Report, Figures

Lower epochs count for nothing and are counted. Not for several threads at once.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TypeVar

from tsuzuri.specialists.bus.base import Record
from tsuzuri.specialists.messages import Beat, Body, Figures, Lease, Malformed, Report, Route, decode
from tsuzuri.specialists.registry.leases import Leases
from tsuzuri.specialists.registry.pulse import Beats, Clock, Pulse

RESERVED = ("wanted", "lease", "route", "beat")
"""What no specialist may be called: how keys of other things begin."""
ROUTE, LEASE = "route/", "lease/"
Found = TypeVar("Found", bound=Body)


class View:
    """Everything that was said and still holds."""

    def __init__(self, routes_topic: str, *, clock: Clock = time.monotonic) -> None:
        self._routes_topic = routes_topic
        self.pulse = Pulse(clock)
        self.beats, self.leases = Beats(self.pulse), Leases(self.pulse)
        self.said: dict[str, Body] = {}
        """By key: descriptors, wanted, routes."""
        self.ignored: Counter[str] = Counter()
        """Records that counted for nothing: `epoch`, or the reason for which one is malformed."""

    def of(self, kind: type[Found]) -> list[Found]:
        """What holds of one kind."""
        return [body for body in self.said.values() if isinstance(body, kind)]

    def take(self, record: Record) -> str | Report | Figures | None:
        """Read a record: the key of what is new, if anything is; or what a gateway reports."""
        try:
            key = (record.key or b"").decode()
            if record.topic == self._routes_topic:
                key = ROUTE + key
            if record.value is None:
                return self._forget(key)
            envelope = decode(record.value, record.headers)
        except (Malformed, UnicodeDecodeError) as error:
            self.ignored[error.reason if isinstance(error, Malformed) else "key"] += 1
            return None
        body = envelope.body
        if isinstance(body, Report | Figures):
            return body
        if isinstance(body, Beat):
            return f"beat/{body.instance}" if self.beats.take(body) else None
        if isinstance(body, Lease):
            if self.leases.take(key.removeprefix(LEASE), envelope, body):
                return key
            self.ignored["epoch"] += 1
            return None
        return self._say(key, body)

    def _say(self, key: str, body: Body) -> str | None:
        old = self.said.get(key)
        if old == body:
            return None
        if isinstance(body, Route) and isinstance(old, Route) and body.epoch <= old.epoch:
            self.ignored["epoch"] += 1
            return None
        self.said[key] = body
        return key

    def _forget(self, key: str) -> str | None:
        if key.startswith(LEASE):
            self.leases.forget(key.removeprefix(LEASE))
        return key if self.said.pop(key, None) is not None else None
