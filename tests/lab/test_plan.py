"""Plans: the first author's figures, with his assumptions as inputs, and beside each what is needed today."""

from __future__ import annotations

from typing import Any

import pytest
from tests.lab.steps import ON_P4D

from tsuzuri.core.config import apply_overrides
from tsuzuri.core.errors import RecipeError, ResourceError
from tsuzuri.lab.config import PlanConfig
from tsuzuri.lab.devices import GIB
from tsuzuri.lab.money import HOURS_A_MONTH, Line, rent, total
from tsuzuri.lab.plan import Plan, describe, duration, make_plan
from tsuzuri.lab.search import Question, largest_that_fits
from tsuzuri.lab.step import Step
from tsuzuri.model.ladder import model_config
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.layout import require_shares
from tsuzuri.training.memory import RECIPES, recipe_of

HIS_LARGE: dict[str, Any] = {
    "size": "gpt2-large",  # published as 640M; its shape has 736M at his vocabulary
    "vocab_size": 20_573,
    "batch_tokens": 1024,
    "precision": "float32",
    "graph": "plain",
    "tokens": 10.24e9,  # ten million steps
}


def plan(**values: Any) -> Plan:
    """The plan for these values of a PlanConfig."""
    return make_plan(PlanConfig.model_validate(values))


def test_his_large_model_fits_a_24_gb_card_with_adagrad_and_not_with_adamw() -> None:
    assert plan(**HIS_LARGE, memory_recipe="adagrad").fit.memory.total < 24 * GIB
    with pytest.raises(ResourceError, match=r"23\.\d GiB on each device \(adamw\), where 22\.8"):
        plan(**HIS_LARGE, memory_recipe="adamw")


def test_his_large_model_takes_98_days_within_a_factor_of_two() -> None:
    assert 49 < plan(**HIS_LARGE, memory_recipe="adagrad").days < 196


def test_today_his_large_model_fits_with_full_quality_and_takes_weeks() -> None:
    today = {key: HIS_LARGE[key] for key in ("size", "vocab_size", "tokens")}
    assert plan(**today).recipe == "muon"
    assert plan(**today, memory_recipe="adamw").fit.memory.total < 22.8 * GIB
    assert plan(**today).days < 98 / 4


def question_of_p4d(spread: str) -> Question:
    """What fits a p4d.24xlarge with AdamW in float32."""
    return Question(ON_P4D, (RECIPES["adamw"],), spread)  # type: ignore[arg-type]


def test_about_two_billion_is_the_largest_replicated_model_on_p4d() -> None:
    models = [
        model_config("gpt3-1.3b", vocab_size=32_000, overrides={"num_hidden_layers": layers})
        for layers in range(8, 257, 8)
    ]
    replicated = largest_that_fits(models, question_of_p4d("replicated"))
    assert replicated is not None
    assert 1.6e9 < replicated.num_parameters < 2.4e9
    today = largest_that_fits(models, question_of_p4d("sharded"))
    assert today is not None
    assert today.num_parameters > 3 * replicated.num_parameters


def test_180_days_on_p4d_cost_what_he_reckoned() -> None:
    made = plan(size="gpt3-1.3b", device="p4d.24xlarge", days=180, usd_per_hour=44.5)
    assert made.total.usd == pytest.approx(192_240)
    today = plan(size="gpt3-1.3b", device="p4d.24xlarge")  # 20 tokens a parameter are enough, in days
    assert today.days < 10
    assert today.total.usd < 192_240 / 20


def test_90_days_on_a_tpu_v3_cost_what_he_reckoned_and_2_7b_sees_enough_tokens() -> None:
    made = plan(size="gpt3-2.7b", device="tpu-v3-8", days=90, usd_per_hour=2.40, jpy_per_usd=110)
    assert made.total.usd == pytest.approx(5_184)
    assert made.total.jpy == pytest.approx(570_240)
    assert 40e9 < made.tokens < 100e9  # Gopher's efficiency; 20 a parameter would be 52e9
    assert made.recipe == "muon"
    assert made.fit.step.sharded
    assert made.fit.memory.parts["attention's scores"] > GIB, "which no kernel that we know of spares a TPU"


def test_a_month_of_a_gpu_and_of_a_tpu_cost_what_he_reckoned() -> None:
    days = HOURS_A_MONTH / 24
    assert rent(days, 1, 1.736).usd == pytest.approx(1_267.28)
    assert rent(days, 1, 4.5).usd == pytest.approx(3_285)
    today = plan(size="gpt3-125m", device="h100")  # what such a month was for
    assert today.total.usd < 50


