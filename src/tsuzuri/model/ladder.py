"""One table of model sizes: adding one is a row, not a file.

GPT-1 is Radford et al. 2018; GPT-2 Radford et al. 2019, Table 2; GPT-3 Brown et al. 2020 (arXiv 2005.14165),
Table 2.1. Classic rows are GPT-2's architecture; GPT-3's rows are given in the modern one (its alternating
sparse attention is nowhere published as code), whose gated MLP is about 8/3 · hidden_size wide, rounded up
to a multiple of 64: about as many parameters as GPT-3's two matrices of width 4 · hidden_size, which an MLP
without a gate has here too. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError, closest
from tsuzuri.model.config import UNGATED, ModelConfig


@dataclass(frozen=True)
class Rung:
    """A row of the ladder."""

    layers: int
    width: int
    heads: int
    head_dim: int
    batch_tokens: int
    """Tokens a step (the paper's where it has one)."""
    learning_rate: float
    """AdamW's peak (the paper's where it has one)."""
    context: int = 2048
    family: Literal["modern", "classic"] = "modern"
    note: str = ""


# fmt: off
LADDER: dict[str, Rung] = {
    "tiny":        Rung(2, 64, 2, 32, 1024, 1e-2, context=128, note="for tests: seconds on any machine"),
    "quickstart":  Rung(4, 256, 4, 64, 4096, 6e-3, context=256,
                        note="for `make demo`: minutes on two old cores"),
    "15m":         Rung(6, 384, 6, 64, 8192, 3e-3, context=512),
    "30m":         Rung(8, 512, 8, 64, 16_384, 2e-3, context=512),
    "gpt1":        Rung(12, 768, 12, 64, 32_768, 2.5e-4, context=512, family="classic",
                        note="117M; GPT-1 normalises after the sub-layer, this row before it as GPT-2 does"),
    "gpt2-small":  Rung(12, 768, 12, 64, 524_288, 6e-4, context=1024, family="classic",
                        note="101,642,496 parameters at the first Japanese vocabulary of 20,573"),
    "gpt2-medium": Rung(24, 1024, 16, 64, 524_288, 3e-4, context=1024, family="classic",
                        note="324,426,752 parameters at that vocabulary"),
    "gpt2-large":  Rung(36, 1280, 20, 64, 524_288, 2.5e-4, context=1024, family="classic",
                        note="736,034,560 there; the Japanese \"large\" was published as 640 million"),
    "gpt2-xl":     Rung(48, 1600, 25, 64, 524_288, 2e-4, context=1024, family="classic"),
    "gpt3-125m":   Rung(12, 768, 12, 64, 524_288, 6.0e-4),
    "gpt3-350m":   Rung(24, 1024, 16, 64, 524_288, 3.0e-4),
    "gpt3-760m":   Rung(24, 1536, 16, 96, 524_288, 2.5e-4),
    "gpt3-1.3b":   Rung(24, 2048, 16, 128, 1_048_576, 2.0e-4,
                        note="the paper's XL row has 24 heads of 128, not 2048 together; 16 here"),
    "gpt3-2.7b":   Rung(32, 2560, 32, 80, 1_048_576, 1.6e-4),
    "gpt3-6.7b":   Rung(32, 4096, 32, 128, 2_097_152, 1.2e-4),
    "gpt3-13b":    Rung(40, 5120, 40, 128, 2_097_152, 1.0e-4,
                        note="the paper's row says width 5140, which 40 heads of 128 do not give; 5120 here"),
    "gpt3-175b":   Rung(96, 12_288, 96, 128, 3_145_728, 0.6e-4,
                        note="the paper's batch of 3.2M tokens, as 1536 rows of 2048"),
}
# fmt: on


def rung(size: str) -> Rung:
    """The row named `size`; RecipeError names the closest one."""
    if size not in LADDER:
        raise RecipeError(
            f"no model size {size!r}{closest(size, LADDER)}", hint=f"sizes: {', '.join(LADDER)}"
        )
    return LADDER[size]


def model_config(size: str, *, vocab_size: int, overrides: Mapping[str, Any] | None = None) -> ModelConfig:
    """The architecture of a row at a vocabulary, with some fields changed."""
    row = rung(size)
    classic = row.family == "classic"
    kind = (overrides or {}).get("model_type", "gpt2" if classic else "qwen3")
    fields: dict[str, Any] = {
        "model_type": kind,
        "vocab_size": vocab_size,
        "hidden_size": row.width,
        "intermediate_size": 4 * row.width if kind in UNGATED else -(-8 * row.width // 3 // 64) * 64,
        "num_hidden_layers": row.layers,
        "num_attention_heads": row.heads,
        "num_key_value_heads": row.heads,
        "head_dim": row.head_dim,
        "max_position_embeddings": row.context,
        "rms_norm_eps": 1e-5 if classic else 1e-6,
    }
    return parse_config(ModelConfig, {**fields, **(overrides or {})}, where=f"model.overrides of {size}")
