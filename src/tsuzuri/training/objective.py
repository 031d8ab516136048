"""A model with its loss in one module: what shards it from outside gathers the head for the loss too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Partial

from tsuzuri.model.attention import Mask
from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import Gradient, cross_entropy_sum, softmax_gradient


class Objective(nn.Module):
    """Tokens and targets (B, T) → the summed negative log-likelihood (nats) of the targets."""

    def __init__(self, model: GPT, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype
        self.gradient: Gradient = softmax_gradient

    def forward(self, inputs: Tensor, targets: Tensor, mask: Mask, positions: Tensor | None) -> Tensor:
        hidden = self.model(inputs, mask=mask, positions=positions, dtype=self.dtype)
        head = self.model.head
        if isinstance(head, DTensor):  # a part of the vocabulary, whose part of the gradient is to be summed
            hidden, head = hidden.to_local(grad_placements=[Partial()]), head.to_local()
        return cross_entropy_sum(hidden.flatten(0, 1), head, targets.flatten(), self.gradient)
