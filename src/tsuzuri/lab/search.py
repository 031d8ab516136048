"""The first memory recipe that fits devices, in its fastest form; or what is nearest where none does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from tsuzuri.core.errors import RecipeError, ResourceError
from tsuzuri.lab.devices import DEVICES, GIB
from tsuzuri.lab.memory import Memory, predict
from tsuzuri.lab.speed import Speed, predict_speed
from tsuzuri.lab.step import Step
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.ladder import LADDER, model_config
from tsuzuri.training.config import why_not_shared
from tsuzuri.training.memory import MemoryRecipe

ENOUGH_TOKENS = 16_384
"""Computed at once, more do not make products faster."""
MOST_ROWS = 4096
MOST_SERVERS = 1024

Spread: TypeAlias = Literal["auto", "replicated", "sharded"]
"""replicated: each device has all weights. sharded: weights and states are divided among all."""


@dataclass(frozen=True)
class Question:
    """What is to be found: a way to make a step."""

    step: Step
    """Of it the model, devices, precision, graph, batch and length count."""
    recipes: tuple[MemoryRecipe, ...]
    """The first that fits is taken."""
    spread: Spread = "auto"
    efficiency: float | None = None
    """Share of the peak that products reach, where the device's row is not believed."""

    def on(self, **changes: object) -> Question:
        """The same question about another model or other devices."""
        return replace(self, step=replace(self.step, **changes))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Fit:
    """A step with its memory and speed."""

    step: Step
    memory: Memory
    speed: Speed

    @property
    def fits(self) -> bool:
        """Whether the device holds it."""
        return self.memory.total <= self.step.device.usable_bytes


def first_fit(question: Question) -> Fit:
    """The fastest way to make the step by the first recipe that fits.

    ResourceError names what is nearest where nothing fits.
    """
    step = question.step
    _check(step)
    found = _first_fit(question)
    if found:
        return found
    least = {recipe.name: least_bytes(question, recipe) for recipe in question.recipes}
    smallest = min(least, key=lambda name: least[name])
    if least[smallest] == math.inf:
        only = "one device alone" if question.recipes[0].in_backward else "whole weights on each device"
        raise RecipeError(
            f"{smallest} is for {only}: no way to share it among {step.devices} devices ({question.spread})",
            hint="leave --memory-recipe or --spread away, or plan for one card",
        )
    raise ResourceError(
        f"a model of {step.model.num_parameters:,} parameters does not fit: it needs at least "
        f"{least[smallest] / GIB:.1f} GiB on each device ({smallest}), where "
        f"{step.device.usable_bytes / GIB:.1f} can be filled",
        hint=f"nearest: {_nearest(question)}",
    )


def least_bytes(question: Question, recipe: MemoryRecipe) -> float:
    """Bytes on a device that the smallest way to make the step by a recipe needs; infinite without a way."""
    return min((predict(way).total for way in _ways(question, recipe)), default=math.inf)


def largest_that_fits(models: Iterable[ModelConfig], question: Question) -> ModelConfig | None:
    """The model with the most parameters for which there is a way, or None."""
    fitting = (model for model in models if _first_fit(question.on(model=model)))
    return max(fitting, key=lambda model: model.num_parameters, default=None)


def _first_fit(question: Question) -> Fit | None:
    for recipe in question.recipes:
        fits = (
            Fit(way, predict(way), predict_speed(way, question.efficiency)) for way in _ways(question, recipe)
        )
        fastest = max((fit for fit in fits if fit.fits), key=_merit, default=None)
        if fastest:
            return fastest
    return None


def _merit(fit: Fit) -> tuple[float, ...]:
    """Speed, then what is simpler, then enough tokens at once, then little memory."""
    step = fit.step
    speed = float(f"{fit.speed.tokens_per_s:.2e}")
    enough = min(step.micro_tokens, ENOUGH_TOKENS)
    return speed, -step.tensor, -step.sharded, -step.recompute, enough, -fit.memory.total


def _ways(question: Question, recipe: MemoryRecipe) -> Iterator[Step]:
    """Every way in which training makes a step: recompute or not, replicated or sharded, tensors shared, rows
    at once."""
    step = replace(question.step, recipe=recipe)
    spreads = {"auto": (False, True), "replicated": (False,), "sharded": (True,)}[question.spread]
    recomputes = (False,) if step.graph == "plain" else (False, True)  # nothing was recomputed then
    if recipe.in_backward and step.devices > 1:
        return
    for tensor in (1, 2, 4, 8):
        if tensor > 1 and (question.spread == "replicated" or recipe.offload):
            continue
        if step.device.count % tensor or why_not_shared(step.model, step.length, recipe.optimizer, tensor):
            continue
        for sharded in spreads if step.devices > tensor else (False,):
            if sharded and recipe.offload:
                continue
            for recompute in recomputes:
                way = replace(step, tensor=tensor, sharded=sharded, recompute=recompute)
                rows = max(1, way.batch_tokens // (way.length * way.data_ranks))
                yield from (replace(way, rows=n) for n in range(1, min(rows, MOST_ROWS) + 1) if rows % n == 0)


def _nearest(question: Question) -> str:
    """What would fit: a smaller model here, more of these devices, or another device."""
    step, answers = question.step, []
    models = {name: model_config(name, vocab_size=step.model.vocab_size) for name in LADDER}
    here = {
        name: model
        for name, model in models.items()
        if model.num_parameters < step.model.num_parameters
        and _first_fit(question.on(model=model, length=min(step.length, model.max_position_embeddings)))
    }
    if here:
        answers.append(f"--size {max(here, key=lambda name: here[name].num_parameters)}")
    doubled = [step.servers * 2**n for n in range(1, 11) if step.servers * 2**n <= MOST_SERVERS]
    for servers in doubled if step.device.network else ():
        if _first_fit(question.on(servers=servers)):
            answers.append(f"--servers {servers}")
            break
    for name, device in sorted(DEVICES.items(), key=lambda item: item[1].memory_bytes * item[1].count):
        precision = step.precision if step.precision in device.peaks else device.precision
        other = question.on(device=device, precision=precision, servers=1)
        if device.memory_bytes and device != step.device and _first_fit(other):
            answers.append(f"--device {name}")
            break
    return ", or ".join(answers) or "a smaller model"


def _check(step: Step) -> None:
    if step.servers > 1 and not step.device.network:
        raise RecipeError(
            "these devices have no network between them in the table of devices",
            hint="plan for one of them, or for servers of eight, such as --device h100x8",
        )
    if step.length > step.model.max_position_embeddings:
        raise RecipeError(
            f"rows of {step.length} tokens are longer than the model's context of "
            f"{step.model.max_position_embeddings}",
            hint="give a shorter --sequence-length",
        )
