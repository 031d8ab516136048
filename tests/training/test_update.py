"""The update of a whole model: numbers that are none, rounded weights, in the backward pass, in the host."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

import runs
from tsuzuri.core.errors import RecipeError
from tsuzuri.model.gpt import GPT
from tsuzuri.training.config import OptimizerConfig
from tsuzuri.training.devices import DEVICES
from tsuzuri.training.hooks import Hook
from tsuzuri.training.step import Trainer

KINDS = get_args(OptimizerConfig.model_fields["kind"].annotation)
LADDER = {
    **{kind: (f"optimizer.kind={kind}",) for kind in KINDS},
    "bf16-adamw-8bit": ("optimizer.kind=adamw-8bit", "optimizer.weights=bfloat16"),
    "bf16-muon": ("optimizer.weights=bfloat16",),
    "bf16-adafactor": ("optimizer.kind=adafactor", "optimizer.weights=bfloat16"),
    "in-backward": ("optimizer.kind=adafactor", "optimizer.weights=bfloat16", "optimizer.in_backward=true"),
    "in-backward-muon": ("optimizer.in_backward=true",),
    "offload-adamw": ("optimizer.kind=adamw", "optimizer.weights=bfloat16", "optimizer.offload=true"),
    "offload-muon": ("optimizer.offload=true",),
}
"""Each kind, and each rung of the memory ladder."""


def trainer(*overrides: str) -> Trainer:
    """A trainer of a tiny model on the CPU, always with the same first weights."""
    rows = () if "optimizer.in_backward=true" not in overrides else ("micro_batch_rows=4",)
    config = runs.train_config("steps=40", *overrides, *rows)
    model = GPT(runs.MODEL, torch.Generator().manual_seed(3))
    return Trainer(model, config, DEVICES["cpu"], dtype=torch.float32, compiled=False)


def batch(seed: int = 5) -> Tensor:
    """(4, 17) tokens."""
    return torch.randint(1, runs.VOCABULARY, (4, 17), generator=torch.Generator().manual_seed(seed))


def copied(made: Trainer) -> dict[str, Tensor]:
    """The state of a trainer, its own memory."""
    return {name: tensor.clone() for name, tensor in made.update.state().items()}


@pytest.mark.parametrize("rung", LADDER)
def test_every_rung_learns(rung: str) -> None:
    made = trainer(*LADDER[rung], "optimizer.learning_rate=0.02")
    losses = [made.step(step, batch(), 0)["loss"].item() for step in range(20)]
    assert losses[-1] < losses[0] - 0.2
    assert all(parameter.grad is None for parameter in made.model.parameters())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("rung", LADDER)
def test_a_loss_or_gradient_that_is_no_number_changes_nothing(rung: str, bad: float) -> None:
    made = trainer(*LADDER[rung])
    made.step(0, batch(), 0)
    before = copied(made)
    hook = made.model.norm.weight.register_hook(lambda gradient: gradient * bad)  # the first to be there
    metrics = made.step(1, batch(), 0)
    assert not metrics["grad_norm"].isfinite()
    assert same(before, made)
    hook.remove()
    made.step(2, batch(), 0)
    assert not any(torch.equal(before[f"model.{name}"], p) for name, p in made.model.named_parameters())
    assert all(tensor.isfinite().all() for tensor in made.update.state().values())


def test_a_loss_that_is_no_number_is_enough() -> None:
    made = trainer()
    before = copied(made)
    for parameter in made.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.update.apply(0.1, torch.tensor(float("nan")).isfinite())
    assert same(before, made)


def same(before: dict[str, Tensor], made: Trainer) -> bool:
    """Whether nothing changed but the count of updates."""
    after = made.update.state()
    return all(torch.equal(before[name], after[name]) for name in before if name != "optimizer.updates")


@pytest.mark.parametrize("rung", LADDER)
def test_the_state_is_all_that_the_next_step_depends_on(rung: str) -> None:
    """So that a run killed and resumed ends with the bytes of one never stopped."""
    unbroken, resumed = trainer(*LADDER[rung]), trainer(*LADDER[rung])
    for step in range(2):
        unbroken.step(step, batch(step), 0)
    for name, tensor in resumed.update.state().items():
        tensor.copy_(unbroken.update.state()[name])
    for step in range(2, 4):
        losses = [made.step(step, batch(step), 0)["loss"].item() for made in (unbroken, resumed)]
        assert losses[0] == losses[1]
    assert all(torch.equal(tensor, unbroken.update.state()[name]) for name, tensor in copied(resumed).items())
    pairs = zip(unbroken.model.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("rung", LADDER)
def test_a_run_that_died_ends_with_the_bytes_of_one_that_did_not(
    rung: str, inputs: Path, tmp_path: Path
) -> None:
    options = (*LADDER[rung], *(("micro_batch_rows=4",) if "in-backward" in rung else ()))
    calls = 0

    def die(model: GPT, dtype: torch.dtype) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt

    runs.run(inputs, tmp_path / "whole", *options, hooks=[])
    with pytest.raises(KeyboardInterrupt):
        runs.run(inputs, tmp_path / "died", *options, hooks=[Hook("dies", 1, die)])
    runs.run(inputs, tmp_path / "died", *options, hooks=[])
    whole, died = (runs.contents(tmp_path / name) for name in ("whole", "died"))
    assert {name for name in whole if whole[name] != died[name]} <= {"metrics.jsonl", "manifest.json"}
    assert runs.losses(tmp_path / "whole") == runs.losses(tmp_path / "died")


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_offloaded_steps_are_those_of_the_device(kind: str) -> None:
    there, here = (
        trainer(f"optimizer.kind={kind}", "optimizer.offload=true"),
        trainer(f"optimizer.kind={kind}"),
    )
    for step in range(3):
        assert there.step(step, batch(step), 0)["loss"] == here.step(step, batch(step), 0)["loss"]
    assert all(map(torch.equal, there.model.parameters(), here.model.parameters()))


@pytest.mark.parametrize("kind", KINDS)
def test_steps_within_the_backward_pass_are_those_after_it(kind: str) -> None:
    common = (f"optimizer.kind={kind}", "gradient_clip=1e9", "micro_batch_rows=4")
    within, after = trainer(*common, "optimizer.in_backward=true"), trainer(*common)
    for step in range(3):
        one, other = within.step(step, batch(step), 0), after.step(step, batch(step), 0)
        assert one["loss"].item() == pytest.approx(other["loss"].item(), rel=1e-6)
        assert one["grad_norm"].item() == pytest.approx(other["grad_norm"].item(), rel=1e-5)
    for name, parameter in within.model.named_parameters():
        assert torch.allclose(parameter, after.model.get_parameter(name), atol=1e-6), name


def test_within_the_backward_pass_few_gradients_are_held() -> None:
    made, most = trainer("optimizer.in_backward=true"), 0

    def count(gradient: Tensor) -> None:
        nonlocal most
        most = max(most, sum(parameter.grad is not None for parameter in made.model.parameters()))

    for parameter in made.model.parameters():
        parameter.register_hook(count)
    made.step(0, batch(), 0)
    assert most <= 1


def test_small_steps_are_not_lost_in_bfloat16() -> None:
    """At 1e-5 of a weight, rounded to the nearest, no weight would ever move."""
    made = trainer("optimizer.kind=adamw", "optimizer.weights=bfloat16", "optimizer.learning_rate=1e-6")
    before = made.model.norm.weight.detach().clone()
    for step in range(40):
        made.step(step, batch(step), 0)
    moved = made.model.norm.weight.detach() != before
    assert 0 <= moved.float().mean() < 0.5
    weights = torch.cat([p.detach().flatten() for p in made.model.parameters()])
    start = torch.cat(
        [p.detach().flatten() for p in trainer("optimizer.weights=bfloat16").model.parameters()]
    )
    assert 0.02 < (weights != start).float().mean() < 0.9


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("optimizer.in_backward=true",), "micro_batch_rows"),
        (("optimizer.in_backward=true", "optimizer.offload=true", "micro_batch_rows=4"), "one is possible"),
        (("optimizer.kind=adamw-8bits",), "adamw-8bit"),
        (("optimizer.weights=float16",), "bfloat16"),
    ],
)
def test_what_makes_no_sense_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        runs.train_config(*overrides)
