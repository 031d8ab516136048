"""`tsuzuri plan`, of a recipe or what is asked for by hand: what fits, how long it takes, what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tsuzuri.chain.stages import require_torch
from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.lab.config import PlanConfig
from tsuzuri.lab.plan import HINT, config_of, describe, make_plan
from tsuzuri.lab.project import describe_project, load_project
from tsuzuri.model.ladder import model_config
from tsuzuri.recipe import load_recipe
from tsuzuri.training.memory import recipe_of


def plan_run(
    recipe: Path | None = None,
    project: Path | None = None,
    measure: bool = False,
    aot: str | None = None,
    aot_python: Path | None = None,
    **values: Any,
) -> Iterator[str]:
    """The plan of a run, by the values of a PlanConfig over those of a recipe; or that of a project.

    `aot` is the topology of TPUs that its step is then compiled for, in the environment of `aot_python`.
    Raises RecipeError for options that would have no effect.
    """
    if project:
        besides = {"RECIPE": recipe, "measure": measure, "aot": aot, "aot_python": aot_python, **values}
        _refuse(besides, "a project is planned by its file alone", "write them into the plan of a stage")
        yield from describe_project(load_project(project))
        return
    if not aot:
        _refuse({"aot_python": aot_python}, "nothing is compiled", "give --aot TOPOLOGY too")
    else:
        from tsuzuri.lab.aot.forms import plan_values

        values = plan_values(aot, values)
    wanted = load_recipe(recipe)
    if recipe:
        config = config_of(wanted.model, wanted.tokenizer.vocab_size, wanted.train, values)
        overrides = wanted.model.overrides if config.size == wanted.model.size else {}
        model = model_config(config.size, vocab_size=config.vocab_size, overrides=overrides)
        made = make_plan(config, model, prefer=recipe_of(wanted.train.optimizer))
    else:
        made = make_plan(parse_config(PlanConfig, values, where="plan", hint=HINT))
    yield from describe(made, wanted.train)
    if measure:
        require_torch()
        from tsuzuri.lab.measure import describe_measured

        yield from describe_measured(made)
    if aot:
        from tsuzuri.lab.aot.page import describe_aot

        yield from describe_aot(made, aot, aot_python)


def _refuse(options: Mapping[str, Any], why: str, hint: str) -> None:
    given = [
        name if name.isupper() else f"--{name.replace('_', '-')}" for name, value in options.items() if value
    ]
    if given:
        raise RecipeError(f"{why}: {', '.join(given)} would have no effect", hint=hint)
