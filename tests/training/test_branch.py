"""Runs that begin with the weights of another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import runs
from tsuzuri.core.errors import InputError, IntegrityError, ResumeError
from tsuzuri.core.lineage import walk
from tsuzuri.core.manifest import box_sha256, read_manifest
from tsuzuri.training import checkpoint
from tsuzuri.training.branch import branch_of
from tsuzuri.training.config import BranchConfig

STANDING = (
    "steps=3",
    "schedule.warmup_steps=0",
    "schedule.decay_fraction=0",
    "optimizer.learning_rate=1e-30",
)
"""A run whose weights stay what they were at first, but for what is lost in rounding: nothing."""
MODEL = "model/model.safetensors"


@pytest.fixture(scope="module")
def seed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps with a milestone after the second; tests only read it."""
    box = tmp_path_factory.mktemp("seed") / "run"
    runs.run(inputs, box, "milestones=[2]", "keep_checkpoints=1")
    return box


@pytest.mark.parametrize("states", [True, False])
def test_a_branch_begins_with_the_weights_of_its_seed(
    inputs: Path, seed: Path, tmp_path: Path, states: bool
) -> None:
    made = runs.run(
        inputs,
        tmp_path / "run",
        *STANDING,
        "optimizer.weight_decay=0",
        branch=branch_of(seed, BranchConfig(states=states)),
    )
    assert made.files[MODEL] == read_manifest(seed).files[MODEL]
    assert made.counts["branch"] == {"step": 6, "states": states, "tokens": 6 * 64}
    assert made.counts["tokens"] == 3 * 64


def test_a_run_goes_on_in_a_branch_as_if_it_had_never_ended(inputs: Path, tmp_path: Path) -> None:
    """With the optimizer's states the first step of a branch is what the next step of the seed had been."""
    own = ("schedule.warmup_steps=0", "schedule.decay_fraction=0")
    runs.run(inputs, tmp_path / "seed", "steps=2", *own)
    last = {}
    for states in (True, False):
        box = tmp_path / f"run-{states}"
        branch = branch_of(tmp_path / "seed", BranchConfig(states=states))
        runs.run(inputs, box, "steps=1", *own, branch=branch)
        whole = checkpoint.load_stored(branch.checkpoint, ("optimizer.",))
        last[states] = checkpoint.load_stored(box / "checkpoints" / "step-00000001", ("optimizer.",))
        counters = [name for name in whole if name.endswith(".step")]
        assert counters
        assert {int(last[states][name]) for name in counters} == {3 if states else 1}
    assert last[True].keys() == last[False].keys()


def test_a_branch_from_a_milestone_begins_there(inputs: Path, seed: Path, tmp_path: Path) -> None:
    branch = branch_of(seed, BranchConfig(step=2))
    made = runs.run(inputs, tmp_path / "run", *STANDING, "optimizer.weight_decay=0", branch=branch)
    assert made.files[MODEL] != read_manifest(seed).files[MODEL]
    assert made.counts["branch"]["tokens"] == 2 * 64
    onwards = branch_of(tmp_path / "run")
    further = runs.run(inputs, tmp_path / "further", "steps=2", branch=onwards)
    assert further.counts["branch"]["tokens"] == 5 * 64  # those of the seed's seed too


def test_the_lineage_of_a_branch_leads_to_its_seed(inputs: Path, seed: Path, tmp_path: Path) -> None:
    runs.run(inputs, tmp_path / "run", "steps=2", branch=branch_of(seed))
    found = {ancestor.name: ancestor for ancestor in walk(tmp_path / "run")}
    assert found["seed"].sha256 == box_sha256(seed)
    assert {ancestor.state for ancestor in found.values()} == {"ok"}


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (None, "branch"),
        (BranchConfig(step=2), "branch.step: 6 → 2"),
        (BranchConfig(states=False), "branch.states: True → False"),
    ],
)
def test_a_branch_does_not_go_on_as_another(
    inputs: Path, seed: Path, tmp_path: Path, again: BranchConfig | None, message: str
) -> None:
    runs.run(inputs, tmp_path, branch=branch_of(seed))
    with pytest.raises(ResumeError, match=message) as error:
        runs.run(inputs, tmp_path, branch=branch_of(seed, again) if again else None)
    assert error.value.hint == "give another --out"


def test_a_branch_keeps_its_beginning_whatever_is_amended(inputs: Path, seed: Path, tmp_path: Path) -> None:
    runs.run(inputs, tmp_path, branch=branch_of(seed))
    longer = runs.run(inputs, tmp_path, branch=branch_of(seed), amend=["train.steps=8"])
    assert longer.counts["steps"] == 8
    with pytest.raises(ResumeError, match="no 'branch' to amend"):
        runs.run(inputs, tmp_path, branch=branch_of(seed), amend=["branch.step=2"])


def test_a_seed_that_changed_is_noticed(inputs: Path, seed: Path, tmp_path: Path) -> None:
    runs.run(inputs, tmp_path / "run", branch=branch_of(seed))
    runs.run(inputs, tmp_path / "other", "milestones=[2]", "seed=2")
    with pytest.raises(ResumeError, match="input seed has changed"):
        runs.run(inputs, tmp_path / "run", branch=branch_of(tmp_path / "other"))


def test_what_cannot_be_branched_from_is_named(inputs: Path, seed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it has no manifest"):
        branch_of(tmp_path)
    with pytest.raises(InputError, match="no checkpoint of step 3") as error:
        branch_of(seed, BranchConfig(step=3))
    assert "2, 4, 6" in error.value.hint
    shutil.copytree(seed, tmp_path / "bare", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(InputError, match="keeps no checkpoint"):
        branch_of(tmp_path / "bare")


def test_a_seed_of_another_shape_is_refused(inputs: Path, seed: Path, tmp_path: Path) -> None:
    wider = runs.MODEL.model_copy(update={"intermediate_size": 48})
    with pytest.raises(IntegrityError, match="is not a checkpoint of this model"):
        runs.run(inputs, tmp_path, model=wider, branch=branch_of(seed))
