"""A member of a consumer group of KIP-848, whose partitions the broker shares out (Apache Kafka from 4.0 on).

What is committed is how far all before it is worked off.
"""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tsuzuri.specialists.bus.callbacks import LOG
from tsuzuri.specialists.bus.kafka_follow import as_record
from tsuzuri.specialists.bus.kafka_reading import Reader


class Member(Reader):
    """One that is told what is its own."""

    def retire(self) -> None:
        """Nothing: what is out goes with its partition."""

    def begin_anew(self) -> None:
        """Nothing: a broker that came back empty does not know its members, tells them so within a heartbeat,
        and they join again, with nothing. (Another consumer would wait for the old one's session to end.)"""

    def _connected(self) -> Consumer:
        """A consumer that has asked to be a member."""
        settings = self._client.member(self._group, self._failed) | {"on_commit": self._committed}
        consumer: Consumer = self._client.made(Consumer, settings)
        consumer.subscribe(
            list(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        return consumer

    def _step(self) -> None:
        self._buffer.add([as_record(message) for message in self._read()])
        self._pause_or_resume()
        self._commit()

    def _leave(self) -> None:
        self._commit(is_last=True)

    def _commit(self, *, is_last: bool = False) -> None:
        """Tell the broker how far each partition is worked off, where it does not know."""
        positions = self._buffer.to_commit(self._topics)
        offsets = [TopicPartition(*place, offset) for place, offset in positions.items()]
        if offsets and is_last:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        elif offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _committed(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        for offset in offsets:
            if failed := error or offset.error:
                LOG.debug("a position of %s was not committed: %s", self._group, failed)
                self._buffer.not_committed((offset.topic, offset.partition))

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._buffer.own([(item.topic, item.partition) for item in partitions])

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Say what was worked off; the rest is another's."""
        try:
            self._commit()
        except KafkaException as error:
            LOG.debug("a position of %s was not committed: %s", self._group, error)
        self._lost(_, partitions)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._disown([(item.topic, item.partition) for item in partitions])

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            LOG.warning("a member of %s begins again: %s", self._group, error)
            self._is_stale = True
