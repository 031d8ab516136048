"""How the ranks of a run stand: replicate × shard × tensor, the last of them next to each other.

A data rank is a group of `tensor` ranks that read the same rows. Losses and gradients are means over the data
ranks, of which each counts its share of the batch's tokens as often as there are data ranks: so DDP, FSDP2
and one process compute the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from tsuzuri.core.errors import RecipeError
from tsuzuri.model.config import ModelConfig
from tsuzuri.training.config import TrainConfig, why_not_shared

DIMENSIONS = ("replicate", "shard", "tensor")


@dataclass(frozen=True)
class Layout:
    """Where one rank stands."""

    replicate: int = 1
    shard: int = 1
    tensor: int = 1
    rank: int = 0
    mesh: DeviceMesh | None = None
    """All ranks as replicate × shard × tensor; None in one process."""
    data_group: dist.ProcessGroup | None = None
    """The ranks that read different rows for the same part of the weights."""

    @property
    def data_ranks(self) -> int:
        """Parts that a batch is divided into."""
        return self.replicate * self.shard

    @property
    def data_rank(self) -> int:
        """The part of a batch that is this rank's."""
        return self.rank // self.tensor

    @property
    def is_divided(self) -> bool:
        """Whether a rank holds a part of the weights alone."""
        return self.shard * self.tensor > 1

    def describe(self, device: str) -> str:
        """The devices in words."""
        sizes = {name: getattr(self, name) for name in DIMENSIONS}
        world = math.prod(sizes.values())
        shared = " × ".join(f"{name} {size}" for name, size in sizes.items() if size > 1)
        return f"{world} × {device} ({shared})" if world > 1 else device

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a number over the data ranks, on the device."""
        if self.data_ranks > 1:
            dist.all_reduce(value, group=self.data_group)
        return value

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over the data ranks, on the device."""
        return self.sum(value) / self.data_ranks if self.data_ranks > 1 else value

    def submesh(self, *dimensions: str) -> DeviceMesh:
        """The ranks that differ from this one in `dimensions` alone."""
        assert self.mesh is not None
        return self.mesh[dimensions]


def layout(config: TrainConfig, model: ModelConfig, device: str, *, rank: int = 0, world: int = 1) -> Layout:
    """Where `rank` stands among `world` ranks; RecipeError where they cannot share the run."""
    require_shares(config, model, world)
    replicate, shard, tensor = config.parallel.over(world)
    if world == 1:
        return Layout()
    mesh = init_device_mesh(device, (replicate, shard, tensor), mesh_dim_names=DIMENSIONS)
    if shard * tensor > max(shard, tensor):
        mesh["shard", "tensor"]._flatten("parts")  # torch then sums over both at once
    data_group = mesh["replicate", "shard"]._flatten("data").get_group()
    return Layout(replicate, shard, tensor, rank, mesh, data_group)


def require_shares(config: TrainConfig, model: ModelConfig, world: int) -> None:
    """RecipeError where so many ranks cannot share a run: its batch, its products or its optimizer."""
    replicate, shard, tensor = config.parallel.over(world)
    if config.batch_rows % (replicate * shard):
        raise RecipeError(
            f"train.batch_rows of {config.batch_rows} cannot be shared equally by {replicate * shard} ranks",
            hint=f"make it a multiple of {replicate * shard}",
        )
    if why := why_not_shared(model, config.sequence_length, config.optimizer.kind, tensor):
        raise RecipeError(why, hint="choose another tensor, and train.parallel.shard for the other ranks")
    if config.optimizer.in_backward and world > 1:
        raise RecipeError(
            "train.optimizer.in_backward is for one process: others would miss the gradients it frees",
            hint="set train.optimizer.in_backward=false, or run without torchrun",
        )
    if config.optimizer.offload and shard * tensor > 1:
        raise RecipeError(
            "train.optimizer.offload is for weights that are whole on one device, and these are sharded",
            hint="set train.optimizer.offload=false, or do not shard",
        )
