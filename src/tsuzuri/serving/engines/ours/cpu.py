"""The decoder on a CPU: four matrix products a layer, and between them `kernels`.

The function is that of `model/gpt.py`. What differs is how it is laid out: one matrix for queries, keys and
values and one for gate and value of the MLP; the tokens of a step, of whatever slots and positions, are rows
of the same products; keys and values go straight into the slots' cache; nothing but the products' results is
allocated in a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT, Attention, Block, GatedMLP
from tsuzuri.serving.engines.ours import kernels, vnni
from tsuzuri.serving.engines.ours.kernels import Floats, Integers, LayerCache, Norm, Rows, Tokens, Turning
from tsuzuri.serving.engines.ours.linear import Linear, kind_of

NOTHING: Floats = np.empty(0, np.float32)
ROOM_STRIDE = 64
"""Rows by which the room for a step grows."""
NO_ROWS = Rows(np.empty((0, 0), np.float32), NOTHING)


@dataclass(frozen=True)
class Layer:
    """One block's weights and its part of the cache."""

    qkv: Linear
    out: Linear
    up: Linear
    down: Linear
    input_norm: Norm
    output_norm: Norm
    turning: Turning
    out_bias: Floats
    up_bias: Floats
    down_bias: Floats
    cache: LayerCache


class Room:
    """Memory for the largest step so far."""

    def __init__(self, config: ModelConfig, rows: int) -> None:
        self.rows = rows
        self.x: Floats = np.empty((rows, config.hidden_size), np.float32)
        self.normed = torch.empty(rows, config.hidden_size)
        self.mixed = torch.empty(rows, config.num_attention_heads * config.head_dim)
        self.inner = torch.empty(rows, config.intermediate_size)


class Workspace:
    """The first rows of a room, for a step of N tokens; torch and numpy see the same memory."""

    def __init__(self, room: Room, rows: int) -> None:
        def part(values: Tensor) -> tuple[Rows, Tensor]:
            return Rows(values[:rows].numpy(), np.ones(rows, np.float32)), values[:rows]

        self.x = room.x[:rows]
        self.normed, self.normed_tensor = part(room.normed)
        self.mixed, self.mixed_tensor = part(room.mixed)
        self.inner, self.inner_tensor = part(room.inner)


