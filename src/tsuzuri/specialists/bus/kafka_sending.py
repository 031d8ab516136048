"""What sends: one producer, and a thread that tells what became of what was sent.

A producer that survived an embedded broker's loss of everything stays stuck (measured: for more than 45 s),
and one that a broker has disowned sends nothing more: whoever watches the broker has it made anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tsuzuri.specialists.bus.base import BusDown, BusFull, NoPlace, Record
from tsuzuri.specialists.bus.callbacks import guarded
from tsuzuri.specialists.bus.checks import check_size
from tsuzuri.specialists.bus.client import Client, is_code
from tsuzuri.specialists.topics import Topics

Stored = Callable[[Record, BaseException | None], None]

DISOWNED = (
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.UNKNOWN_PRODUCER_ID,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
)
"""The broker takes nothing more of this producer: the embedded one, after records sent again too late."""
POLL_S = 0.1


class Sender:
    """Sends in the order of calls, until `closing` is set; sets `doubt` where it is time to look at the
    broker."""

    def __init__(self, client: Client, *, closing: threading.Event, doubt: threading.Event) -> None:
        self.is_stuck = False
        """Whether the producer does not get on though the broker answers."""
        self.answering_since = time.monotonic()
        """Since when the broker has answered, as far as whoever watches it knows."""
        self._client, self._closing, self._doubt = client, closing, doubt
        self._dead_letters = Topics(client.config.prefix).dead_letters
        self._producer = self._made()
        self._thread = threading.Thread(target=self._tell, name="bus-sent", daemon=True)
        self._thread.start()

    def send(self, record: Record, on_stored: Stored | None = None) -> None:
        """Send; BusFull while too much is unsent, InputError where a record is too large."""
        config = self._client.config
        check_size(record, config.record_bytes * (2 if record.topic == self._dead_letters else 1))
        if self._closing.is_set():
            raise BusDown("this bus is closed")
        try:
            self._producer.produce(
                record.topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
                on_delivery=partial(self._delivered, record, on_stored),
            )
        except BufferError:
            raise BusFull(
                f"{config.unsent:,} records wait for the broker", hint="ask again a little later"
            ) from None
        except KafkaException as error:
            if is_code(error, (KafkaError._UNKNOWN_PARTITION,)):
                raise NoPlace(f"{record.topic} has no partition {record.partition}") from None
            raise self._client.down(error, doing="sending") from None

    def flush(self, timeout_s: float) -> bool:
        """Whether everything sent so far is stored, or has failed."""
        return self._producer.flush(timeout_s) == 0

    def renew(self) -> None:
        """Go on with another producer; what this one has not sent has failed."""
        self.is_stuck = False
        old, self._producer = self._producer, self._made()
        _abandon(old)

    def close(self) -> None:
        """Stop, once `closing` is set; what is unsent has failed."""
        if self._thread is not threading.current_thread():
            self._thread.join()
        _abandon(self._producer)

    def _made(self) -> Producer:
        producer: Producer = self._client.made(Producer, self._client.producer(self._failed))
        return producer

    def _delivered(
        self, record: Record, on_stored: Stored | None, error: KafkaError | None, message: Message
    ) -> None:
        if error is not None and error.code() in DISOWNED:
            self.is_stuck = True
            self._doubt.set()
        elif error is not None and error.code() == KafkaError._MSG_TIMED_OUT:
            answering_s = time.monotonic() - self.answering_since
            self.is_stuck = self.is_stuck or answering_s > self._client.config.delivery_s
            self._doubt.set()
        if on_stored is None:
            return
        if error is not None:
            failure = self._client.down(KafkaException(error), doing=f"sending to {record.topic}")
            with guarded():
                on_stored(record, failure)
            return
        _, at_ms = message.timestamp()
        stored = Record(
            record.topic,
            value=record.value,
            key=record.key,
            headers=record.headers,
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            appended_ms=max(0, at_ms),
        )
        with guarded():
            on_stored(stored, None)

    def _failed(self, error: KafkaError) -> None:
        """The producer met an error: it may be time to look."""
        if error.fatal():
            self.is_stuck = True
        self._doubt.set()

    def _tell(self) -> None:
        """Wait for what became of what was sent, and tell."""
        while not self._closing.is_set():
            try:
                self._producer.poll(POLL_S)
            except KafkaException as error:  # this producer can't go on; the next one is on its way
                self._failed(error.args[0])
                self._closing.wait(POLL_S)


def _abandon(producer: Producer) -> None:
    """What it has not sent has failed; whoever waits for it is told."""
    producer.purge()
    producer.flush(1.0)
