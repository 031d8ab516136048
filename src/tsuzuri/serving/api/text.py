"""/v1/completions and /v1/chat/completions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving import logs
from tsuzuri.serving.api import asking, telling
from tsuzuri.serving.api.entry import ERRORS, Signed, permit, request_id_of, service_of, trace_of
from tsuzuri.serving.api.schemas import (
    ChatAnswer,
    ChatRequest,
    CompletionAnswer,
    CompletionRequest,
    Sampling,
)
from tsuzuri.serving.api.streams import EventStream, watch
from tsuzuri.serving.api.telling import Sample
from tsuzuri.serving.errors import ApiError, error_body
from tsuzuri.serving.jobs import AskedText, Job
from tsuzuri.serving.models import Prompt, TextDelta, TextModel

router = APIRouter(tags=["text"], responses=ERRORS)
Piece = Callable[[int, TextDelta], dict[str, Any]]
"""(number of the sample, its next part) as a choice of a stream's event."""


@router.post("/v1/completions", response_model=CompletionAnswer, summary="Go on from a text")
async def completions(asked: CompletionRequest, request: Request, caller: Signed) -> Response:
    """What follows a text, as a whole or as server-sent events."""
    limits = service_of(request).config.limits

    async def ask(model: TextModel) -> AskedText:
        return await asking.completion(model, asked, limits)

    job, text = await _begin(request, caller, asked, ask)
    head = {**_head(job, "cmpl"), "object": "text_completion"}
    if asked.stream:
        return _stream(job, asked, head, lambda index, delta: _completion_piece(asked, index, delta))
    samples = await _collect(request, job)
    if asked.max_tokens == 0:  # an engine writes at least one
        samples = [_unwritten(one.prompt, sample) for one, sample in zip(text.requests, samples, strict=True)]
    wanted, written = asked.n or 1, asking.samples_of(asked)
    choices: list[dict[str, Any]] = []
    for first in range(0, len(samples), written):
        group = samples[first : first + written]
        if written > wanted:
            group = sorted(group, key=lambda sample: -sample.mean_logprob)[:wanted]
        choices += [_completion_choice(asked, len(choices) + k, sample) for k, sample in enumerate(group)]
    return await _answer(job, {**head, "choices": choices})


@router.post("/v1/chat/completions", response_model=ChatAnswer, summary="Answer a conversation")
async def chat(asked: ChatRequest, request: Request, caller: Signed) -> Response:
    """The answer to a conversation, from a model whose release has a chat template."""
    limits = service_of(request).config.limits

    async def ask(model: TextModel) -> AskedText:
        return await asking.chat(model, asked, limits)

    job, _ = await _begin(request, caller, asked, ask)
    head = _head(job, "chatcmpl")
    if asked.stream:
        said: set[int] = set()
        part = {**head, "object": "chat.completion.chunk"}
        return _stream(job, asked, part, lambda index, delta: _chat_piece(asked, index, delta, said))
    samples = await _collect(request, job)
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": "".join(sample.text), "refusal": None},
            "logprobs": telling.chat_logprobs(sample.tokens) if asked.logprobs else None,
            "finish_reason": telling.finish_reason(sample.finish),
        }
        for index, sample in enumerate(samples)
    ]
    return await _answer(job, {**head, "object": "chat.completion", "choices": choices})


async def _begin(
    request: Request, caller: Signed, asked: Sampling, ask: Callable[[TextModel], Awaitable[AskedText]]
) -> tuple[Job, AskedText]:
    permit(caller, asked.model)
    job = Job(service_of(request), request_id_of(request), caller, asked.model, trace=trace_of(request))
    return job, await job.begin(ask)


def _head(job: Job, prefix: str) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{job.id}",
        "created": int(time.time()),
        "model": job.model.facts.name,
        "system_fingerprint": job.model.facts.revision or None,
    }


async def _collect(request: Request, job: Job) -> list[Sample]:
    """The samples once all are written; ApiError 503 where there is no answer."""
    samples: dict[int, Sample] = {}
    watcher = asyncio.create_task(watch(request.receive, job))
    try:
        async for index, delta in job.deltas():
            samples.setdefault(index, Sample()).add(delta)
    except BaseException:
        job.cancel("failed")
        raise
    finally:
        watcher.cancel()
        await job.settle()
    job.check_answered()
    return [samples[index] for index in sorted(samples)]


