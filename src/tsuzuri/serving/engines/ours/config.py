"""How our engine runs. Imports no torch."""

from __future__ import annotations

from pathlib import Path
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


class MemberConfig(Config):
    """One model of a mixture."""

    path: Path
    """The folder of its release."""
    name: str = ""
    """None: what its release calls itself."""
    share: float = Field(default=1.0, gt=0)
    """Of texts that are its domain's, beside the others' (`routing.calibration.prior_of`)."""


class MixtureConfig(EngineConfig):
    """Several models of one tokenizer, mixed token by token (`engines/mixture.py`)."""

    members: tuple[MemberConfig, ...] = Field(min_length=1)
    """Those that are mixed; whose release is served is one of them only if it is named."""
    least_share: float = Field(default=0.02, ge=0, lt=1)
    """Of a text that has not begun, each member's at least."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the weights: higher ones stay nearer to each other as a text goes on."""
    top: int = Field(default=0, ge=0)
    """Members that are mixed at each token, the most probable ones; 0: all. Every one reads every token."""
