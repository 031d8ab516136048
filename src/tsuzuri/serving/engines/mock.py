"""An engine without a model: what tests, load tests and the proof of metering run on. Imports no torch.

What it writes is a pure function of the prompt and the seed, so that anybody can say what a request must
bring. Without a speed every answer is there at once; with one, a thread writes a token to every running
request at each tick.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from tsuzuri.serving.engines.base import (
    EngineFailed,
    EngineStats,
    Finish,
    Generation,
    Overloaded,
    Token,
    TokenEvent,
    TokenRequest,
)

LOGPROB = -1.0
"""Of every token that it writes or reads."""
DIMENSIONS = 8
"""Of its vectors."""


@dataclass(slots=True)
class _Running:
    request: TokenRequest
    generation: Generation
    length: int
    """Tokens that it will write."""
    written: int
    """Tokens, those of an earlier attempt included."""


class MockEngine:
    """Writes ids between `first_id` and `vocab_size`, at `tokens_per_s` a request (None: at once).

    A request gets `tokens` tokens, or max_new_tokens where that is less or `tokens` is None, and ends with
    "stop" where it would have had more room. `slots` requests run, `queue` more wait.
    """

    capabilities = frozenset({"logprobs", "prompt_logprobs", "embeddings"})

    def __init__(
        self,
        *,
        name: str = "mock",
        vocab_size: int = 8192,
        context: int = 1024,
        first_id: int = 300,
        tokens: int | None = None,
        tokens_per_s: float | None = None,
        slots: int = 64,
        queue: int = 256,
    ) -> None:
        self.name, self.vocab_size, self.context = name, vocab_size, context
        self._first_id, self._tokens, self._tokens_per_s = first_id, tokens, tokens_per_s
        self._slots, self._queue = slots, queue
        self._lock = threading.Condition()
        self._running: list[_Running] = []
        self._waiting: deque[_Running] = deque()
        self._closed_at: float | None = None
        """When what still runs is ended."""
        self._prompt_tokens = self._generated_tokens = self._steps = 0
        self._finished: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        if tokens_per_s is not None:
            self._thread = threading.Thread(target=self._loop, name=f"engine-{name}", daemon=True)
            self._thread.start()

    def expected(self, request: TokenRequest) -> list[int]:
        """The ids that a request brings unless it is cancelled."""
        return [self._id(request, index) for index in range(len(request.written), self._length(request))]

    def submit(self, request: TokenRequest) -> Generation:
        """See `Engine`."""
        item = _Running(request, Generation(), self._length(request), len(request.written))
        with self._lock:
            if self._closed_at is not None:
                raise EngineFailed(f"the engine {self.name} is closed")
            if self._tokens_per_s is None:
                self._advance(item, item.length)
                return item.generation
            if len(self._running) + len(self._waiting) >= self._slots + self._queue:
                raise Overloaded(f"{self._queue} requests wait for {self.name}", retry_after_s=1.0)
            self._waiting.append(item)
            self._lock.notify()
        return item.generation

    def embed(self, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """See `Engine`: (texts, DIMENSIONS)."""
        vectors = [np.random.default_rng(list(ids)).standard_normal(DIMENSIONS) for ids in texts]
        array = np.array(vectors, np.float32).reshape(len(texts), DIMENSIONS)
        normed: npt.NDArray[np.float32] = array / np.linalg.norm(array, axis=1, keepdims=True)
        return normed

    def stats(self) -> EngineStats:
        """See `Engine`."""
        with self._lock:
            return EngineStats(
                running=len(self._running),
                waiting=len(self._waiting),
                slots=self._slots,
                prompt_tokens=self._prompt_tokens,
                generated_tokens=self._generated_tokens,
                finished=dict(self._finished),  # type: ignore[arg-type]
                steps=self._steps,
                tokens_per_s=len(self._running) * (self._tokens_per_s or 0.0),
            )

    def close(self, *, drain_s: float = 0.0) -> None:
        """See `Engine`."""
        with self._lock:
            self._closed_at = time.monotonic() + drain_s
            self._lock.notify()
        if self._thread is not None:
            self._thread.join()

    def _length(self, request: TokenRequest) -> int:
        most = request.sampling.max_new_tokens
        return most if self._tokens is None else max(len(request.written), min(self._tokens, most))

    def _id(self, request: TokenRequest, index: int) -> int:
        key = crc32(repr((request.prompt[-8:], request.sampling.seed, index)).encode())
        return self._first_id + key % (self.vocab_size - self._first_id)

    def _loop(self) -> None:
        """Tick, until closed and drained."""
        assert self._tokens_per_s is not None
        next_at = time.monotonic()
        while True:
            with self._lock:
                while not self._running and not self._waiting and self._closed_at is None:
                    self._lock.wait()
                    next_at = time.monotonic()
                if self._closed_at is not None and (
                    time.monotonic() >= self._closed_at or not self._running + list(self._waiting)
                ):
                    for item in [*self._running, *self._waiting]:
                        item.generation.fail(EngineFailed(f"the engine {self.name} was closed"))
                    return
                while self._waiting and len(self._running) < self._slots:
                    self._running.append(self._waiting.popleft())
                self._steps += 1
                self._running = [item for item in self._running if not self._advance(item, 1)]
                self._waiting = deque(item for item in self._waiting if not self._ended(item))
            next_at += 1 / self._tokens_per_s
            time.sleep(max(0.0, next_at - time.monotonic()))

    def _ended(self, item: _Running) -> bool:
        """End a request that nobody wants or whose time is over."""
        finish: Finish
        deadline = item.request.deadline
        if item.generation.is_cancelled:
            finish = "cancelled"
        elif deadline is not None and time.monotonic() >= deadline:
            finish = "timeout"
        else:
            return False
        self._finish(item, TokenEvent(finish=finish))
        return True

    def _advance(self, item: _Running, tokens: int) -> bool:
        """Write so many tokens; whether the request is over."""
        if self._ended(item):
            return True
        request, first = item.request, item.written
        is_first = first == len(request.written)
        item.written = min(first + tokens, item.length)
        logprob = LOGPROB if request.logprobs or request.top_logprobs else None
        event = TokenEvent(
            tuple(
                self._token(request, self._id(request, index), logprob)
                for index in range(first, item.written)
            ),
            prompt=self._prompt(request) if is_first else (),
        )
        self._prompt_tokens += len(request.prompt) if is_first else 0
        self._generated_tokens += item.written - first
        if item.written < item.length:
            item.generation.push(event)
            return False
        is_cut = item.length == request.sampling.max_new_tokens
        self._finish(item, event + TokenEvent(finish="length" if is_cut else "stop"))
        return True

    def _finish(self, item: _Running, event: TokenEvent) -> None:
        assert event.finish is not None
        self._finished[event.finish] = self._finished.get(event.finish, 0) + 1
        item.generation.push(event)

    def _prompt(self, request: TokenRequest) -> tuple[Token, ...]:
        if not request.prompt_logprobs:
            return ()
        return tuple(self._token(request, token, LOGPROB) for token in request.prompt)

    def _token(self, request: TokenRequest, token: int, logprob: float | None) -> Token:
        top = tuple((token + place, LOGPROB - place) for place in range(request.top_logprobs))
        return Token(token, logprob, top)
