"""How documents become token shards."""

from __future__ import annotations

from pydantic import Field

from tsuzuri.core.config import Config, Seed


class PackConfig(Config):
    """How documents are encoded and in which order they lie in the shards."""

    order_seed: Seed = 0
    """Key of the order of documents within a shard (a keyed hash of their ids)."""
    processes: int = Field(default=1, ge=1)
    """Processes that encode; with 1 the tokenizer's own threads use the cores. It changes no byte."""
