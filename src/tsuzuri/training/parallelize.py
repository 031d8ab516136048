"""Parallelism from outside: the one place where it is applied, in the one order, stated once.

    tensor parallel → compile → recompute → FSDP2 or DDP

A block is compiled before it is computed twice and not after: of the two in one graph, torch 2.13 cannot keep
what tensor parallel needs between the passes. The files of the model know nothing of all this.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.placement_types import _StridedShard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.training.config import ParallelConfig
from tsuzuri.training.layout import Layout
from tsuzuri.training.objective import Objective
from tsuzuri.training.tensor_parallel import (
    share_matrices,
    sum_gradients_of_replicas,
    vocabulary_gradient,
)


def new_model(shape: ModelConfig, layout: Layout, device: str, seed: int) -> GPT:
    """A model with its first weights; where ranks hold parts of them, `draw_parts` gives it those."""
    if not layout.is_divided:
        return GPT(shape, torch.Generator().manual_seed(seed)).to(device)
    with torch.device("meta"):
        return GPT(shape)


def parallelize(objective: Objective, layout: Layout, config: ParallelConfig, *, compiled: bool) -> nn.Module:
    """What to call in the objective's place: it does the same, as this rank's part of the layout."""
    model = objective.model
    if layout.tensor > 1:
        share_matrices(model, layout.submesh("tensor"))
        objective.gradient = vocabulary_gradient(layout.submesh("tensor"), model.config.vocab_size)
    for block in model.layers:
        if compiled:  # all alike, so once; without the hooks, by which FSDP2 gathers a block around it
            block.forward = torch.compile(block.forward, dynamic=False, fullgraph=True)
        if config.recompute == "blocks":
            block.forward = _recomputed(block.forward)
    if layout.is_divided and layout.data_ranks > 1:
        _shard(objective, layout)
    elif layout.data_ranks > 1:
        return DistributedDataParallel(objective, gradient_as_bucket_view=True)
    return objective


def reducing(parallel: nn.Module, *, is_last: bool) -> AbstractContextManager[object]:
    """Within it, the backward pass of a micro-batch; gradients cross the ranks once, with the last one's.

    FSDP2 scatters each micro-batch's all the same, lest a rank hold all gradients whole; what replicas add up
    waits for the last.
    """
    if isinstance(parallel, FSDPModule):
        parallel.set_requires_all_reduce(is_last)
    elif isinstance(parallel, DistributedDataParallel) and not is_last:
        return parallel.no_sync()
    return nullcontext()


def draw_parts(model: GPT, device: str, seed: int) -> None:
    """Give a divided model this rank's parts of the weights that one process draws, one after another."""
    model.to_empty(device=device)
    sum_gradients_of_replicas(model)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        whole = torch.empty(parameter.shape)
        model.init_weight(name, whole, generator)
        assert isinstance(parameter, DTensor)
        parameter.to_local().detach().copy_(_own_part(whole, parameter))


def _own_part(whole: Tensor, like: DTensor) -> Tensor:
    """What of a whole tensor this rank holds: a part of tensor parallel's part, which is divided first."""
    mesh = like.device_mesh
    for axis in reversed(range(mesh.ndim)):
        placement = like.placements[axis]
        if isinstance(placement, Shard | _StridedShard):
            parts = whole.chunk(mesh.size(axis), placement.dim)
            place = mesh.get_local_rank(axis)
            whole = parts[place] if place < len(parts) else whole.narrow(placement.dim, 0, 0)
    return whole


def _recomputed(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def recompute(*arguments: Any) -> Tensor:
        return checkpoint(  # type: ignore[no-any-return]
            forward, *arguments, use_reentrant=False, preserve_rng_state=False
        )

    return recompute


def _shard(objective: Objective, layout: Layout) -> None:
    """FSDP2: blocks one by one, then what is left; gathered in the activations' dtype, summed in float32."""
    mesh = layout.submesh("replicate", "shard") if layout.replicate > 1 else layout.submesh("shard")
    policy = MixedPrecisionPolicy(cast_forward_inputs=False)
    if objective.dtype != torch.float32:
        policy = MixedPrecisionPolicy(
            param_dtype=objective.dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    for block in objective.model.layers:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(objective, mesh=mesh, mp_policy=policy)
