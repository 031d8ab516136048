"""The recipe: one typed file that says how a model comes about, put together from each room's own
configuration.

A recipe holds only what differs from the defaults. It imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tsuzuri.core.config import Config, apply_overrides, load_yaml, parse_config
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.data.config import PackConfig
from tsuzuri.evaluate.config import EvaluateConfig
from tsuzuri.model.config import ModelRecipe
from tsuzuri.release.config import ReleaseConfig
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


def load_recipe(path: Path | None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file (without one: all defaults) with every `key=value` of `overrides` set."""
    values = load_yaml(path) if path else {}
    return parse_config(Recipe, apply_overrides(values, overrides), where=str(path or "--set"))
