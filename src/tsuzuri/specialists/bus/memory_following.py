"""What follows topics of the broker within one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tsuzuri.specialists.bus.base import Place, Record

if TYPE_CHECKING:
    from tsuzuri.specialists.bus.memory import MemoryBus


class MemoryFollowing:
    """The records of a topic as they come; handed over by the thread of its bus."""

    def __init__(self, bus: MemoryBus, on_records: Callable[[Sequence[Record]], None]) -> None:
        self._bus = bus
        self.on_records = on_records
        self.positions: dict[Place, int] = {}
        self.wanted: dict[Place, int] = {}
        """Ends when this began."""
        self.handed: dict[Place, int] = {}

    def wait(self, timeout_s: float) -> bool:
        """Whether everything was handed over that was there when this began."""
        changed = self._bus.broker.changed
        with changed:
            return changed.wait_for(
                lambda: all(self.handed[place] >= end for place, end in self.wanted.items()), timeout_s
            )

    def close(self) -> None:
        """Stop."""
        with self._bus.broker.changed:
            if self in self._bus.followings:
                self._bus.followings.remove(self)

    def batch(self) -> list[Record]:
        """What is new, from one partition after the other."""
        records: list[Record] = []
        for place, position in self.positions.items():
            end = self._bus.broker.end(place)
            if position < end:
                log = self._bus.broker.logs[place[0]].partitions[place[1]]
                records += [record for record in log[position:end] if record is not None]
                self.positions[place] = end
        return records
