"""The whole decoder, on one device, in one file. Parallelism, compilation and precision come from outside.

Two families share the block `x + attention(norm(x))`, `x + mlp(norm(x))`:
- modern (llama, qwen3, arcee): RMSNorm (Zhang & Sennrich 2019), rotary positions (Su et al. 2021, the
  half-rotation of the Hugging Face weights), SwiGLU (Shazeer 2020), grouped-query attention (Ainslie et al.
  2023), no biases; qwen3 adds an RMSNorm on each head's queries and keys before rotation (QK-norm, Henry et
  al. 2020); arcee has squared ReLU without a gate in SwiGLU's place (So et al. 2021).
- classic (gpt2): LayerNorm before each sub-layer, learned positions, tanh-GELU, biases (Radford et al. 2019).
Deviations: none in the function computed. Weights are kept in float32 and cast to the activations' dtype
where they are used (`Linear`), so one model serves every precision; norms and rotations are in float32.

Shapes: B rows, T positions of this call, S positions attended to (S = T without a cache), D hidden_size,
H query heads, K key-value heads, Dh head_dim, F intermediate_size, V vocab_size.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsuzuri.model.attention import Mask, attend
from tsuzuri.model.cache import KeyValueCache, LayerCache
from tsuzuri.model.config import ModelConfig, RopeScaling


class Linear(nn.Linear):
    """x (…, in) → (…, out), in the dtype of x."""

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.linear(input, self.weight.to(input.dtype), bias)


class RMSNorm(nn.Module):
    """x (…, D) scaled to unit root mean square in float32, times a learned weight."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        return (self.weight * y).to(x.dtype)


class LayerNorm(nn.LayerNorm):
    """x (…, D) normalised in float32."""

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight.float(), self.bias.float()
        return F.layer_norm(input.float(), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


def rotary_tables(config: ModelConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (max_position_embeddings, Dh) in float32; frequency j and j + Dh/2 are the same."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device=device) / config.head_dim
    frequencies = 1.0 / config.rope_theta**exponents  # radians a position
    if config.rope_scaling is not None:
        frequencies = lowered(frequencies, config.rope_scaling)
    angles = torch.arange(config.max_position_embeddings, dtype=torch.float32, device=device)[:, None]
    angles = angles * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def lowered(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    """Llama 3.1's frequencies (Dh/2,), in Transformers' order of operations: far positions show rounding."""
    turns = scaling.original_max_position_embeddings / (2 * math.pi / frequencies)
    span = scaling.high_freq_factor - scaling.low_freq_factor
    kept = ((turns - scaling.low_freq_factor) / span).clamp(0, 1)
    return (1 - kept) * frequencies / scaling.factor + kept * frequencies


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, T, heads, Dh) turned by position; cos and sin (B or 1, T, 1, Dh)."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return (x.float() * cos + turned * sin).to(x.dtype)


class Attention(nn.Module):
    """Multi-head self-attention, (B, T, D) → (B, T, D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        bias, inner = config.is_classic, config.num_attention_heads * config.head_dim
        self.q_proj = Linear(config.hidden_size, inner, bias=bias)
        self.k_proj = Linear(config.hidden_size, config.num_key_value_heads * config.head_dim, bias=bias)
        self.v_proj = Linear(config.hidden_size, config.num_key_value_heads * config.head_dim, bias=bias)
        self.o_proj = Linear(inner, config.hidden_size, bias=bias)
        has_qk_norm = config.model_type == "qwen3"
        self.q_norm = RMSNorm(config.head_dim, config.rms_norm_eps) if has_qk_norm else nn.Identity()
        self.k_norm = RMSNorm(config.head_dim, config.rms_norm_eps) if has_qk_norm else nn.Identity()

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, mask: Mask, cache: LayerCache | None
    ) -> Tensor:
        B, T, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(B, T, -1, self.head_dim))  # (B, T, H, Dh)
        k = self.k_norm(self.k_proj(x).view(B, T, -1, self.head_dim))  # (B, T, K, Dh)
        v = self.v_proj(x).view(B, T, -1, self.head_dim)  # (B, T, K, Dh)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(k, v)  # (B, K, S, Dh)
        y = attend(q, k, v, mask)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1))  # type: ignore[no-any-return]


def squared_relu(x: Tensor) -> Tensor:
    """max(x, 0)²."""
    return F.relu(x).square()


def tanh_gelu(x: Tensor) -> Tensor:
    """GELU as GPT-2 has it."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "relu2": squared_relu,
}


class GatedMLP(nn.Module):
    """SwiGLU, or another activation in its place, (B, T, D) → (B, T, D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.hidden_act]
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class PlainMLP(nn.Module):
    """Linear, activation, linear, (B, T, D) → (B, T, D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = tanh_gelu if config.is_classic else ACTIVATIONS[config.hidden_act]
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.is_classic)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, bias=config.is_classic)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.activation(self.up_proj(x)))  # type: ignore[no-any-return]


