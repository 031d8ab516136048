"""Where replies to a gateway go: a partition of its own, by a lease. All of this blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, BusDown, Following, Record
from tsuzuri.specialists.control.asking import lease_replies
from tsuzuri.specialists.registry.leases import Held
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics


class Seat:
    """The partition of one gateway."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        registry: Registry,
        name: str,
        on_replies: Callable[[Sequence[Record]], None],
    ) -> None:
        """None yet; `on_replies` is called, on a thread of the bus, with what comes to it."""
        self.partition = -1
        self._bus, self._topics, self._registry = bus, topics, registry
        self._name, self._on_replies = name, on_replies
        self._lease: Held | None = None
        self._following: list[Following] = []

    @property
    def is_taken(self) -> bool:
        """Whether somebody else has it by now (after a long pause, say)."""
        return self._lease is not None and not self._lease.is_held

    def take(self) -> None:
        """Have one, and read it before anybody is told to write there; BusDown."""
        if self.is_taken:
            logs.event("replies_taken_over", partition=self.partition)
        self._lease, self.partition = lease_replies(self._bus, self._topics, self._registry, self._name)
        following = self._bus.follow(self._topics.replies, self._on_replies, partitions=[self.partition])
        self._following.append(following)
        if not following.wait(10.0):
            raise BusDown(f"the broker did not hand over {self._topics.replies} within 10 s")

    def close(self) -> None:
        """Let others have it."""
        for following in self._following:
            following.close()
        if self._lease is not None:
            self._lease.close()
