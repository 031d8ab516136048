"""The `specialists` section of a recipe: how a seed becomes a model for each domain. Imports no torch.

All steps of `train.steps` are shared out: the seed has its part, and what is left is divided equally among
the specialists and the generalist. So N specialists cost what one model of the same recipe costs.
"""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from tsuzuri.core.config import Config
from tsuzuri.core.errors import RecipeError
from tsuzuri.specialists.routing.base import RouterConfig

SEED = "seed"
GENERALIST = "generalist"
TAKEN = (SEED, GENERALIST, "all", "mixture", "wanted", "lease", "route", "beat")
"""Names that mean something else: of runs, in scores, among specialists, in the registry."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What the name of a specialist can be: it is part of names of topics."""


class SpecialistsRecipe(Config):
    """Specialists that branch from one seed."""

    domains: dict[str, tuple[str, ...]] | None = None
    """domain → the sources whose documents are of it; unset: each source is a domain. What is of none is read
    by the seed and the generalist alone."""
    clusters: int = Field(default=0, ge=0, le=1000)
    """Instead of labels: so many domains, discovered among the documents."""
    seed_share: float = Field(default=0.5, gt=0, lt=1)
    """Of all steps, those in which the seed learns of everything (about half: Li et al. 2022, figure 5)."""
    states: bool = True
    """Whether a branch goes on with the seed's states of the optimizer."""
    learning_rate_factor: float = Field(default=1.0, gt=0)
    """Peak learning rate of a branch, over that of the recipe."""
    warmup_steps: int = Field(default=0, ge=0)
    """Of a branch."""
    decay_fraction: float = Field(default=1.0, ge=0, le=1)
    """Share of a branch's steps in which its learning rate falls, under wsd: that of the seed does not."""
    least_characters: int = Field(default=100_000, ge=1)
    """To learn from in each domain."""
    heldout_characters: int = Field(default=200_000, ge=1)
    """Of each domain's held-out documents, written down as texts on which it has to beat the generalist."""
    router: RouterConfig = RouterConfig()
    """How requests are divided among them."""
    router_characters: int = Field(default=2_000_000, ge=1)
    """Of each domain's training documents, what the router learns from at most."""

    @field_validator("domains")
    @classmethod
    def _names(cls, value: dict[str, tuple[str, ...]] | None) -> dict[str, tuple[str, ...]] | None:
        for name, sources in (value or {}).items():
            check_name(name)
            if not sources:
                raise ValueError(f"{name!r} has no sources")
        if value is not None and len(value) < 2:
            raise ValueError("two domains at least are wanted")
        return value

    @model_validator(mode="after")
    def _check(self) -> SpecialistsRecipe:
        if self.domains is not None and self.clusters:
            raise ValueError("domains and clusters say the same in two ways: give one of them")
        if self.clusters == 1:
            raise ValueError("clusters: one domain is no division; 0: none are discovered")
        return self


def check_name(name: str) -> None:
    """ValueError for what no specialist can be called."""
    if not NAME.fullmatch(name):
        raise ValueError(f"a specialist can't be called {name!r}: letters, digits, - and _, at most 64")
    if name in TAKEN:
        raise ValueError(f"no specialist is called {name!r}: that name has another meaning")


def steps_of(config: SpecialistsRecipe, steps: int, domains: int) -> tuple[int, int]:
    """(of the seed, of each branch), of which all together make at most `steps`; RecipeError for too few."""
    seed = round(config.seed_share * steps)
    branch = (steps - seed) // (domains + 1)
    if branch <= config.warmup_steps or not seed:
        raise RecipeError(
            f"train.steps ({steps}) shared out among a seed, {domains} domains and a generalist leave "
            f"{seed} and {branch} steps, of which {config.warmup_steps} are warm-up",
            hint="raise train.steps, lower specialists.warmup_steps, or join domains",
        )
    return seed, branch
