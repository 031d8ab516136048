"""How likely texts are to a model, by the log-probabilities of prompts that it tells."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from tsuzuri.core.errors import InputError
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.engines.base import Overloaded
from tsuzuri.serving.models import TextModel, TextRequest
from tsuzuri.specialists.messages import Score, Scored

READ_ONLY = SamplingConfig(max_new_tokens=1, temperature=0, repetition_penalty=1, min_p=0)
"""Nothing is wanted but the prompt."""


async def score(
    model: TextModel,
    body: Score,
    *,
    width: int,
    deadline: float | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> Scored:
    """-log p in nats of each text after what stands before it, `width` of them side by side.

    A text is read as its tokens behind those of what stands before it. Where a model has nothing that opens a
    text, the first token is counted as drawn from all of its vocabulary alike.
    """
    if body.befores and len(body.befores) != len(body.texts):
        raise InputError(f"{len(body.texts)} texts come with {len(body.befores)} beginnings")
    befores = body.befores or ("",) * len(body.texts)
    places = asyncio.Semaphore(max(1, width))

    async def one(text: str, before: str) -> tuple[float, int, int]:
        async with places:
            if is_over():
                return 0.0, 0, 0
            return await _one(model, text, before, deadline)

    found = await asyncio.gather(*map(one, body.texts, befores))
    return Scored(
        nats=tuple(item[0] for item in found),
        tokens=tuple(item[1] for item in found),
        utf8_bytes=tuple(item[2] for item in found),
    )


async def _one(model: TextModel, text: str, before: str, deadline: float | None) -> tuple[float, int, int]:
    """(nats, tokens, bytes) of one text."""
    first = (await model.read(before)).ids if before else ()
    ids = (await model.read(text)).ids
    if not ids:
        return 0.0, 0, 0
    prompt = await model.read([*first, *ids])
    told = await _told(model, TextRequest(prompt, READ_ONLY, logprobs=0, echo=True, deadline=deadline))
    skipped = (prompt.opening is not None) + len(prompt.ids) - len(ids)
    own = told[skipped : skipped + len(ids)]
    if len(own) < len(ids):
        raise InputError(f"{model.facts.name} told {len(told)} of {len(prompt.ids)} tokens of a text")
    unknown = math.log(model.facts.vocab_size)
    nats = -sum(-unknown if logprob is None else logprob for logprob, _ in own)
    return nats, len(own), sum(size for _, size in own)


async def _told(model: TextModel, request: TextRequest) -> Sequence[tuple[float | None, int]]:
    """(log-probability, bytes) of every token of a prompt, in order."""
    wanted = len(request.prompt.ids) + (request.prompt.opening is not None)
    told: list[tuple[float | None, int]] = []
    while True:
        try:
            generation = model.complete(request)
            break
        except Overloaded as busy:  # its other requests go first
            await asyncio.sleep(min(busy.retry_after_s, 1.0))
    try:
        async for delta in generation:
            told += [(token.logprob, len(token.piece)) for token in delta.tokens]
            if len(told) >= wanted:
                generation.cancel()
    finally:
        generation.cancel()
    return told[:wanted]
