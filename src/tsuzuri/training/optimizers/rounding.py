"""Stochastic rounding of float32 to bfloat16 weights, the same whenever a step is made again.

A weight of 8 significant bits moves by nothing where a step is smaller than half of its last place; rounded
up or down with the probabilities that keep its mean, it moves as it should on average (Gupta et al. 2015,
arXiv 1502.02551). Sixteen random bits are added below the last place and cut off.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate


class Rounding:
    """How new values are written into weights: as they are into float32, stochastically into bfloat16.

    The random numbers are a pure function of (seed, updates made before, number of the parameter) and, where
    it is sharded, of the rank's place among those that hold other parts of it.
    """

    def __init__(self, seed: int, parameters: Iterable[Tensor]) -> None:
        self.seed = seed
        self.count = np.zeros((), np.int64)
        self.updates = torch.from_numpy(self.count)  # its memory, so that a checkpoint can fill it
        self.numbers = {parameter: number for number, parameter in enumerate(parameters)}

    def generator(self, parameter: Tensor) -> torch.Generator | None:
        """Where the random numbers of this update of a parameter come from; None where none are needed."""
        if parameter.dtype != torch.bfloat16:
            return None
        words = [self.seed, int(self.count), self.numbers[parameter], *_place(parameter)]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])
        return torch.Generator(parameter.device).manual_seed(seed >> 1)


def write(weight: Tensor, value: Tensor, generator: torch.Generator | None) -> None:
    """Write float32 values into weights of the same shape."""
    if generator is not None:
        noise = torch.randint(
            0, 2**16, value.shape, dtype=torch.int32, device=value.device, generator=generator
        )
        value = noise.add_(value.view(torch.int32)).bitwise_and_(-(2**16)).view(torch.float32)
    weight.copy_(value)


def _place(parameter: Tensor) -> list[int]:
    """This rank's coordinates in a mesh along which a parameter is divided."""
    if not isinstance(parameter, DTensor):
        return []
    coordinates: list[int] = list(parameter.device_mesh.get_coordinate() or ())
    pairs = zip(coordinates, parameter.placements, strict=True)
    return [place for place, placement in pairs if not isinstance(placement, Replicate)]
