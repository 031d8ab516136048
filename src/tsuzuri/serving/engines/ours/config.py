"""How our engine runs. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tsuzuri.core.config import Config

Precision = Literal["auto", "float32", "bfloat16", "int8"]


class EngineConfig(Config):
    """One model's engine: what it may take of the machine, and how its work is divided."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; auto: on a GPU where torch finds one."""
    precision: Precision = "auto"
    """Of the matrix products. auto: int8 on a CPU, bfloat16 on a GPU. int8 keeps keys and values in int8 too.
    bfloat16 on a CPU without instructions for it is slower than float32."""
    slots: int = Field(default=32, ge=1, le=1024)
    """Requests written together at most; fewer where `cache_mib` does not hold so many."""
    cache_mib: int = Field(default=2048, ge=1)
    """Memory for keys and values, in MiB. The operating system gives it as it is used."""
    queue: int = Field(default=256, ge=0)
    """Requests that may wait for a slot; beyond them, requests are refused."""
    chunk_tokens: int = Field(default=128, ge=8)
    """Tokens of prompts read in one step at most, so that a long prompt does not hold up those being
    written."""
    threads: int = Field(default=0, ge=0)
    """Cores for one step; 0: what torch takes."""
