"""The JSON of answers, whole and in parts, in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from tsuzuri.serving.jobs import Job
from tsuzuri.serving.models import TextDelta, TextToken

SHOWN = {"timeout": "length", "cancelled": "length"}
"""OpenAI's `finish_reason` for ours that it does not have; `tsuzuri.outcome` tells the difference."""


@dataclass(slots=True)
class Sample:
    """One sample as it has come so far."""

    text: list[str] = field(default_factory=list)
    tokens: list[TextToken] = field(default_factory=list)
    finish: str | None = None

    def add(self, delta: TextDelta) -> None:
        """One more part."""
        self.text.append(delta.text)
        self.tokens += delta.tokens
        self.finish = delta.finish or self.finish

    @property
    def mean_logprob(self) -> float:
        """Of a token."""
        values = [token.logprob for token in self.tokens if token.logprob is not None]
        return sum(values) / len(values) if values else 0.0


def finish_reason(finish: str | None) -> str | None:
    """As OpenAI calls it."""
    return None if finish is None else SHOWN.get(finish, finish)


def usage(job: Job) -> dict[str, Any]:
    """What the request has cost."""
    used = job.usage
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
    }


def about(job: Job) -> dict[str, Any]:
    """What we tell beside OpenAI's fields."""
    revision = job.model.facts.revision
    return {"revision": revision, **job.about, "outcome": job.outcome, "filtered": dict(job.filtered)}


def completion_logprobs(tokens: Sequence[TextToken], *, alternatives: bool) -> dict[str, Any]:
    """Tokens in the lists of /v1/completions."""
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [_top(token) for token in tokens] if alternatives else None,
        "text_offset": [token.offset for token in tokens],
    }


def chat_logprobs(tokens: Sequence[TextToken]) -> dict[str, Any]:
    """Tokens as /v1/chat/completions tells them."""
    content = [
        {
            **_chat_token(token.text, token.piece, token.logprob or 0.0),
            "top_logprobs": [_chat_token(*alternative) for alternative in token.top],
        }
        for token in tokens
        if token.logprob is not None
    ]
    return {"content": content, "refusal": None}


def event(data: Mapping[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + to_json(data) + b"\n\n"


def _top(token: TextToken) -> dict[str, float] | None:
    """The alternatives and the token itself; None where nothing stands before it."""
    if token.logprob is None:
        return None
    told: dict[str, float] = {}
    for text, _, value in token.top:
        told.setdefault(text, value)
    return {**told, token.text: token.logprob}


def _chat_token(text: str, piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(piece)}
