"""A worker in a thread, and whoever asks it, for tests over any bus."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from buses import PATIENCE_S, OpenBus, until
from standins import record
from tsuzuri.serving.models import TextModel
from tsuzuri.specialists.bus.base import Bus, Record
from tsuzuri.specialists.messages import (
    Ask,
    Body,
    Delta,
    Embedded,
    Envelope,
    Failed,
    Final,
    Lane,
    Resume,
    Scored,
    decode,
    new_id,
    now_ms,
)
from tsuzuri.specialists.registry.registry import REPLIES, Registry
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.worker.config import WorkerConfig
from tsuzuri.specialists.worker.loop import Worker
from tsuzuri.specialists.worker.presence import Presence

KEY = ("literature", "1")
ENDS = (Final, Scored, Embedded, Failed)


@dataclass
class Heard:
    """What a gateway heard of one attempt."""

    replies: list[Envelope] = field(default_factory=list)

    @property
    def bodies(self) -> list[Body]:
        return [reply.body for reply in self.replies]

    @property
    def parts(self) -> list[Delta | Final]:
        return [body for body in self.bodies if isinstance(body, Delta | Final)]

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(index for part in self.parts for index in part.ids)

    @property
    def end(self) -> Any:
        return next((body for body in self.bodies if isinstance(body, ENDS)), None)

    def check(self, *, before: str = "") -> None:
        """Every part in its order, and the sum of all of it."""
        numbers = [reply.seq for reply in self.replies if isinstance(reply.body, Delta | Final)]
        assert numbers == list(range(len(numbers))), self.replies
        assert self.end.sha256 == hashlib.sha256((before + self.text).encode()).hexdigest()


class Gate:
    """A gateway as workers see one: it leases a partition of replies, asks, and keeps what it hears."""

    def __init__(self, open_bus: OpenBus, topics: Topics, *, skew_ms: int = 0, partition: int = 0) -> None:
        self.bus, self.topics, self._skew_ms, self.partition = open_bus(), topics, skew_ms, partition
        self.bus.ensure(topics.specs())
        self.bus.ensure(topics.request_specs(*KEY))
        self.registry = Registry(self.bus, topics)
        assert self.registry.wait(PATIENCE_S)
        self.name = f"gate-{new_id()}"
        self.lease = self.registry.lease(f"{REPLIES}/{partition}", self.name)
        self._heard: dict[tuple[str, int], Heard] = {}
        self._following = self.bus.follow(topics.replies, self._take, partitions=[partition])
        assert self._following.wait(PATIENCE_S)

    def send(
        self,
        body: Body,
        *,
        request_id: str = "",
        attempt: int = 1,
        lane: Lane = "interactive",
        left_s: float = 60.0,
        **fields: Any,
    ) -> Heard:
        """Ask a worker; what it says comes into what is returned."""
        request_id = request_id or new_id()
        heard = self._heard.setdefault((request_id, attempt), Heard())
        now = now_ms() + self._skew_ms
        wanted = {
            "id": request_id,
            "attempt": attempt,
            "lane": lane,
            "deadline_ms": now + round(1000 * left_s),
            "sent_ms": now,
            "reply_topic": self.topics.replies,
            "reply_partition": self.partition,
            "sender": self.name,
            **fields,
        }
        self.bus.send(record(self.topics.requests(*KEY, lane), body, request_id, **wanted))
        return heard

    def ask(
        self,
        prompt: str | None = "むかし",
        *,
        resume: Resume | None = None,
        sampling: Any = None,
        **fields: Any,
    ) -> Heard:
        """Ask for an answer."""
        known = {name: fields.pop(name) for name in list(fields) if name in Ask.__struct_fields__}
        body = Ask(
            specialist=KEY[0],
            revision=KEY[1],
            prompt=prompt,
            sampling=sampling or {"max_new_tokens": 8, "seed": 3},
            resume=resume,
            **known,
        )
        return self.send(body, **fields)

    def ended(self, *heard: Heard) -> None:
        """Wait for the end of each."""
        until(lambda: all(one.end is not None for one in heard))

    def heard(self, request_id: str) -> Heard:
        """What came of the first attempt at a request."""
        return self._heard[request_id, 1]

    def control(self, body: Body) -> None:
        """Say something to every worker."""
        self.bus.send(record(self.topics.control, body, "*"))

    def joined(self) -> set[str]:
        """Workers that have begun to take requests: who comes later moves those that are taken."""
        return {name for name, beat in self.registry.beats.items() if beat.state != "loading"}

    def lag(self) -> int:
        """Requests that nobody has acknowledged."""
        found = self.bus.lag(self.topics.group(*KEY), self.topics.lanes(*KEY))
        return sum(item.records for item in found.values())

    def close(self) -> None:
        self._following.close()
        self.registry.close()

    def _take(self, records: Sequence[Record]) -> None:
        for one in records:
            reply = decode(one.value, one.headers)
            self._heard.setdefault((reply.id, reply.attempt), Heard()).replies.append(reply)


class Running:
    """A worker on a thread of its own."""

    def __init__(self, model: TextModel, bus: Bus, topics: Topics, config: WorkerConfig) -> None:
        self.worker: Worker | None = None
        self.instance = ""
        self.error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.bus = bus

        async def run() -> None:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            presence = await asyncio.to_thread(Presence, bus, topics, config)
            self.instance = presence.instance
            self.worker = Worker(model, bus, topics, presence)
            try:
                with suppress(asyncio.CancelledError):
                    await self.worker.run()
            except BaseException as error:
                self.error = error
            finally:
                presence.close()

        self.thread = threading.Thread(target=lambda: asyncio.run(run()), name="worker-loop", daemon=True)
        self.thread.start()

    @property
    def running(self) -> int:
        """Requests that it writes answers to now."""
        return self.worker.running if self.worker else 0

    def drain(self) -> None:
        until(lambda: self.worker is not None)
        assert self.worker is not None
        self.worker.drain()

    def join(self) -> None:
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()

    def kill(self) -> None:
        """Let it end without finishing anything."""
        if self.thread.is_alive() and self._loop is not None and self._task is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        self.join()


@contextmanager
def working(model: TextModel, open_bus: OpenBus, topics: Topics, **settings: Any) -> Iterator[Running]:
    """A worker for the model while this lasts."""
    wanted = {"name": KEY[0], "revision": KEY[1], "beat_s": 0.1, "drain_s": 30.0, **settings}
    running = Running(model, open_bus(), topics, WorkerConfig.model_validate(wanted))
    try:
        yield running
    finally:
        running.kill()
