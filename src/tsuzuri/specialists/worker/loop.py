"""A worker: takes requests as it has room for them, answers them, and acknowledges what is answered.

    queue ─thread─► waiting ─► running (as many as the engine writes together) ─► end stored ─► acknowledged

Delivery is at least once, so what comes twice is answered with the same words or joins what runs. A request
is acknowledged once the broker has the end of its answer; what this process does not come to say, somebody
else does. Where the bus takes nothing, answers wait where they are and nothing more is taken.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from functools import cache
from typing import Any

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving import logs
from tsuzuri.serving.engines.base import EngineFailed
from tsuzuri.serving.models import TextModel
from tsuzuri.specialists.bus.base import Bus, BusDown, WorkQueue
from tsuzuri.specialists.messages import Body, Cancel, Failed, Lane
from tsuzuri.specialists.topics import LANES, Topics
from tsuzuri.specialists.worker.answering import Answering
from tsuzuri.specialists.worker.background import Background
from tsuzuri.specialists.worker.config import WorkerConfig
from tsuzuri.specialists.worker.failures import deadline_passed, failure_of, handed_back
from tsuzuri.specialists.worker.held import Held
from tsuzuri.specialists.worker.intake import Intake
from tsuzuri.specialists.worker.presence import Presence
from tsuzuri.specialists.worker.request import ENDS, Request
from tsuzuri.specialists.worker.sampled import characters_per_token
from tsuzuri.specialists.worker.saying import Saying

WATCH_S = 0.25
EXTEND_S = 5.0
"""Between two words to the queue that something takes longer."""
END_S = 5.0
"""For what was handed back or cancelled to be said."""


class Worker:
    """Answers for the revision of a presence, on the event loop on which it is made."""

    def __init__(self, model: TextModel, bus: Bus, topics: Topics, presence: Presence) -> None:
        self._model, self._bus, self._presence = model, bus, presence
        self._config: WorkerConfig = presence.config
        self._slots = self._config.slots or model.stats().slots or 1
        self._background = Background()
        self._waiting: dict[Lane, deque[Request]] = {lane: deque() for lane in LANES}
        self._running: set[Request] = set()
        self._finished = self._failed = 0
        self._failure: str | None = None
        self._stopping = asyncio.Event()
        self._is_stopping = threading.Event()
        self._intake = Intake(bus, topics, presence, self._background, self, self._is_stopping)

    @property
    def is_blocked(self) -> bool:
        """Whether an answer waits for the bus to take it; then nothing more is taken."""
        return self._saying.is_blocked

    @property
    def running(self) -> int:
        """Requests that are answered now."""
        return len(self._running)

    def drain(self) -> None:
        """Take nothing more, finish what runs, end. May be called from anywhere."""
        self._is_stopping.set()
        self._background.soon(self._stopping.set)

    async def run(self) -> None:
        """Answer until told to stop; EngineFailed where the engine can't go on; BusDown."""
        presence, intake = self._presence, self._intake
        ratio = await characters_per_token(self._model, self._config.texts)
        queue = await asyncio.to_thread(intake.join, self._slots + self._config.read_ahead)
        self._held = Held(queue, remembered=self._config.remembered)
        self._saying = Saying(self._bus, self._held, self._background, presence.instance)
        self._bus.on_lost(lambda _: self._background.soon(self._lose))
        await asyncio.to_thread(intake.listen)
        presence.figures = self._figures
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.to_thread(presence.loaded, self._model.facts, ratio)
            logs.event("answers", specialist=presence.key[0], revision=presence.key[1], slots=self._slots)
            intake.start()
            await self._stopping.wait()
            presence.drains()
            await asyncio.to_thread(intake.wait)
            await self._end(queue)
        finally:
            self._is_stopping.set()
            watching.cancel()
            self._background.cancel()
            await asyncio.to_thread(intake.close)
            await asyncio.to_thread(self._bus.flush, END_S)
        logs.event("ended", finished=self._finished, failed=self._failed, failure=self._failure)
        if self._failure is not None:
            raise EngineFailed(f"the engine {self._failure}", hint="look at its log, then start the worker")
        if intake.broken is not None:
            message = f"nothing more could be taken from the broker ({type(intake.broken).__name__})"
            raise BusDown(message, hint="look at the log, then start the worker") from intake.broken

    async def _end(self, queue: WorkQueue) -> None:
        """Finish what runs within the time for it, hand back the rest; what comes is others' from now on."""
        self._start()
        drain_s = 0.0 if self._failure else self._config.drain_s
        leaving = asyncio.create_task(asyncio.to_thread(queue.close, drain_s=drain_s + END_S))
        await self._held.until_empty(drain_s)
        for request in self._held:
            request.stop(handed_back())
        await self._held.until_empty(END_S)
        await leaving

    # What comes

    def receive(self, request: Request) -> None:
        """See `Receiver`."""
        request.is_orphaned(self._presence.registry.holder)  # so that it is known who waits
        said = self._held.admit(request)
        if said is not None:
            self._background.spawn(self._saying.repeat(request, said))
        elif not request.is_void:
            self._waiting[request.envelope.lane].append(request)
            self._start()

    def cancel(self, order: Cancel, sent_ms: int) -> None:
        """See `Receiver`."""
        for request in self._held.cancel(order, sent_ms):
            self._withdraw(request)

    def _withdraw(self, request: Request) -> None:
        """Nobody wants it any more."""
        if request in self._running:
            request.is_unwanted = True
            request.stop()
        else:
            self._held.drop(request)

    def _lose(self) -> None:
        """The broker came back without its records: what is held here is asked again by whoever wants it."""
        logs.event("broker_lost", held=len(self._held))
        self._held.lose()

    # What is done about it

    def _start(self) -> None:
        """Begin with those that wait, as many as there is room for; hand them back where it ends."""
        while any(self._waiting.values()):
            if len(self._running) >= self._slots and not self._is_stopping.is_set():
                return
            request = next(waiting for waiting in self._waiting.values() if waiting).popleft()
            if request.is_void:
                continue
            if self._is_stopping.is_set():
                self._background.spawn(self._say(request, handed_back()))
            else:
                self._running.add(request)
                self._background.spawn(self._answer(request))

    async def _answer(self, request: Request) -> None:
        """Answer one request, whatever becomes of it.

        That a worker begins is said before it looks at the prompt, so that it is known by whom a request was
        with that kills its workers. It is not waited for that this is stored (a trip to the broker) where the
        request is new. If that one kills before the word has left the process, it counts as follows: the
        next worker to be given it is given something old, and waits; and whose first word of a request comes
        late, after another worker that was asked had died, that request counts as one that worker died with,
        too (`gateway/deaths.py`). So it is two deaths in either case.
        """
        envelope = request.envelope
        try:
            if request.deadline is not None and time.monotonic() >= request.deadline:
                await self._say(request, deadline_passed())
                return
            await self._saying.begin(request, is_new=self._intake.is_new(request))
            request.answering = Answering(
                self._model,
                envelope.body,
                deadline=request.deadline,
                is_patient=envelope.lane == "batch",
                trace=envelope.trace,
                delta_s=self._config.delta_ms / 1000,
                alive_s=self._config.alive_s,
                width=self._slots,
            )
            if request.is_stopped:  # before there was anything to stop
                request.answering.cancel()
            async for message in request.answering.messages():
                await self._say(request, request.outcome(message))
        except Exception as error:
            failed = request.instead or failure_of(error)
            if not isinstance(error, TsuzuriError):
                logs.failure("answer_failed", error, id=envelope.id)
            await self._say(request, failed)
        finally:
            self._running.discard(request)
            self._start()

    async def _say(self, request: Request, message: Body) -> None:
        if await self._saying.say(request, message) and isinstance(message, ENDS):
            self._failed += isinstance(message, Failed)
            self._finished += not isinstance(message, Failed)
            logs.event("answered", **request.account(message))

    # What is looked after

    async def _watch(self) -> None:
        """Who waits for what is held, the queue's patience, the engine."""
        extended_at = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_S)
            failure = self._model.stats().failure
            if failure is not None and not self._is_stopping.is_set():
                self._failure = failure
                self.drain()
            holder_of = cache(self._presence.registry.holder)
            for request in self._held:
                if request.is_orphaned(holder_of):
                    logs.event("orphaned", id=request.envelope.id)
                    self._withdraw(request)
            if time.monotonic() - extended_at > EXTEND_S:
                extended_at = time.monotonic()
                self._held.extend()

    def _figures(self) -> dict[str, Any]:
        return {
            "running": self.running,
            "waiting": sum(map(len, self._waiting.values())),
            "slots": self._slots,
            "tokens_per_s": self._model.stats().tokens_per_s,
            "finished": self._finished,
            "failed": self._failed,
        }