class CpuDecoder:
    """Reads tokens into slots of `capacity` positions and says what follows them."""

    def __init__(self, model: GPT, *, precision: str, slots: int) -> None:
        self.config = config = model.config
        self.slots, self.capacity = slots, config.max_position_embeddings
        self._linear = kind_of(precision)
        self._is_scaled = precision == "int8"
        has_bytes = self._is_scaled and vnni.is_supported() and config.head_dim % vnni.VECTOR == 0
        self._attention = vnni.attention if has_bytes else kernels.attention
        table_dtype = torch.float16 if self._is_scaled else torch.float32
        self._embedding = model.embed_tokens.weight.detach().to(table_dtype).numpy()
        self._positions = _array(model.get_parameter("embed_positions.weight")) if config.is_classic else None
        cos, sin = (_array(table[:, : config.head_dim // 2]) for table in self._angles(model))
        self._layers = [self._layer(block, cos, sin) for block in model.layers]
        self._norm = _norm(model.norm, config)
        self._head = self._linear(model.head.detach())
        self._kind = _activation(config)
        self._room = Room(config, 0)
        self._workspaces: dict[int, Workspace] = {}

    @torch.inference_mode()
    def states(self, ids: Integers, slots: Integers, positions: Integers) -> Tensor:
        """Normalised hidden states (N, D) of tokens (N,) at positions (N,) of slots (N,), which they fill.

        The tensor is the decoder's own until the next call.
        """
        work = self._workspace(len(ids))
        tokens = Tokens(slots, positions)
        work.x[:] = self._embedding[ids]
        if self._positions is not None:
            work.x += self._positions[positions]
        added, added_bias, is_scaled = NO_ROWS, NOTHING, self._is_scaled
        for layer in self._layers:
            kernels.add_and_norm(work.x, added, added_bias, layer.input_norm, work.normed, is_scaled)
            qkv = Rows(layer.qkv(work.normed_tensor).numpy(), work.normed.scale)
            self._attention(qkv, tokens, layer.turning, layer.cache, work.mixed, is_scaled)
            added = Rows(layer.out(work.mixed_tensor).numpy(), work.mixed.scale)
            kernels.add_and_norm(work.x, added, layer.out_bias, layer.output_norm, work.normed, is_scaled)
            inner = Rows(layer.up(work.normed_tensor).numpy(), work.normed.scale)
            kernels.activate(inner, layer.up_bias, self._kind, work.inner, is_scaled)
            added = Rows(layer.down(work.inner_tensor).numpy(), work.inner.scale)
            added_bias = layer.down_bias
        kernels.add_and_norm(work.x, added, added_bias, self._norm, work.normed, False)
        return work.normed_tensor

    @torch.inference_mode()
    def logits(self, states: Tensor) -> Tensor:
        """Hidden states (R, D) → logits (R, V) in float32."""
        if not self._is_scaled:
            return self._head(states)
        scale = states.abs().amax(1, keepdim=True).clamp_min_(1e-12)
        return self._head(states / scale).mul_(scale)

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the slot `target` begin with the first `length` positions of the slot `source`."""
        for layer in self._layers:
            for part in layer.cache[:4]:
                part[target, :, :length] = part[source, :, :length]

    @property
    def weight_bytes(self) -> int:
        """What every step reads of the weights."""
        matrices = [m for layer in self._layers for m in (layer.qkv, layer.out, layer.up, layer.down)]
        return self._head.nbytes + sum(matrix.nbytes for matrix in matrices)

    def cache_bytes(self, positions: int) -> int:
        """What a step reads of the cache for a token that sees so many positions."""
        cache = self._layers[0].cache
        head = cache.keys.itemsize * self.config.head_dim + (4 if cache.most else 0)
        return 2 * len(self._layers) * self.config.num_key_value_heads * head * positions

    def _workspace(self, rows: int) -> Workspace:
        if rows > self._room.rows:
            self._room = Room(self.config, -(-rows // ROOM_STRIDE) * ROOM_STRIDE)
            self._workspaces.clear()
        if rows not in self._workspaces:
            self._workspaces[rows] = Workspace(self._room, rows)
        return self._workspaces[rows]

    def _angles(self, model: GPT) -> tuple[Tensor, Tensor]:
        if self.config.is_classic:
            return torch.empty(1, 0), torch.empty(1, 0)
        return model.rotary_tables(torch.device("cpu"))

    def _layer(self, block: Any, cos: Floats, sin: Floats) -> Layer:
        assert isinstance(block, Block)
        attention, mlp = block.self_attn, block.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        gates = (mlp.gate_proj, mlp.up_proj) if isinstance(mlp, GatedMLP) else (mlp.up_proj,)
        return Layer(
            qkv=self._linear(torch.cat([matrix.weight.detach() for matrix in projections])),
            out=self._linear(attention.o_proj.weight.detach()),
            up=self._linear(torch.cat([matrix.weight.detach() for matrix in gates])),
            down=self._linear(mlp.down_proj.weight.detach()),
            input_norm=_norm(block.input_layernorm, self.config),
            output_norm=_norm(block.post_attention_layernorm, self.config),
            turning=_turning(attention, self.config, cos, sin),
            out_bias=_bias(attention.o_proj),
            up_bias=_bias(mlp.up_proj),
            down_bias=_bias(mlp.down_proj),
            cache=layer_cache(self.config, self.slots, is_int8=self._is_scaled),
        )


def layer_cache(config: ModelConfig, slots: int, *, is_int8: bool) -> LayerCache:
    """An empty cache of one layer. Its memory is taken as it is written."""
    capacity = -(-config.max_position_embeddings // vnni.FOLD) * vnni.FOLD  # which are read together
    shape = (slots, config.num_key_value_heads, capacity, config.head_dim)
    dtype = np.int8 if is_int8 else np.float32
    keys, values = np.empty(shape, dtype), np.empty(shape, dtype)
    key_scales, value_scales = np.empty(shape[:3], np.float32), np.empty(shape[:3], np.float32)
    return LayerCache(keys, values, key_scales, value_scales, np.float32(127 if is_int8 else 0))


def slot_bytes(config: ModelConfig, *, is_int8: bool) -> int:
    """What one slot takes of memory when it is full."""
    head = config.head_dim + 4 if is_int8 else 4 * config.head_dim + 4
    layers = 2 * config.num_hidden_layers * config.num_key_value_heads
    return layers * head * config.max_position_embeddings


def _turning(attention: Attention, config: ModelConfig, cos: Floats, sin: Floats) -> Turning:
    biases = [_bias(matrix) for matrix in (attention.q_proj, attention.k_proj, attention.v_proj)]
    has_norm = config.model_type == "qwen3"
    norms = [_array(norm.weight) if has_norm else NOTHING for norm in (attention.q_norm, attention.k_norm)]
    return Turning(np.concatenate(biases), norms[0], norms[1], np.float32(config.rms_norm_eps), cos, sin)


def _norm(norm: Any, config: ModelConfig) -> Norm:
    return Norm(_array(norm.weight), _bias(norm), np.float32(config.rms_norm_eps))


def _bias(module: Any) -> Floats:
    bias = getattr(module, "bias", None)
    return NOTHING if bias is None else _array(bias)


def _array(tensor: Any) -> Floats:
    array: Floats = tensor.detach().float().contiguous().numpy()
    return array


def _activation(config: ModelConfig) -> int:
    if config.is_classic:
        return kernels.TANH_GELU
    return {"silu": kernels.SILU, "gelu": kernels.GELU, "relu2": kernels.SQUARED_RELU}[config.hidden_act]
