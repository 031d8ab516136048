"""What ranks say to each other before and around a run: a program of its own, for `test_ranks.py`.

    python together.py FOLDER

Prints one JSON object. One process imports torch and forks the ranks; it computes nothing itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import runs
from _ranks import in_ranks
from tsuzuri.core import ranks as environment
from tsuzuri.core.errors import InputError, TsuzuriError
from tsuzuri.core.progress import say
from tsuzuri.training.devices import DEVICES
from tsuzuri.training.ranks import Ranks, ranks, started_with

BACKWARD = ("optimizer.in_backward=true", "micro_batch_rows=4")
OFFLOAD = ("optimizer.offload=true", "parallel.shard=2")


def error_of(work: Callable[[], Any]) -> str:
    """What its error says."""
    try:
        return f"none: {work()}"
    except TsuzuriError as error:
        return f"{type(error).__name__}: {error.message}"


def fails() -> None:
    """Work that goes wrong by its user's mistake."""
    raise InputError("there is nothing")


def heard() -> list[Any]:
    """What a rank hears of the first one's work, and of work that all join in."""
    calls: list[str] = []

    def make(work: Callable[[], Any]) -> str:
        calls.append("made")
        work()
        return f"box of {environment.rank()}"

    with ranks() as all_ranks:
        if all_ranks.is_first:
            time.sleep(0.2)  # the others wait for its word
        return [
            all_ranks.first(lambda: environment.rank()),
            error_of(lambda: all_ranks.first(fails)),
            all_ranks.lead(make, lambda: calls.append("joined")),
            all_ranks.lead(lambda work: "box that was there", lambda: calls.append("never")),
            error_of(lambda: all_ranks.lead(make, fails)),
            calls,
        ]


def agreed(facts: Callable[[int], dict[str, Any]]) -> str:
    """What a rank is told of facts that each finds for itself."""
    with ranks() as all_ranks:
        return error_of(lambda: all_ranks.agree(lambda: facts(all_ranks.rank)))


def with_other_steps(folder: Path, rank: int) -> dict[str, Any]:
    """The second rank was given another recipe, and finds no tokens."""
    tokens = folder / ("tokens" if rank == 0 else "nowhere")
    return started_with({"train": {"steps": 6 + rank}}, {"tokens": tokens})


def left_alone() -> str:
    """What the first rank is told whose peer dies in the middle of their work."""

    def work() -> None:
        with ranks() as all_ranks:
            all_ranks.join(DEVICES["cpu"])
            dist.all_reduce(torch.ones(1))
            if all_ranks.rank == 1:
                os._exit(3)
            for _ in range(3):
                dist.all_reduce(torch.ones(1))

    return error_of(work)


def run_of(inputs: Path, box: Path, *overrides: str) -> str:
    """What a rank is told of a run."""
    return error_of(lambda: runs.run(inputs, box, *overrides, hooks=[]).counts["steps"])


def ended(message: str) -> bool:
    """Whether a rank leaves it to the first one to say what went wrong."""
    error = InputError(message.format(environment.rank()))
    try:
        with ranks():
            raise error
    except InputError:
        return error.is_repeated


def spoken() -> None:
    """The first rank alone is heard."""
    say(f"rank {environment.rank()} of {environment.world()}")


def main(folder: Path) -> None:
    """All of it."""
    inputs = runs.write_inputs(folder / "inputs")
    same: Callable[[int], dict[str, Any]] = lambda rank: {"code": "same"}  # noqa: E731
    found = {
        "heard": in_ranks(2, heard),
        "agreed": in_ranks(2, partial(agreed, same)),
        "disagreed": in_ranks(2, partial(agreed, partial(with_other_steps, inputs))),
        "left alone": in_ranks(2, left_alone),
        "ended": [in_ranks(2, partial(ended, said)) for said in ("of both", "of rank {}")],
        "spoken": in_ranks(2, spoken),
        "alone": Ranks().lead(lambda work: work(), lambda: "done"),
        "mesh": in_ranks(2, partial(run_of, inputs, folder / "mesh", "parallel.shard=3")),
        "heads": in_ranks(4, partial(run_of, inputs, folder / "heads", "parallel.tensor=4")),
        "rows": in_ranks(3, partial(run_of, inputs, folder / "rows")),
        "backward": in_ranks(2, partial(run_of, inputs, folder / "backward", *BACKWARD)),
        "offload": in_ranks(2, partial(run_of, inputs, folder / "offload", *OFFLOAD)),
        "left": sorted(str(path.relative_to(folder)) for path in folder.glob("*/run.yaml")),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
