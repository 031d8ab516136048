"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): Nesterov momentum of a matrix's
gradient, made nearly orthogonal by five steps of a quintic Newton-Schulz iteration.

Deviations: the step is scaled by 0.2 · √max(rows, columns), which gives it AdamW's usual root mean square
(Liu et al. 2025, arXiv 2502.16982, eq. 4), so that its learning rate is an AdamW's; matrices of one shape are
iterated together, as many as `training.memory.CHUNK` allows; the iteration runs in the precision that the
run's probe found fast (torch.optim.Muon always takes bfloat16, which is about twenty times slower than
float32 on a CPU without bfloat16 units).

Matrices that are divided among ranks are exchanged: each rank iterates whole ones of its own, and gives the
parts of their updates back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.placement_types import _StridedShard

from tsuzuri.training.memory import CHUNK
from tsuzuri.training.optimizers.rounding import Rounding, write
from tsuzuri.training.shards import local

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the published quintic's coefficients
NEWTON_SCHULZ_STEPS = 5


def orthogonalize(matrices: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: (n, rows, columns) → the same, in their dtype.

    Singular values come out at about 0.7–1.2, those below a thousandth of the norm smaller.
    """
    a, b, c = NEWTON_SCHULZ
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Muon for matrices (rows, columns). State: one momentum buffer in float32, 4 bytes a parameter."""

    found_inf: Tensor | None = None
    """() in float32: 1 where neither weights nor states are to change; chosen on the device."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
        rounding: Rounding | None = None,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype, self.rounding = dtype, rounding or Rounding(0, ())
        for group in self.param_groups:
            for parameter in group["params"]:
                buffer = torch.zeros_like(parameter, dtype=torch.float32, requires_grad=False)
                self.state[parameter]["momentum"] = buffer

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for chunk in chunks(parameter for parameter in group["params"] if parameter.grad is not None):
                self._step(group, chunk)

    def _step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        first = local(parameters[0])
        found_inf = torch.zeros((), device=first.device) if self.found_inf is None else self.found_inf
        is_skipped = found_inf.bool()
        buffers = [local(self.state[parameter]["momentum"]) for parameter in parameters]
        ahead = torch.empty(len(parameters), *first.shape, device=first.device)
        each = ahead.unbind()
        for parameter, buffer, out in zip(parameters, buffers, each, strict=True):
            gradient = local(parameter.grad).to(buffer.dtype)  # type: ignore[arg-type]
            torch.where(is_skipped, buffer, gradient, out=out)  # towards itself no momentum moves
        torch._foreach_lerp_(buffers, each, 1 - group["momentum"])
        torch._foreach_lerp_(each, buffers, group["momentum"])  # Nesterov's look ahead
        updates = self._orthogonal(ahead, parameters[0]).to(ahead.dtype)
        rate = group["lr"] * (1 - found_inf)
        updates *= rate * (0.2 * max(parameters[0].shape) ** 0.5)
        decay = 1 - rate * group["weight_decay"]
        for parameter, update in zip(parameters, updates.unbind(), strict=True):
            weight = local(parameter)
            if weight.dtype == update.dtype:
                weight.mul_(decay).sub_(update)
            else:
                generator = self.rounding.generator(parameter)
                write(weight, weight.float().mul_(decay).sub_(update), generator)

    def _orthogonal(self, parts: Tensor, like: Tensor) -> Tensor:
        """The same parts of the orthogonal matrices as the parts (n, …) that this rank has."""
        return _orthogonal_parts(parts.to(self.dtype), divisions(like))


@dataclass(frozen=True)
class Division:
    """How the ranks of a mesh divide a matrix."""

    mesh: DeviceMesh
    dim: int
    shape: torch.Size
    """Of the matrix whose parts they have: itself a part, where it was divided before."""


def divisions(parameter: Tensor) -> list[Division]:
    """How a matrix has been divided, the last division first: FSDP2 divides tensor parallel's parts."""
    found: list[Division] = []
    if isinstance(parameter, DTensor):
        mesh, shape = parameter.device_mesh, list(parameter.shape)
        for axis in reversed(range(mesh.ndim)):
            placement = parameter.placements[axis]
            if isinstance(placement, Shard | _StridedShard):
                along = mesh if mesh.ndim == 1 else mesh[mesh.mesh_dim_names[axis]]  # type: ignore[index]
                found.insert(0, Division(along, placement.dim, torch.Size(shape)))
                shape[placement.dim] //= along.size()  # of tensor parallel's, which are equal
    return found


def _orthogonal_parts(parts: Tensor, divided: Sequence[Division]) -> Tensor:
    """Of n matrices each of the ranks that share them makes some orthogonal; all get their parts back."""
    if not divided or not len(parts):
        return orthogonalize(parts)
    last = divided[0]
    shape = torch.Size((len(parts), *last.shape))
    stride = torch.empty(shape, device="meta").stride()
    held, whole = (Shard(last.dim + 1),), (Shard(0),)
    stack = DTensor.from_local(parts, last.mesh, held, run_check=False, shape=shape, stride=stride)
    own = _orthogonal_parts(stack.redistribute(placements=whole).to_local(), divided[1:])
    made = DTensor.from_local(own, last.mesh, whole, run_check=False, shape=shape, stride=stride)
    return made.redistribute(placements=held).to_local()


def chunks(parameters: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Lists of parameters of one shape, divided alike; as long as what is made of them at once allows."""
    by_shape: dict[tuple[Any, ...], list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        placements = parameter.placements if isinstance(parameter, DTensor) else None
        by_shape[parameter.shape, placements].append(parameter)
    for alike in by_shape.values():
        count = max(1, CHUNK // max(1, local(alike[0]).numel()))
        yield from (alike[start : start + count] for start in range(0, len(alike), count))
