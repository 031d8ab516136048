"""Tiny models whose every parameter is random: norms of one and biases of nought would hide mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tsuzuri.model.config import ModelConfig, RopeScaling
from tsuzuri.model.gpt import GPT

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 12,
    "max_position_embeddings": 40,
}

CONFIGS = {
    "llama": ModelConfig(model_type="llama", **SHAPE),
    "llama-grouped": ModelConfig(
        model_type="llama",
        **{**SHAPE, "num_key_value_heads": 2},
        rope_theta=500_000,
        tie_word_embeddings=False,
        rms_norm_eps=1e-5,
    ),
    "llama-scaled": ModelConfig(
        model_type="llama",
        **SHAPE,
        rope_theta=1_000,
        rope_scaling=RopeScaling(factor=4, high_freq_factor=2, original_max_position_embeddings=40),
    ),
    "qwen3": ModelConfig(model_type="qwen3", **SHAPE),
    "qwen3-wide-heads": ModelConfig(
        model_type="qwen3",
        **{**SHAPE, "num_key_value_heads": 1, "head_dim": 20},
        rope_theta=1_000_000,
        tie_word_embeddings=False,
    ),
    "qwen3-gelu": ModelConfig(model_type="qwen3", **SHAPE, hidden_act="gelu"),
    "llama-relu2": ModelConfig(model_type="llama", **SHAPE, hidden_act="relu2"),
    "arcee": ModelConfig(model_type="arcee", **SHAPE),
    "arcee-gelu": ModelConfig(
        model_type="arcee",
        **{**SHAPE, "num_key_value_heads": 2},
        hidden_act="gelu",
        tie_word_embeddings=False,
    ),
    "gpt2": ModelConfig(model_type="gpt2", **SHAPE, rms_norm_eps=1e-5),
    "gpt2-untied": ModelConfig(
        model_type="gpt2", **{**SHAPE, "intermediate_size": 192}, rms_norm_eps=1e-3, tie_word_embeddings=False
    ),
}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return CONFIGS[request.param]


@pytest.fixture
def random_model() -> Callable[[ModelConfig], GPT]:
    def build(config: ModelConfig) -> GPT:
        generator = torch.Generator().manual_seed(7)
        model = GPT(config, generator)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.2, generator=generator)
        return model

    return build


@pytest.fixture
def tokens() -> torch.Tensor:
    """(2, 40): the whole context of the tiny models."""
    generator = torch.Generator().manual_seed(11)
    return torch.randint(0, SHAPE["vocab_size"], (2, SHAPE["max_position_embeddings"]), generator=generator)
