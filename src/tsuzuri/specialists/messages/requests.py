"""What a gateway asks of workers."""

from __future__ import annotations

from typing import Any

from tsuzuri.specialists.messages.body import Body


class Resume(Body, frozen=True):
    """What an earlier attempt already wrote and the client already has."""

    text: str
    """As shown: the answer goes on after it."""
    ids: tuple[int, ...] = ()
    """Ids that wrote it, and perhaps some more; only for the tokenizer named beside them."""
    tokenizer: str = ""
    """Its sha256."""
    completion_tokens: int = 0
    """Written so far, whoever wrote them."""


class Ask(Body, frozen=True):
    """One sample of one prompt, for one specialist."""

    specialist: str
    revision: str
    prompt: str | None = None
    messages: tuple[dict[str, Any], ...] = ()
    """A conversation, in place of the prompt."""
    ids: tuple[int, ...] = ()
    """A prompt as its client's own ids, in place of the prompt; of the tokenizer named below."""
    sampling: dict[str, Any] = {}
    """Fields of `generation.config.SamplingConfig`, those that differ from its defaults."""
    logprobs: int | None = None
    echo: bool = False
    logit_bias: dict[str, float] = {}
    tokenizer: str = ""
    """sha256 of the one that `ids`, and those in `logit_bias`, belong to; another one refuses."""
    resume: Resume | None = None


class Score(Body, frozen=True):
    """How likely texts are to a specialist: each after what stands before it."""

    specialist: str
    revision: str
    texts: tuple[str, ...]
    befores: tuple[str, ...] = ()
    """As many as there are texts, or none."""


class Embed(Body, frozen=True):
    """Vectors of texts."""

    specialist: str
    revision: str
    texts: tuple[str, ...]
