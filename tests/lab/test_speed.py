"""Predicted speed against what is published, and what bounds it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.lab.steps import ON_P4D

from tsuzuri.lab.config import PlanConfig
from tsuzuri.lab.devices import DEVICES
from tsuzuri.lab.plan import make_plan
from tsuzuri.lab.speed import flops_per_token, full_speed, predict_speed, reachable
from tsuzuri.training.memory import RECIPES

NODE = replace(ON_P4D, rows=4)


@pytest.mark.parametrize(
    ("device", "size", "tokens_per_s"),
    [
        ("rtx3090", "gpt3-125m", 36_000),
        ("rtx3090", "gpt3-350m", 12_000),
        ("rtx3090", "gpt3-760m", 6_100),
        ("rtx4090", "gpt3-125m", 84_000),
        ("h100", "gpt3-350m", 170_000),
        ("h100", "gpt3-1.3b", 50_000),
    ],
)
def test_tokens_a_second_at_45_percent_are_those_worked_out_by_hand(
    device: str, size: str, tokens_per_s: float
) -> None:
    plan = make_plan(PlanConfig(size=size, device=device, efficiency=0.45, memory_recipe="adamw"))
    assert plan.fit.speed.tokens_per_s == pytest.approx(tokens_per_s, rel=0.2)
    assert plan.fit.speed.mfu == pytest.approx(0.45, abs=0.02)


def test_recomputation_costs_a_third_of_the_speed_and_no_more() -> None:
    once, twice = predict_speed(NODE), predict_speed(replace(NODE, recompute=True))
    assert once.tokens_per_s / twice.tokens_per_s == pytest.approx(4 / 3, rel=0.02)
    assert once.mfu == pytest.approx(0.56, abs=0.01)


def test_a_row_at_a_time_over_a_slow_network_is_bound_by_links() -> None:
    slow = replace(NODE, servers=16, sharded=True, rows=1, batch_tokens=128 * 2048)
    assert predict_speed(NODE).bound == "products"
    assert predict_speed(slow).bound == "links"
    assert (
        predict_speed(replace(slow, device=DEVICES["h100x8"])).tokens_per_s
        > 2 * predict_speed(slow).tokens_per_s
    )


def test_nothing_hides_what_tensor_parallel_sends() -> None:
    whole, shared = (predict_speed(replace(NODE, sharded=True, tensor=tensor)) for tensor in (1, 8))
    sent = 4 * 24 * 2 * 2048 * NODE.batch_tokens * 2 * 7 / 8  # bytes: reductions, layers, bfloat16, width
    assert shared.bound == whole.bound == "products"
    assert shared.step_s - whole.step_s == pytest.approx(sent / NODE.device.link, rel=1e-6)


def test_slower_products_reach_more_of_their_peak() -> None:
    card = replace(NODE, device=DEVICES["v100"])
    half, single = (replace(card, precision=precision) for precision in ("float16", "float32"))
    share, _ = reachable(half)
    assert share == DEVICES["v100"].efficiency
    assert reachable(single)[0] == pytest.approx(1 / (1 + (1 / share - 1) * 15.7 / 125))
    other_s = [(1 / reachable(step)[0] - 1) / step.device.peaks[step.precision] for step in (half, single)]
    assert other_s[0] == pytest.approx(other_s[1]), "what is no product takes as long"


def test_one_short_row_is_bound_by_memory() -> None:
    card = replace(NODE, device=DEVICES["rtx4090"], rows=1, length=64, batch_tokens=64)
    assert predict_speed(card).bound == "memory"


def test_attention_costs_more_in_longer_rows_and_twice_as_much_unfused() -> None:
    model = NODE.model
    weights = 6 * model.num_matrix_parameters
    short, long = (flops_per_token(model, length) - weights for length in (1024, 2048))
    assert long == 2 * short
    assert flops_per_token(model, 1024, causal=False) - weights == long


def test_offloaded_states_cost_time() -> None:
    card = replace(NODE, device=DEVICES["rtx3090"], rows=1, batch_tokens=2048)
    offloaded = predict_speed(replace(card, recipe=RECIPES["offload-adamw"]))
    assert offloaded.step_s > predict_speed(replace(card, recipe=RECIPES["bf16-adafactor"])).step_s


def test_the_speed_at_the_peak_is_what_mfu_is_a_share_of() -> None:
    plan = make_plan(PlanConfig(size="gpt3-350m", device="h100", memory_recipe="adamw"))
    step = plan.fit.step
    speed = full_speed(step.model, step.length, "NVIDIA H100 80GB HBM3", "bfloat16")
    assert speed is not None
    assert plan.fit.speed.tokens_per_s / speed == pytest.approx(plan.fit.speed.mfu)
    assert full_speed(step.model, step.length, "AMD EPYC", "bfloat16") is None
