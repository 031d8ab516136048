"""What tests do over a bus again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from tsuzuri.specialists.bus.base import Bus, BusDown, Record, Work, WorkQueue

OpenBus = Callable[[], Bus]
"""One more bus to the same broker, as another process would have."""
PATIENCE_S = 60.0


def until(what: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
    """Wait for something to be true."""
    deadline = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def store(bus: Bus, records: Sequence[Record]) -> list[Record]:
    """Send records and return them as they were stored."""
    stored: list[Record] = []

    def note(record: Record, error: BaseException | None) -> None:
        assert error is None, error
        stored.append(record)

    for record in records:
        bus.send(record, note)
    assert bus.flush(PATIENCE_S)
    until(lambda: len(stored) == len(records))
    return stored


def take(queue: WorkQueue) -> Work:
    """The next of a queue."""
    work = queue.take(PATIENCE_S)
    assert work is not None
    return work


class Deaf:
    """A bus whose broker may fall silent."""

    is_deaf = False

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def topics(self) -> Any:
        if self.is_deaf:
            raise BusDown("nobody answers")
        return self._bus.topics()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)
