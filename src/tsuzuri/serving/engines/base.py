"""What an engine is: token ids in, token ids and their log-probabilities out. Imports no torch.

An engine runs many requests at once. `submit` answers at once with a `Generation`, from which the tokens come
as they are written: `async for event in generation` on an event loop, `for event in generation` on a thread.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import ResourceError
from tsuzuri.generation.config import SamplingConfig

Finish = Literal["stop", "length", "cancelled", "timeout"]
"""The model closed the text; max_new_tokens were written; somebody called `cancel`; the deadline passed."""


class Overloaded(ResourceError):  # noqa: N818 (it reports a state that passes)
    """The engine holds as many requests as it may; nothing of this one was kept."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message, hint=f"try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class EngineFailed(ResourceError):  # noqa: N818 (what is left of it answers nobody)
    """The engine can't go on, or was closed: every request that it held ends with this."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One sample of one prompt."""

    prompt: tuple[int, ...]
    """Ids of the prompt, without the opening piece, which the engine puts before them."""
    sampling: SamplingConfig
    """Its `samples` and `stop` mean nothing here: several samples are several requests, sample k with the
    seed + k, and stop texts are found in text."""
    top_logprobs: int = 0
    """So many of the likeliest tokens are told beside each token."""
    logprobs: bool = False
    """Whether each token's log-probability is told."""
    prompt_logprobs: bool = False
    """Whether the prompt's own tokens come back with theirs."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """What is added to the logits of some ids before all other rules."""
    deadline: float | None = None
    """`time.monotonic()` after which the request ends, whether it has begun or not."""
    written: tuple[int, ...] = ()
    """Ids that an earlier attempt wrote, fewer than max_new_tokens: they count for every rule, the random
    numbers go on after theirs, and only what follows them is told. So the whole is what one attempt would
    have written, as far as the engine computes the same again."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token that was written, or one of the prompt.

    Log-probabilities are natural ones of the model's own distribution: temperature 1, no rule applied.
    """

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest ids and their log-probabilities, the likeliest first."""


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """What has been written since the last event."""

    tokens: tuple[Token, ...] = ()
    """The piece that closes a text is not among them, nor counted as written."""
    finish: Finish | None = None
    """Set in the last event."""
    prompt: tuple[Token, ...] = ()
    """In the first event, where `prompt_logprobs` asked for it: the prompt's tokens. Without an opening piece
    the first has no log-probability."""
    cached_tokens: int = 0
    """In the first event: how many of the prompt's tokens need not be read, because they had been before."""

    def __add__(self, later: TokenEvent) -> TokenEvent:
        """Both as one event."""
        return TokenEvent(
            self.tokens + later.tokens,
            later.finish,
            self.prompt + later.prompt,
            self.cached_tokens + later.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class EngineStats:
    """An engine at one moment; what is counted is counted since it started."""

    running: int = 0
    """Requests being read or written."""
    waiting: int = 0
    """Requests that wait for a place."""
    slots: int = 0
    """Requests that may run together."""
    cache_tokens: int = 0
    """Positions that the cache holds, of those still wanted and those kept for reuse."""
    cache_capacity_tokens: int = 0
    prompt_tokens: int = 0
    """Tokens of prompts, those found in the cache included."""
    cached_tokens: int = 0
    """Of these, tokens found in the cache."""
    generated_tokens: int = 0
    finished: Mapping[Finish | Literal["error"], int] = field(default_factory=dict)
    """Requests by how they ended."""
    steps: int = 0
    tokens_per_s: float = 0.0
    """Tokens written a second over the last seconds in which any were."""
    failure: str | None = None
    """Why the engine can't go on, if it can't."""


class Generation:
    """The tokens of one request as they come, for one reader on any thread or event loop.

    What came since the last look comes as one event; the last has `finish`. An error that ended the request
    is raised. `cancel` may be called from anywhere, at any time; `with` cancels on leaving.
    """

    def __init__(self) -> None:
        self.together_s = 0.0
        """What comes within this time of an event is brought together to a reader on an event loop; the end
        at once. To wake a loop for every token of a small model costs more than to compute the token."""
        self._rests_until = 0.0
        self._is_resting = False
        """Whether the reader wants to be woken by the end alone."""
        self._lock = threading.Lock()
        self._pending: TokenEvent | None = None
        self._error: BaseException | None = None
        self._is_over = False
        self._wake: Callable[[], object] | None = None
        self._cancelled = False
        self.on_cancel: Callable[[], object] | None = None
        """Set by an engine that must be told; others look at `is_cancelled` at every step."""

    @classmethod
    def ended(cls, finish: Finish) -> Generation:
        """One that brings nothing more."""
        generation = cls()
        generation.push(TokenEvent(finish=finish))
        return generation

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants the rest."""
        return self._cancelled

    def cancel(self) -> None:
        """Let the engine stop within one step, with the finish "cancelled" unless it had ended before."""
        self._cancelled = True
        if self.on_cancel is not None and not self._is_over:
            self.on_cancel()

    def push(self, event: TokenEvent) -> None:
        """For engines: more tokens. What comes after a finish or an error is dropped."""
        with self._lock:
            if self._is_over:
                return
            self._pending = event if self._pending is None else self._pending + event
            self._is_over = event.finish is not None
            if self._is_resting and not self._is_over:
                return
            wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def fail(self, error: BaseException) -> None:
        """For engines: end the request with an error, after what has been written."""
        with self._lock:
            if self._is_over:
                return
            self._error, self._is_over = error, True
            wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> TokenEvent:
        woken = threading.Event()
        while True:
            event = self._take(woken.set)
            if event is not None:
                return event
            if self._is_over:
                raise StopIteration
            woken.wait()
            woken.clear()

    def __aiter__(self) -> Generation:
        return self

    async def __anext__(self) -> TokenEvent:
        loop = asyncio.get_running_loop()
        if self._rests_until > loop.time():
            await self._rest(loop)
        while True:
            woken = loop.create_future()
            event = self._take(functools.partial(_wake_loop, loop, woken))
            if event is not None:
                self._rests_until = loop.time() + self.together_s
                return event
            if self._is_over:
                raise StopAsyncIteration
            await woken

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.cancel()

    async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until `together_s` after the last event, or the end."""
        woken = loop.create_future()
        with self._lock:
            if self._is_over:
                return
            self._wake, self._is_resting = functools.partial(_wake_loop, loop, woken), True
        timer = loop.call_at(self._rests_until, _resolve, woken)
        try:
            await woken
        finally:
            timer.cancel()
            with self._lock:
                self._wake, self._is_resting = None, False

    def _take(self, wake: Callable[[], object]) -> TokenEvent | None:
        """What is pending; without it, the error if there is one, or a promise to call `wake` for more."""
        with self._lock:
            event, self._pending = self._pending, None
            if event is None and self._error is not None:
                error, self._error = self._error, None
                raise error
            if event is None and not self._is_over:
                self._wake = wake
            return event


class Engine(Protocol):
    """What writes tokens. Every method may be called from any thread."""

    name: str
    vocab_size: int
    """Ids are 0 … vocab_size − 1."""
    context: int
    """Positions that the model sees at once, the opening piece included."""
    capabilities: frozenset[str]
    """Of "logprobs", "prompt_logprobs", "embeddings", "logits"."""

    def submit(self, request: TokenRequest) -> Generation:
        """Begin a request. Raises Overloaded where too many wait, InputError for ids that are none."""

    def embed(self, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """(texts, D): of each text's ids the mean of the last layer's states, of length 1. Blocks."""

    def stats(self) -> EngineStats:
        """How it is now."""

    def close(self, *, drain_s: float = 0.0) -> None:
        """Take no more requests, finish what runs for so many seconds, end the rest with EngineFailed."""


def _wake_loop(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
    """Resolve the future on its loop, unless that is closed, as at the end of a program."""
    try:
        loop.call_soon_threadsafe(_resolve, waiter)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
