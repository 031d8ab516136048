"""The recipe: one typed file that says how a model comes about, put together from each room's own
configuration.

A recipe holds only what differs from the defaults, or from the recipe that it names as its `base`. It imports
no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tsuzuri.core.config import Config, apply_overrides, load_yaml, parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.data.config import PackConfig
from tsuzuri.evaluate.config import EvaluateConfig
from tsuzuri.model.config import ModelRecipe
from tsuzuri.release.config import ReleaseConfig
from tsuzuri.specialists.recipe import SpecialistsRecipe
from tsuzuri.tokenizer.config import TokenizerConfig
from tsuzuri.training.config import TrainConfig


class Recipe(Config):
    """The life of a model, section by section in the order of the work."""

    corpus: CorpusConfig = CorpusConfig()
    """Sources → documents."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    """Documents → tokenizer."""
    pack: PackConfig = PackConfig()
    """Documents → token shards."""
    model: ModelRecipe = ModelRecipe()
    """The row of the ladder."""
    train: TrainConfig = TrainConfig()
    """Token shards → weights."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Weights → scores and samples; its prompts and sampling also serve during training."""
    release: ReleaseConfig = ReleaseConfig()
    """Everything → a folder that anybody can load."""
    specialists: SpecialistsRecipe = SpecialistsRecipe()
    """Of `tsuzuri specialists train`: one seed → a model for each domain."""


def load_recipe(path: Path | None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file (without one: all defaults) with every `key=value` of `overrides` set."""
    values = _with_base(path) if path else {}
    return parse_config(Recipe, apply_overrides(values, overrides), where=str(path or "--set"))


def _with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values in a file over those of its `base`, whose path starts from the file."""
    if path in above:
        raise RecipeError(f"{path} is its own base", hint="let the last recipe of the chain name no base")
    own = load_yaml(path)
    base = own.pop("base", None)
    if base is None:
        return own
    if not isinstance(base, str):
        raise RecipeError(f"the base of {path} is no path: {base!r}", hint="for example base: general.yaml")
    return _over(_with_base(path.parent / base, (*above, path)), own)


def _over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The values of both, section by section, those of `own` where both have one."""
    both = {
        key: _over(base[key], value)
        for key, value in own.items()
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
    }
    return {**base, **own, **both}
