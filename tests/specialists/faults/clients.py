"""Clients of the API on an event loop of their own, and what each of them sees, in a history."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from specialists.faults.history import History
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.loading import load
from tsuzuri.serving.models import TextModel, TextRequest

HUNG_S = 180.0
"""After which a client gives up: longer than anything here may take."""
PROMPTS = ("むかし、", "ある日のこと、", "東京の朝は", "雪の降る夜に", "民法によれば", "駅を出ると")
SEEDS = 4
STREAMED, LEFT = 0.8, 0.05
"""Shares of a load's requests: that are streamed, and whose client goes away before the end."""


class Asked:
    """One request as its client sees it."""

    def __init__(self, id: str, prompt: str, tokens: int, seed: int, *, is_stream: bool) -> None:
        self.id, self.prompt, self.tokens, self.seed = id, prompt, tokens, seed
        self.is_stream = is_stream
        self.parts: list[str] = []
        self.status: int | None = None
        self.how = ""
        """How it ended: done, marked, cut, hung, refused, cancelled."""
        self.about: dict[str, Any] = {}
        self.code = ""
        self.retry_after = ""
        self.billed: int | None = None
        """Tokens, as the client was told."""
        self.asked_s = time.monotonic()
        self.ended_s: float | None = None
        self.over: Future[None] | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def wait(self, timeout_s: float = HUNG_S) -> Asked:
        """Until it has ended."""
        assert self.over is not None
        with suppress(CancelledError):
            self.over.result(timeout_s)
        return self

    def leave(self) -> None:
        """The client goes away."""
        assert self.over is not None
        self.over.cancel()


class Oracle:
    """What an answer is that nothing interrupts: the same engine, in this process, at once."""

    def __init__(self, releases: Mapping[str, Path], history: History) -> None:
        self._history = history
        self._models: dict[str, TextModel] = {
            name: load(ModelConfig(path=path, engine={"kind": "mock"})) for name, path in releases.items()
        }
        self.others: dict[str, Callable[[str, int], str]] = {}
        """Who else may answer: what of a prompt and a number of tokens."""
        self._known: dict[str, dict[str, str]] = {}

    async def tell(self, prompt: str, tokens: int, seed: int) -> str:
        """The key under which the history knows the answer of every specialist."""
        key = f"{prompt}/{tokens}/{seed}"
        if key not in self._known:
            self._known[key] = {}
            for name in (*self._models, *self.others):
                texts = [await self._text(name, prompt, most, seed) for most in range(1, tokens + 1)]
                self._known[key][name] = texts[-1]
                ends = [0, *map(len, texts)]
                self._history.note("known", key=key, specialist=name, text=texts[-1], ends=ends)
        return key

    def text(self, asked: Asked, specialist: str) -> str:
        """The whole of an answer by that specialist."""
        return self._known[f"{asked.prompt}/{asked.tokens}/{asked.seed}"][specialist]

    async def _text(self, name: str, prompt: str, most: int, seed: int) -> str:
        if name in self.others:
            return self.others[name](prompt, most)
        model = self._models[name]
        sampling = SamplingConfig(max_new_tokens=most, seed=seed)
        request = TextRequest(await model.read(prompt), sampling)
        return "".join([delta.text async for delta in model.complete(request)])


