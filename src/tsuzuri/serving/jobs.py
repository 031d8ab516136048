"""One request for text from its admission to its bill, whatever becomes of its client.

    admitted (process) → reserved (accounts) → submitted (engine) → written → counted → settled (accounts)

The samples of a request are written side by side. However it ends (its client is gone, its time is over, the
server stops, an engine fails), every sample is cancelled, read to its end, which comes within a step, and
what was written is settled once. `settle` is awaited before the last byte of an answer leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving import logs
from tsuzuri.serving.engines.base import Overloaded
from tsuzuri.serving.errors import ApiError
from tsuzuri.serving.models import (
    SentGeneration,
    TextDelta,
    TextFinish,
    TextGeneration,
    TextModel,
    TextRequest,
    Usage,
)

if TYPE_CHECKING:
    from tsuzuri.serving.service import Service

END_S = 30.0
"""For an engine to end what was cancelled; after that what is known is settled."""

Outcome = Literal["complete", "cancelled", "timeout", "handed_back", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class AskedText:
    """What one request asks for."""

    requests: Sequence[TextRequest]
    """The samples, those of one prompt side by side."""
    prompt_tokens: int
    """Of every prompt once, though it be continued several times."""


class Job:
    """The samples of one request."""

    def __init__(
        self,
        service: Service,
        request_id: str,
        caller: Any,
        model_name: str,
        *,
        trace: Mapping[str, str] | None = None,
    ) -> None:
        """Take a place among the requests that are answered, and hold the model; ApiError without either."""
        with ExitStack() as stack:
            stack.enter_context(service.admit(self))
            self.model = stack.enter_context(service.catalog.hold(model_name))
            self._stack = stack.pop_all()
        self.id = request_id
        self.caller = caller
        self.trace = trace or {}
        self.outcome: Outcome = "complete"
        self.usage = Usage()
        self.filtered: Counter[str] = Counter()
        self.reservation: Any = None
        self.first_s: float | None = None
        """From the request's arrival to its first text."""
        self._service = service
        self._arrived_at = self._last_at = time.monotonic()
        self._asked = AskedText((), 0)
        self._samples: list[TextGeneration] = []
        self._finished: dict[int, TextFinish] = {}
        self._pumps: list[asyncio.Task[None]] = []
        self._settling: asyncio.Task[None] | None = None

    async def begin(self, ask: Callable[[TextModel], Awaitable[AskedText]]) -> AskedText:
        """Read what is asked, reserve and submit, all samples or none; the errors of all three."""
        try:
            asked = await ask(self.model)
            self.reservation = await self._service.accounts.reserve(
                self.caller,
                self.id,
                prompt_tokens=asked.prompt_tokens,
                max_new_tokens=sum(request.sampling.max_new_tokens for request in asked.requests),
                model=self.model.facts.name,
            )
            self._service.check_open()
            self._asked, self.usage.prompt_tokens = asked, asked.prompt_tokens
            for request in asked.requests:
                self._samples.append(self.model.complete(replace(request, trace=self.trace)))
            sent = [sample for sample in self._samples if isinstance(sample, SentGeneration)]
            await asyncio.gather(*(sample.begun() for sample in sent))
            return asked
        except BaseException as error:
            self.outcome = "refused"
            if isinstance(error, Overloaded):
                self._service.count_overload()
            await self.settle()
            raise

    async def deltas(self) -> AsyncIterator[tuple[int, TextDelta]]:
        """(number of the sample, what it wrote), as it is written; the errors of the engine."""
        if len(self._samples) == 1:
            async for delta in self._samples[0]:
                self._saw(0, delta)
                yield 0, delta
            return
        queue: asyncio.Queue[tuple[int, TextDelta | BaseException]] = asyncio.Queue(len(self._samples))
        self._pumps = [asyncio.create_task(self._pump(index, queue)) for index in range(len(self._samples))]
        going = len(self._samples)
        while going:
            index, came = await queue.get()
            if isinstance(came, BaseException):
                raise came
            delta = came
            going -= delta.finish is not None
            self._saw(index, delta)
            yield index, delta

    def cancel(self, outcome: Outcome) -> None:
        """Nobody wants the rest, or nobody may have it: the samples end within a step."""
        if self.outcome == "complete" and self._settling is None:
            self.outcome = outcome
            for sample in self._samples:
                sample.cancel()

    def check_answered(self) -> None:
        """ApiError 503 where there is no answer: the request is handed back, or nothing came in time."""
        if self.outcome == "handed_back":
            message = "the server is being stopped: ask again"
            raise ApiError(503, "server_shutting_down", message, retry_after_s=5)
        if self.outcome == "timeout" and not self.usage.completion_tokens:
            message = "nothing was written in time: ask again"
            raise ApiError(503, "request_timeout", message, retry_after_s=5)

    async def settle(self) -> None:
        """Count and bill what was written, once; goes on though the one who waits for it is cancelled."""
        if self._settling is None:
            self._settling = self._service.in_background(self._settle())
        await asyncio.shield(self._settling)

    @property
    def about(self) -> dict[str, Any]:
        """Who wrote it, where that was somebody elsewhere."""
        told = [dict(sample.about) for sample in self._samples if isinstance(sample, SentGeneration)]
        first = told[0] if told else {}
        return {**first, "samples": told} if any(other != first for other in told) else first

    @property
    def elapsed_s(self) -> float:
        """Since the request's arrival."""
        return time.monotonic() - self._arrived_at

    def timings(self) -> dict[str, float]:
        """Where the time went, as llama.cpp's server tells it; of several samples, all together."""
        first_s = self.first_s if self.first_s is not None else self.elapsed_s
        read, written = self.usage.prompt_tokens, self.usage.completion_tokens
        writing_s = max(self._last_at - self._arrived_at - first_s, 0.0)
        following = max(written - len(self._samples), 0) if writing_s else 0
        return {
            "prompt_n": read - self.usage.cached_tokens,
            "cache_n": self.usage.cached_tokens,
            "prompt_ms": round(first_s * 1000, 3),
            "prompt_per_second": round(read / max(first_s, 1e-9), 2),
            "predicted_n": written,
            "predicted_ms": round(writing_s * 1000, 3),
            "predicted_per_token_ms": round(writing_s * 1000 / following, 3) if following else 0.0,
            "predicted_per_second": round(following / writing_s, 2) if following else 0.0,
        }

    def count(self) -> None:
        """Bring `usage` up to what the samples have written by now."""
        self.usage.completion_tokens = sum(sample.usage.completion_tokens for sample in self._samples)
        self.usage.cached_tokens = max((sample.usage.cached_tokens for sample in self._samples), default=0)
        if self._samples:  # whoever reads a prompt knows best
            read = {id(request.prompt): request.prompt.tokens for request in self._asked.requests}
            for request, sample in zip(self._asked.requests, self._samples, strict=False):
                read[id(request.prompt)] = sample.usage.prompt_tokens or request.prompt.tokens
            self.usage.prompt_tokens = sum(read.values())

    def _saw(self, index: int, delta: TextDelta) -> None:
        now, metrics, label = time.monotonic(), self._service.metrics, self.model.facts.name
        self.count()
        self.reservation.produced(self.usage.completion_tokens, prompt_tokens=self.usage.prompt_tokens)
        if delta.finish is not None:
            self._finished[index] = delta.finish
            if delta.finish == "timeout":
                self.outcome = "timeout"
        if self.first_s is None:
            self.first_s = now - self._arrived_at
            metrics.first_token.labels(label).observe(self.first_s)
        elif delta.text:
            metrics.inter_token.labels(label).observe(now - self._last_at)
        self._last_at = now

    async def _pump(self, index: int, queue: asyncio.Queue[tuple[int, TextDelta | BaseException]]) -> None:
        try:
            async for delta in self._samples[index]:
                await queue.put((index, delta))
        except Exception as error:
            await queue.put((index, error))

    async def _settle(self) -> None:
        try:
            await self._end()
            self.count()
            for sample in self._samples:
                self.filtered.update(sample.filtered)
            if self.reservation is not None:
                await self._service.accounts.settle(
                    self.reservation,
                    prompt_tokens=self.usage.prompt_tokens,
                    completion_tokens=self.usage.completion_tokens,
                    outcome=self.outcome,
                )
            self._tell()
        finally:
            self._stack.close()

    async def _end(self) -> None:
        """Bring every sample to its end."""
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for index, sample in enumerate(self._samples):
            if index in self._finished:
                continue
            sample.cancel()
            try:
                async with asyncio.timeout(END_S):
                    async for delta in sample:
                        self._finished[index] = delta.finish or "cancelled"
            except TsuzuriError:
                self.outcome = "failed"
            except TimeoutError:
                logs.event("engine_does_not_end", request_id=self.id, model=self.model.facts.name)

    def _tell(self) -> None:
        metrics, label = self._service.metrics, self.model.facts.name
        metrics.latency.labels(label).observe(self.elapsed_s)
        metrics.prompt_tokens.labels(label).inc(self.usage.prompt_tokens)
        metrics.generation_tokens.labels(label).inc(self.usage.completion_tokens)
        for finish in self._finished.values():
            metrics.finished.labels(label, finish).inc()
        for kind, found in self.filtered.items():
            metrics.filtered.labels(label, kind).inc(found)
        logs.event(
            "completion",
            request_id=self.id,
            model=label,
            revision=self.model.facts.revision,
            key=self.caller.key_id,
            trace=self.trace.get("traceparent"),
            outcome=self.outcome,
            samples=len(self._samples),
            prompt_tokens=self.usage.prompt_tokens,
            cached_tokens=self.usage.cached_tokens,
            completion_tokens=self.usage.completion_tokens,
            first_ms=None if self.first_s is None else round(self.first_s * 1000, 1),
            elapsed_ms=round(self.elapsed_s * 1000, 1),
        )
