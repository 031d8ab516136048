"""Weights in float32 in the host's memory, of which those on the device are copies.

The gradients go to the host, its processor makes the optimizer's step on the masters there, and the new
weights go back (Ren et al. 2021, ZeRO-Offload, arXiv 2101.06840; here without overlap). Memory of the host is
pinned where the device is not the host itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Masters:
    """The masters of named parameters of a device."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self.parameters = parameters
        self.weights: dict[str, Tensor] = {name: _master(p) for name, p in parameters.items()}

    @torch.no_grad()
    def take_gradients(self, found_inf: Tensor) -> Tensor:
        """Bring the device's gradients, which are freed, to the masters; `found_inf` on the host.

        It is read after them, so that all are there when it is.
        """
        for name, master in self.weights.items():
            gradient = self.parameters[name].grad
            assert gradient is not None
            assert master.grad is not None
            master.grad.copy_(gradient, non_blocking=True)
            self.parameters[name].grad = None
        return found_inf.to("cpu")

    @torch.no_grad()
    def give_weights(self) -> None:
        """Copy the masters to the device, rounded to what its weights are kept in."""
        for name, master in self.weights.items():
            self.parameters[name].copy_(master, non_blocking=True)


def _master(parameter: Tensor) -> Tensor:
    def empty() -> Tensor:
        pinned = parameter.device.type == "cuda"
        return torch.empty(parameter.shape, dtype=torch.float32, pin_memory=pinned)

    master = nn.Parameter(empty().copy_(parameter.detach()))
    master.grad = empty()
    return master
