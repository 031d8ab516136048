"""What gradients do to weights: the norm is clipped, then every optimizer makes its step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsuzuri.training.config import TrainConfig
from tsuzuri.training.optimizers import build_optimizers, state_tensors


class Update:
    """The optimizers of a model, and the one way in which they are used."""

    def __init__(self, model: nn.Module, config: TrainConfig, dtype: torch.dtype) -> None:
        self.model, self.gradient_clip = model, config.gradient_clip
        self.optimizers = build_optimizers(model, config.optimizer, dtype)

    def apply(self, learning_rate: float) -> Tensor:
        """Update the weights from their gradients, which are freed; the norm before it was clipped."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.gradient_clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group.get("rate_factor", 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Tensor]:
        """Weights and states by name, sharing their memory."""
        return state_tensors(self.model, self.optimizers)
