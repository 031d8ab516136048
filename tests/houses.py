"""A house of specialists within one process, for tests: a broker, workers that fail as told, gateways."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fake_workers import FakeWorker, admit
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.models import Prompt, TextRequest
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.memory import MemoryBroker, MemoryBus
from tsuzuri.specialists.gateway.calls import Answer
from tsuzuri.specialists.gateway.gateway import Gateway
from tsuzuri.specialists.gateway.reach import Reach
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics

ALIAS = "kana"
PATIENCE_S = 60.0


class House:
    """Everything of one installation."""

    def __init__(self, prefix: str) -> None:
        self.broker = MemoryBroker()
        self.topics = Topics(prefix)
        self.prefix = prefix
        self.workers: list[FakeWorker] = []
        self.bus = self.open_bus()
        self.bus.ensure(self.topics.specs())
        self.registry = Registry(self.bus, self.topics)
        self._numbers = itertools.count()

    def open_bus(self) -> MemoryBus:
        """One more process."""
        return self.broker.bus(BusConfig(prefix=self.prefix))

    def worker(self, specialist: str = "general", revision: str = "r1", **settings: Any) -> FakeWorker:
        """One more worker, on a bus of its own."""
        name = f"{specialist}-{revision}-{next(self._numbers)}"
        worker = FakeWorker(self.open_bus(), self.topics, specialist, revision, name, **settings)
        self.workers.append(worker)
        return worker

    def admit(self, *names: str, **others: Any) -> None:
        """Let specialists answer, each with revision r1."""
        admit(self.registry, ALIAS, {name: {"r1": 1.0} for name in names or ("general",)}, **others)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Gateway]:
        """A gateway that has seen everybody who is there now."""
        bus = self.open_bus()
        registry = await asyncio.to_thread(Registry, bus, self.topics)
        gateway = Gateway(bus, self.topics, registry, name=f"gateway-{next(self._numbers)}")
        await asyncio.to_thread(gateway.open)
        await gateway.start()
        await until(lambda: {one.instance for one in self.workers} <= set(registry.beats))
        gateway._refresh()
        try:
            yield gateway
        finally:
            await gateway.stop()
            await asyncio.to_thread(gateway.close)
            await asyncio.to_thread(registry.close)
            await asyncio.to_thread(bus.close, flush_s=0)

    def close(self) -> None:
        """End everybody."""
        for worker in self.workers:
            worker.die()
        self.registry.close()
        for bus in list(self.broker.buses):
            bus.close(flush_s=0)


async def until(what: Callable[[], object]) -> None:
    """Wait for something to be true."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)


def request(prompt: str = "むかし", most: int = 16, *, within_s: float = 60.0, **others: Any) -> TextRequest:
    """For text."""
    sampling = SamplingConfig(max_new_tokens=most)
    return TextRequest(Prompt((), prompt), sampling, deadline=time.monotonic() + within_s, **others)


def ask(gateway: Gateway, specialist: str = "general", **settings: Any) -> Answer:
    """An answer that has begun."""
    return Reach(gateway, ALIAS).ask(specialist, request(**settings))


async def text_of(answer: Answer) -> str:
    """The whole of it."""
    return "".join([delta.text async for delta in answer])
