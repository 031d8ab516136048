"""Matrices shared by the ranks of a mesh: the plan of tensor parallelism, and the loss that goes with it.

Heads, the width inside the MLP and the vocabulary are divided (Shoeybi et al. 2019, arXiv 1909.08053), and
between them, where every rank would compute the same, the positions of a row (sequence parallel, Korthikanti
et al. 2022, arXiv 2205.05198): a norm gathers what the next products read, their sum is scattered again. A
head of 1/n of the vocabulary gives 1/n of the logits, and what a softmax needs of the others is three
numbers a position. Deviations: none in what is computed.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import Gradient

SEQUENCE = Shard(1)


class GatheringNorm(ParallelStyle):
    """A norm of a part of the positions (B, T / n, D) whose result (B, T, D) every rank has, as a DTensor."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        # torch says that these return nothing, and uses what they return
        return distribute_module(module, device_mesh, None, self._divided, self._gathered)  # type: ignore[arg-type]

    @staticmethod
    def _divided(module: nn.Module, inputs: tuple[Tensor, ...], mesh: DeviceMesh) -> DTensor:
        return DTensor.from_local(inputs[0], mesh, [SEQUENCE], run_check=False)

    @staticmethod
    def _gathered(module: nn.Module, output: DTensor, mesh: DeviceMesh) -> DTensor:
        return output.redistribute(placements=[Replicate()])


class DividedLookup(ParallelStyle):
    """An embedding (V / n, D): tokens (B, T), the same on every rank → a part of the positions (B, T / n, D).

    Not torch's RowwiseParallel: what that returns is still on its way, which compiled blocks do not take.
    """

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, self._divided, self._tokens, self._scattered)  # type: ignore[arg-type]

    @staticmethod
    def _divided(name: str, module: nn.Module, mesh: DeviceMesh) -> None:
        weight = distribute_tensor(module.get_parameter("weight"), mesh, [Shard(0)], src_data_rank=None)
        module.register_parameter("weight", nn.Parameter(weight))

    @staticmethod
    def _tokens(module: nn.Module, inputs: tuple[Tensor, ...], mesh: DeviceMesh) -> DTensor:
        return DTensor.from_local(inputs[0], mesh, [Replicate()], run_check=False)

    @staticmethod
    def _scattered(module: nn.Module, output: DTensor, mesh: DeviceMesh) -> Tensor:
        return output.redistribute(placements=[SEQUENCE]).to_local()


class VocabularyHead(ParallelStyle):
    """A head (V / n, D), which the loss reads as it is."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        assert isinstance(module, nn.Linear)
        weight = distribute_tensor(module.weight, device_mesh, [Shard(0)], src_data_rank=None)
        module.register_parameter("weight", nn.Parameter(weight))
        return module


def share_matrices(model: GPT, mesh: DeviceMesh) -> None:
    """Divide the matrices of a model by the ranks of `mesh`: parameters become DTensors, their names stay."""
    plan: dict[str, ParallelStyle] = {"norm": GatheringNorm()}
    for name, module in model.named_children():
        if isinstance(module, nn.Embedding):
            plan[name] = DividedLookup()
    if not model.config.tie_word_embeddings:
        plan["lm_head"] = VocabularyHead()
    parallelize_module(model, mesh, plan)
    for block in model.layers:
        parallelize_module(block, mesh, _plan_of(block))


def sum_gradients_of_replicas(model: GPT) -> None:
    """Let what every rank has whole get whole gradients: each rank saw some positions, or heads, of it.

    Where FSDP2 divides the parameters further, nothing is whole, and it does that itself.
    """
    for parameter in model.parameters():
        if isinstance(parameter, DTensor) and parameter.placements == (Replicate(),):
            parameter.register_hook(_whole_gradient)  # type: ignore[no-untyped-call]


def _whole_gradient(gradient: DTensor) -> DTensor:
    return gradient.redistribute(placements=[Replicate()])


def _plan_of(block: nn.Module) -> dict[str, ParallelStyle]:
    plan: dict[str, ParallelStyle] = {}
    for name, module in block.named_modules():
        if name.endswith("_proj"):
            into_residual = name.endswith(("o_proj", "down_proj"))
            plan[name] = RowwiseParallel(output_layouts=SEQUENCE) if into_residual else ColwiseParallel()
        elif name.endswith("layernorm"):
            plan[name] = GatheringNorm()
        elif name.endswith(("q_norm", "k_norm")) and list(module.parameters()):
            plan[name] = SequenceParallel(sequence_dim=2, use_local_output=True)  # heads, after positions
    return plan


def vocabulary_gradient(mesh: DeviceMesh, vocab_size: int) -> Gradient:
    """`model.loss.softmax_gradient` for logits of this rank's part of the vocabulary."""
    start = mesh.get_local_rank() * (vocab_size // mesh.size())
    return partial(_softmax_gradient, group=mesh.get_group(), start=start)


def _softmax_gradient(
    logits: Tensor, index: Tensor, out: Tensor, *, group: dist.ProcessGroup, start: int
) -> Tensor:
    logits = logits.float()
    own = (index >= start) & (index < start + logits.shape[1])  # (n, 1): targets in this part
    place = (index - start).clamp(0, logits.shape[1] - 1)
    largest = logits.amax(dim=-1)
    dist.all_reduce(largest, dist.ReduceOp.MAX, group=group)
    shifted = logits - largest[:, None]
    target = torch.where(own, shifted.gather(1, place), 0.0)[:, 0]
    sums = torch.stack([shifted.exp().sum(dim=-1), target])
    dist.all_reduce(sums, group=group)
    log_normalizer = sums[0].log()
    gradient = (shifted - log_normalizer[:, None]).exp_()
    gradient.scatter_add_(1, place, -own.to(gradient.dtype))
    out.copy_(gradient)
    return log_normalizer - sums[1]
