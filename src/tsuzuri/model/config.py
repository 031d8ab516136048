"""What a model is, in the field names of the architecture that it is published as. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from tsuzuri.core.config import Config

CHUNK_LOGITS = {"cpu": 16_777_216, "cuda": 268_435_456}
"""Logits that the loss holds at once, and once more their gradient: 64 MiB in float32 (products of fewer than
512 rows are slow on a CPU), 1 GiB on an accelerator."""

UNGATED = ("arcee", "gpt2")
"""The model_types whose MLP has two matrices instead of three."""


class RopeScaling(Config):
    """Rotary frequencies for a longer context than the first one, as Llama 3.1 has them (`llama3`).

    Waves that turn fewer than `low_freq_factor` times within the first context are `factor` times longer,
    those that turn more than `high_freq_factor` times are as they were, and others lie between.
    """

    factor: float = Field(default=8.0, gt=0)
    low_freq_factor: float = Field(default=1.0, gt=0)
    high_freq_factor: float = Field(default=4.0, gt=0)
    original_max_position_embeddings: int = Field(default=8192, ge=1)
    """The first context in tokens."""

    @model_validator(mode="after")
    def _check(self) -> RopeScaling:
        if self.high_freq_factor <= self.low_freq_factor:
            raise ValueError("high_freq_factor must exceed low_freq_factor")
        return self


class ModelConfig(Config):
    """A decoder. The names are those of LlamaConfig; GPT-2's own names are given on export."""

    model_type: Literal["llama", "qwen3", "arcee", "gpt2"] = "qwen3"
    """llama: RMSNorm, RoPE, gated MLP, no biases. qwen3: the same with QK-norm. arcee: llama without a gate.
    gpt2: LayerNorm, learned positions, no gate, biases."""
    vocab_size: int = Field(default=8192, ge=1)
    """Rows of the embedding: token ids are 0 … vocab_size − 1."""
    hidden_size: int = Field(default=256, ge=1)
    """Width of the residual stream."""
    intermediate_size: int = Field(default=704, ge=1)
    """Width inside the MLP."""
    hidden_act: Literal["silu", "gelu", "relu2"] = "silu"
    """What the MLP's inner values go through: x · sigmoid(x), exact GELU, or max(x, 0)², which is arcee's
    where unset; gpt2 has tanh-GELU alone. Transformers computes all of these; vLLM and llama.cpp compute only
    silu in llama and qwen3, and only relu2 in arcee."""
    num_hidden_layers: int = Field(default=4, ge=1)
    num_attention_heads: int = Field(default=4, ge=1)
    num_key_value_heads: int = Field(default=4, ge=1)
    """Fewer than num_attention_heads is grouped-query attention."""
    head_dim: int = Field(default=64, ge=2)
    max_position_embeddings: int = Field(default=1024, ge=1)
    """Context in tokens."""
    rms_norm_eps: float = Field(default=1e-6, gt=0)
    """Epsilon of every norm (GPT-2 publishes it as layer_norm_epsilon)."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base wavelength of the rotary embedding; unused by gpt2."""
    rope_scaling: RopeScaling | None = None
    """How its waves were made longer; unset: not at all."""
    tie_word_embeddings: bool = True
    """Whether the output head is the embedding itself."""
    initializer_range: float = Field(default=0.02, gt=0)
    """Standard deviation of the initial weights; over √(2·layers) where a sub-layer writes its output."""

    @model_validator(mode="before")
    @classmethod
    def _usual_activation(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("model_type") == "arcee":
            return {"hidden_act": "relu2", **values}
        return values

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads")
        if self.head_dim % 2:
            raise ValueError("head_dim must be even: rotary embeddings turn pairs")
        if self.model_type in ("llama", "arcee") and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"{self.model_type} needs hidden_size to be a multiple of num_attention_heads; qwen3 does not"
            )
        if self.model_type == "gpt2":
            if self.hidden_act != "silu":
                raise ValueError("gpt2 has tanh-GELU alone: leave hidden_act away, or take arcee")
            if self.num_key_value_heads != self.num_attention_heads:
                raise ValueError(
                    "gpt2 has no grouped-query attention: num_key_value_heads must equal num_attention_heads"
                )
            if self.head_dim * self.num_attention_heads != self.hidden_size:
                raise ValueError("gpt2 needs head_dim × num_attention_heads = hidden_size")
        return self

    @property
    def is_classic(self) -> bool:
        """Whether this is the GPT-2 decoder rather than the modern one."""
        return self.model_type == "gpt2"

    @property
    def is_gated(self) -> bool:
        """Whether the MLP has a third matrix, whose outputs scale those of another."""
        return self.model_type not in UNGATED

    @property
    def is_widely_known(self) -> bool:
        """Whether every engine that knows the model_type computes it with this activation."""
        return self.hidden_act == ("relu2" if self.model_type == "arcee" else "silu")

    @property
    def num_parameters(self) -> int:
        """Parameters, tied ones once."""
        d, f, bias = self.hidden_size, self.intermediate_size, int(self.is_classic)
        q, kv = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        norm = 2 * d if self.is_classic else d
        attention = d * (q + 2 * kv) + q * d + bias * (q + 2 * kv + d)
        attention += 2 * self.head_dim if self.model_type == "qwen3" else 0
        mlp = (3 if self.is_gated else 2) * d * f + bias * (f + d)
        embeddings = self.vocab_size * d * (2 - self.tie_word_embeddings)
        positions = self.max_position_embeddings * d if self.is_classic else 0
        return embeddings + positions + self.num_hidden_layers * (attention + mlp + 2 * norm) + norm

    @property
    def num_matrix_parameters(self) -> int:
        """Parameters that every token is multiplied with: the blocks' matrices and the head, not look-ups."""
        blocks = self.num_parameters - self.vocab_size * self.hidden_size * (2 - self.tie_word_embeddings)
        if self.is_classic:
            blocks -= self.max_position_embeddings * self.hidden_size
        return blocks + self.vocab_size * self.hidden_size


class ModelRecipe(Config):
    """The `model` section of a recipe: a row of the ladder and what differs from it."""

    size: str = "quickstart"
    """A name of `model.ladder.LADDER`."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Fields of ModelConfig that differ from the row, for example {num_hidden_layers: 6}."""
