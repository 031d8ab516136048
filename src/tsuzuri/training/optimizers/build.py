"""Which optimizer updates which parameters, and every tensor of a run's state by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from tsuzuri.training.config import OptimizerConfig
from tsuzuri.training.optimizers.adafactor import Adafactor
from tsuzuri.training.optimizers.elementwise import Adagrad, AdamW, Moments
from tsuzuri.training.optimizers.muon import Muon
from tsuzuri.training.optimizers.rounding import Rounding

MOMENTS: Mapping[str, Moments] = {"adamw-bf16-states": "bfloat16", "adamw-8bit": "8bit"}
FUSED = ("cpu", "cuda")
"""Kinds of devices for which torch has a fused AdamW."""


def build_optimizers(
    parameters: Mapping[str, Tensor], config: OptimizerConfig, dtype: torch.dtype, rounding: Rounding
) -> list[torch.optim.Optimizer]:
    """The optimizers of named parameters; `dtype` is that of Muon's iteration.

    Only matrices of blocks are decayed.
    """
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in parameters.items():
        is_matrix = parameter.dim() == 2 and ".layers." in f".{name}"
        (matrices if is_matrix else others).append(parameter)
    undecayed = {"params": others, "weight_decay": 0.0}
    if config.kind != "muon":
        decayed = {"params": matrices, "weight_decay": config.weight_decay}
        return [_for_all([decayed, undecayed], config, rounding)]
    muon = Muon(
        matrices,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        dtype=dtype,
        rounding=rounding,
    )
    return [muon, _adamw([{**undecayed, "rate_factor": config.adamw_rate_factor}], config, rounding)]


def state_tensors(
    parameters: Mapping[str, Tensor], optimizers: Iterable[torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """Every tensor of a run's state by name, sharing memory with the parameters and their optimizers."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        tensors[f"model.{name}"] = parameter.detach()
        for optimizer in optimizers:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value
    return tensors


def _for_all(
    groups: list[dict[str, Any]], config: OptimizerConfig, rounding: Rounding
) -> torch.optim.Optimizer:
    if config.kind == "adafactor":
        return Adafactor(groups, lr=config.learning_rate, rounding=rounding)
    if config.kind == "adagrad":
        return Adagrad(groups, lr=config.learning_rate, epsilon=config.epsilon, rounding=rounding)
    return _adamw(groups, config, rounding)


def _adamw(
    groups: list[dict[str, Any]], config: OptimizerConfig, rounding: Rounding
) -> torch.optim.Optimizer:
    """torch's fused AdamW, its states made now, where weights and moments are in float32, or else ours."""
    betas = (config.beta1, config.beta2)
    moments = MOMENTS.get(config.kind, "float32")
    parameters = [parameter for group in groups for parameter in group["params"]]
    is_plain = all(p.dtype == torch.float32 and p.device.type in FUSED for p in parameters)
    if moments != "float32" or not is_plain:
        return AdamW(
            groups,
            lr=config.learning_rate,
            betas=betas,
            epsilon=config.epsilon,
            moments=moments,
            rounding=rounding,
        )
    optimizer = torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=betas, eps=config.epsilon, fused=True
    )
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }
    return optimizer
