"""Optimizers that look at one weight at a time: AdamW with compact moments, and Adagrad.

They are made in pieces, so that what a step holds beside weights, gradients and states does not grow with the
model, and never wait for the device: whether a step is made at all is chosen there, by `found_inf`, as
torch's fused optimizers do it (1: neither weights nor states change).

AdamW (Loshchilov & Hutter 2019) keeps its moments in float32, in bfloat16, or in 8 bits with a float32 scale
for each block of 256 (Dettmers et al. 2022, arXiv 2110.02861: dynamic tree quantization). Deviations: blocks
lie within a row, so that a sharded matrix has those of a whole one; vectors keep float32; the nearest code is
looked up by the value as float16 has it, which is off by at most a thirtieth of the distance of two codes.
torchao's AdamW8bit, which the tests compare with, compiles its step for every shape and knows no `found_inf`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from tsuzuri.training.memory import BLOCK, PIECE
from tsuzuri.training.optimizers.rounding import Rounding, local, write

States: TypeAlias = dict[str, Tensor]
Moments: TypeAlias = Literal["float32", "bfloat16", "8bit"]


class Elementwise(torch.optim.Optimizer):
    """The part that is the same for every rule. `rounding` says how weights are written."""

    found_inf: Tensor | None = None
    """() in float32: 1 where the step is not to be made."""

    def __init__(self, groups: list[dict[str, Any]], defaults: dict[str, Any], rounding: Rounding) -> None:
        super().__init__(groups, defaults)
        self.rounding = rounding
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = self.new_states(parameter)

    def new_states(self, parameter: Tensor) -> States:
        """The states of a parameter before the first step; `step` counts the updates."""
        raise NotImplementedError

    def rule(
        self, group: dict[str, Any], weight: Tensor, gradient: Tensor, states: States, step: Tensor
    ) -> tuple[Tensor, States]:
        """New weight and states of a piece; weight and gradient in float32, `step` from 1."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(group, parameter, local(parameter.grad))

    def _update(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor) -> None:
        weight = local(parameter)
        step = self.state[parameter]["step"]
        skipped = torch.zeros_like(step) if self.found_inf is None else self.found_inf
        step += 1 - skipped
        is_skipped = skipped.bool()
        states = {name: local(state) for name, state in self.state[parameter].items() if name != "step"}
        generator = self.rounding.generator(parameter)
        rows = max(1, PIECE[weight.device.type] // max(1, weight[:1].numel()))
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
        super().__init__(groups, {"lr": lr, "betas": betas, "epsilon": epsilon}, rounding)

    def new_states(self, parameter: Tensor) -> States:
        states = {"step": _counter(parameter)}
        for name in ("exp_avg", "exp_avg_sq"):
            if self.moments == "8bit" and parameter.dim() > 1:
                codes = _zeros(parameter, torch.uint8)
                local(codes).fill_(_code_of_zero(name))
                states |= {f"{name}.codes": codes, f"{name}.scales": _scales(parameter)}
            else:
                is_compact = self.moments == "bfloat16" and parameter.dim() > 1
                states[name] = _zeros(parameter, torch.bfloat16 if is_compact else torch.float32)
        return states

    def rule(
        self, group: dict[str, Any], weight: Tensor, gradient: Tensor, states: States, step: Tensor
    ) -> tuple[Tensor, States]:
        beta1, beta2 = group["betas"]
        mean = _read(states, "exp_avg").lerp(gradient, 1 - beta1)
        square = _read(states, "exp_avg_sq").mul(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square / (1 - beta2**step)).sqrt_().add_(group["epsilon"])
        decayed = weight * (1 - group["lr"] * group["weight_decay"])
        value = decayed.addcdiv_(mean / (1 - beta1**step), root, value=-group["lr"])
        return value, {**_stored(states, "exp_avg", mean), **_stored(states, "exp_avg_sq", square)}


def _counter(parameter: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.float32, device=parameter.device)


def _zeros(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros_like(parameter, dtype=dtype, requires_grad=False)


def _scales(parameter: Tensor) -> Tensor:
    """Zeros (rows, blocks of BLOCK columns), divided among ranks as the parameter is."""
    own = local(parameter)
    blocks = -(-own.shape[1] // BLOCK)
    scales = torch.zeros(own.shape[0], blocks, device=own.device)
    if not isinstance(parameter, DTensor):
        return scales
    columns = blocks * (parameter.shape[1] // max(1, own.shape[1]))
    shape = torch.Size((parameter.shape[0], columns))
    return DTensor.from_local(
        scales, parameter.device_mesh, parameter.placements, run_check=False, shape=shape, stride=(columns, 1)
    )


def _read(states: States, name: str) -> Tensor:
    """A moment in float32, of float32 or as it was quantized."""
    if name in states:
        return states[name].float()
    codes, scales = states[f"{name}.codes"], states[f"{name}.scales"]
    values = _values(name, codes.device).index_select(0, codes.flatten().int()).view(codes.shape)
    return values.mul_(_spread(scales, codes.shape[1]))


def _stored(states: States, name: str, moment: Tensor) -> States:
    """A moment (rows, columns) as it is to be kept."""
    if name in states:
        return {name: moment}
    columns = moment.shape[1]
    missing = -columns % BLOCK
    padded = torch.nn.functional.pad(moment, (0, missing)) if missing else moment
    scales = padded.view(len(moment), -1, BLOCK).abs().amax(-1)
    unit = moment / _spread(scales.clamp(min=1e-30), columns)
    halves = unit.half().view(torch.int16).int().add_(2**15).flatten()
    codes = _codes(name, moment.device).index_select(0, halves).view(moment.shape)
    return {f"{name}.codes": codes, f"{name}.scales": scales}


def _spread(scales: Tensor, columns: int) -> Tensor:
    """The scale of each column of (rows, columns)."""
    return scales.repeat_interleave(BLOCK, dim=1, output_size=scales.shape[1] * BLOCK)[:, :columns]


def dynamic_values(signed: bool) -> Tensor:
    """The 256 numbers of −1 … 1 or 0 … 1 that codes stand for, ascending (Dettmers 2016, arXiv 1511.04561).

    Within each of seven decades they lie evenly, and each decade has twice as many as the one below.
    """
    values = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2 ** (decade + (0 if signed else 1)) + 1)
        middles = (10 ** (decade - 6) * (edges[:-1] + edges[1:]) / 2).tolist()
        values += middles + ([-value for value in middles] if signed else [])
    return torch.tensor(sorted(values))


def _is_signed(name: str) -> bool:
    return name == "exp_avg"


def _code_of_zero(name: str) -> int:
    return int((dynamic_values(_is_signed(name)) == 0).nonzero())


@lru_cache
def _values(name: str, device: torch.device) -> Tensor:
    return dynamic_values(_is_signed(name)).to(device)


@lru_cache
def _codes(name: str, device: torch.device) -> Tensor:
    """The code nearest to every number of 16 bits, as an integer from −2¹⁵ on."""
    values = dynamic_values(_is_signed(name))
    numbers = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.float16).float()
    middles = (values[1:] + values[:-1]) / 2
    return torch.bucketize(numbers.nan_to_num(0), middles).to(torch.uint8).to(device)
