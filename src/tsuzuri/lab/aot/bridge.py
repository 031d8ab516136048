"""torch's functions on jax's arrays: torchax, made to work under a torch that is newer than it.

torchax 0.0.13 names overloads for named tensors in its tables, which torch 2.13 has no more; and it has no
entries for what writes into a given tensor, as our loss does: products, log-softmax, exponentials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._ops import OpOverloadPacket


@contextmanager
def _lost_overloads_are_words() -> Iterator[None]:
    """Within it, an overload that torch does not have is a string, which no call will ever look up."""
    lookup = OpOverloadPacket.__getattr__

    def lenient(packet: Any, name: str) -> Any:
        try:
            return lookup(packet, name)
        except AttributeError:
            if name.startswith("_"):
                raise
            return f"{packet}.{name}"

    OpOverloadPacket.__getattr__ = lenient  # type: ignore[method-assign]
    try:
        yield
    finally:
        OpOverloadPacket.__getattr__ = lookup  # type: ignore[method-assign]


with _lost_overloads_are_words():
    from torchax import default_env, interop
    from torchax.ops.op_base import InplaceOp, OutVariant

    default_env()

aten = torch.ops.aten
for _overload, _function in (
    (aten.mm.out, OutVariant(torch.mm)),
    (aten.log_softmax.int_out, OutVariant(lambda x, dim: aten._log_softmax(x, dim, False))),
    (aten.exp_, InplaceOp(torch.exp)),
    (aten.addmm_, InplaceOp(torch.addmm)),
    (aten.copy_, InplaceOp(lambda x, y, *_: y.to(x.dtype), replace=True)),
):
    default_env().override_op_definition(_overload, _function, is_view_op=True)


def call_torch(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function` of torch's tensors, given jax's arrays: what it returns, as jax's arrays."""
    return interop.call_torch(function, *arguments)


def call_jax(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function` of jax's arrays, given torch's tensors: what it returns, as torch's tensors."""
    return interop.call_jax(function, *arguments)
