"""The norm of a whole gradient, and what scales it down to the largest that is allowed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor


@torch.no_grad()
def clip_gradient(parameters: Iterable[Tensor], largest: float) -> Tensor:
    """Scale the gradients in place so that their norm is `largest` at most; the norm () before, in float32.

    Gradients that are divided among ranks count as the whole ones, whatever mesh they lie on.
    """
    by_mesh: dict[object, list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is not None:
            mesh = parameter.grad.device_mesh if isinstance(parameter.grad, DTensor) else None
            by_mesh[mesh].append(parameter.grad)
    norms = [_norm(gradients) for gradients in by_mesh.values()]
    norm = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
    factor = (largest / (norm + 1e-6)).clamp(max=1.0)
    for gradients in by_mesh.values():
        torch._foreach_mul_(gradients, factor)
    return norm


def _norm(gradients: list[Tensor]) -> Tensor:
    each = torch._foreach_norm(gradients, 2.0, torch.float32)
    norm = torch.linalg.vector_norm(torch.stack(list(each)), 2.0)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
