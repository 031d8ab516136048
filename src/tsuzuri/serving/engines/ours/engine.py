"""Our engine: a decoder and a batcher on a thread of their own, behind the interface of all engines.

The decoder is opened on that thread too: OpenMP's runtime (libgomp) gives every thread that computes workers
of its own, and once there are more of them than cores, they sleep where they would have waited ready: a step
of one row then takes 13 ms instead of 7.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt
import torch

from tsuzuri.core.errors import InputError
from tsuzuri.generation.reading import windows
from tsuzuri.generation.rules import TokenRules
from tsuzuri.model.config import ModelConfig
from tsuzuri.serving.engines.base import EngineFailed, EngineStats, Generation, Overloaded, TokenRequest
from tsuzuri.serving.engines.ours.batching import Batcher, Decoder
from tsuzuri.serving.engines.ours.kernels import set_threads
from tsuzuri.serving.engines.ours.tasks import Reading, ReadingStates, Task, Writing

MOST_FAILED_STEPS = 3
"""One after another, before the engine gives up."""
SHORTEST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0


class OurEngine:
    """`Engine` with a decoder of our own. `rules` say which pieces open and close texts."""

    capabilities = frozenset({"logprobs", "prompt_logprobs", "embeddings", "logits"})

    def __init__(
        self,
        open_decoder: Callable[[], Decoder],
        rules: TokenRules,
        *,
        name: str = "ours",
        slots: int = 32,
        queue: int = 256,
        chunk_tokens: int = 128,
        threads: int = 0,
    ) -> None:
        self.name = name
        self._rules, self._slots, self._queue, self._threads = rules, slots, queue, threads
        self._lock = threading.Condition()
        self._incoming: deque[Task] = deque()
        self._closing_at: float | None = None
        """When what still runs is ended."""
        self._failure: str | None = None

        def open_batcher() -> tuple[Batcher, ModelConfig]:
            decoder = open_decoder()
            return Batcher(decoder, rules, slots=slots, chunk_tokens=chunk_tokens), decoder.config

        opened: Future[tuple[Batcher, ModelConfig]] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(open_batcher, opened), name=f"engine-{name}", daemon=True
        )
        self._thread.start()
        self._batcher, config = opened.result()
        self.vocab_size, self.context = config.vocab_size, config.max_position_embeddings
        self._hidden_size = config.hidden_size

    def submit(self, request: TokenRequest) -> Generation:
        """See `Engine`."""
        self._check(request.prompt)
        self._check(request.written)
        self._check(tuple(request.logit_bias))
        if not 0 <= request.top_logprobs <= self.vocab_size:
            raise InputError(f"top_logprobs must be of 0 to {self.vocab_size:,}, not {request.top_logprobs}")
        task = Writing(request, self._rules, self.context)
        self._enqueue([task])
        return task.generation

    def embed(self, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """See `Engine`."""
        of_text: list[int] = []
        tasks: list[Reading] = []
        for number, text in enumerate(texts):
            self._check(text)
            ids = [self._rules.start, *text]
            start = min(1, len(text))  # a text without tokens is its opening
            for window in windows(number, len(ids), self.context):
                first = max(start, window.fresh) - window.start
                of_text.append(number)
                tasks.append(ReadingStates(ids[window.start : window.end], first=first))
        sums: npt.NDArray[np.float32] = np.zeros((len(texts), self._hidden_size), np.float32)
        for number, states in zip(of_text, self._results(tasks), strict=True):
            sums[number] += states
        normed: npt.NDArray[np.float32] = sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-12)
        return normed

    def logits(self, prompts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """The capability `logits`: (prompts, V), of what follows each prompt, before all rules. Blocks."""
        tasks: list[Reading] = []
        for prompt in prompts:
            self._check(prompt)
            opening = self._rules.opening if prompt else (self._rules.start,)
            kept = prompt[max(0, len(prompt) + len(opening) - self.context) :]
            tasks.append(Reading([*opening, *kept]))
        return np.array(self._results(tasks), np.float32).reshape(len(prompts), self.vocab_size)

    def stats(self) -> EngineStats:
        """See `Engine`."""
        batcher = self._batcher
        return EngineStats(
            running=len(batcher.running),
            waiting=len(batcher.waiting) + len(self._incoming),
            slots=self._slots,
            cache_tokens=batcher.slots.held_tokens,
            cache_capacity_tokens=self._slots * self.context,
            prompt_tokens=batcher.prompt_tokens,
            cached_tokens=batcher.cached_tokens,
            generated_tokens=batcher.generated_tokens,
            finished=dict(batcher.finished),  # type: ignore[arg-type]
            steps=batcher.steps,
            tokens_per_s=batcher.tokens_per_s,
            failure=self._failure,
        )

    def close(self, *, drain_s: float = 0.0) -> None:
        """See `Engine`."""
        with self._lock:
            self._closing_at = time.monotonic() + drain_s
            self._lock.notify()
        self._thread.join()

    def _check(self, ids: Sequence[int]) -> None:
        wrong = next((token for token in ids if not 0 <= token < self.vocab_size), None)
        if wrong is not None:
            raise InputError(f"{wrong} is no id of {self.name}, which has 0 to {self.vocab_size - 1:,}")

    def _enqueue(self, tasks: Sequence[Task]) -> None:
        """Let the tasks wait for slots, or raise Overloaded."""
        with self._lock:
            if self._failure is not None or self._closing_at is not None:
                raise EngineFailed(f"the engine {self.name} {self._failure or 'was closed'}")
            held = len(self._batcher.running) + len(self._batcher.waiting) + len(self._incoming)
            if held + len(tasks) > self._slots + self._queue:
                retry_after_s = self._batcher.task_s * max(1.0, held / self._slots)
                raise Overloaded(
                    f"{self.name} holds {held:,} requests, as many as it may",
                    retry_after_s=min(max(retry_after_s, SHORTEST_RETRY_S), LONGEST_RETRY_S),
                )
            self._incoming.extend(tasks)
            self._lock.notify()

    def _results(self, tasks: Sequence[Reading]) -> list[npt.NDArray[np.float32]]:
        """What the tasks read, as many at a time as there are slots."""
        results = []
        for start in range(0, len(tasks), self._slots):
            wave = tasks[start : start + self._slots]
            self._enqueue(wave)
            results += [task.result.result() for task in wave]
        return results

    def _run(
        self,
        open_batcher: Callable[[], tuple[Batcher, ModelConfig]],
        opened: Future[tuple[Batcher, ModelConfig]],
    ) -> None:
        """The engine's thread: open the decoder, then serve."""
        try:
            if self._threads:
                torch.set_num_threads(self._threads)
            set_threads(torch.get_num_threads())
            self._batcher, config = open_batcher()
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result((self._batcher, config))
        self._loop()

    def _loop(self) -> None:
        """Step after step. What fails there ends those that run, not the engine, until
        it has failed so often in a row that nothing is to be hoped for."""
        failed_steps = 0
        try:
            while self._has_work():
                try:
                    self._batcher.step()
                    failed_steps = 0
                except Exception as error:
                    failed_steps += 1
                    if failed_steps == MOST_FAILED_STEPS:
                        raise
                    self._batcher.fail_running(EngineFailed(f"a step of {self.name} failed: {error}"))
            self._stop("was closed")
        except BaseException as error:
            self._stop(f"failed: {type(error).__name__}: {error}")

    def _has_work(self) -> bool:
        """Wait for something to do; false once the engine is to stop."""
        with self._lock:
            while not (self._incoming or self._batcher.waiting or self._batcher.running):
                if self._closing_at is not None:
                    return False
                self._lock.wait()
            self._batcher.waiting.extend(self._incoming)
            self._incoming.clear()
            return self._closing_at is None or time.monotonic() < self._closing_at

    def _stop(self, why: str) -> None:
        with self._lock:
            self._failure = why
            self._batcher.waiting.extend(self._incoming)
            self._incoming.clear()
        self._batcher.fail_all(EngineFailed(f"the engine {self.name} {why}"))
