"""What a model is to those who ask it for text: whole characters in and out, whoever computes them.

The HTTP API knows this seam and nothing below it; a model here may be an engine in this process
(`served.ServedModel`) or anything else that writes text. Nothing here knows HTTP or tensors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import InputError
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.engines.base import EngineStats

TextFinish = Literal["stop", "length", "content_filter", "cancelled", "timeout"]
"""The model or a stop text ended it; the limit on tokens; a filter; `cancel`; the deadline."""


class PromptTooLong(InputError):  # noqa: N818 (named after what it says)
    """More than the model sees at once."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as its model reads it."""

    ids: tuple[int, ...]
    """Without the opening piece."""
    text: str
    """What it says."""
    opening: int | None = None
    """The opening piece, where the client's own ids began with it."""
    estimated_tokens: int | None = None
    """Where whoever reads it is elsewhere, and its ids are not known here: as many as it may well have."""

    @property
    def tokens(self) -> int:
        """So many, as far as is known here."""
        return len(self.ids) if self.estimated_tokens is None else self.estimated_tokens


@dataclass(frozen=True, slots=True)
class Resume:
    """What an earlier attempt wrote, perhaps of another model, and its reader has: the answer goes on there.

    With ids of the model's own tokenizer it becomes what one attempt would have written. Without them the
    text is read as the end of the prompt, which is as near as another model can come.
    """

    text: str
    """All that its deltas brought, an echoed prompt included."""
    ids: tuple[int, ...] = ()
    """All that its deltas brought; none where not all of the text was written by one tokenizer's."""
    tokenizer: str = ""
    """sha256 of the one that they belong to."""
    completion_tokens: int = 0
    """Written so far, whoever wrote them."""


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One sample of one prompt."""

    prompt: Prompt
    sampling: SamplingConfig
    """Its `samples` means nothing here: sample k is a request with the seed + k."""
    logprobs: int | None = None
    """Tokens are told with so many alternatives; None: text alone."""
    echo: bool = False
    """Whether the prompt stands before what is written, with its tokens where `logprobs` is given."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    deadline: float | None = None
    """`time.monotonic()` after which what has been written is the answer."""
    resume: Resume | None = None
    """What is there already; it is not shown again, but counts as written."""
    is_patient: bool = False
    """Whether others may go before it."""
    wish: str = ""
    """What the client says of who is to answer, where there are several."""
    trace: Mapping[str, str] = field(default_factory=dict)
    """`traceparent` and `tracestate` of W3C's Trace Context."""


@dataclass(frozen=True, slots=True)
class TextToken:
    """One token of an answer."""

    text: str
    """Its characters; a part of one as `bytes:\\xe3`; a special piece by its name."""
    piece: bytes
    offset: int
    """Characters of the answer before it."""
    logprob: float | None = None
    top: tuple[tuple[str, bytes, float], ...] = ()
    """(text, piece, log-probability) of the likeliest tokens at its place."""


@dataclass(slots=True)
class Usage:
    """What a sample has cost so far."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Every token that the engine wrote, shown or not."""
    cached_tokens: int = 0
    """Of the prompt, those that need not be read anew."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """What has been written since the last one."""

    text: str = ""
    tokens: tuple[TextToken, ...] = ()
    """Where log-probabilities were asked for."""
    finish: TextFinish | None = None
    """Set in the last."""
    ids: tuple[int, ...] = ()
    """Written since the last one, by which another process can go on (`Resume`). Where tokens are told, those
    of the tokens told."""


class TextGeneration(Protocol):
    """An answer as it is written, for one reader. It ends with a delta that has `finish`, or an error.

    After `cancel` the reader goes on to the end, which comes within a step: only then is `usage` exact.
    """

    @property
    def usage(self) -> Usage:
        """So far."""

    @property
    def filtered(self) -> Mapping[str, int]:
        """What the filters found so far, by kind."""

    def cancel(self) -> None:
        """Stop writing."""

    def __aiter__(self) -> AsyncIterator[TextDelta]: ...

    async def __anext__(self) -> TextDelta: ...


@runtime_checkable
class SentGeneration(Protocol):
    """An answer that somebody elsewhere writes."""

    @property
    def about(self) -> Mapping[str, Any]:
        """Who writes it, and why; for the client."""

    async def begun(self) -> None:
        """Wait until somebody has begun with it, or for a moment; raises what refused it."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What there is to know of a model."""

    name: str
    revision: str
    created_at: int
    """Seconds of Unix time."""
    context: int
    """Tokens that it sees at once."""
    vocab_size: int
    capabilities: frozenset[str]
    """As an engine's."""
    defaults: Mapping[str, Any]
    """Fields of SamplingConfig that its release asks for."""
    filters: tuple[str, ...] = ()
    """What it may not write: `ng_words`, `personal_data`."""
    has_chat: bool = False
    """Whether it reads conversations."""
    model_sha256: str = ""
    """Of its weights, where its release says."""
    tokenizer_sha256: str = ""
    """Of its `tokenizer.json`."""


class TextModel(Protocol):
    """A model with its tokenizer, defaults and filters."""

    @property
    def facts(self) -> ModelFacts:
        """What there is to know of it, now."""

    async def read(self, prompt: str | Sequence[int]) -> Prompt:
        """A prompt's ids. InputError where they are none of this model's, or more than it can see."""

    async def read_chat(self, messages: Sequence[Mapping[str, Any]]) -> Prompt:
        """A conversation as its chat template writes it. InputError where it has none."""

    def complete(self, request: TextRequest) -> TextGeneration:
        """Begin to write. Raises Overloaded where too many wait."""

    async def embed(self, prompts: Sequence[Prompt]) -> npt.NDArray[np.float32]:
        """(prompts, D), each of length 1."""

    def stats(self) -> EngineStats:
        """How its engine is now."""

    async def close(self, *, drain_s: float = 0.0) -> None:
        """Take no more requests, finish what runs, end the rest."""
