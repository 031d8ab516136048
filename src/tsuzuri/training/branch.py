"""One seed checkpoint to many runs, each of which is from there a run like any other.

A branch begins with the weights of another run, its seed, and has a schedule, data and steps of its own: so
specialists grow from what they share (Li et al. 2022, Branch-Train-Merge, arXiv 2208.03306). Branches know
nothing of each other: each needs the seed's folder alone, on whatever machine. The seed is an input of the
run, by the hash of its manifest, so that lineage leads to it; its checkpoint is read, and compared with its
own sums, as often as the branch is taken up before it has a checkpoint itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsuzuri.core.errors import InputError
from tsuzuri.core.manifest import read_manifest
from tsuzuri.training.checkpoint import checkpoints, step_of
from tsuzuri.training.config import BranchConfig
from tsuzuri.training.run import CHECKPOINTS
from tsuzuri.training.saving import Checkpoints

WEIGHTS = ("model.", "master.")
"""What names of weights begin with in a checkpoint; all others are states of the optimizer."""


@dataclass(frozen=True)
class Branch:
    """Where a run begins: a checkpoint of a finished run."""

    run: Path
    """The seed's folder."""
    step: int
    """Of the seed, after which the checkpoint was written."""
    states: bool
    """Whether the optimizer's states come along."""

    @property
    def checkpoint(self) -> Path:
        """The folder of the checkpoint."""
        return self.run / CHECKPOINTS / f"step-{self.step:08d}"

    def as_mapping(self) -> dict[str, Any]:
        """What a run must not be gone on with otherwise; the seed itself is known by its hash."""
        return {"branch": {"step": self.step, "states": self.states}}

    def begin(self, state: Checkpoints) -> None:
        """Fill a new run's state; IntegrityError where the seed's is damaged or another model's."""
        state.begin_with(self.checkpoint, ("",) if self.states else WEIGHTS)

    def counts(self) -> dict[str, Any]:
        """What the run counts of its seed: the step, and tokens read before, those of its own seed too."""
        seed = read_manifest(self.run, "run").counts
        before = seed.get("branch", {}).get("tokens", 0)
        tokens = seed["tokens"] * self.step // seed["steps"]
        return {"branch": {"step": self.step, "states": self.states, "tokens": before + tokens}}


def branch_of(run: Path, config: BranchConfig = BranchConfig()) -> Branch:  # noqa: B008 (frozen)
    """The branch that begins with a checkpoint of a finished run: its last, or one that it keeps.

    Raises InputError where the run is not finished or keeps no such checkpoint, naming those that it keeps.
    """
    read_manifest(run, "run")
    kept = list(map(step_of, checkpoints(run / CHECKPOINTS)))
    if not kept:
        raise InputError(
            f"{run} keeps no checkpoint to branch from",
            hint="bring its folder here whole, or run the command that makes it again",
        )
    step = config.step or kept[-1]
    if step not in kept:
        there = ", ".join(f"{number:,}" for number in kept)
        raise InputError(
            f"{run} keeps no checkpoint of step {step:,}",
            hint=f"branch from one of: {there}; train.milestones of the seed's recipe keeps others",
        )
    return Branch(run, step, config.states)
