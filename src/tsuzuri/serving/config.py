"""How the server runs: one YAML file whose keys all have defaults. Imports no torch and no web package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tsuzuri.core.config import Config
from tsuzuri.serving.accounts.config import AccountsConfig

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine reaches."""


class NgWordsFilter(Config):
    """What becomes of words on a list that the model writes."""

    file: Path
    """A UTF-8 text file, one word a line; # opens a comment."""
    action: Literal["mask", "stop"] = "mask"
    """`mask`: every such word is written as 〓; `stop`: the answer ends before it with `content_filter`."""


class PersonalDataFilter(Config):
    """What becomes of personal data that the model writes (extra `anonymize`)."""

    level: Literal["standard", "strict"] = "standard"
    """As in a recipe: identifiers, contacts, addresses; `strict`: names by honorific, handles, plates."""
    action: Literal["mask", "stop"] = "mask"
    """`mask`: what was found is written as its kind (`<電話番号>`); `stop`: the answer ends before it."""


class FilterConfig(Config):
    """What a model may not write. Prompts are not changed, nor is anything of them kept."""

    ng_words: NgWordsFilter | None = None
    """A list of words; none: no such filter."""
    personal_data: PersonalDataFilter | None = None
    """None: no such filter."""
    hold_characters: int = Field(default=48, ge=16, le=1000)
    """Characters that a stream lags behind what is written, so that a telephone number is seen whole."""


class LimitsConfig(Config):
    """What one request, one connection and the whole process may take."""

    body_bytes: int = Field(default=1_048_576, ge=1024)
    """Of a request."""
    bodies_bytes: int = Field(default=67_108_864, ge=1024)
    """Of all requests that are being read or answered together; further ones are told to come again (429)."""
    header_bytes: int = Field(default=32_768, ge=1024)
    """Of a request's first line and headers."""
    header_s: float = Field(default=10.0, gt=0)
    """From a connection's first moment, or a later request's first byte, to the end of its headers."""
    body_s: float = Field(default=30.0, gt=0)
    """To the end of its body."""
    write_s: float = Field(default=30.0, gt=0)
    """That a client may leave what is sent to it unread."""
    request_s: float = Field(default=600.0, gt=0)
    """For a whole answer; what has been written by then is the answer."""
    keep_alive_s: float = Field(default=75.0, gt=0)
    """That a connection may lie idle between two requests."""
    connections: int = Field(default=2048, ge=1)
    """Open at once; further ones are closed at once."""
    requests: int = Field(default=512, ge=1)
    """Being answered at once by the API; further ones are told to come again (429)."""
    choices: int = Field(default=128, ge=1)
    """Samples of one request: prompts times `n` or `best_of`."""
    new_tokens: int = Field(default=4096, ge=1)
    """Of one sample."""
    logprobs: int = Field(default=20, ge=0)
    """Alternatives told beside each token."""
    inputs: int = Field(default=2048, ge=1)
    """Texts of one request for embeddings."""

    @model_validator(mode="after")
    def _check(self) -> LimitsConfig:
        if self.bodies_bytes < self.body_bytes:
            raise ValueError(
                f"bodies_bytes ({self.bodies_bytes:,}) must hold one of body_bytes ({self.body_bytes:,})"
            )
        return self


class ModelConfig(Config):
    """One model that is served."""

    path: Path
    """The folder of a release."""
    name: str | None = Field(default=None, pattern=r"^[\w.:/-]{1,100}$")
    """What clients call it; none: what its release calls itself, or the folder's name."""
    engine: Mapping[str, Any] = {}
    """How it is computed: the keys of an engine's configuration (`docs/serving.md`)."""
    filters: FilterConfig = FilterConfig()
    """What it may not write."""


class ServeConfig(Config):
    """A server of models."""

    host: str = "127.0.0.1"
    """The address to listen at."""
    port: int = Field(default=8000, ge=0, le=65535)
    """0: any that is free; it is printed."""
    models: tuple[ModelConfig, ...] = ()
    """What is served from the start; the first is the default."""
    specialists: Mapping[str, Any] | None = None
    """Models reached over Kafka: the keys of SPECIALISTS.yaml (`docs/specialists.md`); none: none are."""
    releases_root: Path | None = None
    """The folder in which the admin API may load releases; none: it may load none."""
    accounts: AccountsConfig | None = None
    """Keys, plans and usage; none: no keys are asked for, and only this machine is served."""
    limits: LimitsConfig = LimitsConfig()
    """What a request may take."""
    cors_origins: tuple[str, ...] = ()
    """Web pages of other origins that may call this API (`https://example.jp`); none: only its own."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    playground: bool = True
    """Whether the web page is served."""
    drain_s: float = Field(default=30.0, ge=0)
    """For requests that run when the server is told to stop, or a model to go; the rest is handed back."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is written to the log; a line is a JSON object."""

    @model_validator(mode="after")
    def _check(self) -> ServeConfig:
        if self.accounts is None and self.host not in LOOPBACK:
            raise ValueError(
                f"host {self.host} is reached from other machines, and without accounts nobody is asked for "
                "a key: give a database of keys (--database sqlite:///tsuzuri.db), or serve 127.0.0.1"
            )
        if "*" in self.cors_origins:
            raise ValueError("cors_origins names the origins one by one; * would let any web page in")
        names = [model.name for model in self.models if model.name]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two models are called {min(twice)!r}")
        return self
