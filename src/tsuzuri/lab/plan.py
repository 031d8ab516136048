"""Before a run: what fits, how long it takes and what it costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.lab import money
from tsuzuri.lab.config import PlanConfig
from tsuzuri.lab.devices import GIB, UNTRAINED, device_row
from tsuzuri.lab.memory import stored_bytes
from tsuzuri.lab.money import Line
from tsuzuri.lab.search import Fit, Question, first_fit, least_bytes
from tsuzuri.lab.speed import reachable
from tsuzuri.lab.step import Step
from tsuzuri.model.config import ModelConfig, ModelRecipe
from tsuzuri.model.ladder import model_config, rung
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.memory import RECIPES, MemoryRecipe, memory_recipe

TOKENS_A_PARAMETER = 20
DAY_S = 86_400
HINT = "tsuzuri plan --help says what is allowed"


@dataclass(frozen=True)
class Plan:
    """What a run will be."""

    config: PlanConfig
    fit: Fit
    tokens: float
    days: float
    kwh: float | None
    """Of the devices' boards; None where their power is unknown."""
    bill: tuple[Line, ...]
    passed_over: tuple[tuple[str, float], ...]
    """The memory recipes that were tried before and do not fit, with the fewest bytes that they need."""

    @property
    def total(self) -> money.Total:
        """The sum of the bill."""
        return money.total(self.bill, self.config.jpy_per_usd)

    @property
    def recipe(self) -> str:
        """The name of its memory recipe."""
        return self.fit.step.recipe.name


def make_plan(
    config: PlanConfig, model: ModelConfig | None = None, prefer: MemoryRecipe | None = None
) -> Plan:
    """The plan for a model, by default that of `config.size`, trying the memory recipe `prefer` first.

    Raises RecipeError for a size, device or recipe that is not there, ResourceError when nothing fits.
    """
    question = _question(config, model, prefer)
    fit = first_fit(question)
    per_day = fit.speed.tokens_per_s * DAY_S
    if config.days:
        tokens = per_day * config.days
    else:
        tokens = config.tokens or TOKENS_A_PARAMETER * fit.step.model.num_parameters
    days = tokens / per_day
    power_w = fit.step.device.power_w
    kwh = None if power_w is None else power_w * fit.step.devices * days * 24 / 1000
    better = itertools.takewhile(lambda recipe: recipe != fit.step.recipe, question.recipes)
    least = ((recipe.name, least_bytes(question, recipe)) for recipe in better)
    passed_over = tuple((name, needed) for name, needed in least if needed < math.inf)
    return Plan(config, fit, tokens, days, kwh, tuple(_bill(config, fit, tokens, days, kwh)), passed_over)


def config_of(
    model: ModelRecipe, vocab_size: int, train: TrainConfig, values: Mapping[str, Any]
) -> PlanConfig:
    """What a recipe's `model` and `train` ask of a plan, with `values` in place of their own."""
    own: dict[str, Any] = {
        "size": model.size,
        "vocab_size": vocab_size,
        "batch_tokens": train.tokens_per_step,
        "sequence_length": train.sequence_length,
        "precision": train.precision,
    }
    if "days" not in values:
        own["tokens"] = train.steps * train.tokens_per_step
    return parse_config(PlanConfig, {**own, **values}, where="plan", hint=HINT)


def describe(plan: Plan, train: TrainConfig = TrainConfig()) -> Iterator[str]:  # noqa: B008 (frozen)
    """The plan as a page of text, with what it changes in the `train` of a recipe."""
    config, step, speed = plan.config, plan.fit.step, plan.fit.speed
    model, device = step.model, step.device
    shape = f"{model.num_hidden_layers} layers of {model.hidden_size}"
    yield f"model       {model.num_parameters:,} parameters, {shape}"
    several = f"{step.servers} × " if step.servers > 1 else ""
    usable = f"{step.devices} of {device.usable_bytes / GIB:.1f} usable GiB"
    yield f"devices     {several}{config.device}: {usable}"
    yield f"recipe      {plan.recipe}: {step.recipe.bytes_per_parameter:.2f} bytes a parameter, {_form(step)}"
    for name, least in plan.passed_over:
        yield f"            ({name} needs {least / GIB:.1f} GiB)"
    yield f"quality     {step.recipe.quality}"
    yield f"memory      {plan.fit.memory.describe()}"
    if plan.fit.memory.host_bytes:
        host = f"{plan.fit.memory.host_bytes / GIB:.2f} GiB of the host's memory"
        yield f"            and {host}, from the first checkpoint on"
    yield (
        f"step        {step.tokens:,} tokens: {step.micro_batches} × {step.rows} rows of {step.length} "
        f"on {step.data_ranks}, {speed.step_s:.3g} s"
    )
    yield from _settings(step, train)
    if unproven := _unproven(step):
        yield f"unproven    {unproven}"
    yield (
        f"speed       {speed.tokens_per_s:,.0f} tokens/s, {speed.mfu:.0%} of the peak in {step.precision}, "
        f"bound by {speed.bound}"
    )
    yield f"            (efficiency: {_efficiency_source(plan)})"
    if step.precision == UNTRAINED:
        yield f"            ({UNTRAINED} is what others train in: ours is not able to)"
    yield (
        f"time        {duration(plan.days)} for {plan.tokens:.4g} tokens, "
        f"{plan.tokens / model.num_parameters:.1f} a parameter"
    )
    energy = "power of these devices unknown" if plan.kwh is None else f"{plan.kwh:,.0f} kWh, boards alone"
    yield f"energy      {energy}"
    yield "cost"
    yield from money.describe(plan.bill, config.jpy_per_usd)


