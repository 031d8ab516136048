"""Real steps on this machine, and a plan corrected by them. Needs torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError, ResourceError
from tsuzuri.lab.devices import DEVICES as PLANNED
from tsuzuri.lab.devices import GIB, UNTRAINED
from tsuzuri.lab.memory import predict
from tsuzuri.lab.plan import DAY_S, Plan, duration
from tsuzuri.lab.speed import Speed, predict_speed
from tsuzuri.lab.step import Step
from tsuzuri.model.gpt import GPT
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import DEVICES, Device, can_compile, choose_device, memory_errors
from tsuzuri.training.peak import PeakMemory
from tsuzuri.training.step import Trainer

STEPS = 3


@dataclass(frozen=True)
class Measured:
    """Real steps, and how a plan's step is to be corrected by them."""

    step: Step
    """What was run: the plan's step with few micro-batches, compiled or not as this machine can."""
    tokens_per_s: float
    peak_bytes: float
    """Above what the process held before, so without what the framework takes."""
    predicted: Speed

    @property
    def speed_ratio(self) -> float:
        """Measured over predicted."""
        return self.tokens_per_s / self.predicted.tokens_per_s

    @property
    def memory_ratio(self) -> float:
        """Measured over predicted."""
        return self.peak_bytes / predict(self.step).held_bytes


def measure(plan: Plan) -> Measured:
    """Three steps of a plan's shape, of at most two micro-batches, after one that warms up.

    RecipeError when the plan is for another device, for several, or for what training cannot do,
    ResourceError when this machine has none of its kind.
    """
    wanted = plan.fit.step
    compiled = can_compile(_require_here(wanted)) and wanted.graph == "compiled"
    batches = 1 if wanted.recipe.in_backward else min(2, wanted.micro_batches)
    step = replace(
        wanted, batch_tokens=batches * wanted.micro_tokens, graph="compiled" if compiled else "eager"
    )
    tokens_per_s, peak_bytes = run_steps(step)
    return Measured(step, tokens_per_s, peak_bytes, predict_speed(step, plan.config.efficiency))


def run_steps(step: Step) -> tuple[float, int]:
    """Tokens a second of three steps after one that warms up, and the most bytes held for them all."""
    device = choose_device(step.device.kind)
    peak = PeakMemory(device)
    values = {**step.train_values(), "steps": STEPS + 1, "schedule": {"warmup_steps": 0}}
    config = parse_config(TrainConfig, values, where="plan --measure")
    compiled = step.graph == "compiled"
    with memory_errors(config, hint="another --memory-recipe, a smaller --size or --sequence-length"):
        model = GPT(step.model, torch.Generator().manual_seed(config.seed)).to(device.kind)
        trainer = Trainer(model, config, device, dtype=getattr(torch, step.precision), compiled=compiled)
        generator = torch.Generator().manual_seed(config.seed)
        shape = (config.batch_rows, step.length + 1)
        rows = torch.randint(step.model.vocab_size, shape, generator=generator)
        trainer.step(0, rows, eos_id=0)
        device.synchronize()
        started = time.perf_counter()
        for number in range(1, STEPS + 1):
            trainer.step(number, rows, eos_id=0)
        device.synchronize()
        elapsed_s = time.perf_counter() - started
        peak.look()
    return STEPS * step.tokens / elapsed_s, peak.held_bytes


def describe_measured(plan: Plan) -> Iterator[str]:
    """What was measured beside what was predicted, and the plan corrected by it."""
    measured, efficiency = measure(plan), plan.config.efficiency
    yield (
        f"measured    {STEPS} steps of {measured.step.tokens:,} tokens, {measured.step.graph}: "
        f"{measured.tokens_per_s:,.0f} tokens/s (predicted {measured.predicted.tokens_per_s:,.0f}), "
        f"{measured.peak_bytes / GIB:.2f} GiB (predicted {predict(measured.step).held_bytes / GIB:.2f})"
    )
    whole = replace(plan.fit.step, graph=measured.step.graph)
    tokens_per_s = predict_speed(whole, efficiency).tokens_per_s * measured.speed_ratio
    peak = predict(whole).held_bytes * measured.memory_ratio
    yield (
        f"corrected   {tokens_per_s:,.0f} tokens/s, {duration(plan.tokens / tokens_per_s / DAY_S)} for "
        f"{plan.tokens:.4g} tokens, {peak / GIB:.2f} GiB"
    )


def _require_here(wanted: Step) -> Device:
    """The device of this machine that the step is for; an error where there is none of the kind."""
    if wanted.devices > 1 or wanted.device.kind == "tpu":
        raise RecipeError(
            "steps are measured on one device of this machine", hint="plan for one card or the cpu"
        )
    if wanted.precision == UNTRAINED:
        raise RecipeError(f"training has no {UNTRAINED}", hint="--precision float32 or bfloat16")
    device = DEVICES[wanted.device.kind]
    if not device.is_available():
        raise ResourceError(
            f"steps are measured on a device of this machine, which has no {device.kind}",
            hint="give --measure where the card is, or plan for --device cpu",
        )
    name = device.name()
    others = [row for row, planned in PLANNED.items() if planned.is_called(name) and planned.count == 1]
    if others and not wanted.device.is_called(name):
        raise RecipeError(
            f"the card of this machine is not the one that is planned for: {name}",
            hint=f"--device {others[0]}",
        )
    return device
