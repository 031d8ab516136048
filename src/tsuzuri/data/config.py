"""How documents become token shards, and how training draws from them."""

from __future__ import annotations

from pydantic import Field

from tsuzuri.core.config import Config


class PackConfig(Config):
    """How documents are encoded and in which order they lie in the shards."""

    order_seed: int = Field(default=0, ge=0)
    """Key of the order of documents within a shard (a keyed hash of their ids)."""
    processes: int = Field(default=1, ge=1)
    """Processes that encode; with 1 the tokenizer's own threads use the cores. It changes no byte."""


class DataConfig(Config):
    """Which sources are drawn, how often and in which order."""

    seed: int = Field(default=0, ge=0)
    """Key of the order in which windows of tokens are visited."""
    weights: dict[str, float] | None = None
    """source → share of the training rows, in any unit; every source must be named, 0 leaves one out.
    Without it each source is drawn in proportion to its tokens."""
