"""What a bus is: records are sent, worked off by groups, and followed. Imports no torch and no client.

Delivery is at least once: a record that a queue gave and that was not acknowledged is given again, to
whoever is there. What happens twice must not matter at either end. Everything here may be called from any
thread; callbacks come on a thread of the bus and may not block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tsuzuri.core.errors import ResourceError

Place = tuple[str, int]
"""Topic and partition."""
Position = tuple[str, int, int]
"""And offset."""


class BusFull(ResourceError):  # noqa: N818 (it reports a state that passes)
    """So much is unsent that nothing more is taken."""


class BusDown(ResourceError):  # noqa: N818 (it reports a state that may pass)
    """No broker answers, or the one that does is not what it was."""


class NoPlace(BusDown):
    """The broker is well, but has no such partition, as far as is known here."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is sent, and what arrives."""

    topic: str
    value: bytes | None = None
    """None under a key of a compacted topic: what stood there is gone."""
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = -1
    """To send to; -1: by the key."""
    offset: int = -1
    appended_ms: int = 0
    """Unix time by the broker's clock, in what arrives."""


@dataclass(frozen=True, slots=True)
class Work:
    """A record that a queue gave to be worked off."""

    record: Record
    deliveries: int = 1
    """How often it was given, as far as the queue knows."""
    lease: object = None
    """The queue's own."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it has to be."""

    name: str
    partitions: int = 1
    is_compacted: bool = False
    """Only the last record of each key is kept."""
    retention_ms: int = 600_000
    """Of one that is not compacted."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further ones, by their names in Kafka."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What a group has not worked off yet of a topic."""

    records: int
    """-1: it is not known."""
    oldest_ms: int = 0
    """When the oldest of them was appended, Unix time; 0: there is none, or it is not known."""


class WorkQueue(Protocol):
    """A member of a group, among whose members every record of some topics is shared out.

    Topics that come first are drained first. At most `capacity` records are out at once: what is not taken
    stays with the broker, though the queue goes on telling it that it lives.
    """

    def take(self, timeout_s: float) -> Work | None:
        """The next record to work off; None where none came in time, or the queue is being closed."""

    def ack(self, work: Work) -> None:
        """It is done with; nobody is given it again."""

    def release(self, work: Work, *, delay_s: float = 0.0) -> None:
        """It is given back: somebody, perhaps this member, is given it again."""

    def reject(self, work: Work, *, reason: str, message: str = "") -> None:
        """It can't be worked off: it becomes a dead letter, and is acknowledged once that is stored."""

    def extend(self, work: Work) -> None:
        """It takes longer: nobody else is given it meanwhile."""

    def close(self, *, drain_s: float = 0.0) -> None:
        """Give no more, wait for what is out, say what was acknowledged, leave the group."""


class Following(Protocol):
    """The records of a topic as they come, whoever else reads them."""

    def wait(self, timeout_s: float) -> bool:
        """Whether everything was handed over that was there when this began."""

    def close(self) -> None:
        """Stop."""


class Bus(Protocol):
    """A broker, as one process reaches it."""

    def send(
        self, record: Record, on_stored: Callable[[Record, BaseException | None], None] | None = None
    ) -> None:
        """Send in the order of calls; BusFull, BusDown, NoPlace. `on_stored` gets the record with its
        partition and offset once every replica that has to has it, or the error after which it is not there,
        or perhaps is."""

    def flush(self, timeout_s: float) -> bool:
        """Whether everything sent so far is stored."""

    def queue(self, topics: Sequence[str], group: str, *, capacity: int) -> WorkQueue:
        """Become a member of a group."""

    def follow(
        self,
        topic: str,
        on_records: Callable[[Sequence[Record]], None],
        *,
        partitions: Sequence[int] | None = None,
        begin: Literal["beginning", "end"] = "end",
        is_urgent: bool = True,
    ) -> Following:
        """Be handed the records of a topic (all its partitions, or some), in order within each. What is not
        urgent may come a twentieth of a second later, and costs less while there is nothing."""

    def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Make the topics that are missing; BusDown; InputError where one is otherwise than it has to be."""

    def forget(self, topics: Sequence[str]) -> None:
        """Make topics no more where a broker has lost them, as far as this process goes."""

    def remove(self, topics: Sequence[str]) -> None:
        """Forget topics, and remove them with what is in them; those that are not there are no error. The
        embedded broker keeps them until it begins anew."""

    def topics(self) -> Mapping[str, int]:
        """Name → partitions of every topic."""

    def appended(self, topics: Sequence[str]) -> Mapping[Place, int]:
        """How many records each partition of topics has ever had, for little work: the last few may be
        missing. Topics that are not there are missing too."""

    def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, Lag]:
        """By topic."""

    def identity(self) -> str:
        """Names the cluster and its beginning: another one after the broker came back without its records."""

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call it, with the new identity, once the broker came back empty; what was there is to be made anew
        (topics first, by whoever holds their specs)."""

    def close(self, *, flush_s: float = 5.0) -> None:
        """Send what is unsent, leave every group, stop every thread."""
