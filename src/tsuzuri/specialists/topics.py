"""Names of the topics that specialists speak over, and what each has to be. Imports no torch.

All of them begin with the prefix of an installation, so that several can share a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tsuzuri.core.errors import InputError
from tsuzuri.specialists.bus.base import Bus, TopicSpec
from tsuzuri.specialists.messages import Lane

LANES: tuple[Lane, ...] = ("interactive", "batch")
"""In the order in which a worker drains them."""
PREFIX = "tsuzuri"

_HOUR_MS = 3_600_000
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one installation."""

    prefix: str = PREFIX

    def __post_init__(self) -> None:
        _check(self.prefix, _REVISION, "a prefix")

    def requests(self, specialist: str, revision: str, lane: Lane) -> str:
        """What the workers of a revision are asked; InputError where a name can't be part of a topic's."""
        return f"{self.group(specialist, revision)}.{lane}"

    def lanes(self, specialist: str, revision: str) -> tuple[str, ...]:
        """All that the workers of a revision are asked, in the order in which they take it."""
        return tuple(self.requests(specialist, revision, lane) for lane in LANES)

    def group(self, specialist: str, revision: str) -> str:
        """The group of the workers of a revision."""
        _check(specialist, _PART, "a specialist")
        _check(revision, _REVISION, "a revision")
        return f"{self.prefix}.req.{specialist}.{revision}"

    @property
    def replies(self) -> str:
        """To gateways: each reads a partition of its own."""
        return f"{self.prefix}.rep"

    @property
    def control(self) -> str:
        """To every worker."""
        return f"{self.prefix}.ctl"

    @property
    def registry(self) -> str:
        """Descriptors, what is wanted, leases; compacted."""
        return f"{self.prefix}.registry"

    @property
    def routes(self) -> str:
        """Which revisions answer; compacted."""
        return f"{self.prefix}.routes"

    @property
    def beats(self) -> str:
        """That workers live."""
        return f"{self.prefix}.beat"

    @property
    def dead_letters(self) -> str:
        """What nobody could work off."""
        return f"{self.prefix}.dlq"

    def specs(self, *, gateways: int = 16) -> tuple[TopicSpec, ...]:
        """Of all but the requests; at most so many gateways at once."""
        return (
            TopicSpec(self.replies, partitions=gateways),
            TopicSpec(self.control),
            TopicSpec(self.registry, is_compacted=True),
            TopicSpec(self.routes, is_compacted=True),
            TopicSpec(self.beats, retention_ms=300_000),
            TopicSpec(
                self.dead_letters,
                retention_ms=30 * 24 * _HOUR_MS,
                settings={"max.message.bytes": "2097152"},  # a record of the largest size and why it is here
            ),
        )

    def request_specs(self, specialist: str, revision: str, *, partitions: int = 4) -> tuple[TopicSpec, ...]:
        """Of a revision's requests; more workers than there are partitions are idle (`partitions_for`)."""
        return tuple(
            TopicSpec(name, partitions=partitions, retention_ms=_HOUR_MS)
            for name in self.lanes(specialist, revision)
        )


def make_topics(bus: Bus, specs: Sequence[TopicSpec]) -> None:
    """Make topics that are missing; those that are there may have any number of partitions."""
    there = bus.topics()
    bus.ensure([replace(spec, partitions=there.get(spec.name, spec.partitions)) for spec in specs])


def partitions_for(workers: int) -> int:
    """Of each lane of a revision that has so many workers: room for as many again."""
    return max(4, 2 * workers)


def _check(name: str, allowed: re.Pattern[str], what: str) -> None:
    if not allowed.fullmatch(name):
        dot = ", dots" if allowed is _REVISION else ""
        raise InputError(
            f"{name!r} can't be the name of {what}: up to 64 of A–Z, a–z, 0–9, - and _{dot}, "
            "beginning with a letter or digit",
            hint="choose another name; what people read is the specialist's title",
        )
