"""/v1/embeddings."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from tsuzuri.serving.api.asking import texts_of
from tsuzuri.serving.api.entry import ERRORS, Signed, permit, request_id_of, service_of, trace_of
from tsuzuri.serving.api.schemas import EmbeddingAnswer, EmbeddingRequest
from tsuzuri.serving.api.streams import watch
from tsuzuri.serving.errors import ApiError, invalid
from tsuzuri.serving.jobs import AskedText, Job
from tsuzuri.serving.models import Prompt, TextModel

router = APIRouter(tags=["text"], responses=ERRORS)
PORTION_TOKENS = 2048
"""Read before somebody looks whether the rest is still wanted."""
CLIENT_GONE = 499
"""For the log alone."""


@router.post("/v1/embeddings", response_model=EmbeddingAnswer, summary="Vectors of texts")
async def embeddings(asked: EmbeddingRequest, request: Request, caller: Signed) -> Response:
    """A vector of length 1 for each text: the mean of the last layer's states."""
    service = service_of(request)
    permit(caller, asked.model)
    job = Job(service, request_id_of(request), caller, asked.model, trace=trace_of(request))
    prompts: list[Prompt] = []

    async def ask(model: TextModel) -> AskedText:
        if "embeddings" not in model.facts.capabilities:
            raise ApiError(400, "unsupported", f"{model.facts.name} makes no vectors", param="model")
        given = texts_of(asked.input, param="input")
        if len(given) > service.config.limits.inputs:
            raise invalid(f"at most {service.config.limits.inputs:,} texts a request", param="input")
        prompts.extend([await model.read(text) for text in given])
        return AskedText((), sum(prompt.tokens for prompt in prompts))

    await job.begin(ask)
    watcher = asyncio.create_task(watch(request.receive, job))
    try:
        vectors = [rows async for rows in _vectors(job, prompts, asked, service.config.limits.request_s)]
    except BaseException:
        job.cancel("failed")
        raise
    finally:
        watcher.cancel()
        await job.settle()
    job.check_answered()
    if job.outcome != "complete":  # nobody is there any more
        return Response(status_code=CLIENT_GONE)
    return await asyncio.to_thread(_answer, asked, job, vectors)


async def _vectors(
    job: Job, prompts: Sequence[Prompt], asked: EmbeddingRequest, request_s: float
) -> AsyncIterator[npt.NDArray[np.float32]]:
    """The vectors of the prompts, portion by portion, as long as they are wanted: the client is there, the
    time is not over and the server is not stopped."""
    for portion in _portions(prompts):
        if job.elapsed_s >= request_s:
            job.cancel("timeout")
        if job.outcome != "complete":
            return
        rows = await job.model.embed(portion)
        if asked.dimensions not in (None, rows.shape[1]):
            job.cancel("refused")
            message = f"{job.model.facts.name}'s vectors have {rows.shape[1]} dimensions, no other number"
            raise invalid(message, param="dimensions")
        yield rows


def _portions(prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    portion, tokens = list[Prompt](), 0
    for prompt in prompts:
        portion.append(prompt)
        tokens += prompt.tokens
        if tokens >= PORTION_TOKENS:
            yield portion
            portion, tokens = [], 0
    if portion:
        yield portion


def _answer(asked: EmbeddingRequest, job: Job, vectors: Sequence[npt.NDArray[np.float32]]) -> Response:
    rows = np.concatenate(vectors).astype("<f4")
    if asked.encoding_format == "base64":
        told = [base64.b64encode(row.tobytes()).decode() for row in rows]
    else:
        told = rows.astype(float).tolist()
    body = {
        "object": "list",
        "model": job.model.facts.name,
        "data": [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(told)],
        "usage": {"prompt_tokens": job.usage.prompt_tokens, "total_tokens": job.usage.prompt_tokens},
    }
    return Response(to_json(body), media_type="application/json", headers=dict(job.reservation.headers))
