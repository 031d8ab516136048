"""AdamW from torch and Muon of our own, with every state made at the start: a checkpoint is a flat mapping.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): Nesterov momentum of a matrix's
gradient, made nearly orthogonal by five steps of a quintic Newton-Schulz iteration. Deviations: the step is
scaled by 0.2 · √max(rows, columns), which gives it AdamW's usual root mean square (Liu et al. 2025,
arXiv 2502.16982, eq. 4), so that its learning rate is an AdamW's; matrices of one shape are
iterated together; the iteration runs in the precision that the run's probe found fast (torch.optim.Muon
always takes bfloat16, which is about twenty times slower than float32 on a CPU without bfloat16 units).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from tsuzuri.training.config import OptimizerConfig

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

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append((parameter, parameter.grad))
            for pairs in by_shape.values():
                self._step(group, *map(list, zip(*pairs, strict=True)))

    def _step(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        buffers = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, buffers, group["momentum"])  # Nesterov's look ahead
        updates = orthogonalize(torch.stack(list(ahead)).to(self.dtype)).to(parameters[0].dtype)
        scale = 0.2 * max(parameters[0].shape) ** 0.5
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, list(updates.unbind()), alpha=-group["lr"] * scale)


def adamw(groups: list[dict[str, Any]], config: OptimizerConfig) -> torch.optim.AdamW:
    """torch's fused AdamW with its states made now. 8 bytes of state a parameter."""
    betas = (config.beta1, config.beta2)
    optimizer = torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=betas, eps=config.epsilon, fused=True
    )
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return optimizer


def build_optimizers(
    model: nn.Module, config: OptimizerConfig, dtype: torch.dtype
) -> list[torch.optim.Optimizer]:
    """The optimizers of a run; `dtype` is that of Muon's iteration. Only matrices of blocks are decayed."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.dim() == 2 and ".layers." in f".{name}"
        (matrices if is_matrix else others).append(parameter)
    undecayed = {"params": others, "weight_decay": 0.0}
    if config.kind == "adamw":
        decayed = {"params": matrices, "weight_decay": config.weight_decay}
        return [adamw([decayed, undecayed], config)]
    muon = Muon(
        matrices,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        dtype=dtype,
    )
    return [muon, adamw([{**undecayed, "rate_factor": config.adamw_rate_factor}], config)]


def state_tensors(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Every tensor of a run's state by name, sharing memory with the model and its optimizers."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        tensors[f"model.{name}"] = parameter.detach()
        for optimizer in optimizers:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value
    return tensors
