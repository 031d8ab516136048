"""How much of each source a model reads: weights, epochs and a token budget, any of which give the others.

The table is that of the Pile (Gao et al. 2020, arXiv 2101.00027, Table 1): for each component its size, its
share of what is read, how often it is read, and how much that makes. A cap on epochs takes from a component
what would be read more often, and the others share it by their weights: text read more than about four times
teaches little (Muennighoff et al. 2023, arXiv 2305.16264).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field, NonNegativeFloat, model_validator
from rich.cells import cell_len, set_cell_size

from tsuzuri.core.config import Config
from tsuzuri.core.errors import RecipeError, closest


class MixConfig(Config):
    """In which proportions the sources are read; by default each by its size."""

    weights: dict[str, NonNegativeFloat] | None = None
    """source → its share of what is read, in any unit; every source must be named, 0 leaves one out."""
    epochs: dict[str, NonNegativeFloat] | None = None
    """source → how often it is read, or, where a budget is given, how often in proportion to the others."""
    max_epochs: float | None = Field(default=None, gt=0)
    """No source is read more often than this."""

    @model_validator(mode="after")
    def _check(self) -> MixConfig:
        if self.weights is not None and self.epochs is not None:
            raise ValueError("weights and epochs say the same in two ways: give one of them")
        return self


@dataclass(frozen=True)
class Component:
    """A row of the table."""

    name: str
    tokens: int
    """Its size."""
    drawn_tokens: float
    """How many of the budget are its own."""
    share: float
    """Of the budget."""

    @property
    def epochs(self) -> float:
        """How often it is read."""
        return self.drawn_tokens / self.tokens if self.tokens else 0.0


def plan(tokens: Mapping[str, int], config: MixConfig, budget_tokens: float | None = None) -> list[Component]:
    """The components of a mixture of sources with so many `tokens`, in their order.

    Without a budget, `epochs` decide how much is read, and by default everything is read once. RecipeError
    when the configuration does not fit the sources or the cap leaves too little to read.
    """
    weights = _weights(tokens, config)
    if budget_tokens is None:
        budget_tokens = sum(weights.values()) if config.weights is None else sum(tokens.values())
    drawn = _capped(tokens, weights, budget_tokens, config.max_epochs)
    return [
        Component(name, size, drawn[name], drawn[name] / budget_tokens if budget_tokens else 0.0)
        for name, size in tokens.items()
    ]


def table(components: Iterable[Component]) -> Iterator[str]:
    """The components as lines of text, the total last."""
    rows = list(components)
    width = max([cell_len(row.name) for row in rows] + [len("component")])
    yield f"{'component':{width}} {'tokens':>16} {'share':>8} {'epochs':>7} {'read':>16}"
    for row in rows:
        reading = f"{row.epochs:7.2f} {row.drawn_tokens:16,.0f}"
        yield f"{set_cell_size(row.name, width)} {row.tokens:16,} {row.share:8.2%} {reading}"
    size, read = sum(row.tokens for row in rows), sum(row.drawn_tokens for row in rows)
    yield f"{'all':{width}} {size:16,} {1:8.2%} {read / max(size, 1):7.2f} {read:16,.0f}"


def _weights(tokens: Mapping[str, int], config: MixConfig) -> dict[str, float]:
    """source → tokens wanted, in any unit (under `epochs`, in tokens)."""
    if config.weights is None and config.epochs is None:
        if not any(tokens.values()):
            raise RecipeError("the sources hold no tokens")
        return {name: float(size) for name, size in tokens.items()}
    given = config.weights if config.weights is not None else config.epochs
    assert given is not None
    for name in given:
        if name not in tokens:
            raise RecipeError(
                f"the mixture names a source {name!r} that is not there{closest(name, tokens)}",
                hint=f"sources: {', '.join(tokens)}",
            )
    for name, size in tokens.items():
        if name not in given:
            raise RecipeError(
                f"the mixture says nothing of source {name!r}", hint="give it 0 to leave it out"
            )
        if given[name] and not size:
            raise RecipeError(
                f"source {name!r} is wanted but has no tokens", hint="give it 0 to leave it out"
            )
    if not any(given.values()):
        raise RecipeError("the mixture leaves every source out")
    if config.weights is not None:
        return dict(config.weights)
    return {name: given[name] * size for name, size in tokens.items()}


def _capped(
    tokens: Mapping[str, int], weights: Mapping[str, float], budget: float, max_epochs: float | None
) -> dict[str, float]:
    """source → tokens read: the budget by weight, none above its cap."""
    drawn = dict.fromkeys(tokens, 0.0)
    free = [name for name in tokens if weights[name]]
    while free:
        left = budget - sum(drawn[name] for name in tokens if name not in free)
        total = sum(weights[name] for name in free)
        for name in free:
            drawn[name] = left * weights[name] / total
        if max_epochs is None:
            return drawn
        full = [name for name in free if drawn[name] > max_epochs * tokens[name]]
        if not full:
            return drawn
        for name in full:
            drawn[name] = max_epochs * tokens[name]
        free = [name for name in free if name not in full]
    most = sum(drawn.values())
    if most < budget * (1 - 1e-9):
        raise RecipeError(
            f"{budget:,.0f} tokens are to be read, but {max_epochs:g} epochs of the sources are {most:,.0f}",
            hint="lower train.steps, raise train.mixture.max_epochs, or add text",
        )
    return drawn
