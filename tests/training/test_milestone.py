"""Weights of milestones, alone, as runs that ended there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import runs
from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.core.manifest import read_manifest, verify_files
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import load_model
from tsuzuri.training import checkpoint
from tsuzuri.training.milestone import load_weights, make_milestone
from tsuzuri.training.update import Update

MILESTONES = ("milestones=[2, 6]", "checkpoint_every=2")


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps with milestones after the second and the last; tests only read it."""
    box = tmp_path_factory.mktemp("milestones") / "run"
    runs.run(inputs, box, *MILESTONES)
    return box


def test_the_last_milestone_is_the_run(whole: Path, tmp_path: Path) -> None:
    made = make_milestone(whole, 6, tmp_path / "last")
    name = "model/model.safetensors"
    assert made.files[name] == read_manifest(whole).files[name]
    for log in ("metrics.jsonl", "samples.jsonl", "run.yaml"):
        assert (tmp_path / "last" / log).read_bytes() == (whole / log).read_bytes()
    verify_files(tmp_path / "last")


def test_a_milestone_is_the_run_as_it_was(whole: Path, tmp_path: Path) -> None:
    made = make_milestone(whole, 2, tmp_path / "box")
    state = Update(GPT(runs.MODEL), runs.train_config(), torch.float32).state()
    checkpoint.load(whole / "checkpoints" / "step-00000002", state)
    model = load_model(tmp_path / "box" / "model")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, state[f"model.{name}"]), name
    assert {line["step"] for line in runs.lines(tmp_path / "box")} == {1, 2}
    tokens = runs.train_config().tokens_per_step
    counts = made.counts
    assert (counts["steps"], counts["tokens"], counts["milestone_of"]) == (2, 2 * tokens, 6)
    epochs = read_manifest(whole).counts["epochs"]
    assert counts["epochs"] == {name: pytest.approx(times / 3) for name, times in epochs.items()}
    assert made.inputs["run"]["path"].endswith("run")
    assert make_milestone(whole, 2, tmp_path / "box") == made  # which is not made again


def test_of_weights_that_are_kept_twice_those_of_more_bits_are_taken(inputs: Path, tmp_path: Path) -> None:
    runs.run(inputs, tmp_path / "run", *MILESTONES, "optimizer.offload=true")
    made = make_milestone(tmp_path / "run", 6, tmp_path / "box")
    whole = read_manifest(tmp_path / "run")
    assert made.files["model/model.safetensors"] == whole.files["model/model.safetensors"]
    tensors = load_weights(tmp_path / "run" / "checkpoints" / "step-00000006")
    assert tensors.keys() == dict(GPT(runs.MODEL).named_parameters()).keys()


def test_a_step_without_a_milestone_is_named(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="keeps no milestone of step 3"):
        make_milestone(whole, 3, tmp_path / "box")
    assert not (tmp_path / "box").exists()


def test_a_damaged_milestone_is_noticed(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    sums = tmp_path / "run" / "checkpoints" / "step-00000002" / "sha256.json"
    facts = json.loads(sums.read_text(encoding="utf-8"))
    name = next(name for name in facts["files"] if name.endswith(".distcp"))
    path = sums.with_name(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="is damaged"):
        make_milestone(tmp_path / "run", 2, tmp_path / "box")
