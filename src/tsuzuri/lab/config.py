"""What a plan is asked. Imports no torch."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field, model_validator

from tsuzuri.core.config import Config
from tsuzuri.model.config import ModelConfig


class PlanConfig(Config):
    """A model, devices and a budget of tokens or days."""

    size: str = "gpt3-125m"
    """A row of the ladder of sizes; a wrong one is answered with all of them."""
    vocab_size: int = Field(default=32_000, ge=1)
    """Pieces of the tokenizer."""
    device: str = "rtx3090"
    """A row of the table of devices, or TPUs as v5e:2x4; a wrong one is answered with all of them."""
    servers: int = Field(default=1, ge=1)
    """How many of that row."""
    tokens: float | None = Field(default=None, gt=0)
    """To train on; 20 a parameter (Hoffmann et al. 2022, arXiv 2203.15556) where neither they nor days are
    given."""
    days: float | None = Field(default=None, gt=0)
    """To train for, instead of `tokens`."""
    batch_tokens: int | None = Field(default=None, ge=1)
    """Tokens a step; by default the ladder's."""
    sequence_length: int | None = Field(default=None, ge=2)
    """Tokens a row; by default the model's context."""
    memory_recipe: str | None = None
    """A rung of the memory ladder; by default the first that fits."""
    spread: Literal["auto", "replicated", "sharded"] = "auto"
    """Over several devices. auto: the faster one that fits."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of products. auto: the device's fastest."""
    graph: Literal["compiled", "eager", "plain"] = "compiled"
    """compiled: torch.compile. eager: without. plain: as GPT-2 was first trained, nothing fused."""
    efficiency: float | None = Field(default=None, gt=0, le=1)
    """Share of the peak that products reach; by default the device's row."""
    preemptible: bool = False
    """Whether the price is that of devices that can be taken away."""
    usd_per_hour: float | None = Field(default=None, gt=0)
    """Price of one row of devices; by default the row's, where it has one."""
    jpy_per_usd: float | None = Field(default=None, gt=0)
    """The exchange rate; without it each currency is added up for itself."""
    jpy_per_kwh: float | None = Field(default=None, gt=0)
    """Price of electricity, for devices of one's own, which are not rented."""
    usd_per_gb_month: float | None = Field(default=None, gt=0)
    """Price of storage."""
    corpus_licence_jpy: float | None = Field(default=None, gt=0)
    """Paid once for a licensed corpus."""

    @model_validator(mode="after")
    def _check(self) -> PlanConfig:
        if self.tokens is not None and self.days is not None:
            raise ValueError("tokens and days are two budgets: give one of them")
        if self.preemptible and (self.usd_per_hour or self.jpy_per_kwh):
            raise ValueError("preemptible is a price of the table: give it, usd_per_hour or jpy_per_kwh")
        return self


class AotConfig(Config):
    """A step to compile ahead of time for TPUs."""

    model: ModelConfig = ModelConfig()
    topology: str = "v5e:2x4"
    """The slice of TPUs, as libtpu names it."""
    rows: int = Field(default=1, ge=1)
    """Computed at once on a core."""
    micro_batches: int = Field(default=1, ge=1)
    """Gradients that a core adds up."""
    length: int = Field(default=1024, ge=2)
    """Tokens a row."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Of products and activations."""
    optimizer: Literal["adamw", "adamw-bf16-states"] = "adamw"
    sharded: bool = True
    """Whether weights, gradients and states are divided among the cores, or each has its own."""
    recompute: bool = True
    """Whether blocks are computed once more in the backward pass."""


class StageConfig(Config):
    """A stage of a project: a plan, or a time that is known."""

    name: str
    """What it is called."""
    months: float | None = Field(default=None, gt=0)
    """Of 730 hours."""
    usd_per_hour: float | None = Field(default=None, gt=0)
    """What is rented meanwhile."""
    jpy: float | None = Field(default=None, gt=0)
    """Paid once."""
    plan: PlanConfig | None = None
    """Instead of months and a price."""

    @model_validator(mode="after")
    def _check(self) -> StageConfig:
        if (self.plan is None) == (self.months is None):
            raise ValueError("a stage has either months or a plan")
        if self.plan is not None and self.usd_per_hour is not None:
            raise ValueError("the price of a stage with a plan is plan.usd_per_hour")
        if self.plan is not None and self.plan.jpy_per_usd is not None:
            raise ValueError("the exchange rate is the project's jpy_per_usd, not plan.jpy_per_usd")
        return self


class ProjectConfig(Config):
    """Stages that follow each other."""

    name: str = "project"
    """The first line of its page."""
    start: datetime.date = datetime.date(2027, 1, 1)
    """The first day of the first stage."""
    jpy_per_usd: float | None = Field(default=None, gt=0)
    """The exchange rate of all stages."""
    stages: tuple[StageConfig, ...] = Field(default=(StageConfig(name="training", months=1),), min_length=1)
