"""Leases: who alone does something, agreed upon in the order of one partition.

A claim is a record with an epoch one above the last. Of several with the same epoch the first by offset
holds; the holder renews with its own epoch; a lower one counts for nothing. A holder that is not heard for as
long as it said is no holder any more, by the reader's clock alone. Who holds learns from the same records
when somebody has taken over, and stops. A broker that came back empty has forgotten who claimed what: whoever
claims a lease there first holds it, however low the epoch, unless the holder of before is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from tsuzuri.core.errors import ResourceError
from tsuzuri.specialists.messages import Envelope, Lease
from tsuzuri.specialists.registry.pulse import Pulse


class LeaseTaken(ResourceError):  # noqa: N818 (it reports a state that may pass)
    """Somebody else holds it."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(
            f"the lease {name!r} is held by {holder}, and only one process at a time may hold it",
            hint="stop that one, or wait for a few seconds if it has died",
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lease stands."""

    lease: Lease
    claim: str
    """Tells claims of one holder's name apart."""
    allowed_s: float
    """Silence after which it is free."""
    since: tuple[float, float]
    is_lost: bool = False
    """Whether the record is one that the broker has no more."""


class Leases:
    """Every lease, as the records say."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._standing: dict[str, Standing] = {}

    def take(self, name: str, envelope: Envelope, lease: Lease) -> bool:
        """Note a record; False where it counts for nothing."""
        now = self._standing.get(name)
        if now is not None and not now.is_lost:
            if lease.epoch < now.lease.epoch:
                return False
            if lease.epoch == now.lease.epoch and envelope.id != now.claim:
                return False
        allowed_s = max(0.0, (lease.until_ms - envelope.sent_ms) / 1000)
        self._standing[name] = Standing(lease, envelope.id, allowed_s, self._pulse.hear())
        return True

    def lose(self, own: Collection[str]) -> None:
        """The broker came back empty; those held here are claimed again as they were."""
        for name, standing in self._standing.items():
            if name not in own:
                self._standing[name] = replace(standing, is_lost=True)

    def forget(self, name: str) -> None:
        """Its key was removed."""
        self._standing.pop(name, None)

    def epoch(self, name: str) -> int:
        """The last one seen; 0: none."""
        return self._standing[name].lease.epoch if name in self._standing else 0

    def holder(self, name: str) -> str | None:
        """Who holds it now."""
        standing = self._standing.get(name)
        if standing is None or not standing.allowed_s:
            return None
        if self._pulse.is_silent(standing.since, standing.allowed_s):
            return None
        return standing.lease.holder

    def claimed(self, name: str) -> str:
        """The claim that was heard last, whether it still holds or not."""
        return self._standing[name].claim if name in self._standing else ""


@dataclass(slots=True)
class Held:
    """A lease that this process asked for, until it is closed."""

    name: str
    holder: str
    ttl_s: float
    claim: str
    epoch: int
    _leases: Leases
    _give_back: Callable[[Held], None]
    renewed_at: float = 0.0
    """`time.monotonic()`."""

    @property
    def is_held(self) -> bool:
        """Whether nobody has taken it over, as far as is known here."""
        return self._leases.claimed(self.name) == self.claim

    def close(self) -> None:
        """Give it back."""
        self._give_back(self)
