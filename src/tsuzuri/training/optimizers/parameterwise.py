"""What is the same for every optimizer that updates one parameter after another, in pieces.

Whether a step is made at all is chosen on the device, by `found_inf`, as torch's fused optimizers do it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tsuzuri.training.memory import PIECE
from tsuzuri.training.optimizers.rounding import Rounding
from tsuzuri.training.shards import local


class Parameterwise(torch.optim.Optimizer):
    """Every state is made at the start. `rounding` says how weights are written."""

    found_inf: Tensor | None = None
    """() in float32: 1 where neither weights nor states are to change."""

    def __init__(self, groups: list[dict[str, Any]], defaults: dict[str, Any], rounding: Rounding) -> None:
        super().__init__(groups, defaults)
        self.rounding = rounding
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = self.new_states(parameter)

    @abstractmethod
    def new_states(self, parameter: Tensor) -> dict[str, Tensor]:
        """The states of a parameter before the first step; `step` counts the updates."""

    @abstractmethod
    def update(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor, skipped: Tensor) -> None:
        """Update a parameter and its states by this rank's part of its gradient.

        `skipped` () in float32 is 1 where nothing is to change.
        """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    count = self.state[parameter]["step"]
                    skipped = torch.zeros_like(count) if self.found_inf is None else self.found_inf
                    count += 1 - skipped
                    self.update(group, parameter, local(parameter.grad), skipped)


def rows_at_once(tensor: Tensor) -> int:
    """Rows of a tensor that are worked on together: PIECE numbers, or one row."""
    return max(1, PIECE[tensor.device.type] // max(1, tensor[:1].numel()))
