"""Topics, positions and the name of a cluster, over Kafka's protocol. Every call waits for its answer.

The embedded broker makes a topic that is asked for by name: we ask for those that are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

from tsuzuri.core.errors import InputError
from tsuzuri.specialists.bus.base import BusDown, Lag, Place, TopicSpec
from tsuzuri.specialists.bus.callbacks import LOG
from tsuzuri.specialists.bus.checks import check_topic
from tsuzuri.specialists.bus.client import EMBEDDED, Client, is_code
from tsuzuri.specialists.bus.kafka_positions import Positions
from tsuzuri.specialists.bus.kafka_probe import Probe
from tsuzuri.specialists.topics import Topics

Answer = TypeVar("Answer")

SLICE_S = 1.0
"""Of waiting for a first answer: between two, it is looked whether the broker has refused us."""
LOOK_S = 2.0
"""Without a first answer, after which it is looked at what is there."""
RESTORE_S = 15.0
COMPACTED = {"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}
"""So that a compacted topic is so soon: Kafka leaves alone what it writes to, for a week."""
TIMED = {"message.timestamp.type": "LogAppendTime"}
"""So that the age of what waits, and how long it is kept, is by the broker's clock and nobody else's."""

UNSETTLED = (KafkaError._NOENT, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)
"""Answers about a topic that was made or moved a moment ago."""


class Admin:
    """What is asked of a cluster beside its records."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._wait_s = client.config.request_s
        self._registry = Topics(client.config.prefix).registry
        self._admin: AdminClient = client.made(AdminClient, client.common())
        self._probe = Probe(client)
        self._positions = Positions(client)

    def identity(self, *, patient: bool = True) -> str:
        """Of the cluster, `/` and of its registry where there is one; BusDown. Patient: not only at once."""
        began_at = time.monotonic()
        while True:
            try:
                cluster = self._admin.describe_cluster(request_timeout=SLICE_S).result(2 * SLICE_S)
                break
            except (KafkaException, TimeoutError) as error:
                self._admin.poll(0)
                waited_s = time.monotonic() - began_at
                if not patient:
                    raise self._client.down(_as_kafka(error), doing="asking for the cluster") from None
                if waited_s >= min(LOOK_S, self._wait_s) or self._client.is_refused:
                    down, is_final = self._client.unreached()
                    if is_final or waited_s >= self._wait_s:
                        raise down from None
        self._admin.poll(0)
        identity = str(cluster.cluster_id)
        self._client.is_embedded = identity.startswith((EMBEDDED, "tansu_cluster"))
        if not self._client.is_embedded or self._registry in self.topics():
            futures = self._admin.describe_topics(
                TopicCollection([self._registry]), request_timeout=self._wait_s
            )
            try:
                return f"{identity}/{futures[self._registry].result(self._wait_s).topic_id}"
            except (KafkaException, TimeoutError) as error:
                if not is_code(error, [KafkaError.UNKNOWN_TOPIC_OR_PART]):
                    raise self._client.down(_as_kafka(error), doing="asking for the registry") from None
        return identity

    def topics(self) -> Mapping[str, int]:
        """Name → partitions of every topic."""
        listed = self._call(lambda: self._admin.list_topics(timeout=self._wait_s), "listing topics")
        return {
            name: len(topic.partitions)
            for name, topic in listed.topics.items()
            if topic.error is None and not name.startswith("__")
        }

    def ends(self, places: Sequence[Place]) -> dict[Place, int]:
        """The offset that the next record of each partition gets."""
        ends = self._offsets(places, OffsetSpec.latest())
        if not self._client.is_embedded:
            return ends
        self._probe.begin_anew_for(self._ids({topic for topic, _ in places}))
        return self._probe.ends(ends)

    def appended(self, topics: Sequence[str]) -> dict[Place, int]:
        """As the broker says it; topics that are not there are missing."""
        return self._offsets(self._places(topics), OffsetSpec.latest())

    def _places(self, topics: Sequence[str]) -> list[Place]:
        there = self.topics()
        return [(topic, number) for topic in topics for number in range(there.get(topic, 0))]

    def _offsets(self, places: Sequence[Place], spec: OffsetSpec) -> dict[Place, int]:
        if not places:
            return {}
        wanted = {TopicPartition(*place): spec for place in places}
        until = time.monotonic() + self._wait_s
        while True:
            futures = self._admin.list_offsets(wanted, request_timeout=self._wait_s)
            try:
                return {
                    (item.topic, item.partition): future.result().offset for item, future in futures.items()
                }
            except KafkaException as error:
                if not is_code(error, UNSETTLED) or time.monotonic() > until:
                    raise self._client.down(error, doing="asking how far topics go") from None
                time.sleep(0.05)

    def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Make the topics that are missing; InputError where one is otherwise than it has to be."""
        there = self.topics()
        missing = [spec for spec in topics if spec.name not in there]
        self._create(missing)
        until = time.monotonic() + self._wait_s
        while not all(spec.name in there for spec in topics):
            if time.monotonic() > until:
                raise BusDown("topics that were just made are not there", hint="look at the broker's log")
            time.sleep(0.02)
            there = self.topics()
        made = {spec.name for spec in missing}
        old = [spec for spec in topics if spec.name not in made]
        policies = self._policies([spec.name for spec in old])
        for spec in topics:
            compacted = "compact" in policies[spec.name] if spec.name in policies else spec.is_compacted
            check_topic(spec, there[spec.name], is_compacted=compacted)

    def _create(self, specs: Sequence[TopicSpec]) -> None:
        if not specs:
            return
        wanted = [
            NewTopic(
                spec.name,
                num_partitions=spec.partitions,
                replication_factor=self._client.config.replication,
                config={**self._settings(spec), **spec.settings},
            )
            for spec in specs
        ]
        futures = self._admin.create_topics(wanted, request_timeout=self._wait_s)
        for name, future in futures.items():
            try:
                future.result(self._wait_s)
            except (KafkaException, TimeoutError) as error:
                if is_code(error, [KafkaError.INVALID_CONFIG, KafkaError.INVALID_REPLICATION_FACTOR]):
                    raise InputError(f"the topic {name} can't be made: {self._client.said(error)}") from None
                if not is_code(error, [KafkaError.TOPIC_ALREADY_EXISTS]):
                    raise self._client.down(_as_kafka(error), doing=f"making the topic {name}") from None

    def _settings(self, spec: TopicSpec) -> dict[str, str]:
        timed = {} if self._client.is_embedded else TIMED
        if spec.is_compacted:
            return {"cleanup.policy": "compact", **COMPACTED, **timed}
        return {"cleanup.policy": "delete", "retention.ms": str(spec.retention_ms), **timed}

    def _policies(self, names: Sequence[str]) -> dict[str, str]:
        """The clean-up policy of each topic."""
        if not names:
            return {}
        wanted = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        futures = self._admin.describe_configs(wanted, request_timeout=self._wait_s)
        policies = {}
        for item, future in futures.items():
            entries = self._call(future.result, "asking for topics' settings")
            policies[item.name] = str(entries["cleanup.policy"].value) if "cleanup.policy" in entries else ""
        return policies

    def close(self) -> None:
        """Let go of the broker."""
        self._probe.close()
        self._positions.close()

    def restore(self, topics: Sequence[TopicSpec]) -> None:
        """Make topics again after the broker lost them; those that somebody's client made otherwise since are
        removed first, over and over for a while."""
        self._probe.close()
        self._positions.close()
        until = time.monotonic() + RESTORE_S
        while True:
            try:
                return self.ensure(topics)
            except InputError as error:
                if time.monotonic() > until:
                    LOG.error("topics could not be made again: %s", error.message)
                    return None
                self.remove(self._otherwise(topics))

    def _otherwise(self, topics: Sequence[TopicSpec]) -> list[str]:
        there = self.topics()
        policies = self._policies([spec.name for spec in topics if spec.name in there])
        return [
            spec.name
            for spec in topics
            if spec.name in there
            and (there[spec.name], "compact" in policies[spec.name]) != (spec.partitions, spec.is_compacted)
        ]

    def remove(self, topics: Sequence[str]) -> None:
        """Remove topics; those that are not there are no error."""
        if not topics:
            return
        for name, future in self._admin.delete_topics(list(topics), request_timeout=self._wait_s).items():
            try:
                future.result(self._wait_s)
            except (KafkaException, TimeoutError) as error:
                if not is_code(error, [KafkaError.UNKNOWN_TOPIC_OR_PART]):
                    raise self._client.down(_as_kafka(error), doing=f"removing the topic {name}") from None

    def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, Lag]:
        """What stands behind the positions that a group has committed."""
        if self._client.config.backend == "share":
            return {topic: Lag(-1) for topic in topics}  # the client can't ask how far a share group is
        places = self._places(topics)
        ends, starts = self.ends(places), self._offsets(places, OffsetSpec.earliest())
        committed = self.committed(group, places)
        firsts = {place: max(starts[place], committed.get(place, 0)) for place in places}
        late = {place: first for place, first in firsts.items() if first < ends[place]}
        appended_ms = self._probe.appended_ms(late)
        return {
            topic: Lag(
                sum(ends[place] - first for place, first in late.items() if place[0] == topic),
                min(
                    (at_ms for place, at_ms in appended_ms.items() if place[0] == topic and at_ms), default=0
                ),
            )
            for topic in topics
        }

    def committed(self, group: str, places: Collection[Place]) -> dict[Place, int]:
        """How far a group is; partitions of which it has said nothing are missing."""
        found: dict[Place, int] = {}
        for name, topics in self.groups(group, {topic for topic, _ in places}).items():
            found |= self.positions(name, [place for place in places if place[0] in topics])
        return found

    def groups(self, group: str, topics: Collection[str]) -> dict[str, tuple[str, ...]]:
        """The groups of the protocol that a group of ours is, and which topics each has: on the embedded
        broker one for each topic as it was made, so that what is said late of one that is gone is said of
        nothing. Topics that are not there are missing."""
        if not self._client.is_embedded:
            return {group: tuple(topics)}
        return {f"{group}:{of}": (topic,) for topic, of in self._ids(topics).items()}

    def _ids(self, topics: Collection[str]) -> dict[str, str]:
        """Which one each topic is of those that had its name; those that are not there are missing."""
        there = self.topics().keys() & set(topics)
        if not there:
            return {}
        futures = self._admin.describe_topics(TopicCollection(sorted(there)), request_timeout=self._wait_s)
        return {
            topic: str(self._call(future.result, "asking for topics").topic_id)
            for topic, future in futures.items()
        }

    def commit(self, group: str, positions: Mapping[Place, int]) -> Future[None]:
        """Say how far a group of the protocol has come; for whom the broker does not know as a member."""
        return self._call(lambda: self._positions.say(group, positions), f"saying how far {group} is")

    def hear(self, wait_s: float = 0.0) -> None:
        """Take in what came of what was said of positions."""
        self._positions.hear(wait_s)

    def positions(self, group: str, places: Sequence[Place]) -> dict[Place, int]:
        """How far a group of the protocol is, of some partitions."""
        if not places:
            return {}
        return self._call(
            lambda: self._positions.of(group, places, self._wait_s), f"asking how far {group} is"
        )

    def share_from_beginning(self, group: str) -> None:
        """Let a share group begin with what is there already, as a group does."""
        entry = ConfigEntry(
            "share.auto.offset.reset", "earliest", incremental_operation=AlterConfigOpType.SET
        )
        wanted = ConfigResource(ConfigResource.Type.GROUP, group, incremental_configs=[entry])
        futures = self._admin.incremental_alter_configs([wanted], request_timeout=self._wait_s)
        self._call(futures[wanted].result, f"preparing the share group {group}")

    def _call(self, ask: Callable[..., Answer], doing: str) -> Answer:
        try:
            return ask()
        except (KafkaException, TimeoutError) as error:
            raise self._client.down(_as_kafka(error), doing=doing) from None


def _as_kafka(error: BaseException) -> Any:
    """None for a time that ran out, which is how it is told of a broker that does not answer."""
    return error if isinstance(error, KafkaException) else None