def _question(config: PlanConfig, model: ModelConfig | None, prefer: MemoryRecipe | None) -> Question:
    row = rung(config.size)
    model = model or model_config(config.size, vocab_size=config.vocab_size)
    device = device_row(config.device)
    precision = device.precision if config.precision == "auto" else config.precision
    if precision not in device.peaks:
        raise RecipeError(
            f"{config.device} has no products in {precision}", hint=f"it has: {', '.join(device.peaks)}"
        )
    if config.memory_recipe:
        recipes = (memory_recipe(config.memory_recipe),)
    else:
        first = (prefer,) if prefer else ()
        recipes = (*first, *(recipe for recipe in RECIPES.values() if recipe.automatic and recipe != prefer))
    step = Step(
        model=model,
        recipe=recipes[0],
        device=device,
        precision=precision,
        batch_tokens=config.batch_tokens or row.batch_tokens,
        length=config.sequence_length or model.max_position_embeddings,
        graph=config.graph,
        servers=config.servers,
    )
    return Question(step, recipes, config.spread, config.efficiency)


def _bill(config: PlanConfig, fit: Fit, tokens: float, days: float, kwh: float | None) -> Iterator[Line]:
    device, step = fit.step.device, fit.step
    price = device.preemptible if config.preemptible else device.on_demand
    if config.usd_per_hour is not None:
        yield money.rent(days, step.servers, config.usd_per_hour, f"at ${config.usd_per_hour:g} an hour")
    elif config.jpy_per_kwh is None and price.usd_per_hour is not None:
        note = f"at ${price.usd_per_hour:g} an hour ({price.source}, {price.date or 'undated'})"
        yield money.rent(days, step.servers, price.usd_per_hour, note)
    elif config.jpy_per_kwh is None:
        yield money.rent(days, step.servers, None, "give --usd-per-hour, or --jpy-per-kwh for your own")
    if config.jpy_per_kwh is not None:
        yield money.electricity(kwh, config.jpy_per_kwh)
    token_bytes = 2 if step.model.vocab_size <= 2**16 else 4
    yield money.storage(token_bytes * tokens, stored_bytes(step), days, config.usd_per_gb_month)
    if config.corpus_licence_jpy is not None:
        yield Line("corpus licence", jpy=config.corpus_licence_jpy, note="once")


def _form(step: Step) -> str:
    forms = ["blocks recomputed" if step.recompute else "nothing recomputed"]
    if step.devices > 1:
        forms.append(
            f"sharded over {step.devices}" if step.sharded else f"replicated {step.data_ranks} times"
        )
    if step.tensor > 1:
        forms.append(f"matrices shared by {step.tensor}")
    return ", ".join(forms)


def _settings(step: Step, train: TrainConfig) -> Iterator[str]:
    """How a recipe is told to make this step, where training can make it and the recipe does not say so."""
    if step.precision == UNTRAINED or step.graph == "plain" or step.device.untrained:
        return
    now, wanted = (dict(_leaves(values)) for values in (train.as_mapping(), step.train_values()))
    options = [f"--set train.{key}={_typed(value)}" for key, value in wanted.items() if now[key] != value]
    for start in range(0, len(options), 3):
        yield f"{'' if start else 'settings':12}{' '.join(options[start : start + 3])}"
    if train.optimizer.kind != step.recipe.optimizer:
        rate = f"{train.optimizer.learning_rate:g} was chosen for {train.optimizer.kind}"
        yield f"            (train.optimizer.learning_rate is not planned: {rate})"


def _unproven(step: Step) -> str:
    """What of such a run has never been made; "" where it has."""
    device = step.device
    if device.untrained:
        return f"our training does not run on these devices: {device.untrained}"
    if step.devices > 1 or not device.tried:
        several = " several of" if step.devices > 1 else ""
        return f"our training has run on one H100 and on CPUs, not on{several} these devices"
    return ""


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _efficiency_source(plan: Plan) -> str:
    if plan.config.efficiency is not None:
        return f"{plan.config.efficiency:.0%}, as given"
    step = plan.fit.step
    share, source = reachable(step)
    faster = f"as {step.device.efficiency:.0%} of faster products: " if share > step.device.efficiency else ""
    return f"{share:.0%}, {faster}{source}"


def duration(days: float) -> str:
    """A time in words."""
    for unit, length in (("days", 1.0), ("hours", 1 / 24), ("minutes", 1 / 1440)):
        if days >= length:
            return f"{days / length:,.1f} {unit}"
    return f"{days * DAY_S:.2g} seconds"
