"""Keys and values of the positions already read, in fixed buffers, so that decoding allocates nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tsuzuri.model.config import ModelConfig


class LayerCache:
    """Keys and values of one layer: buffers (B, K, capacity, Dh), filled up to position `length`."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values
        self.length = 0

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append k and v (B, K, T, Dh); all keys and values so far (B, K, S, Dh)."""
        end = self.length + k.shape[2]
        assert end <= self.keys.shape[2], "the cache is full: its owner must make room first"
        self.keys[:, :, self.length : end] = k
        self.values[:, :, self.length : end] = v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


class KeyValueCache:
    """One LayerCache a layer, for `rows` sequences of at most `capacity` positions."""

    def __init__(
        self, config: ModelConfig, *, rows: int, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.capacity = capacity
        shape = (rows, config.num_key_value_heads, capacity, config.head_dim)
        self.layers = [
            LayerCache(
                torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype)
            )
            for _ in range(config.num_hidden_layers)
        ]

    @property
    def length(self) -> int:
        """Positions filled."""
        return self.layers[0].length

    def mask(self, positions: Tensor) -> Tensor:
        """(B or 1, 1, T, S) bool for new tokens at `positions` (B or 1, T): each sees up to itself."""
        seen = torch.arange(self.length + positions.shape[1], device=positions.device)
        return seen[None, None, None, :] <= positions[:, None, :, None]

    def truncate(self, length: int) -> None:
        """Forget every position from `length` on."""
        for layer in self.layers:
            layer.length = min(layer.length, length)

    def select_rows(self, rows: Tensor) -> None:
        """Let the sequences be those of the rows (N,) numbered so far: fewer, more, or in another order."""
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
