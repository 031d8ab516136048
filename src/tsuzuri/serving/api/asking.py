"""From what a client asks to what a model is asked."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tsuzuri.core.config import parse_config
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.api.schemas import ChatRequest, CompletionRequest, Message, Sampling
from tsuzuri.serving.config import LimitsConfig
from tsuzuri.serving.errors import ApiError, invalid
from tsuzuri.serving.jobs import AskedText
from tsuzuri.serving.models import Prompt, TextModel, TextRequest

SEEDS = 2**62
"""Seeds are taken modulo this, so that sample k may have the seed + k."""


async def completion(model: TextModel, asked: CompletionRequest, limits: LimitsConfig) -> AskedText:
    """The samples of a completion: `n`, or `best_of`, of each prompt."""
    samples = samples_of(asked)
    prompts = texts_of("" if asked.prompt is None else asked.prompt, param="prompt")
    if len(prompts) * samples > limits.choices:
        raise invalid(
            f"{len(prompts)} prompts with {samples} samples each: a request may have {limits.choices}",
            param="n",
        )
    if asked.max_tokens == 0 and not asked.echo:
        raise invalid("max_tokens may be 0 only with echo", param="max_tokens")
    if asked.stream and asked.max_tokens == 0:
        raise invalid("a stream writes at least one token", param="max_tokens")
    if asked.stream and samples != (asked.n or 1):
        raise invalid("the best can't be chosen in a stream: leave best_of out", param="best_of")
    _check_logprobs(asked.logprobs, limits, model, param="logprobs")
    if asked.echo and asked.logprobs is not None and "prompt_logprobs" not in model.facts.capabilities:
        raise invalid(f"{model.facts.name} can't tell log-probabilities of prompts", param="echo")
    logprobs = asked.logprobs
    if logprobs is None and samples > (asked.n or 1):
        logprobs = 0  # to choose the best by
    read = [await model.read(prompt) for prompt in prompts]
    sampling = sampling_of(model, asked, asked.max_tokens, limits)
    return _asked(
        model, read, sampling, asked, samples=samples, logprobs=logprobs, echo=bool(asked.echo), limits=limits
    )


async def chat(model: TextModel, asked: ChatRequest, limits: LimitsConfig) -> AskedText:
    """The samples of an answer to a conversation."""
    if asked.top_logprobs is not None and not asked.logprobs:
        raise invalid("top_logprobs needs logprobs: true", param="top_logprobs")
    logprobs = (asked.top_logprobs or 0) if asked.logprobs else None
    _check_logprobs(logprobs, limits, model, param="top_logprobs")
    if (asked.n or 1) > limits.choices:
        raise invalid(f"n may be at most {limits.choices}", param="n")
    prompt = await model.read_chat([_message(message) for message in asked.messages])
    most = asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_tokens
    sampling = sampling_of(model, asked, most, limits)
    return _asked(
        model, [prompt], sampling, asked, samples=asked.n or 1, logprobs=logprobs, echo=False, limits=limits
    )


def samples_of(asked: CompletionRequest) -> int:
    """Samples written for each prompt."""
    wanted = asked.n or 1
    if asked.best_of is not None and asked.best_of < wanted:
        raise invalid(f"best_of ({asked.best_of}) is less than n ({wanted})", param="best_of")
    return asked.best_of or wanted


def texts_of(given: str | Sequence[Any], *, param: str) -> list[str | list[int]]:
    """The texts, or lists of ids, in what may be one of them or several."""
    if isinstance(given, str):
        return [given]
    if not given:
        raise invalid("an empty list holds no text", param=param)
    texts: list[Any] = list(given)
    return [texts] if isinstance(texts[0], int) else texts


def sampling_of(
    model: TextModel, asked: Sampling, max_tokens: int | None, limits: LimitsConfig
) -> SamplingConfig:
    """How text is sampled: as the client says, else as the release asks, else as we do."""
    if max_tokens is not None and max_tokens > limits.new_tokens:
        raise invalid(f"max_tokens may be at most {limits.new_tokens:,}", param="max_tokens")
    given = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": None if asked.top_k is None else max(asked.top_k, 0),
        "min_p": asked.min_p,
        "repetition_penalty": asked.repetition_penalty,
        "min_new_tokens": asked.min_tokens,
        "stop": None if asked.stop is None else [asked.stop] if isinstance(asked.stop, str) else asked.stop,
    }
    fields = {**model.facts.defaults, **{name: value for name, value in given.items() if value is not None}}
    most = fields.get("max_new_tokens", SamplingConfig.model_fields["max_new_tokens"].default)
    fields["max_new_tokens"] = min(most, limits.new_tokens) if max_tokens is None else max(max_tokens, 1)
    if asked.min_tokens is None and "min_new_tokens" in fields:
        fields["min_new_tokens"] = min(fields["min_new_tokens"], fields["max_new_tokens"])
    if (asked.min_tokens or 0) > fields["max_new_tokens"]:
        most = fields["max_new_tokens"]
        what = f"min_tokens ({asked.min_tokens:,}) is more than {most:,}, all that may be written"
        raise invalid(what, param="min_tokens")
    fields["seed"] = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed % SEEDS
    return parse_config(SamplingConfig, fields, where="the request")


def _asked(
    model: TextModel,
    prompts: Sequence[Prompt],
    sampling: SamplingConfig,
    asked: Sampling,
    *,
    samples: int,
    logprobs: int | None,
    echo: bool,
    limits: LimitsConfig,
) -> AskedText:
    bias = _bias(asked.logit_bias or {}, model.facts.vocab_size)
    deadline = time.monotonic() + limits.request_s
    seeded = [
        sampling if k == 0 else sampling.model_copy(update={"seed": sampling.seed + k})
        for k in range(samples)
    ]
    requests = [
        TextRequest(
            prompt,
            one,
            logprobs=logprobs,
            echo=echo,
            logit_bias=bias,
            deadline=deadline,
            is_patient=asked.service_tier == "flex",
            wish=(asked.metadata or {}).get("field", ""),
        )
        for prompt in prompts
        for one in seeded
    ]
    return AskedText(requests, sum(prompt.tokens for prompt in prompts))


def _bias(given: Mapping[str, float], vocab_size: int) -> dict[int, float]:
    bias = {}
    for name, value in given.items():
        if not (name.isascii() and name.isdecimal() and len(name) < 10 and int(name) < vocab_size):
            raise invalid(f"{name[:20]!r} is no id from 0 to {vocab_size - 1:,}", param="logit_bias")
        bias[int(name)] = value
    return bias


def _check_logprobs(wanted: int | None, limits: LimitsConfig, model: TextModel, *, param: str) -> None:
    if wanted is None:
        return
    if wanted > limits.logprobs:
        raise invalid(f"at most {limits.logprobs} alternatives are told", param=param)
    if "logprobs" not in model.facts.capabilities:
        raise ApiError(400, "unsupported", f"{model.facts.name} can't tell log-probabilities", param=param)


def _message(message: Message) -> dict[str, Any]:
    """A message as templates know it."""
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    role = "system" if message.role == "developer" else message.role
    return {"role": role, "content": text, **({"name": message.name} if message.name else {})}
