"""Adafactor without momentum (Shazeer & Stern 2018, arXiv 1804.04235): a second moment of rank one.

The function is that of torch.optim.Adafactor, its constants those of the paper: the learning rate is what
the steps relative to a weight's root mean square do not exceed. Deviations: nothing waits for the device,
where torch reads two norms of every matrix; a matrix is gone through thrice in pieces, so that none of its
size is made beside it; one divided among ranks has the moments of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate

from tsuzuri.training.optimizers.parameterwise import Parameterwise, rows_at_once
from tsuzuri.training.optimizers.rounding import Rounding, write
from tsuzuri.training.shards import local

DECAY = -0.8  # of the second moment: it forgets t^DECAY of itself at step t
CLIP = 1.0  # the largest root mean square of an update, before the learning rate
EPSILON = torch.finfo(torch.float32).eps  # of the second moment, as torch has it
SMALLEST_WEIGHT = 1e-3  # the root mean square that a smaller weight is taken to have


class Adafactor(Parameterwise):
    """States: a float32 for each row and column of a matrix, one for each element of a vector."""

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, rounding: Rounding) -> None:
        super().__init__(groups, {"lr": lr}, rounding)

    def new_states(self, parameter: Tensor) -> dict[str, Tensor]:
        states = {"step": torch.zeros((), device=parameter.device)}
        if parameter.dim() > 1:
            return states | {"row_var": _edge(parameter, 0), "col_var": _edge(parameter, 1)}
        return states | {"variance": torch.zeros_like(parameter, dtype=torch.float32, requires_grad=False)}

    def update(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor, skipped: Tensor) -> None:
        is_skipped = skipped.bool()
        states = {name: local(state) for name, state in self.state[parameter].items()}
        step = states.pop("step")
        means = _means_of_squares(parameter, gradient)
        new = {name: torch.lerp(states[name], mean, step**DECAY) for name, mean in means.items()}
        moment = _second_moment(parameter, new)
        weight = local(parameter)
        of_weight, of_update = torch.zeros_like(step), torch.zeros_like(step)
        for part in _pieces(weight):
            of_weight += weight[part].float().square().sum()
            of_update += _direction(gradient[part], moment[part]).square().sum()
        sizes = _over_ranks(torch.stack([of_weight, of_update]), parameter, (0, 1)) / parameter.numel()
        size, length = sizes.sqrt().unbind()
        rate = torch.minimum(step.rsqrt(), torch.full_like(step, group["lr"])) * size.clamp(
            min=SMALLEST_WEIGHT
        )
        rate = rate / (length / CLIP).clamp(min=1)
        kept = 1 - group["lr"] * group["weight_decay"]
        generator = self.rounding.generator(parameter)
        for part in _pieces(weight):
            before = weight[part].float()
            value = (before * kept).sub_(_direction(gradient[part], moment[part]).mul_(rate))
            write(weight[part], torch.where(is_skipped, before, value), generator)
        for name, state in states.items():
            state.copy_(torch.where(is_skipped, state, new[name]))


class _Moment:
    """A second moment whose rows are made when they are asked for."""

    def __init__(self, row: Tensor, column: Tensor | None = None) -> None:
        self.row, self.column = row, column

    def __getitem__(self, part: slice) -> Tensor:
        return self.row[part].clone() if self.column is None else self.row[part] * self.column


def _second_moment(parameter: Tensor, states: dict[str, Tensor]) -> _Moment:
    if parameter.dim() == 1:
        return _Moment(states["variance"])
    mean = _over_ranks(states["row_var"].sum(), parameter, (0,)) / parameter.shape[0]
    return _Moment(states["row_var"], states["col_var"] / mean.clamp(min=EPSILON))


def _direction(gradient: Tensor, moment: Tensor) -> Tensor:
    """The gradient over the root of its moment, which is overwritten."""
    return moment.clamp_(min=EPSILON**2).rsqrt_().mul_(gradient)


def _means_of_squares(parameter: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """Of this rank's rows and columns, the mean of the squared gradient; of a vector, its squares."""
    if parameter.dim() == 1:
        return {"variance": gradient.float().square()}
    rows, columns = [], torch.zeros(1, gradient.shape[1], device=gradient.device)
    for part in _pieces(gradient):
        squares = gradient[part].float().square()
        rows.append(squares.sum(1, keepdim=True))
        columns += squares.sum(0, keepdim=True)
    return {
        "row_var": _over_ranks(torch.cat(rows), parameter, (1,)) / parameter.shape[1],
        "col_var": _over_ranks(columns, parameter, (0,)) / parameter.shape[0],
    }


def _pieces(tensor: Tensor) -> Iterator[slice]:
    """Rows of a tensor that are worked on at once."""
    rows = rows_at_once(tensor)
    return (slice(start, start + rows) for start in range(0, max(1, len(tensor)), rows))


def _edge(parameter: Tensor, dim: int) -> Tensor:
    """Zeros for each row (dim 0) or column (1) of a matrix, divided among ranks as those are."""
    shape = torch.Size(size if axis == dim else 1 for axis, size in enumerate(local(parameter).shape))
    zeros = torch.zeros(shape, device=parameter.device)
    if not isinstance(parameter, DTensor):
        return zeros
    placements = [p if getattr(p, "dim", None) == dim else Replicate() for p in parameter.placements]
    whole = torch.Size(size if axis == dim else 1 for axis, size in enumerate(parameter.shape))
    return DTensor.from_local(
        zeros, parameter.device_mesh, placements, run_check=False, shape=whole, stride=(whole[1], 1)
    )


def _over_ranks(total: Tensor, parameter: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A sum over all ranks that hold other parts of the parameter along these dimensions."""
    if isinstance(parameter, DTensor):
        for axis, placement in enumerate(parameter.placements):
            if getattr(placement, "dim", None) in dims:
                dist.all_reduce(total, group=parameter.device_mesh.get_group(axis))
    return total