def _norm(config: ModelConfig) -> nn.Module:
    kind = LayerNorm if config.is_classic else RMSNorm
    return kind(config.hidden_size, eps=config.rms_norm_eps)


class Block(nn.Module):
    """One layer of the residual stream, (B, T, D) → (B, T, D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = _norm(config)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = _norm(config)
        self.mlp = GatedMLP(config) if config.is_gated else PlainMLP(config)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, mask: Mask, cache: LayerCache | None = None
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotary, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))  # type: ignore[no-any-return]


class GPT(nn.Module):
    """Token ids (B, T) → hidden states (B, T, D); `logits` and `model.loss` make predictions of them.

    On the device "meta" a model has no weights: `to_empty` and a state dict give it some. Elsewhere they are
    drawn from `generator` (or torch's own): the same for the same seed, whatever the precision.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        if config.is_classic:
            self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = _norm(config)
        if not config.tie_word_embeddings:
            self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        self._tables: tuple[Tensor, Tensor] | None = None
        if self.embed_tokens.weight.device.type != "meta":
            self.init_weights(generator)

    @property
    def head(self) -> Tensor:
        """The output matrix (V, D): the embedding itself where it is tied."""
        return self.embed_tokens.weight if self.config.tie_word_embeddings else self.lm_head.weight

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights, one after another."""
        for name, parameter in self.named_parameters():
            self.init_weight(name, parameter, generator)

    def init_weight(self, name: str, weight: Tensor, generator: torch.Generator | None) -> None:
        """Draw the weight of that name: normal, smaller where a sub-layer writes its output (GPT-2, §2.3)."""
        if weight.dim() < 2:
            nn.init.constant_(weight, 1.0 if name.endswith("norm.weight") else 0.0)
        else:
            into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            scale = 1 / math.sqrt(2 * self.config.num_hidden_layers) if into_residual else 1.0
            std = self.config.initializer_range * scale
            nn.init.normal_(weight, std=std, generator=generator)

    def forward(
        self,
        tokens: Tensor,
        *,
        mask: Mask = None,
        positions: Tensor | None = None,
        cache: KeyValueCache | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Normalised hidden states (B, T, D) of the last layer, computed in `dtype`.

        `positions` (B or 1, T) default to 0 … T − 1, or to those after what the cache holds.
        """
        if positions is None:
            start = cache.length if cache else 0
            positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)[None]
        x = self.embed_tokens(tokens).to(dtype)  # (B, T, D)
        rotary = None
        if self.config.is_classic:
            x = x + self.embed_positions(positions).to(dtype)
        else:
            cos, sin = self.rotary_tables(tokens.device)
            rotary = (cos[positions][:, :, None], sin[positions][:, :, None])  # (B or 1, T, 1, Dh)
        if cache is not None and mask is None:
            mask = cache.mask(positions)
        for index, block in enumerate(self.layers):
            x = block(x, rotary, mask, cache.layers[index] if cache else None)
        return self.norm(x)  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (…, D) → logits (…, V) in float32."""
        return F.linear(hidden, self.head.to(hidden.dtype)).float()

    def rotary_tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The cosines and sines of `rotary_tables`, made once for each device."""
        if self._tables is None or self._tables[0].device != device:
            with torch.inference_mode(False):  # a model that has written a sample first can still be trained
                self._tables = rotary_tables(self.config, device)
        return self._tables
