"""Builds that can be released: a real small tokenizer and model, in boxes that count made-up numbers."""

from __future__ import annotations

from pathlib import Path

import torch

import builds
from tsuzuri.core.files import write_text
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import save_model
from tsuzuri.release.build import build_release
from tsuzuri.release.config import ReleaseConfig
from tsuzuri.release.cost import Rates, no_rates
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.config import TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer

VOCABULARY = 512


def write_tokenizer(box: Path) -> None:
    """Write a tokenizer learnt from the made-up stories."""
    texts = [text for pair in builds.STORIES.values() for text in pair] * 4
    description, settings = learn_tokenizer(texts, TokenizerConfig(vocab_size=VOCABULARY, boundary="none"))
    write_text(box / "tokenizer.json", description)
    write_text(box / "tokenizer_config.json", settings)


def write_model(run: Path, **changes: object) -> None:
    """Write a random model of two layers, some fields of its configuration changed."""
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 128,
    }
    config = ModelConfig.model_validate({**shape, **changes})
    model = GPT(config, torch.Generator().manual_seed(1))
    save_model(model, run / "model", eos_id=Tokenizer.load(run.parent / "tokenizer").eos_id)


def release(out: Path, name: str = "release", rates: Rates = no_rates, **changes: object) -> Path:
    """The path of the release of the build in `out`."""
    folders = {stage: out / stage for stage in ("run", "tokenizer", "tokens", "documents", "evaluation")}
    config = ReleaseConfig.model_validate(
        {"name": "試作 30M", "supporters": ["山田 花子", "A. Smith"], **changes}
    )
    build_release(**folders, config=config, box=out / name, rates=rates)
    return out / name


def make_release_inputs(out: Path) -> Path:
    """`out`, holding every box up to the evaluation."""
    return builds.make_all(out, write_tokenizer=write_tokenizer, write_model=write_model)
