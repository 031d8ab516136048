"""What one rank holds of a tensor that ranks divide among them."""

from __future__ import annotations

from torch import Tensor
from torch.distributed.tensor import DTensor


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor, sharing its memory; a plain tensor is all its own."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
