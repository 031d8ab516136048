"""The decoder on an accelerator: `model/gpt.py` itself, with a cache whose rows are the slots.

All requests that write take one pass together, over every slot, whether it is in use or not, so that shapes
stay the same from step to step and a GPU can replay what it was told once (a CUDA graph for every `STRIDE` of
positions); each part of a prompt takes a pass of its own.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from tsuzuri.model.cache import KeyValueCache, LayerCache
from tsuzuri.model.gpt import GPT
from tsuzuri.serving.engines.ours.kernels import Integers

STRIDE = 256
"""The positions that a pass looks at are a multiple of it, or the whole context."""


class AimedLayer(LayerCache):
    """One layer's keys and values (slots, K, capacity, Dh), of which a pass reads and writes a part."""

    rows = slice(0)
    places: Tensor
    seen = 0

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write k and v (B, K, T, Dh) at the places (B, T) of the rows; keys and values (B, K, seen, Dh)."""
        keys, values = self.keys[self.rows], self.values[self.rows]
        places = self.places[:, None, :, None].expand_as(k)
        keys.scatter_(2, places, k)
        values.scatter_(2, places, v)
        return keys[:, :, : self.seen], values[:, :, : self.seen]


class AcceleratorDecoder:
    """`batching.Decoder` on the device of the model, in the dtype of its weights."""

    def __init__(self, model: GPT, *, slots: int) -> None:
        self.config = model.config
        self._model, self._context = model, model.config.max_position_embeddings
        self._device, self._dtype = model.head.device, model.head.dtype
        self._cache = KeyValueCache(
            model.config,
            rows=slots,
            capacity=self._context + 1,  # the last place is for what slots write that are not in use
            device=self._device,
            dtype=self._dtype,
        )
        self._layers = [AimedLayer(layer.keys, layer.values) for layer in self._cache.layers]
        self._cache.layers = list(self._layers)
        self._inputs = torch.zeros(3, slots, 1, dtype=torch.long, device=self._device)
        """Of a pass over all slots: their tokens, positions, and places in the cache."""
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    @torch.inference_mode()
    def states(self, ids: Integers, slots: Integers, positions: Integers) -> Tensor:
        """See `Decoder`."""
        table = torch.from_numpy(np.stack([ids, slots, positions]).astype(np.int64)).to(self._device)
        states = torch.empty(len(ids), self.config.hidden_size, device=self._device, dtype=self._dtype)
        borders = [0, *(np.flatnonzero(np.diff(slots)) + 1).tolist(), len(slots)]
        parts = list(pairwise(borders))
        single = [first for first, end in parts if end == first + 1]
        if single:
            tokens, rows, places = table if len(single) == len(ids) else table[:, single]
            states[single] = self._over_all(tokens, rows, places, int(positions[single].max()))
        for first, end in parts:
            if end > first + 1:
                row = slice(int(slots[first]), int(slots[first]) + 1)
                tokens, _, places = table[:, None, first:end]
                states[first:end] = self._over(
                    row, tokens, places, places, self._seen(int(positions[end - 1]))
                )[0]
        return states

    @torch.inference_mode()
    def logits(self, states: Tensor) -> Tensor:
        """See `Decoder`."""
        return self._model.logits(states).cpu()

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """See `Decoder`."""
        for layer in self._layers:
            for part in (layer.keys, layer.values):
                part[target, :, :length] = part[source, :, :length]

    def _over_all(self, tokens: Tensor, rows: Tensor, positions: Tensor, last: int) -> Tensor:
        """The states (N, D) of a token (N) at its position (N) of each of these slots (N)."""
        self._inputs[:2] = 0
        self._inputs[2] = self._context
        self._inputs[:, rows, 0] = torch.stack([tokens, positions, positions])
        seen = self._seen(last)
        if self._device.type != "cuda":
            return self._over_inputs(seen)[rows, 0]
        if seen not in self._graphs:
            self._graphs[seen] = self._captured(seen)
        graph, states = self._graphs[seen]
        graph.replay()
        return states[rows, 0]

    def _captured(self, seen: int) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """A pass over all slots that look at so many positions, and where its states will be."""
        self._over_inputs(seen)  # what is done only once is done here
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            states = self._over_inputs(seen)
        return graph, states

    def _over_inputs(self, seen: int) -> Tensor:
        tokens, positions, places = self._inputs
        return self._over(slice(None), tokens, positions, places, seen)

    def _over(self, rows: slice, tokens: Tensor, positions: Tensor, places: Tensor, seen: int) -> Tensor:
        """The states (B, T, D) of tokens (B, T) of these slots (B) that look at so many positions."""
        for layer in self._layers:
            layer.rows, layer.places, layer.seen = rows, places, seen
        mask = torch.arange(seen, device=self._device) <= positions[:, None, :, None]  # (B, 1, T, seen)
        states: Tensor = self._model(
            tokens, mask=mask, positions=positions, cache=self._cache, dtype=self._dtype
        )
        return states

    def _seen(self, last: int) -> int:
        """The positions that a pass looks at whose last one is `last`."""
        return min(-(-(last + 1) // STRIDE) * STRIDE, self._context)
