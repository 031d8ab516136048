"""One vector a text from the hidden states of any layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tsuzuri.core.errors import RecipeError
from tsuzuri.generation.reading import batches
from tsuzuri.model.gpt import GPT

Pool = Literal["last", "mean"]


@torch.inference_mode()
def text_vectors(
    model: GPT, texts: Sequence[Sequence[int]], *, opening: int, layer: int, pool: Pool, dtype: torch.dtype
) -> npt.NDArray[np.float32]:
    """(texts, D): of each text's ids, the vector of the last, or the mean over all after the first `opening`.

    A text with nothing after its opening is its opening's vector.
    """
    if pool not in ("last", "mean"):
        raise RecipeError(f"no pooling {pool!r}", hint="pool: last or mean")
    first = [len(tokens) - 1 if pool == "last" else min(opening, len(tokens) - 1) for tokens in texts]
    sums = np.zeros((len(texts), model.config.hidden_size), np.float64)
    for batch, inputs in batches(texts, model.config.max_position_embeddings):
        states = hidden_states(model, inputs.to(model.head.device), layer, dtype)
        for row, window in enumerate(batch):
            start = max(first[window.text], window.fresh) - window.start
            wanted = states[row, start : window.end - window.start]
            sums[window.text] += wanted.double().sum(0).cpu().numpy()
    counts = [len(tokens) - start for tokens, start in zip(texts, first, strict=True)]
    means: npt.NDArray[np.float32] = (sums / np.array(counts)[:, None]).astype(np.float32)
    return means


def hidden_states(model: GPT, tokens: Tensor, layer: int, dtype: torch.dtype) -> Tensor:
    """(B, T, D) after `layer`, counted as in Transformers: 0 the embeddings, −1 the last, normalised."""
    count = len(model.layers)
    if not -count - 1 <= layer <= count:
        raise RecipeError(f"no layer {layer}: this model has {count}", hint=f"layer: {-count - 1} … {count}")
    number = layer % (count + 1)
    if number == count:
        return model(tokens, dtype=dtype)  # type: ignore[no-any-return]
    with _watched(model.layers[number]) as seen:
        model(tokens, dtype=dtype)
    return seen[0]


@contextmanager
def _watched(block: nn.Module) -> Iterator[list[Tensor]]:
    """What the block is given while this lasts."""
    seen: list[Tensor] = []

    def see(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        seen.append(arguments[0])

    handle = block.register_forward_pre_hook(see)
    try:
        yield seen
    finally:
        handle.remove()
