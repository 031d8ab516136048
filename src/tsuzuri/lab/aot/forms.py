"""The forms in which a step is tried on the compiler, and what is expected of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from tsuzuri.core.errors import RecipeError
from tsuzuri.lab.config import AotConfig
from tsuzuri.lab.devices import TOPOLOGY
from tsuzuri.lab.memory import predict
from tsuzuri.lab.speed import flops_per_token
from tsuzuri.lab.step import Step

OPTIMIZERS: tuple[str, ...] = get_args(AotConfig.model_fields["optimizer"].annotation)


def plan_values(topology: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a PlanConfig for the TPUs of a topology; RecipeError where they are for other devices."""
    if not TOPOLOGY.fullmatch(topology):
        raise RecipeError(f"no TPUs {topology!r}", hint="for example --aot v5e:2x4 or --aot v4:2x2x1")
    if "device" in values:
        raise RecipeError("--aot names its devices itself", hint="leave --device away")
    return {"memory_recipe": OPTIMIZERS[0], **values, "device": topology}


def forms(step: Step) -> Iterator[Step]:
    """A step and what needs less memory than it, one after another: what is predicted to fit, and the last.

    Blocks are recomputed first, then fewer rows are computed at once, then weights are sharded.
    """
    step = replace(step, tensor=1, sharded=step.sharded or step.tensor > 1)
    rows = max(1, step.batch_tokens // (step.length * step.devices))
    fewer = [n for n in range(min(rows, step.rows), 0, -1) if rows % n == 0]
    ways = [replace(step, rows=n, recompute=True) for n in fewer]
    if not step.sharded:
        ways += [replace(way, sharded=True) for way in ways]
    if not step.recompute:
        ways.insert(0, replace(step, rows=fewer[0]))
    for way in ways:
        if way is ways[-1] or predict(way).total <= way.device.usable_bytes:
            yield way


def operations(step: Step) -> float:
    """Operations of a micro-batch on one core as the compiler counts them: the loop over blocks makes one.

    Attention's are over all pairs of positions.
    """
    model = step.model
    head = 6 * model.vocab_size * model.hidden_size
    block = (flops_per_token(model, step.length, causal=False) - head) / model.num_hidden_layers
    return step.micro_tokens * (head + block * (4 / 3 if step.recompute else 1))


def aot_config(step: Step, topology: str) -> AotConfig:
    """What the compiler is told of a step; RecipeError where it cannot be compiled."""
    if step.recipe.optimizer not in OPTIMIZERS or step.recipe.weights != "float32":
        raise RecipeError(
            f"a step is compiled for TPUs with {' or '.join(OPTIMIZERS)}",
            hint=f"--memory-recipe {OPTIMIZERS[0]}",
        )
    if step.graph == "plain":
        raise RecipeError("only our own step is compiled", hint="leave --graph away")
    assert step.precision != "float16"  # which no TPU has
    return AotConfig(
        model=step.model,
        topology=topology,
        rows=step.rows,
        micro_batches=step.micro_batches,
        length=step.length,
        precision=step.precision,
        optimizer=step.recipe.optimizer,
        sharded=step.sharded,
        recompute=step.recompute,
    )
