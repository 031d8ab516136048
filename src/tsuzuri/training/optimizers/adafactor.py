"""Adafactor without momentum (Shazeer & Stern 2018, arXiv 1804.04235): a second moment of rank one.

The function is that of torch.optim.Adafactor, its constants those of the paper: the learning rate is what
the steps relative to a weight's root mean square do not exceed. Deviations: nothing waits for the device,
where torch reads two norms of every matrix; `found_inf` chooses there whether a step is made; a matrix
divided among ranks has the moments of the whole one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Partial, Replicate

from tsuzuri.training.optimizers.rounding import Rounding, local, write

DECAY = -0.8  # of the second moment: it forgets t^DECAY of itself at step t
CLIP = 1.0  # the largest root mean square of an update, before the learning rate
EPSILON = torch.finfo(torch.float32).eps  # of the second moment, as torch has it
SMALLEST_WEIGHT = 1e-3  # the root mean square that a smaller weight is taken to have


class Adafactor(torch.optim.Optimizer):
    """States: a float32 for each row and column of a matrix, one for each element of a vector."""

    found_inf: Tensor | None = None
    """() in float32: 1 where neither weights nor states are to change."""

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, rounding: Rounding) -> None:
        super().__init__(groups, {"lr": lr})
        self.rounding = rounding
        for group in self.param_groups:
            for parameter in group["params"]:
                zeros = torch.zeros_like(parameter, dtype=torch.float32, requires_grad=False)
                states = {"step": torch.zeros((), device=parameter.device)}
                if parameter.dim() > 1:
                    states |= {"row_var": _mean(zeros, -1), "col_var": _mean(zeros, -2)}
                else:
                    states["variance"] = zeros
                self.state[parameter] = states

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(group, parameter, parameter.grad.float())

    def _update(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor) -> None:
        states = dict(self.state[parameter])
        step = states.pop("step")
        skipped = torch.zeros_like(step) if self.found_inf is None else self.found_inf
        is_skipped = skipped.bool()
        step += 1 - skipped
        forgotten = step**DECAY
        squares = gradient.square()
        if parameter.dim() > 1:
            row = torch.lerp(states["row_var"], _mean(squares, -1), forgotten)
            column = torch.lerp(states["col_var"], _mean(squares, -2), forgotten)
            new = {"row_var": row, "col_var": column}
            moment = row * (column / _mean(row, -2).clamp(min=EPSILON))
        else:
            new = {"variance": torch.lerp(states["variance"], squares, forgotten)}
            moment = new["variance"].clone()
        del squares
        update = moment.clamp_(min=EPSILON**2).rsqrt_().mul_(gradient)
        weight = parameter.detach().float()
        size = _root_mean_square(weight).clamp(min=SMALLEST_WEIGHT)
        rate = size * torch.minimum(step.rsqrt(), torch.full_like(step, group["lr"]))
        update.mul_(rate / (_root_mean_square(update) / CLIP).clamp(min=1))
        for name, state in states.items():
            local(state).copy_(torch.where(is_skipped, local(state), local(new[name])))
        before, update = local(weight), local(update)
        value = torch.where(is_skipped, before, before * (1 - group["lr"] * group["weight_decay"]) - update)
        write(local(parameter), value, self.rounding.generator(parameter))


def _mean(values: Tensor, dim: int) -> Tensor:
    """The mean along a dimension, which stays with one element; whole on every rank where that is divided."""
    total = values.sum(dim, keepdim=True)
    return _whole(total) / values.shape[dim]


def _root_mean_square(values: Tensor) -> Tensor:
    """() of all elements."""
    total = _whole(values.square().sum())
    return (local(total) / values.numel()).sqrt()


def _whole(total: Tensor) -> Tensor:
    """A sum of which each rank has a part, on every rank; other tensors as they are."""
    if not isinstance(total, DTensor):
        return total
    placements = [Replicate() if isinstance(p, Partial) else p for p in total.placements]
    return total.redistribute(placements=placements)
