"""Every recipe that comes with the project can be read and says what it would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.build import describe
from tsuzuri.core.errors import TsuzuriError
from tsuzuri.recipe import load_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))

pytestmark = pytest.mark.skipif(not RECIPES, reason="the recipes come with the source tree")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_described(path: Path) -> None:
    recipe = load_recipe(path)
    lines = list(describe(recipe))
    assert f"{recipe.train.steps:,} steps" in "\n".join(lines)
    assert recipe.release.name == f"tsuzuri-{path.stem}"


def test_a_recipe_stands_on_its_base(tmp_path: Path) -> None:
    (tmp_path / "lower.yaml").write_text("train: {steps: 700, seed: 3}\nrelease: {name: lower}\n")
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "upper.yaml").write_text("base: ../lower.yaml\ntrain: {steps: 800}\n")
    (folder / "top.yaml").write_text("base: upper.yaml\nrelease: {name: top}\n")
    recipe = load_recipe(folder / "top.yaml", ["train.sequence_length=128"])
    assert (recipe.train.steps, recipe.train.seed, recipe.release.name) == (800, 3, "top")


@pytest.mark.parametrize(
    ("base", "message"),
    [("upper.yaml", "its own base"), ("lower.yaml", "its own base"), ("none.yaml", "none"), ("3", "no path")],
)
def test_a_base_that_cannot_be_is_named(tmp_path: Path, base: str, message: str) -> None:
    (tmp_path / "lower.yaml").write_text("base: upper.yaml\n")
    (tmp_path / "upper.yaml").write_text(f"base: {base}\n")
    with pytest.raises(TsuzuriError, match=message) as caught:
        load_recipe(tmp_path / "upper.yaml")
    assert caught.value.hint
