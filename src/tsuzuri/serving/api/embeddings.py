"""/v1/embeddings."""

from __future__ import annotations

import asyncio
import base64

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from tsuzuri.serving.api.asking import texts_of
from tsuzuri.serving.api.entry import ERRORS, Signed, permit, request_id_of, service_of, trace_of
from tsuzuri.serving.api.schemas import EmbeddingAnswer, EmbeddingRequest
from tsuzuri.serving.errors import ApiError, invalid
from tsuzuri.serving.jobs import AskedText, Job
from tsuzuri.serving.models import Prompt, TextModel

router = APIRouter(tags=["text"], responses=ERRORS)


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
    try:
        vectors = await job.model.embed(prompts)
    except BaseException:
        job.cancel("failed")
        raise
    finally:
        await job.settle()
    if asked.dimensions not in (None, vectors.shape[1]):
        message = f"{job.model.facts.name}'s vectors have {vectors.shape[1]} dimensions, no other number"
        raise invalid(message, param="dimensions")
    return await asyncio.to_thread(_answer, asked, job, vectors)


def _answer(asked: EmbeddingRequest, job: Job, vectors: object) -> Response:
    import numpy as np

    rows = np.asarray(vectors, "<f4")
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