def test_a_licensed_corpus_is_a_line_of_the_bill() -> None:
    made = plan(corpus_licence_jpy=200_000, jpy_per_usd=100, usd_per_hour=1, days=1)
    assert Line("corpus licence", jpy=200_000, note="once") in made.bill
    assert made.total.usd == pytest.approx(2_000 + 24)


@pytest.mark.parametrize("usd_per_hour", [1.50, 1.736])
def test_175b_on_v100s_costs_millions(usd_per_hour: float) -> None:
    gpt3 = {"size": "gpt3-175b", "tokens": 300e9, "servers": 128, "memory_recipe": "adamw"}
    made = plan(**gpt3, device="v100x8", precision="float16", usd_per_hour=8 * usd_per_hour)
    assert 4.6e6 < made.total.usd < 12e6
    today = plan(**gpt3, device="h100x8", usd_per_hour=8 * 2.69)
    assert today.total.usd < made.total.usd / 4
    assert today.days < 30


def test_the_ladder_of_memory_is_walked_from_the_best_quality() -> None:
    made = plan(size="gpt3-2.7b", device="rtx3090")
    names = [name for name, recipe in RECIPES.items() if recipe.automatic]
    passed_over = [name for name, _ in made.passed_over]
    assert passed_over == names[: names.index(made.recipe)]
    assert all(least > made.fit.step.device.usable_bytes for _, least in made.passed_over)
    assert made.fit.step.recompute


@pytest.mark.parametrize(
    ("size", "vocab_size", "device", "servers"),
    [
        *(("gpt3-2.7b", 32_000, device, 1) for device in ("rtx3090", "cpu", "h100x8", "tpu-v4-8")),
        ("gpt3-13b", 32_000, "p4d.24xlarge", 2),
        ("gpt3-175b", 32_000, "h200x8", 8),
        ("gpt2-large", 20_573, "tpu-v5e-8", 1),  # a vocabulary that nothing divides
    ],
)
def test_training_can_be_told_to_make_the_step_that_is_planned(
    size: str, vocab_size: int, device: str, servers: int
) -> None:
    """What is planned is what a recipe with the settings of the page is predicted to hold, and refused by
    nothing."""
    made = plan(size=size, vocab_size=vocab_size, device=device, servers=servers)
    step = made.fit.step
    options = [word for line in describe(made) for word in line.split() if word.startswith("train.")]
    values = {**apply_overrides({"train": {}}, options)["train"], "steps": 100}
    train = TrainConfig.model_validate(values)
    require_shares(train, step.model, step.devices)
    assert train.parallel.over(step.devices) == (1 if step.sharded else step.data_ranks, *shares(step))
    assert train.tokens_per_step == step.tokens
    assert recipe_of(train.optimizer) == step.recipe
    assert (train.micro_batch_rows, train.parallel.recompute == "blocks") == (step.rows, step.recompute)


def shares(step: Step) -> tuple[int, int]:
    """Parts that a copy of the weights, and every product, is divided into."""
    return step.data_ranks if step.sharded else 1, step.tensor


@pytest.mark.parametrize(
    ("recipe", "values", "only"),
    [
        ("bf16-adafactor-in-backward", {"device": "h100x8"}, "one device alone"),
        ("offload-adamw", {"device": "h100x8", "spread": "sharded"}, "whole weights on each device"),
    ],
)
def test_a_recipe_that_training_refuses_on_these_devices_is_not_planned(
    recipe: str, values: dict[str, Any], only: str
) -> None:
    with pytest.raises(RecipeError, match=f"{recipe} is for {only}"):
        plan(size="gpt3-1.3b", memory_recipe=recipe, **values)


def test_what_is_nearest_rests_on_nothing_that_training_refuses() -> None:
    with pytest.raises(
        ResourceError, match=r"at least 83\.\d GiB on each device \(bf16-adafactor\)"
    ) as error:
        plan(size="gpt3-175b", device="p4d.24xlarge")
    assert error.value.hint.startswith("nearest: --size gpt3-13b, or --servers 4")


def test_float16_is_planned_on_request_alone_and_said_to_be_others() -> None:
    ours = plan(device="v100")
    assert ours.fit.step.precision == "float32"
    assert "(efficiency: 68%, as 21% of faster products: GPT-3 175B" in "\n".join(describe(ours))
    page = "\n".join(describe(plan(device="v100", precision="float16")))
    assert "float16 is what others train in" in page
    assert "settings" not in page


