"""An engine elsewhere: any server with OpenAI's API (vLLM, SGLang, llama.cpp's server). Imports no torch.

Prompts are sent as ids. What comes back is asked for as ids too, in the ways that these servers have for it:
`return_token_ids` (vLLM; `token_ids` beside the text), `return_tokens_as_token_ids` (vLLM, SGLang; the
tokens of `logprobs` as `token_id:7`), `id` beside each token (llama.cpp). A server that has none of them
gives text alone, of which our tokenizer makes ids again: the same text, not always the same ids.

Until the first token has come a request is tried again where the server cannot be reached or is busy. Leaving
closes the stream, which is how these servers learn that nobody listens any longer.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from pydantic import Field

from tsuzuri.core.config import Config
from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.generation.rules import TokenRules
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

BUSY = (429, 502, 503, 504)
"""Answers after which a server may take the same request."""
DISPENSABLE = ("repeat_penalty", "return_token_ids", "return_tokens_as_token_ids")
"""Parameters that some servers refuse because they don't know them, and that they do as well without."""
FIRST_PAUSE_S = 0.1
"""Before the second try; twice as long before every further one, or as long as the server says."""
MOST_PAUSE_S = 10.0


class UpstreamConfig(Config):
    """The server that computes."""

    base_url: str
    """Up to the version, for example http://127.0.0.1:8001/v1."""
    model: str
    """What the server calls the model."""
    api_key_env: str = "TSUZURI_UPSTREAM_KEY"
    """The environment variable that holds the server's key, if it asks for one."""
    retries: int = Field(default=3, ge=0)
    """Further tries until the first token has come."""
    connect_s: float = Field(default=5.0, gt=0)
    """For a connection."""
    read_s: float = Field(default=60.0, gt=0)
    """That the server may be silent."""
    slots: int = Field(default=64, ge=1)
    """Requests sent at once."""
    queue: int = Field(default=256, ge=0)
    """Requests that wait for that; beyond them, requests are refused."""


