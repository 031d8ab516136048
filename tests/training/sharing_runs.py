"""Runs that are gone on with by other ranks: a program of its own, for `test_resume_ranks.py`.

    python sharing_runs.py INPUTS FOLDER

Prints one JSON object. One process imports torch and forks the ranks; it computes nothing itself, so that no
thread is lost.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import runs
from _ranks import in_ranks
from tsuzuri.core.errors import Stopped
from tsuzuri.core.ranks import rank, world
from tsuzuri.model.gpt import GPT
from tsuzuri.training import checkpoint
from tsuzuri.training.hooks import Hook

MODEL = runs.MODEL.model_copy(update={"num_key_value_heads": 2})  # heads that two ranks can share
SAMPLES = runs.HOOKS[1]  # which lets the model compute; of a shared one no rank has all weights at hand
SHARDED = ("train.parallel.shard=2",)
DIVIDED = ("train.parallel.shard=2", "train.parallel.tensor=2")
WHOLE = ("train.parallel.shard=1", "train.parallel.tensor=1")


def signal_at(step: int, number: int) -> Hook:
    """A hook by which the last rank meets a signal after its `step`th call; for 0 it never does."""
    calls = 0

    def hook(model: GPT, dtype: torch.dtype) -> int:
        nonlocal calls
        calls += 1
        if calls == step and rank() == world() - 1:
            os.kill(os.getpid(), number)
        return 1

    return Hook("signal", 1, hook)


def go_on(
    inputs: Path, box: Path, step: int = 0, number: int = signal.SIGTERM, amend: Sequence[str] = ()
) -> str:
    """Go on with a run until the signal's step, counted from here, or to its end; how it ended."""
    try:
        runs.run(inputs, box, model=MODEL, hooks=(SAMPLES, signal_at(step, number)), amend=amend)
    except Stopped as stopped:
        return stopped.message
    return "ended"


def elastic(inputs: Path, box: Path, amendments: Sequence[Sequence[str]]) -> list[Any]:
    """How a run ends on one, two, four and again one rank, stopped in between."""
    ways = zip((1, 2, 4, 1), (1, 1, 1, 0), amendments, strict=True)
    return [in_ranks(n, partial(go_on, inputs, box, step, amend=amend)) for n, step, amend in ways]


def main(inputs: Path, folder: Path) -> None:
    """Make runs whole and in parts, and print how they end."""
    found: dict[str, Any] = {}
    in_ranks(1, partial(go_on, inputs, folder / "alone"))
    found["copies ended"] = elastic(inputs, folder / "copies", [()] * 4)
    found["parts ended"] = elastic(inputs, folder / "parts", [(), SHARDED, DIVIDED, WHOLE])
    found["losses"] = {name: runs.losses(folder / name) for name in ("alone", "copies", "parts")}
    two = partial(in_ranks, 2)
    two(partial(go_on, inputs, folder / "two", amend=SHARDED))
    for name, number in (("stopped", signal.SIGUSR1), ("killed", signal.SIGKILL)):
        box = folder / name
        found[f"{name} ended"] = two(partial(go_on, inputs, box, 3, number, amend=SHARDED))
        found[f"{name} left"] = [
            checkpoint.step_of(path) for path in checkpoint.checkpoints(box / "checkpoints")
        ]
        found[f"{name} went on"] = two(partial(go_on, inputs, box, amend=SHARDED))
        found[f"{name} differs in"] = differences(folder / "two", box)
    print(json.dumps(found))


def differences(one: Path, other: Path) -> list[str]:
    """The names of the files of two runs that differ."""
    first, second = runs.contents(one), runs.contents(other)
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
