"""The log-probability of whole texts, and of each of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tsuzuri.generation.reading import batches
from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import IGNORE, token_losses


@dataclass(frozen=True)
class TokenScore:
    """One token of a text."""

    id: int
    text: str
    """What it stands for; a part of a character as <0xE3>, a piece that is no text by its name."""
    log_probability: float
    """Natural logarithm of its probability after everything before it."""


@dataclass(frozen=True)
class Score:
    """A text and its probability."""

    text: str
    log_probability: float
    """Natural logarithm (nats) of the probability of the whole text: the sum over its tokens."""
    tokens: tuple[TokenScore, ...]


@torch.inference_mode()
def token_log_probabilities(
    model: GPT, texts: Sequence[Sequence[int]], *, dtype: torch.dtype
) -> list[list[float]]:
    """For each text's ids, the log-probability (nats) of every token but the first, which is given."""
    results = [[0.0] * (len(tokens) - 1) for tokens in texts]
    device = model.head.device
    for batch, inputs in batches([tokens[:-1] for tokens in texts], model.config.max_position_embeddings):
        targets = torch.full_like(inputs, IGNORE)
        for row, window in enumerate(batch):
            following = texts[window.text][window.fresh + 1 : window.end + 1]
            targets[row, window.fresh - window.start : window.end - window.start] = torch.tensor(following)
        hidden = model(inputs.to(device), dtype=dtype).flatten(0, 1)
        losses = token_losses(hidden, model.head, targets.flatten().to(device)).view_as(inputs).cpu()
        for row, window in enumerate(batch):
            fresh = losses[row, window.fresh - window.start : window.end - window.start]
            results[window.text][window.fresh : window.end] = (-fresh).tolist()
    return results