async def _answer(job: Job, body: dict[str, Any]) -> Response:
    """A whole answer, once it is billed."""
    about = telling.about(job)
    body |= {"usage": telling.usage(job), "timings": job.timings(), "tsuzuri": about}
    headers = {f"x-tsuzuri-{name}": about[name] for name in ("specialist", "revision") if about.get(name)}
    return Response(
        to_json(body), media_type="application/json", headers={**job.reservation.headers, **headers}
    )


def _stream(job: Job, asked: Sampling, head: dict[str, Any], piece: Piece) -> EventStream:
    return EventStream(job, _events(job, asked, head, piece), dict(job.reservation.headers))


async def _events(job: Job, asked: Sampling, head: dict[str, Any], piece: Piece) -> AsyncIterator[bytes]:
    """The events of a stream; the last sample's last part, the usage and the end come once it is billed."""
    with_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    if with_usage:
        head = {**head, "usage": None}
    last: dict[str, Any] | None = None
    try:
        async for index, delta in job.deltas():
            if last is not None:
                yield telling.event(last)
            last = {**head, "choices": [piece(index, delta)]}
            if delta.finish is None:
                yield telling.event(last)
                last = None
        await job.settle()
    except TsuzuriError as error:
        job.cancel("failed")
        logs.failure("stream_failed", error, request_id=job.id)
        with suppress(TsuzuriError):
            await job.settle()
        yield _error_event(error)
        return
    try:
        job.check_answered()
    except ApiError as error:
        if last is not None:
            yield telling.event({**last, "choices": [{**last["choices"][0], "finish_reason": None}]})
        yield _error_event(error)
        return
    more = {"timings": job.timings(), "tsuzuri": telling.about(job)}
    yield telling.event({**(last or head), **more})
    if with_usage:
        yield telling.event({**head, "choices": [], "usage": telling.usage(job)})
    yield b"data: [DONE]\n\n"


def _error_event(error: TsuzuriError) -> bytes:
    """What stands in a stream in place of its end."""
    status, code = getattr(error, "status", 500), getattr(error, "code", "engine_failed")
    message = error.message if isinstance(error, ApiError) else "the answer can't be finished"
    return telling.event(error_body(status, code, message))


def _completion_piece(asked: CompletionRequest, index: int, delta: TextDelta) -> dict[str, Any]:
    sample = Sample([delta.text], list(delta.tokens), delta.finish)
    return _completion_choice(asked, index, sample)


def _completion_choice(asked: CompletionRequest, index: int, sample: Sample) -> dict[str, Any]:
    logprobs = None
    if asked.logprobs is not None:
        logprobs = telling.completion_logprobs(sample.tokens, alternatives=asked.logprobs > 0)
    finish = telling.finish_reason(sample.finish)
    return {"index": index, "text": "".join(sample.text), "logprobs": logprobs, "finish_reason": finish}


def _unwritten(prompt: Prompt, sample: Sample) -> Sample:
    """The echo of a prompt alone."""
    read = sample.tokens[: len(prompt.ids) + (prompt.opening is not None)]
    if prompt.estimated_tokens is not None:
        read = [token for token in sample.tokens if token.offset < len(prompt.text)]
    text = prompt.text or b"".join(token.piece for token in read).decode("utf-8", "replace")
    return Sample([text], read, "length")


def _chat_piece(asked: ChatRequest, index: int, delta: TextDelta, said: set[int]) -> dict[str, Any]:
    """A part of an answer; the first of each sample says who speaks."""
    content: dict[str, Any] = {} if index in said else {"role": "assistant"}
    said.add(index)
    if delta.text or content:
        content["content"] = delta.text
    logprobs = telling.chat_logprobs(delta.tokens) if asked.logprobs else None
    finish = telling.finish_reason(delta.finish)
    return {"index": index, "delta": content, "logprobs": logprobs, "finish_reason": finish}
