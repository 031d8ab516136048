"""Ways to ask over a broker, each with whoever answers: the plain client, the bus, gateway and worker, HTTP.

    bare      confluent-kafka's Producer and Consumer, with the bus' settings; nothing is committed
    bus       Bus.send, WorkQueue.take, Bus.send, Bus.follow; acknowledged once the answer is stored
    gateway   a Gateway in this process, `tsuzuri specialists worker` with a mock engine
    http      `tsuzuri serve --kafka` between them, and a client that keeps its connections

A question has BYTES of text. `bare` and `bus` answer with the same; a worker with the mock engine's text.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from _client import Client, Seen
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.models import Prompt, TextRequest
from tsuzuri.specialists.bus.base import Record, Work, WorkQueue
from tsuzuri.specialists.bus.client import Client as Kafka
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.kafka_admin import Admin
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.gateway.gateway import Gateway
from tsuzuri.specialists.gateway.reach import Reach
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics

BYTES = 500
IN_FLIGHT = 256
PATIENCE_S = 120.0
ALIAS = "bench"
Result = TypeVar("Result")


class Asker(Protocol):
    """One way to ask."""

    parts: int
    """Pieces of answers that came, the last of each included."""

    def one_by_one(self, count: int) -> list[float]:
        """Milliseconds of each of so many, one after the other."""

    def together(self, count: int, in_flight: int = IN_FLIGHT) -> float:
        """Answers a second, with so many asked at a time."""

    def close(self) -> None:
        """Let go of the broker."""


def payload(key: bytes) -> bytes:
    """What is asked."""
    return key.ljust(BYTES, b".")


class Plain:
    """What asks and waits on one thread."""

    def __init__(self) -> None:
        self.parts = 0

    def ask(self, key: bytes) -> None:
        """Ask; `wait` brings the key when the answer has come."""
        raise NotImplementedError

    def wait(self) -> bytes:
        """The key of the next answer."""
        raise NotImplementedError

    def one_by_one(self, count: int) -> list[float]:
        """See `Asker`."""
        times = []
        for number in range(count):
            began = time.perf_counter()
            self.ask(b"%d" % number)
            self.wait()
            times.append((time.perf_counter() - began) * 1000)
        self.parts += count
        return times

    def together(self, count: int, in_flight: int = IN_FLIGHT) -> float:
        """See `Asker`."""
        began = time.perf_counter()
        for number in range(count):
            self.ask(b"%d" % number)
            if number >= in_flight:
                self.wait()
        for _ in range(min(count, in_flight)):
            self.wait()
        self.parts += count
        return count / (time.perf_counter() - began)


class BareAsker(Plain):
    """With the client alone."""

    def __init__(self, config: BusConfig, name: str) -> None:
        super().__init__()
        client = known(config)
        self._asked = f"{name}-asked"
        self._producer = Producer(client.producer(lambda _: None))
        self._consumer = Consumer(client.consumer("bare-answers"))
        end = Admin(client).ends([(f"{name}-answered", 0)])
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in end.items()])

    def ask(self, key: bytes) -> None:
        """See `Plain`."""
        self._producer.produce(self._asked, payload(key), key=key)
        self._producer.poll(0)

    def wait(self) -> bytes:
        """See `Plain`."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            message = self._consumer.poll(0.5)
            self._producer.poll(0)
            if message is not None and message.error() is None:
                return message.key() or b""
        raise SystemExit("no answer came without the bus")

    def close(self) -> None:
        """See `Asker`."""
        self._producer.flush(5)
        self._consumer.close()


