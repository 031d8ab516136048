"""Numbers in 8 bits with a float32 scale for each block of a row: dynamic tree quantization.

A code stands for one of 256 numbers of a block's largest magnitude (Dettmers 2016, arXiv 1511.04561;
Dettmers et al. 2022, arXiv 2110.02861). Deviation: the nearest code is looked up by the number as float16 has
it, which puts the border between two codes off by a thirtieth of their distance at most: one pass instead of
eight.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from tsuzuri.training.config import BLOCK
from tsuzuri.training.shards import local


class EightBits:
    """The codes of numbers with or without a sign."""

    def __init__(self, device: torch.device, *, signed: bool) -> None:
        values = dynamic_values(signed=signed)
        halves = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.float16).float()
        codes = torch.bucketize(halves.nan_to_num(0), (values[1:] + values[:-1]) / 2)
        self.zero = 127 if signed else 0
        """The code of nought."""
        self.values, self.codes = values.to(device), codes.to(torch.uint8).to(device)

    def read(self, codes: Tensor, scales: Tensor) -> Tensor:
        """The numbers (rows, columns) in float32."""
        values = self.values.index_select(0, codes.flatten().int()).view(codes.shape)
        return values.mul_(_spread(scales, codes.shape[1]))

    def stored(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The codes (rows, columns) and the scales (rows, blocks) of numbers."""
        columns = numbers.shape[1]
        missing = -columns % BLOCK
        padded = torch.nn.functional.pad(numbers, (0, missing)) if missing else numbers
        scales = padded.view(len(numbers), -1, BLOCK).abs().amax(-1)
        halves = (numbers / _spread(scales.clamp(min=1e-30), columns)).half().view(torch.int16)
        codes = self.codes.index_select(0, halves.int().add_(2**15).flatten())
        return codes.view(numbers.shape), scales


def empty_scales(parameter: Tensor) -> Tensor:
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


def dynamic_values(*, signed: bool) -> Tensor:
    """The 256 numbers of −1 … 1 or 0 … 1 that codes stand for, ascending.

    Within each of seven decades they lie evenly, and each decade has twice as many as the one below.
    """
    values = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2 ** (decade + (0 if signed else 1)) + 1)
        middles = (10 ** (decade - 6) * (edges[:-1] + edges[1:]) / 2).tolist()
        values += middles + ([-value for value in middles] if signed else [])
    return torch.tensor(sorted(values))


def _spread(scales: Tensor, columns: int) -> Tensor:
    """The scale of each column, (rows, columns)."""
    return scales.repeat_interleave(BLOCK, dim=1, output_size=scales.shape[1] * BLOCK)[:, :columns]
