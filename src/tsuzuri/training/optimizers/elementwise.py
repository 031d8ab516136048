"""Optimizers that look at one weight at a time: AdamW with compact moments, and Adagrad.

They are made in pieces, so that what a step holds beside weights, gradients and states does not grow with the
model, and never wait for the device.

AdamW (Loshchilov & Hutter 2019) keeps its moments in float32, in bfloat16, or in 8 bits with a float32 scale
for each block of 256 (Dettmers et al. 2022, arXiv 2110.02861: dynamic tree quantization). Deviations: blocks
lie within a row, so that a sharded matrix has those of a whole one; vectors keep float32. torchao's
AdamW8bit, which the tests compare with, compiles its step for every shape and knows no `found_inf`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from tsuzuri.training.optimizers.eight_bits import EightBits, empty_scales
from tsuzuri.training.optimizers.parameterwise import Parameterwise, rows_at_once
from tsuzuri.training.optimizers.rounding import Rounding, write
from tsuzuri.training.shards import local

States: TypeAlias = dict[str, Tensor]
Moments: TypeAlias = Literal["float32", "bfloat16", "8bit"]


class Elementwise(Parameterwise):
    """The part that is the same for every rule."""

    @abstractmethod
    def rule(
        self, group: dict[str, Any], weight: Tensor, gradient: Tensor, states: States, step: Tensor
    ) -> tuple[Tensor, States]:
        """New weight and states of a piece; weight and gradient in float32, `step` from 1."""

    def update(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor, skipped: Tensor) -> None:
        weight, is_skipped = local(parameter), skipped.bool()
        states = {name: local(state) for name, state in self.state[parameter].items()}
        step = states.pop("step")
        generator = self.rounding.generator(parameter)
        rows = rows_at_once(weight)
        cut = (torch.split(tensor, rows) for tensor in (weight, gradient, *states.values()))
        for weights, gradients, *old in zip(*cut, strict=True):
            before = weights.float()
            pieces = dict(zip(states, old, strict=True))
            value, new = self.rule(group, before, gradients.float(), pieces, step)
            for name, piece in pieces.items():
                piece.copy_(torch.where(is_skipped, piece, new[name]))
            write(weights, torch.where(is_skipped, before, value), generator)


class Adagrad(Elementwise):
    """Adagrad (Duchi et al. 2011) with decoupled decay. State: the sum of squared gradients in float32."""

    def __init__(
        self, groups: list[dict[str, Any]], *, lr: float, epsilon: float, rounding: Rounding
    ) -> None:
        super().__init__(groups, {"lr": lr, "epsilon": epsilon}, rounding)

    def new_states(self, parameter: Tensor) -> States:
        return {"step": _counter(parameter), "sum": _zeros(parameter, torch.float32)}

    def rule(
        self, group: dict[str, Any], weight: Tensor, gradient: Tensor, states: States, step: Tensor
    ) -> tuple[Tensor, States]:
        total = torch.addcmul(states["sum"], gradient, gradient)
        decayed = weight * (1 - group["lr"] * group["weight_decay"])
        return decayed.addcdiv_(gradient, total.sqrt().add_(group["epsilon"]), value=-group["lr"]), {
            "sum": total
        }


class AdamW(Elementwise):
    """AdamW whose moments are kept in `moments`."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float],
        epsilon: float,
        moments: Moments,
        rounding: Rounding,
    ) -> None:
        self.moments = moments
        device = groups[0]["params"][0].device
        self.codes = {name: EightBits(device, signed=name == "exp_avg") for name in ("exp_avg", "exp_avg_sq")}
        super().__init__(groups, {"lr": lr, "betas": betas, "epsilon": epsilon}, rounding)

    def new_states(self, parameter: Tensor) -> States:
        states = {"step": _counter(parameter)}
        for name, bits in self.codes.items():
            if self.moments == "8bit" and parameter.dim() > 1:
                codes = _zeros(parameter, torch.uint8)
                local(codes).fill_(bits.zero)
                states |= {f"{name}.codes": codes, f"{name}.scales": empty_scales(parameter)}
            else:
                is_compact = self.moments == "bfloat16" and parameter.dim() > 1
                states[name] = _zeros(parameter, torch.bfloat16 if is_compact else torch.float32)
        return states

    def rule(
        self, group: dict[str, Any], weight: Tensor, gradient: Tensor, states: States, step: Tensor
    ) -> tuple[Tensor, States]:
        beta1, beta2 = group["betas"]
        mean = self._read(states, "exp_avg").lerp(gradient, 1 - beta1)
        square = self._read(states, "exp_avg_sq").mul(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square / (1 - beta2**step)).sqrt_().add_(group["epsilon"])
        decayed = weight * (1 - group["lr"] * group["weight_decay"])
        value = decayed.addcdiv_(mean / (1 - beta1**step), root, value=-group["lr"])
        return value, {**self._stored(states, "exp_avg", mean), **self._stored(states, "exp_avg_sq", square)}

    def _read(self, states: States, name: str) -> Tensor:
        """A moment in float32."""
        if name in states:
            return states[name].float()
        return self.codes[name].read(states[f"{name}.codes"], states[f"{name}.scales"])

    def _stored(self, states: States, name: str, moment: Tensor) -> States:
        """A moment as it is to be kept."""
        if name in states:
            return {name: moment}
        codes, scales = self.codes[name].stored(moment)
        return {f"{name}.codes": codes, f"{name}.scales": scales}


def _counter(parameter: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.float32, device=parameter.device)


def _zeros(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
