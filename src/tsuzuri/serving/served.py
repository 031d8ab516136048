"""A release that an engine computes: `models.TextModel` in this process. Imports no torch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import InputError
from tsuzuri.generation.rules import TokenRules
from tsuzuri.serving.chat import ChatTemplate
from tsuzuri.serving.config import FilterConfig
from tsuzuri.serving.engines.base import Engine, EngineStats, Generation, TokenRequest
from tsuzuri.serving.filters import Filters
from tsuzuri.serving.models import ModelFacts, Prompt, PromptTooLong, Resume, TextRequest
from tsuzuri.serving.writing import Pieces, Writing
from tsuzuri.tokenizer.codec import Tokenizer

LONG_CHARACTERS = 4096
"""Of a prompt: from here on it is encoded beside the event loop."""


class ServedModel:
    """A model with its tokenizer, defaults and filters."""

    def __init__(
        self,
        facts: ModelFacts,
        engine: Engine,
        tokenizer: Tokenizer,
        rules: TokenRules,
        *,
        filters: Filters | None = None,
        chat: ChatTemplate | None = None,
        special_names: Mapping[int, str] | None = None,
    ) -> None:
        self.facts = facts
        self._engine = engine
        self._tokenizer = tokenizer
        self._rules = rules
        self._filters = Filters(FilterConfig()) if filters is None else filters
        self._chat = chat
        self._pieces = Pieces(tokenizer.pieces, (special_names or {}).get)
        self._longest_piece = max(map(len, tokenizer.pieces))
        self._room = facts.context - len(rules.opening)
        """Tokens of a prompt and at least one that follows."""
        self._embedding = asyncio.Lock()
        """One batch of vectors at a time: each takes the machine whole."""

    async def read(self, prompt: str | Sequence[int]) -> Prompt:
        """See `TextModel`."""
        if isinstance(prompt, str):
            if len(prompt) > self._room * self._longest_piece:  # before minutes are spent on its ids
                raise self._too_long(f"{len(prompt):,} characters")
            return self._checked(await self._encode(prompt), prompt)
        ids, last = list(prompt), self.facts.vocab_size - 1
        wrong = next((index for index in ids if not 0 <= index <= last), None)
        if wrong is not None:
            raise InputError(f"{wrong} is no id of {self.facts.name}, which has 0 to {last:,}")
        return self._checked(ids, None)

    async def read_chat(self, messages: Sequence[Mapping[str, Any]]) -> Prompt:
        """See `TextModel`."""
        if self._chat is None:
            raise InputError(
                f"{self.facts.name} has no chat template: it continues texts",
                hint="ask /v1/completions, with the text to go on from as the prompt",
            )
        ids = await asyncio.to_thread(self._chat.ids, messages)
        return self._checked(ids, None)

    def complete(self, request: TextRequest) -> Writing:
        """See `TextModel`."""
        tells = request.logprobs is not None
        wanted = TokenRequest(
            request.prompt.ids,
            request.sampling,
            top_logprobs=request.logprobs or 0,
            logprobs=tells,
            prompt_logprobs=tells and request.echo and request.resume is None,
            logit_bias=request.logit_bias,
            deadline=request.deadline,
        )
        writing, asked = (
            (self._writing(request), wanted)
            if request.resume is None
            else self._resumed(request, request.resume, wanted)
        )
        writing.begin(Generation.ended("length") if asked is None else self._engine.submit(asked))
        return writing

    async def embed(self, prompts: Sequence[Prompt]) -> npt.NDArray[np.float32]:
        """See `TextModel`."""
        async with self._embedding:
            return await asyncio.to_thread(self._engine.embed, [prompt.ids for prompt in prompts])

    def stats(self) -> EngineStats:
        """See `TextModel`."""
        return self._engine.stats()

    async def close(self, *, drain_s: float = 0.0) -> None:
        """See `TextModel`."""
        await asyncio.to_thread(self._engine.close, drain_s=drain_s)

    def _writing(self, request: TextRequest) -> Writing:
        return Writing(request, self._pieces, self._filters, self._rules.ends[0])

    def _resumed(
        self, request: TextRequest, resume: Resume, asked: TokenRequest
    ) -> tuple[Writing, TokenRequest | None]:
        """The answer where an earlier attempt left it, and what the engine is asked, if anything is left."""
        writing, sampling = self._writing(request), asked.sampling
        if resume.ids and resume.tokenizer == self._tokenizer.sha256 and writing.replay(resume):
            is_over = writing.is_over or len(resume.ids) >= sampling.max_new_tokens
            return writing, None if is_over else replace(asked, written=resume.ids)
        writing = self._writing(request)
        text = writing.reread(resume)
        written = writing.usage.completion_tokens
        left = sampling.max_new_tokens - written
        if left <= 0:
            return writing, None
        sampling = sampling.model_copy(
            update={
                "max_new_tokens": left,
                "min_new_tokens": min(left, max(0, sampling.min_new_tokens - written)),
            }
        )
        ids = self._continued(request.prompt, text)
        if len(ids) >= self._room:
            ids = ids[-(self._room // 2) :]
        return writing, replace(asked, prompt=tuple(ids), sampling=sampling)

    def _continued(self, prompt: Prompt, text: str) -> list[int]:
        """The ids of a prompt with a text behind it; those of a conversation or a client's own stay."""
        if tuple(self._tokenizer.encode(prompt.text)) == prompt.ids:
            return self._tokenizer.encode(prompt.text + text)
        return [*prompt.ids, *self._tokenizer.encode(text)]

    async def _encode(self, text: str) -> list[int]:
        if len(text) < LONG_CHARACTERS:
            return self._tokenizer.encode(text)
        return await asyncio.to_thread(self._tokenizer.encode, text)

    def _checked(self, ids: list[int], text: str | None) -> Prompt:
        """The prompt of ids, of which an opening piece of the client's own is not read twice."""
        opening = None
        if ids and text is None and self._rules.opening and ids[0] == self._rules.opening[0]:
            opening, ids = ids[0], ids[1:]
        if len(ids) >= self._room:
            raise self._too_long(f"{len(ids):,} tokens")
        return Prompt(tuple(ids), self._tokenizer.decode(ids) if text is None else text, opening)

    def _too_long(self, what: str) -> PromptTooLong:
        return PromptTooLong(
            f"the prompt has {what}, more than fit: {self.facts.name} sees {self.facts.context:,} tokens, "
            f"of which a prompt may take {self._room - 1:,}"
        )
