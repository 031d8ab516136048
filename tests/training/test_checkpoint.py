"""Damaged, foreign and unwritable checkpoints and shards: one clear error each, and nothing is lost."""

from __future__ import annotations

import resource
import shutil
import time
from pathlib import Path

import pytest
import torch

import runs
from tsuzuri.core.errors import IntegrityError, ResourceError
from tsuzuri.training import checkpoint
from tsuzuri.training.hooks import Hook

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3.0)}


def blank() -> dict[str, torch.Tensor]:
    """Tensors to be filled."""
    return {name: torch.zeros_like(tensor) for name, tensor in TENSORS.items()}


def flip_byte(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 7, TENSORS, keep=1)
    found = blank()
    assert checkpoint.load_newest(tmp_path, found) == 7
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def test_where_there_is_none_nothing_is_loaded(tmp_path: Path) -> None:
    assert checkpoint.load_newest(tmp_path / "nowhere", blank()) == 0
    assert checkpoint.newest_step(tmp_path / "nowhere") == 0


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 100):
        checkpoint.save(tmp_path, step, TENSORS, keep=2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000010", "step-00000100"]


def test_what_a_stop_left_displaces_nothing(tmp_path: Path) -> None:
    def steps() -> list[int]:
        return [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)]

    for step in (2, 4, 5, 7):
        checkpoint.save(tmp_path, step, TENSORS, keep=2, regular=step % 2 == 0)
    assert steps() == [2, 4, 7]
    checkpoint.save(tmp_path, 8, TENSORS, keep=2)
    assert steps() == [4, 8]


def test_milestones_are_kept_beside_the_newest(tmp_path: Path) -> None:
    for step in range(1, 8):
        checkpoint.save(tmp_path, step, TENSORS, keep=2, milestone=step in (2, 3, 6))
    assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [2, 3, 6, 7]
    assert checkpoint.milestones(tmp_path) == [2, 3, 6]
    assert {path.name for path in tmp_path.iterdir()} == {f"step-0000000{step}" for step in (2, 3, 6, 7)}


def test_the_same_tensors_give_the_same_bytes(tmp_path: Path) -> None:
    for place in ("one", "two"):
        checkpoint.save(tmp_path / place, 1, TENSORS, keep=1)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / place / "step-00000001").iterdir()}
        for place in ("one", "two")
    )
    assert one == two
    assert set(one) == {".metadata", "__0_0.distcp", checkpoint.SUMS}
    assert str(tmp_path).encode() not in one[".metadata"]


def test_a_checkpoint_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, TENSORS, keep=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    checkpoint.save(tmp_path, 1, TENSORS, keep=1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata", checkpoint.SUMS])
def test_a_flipped_byte_is_found(tmp_path: Path, name: str) -> None:
    checkpoint.save(tmp_path, 1, TENSORS, keep=1)
    flip_byte(tmp_path / "step-00000001" / name)
    with pytest.raises(IntegrityError, match=r"step-00000001[^$]*remove .*step-00000001"):
        checkpoint.load_newest(tmp_path, blank())


def test_a_torn_file_is_found(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, TENSORS, keep=1)
    file = tmp_path / "step-00000001" / "__0_0.distcp"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match=r"__0_0\.distcp is damaged"):
        checkpoint.load_newest(tmp_path, blank())


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata", checkpoint.SUMS])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    checkpoint.save(tmp_path, 1, TENSORS, keep=1)
    (tmp_path / "step-00000001" / name).unlink()
    with pytest.raises(IntegrityError, match=f"{name} is missing"):
        checkpoint.load_newest(tmp_path, blank())


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({**TENSORS, "a": torch.zeros(3, 2)}, r"a is float32 \(2, 3\) there and float32 \(3, 2\) here"),
        (
            {**TENSORS, "a": torch.zeros(2, 3).half()},
            r"a is float32 \(2, 3\) there and float16 \(2, 3\) here",
        ),
        ({"a": torch.zeros(2, 3)}, r"b is float32 \(\) there and absent here"),
        ({**TENSORS, "c": torch.zeros(1)}, r"c is absent there and float32 \(1,\) here"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
) -> None:
    checkpoint.save(tmp_path, 1, TENSORS, keep=1)
    with pytest.raises(IntegrityError, match=f"not a checkpoint of this model: {message}"):
        checkpoint.load_newest(tmp_path, tensors)


def test_a_run_with_a_damaged_checkpoint_goes_on_from_the_one_before(
    inputs: Path, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    newest = tmp_path / "run" / "checkpoints" / "step-00000006"
    flip_byte(newest / "__0_0.distcp")
    with pytest.raises(IntegrityError, match="is damaged"):
        runs.run(inputs, tmp_path / "run")
    shutil.rmtree(newest)  # as the hint says
    runs.run(inputs, tmp_path / "run")
    assert runs.contents(tmp_path / "run") == runs.contents(finished)


@pytest.mark.parametrize("name", ["train-a.bin", "train-b.idx", "pieces.json"])
def test_a_flipped_byte_in_a_shard_is_found_before_the_first_step(
    inputs: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(inputs, tmp_path / "inputs")
    flip_byte(tmp_path / "inputs" / "tokens" / name)
    with pytest.raises(IntegrityError, match=name):
        runs.run(tmp_path / "inputs", tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_another_tokenizer_than_that_of_the_shards_is_refused(inputs: Path, tmp_path: Path) -> None:
    other = runs.write_inputs(tmp_path / "other", seed=9)
    shutil.copytree(inputs / "tokens", tmp_path / "mixed" / "tokens")
    shutil.copytree(other / "tokenizer", tmp_path / "mixed" / "tokenizer")
    with pytest.raises(IntegrityError, match="packed with another tokenizer"):
        runs.run(tmp_path / "mixed", tmp_path / "run")


def test_a_full_disk_keeps_the_last_checkpoint(inputs: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def nothing_large(*unused: object) -> int:
        while checkpoint.newest_step(tmp_path / "run" / "checkpoints") < 2:
            time.sleep(0.01)  # it is being written meanwhile
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        return 0

    hooks = [Hook("disk", 3, nothing_large)]
    try:
        with pytest.raises(
            ResourceError, match=r"step-00000004 cannot be written[^$]*the same command again"
        ):
            runs.run(inputs, tmp_path / "run", hooks=hooks)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    hooks = [Hook("disk", 3, lambda model, dtype: 0)]
    runs.run(inputs, tmp_path / "run", hooks=hooks)
    runs.run(inputs, tmp_path / "whole", hooks=hooks)
    assert runs.contents(tmp_path / "run") == runs.contents(tmp_path / "whole")
