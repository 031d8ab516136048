"""Every recipe that comes with the project can be read and says what it would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.build import describe
from tsuzuri.recipe import load_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))

pytestmark = pytest.mark.skipif(not RECIPES, reason="the recipes come with the source tree")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_described(path: Path) -> None:
    recipe = load_recipe(path)
    lines = list(describe(recipe))
    assert f"{recipe.train.steps:,} steps" in "\n".join(lines)
    assert recipe.release.name == f"tsuzuri-{path.stem}"
