"""Every recipe that comes with the project can be read and says what it would do."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import runs
from tsuzuri.chain.build import describe
from tsuzuri.core.errors import TsuzuriError
from tsuzuri.model.ladder import model_config, rung
from tsuzuri.recipe import load_recipe
from tsuzuri.training.loop import train

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))

REDUCED_WIDTH = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 32,
}
REDUCED_RUN = {
    "steps": 1,
    "batch_rows": 4,
    "micro_batch_rows": 2,
    "sequence_length": 32,
    "schedule.warmup_steps": 0,
    "device": "cpu",
    "precision": "float32",
    "compile": "never",
}

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


@pytest.mark.parametrize(
    "path", [path for path in RECIPES if path.stem.startswith("gpt3-")], ids=lambda path: path.stem
)
def test_a_step_of_a_shape_of_gpt3_at_reduced_width(path: Path, tmp_path: Path) -> None:
    """All of its layers, its optimizer and its schedule, on tokens made up."""
    recipe = load_recipe(path, [f"train.{key}={value}" for key, value in REDUCED_RUN.items()])
    model = model_config(recipe.model.size, vocab_size=runs.VOCABULARY, overrides=REDUCED_WIDTH)
    inputs = runs.write_inputs(tmp_path)
    box = tmp_path / "run"
    manifest = train(
        model=model, config=recipe.train, tokens=inputs / "tokens", tokenizer=inputs / "tokenizer", box=box
    )
    assert manifest.counts["steps"] == 1
    assert model.num_hidden_layers == rung(recipe.model.size).layers
    assert runs.losses(box) == [pytest.approx(math.log(runs.VOCABULARY), rel=0.05)]
    assert runs.lines(box)[0]["learning_rate"] == recipe.train.optimizer.learning_rate
