"""Matrix products of every precision: rows (N, in) float32 → (N, out) float32.

int8 is `vnni`'s product where the processor has that, with a scale for each row of the matrix and of x.
Elsewhere it is torch's dynamically quantised product (FBGEMM on x86, QNNPACK on ARM), whose activations have
one scale for all of them, which is why `kernels` scales their rows. Without VNNI it sums two products in 16
bits and cuts what does not fit: weights of 7 bits always fit. They lose 0.04 % on the release of
`recipes/cpu-overnight.yaml` (4.32 bits a character), activations of 7 bits in their place 0.05 %, cutting
0.16 %; int8 keys and values alone 0.002 %.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from tsuzuri.serving.engines.ours import vnni
from tsuzuri.serving.engines.ours.kernels import multiply_row

INT8_MOST, INT7_MOST = 127, 63


class Linear(Protocol):
    """A matrix (out, in), ready to be multiplied with."""

    def __call__(self, x: Tensor) -> Tensor:
        """x (N, in) → (N, out), both float32."""

    @property
    def nbytes(self) -> int:
        """Of the weights."""


class Float32Linear:
    """In full."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.float().contiguous()
        self.nbytes = self._weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """See `Linear`."""
        return F.linear(x, self._weight)


class BFloat16Linear:
    """For processors with instructions for it: AVX512-BF16, AMX, ARM's BF16."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.bfloat16().contiguous()
        self.nbytes = self._weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """See `Linear`."""
        return F.linear(x.bfloat16(), self._weight).float()


class Int8Linear:
    """A byte a weight. Of several rows, FBGEMM's product, for which they should reach equally far; of one,
    `kernels.multiply_row`, which reads memory as fast as it comes. Both have the same weights."""

    def __init__(self, weight: Tensor) -> None:
        most = INT8_MOST if torch.cpu._is_vnni_supported() else INT7_MOST
        weight = weight.float()
        scales = weight.abs().amax(1).clamp_min(1e-12).double() / most
        zeros = torch.zeros(len(weight), dtype=torch.long)
        with warnings.catch_warnings():  # torch 2.13 means to remove quantised tensors some day
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
            quantised = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantised, None)
        self._weight, self._scales = quantised.int_repr().numpy(), scales.float().numpy()
        self.nbytes = self._weight.nbytes + self._scales.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """See `Linear`."""
        if len(x) > 1:
            return torch.ops.quantized.linear_dynamic(x, self._packed)  # type: ignore[no-any-return]
        out = torch.empty(1, len(self._weight))
        multiply_row(x[0].numpy(), self._weight, self._scales, out[0].numpy())
        return out


class VnniLinear:
    """A byte a weight, as `vnni.multiply` reads it; each row of x has a range of its own, up to 1."""

    def __init__(self, weight: Tensor) -> None:
        weight = weight.float()
        scales = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / INT8_MOST
        rounded = (weight / scales).round_().to(torch.int8)
        self._rows = len(weight)
        self._packed = vnni.pack(rounded.numpy())
        self._scales = (scales[:, 0] / INT8_MOST).numpy()
        self._offsets = (128 * rounded.sum(1, dtype=torch.int32)).numpy()
        self.nbytes = self._packed.nbytes + self._scales.nbytes + self._offsets.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """See `Linear`."""
        out = torch.empty(len(x), self._rows)
        vnni.multiply(x.numpy(), self._packed, self._offsets, self._scales, out.numpy())
        return out


def kind_of(precision: str) -> Callable[[Tensor], Linear]:
    """What multiplies in that precision on this machine."""
    int8 = VnniLinear if vnni.is_supported() else Int8Linear
    kinds: dict[str, Callable[[Tensor], Linear]]
    kinds = {"float32": Float32Linear, "bfloat16": BFloat16Linear, "int8": int8}
    return kinds[precision]
