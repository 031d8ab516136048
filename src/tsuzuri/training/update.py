"""What gradients do to weights: the norm is clipped, then every optimizer makes its step.

A loss or gradient that is no number never reaches weights or states: what is to be done is decided on the
device, which nothing here waits for. With `optimizer.in_backward` the step of a weight is made as soon as its
gradient is there (Lv et al. 2023, LOMO, arXiv 2306.09782); the norm of the whole gradient is then known only
when all is over, so nothing is clipped, and a gradient that is no number stops the updates from its own on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tsuzuri.training.clipping import clip_gradient
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.offload import Masters
from tsuzuri.training.optimizers import build_optimizers, state_tensors
from tsuzuri.training.optimizers.rounding import Rounding


class Update:
    """The optimizers of a model, and the one way in which they are used."""

    def __init__(self, model: nn.Module, config: TrainConfig, dtype: torch.dtype) -> None:
        self.config, self.gradient_clip = config.optimizer, config.gradient_clip
        self.parameters: dict[str, Tensor] = dict(model.named_parameters())
        self.device = next(iter(self.parameters.values())).device
        self.masters: Masters | None = None
        if self.config.offload:
            self.masters = Masters(self.parameters)
            dtype = dtype if self.device.type == "cpu" else torch.float32  # of the host nothing is known
        updated = self.masters.weights if self.masters else self.parameters
        self.rounding = Rounding(config.seed, updated.values())
        self.optimizers = build_optimizers(updated, self.config, dtype, self.rounding)
        self.finite = torch.ones((), dtype=torch.bool, device=self.device)
        self.squared_norms: list[Tensor] = []
        if self.config.in_backward:
            self._hook(model)

    def begin(self, learning_rate: float, finite: Tensor) -> None:
        """What holds for the update of the backward pass that comes now."""
        self._set_rate(learning_rate)
        self.finite, self.squared_norms = finite, []

    def apply(self, learning_rate: float, sound: Tensor, largest_norm: float = math.inf) -> Tensor:
        """Update the weights from their gradients, which are freed; the norm () before it was clipped.

        Where not `sound` (), or where the norm is no number below `largest_norm`, neither weights nor states
        change.
        """
        if self.config.in_backward:
            self.rounding.count += 1
            return torch.stack(self.squared_norms).sum().sqrt()
        norm = clip_gradient(self.parameters.values(), self.gradient_clip)
        self._set_rate(learning_rate)
        self._step(sound & (norm < largest_norm))
        for parameter in self.parameters.values():
            parameter.grad = None
        self.rounding.count += 1
        return norm

    def state(self) -> dict[str, Tensor]:
        """Weights and states by name, sharing their memory."""
        updated = self.masters.weights if self.masters else self.parameters
        tensors = state_tensors(updated, self.optimizers)
        if self.masters:
            masters = {name.replace("model.", "master.", 1): t for name, t in tensors.items()}
            tensors = {f"model.{name}": p.detach() for name, p in self.parameters.items()} | masters
        if self.config.weights == "bfloat16" and not self.masters:
            tensors["optimizer.updates"] = self.rounding.updates
        return tensors

    def _set_rate(self, learning_rate: float) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group.get("rate_factor", 1.0)

    def _step(self, finite: Tensor) -> None:
        found_inf = (~finite).float()
        if self.masters:
            found_inf = self.masters.take_gradients(found_inf)
        for optimizer in self.optimizers:
            optimizer.found_inf = found_inf  # type: ignore[attr-defined]  # torch's name, for its fused ones
            optimizer.step()
        if self.masters:
            self.masters.give_weights()

    def _hook(self, model: nn.Module) -> None:
        """Let every parameter be updated when its gradient is there."""

        def update(parameter: Tensor) -> None:
            assert parameter.grad is not None
            squared = torch.linalg.vector_norm(parameter.grad, dtype=torch.float32).square()
            self.squared_norms.append(squared)
            self.finite = self.finite & squared.isfinite()
            self._step(self.finite)  # of all parameters this one alone has a gradient
            parameter.grad = None

        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(update)  # type: ignore[no-untyped-call]
