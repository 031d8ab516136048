"""What workers answer."""

from __future__ import annotations

from tsuzuri.specialists.messages.body import Body, Finish


class Accepted(Body, frozen=True):
    """A worker begins with it: said before it looks at what it is, and stored before, where it is not new."""

    prompt_tokens: int = 0
    """As its tokenizer reads the prompt; 0: that is not known yet."""


class Told(Body, frozen=True):
    """A token of an answer, where log-probabilities are asked for: `serving.models.TextToken`."""

    text: str
    piece: bytes
    offset: int
    logprob: float | None = None
    top: tuple[tuple[str, bytes, float], ...] = ()


class Delta(Body, frozen=True):
    """What has been written since the last one, whole characters; `seq` in the headers counts from 0."""

    text: str = ""
    ids: tuple[int, ...] = ()
    tokens: tuple[Told, ...] = ()
    prompt_tokens: int = 0
    """As its tokenizer reads the prompt, in the first of them."""


class Final(Body, frozen=True):
    """The end of an answer; its bill."""

    finish: Finish
    text: str = ""
    """The last of it."""
    ids: tuple[int, ...] = ()
    tokens: tuple[Told, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Of the whole answer, those of the attempts before included."""
    cached_tokens: int = 0
    filtered: dict[str, int] = {}
    sha256: str = ""
    """Of all the answer's text, what a resumed one had before included: whoever misses a delta knows."""


class Scored(Body, frozen=True):
    """Answers `Score`."""

    nats: tuple[float, ...]
    """-log p of each text."""
    tokens: tuple[int, ...] = ()
    utf8_bytes: tuple[int, ...] = ()


class Embedded(Body, frozen=True):
    """Answers `Embed`."""

    vectors: tuple[tuple[float, ...], ...]
    prompt_tokens: int = 0


class Failed(Body, frozen=True):
    """No answer comes from this worker."""

    code: str
    """`overloaded`, `deadline`, `handed_back`, `engine_failed`, `too_long`, `invalid`, `unsupported`,
    `malformed`, …"""
    message: str
    is_retryable: bool = False
    """Whether another worker, or this one later, may well answer."""
    retry_after_s: float = 0.0
