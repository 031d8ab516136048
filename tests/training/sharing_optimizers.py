"""Steps of every kind of optimizer on several ranks: a program of its own, for `test_sharded_optimizers.py`.

    python sharing_optimizers.py KIND…

Prints one JSON object: kind → layout → [losses, the largest distance of a weight from that of one process].
One process imports torch and forks the ranks; it computes nothing itself, so that no thread is lost.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

import runs
from _ranks import in_ranks
from tsuzuri.core.errors import TsuzuriError
from tsuzuri.training.config import BLOCK
from tsuzuri.training.devices import DEVICES
from tsuzuri.training.layout import layout
from tsuzuri.training.parallelize import new_model
from tsuzuri.training.step import Trainer

SHAPE = runs.MODEL.model_copy(update={"num_key_value_heads": 2})
IN_BLOCKS = SHAPE.model_copy(update={"head_dim": BLOCK, "intermediate_size": 2 * BLOCK})
"""Its rows are of two blocks of 8-bit moments."""
LAYOUTS = {
    "one": (1, ()),
    "replicate": (2, ("parallel.replicate=2",)),
    "shard": (2, ("parallel.shard=2",)),
    "tensor": (2, ("parallel.tensor=2",)),
    "shard × tensor": (4, ("parallel.shard=2", "parallel.tensor=2")),
}
STEPS = 4


def trained(overrides: tuple[str, ...]) -> tuple[list[float], dict[str, Tensor]] | str:
    """The losses of a few steps on this rank's rows, and the whole weights after them; or an error."""
    world = dist.get_world_size() if dist.is_initialized() else 1
    rank = dist.get_rank() if world > 1 else 0
    config = runs.train_config("optimizer.learning_rate=0.01", *overrides)
    shape = IN_BLOCKS if config.optimizer.kind == "adamw-8bit" else SHAPE
    try:
        place = layout(config, shape, "cpu", rank=rank, world=world)
        model = new_model(shape, place, "cpu", config.seed)
        trainer = Trainer(model, config, DEVICES["cpu"], dtype=torch.float32, compiled=False, layout=place)
        losses = []
        for step in range(STEPS):
            generator = torch.Generator().manual_seed(step)
            rows = torch.randint(1, runs.VOCABULARY, (4, 17), generator=generator)
            own = rows.chunk(place.data_ranks)[place.data_rank]
            losses.append(trainer.step(step, own, 0)["loss"].item())
    except TsuzuriError as error:
        return f"{type(error).__name__}: {error.message}"
    whole = {name: p.detach() for name, p in model.named_parameters()}
    return losses, {name: t.full_tensor() if isinstance(t, DTensor) else t for name, t in whole.items()}


def in_all_layouts(world: int, kinds: list[str]) -> dict[str, dict[str, Any]]:
    """What each kind makes in the layouts of so many ranks."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo")
    return {
        kind: {
            name: trained((*kind.split(), *overrides))
            for name, (ranks, overrides) in LAYOUTS.items()
            if ranks == world
        }
        for kind in kinds
    }


def main(kinds: list[str]) -> None:
    """Print what differs."""
    by_world = {world: in_ranks(world, partial(in_all_layouts, world, kinds)) for world in (1, 2, 4)}
    found: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        alone: Any = by_world[1][0]
        expected = alone[kind]["one"]
        for world in (2, 4):
            for part in by_world[world]:
                assert isinstance(part, dict), f"a rank ended with {part}"
                for name, result in part[kind].items():
                    found.setdefault(kind, {})[name] = (
                        result if isinstance(result, str) else compared(expected, result)
                    )
    print(json.dumps(found))


def compared(expected: Any, found: Any) -> list[float]:
    """The largest difference of a loss, and of a weight."""
    losses = max(abs(a - b) for a, b in zip(expected[0], found[0], strict=True))
    weights = max((expected[1][name] - weight).abs().max().item() for name, weight in found[1].items())
    return [losses, weights]


if __name__ == "__main__":
    main(sys.argv[1:])
