"""From a request to what is said about it: a model's text as messages, with neither bus nor queue.

    Ask    Delta …, Final        Score    Delta …, Scored        Embed    Delta …, Embedded

What is written goes out at once where nothing went out lately, and else together with what follows within
some milliseconds. An answer of which nothing can be shown for a while (a filter holds it back, its prompt is
long, texts are scored or made into vectors) says with an empty delta that it is on its way, as long as its
engine moves.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.models import Prompt, Resume, TextDelta, TextGeneration, TextModel, TextRequest
from tsuzuri.specialists.messages import Ask, Body, Delta, Embed, Embedded, Final, Score, Told
from tsuzuri.specialists.worker.failures import Unsupported
from tsuzuri.specialists.worker.scoring import score

MOST_CHARACTERS, MOST_IDS, MOST_TOKENS = 100_000, 50_000, 250
"""Of one record: with room, what stays below the size that every broker takes."""


@dataclass(slots=True)
class Answering:
    """One request being answered. For one event loop."""

    model: TextModel
    body: Body
    deadline: float | None = None
    """`time.monotonic()`."""
    is_patient: bool = False
    trace: Mapping[str, str] = field(default_factory=dict)
    delta_s: float = 0.03
    alive_s: float = 1.0
    width: int = 1
    """Texts that are scored side by side."""
    is_cancelled: bool = False
    _generation: TextGeneration | None = None
    _uncounted: int = 0
    """Tokens of the prompt, as long as nobody was told of them."""
    _seen: tuple[int, ...] = ()
    """Of its engine, when last looked at."""

    def cancel(self) -> None:
        """Nobody wants the rest: it ends within a step."""
        self.is_cancelled = True
        if self._generation is not None:
            self._generation.cancel()

    async def messages(self) -> AsyncIterator[Body]:
        """What is to be said, the end last; raises what prevents it."""
        body = self.body
        if isinstance(body, Ask):
            async for message in self._write(body):
                yield message
        elif isinstance(body, Score):
            self._need("prompt_logprobs", "scores no texts")
            scoring = score(
                self.model,
                body,
                width=self.width,
                deadline=self.deadline,
                is_over=lambda: self.is_cancelled,
            )
            async for message in self._whole(scoring):
                yield message
        elif isinstance(body, Embed):
            self._need("embeddings", "makes no vectors of texts")
            async for message in self._whole(self._embed(body)):
                yield message

    async def _whole(self, made: Coroutine[Any, Any, Body]) -> AsyncIterator[Body]:
        """What comes all at once, in the end; until then, that it is on its way."""
        coming = asyncio.ensure_future(made)
        try:
            async for alive in self._alive(coming):
                yield alive
            yield coming.result()
        finally:
            coming.cancel()

    async def _embed(self, body: Embed) -> Embedded:
        """Vectors."""
        prompts = [await self.model.read(text) for text in body.texts]
        vectors = await self.model.embed(prompts)
        return Embedded(
            vectors=tuple(tuple(row) for row in vectors.tolist()),
            prompt_tokens=sum(len(prompt.ids) for prompt in prompts),
        )

    async def _write(self, body: Ask) -> AsyncIterator[Body]:
        """An answer."""
        request = self._request(body, await self._read(body))
        if self.is_cancelled:
            yield Final(finish="cancelled")
            return
        generation = self._generation = self.model.complete(request)
        self._uncounted = generation.usage.prompt_tokens
        digest = hashlib.sha256((body.resume.text if body.resume else "").encode())
        coming: asyncio.Future[TextDelta] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(anext(generation))
                async for alive in self._alive(coming):
                    yield self._counted(alive)
                delta = coming.result()
                digest.update(delta.text.encode())
                *parts, last = _cut(delta)
                for part in parts:
                    yield self._counted(part)
                if delta.finish is not None:
                    break
                yield self._counted(last)
                await asyncio.sleep(self.delta_s)
        finally:
            if coming is not None:
                coming.cancel()
            generation.cancel()
        usage = generation.usage
        yield Final(
            finish=delta.finish,
            text=last.text,
            ids=last.ids,
            tokens=last.tokens,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            filtered=dict(generation.filtered),
            sha256=digest.hexdigest(),
        )

    def _counted(self, part: Delta) -> Delta:
        """A part; the first tells how long the prompt is."""
        count, self._uncounted = self._uncounted, 0
        return msgspec.structs.replace(part, prompt_tokens=count) if count else part

    async def _alive(self, coming: asyncio.Future[Any]) -> AsyncIterator[Delta]:
        """Until it has come, that it is on its way."""
        while not (await asyncio.wait((coming,), timeout=self.alive_s))[0]:
            if self._moves():
                yield Delta()

    async def _read(self, body: Ask) -> Prompt:
        if (body.prompt is not None) + bool(body.messages) + bool(body.ids) != 1:
            raise InputError("a request has one of these: a prompt, messages, or a prompt's ids")
        if body.messages:
            return await self.model.read_chat(body.messages)
        if body.ids:
            self._own(body.tokenizer, "the prompt")
            return await self.model.read(body.ids)
        assert body.prompt is not None
        return await self.model.read(body.prompt)

    def _request(self, body: Ask, prompt: Prompt) -> TextRequest:
        resume = body.resume
        if body.logit_bias:
            self._own(body.tokenizer, "logit_bias")
        if body.logprobs is not None:
            self._need("prompt_logprobs" if body.echo else "logprobs", "tells no log-probabilities")
        try:
            bias = {int(index): value for index, value in body.logit_bias.items()}
        except ValueError:
            raise InputError("a key of logit_bias is no id") from None
        return TextRequest(
            prompt,
            parse_config(SamplingConfig, body.sampling, where="sampling"),
            logprobs=body.logprobs,
            echo=body.echo,
            logit_bias=bias,
            deadline=self.deadline,
            resume=Resume(resume.text, resume.ids, resume.tokenizer, resume.completion_tokens)
            if resume and (resume.text or resume.ids)
            else None,
            is_patient=self.is_patient,
            trace=self.trace,
        )

    def _own(self, tokenizer: str, what: str) -> None:
        """Unsupported where ids are not of this model's tokenizer."""
        facts = self.model.facts
        if tokenizer != facts.tokenizer_sha256:
            raise Unsupported(
                f"{what} holds ids of another tokenizer than that of {facts.name} "
                f"({tokenizer[:12] or 'not named'}, not {facts.tokenizer_sha256[:12]})"
            )

    def _need(self, capability: str, without: str) -> None:
        facts = self.model.facts
        if capability not in facts.capabilities:
            raise Unsupported(f"{facts.name} {without}: its engine has no {capability}")

    def _moves(self) -> bool:
        """Whether its engine has done anything since the last look; what counts no steps watches itself."""
        stats = self.model.stats()
        before = self._seen
        self._seen = (stats.steps, stats.prompt_tokens, stats.generated_tokens)
        return not stats.steps or self._seen != before


def _cut(delta: TextDelta) -> Iterator[Delta]:
    """A delta as records of a size that is taken: ids first, so that they never lag behind the text."""
    text, ids = delta.text, delta.ids
    told = [Told(one.text, one.piece, one.offset, one.logprob, one.top) for one in delta.tokens]
    while len(ids) > MOST_IDS:
        yield Delta(ids=ids[:MOST_IDS])
        ids = ids[MOST_IDS:]
    while len(text) > MOST_CHARACTERS:
        yield Delta(text=text[:MOST_CHARACTERS], ids=ids)
        text, ids = text[MOST_CHARACTERS:], ()
    while len(told) > MOST_TOKENS:
        yield Delta(text=text, ids=ids, tokens=tuple(told[:MOST_TOKENS]))
        text, ids, told = "", (), told[MOST_TOKENS:]
    yield Delta(text=text, ids=ids, tokens=tuple(told))
