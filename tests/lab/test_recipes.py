"""The recipes of GPT-3's shapes, planned: each fits the cards that it names, with the budget that it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.chain.planning import plan_run
from tsuzuri.lab.devices import DEVICES
from tsuzuri.lab.memory import predict
from tsuzuri.lab.plan import TOKENS_A_PARAMETER, Plan, config_of, make_plan
from tsuzuri.lab.step import Step
from tsuzuri.model.ladder import model_config
from tsuzuri.recipe import Recipe, load_recipe
from tsuzuri.training.memory import RECIPES, recipe_of

FOLDER = Path(__file__).parents[2] / "recipes"
CARDS = {
    "gpt3-125m": "rtx4090",
    "gpt3-350m": "rtx4090",
    "gpt3-760m": "rtx4090",
    "gpt3-1.3b": "h100",
    "gpt3-2.7b": "h100",
}
"""The smallest card that each recipe is made for."""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recipes come with the source tree")


def planned(name: str, device: str) -> tuple[Recipe, Plan]:
    """A recipe and its plan, as `tsuzuri plan RECIPE.yaml --device DEVICE` makes it."""
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    config = config_of(recipe.model, recipe.tokenizer.vocab_size, recipe.train, {"device": device})
    model = model_config(config.size, vocab_size=config.vocab_size, overrides=recipe.model.overrides)
    return recipe, make_plan(config, model, prefer=recipe_of(recipe.train.optimizer))


@pytest.mark.parametrize("device", ["rtx4090", "h100", "h100x8"])
@pytest.mark.parametrize("name", CARDS)
def test_a_recipe_has_a_plan_that_fits(name: str, device: str) -> None:
    recipe, plan = planned(name, device)
    assert plan.fit.fits
    assert plan.fit.step.tokens == recipe.train.tokens_per_step
    assert plan.tokens / plan.fit.step.model.num_parameters == pytest.approx(TOKENS_A_PARAMETER, rel=0.01)
    page = "\n".join(plan_run(FOLDER / f"{name}.yaml", device=device))
    assert f"recipe      {plan.recipe}" in page
    if device != "rtx4090" or CARDS[name] == device:
        assert plan.recipe == recipe.train.optimizer.kind


@pytest.mark.parametrize("name", CARDS)
def test_the_rows_of_a_recipe_fit_the_card_it_is_made_for(name: str) -> None:
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    train, device = recipe.train, DEVICES[CARDS[name]]
    step = Step(
        model=model_config(recipe.model.size, vocab_size=recipe.tokenizer.vocab_size),
        recipe=RECIPES[train.optimizer.kind],
        device=device,
        precision="bfloat16",
        batch_tokens=train.tokens_per_step,
        length=train.sequence_length,
        rows=train.micro_batch_rows,
        recompute=train.parallel.recompute == "blocks",
    )
    assert predict(step).total < device.usable_bytes
    assert train.batch_rows % (8 * train.micro_batch_rows) == 0  # eight cards share them too