def test_the_host_and_the_disk_hold_checkpoints() -> None:
    card, node = (
        plan(memory_recipe="adamw"),
        plan(memory_recipe="adamw", device="h100x8", spread="replicated"),
    )
    parameters = card.fit.step.model.num_parameters
    assert card.fit.memory.host_bytes == 12 * parameters, "weights and two moments, copied before they change"
    assert node.fit.memory.host_bytes == 12 * parameters, "of which each process of a server copies its share"
    tokens, checkpoints = 2 * card.tokens / 1e9, 4 * 12 * parameters / 1e9
    assert f"{tokens + checkpoints:,.1f} GB: tokens, and 4 checkpoints of 1.3 GB" in "\n".join(describe(card))
    here = plan(memory_recipe="adamw", device="cpu").fit.memory
    assert here.parts["checkpoint copy"] == 12 * parameters
    assert here.held_bytes == here.total - here.parts["framework"] - 12 * parameters


def test_the_page_says_what_it_rests_on() -> None:
    page = "\n".join(describe(plan(size="gpt3-2.7b", jpy_per_kwh=30, usd_per_gb_month=0.02)))
    for part in ("adafactor", "muon needs", "quality", "GiB", "tokens/s", "bound by", "modula", "kWh at ¥30"):
        assert part in page
    unset = "\n".join(describe(plan(device="a100-40", size="15m")))
    assert "  all              price unset" in unset


def test_a_card_of_ones_own_costs_its_electricity_and_no_rent() -> None:
    own = plan(jpy_per_kwh=30)
    assert own.kwh
    assert [(line.name, line.jpy) for line in own.bill] == [("electricity", 30 * own.kwh), ("storage", None)]
    unknown = "\n".join(describe(plan(device="cpu", size="tiny", jpy_per_kwh=30)))
    assert "electricity           price unset  power of these devices unknown" in unknown
    hired = plan(jpy_per_kwh=30, usd_per_hour=1)  # where the price of renting leaves power out
    assert [line.name for line in hired.bill] == ["devices", "electricity", "storage"]


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("tpu-v3-8", "does not run on these devices: torch_tpu takes TPU v4 and later"),
        ("tpu-v4-8", "has run on one H100 and on CPUs, not on several of these devices"),
        ("h100x8", "has run on one H100 and on CPUs, not on several of these devices"),
        ("h200", "has run on one H100 and on CPUs, not on these devices"),
        ("h100", None),
        ("cpu", None),
    ],
)
def test_the_page_says_where_nothing_of_ours_has_run(device: str, said: str | None) -> None:
    page = "\n".join(describe(plan(device=device, size="15m")))
    assert ("unproven" in page) == (said is not None)
    assert said is None or f"unproven    our training {said}" in page
    assert ("settings" in page) == (device != "tpu-v3-8"), "which no recipe could use"


def test_a_learning_rate_of_another_optimizer_is_named() -> None:
    made = plan(size="gpt3-2.7b")
    said = "(train.optimizer.learning_rate is not planned: 0.006 was chosen for muon)"
    assert made.recipe == "adafactor"
    assert said in "\n".join(describe(made))
    own = TrainConfig.model_validate({"optimizer": {"kind": "adafactor"}})
    assert said not in "\n".join(describe(made, own))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"device": "h10"}, "did you mean 'h100'"),
        ({"size": "gpt3-1.3"}, "did you mean 'gpt3-1.3b'"),
        ({"memory_recipe": "adam"}, "did you mean 'adamw'"),
        ({"device": "v100", "precision": "bfloat16"}, "v100 has no products in bfloat16"),
        ({"device": "rtx3090", "servers": 2}, "no network between them"),
        ({"sequence_length": 4096}, "longer than the model's context of 2048"),
    ],
)
def test_what_cannot_be_planned_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan(**values)


def test_a_plan_that_fits_nothing_says_what_is_nearest() -> None:
    with pytest.raises(ResourceError) as error:
        plan(size="gpt3-175b", device="h100x8", memory_recipe="adamw")
    assert error.value.hint == "nearest: --size gpt3-13b, or --servers 8"
    with pytest.raises(ResourceError, match="at least") as error:
        plan(size="gpt3-13b", device="rtx3090")
    assert error.value.hint.startswith("nearest: --size gpt3-6.7b, or --device ")


def test_a_batch_of_any_size_is_planned_at_once() -> None:
    step = plan(size="tiny", device="cpu", batch_tokens=10**12).fit.step
    assert step.rows <= 4096
    assert step.tokens == pytest.approx(1e12)


@pytest.mark.parametrize(
    ("days", "words"),
    [(30, "30.0 days"), (0.5, "12.0 hours"), (0.01, "14.4 minutes"), (0.0002, "17 seconds")],
)
def test_times_are_in_units_of_their_size(days: float, words: str) -> None:
    assert duration(days) == words


def test_currencies_are_added_up_for_themselves_without_a_rate() -> None:
    bill = [Line("a", usd=10), Line("b", jpy=500), Line("c")]
    assert str(total(bill, None)) == "$10.00 + ¥500"
    assert str(total(bill, 100)) == "$15.00 = ¥1,500"