class Clients:
    """Asks one model; `address` may change, as that of a server that was started again does."""

    def __init__(
        self, address: Callable[[], str], key: str, model: str, oracle: Oracle, history: History
    ) -> None:
        self.oracle = oracle
        self.asked: list[Asked] = []
        self._address, self._key, self._model, self._history = address, key, model, history
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clients")
        self._thread.start()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=16)
        self._http = httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(None, connect=60.0))

    def ask(
        self,
        prompt: str = PROMPTS[0],
        tokens: int = 40,
        *,
        seed: int = 1,
        is_stream: bool = True,
        model: str = "",
        **fields: Any,
    ) -> Asked:
        """A request that has been sent; `fields` go into its body."""
        one = Asked(f"{len(self.asked) + 1:032x}", prompt, tokens, seed, is_stream=is_stream)
        self.asked.append(one)
        body = {"model": model or self._model, **fields}
        one.over = asyncio.run_coroutine_threadsafe(self._ask(one, body), self._loop)
        return one

    @contextmanager
    def load(self, *, rate: float, seed: int, tokens: int = 24) -> Iterator[list[Asked]]:
        """Requests at random moments, `rate` a second on the average, whatever becomes of the others (an
        open loop); at the end all have ended."""
        drawn, asked, is_over = random.Random(seed), list[Asked](), threading.Event()
        for prompt, number in itertools.product(PROMPTS, range(SEEDS)):  # not while anybody waits
            self._run(self.oracle.tell(prompt, tokens, number))

        def run() -> None:
            next_s = time.monotonic()
            while not is_over.wait(max(0.0, next_s - time.monotonic())):
                next_s += drawn.expovariate(rate)
                prompt, number = drawn.choice(PROMPTS), drawn.randrange(SEEDS)
                is_stream, is_leaving = drawn.random() < STREAMED, drawn.random() < LEFT
                one = self.ask(prompt, tokens, seed=number, is_stream=is_stream)
                asked.append(one)
                if is_leaving:
                    self._loop.call_soon_threadsafe(
                        self._loop.call_later, drawn.uniform(0.05, 0.3), one.leave
                    )

        thread = threading.Thread(target=run, name="load")
        thread.start()
        try:
            yield asked
        finally:
            is_over.set()
            thread.join()
            for one in asked:
                one.wait()

    def close(self) -> None:
        """Nobody asks any more."""
        for one in self.asked:
            one.leave()
        self._run(self._http.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(HUNG_S)

    async def _ask(self, one: Asked, more: dict[str, Any]) -> None:
        key = await self.oracle.tell(one.prompt, one.tokens, one.seed)
        one.asked_s = time.monotonic()
        self._history.note("asked", id=one.id, key=key, tokens=one.tokens, is_stream=one.is_stream)
        body = {"prompt": one.prompt, "max_tokens": one.tokens, "seed": one.seed, **more}
        if one.is_stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        headers = {
            "authorization": f"Bearer {self._key}",
            "traceparent": f"00-{one.id}-{one.id[-16:]}-01",
        }
        url = f"{self._address()}/v1/completions"
        try:
            async with (
                asyncio.timeout(HUNG_S),
                self._http.stream("POST", url, json=body, headers=headers) as answer,
            ):
                one.status = answer.status_code
                await self._read(one, answer)
        except asyncio.CancelledError:
            if not one.how:  # else it left when all had been said
                one.how = "cancelled"
                self._history.note("cancelled", id=one.id)
            raise
        except TimeoutError:
            self._ended(one, "hung", {}, "")
        except httpx.HTTPError as error:
            if one.status == 200:
                self._ended(one, "cut", {}, type(error).__name__)
            else:
                self._refused(one, 0, type(error).__name__, "")
        finally:
            one.ended_s = time.monotonic()

    async def _read(self, one: Asked, answer: httpx.Response) -> None:
        if answer.status_code != 200:
            said = json.loads(await answer.aread())
            code = str(said.get("error", {}).get("code", ""))
            self._refused(one, answer.status_code, code, answer.headers.get("retry-after", ""))
            return
        self._history.note("accepted", id=one.id, request_id=answer.headers["x-request-id"])
        if not one.is_stream:
            body = json.loads(await answer.aread())
            self._show(one, body["choices"][0]["text"])
            one.billed = body["usage"]["completion_tokens"]
            self._over(one, body["tsuzuri"])
            return
        about: dict[str, Any] | None = None
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            if line == "data: [DONE]":
                self._over(one, about or {})
                return
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                self._ended(one, "marked", about or {}, event["error"]["code"])
                return
            about = event.get("tsuzuri", about)
            if event.get("usage"):
                one.billed = event["usage"]["completion_tokens"]
            for choice in event["choices"]:
                self._show(one, choice["text"])
        self._ended(one, "cut", about or {}, "end of the stream")

    def _over(self, one: Asked, about: dict[str, Any]) -> None:
        outcome = about.get("outcome", "")
        self._ended(one, "done" if outcome == "complete" else "marked", about, outcome)

    def _show(self, one: Asked, text: str) -> None:
        if text:
            one.parts.append(text)
            self._history.note("shown", id=one.id, text=text)

    def _ended(self, one: Asked, how: str, about: dict[str, Any], code: str) -> None:
        one.how, one.about, one.code = how, about, code
        self._history.note(
            "ended",
            id=one.id,
            how=how,
            code=code,
            specialist=about.get("specialist"),
            revision=about.get("revision"),
            why=about.get("why"),
            tokens=one.billed,
        )

    def _refused(self, one: Asked, status: int, code: str, retry_after: str) -> None:
        one.how, one.status, one.code, one.retry_after = "refused", status, code, retry_after
        self._history.note("refused", id=one.id, status=status, code=code, retry_after=retry_after)
