"""A queue over partitions: a reader fills a buffer, whoever works takes from it."""

from __future__ import annotations

from tsuzuri.specialists.bus.base import Work
from tsuzuri.specialists.bus.client import Client
from tsuzuri.specialists.bus.kafka_buffer import Buffer
from tsuzuri.specialists.bus.kafka_reading import Reader
from tsuzuri.specialists.bus.kafka_reject import Rejecting, Send


class KafkaQueue(Rejecting):
    """What one member is given."""

    def __init__(self, client: Client, send: Send, group: str, buffer: Buffer, reader: Reader) -> None:
        super().__init__(client, send, group)
        self._buffer, self._reader = buffer, reader
        reader.start()

    def take(self, timeout_s: float) -> Work | None:
        """The next record to work off."""
        given = self._buffer.take(timeout_s)
        return None if given is None else Work(given.record, given.deliveries, lease=given)

    def ack(self, work: Work) -> None:
        """It is done with, unless it is somebody else's by now."""
        self._buffer.finish(work.lease)

    def release(self, work: Work, *, delay_s: float = 0.0) -> None:
        """It is given again by this member, or by another when this one has gone."""
        self._buffer.put_back(work.lease, delay_s)

    def extend(self, work: Work) -> None:
        """Nothing: what is out is ours for as long as this process lives."""

    def begin_anew(self) -> None:
        """The broker came back empty."""
        self._reader.begin_anew()

    def close(self, *, drain_s: float = 0.0) -> None:
        """Wait for what is out, say what was worked off, leave the group."""
        self._reader.retire()
        self._buffer.close(drain_s)
        self._reader.stop()
        self._reader.join()