class BusAsker(Plain):
    """Over the bus."""

    def __init__(self, config: BusConfig, name: str) -> None:
        super().__init__()
        self._bus, self._asked = open_bus(config), f"{name}-asked"
        self._answers: list[bytes] = []
        self._changed = threading.Condition()
        self._bus.follow(f"{name}-answered", self._came)

    def _came(self, records: Any) -> None:
        with self._changed:
            self._answers += [record.key for record in records]
            self._changed.notify()

    def ask(self, key: bytes) -> None:
        """See `Plain`."""
        self._bus.send(Record(self._asked, payload(key), key=key))

    def wait(self) -> bytes:
        """See `Plain`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._answers, PATIENCE_S):
                raise SystemExit("no answer came over the bus")
            return self._answers.pop(0)

    def close(self) -> None:
        """See `Asker`."""
        self._bus.close()


class OnALoop:
    """What asks on an event loop in a thread, as servers do."""

    def __init__(self) -> None:
        self.parts = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asker", daemon=True)
        self._thread.start()

    async def ask(self, number: int, lane: int) -> None:
        """Ask and wait for the whole answer; each of those that ask together has its lane."""
        raise NotImplementedError

    async def begin(self) -> None:
        """Make ready for a round."""

    def one_by_one(self, count: int) -> list[float]:
        """See `Asker`."""

        async def times() -> list[float]:
            found = []
            await self.begin()
            for number in range(count):
                began = time.perf_counter()
                await self.ask(number, 0)
                found.append((time.perf_counter() - began) * 1000)
            return found

        return self.run(times())

    def together(self, count: int, in_flight: int = IN_FLIGHT) -> float:
        """See `Asker`."""
        numbers = iter(range(count))

        async def lane(place: int) -> None:
            for number in numbers:
                await self.ask(number, place)

        async def all_of_them() -> float:
            await self.begin()
            began = time.perf_counter()
            await asyncio.gather(*map(lane, range(min(count, in_flight))))
            return count / (time.perf_counter() - began)

        return self.run(all_of_them())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What it brings, from the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """See `Asker`."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class GatewayAsker(OnALoop):
    """A gateway that asks a specialist; it is as far from its broker as any."""

    def __init__(self, config: BusConfig, specialist: str, tokens: int) -> None:
        super().__init__()
        self._specialist, self._sampling = specialist, SamplingConfig(max_new_tokens=tokens)
        topics = Topics(config.prefix)
        self._bus = open_bus(config)
        self._registry = Registry(self._bus, topics)
        self.gateway = Gateway(self._bus, topics, self._registry, name=f"bench-{specialist}-{id(self)}")
        self.gateway.open()
        self.run(self.gateway.start())
        if not self._registry.wait_for(lambda: specialist in self.gateway.living.up(ALIAS), PATIENCE_S):
            raise SystemExit(f"no worker of {specialist} is heard")
        self._reach = Reach(self.gateway, ALIAS, is_strict=True)

    async def ask(self, number: int, lane: int) -> None:
        """See `OnALoop`."""
        prompt = Prompt((), payload(b"%d" % number).decode())
        request = TextRequest(prompt, self._sampling, deadline=time.monotonic() + PATIENCE_S)
        async for _ in self._reach.ask(self._specialist, request):
            self.parts += 1

    def close(self) -> None:
        """See `Asker`."""
        self.run(self.gateway.stop())
        self.gateway.close()
        self._registry.close()
        self._bus.close()
        super().close()


class HttpAsker(OnALoop):
    """A server that asks a specialist, and clients of it."""

    def __init__(self, address: str, specialist: str, tokens: int, *, stream: bool = False) -> None:
        super().__init__()
        self._address, self._clients, self._seen = address, dict[int, Client](), Seen()
        self._body = {"model": f"{ALIAS}/{specialist}", "max_tokens": tokens, "stream": stream}

    async def ask(self, number: int, lane: int) -> None:
        """See `OnALoop`."""
        client = self._clients.setdefault(lane, Client(self._address, None))
        await client.post({**self._body, "prompt": payload(b"%d" % number).decode()}, self._seen)
        if self._seen.errors:
            raise SystemExit(f"the server answered {self._seen.errors[0]}")
        self.parts = len(self._seen.whole_s) + len(self._seen.between_s)

    async def begin(self) -> None:
        """See `OnALoop`: the server has closed what was idle for long."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def close(self) -> None:
        """See `Asker`."""
        self.run(self.begin())
        super().close()


def known(config: BusConfig) -> Kafka:
    """The settings of a cluster, once it is known which it is."""
    client = Kafka(config)
    Admin(client).identity()
    return client


def answer_over_the_bus(config: BusConfig, name: str) -> None:
    """Answer until the process is ended."""
    bus = open_bus(config)
    queue = bus.queue([f"{name}-asked"], f"{name}-workers", capacity=IN_FLIGHT)
    print("ready", flush=True)
    while True:
        work = queue.take(1.0)
        if work is not None:
            answer = Record(f"{name}-answered", work.record.value, key=work.record.key)
            bus.send(answer, partial(_stored, queue, work))


def _stored(queue: WorkQueue, work: Work, _: Record, error: BaseException | None) -> None:
    if error is None:
        queue.ack(work)


def answer_bare(config: BusConfig, name: str) -> None:
    """Answer until the process is ended."""
    client = known(config)
    producer = Producer(client.producer(lambda _: None))
    if client.is_embedded:  # whose groups nobody of ours uses
        consumer = Consumer(client.consumer(f"{name}-workers"))
        consumer.assign([TopicPartition(f"{name}-asked", 0, OFFSET_BEGINNING)])
    else:
        consumer = Consumer(client.member(f"{name}-workers", lambda _: None))
        consumer.subscribe([f"{name}-asked"])
    print("ready", flush=True)
    while True:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            producer.produce(f"{name}-answered", message.value(), key=message.key())
        producer.poll(0)


PLAIN: dict[str, Any] = {"bare": BareAsker, "bus": BusAsker}
ANSWERERS = {"bare": answer_bare, "bus": answer_over_the_bus}

if __name__ == "__main__":
    kind, bootstrap = sys.argv[1:]
    ANSWERERS[kind](BusConfig(bootstrap=bootstrap), kind)
