"""Checkpoints of several ranks: a program of its own, for `test_resume_ranks.py`. Prints one JSON object.

    python sharing.py FOLDER

One process imports torch and forks the ranks; it computes nothing itself, so that no thread is lost.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_tensor

from _ranks import in_ranks
from tsuzuri.core.errors import TsuzuriError
from tsuzuri.training import checkpoint
from tsuzuri.training.peers import Peers, Votes
from tsuzuri.training.saving import Checkpoints
from tsuzuri.training.shards import local

WHOLE = {
    "rows": torch.arange(35.0).view(7, 5),
    "columns": torch.arange(100.0, 135.0).view(5, 7),
    "alike": torch.arange(200.0, 206.0),
    "plain": torch.tensor(3.0),
}


def state(shape: tuple[int, ...], *, filled: bool) -> dict[str, Tensor]:
    """The tensors as one rank of a mesh of that shape holds them, or room for them."""
    whole = {name: tensor.clone() if filled else torch.zeros_like(tensor) for name, tensor in WHOLE.items()}
    if not dist.is_initialized():
        return whole
    mesh = init_device_mesh("cpu", shape)
    placements: dict[str, list[Placement]] = {
        "rows": [Shard(0)] * len(shape),
        "columns": [*[Replicate()] * (len(shape) - 1), Shard(1)],
        "alike": [Replicate()] * len(shape),
    }
    return {
        name: distribute_tensor(tensor, mesh, placements[name]) if name in placements else tensor
        for name, tensor in whole.items()
    }


def copied_bytes(shape: tuple[int, ...]) -> int:
    """What this rank of a mesh of that shape copies to write it."""
    share = checkpoint.own_share(state(shape, filled=True), Peers())
    return sum(local(tensor).nbytes for tensor in share.values())


def saved(folder: Path, step: int, shape: tuple[int, ...]) -> list[str]:
    """Save as a mesh of that shape; the checkpoint's files."""
    tensors = state(shape, filled=True)
    with Checkpoints(folder, tensors, keep=9) as checkpoints:
        checkpoints.save(step)
        for tensor in tensors.values():
            tensor.zero_()  # the next step, as it were
    return sorted(path.name for path in checkpoint.checkpoints(folder)[-1].iterdir())


def is_loaded(folder: Path, shape: tuple[int, ...]) -> bool:
    """Whether a mesh of that shape finds the right tensors in the newest checkpoint."""
    tensors = state(shape, filled=False)
    with Checkpoints(folder, tensors, keep=9) as checkpoints:
        assert checkpoints.load_newest()
    whole = {name: t.full_tensor() if isinstance(t, DTensor) else t for name, t in tensors.items()}
    return all(torch.equal(whole[name], tensor) for name, tensor in WHOLE.items())


def error_of(work: Callable[[], Any]) -> str:
    """What its error says."""
    try:
        work()
    except TsuzuriError as error:
        return f"{type(error).__name__}: {error.message}"
    return "none"


def with_a_full_disk(folder: Path) -> str:
    """The error of saving where the second rank's disk takes no file of more than 100 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if dist.get_rank() == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        return error_of(lambda: saved(folder, 9, (2,)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def without_a_shard(folder: Path) -> str:
    """The error of loading where the newest checkpoint lacks a file."""
    newest = checkpoint.checkpoints(folder)[-1]
    dist.barrier()
    if dist.get_rank() == 1:
        (newest / "__1_0.distcp").unlink()
    dist.barrier()
    return error_of(lambda: is_loaded(folder, (2,)))


def voted() -> list[int]:
    """What a rank hears, of which the second one wishes something at the second step."""
    votes = Votes()
    return [votes.largest(15 if step == 1 and dist.get_rank() == 1 else 0) for step in range(4)]


def agreed() -> list[Any]:
    """What ranks hear of each other."""
    peers = Peers()

    def fails() -> None:
        if peers.rank == 1:
            raise TsuzuriError("of the second rank")

    return [
        peers.all(lambda: peers.rank * 10),
        peers.first(lambda: f"word of {peers.rank}"),
        error_of(lambda: peers.all(fails)),
    ]


def taken_over(folder: Path, step: int, shape: tuple[int, ...]) -> tuple[bool, list[str], int]:
    """Go on from the newest checkpoint and save one more: whether it was right, the new one's files, and the
    bytes that this rank copies for it."""
    if torch.Size(shape).numel() > 1:
        dist.init_process_group("gloo")
    right = step == 1 or is_loaded(folder, shape)
    return right, saved(folder, step, shape), copied_bytes(shape)


def gone_wrong(folder: Path) -> dict[str, Any]:
    """What two ranks say when something is wrong."""
    dist.init_process_group("gloo")
    other = {name: tensor for name, tensor in WHOLE.items() if name != "plain"}
    return {
        "votes": voted(),
        "agreed": agreed(),
        "full disk": with_a_full_disk(folder),
        "left": sorted(path.name for path in folder.iterdir()),
        "another model": error_of(lambda: checkpoint.load_newest(folder, other)),
        "missing shard": without_a_shard(folder),
    }


def main(folder: Path) -> None:
    """Save and load with different numbers of ranks, then go wrong in different ways."""
    shapes: list[tuple[int, ...]] = [(1,), (2,), (4,), (1,), (2, 2)]
    found = []
    for step, shape in enumerate(shapes, start=1):
        world = torch.Size(shape).numel()
        found.append(in_ranks(world, partial(taken_over, folder, step, shape)))
    print(json.dumps({"taken over": found, "gone wrong": in_ranks(2, partial(gone_wrong, folder))}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