class UpstreamEngine:
    """`Engine` over HTTP; `encode` is the tokenizer's, for servers that give no ids."""

    name: str
    capabilities = frozenset({"logprobs", "embeddings"})

    def __init__(
        self,
        config: UpstreamConfig,
        rules: TokenRules,
        encode: Callable[[str], list[int]],
        *,
        name: str,
        vocab_size: int,
        context: int,
    ) -> None:
        self.name, self.vocab_size, self.context = name, vocab_size, context
        self._config, self._rules, self._encode = config, rules, encode
        self._lock = threading.Lock()
        self._held = self._running = self._generated_tokens = self._prompt_tokens = 0
        self._finished: Counter[str] = Counter()
        self._unknown: set[str] = set()
        """Of the parameters that servers may not know, those that this one has refused."""
        self._is_closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        key = os.environ.get(config.api_key_env, "")
        self._client = httpx.AsyncClient(
            base_url=config.base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(config.read_s, connect=config.connect_s),
            limits=httpx.Limits(max_connections=config.slots + 1),
        )
        self._places = asyncio.Semaphore(config.slots)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name=f"engine-{name}", daemon=True)
        self._thread.start()

    def submit(self, request: TokenRequest) -> Generation:
        """See `Engine`."""
        if request.prompt_logprobs:
            raise InputError(f"{self.name} is computed elsewhere and tells no log-probabilities of prompts")
        generation = Generation()
        with self._lock:
            if self._is_closed:
                raise EngineFailed(f"the engine {self.name} was closed")
            if self._held >= self._config.slots + self._config.queue:
                raise Overloaded(f"{self.name} holds {self._held:,} requests", retry_after_s=1.0)
            self._held += 1
        self._loop.call_soon_threadsafe(self._begin, request, generation)
        return generation

    def embed(self, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """See `Engine`: what the server makes of each text with its opening piece, of length 1."""
        if not texts:
            return np.zeros((0, 0), np.float32)
        body = {"model": self._config.model, "input": [[*self._rules.opening, *text] for text in texts]}
        answer = asyncio.run_coroutine_threadsafe(self._post("embeddings", body), self._loop).result()
        ordered = sorted(answer["data"], key=lambda item: item["index"])
        vectors = np.array([item["embedding"] for item in ordered], np.float32)
        normed: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return normed

    def stats(self) -> EngineStats:
        """See `Engine`; the cache is the server's own business."""
        return EngineStats(
            running=self._running,
            waiting=self._held - self._running,
            slots=self._config.slots,
            prompt_tokens=self._prompt_tokens,
            generated_tokens=self._generated_tokens,
            finished=dict(self._finished),  # type: ignore[arg-type]
            failure="was closed" if self._is_closed else None,
        )

    def close(self, *, drain_s: float = 0.0) -> None:
        """See `Engine`."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if not was_closed:
            asyncio.run_coroutine_threadsafe(self._end(drain_s), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # What follows runs on the engine's own event loop.

    def _run_loop(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def _begin(self, request: TokenRequest, generation: Generation) -> None:
        task = self._loop.create_task(self._serve(request, generation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        generation.on_cancel = lambda: self._loop.call_soon_threadsafe(task.cancel)
        if generation.is_cancelled:
            task.cancel()

    async def _end(self, drain_s: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=drain_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _serve(self, request: TokenRequest, generation: Generation) -> None:
        """Carry the tokens of one request over, and say how it ended."""
        seconds = None if request.deadline is None else request.deadline - time.monotonic()
        how = "error"
        try:
            async with asyncio.timeout(seconds), self._places:
                self._running += 1
                try:
                    finish = await self._carry(request, generation)
                finally:
                    self._running -= 1
            how = finish
        except TimeoutError:
            finish = how = "timeout"
        except asyncio.CancelledError:
            if not generation.is_cancelled:  # the engine is being closed
                generation.fail(EngineFailed(f"the engine {self.name} was closed"))
                return
            finish = how = "cancelled"
        except Exception as error:
            generation.fail(self._explained(error))
            return
        finally:
            self._held -= 1
            self._finished[how] += 1
        generation.push(TokenEvent(finish=finish))

    async def _carry(self, request: TokenRequest, generation: Generation) -> Finish:
        self._prompt_tokens += len(request.prompt)
        body = self._body(request)
        while True:
            for name in self._unknown:
                body.pop(name, None)
            try:
                return await self._try(body, generation)
            except InputError as error:
                unknown = {name for name in DISPENSABLE if name in body and name in error.message}
                if not unknown:
                    raise
                self._unknown |= unknown

    async def _try(self, body: dict[str, Any], generation: Generation) -> Finish:
        pause_s = FIRST_PAUSE_S
        for tries_left in range(self._config.retries, -1, -1):
            has_begun = False
            try:
                finish: Finish | None = None
                async for choice in self._stream("completions", body):
                    tokens = self._tokens(choice)
                    has_begun = has_begun or bool(tokens)
                    self._generated_tokens += len(tokens)
                    if reason := choice.get("finish_reason"):
                        finish = "length" if reason == "length" else "stop"
                    if tokens:
                        generation.push(TokenEvent(tuple(tokens)))
                if finish is None:
                    raise EngineFailed(f"the server of {self.name} broke off without a finish_reason")
                return finish
            except (httpx.TransportError, Overloaded) as error:
                if has_begun or not tries_left:
                    raise
                wanted_s = error.retry_after_s if isinstance(error, Overloaded) else pause_s
                await asyncio.sleep(min(max(wanted_s, pause_s), MOST_PAUSE_S))
                pause_s *= 2
        raise AssertionError

    async def _stream(self, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The choices of a stream's events."""
        async with self._client.stream("POST", path, json=body) as answer:
            await self._check(answer)
            async for line in answer.aiter_lines():
                data = line.removeprefix("data:").strip()
                if not line.startswith("data:") or data == "[DONE]":
                    continue
                event = json.loads(data)
                if "error" in event:
                    raise EngineFailed(f"the server of {self.name} broke off: {event['error']}")
                for choice in event.get("choices", ()):
                    yield choice

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._client.post(path, json=body)
            await self._check(answer)
            found: dict[str, Any] = answer.json()
            return found
        except httpx.HTTPError as error:
            raise self._explained(error) from error

    async def _check(self, answer: httpx.Response) -> None:
        """Raise what an answer of another status means."""
        if answer.is_success:
            return
        text = (await answer.aread()).decode("utf-8", errors="replace")[:300]
        said = f"the server of {self.name} answers {answer.status_code}: {text}"
        if answer.status_code in BUSY:
            after = answer.headers.get("retry-after", "")
            raise Overloaded(said, retry_after_s=float(after) if after.isdigit() else FIRST_PAUSE_S)
        if answer.status_code in (400, 413, 422):
            raise InputError(said)
        raise EngineFailed(said)

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, ResourceError | InputError):
            return error
        return EngineFailed(
            f"the server of {self.name} did not answer as it should: {type(error).__name__}: {error}",
            hint=f"is {self._config.base_url} the base URL of an OpenAI-compatible server?",
        )

    def _body(self, request: TokenRequest) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._config.model,
            "prompt": [
                *(self._rules.opening if request.prompt else (self._rules.start,)),
                *request.prompt,
                *request.written,
            ],
            "stream": True,
            "max_tokens": sampling.max_new_tokens - len(request.written),
            "min_tokens": max(0, sampling.min_new_tokens - len(request.written)),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or -1,
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty,  # vLLM, SGLang
            "repeat_penalty": sampling.repetition_penalty,  # llama.cpp
            "seed": sampling.seed % 2**63,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
        }
        if sampling.no_repeat_ngram:
            raise InputError(f"{self.name} is computed elsewhere and has no rule no_repeat_ngram")
        if request.logprobs or request.top_logprobs:
            body["logprobs"] = max(1, request.top_logprobs)
        if request.logit_bias:
            body["logit_bias"] = {str(token): value for token, value in request.logit_bias.items()}
        return body

    def _tokens(self, choice: Mapping[str, Any]) -> list[Token]:
        """The tokens of one event, without the piece that closes the text."""
        told = choice.get("logprobs") or {}
        if told.get("content"):  # llama.cpp
            tokens = [self._told(item) for item in told["content"]]
        elif told.get("tokens"):
            tops = told.get("top_logprobs") or [None] * len(told["tokens"])
            parts = zip(told["tokens"], told["token_logprobs"], tops, strict=True)
            tokens = [
                Token(self._id(name), logprob, self._top((top or {}).items())) for name, logprob, top in parts
            ]
        else:
            ids = choice.get("token_ids")
            tokens = [
                Token(index) for index in (self._encode(choice.get("text") or "") if ids is None else ids)
            ]
        return [token for token in tokens if token.id not in self._rules.ends]

    def _told(self, item: Mapping[str, Any]) -> Token:
        top = [(other.get("id", other["token"]), other["logprob"]) for other in item.get("top_logprobs", ())]
        return Token(self._id(item.get("id", item["token"])), item["logprob"], self._top(top))

    def _top(self, pairs: Any) -> tuple[tuple[int, float], ...]:
        return tuple(sorted(((self._id(name), value) for name, value in pairs), key=lambda pair: -pair[1]))

    def _id(self, name: int | str) -> int:
        """The id of a token by its number, as `token_id:7`, or else by its text."""
        if isinstance(name, int):
            return name
        if name.startswith("token_id:"):
            return int(name.removeprefix("token_id:"))
        return next(iter(self._encode(name)), self._rules.start)
