"""What the API is asked and answers: OpenAI's names, checked strictly; a parameter that it does not have is
an error, never skipped. Our own beside them: min_p, top_k, repetition_penalty, min_tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

MOST_STOPS = 16
MOST_STOP_CHARACTERS = 256


class Asked(BaseModel):
    """Base of what is asked."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )


class Answered(BaseModel):
    """Base of what is answered; serialised by hand, described here."""

    model_config = ConfigDict(protected_namespaces=(), use_attribute_docstrings=True)


Id = Annotated[int, Field(ge=0, lt=2**31)]
Stop = Annotated[str, Field(min_length=1, max_length=MOST_STOP_CHARACTERS)]
LogitBias = Annotated[float, Field(ge=-100, le=100)]


class StreamOptions(Asked):
    """How a stream is told."""

    include_usage: bool | None = None
    """A last event with the whole usage."""
    include_obfuscation: bool | None = None
    """Has no effect: events are not padded."""


class Sampling(Asked):
    """What completions and conversations have in common. What is left out is as the release asks."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    """A name that /v1/models tells."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """What logits are divided by; 0: the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """The likeliest tokens that together reach this probability."""
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None
    """The k likeliest tokens; 0 or −1: all."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Tokens at least this fraction as likely as the likeliest."""
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    """What the logits of tokens in the text are divided by; 1: nothing."""
    presence_penalty: float | None = None
    """Must be 0 or left out: use repetition_penalty."""
    frequency_penalty: float | None = None
    """Must be 0 or left out: use repetition_penalty."""
    n: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Samples of each prompt; sample k is as if asked for alone with the seed + k."""
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    """The text ends where one of these would begin."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    """The same seed on the same machine gives the same text; left out: another each time."""
    logit_bias: dict[str, LogitBias] | None = None
    """What is added to the logits of ids."""
    min_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Before which a text may not end by itself."""
    stream: bool | None = None
    """Server-sent events as the text is written."""
    stream_options: StreamOptions | None = None
    user: str | None = None
    """Not kept."""
    metadata: dict[str, str] | None = None
    """Not kept; where specialists answer, `field` names what the text is about."""
    store: bool | None = None
    """Nothing is stored: must not be true."""
    service_tier: str | None = None
    """`flex`: where specialists answer, others' requests go before this one. Any other has no effect."""

    @field_validator("presence_penalty", "frequency_penalty")
    @classmethod
    def _no_such_penalty(cls, value: float | None) -> float | None:
        if value:
            raise ValueError("must be 0 or left out: this server has repetition_penalty instead")
        return value

    @field_validator("store")
    @classmethod
    def _nothing_is_stored(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("must not be true: this server stores no texts")
        return value


class CompletionRequest(Sampling):
    """A text to go on from."""

    prompt: str | list[str] | list[Id] | list[list[Id]] | None = ""
    """A text or its token ids, or a list of either; empty: the beginning of a text."""
    max_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Tokens written at most; 0 only with echo."""
    echo: bool | None = None
    """The prompt stands before what is written."""
    logprobs: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Log-probabilities of the tokens, and of so many of the likeliest at each place."""
    best_of: Annotated[int, Field(ge=1, le=1024)] | None = None
    """So many are written; the n with the highest mean log-probability a token are answered."""
    suffix: str | None = None
    """Must be empty: this model writes forward."""

    @field_validator("suffix")
    @classmethod
    def _no_suffix(cls, value: str | None) -> str | None:
        if value:
            raise ValueError("must be empty: this server's models write forward only")
        return value


class TextPart(Asked):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(Asked):
    """What somebody said."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None
    type: Literal["text"] | None = None
    """Some clients say it of the whole message (lm-eval does)."""
    refusal: None = None
    """In an answer of ours, which clients hand back as it came."""


class TextFormat(Asked):
    """The only form of an answer that there is."""

    type: Literal["text"]


class ChatRequest(Sampling):
    """A conversation to answer; for a model whose release has a chat template."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=2048)]
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    """Tokens written at most."""
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    """The same by its newer name."""
    logprobs: bool | None = None
    """Log-probabilities of the tokens."""
    top_logprobs: Annotated[int, Field(ge=0, le=1000)] | None = None
    """And of so many of the likeliest at each place; needs logprobs."""
    response_format: TextFormat | None = None


class EmbeddingRequest(Asked):
    """Texts to make vectors of."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    input: str | list[str] | list[Id] | list[list[Id]]
    """A text or its token ids, or a list of either."""
    encoding_format: Literal["float", "base64"] | None = None
    """Numbers, or little-endian float32 in base64."""
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """Must be that of the model's own vectors."""
    user: str | None = None
    """Not kept."""


class ErrorDetail(Answered):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(Answered):
    """Every error."""

    error: ErrorDetail


class UsageAnswer(Answered):
    """What a request has cost."""

    prompt_tokens: int
    completion_tokens: int | None = None
    total_tokens: int
    prompt_tokens_details: dict[str, int] | None = None


class Choice(Answered):
    """One sample."""

    index: int
    text: str
    logprobs: dict[str, Any] | None = None
    finish_reason: Literal["stop", "length", "content_filter"] | None = None


class CompletionAnswer(Answered):
    """Texts."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str | None = None
    choices: list[Choice]
    usage: UsageAnswer | None = None
    timings: dict[str, float] | None = None
    tsuzuri: dict[str, Any] | None = None


class ChatChoice(Answered):
    """One answer."""

    index: int
    message: dict[str, Any]
    logprobs: dict[str, Any] | None = None
    finish_reason: Literal["stop", "length", "content_filter"] | None = None


class ChatAnswer(Answered):
    """Answers to a conversation."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str | None = None
    choices: list[ChatChoice]
    usage: UsageAnswer | None = None
    timings: dict[str, float] | None = None
    tsuzuri: dict[str, Any] | None = None


class Vector(Answered):
    """The vector of one text."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingAnswer(Answered):
    """Vectors."""

    object: Literal["list"]
    model: str
    data: list[Vector]
    usage: UsageAnswer


class ModelAnswer(Answered):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    tsuzuri: dict[str, Any]


class ModelsAnswer(Answered):
    """What is served."""

    object: Literal["list"]
    data: list[ModelAnswer]
