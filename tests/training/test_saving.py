"""Saving in the background: what is written is the state as it was, and no error is lost."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tsuzuri.core.errors import IntegrityError, ResourceError, TrainingError
from tsuzuri.training import checkpoint
from tsuzuri.training.saving import Checkpoints


def state() -> dict[str, torch.Tensor]:
    """A state of a few megabytes, which takes longer to be written than to be changed."""
    return {"a": torch.arange(1_000_000.0), "b": torch.tensor(3.0)}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Within it the disk takes no larger file (bytes)."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def loaded(path: Path) -> dict[str, torch.Tensor]:
    """What a checkpoint holds."""
    tensors = {name: torch.zeros_like(tensor) for name, tensor in state().items()}
    checkpoint.load(path, tensors)
    return tensors


def test_what_changes_after_a_save_is_not_in_it(tmp_path: Path) -> None:
    tensors = state()
    with Checkpoints(tmp_path, tensors, keep=9) as saving:
        for step in range(1, 4):
            saving.save(step)
            for tensor in tensors.values():
                tensor.add_(1)
    for step in range(1, 4):
        found = loaded(tmp_path / f"step-0000000{step}")
        assert all(torch.equal(found[name], tensor + step - 1) for name, tensor in state().items())


def test_it_goes_on_from_the_newest(tmp_path: Path) -> None:
    tensors = state()
    with Checkpoints(tmp_path, tensors, keep=1) as saving:
        assert saving.load_newest() == 0
        saving.save(5, milestone=True)
        saving.save(6)
        tensors["a"].zero_()
        assert saving.load_newest() == 6
    assert torch.equal(tensors["a"], state()["a"])
    assert checkpoint.milestones(tmp_path) == [5]


def test_a_run_is_rewound_to_what_it_would_have_saved_anyway(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, state(), keep=9) as saving:
        for step in (4, 8, 9):
            saving.save(step, regular=step % 4 == 0)
        assert saving.rewind() == 8
        saving.save(9, regular=False)
        saving.wait()
        assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [4, 8, 9]
    with Checkpoints(tmp_path / "stopped at once", state(), keep=9) as saving:
        saving.save(1, regular=False)
        assert saving.rewind() == 0
    assert list((tmp_path / "stopped at once").iterdir()) == []


def test_a_step_that_was_tried_is_passed_over_where_there_is_an_older_one(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, state(), keep=9) as saving:
        for step in (4, 8, 9, 12):
            saving.save(step, regular=step != 9)
        assert saving.rewind({12}) == 8
        assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [4, 8]
        assert saving.rewind({4, 8}) == 8, "all were tried: the first weights would lose the whole run"


def test_what_is_no_number_is_not_saved(tmp_path: Path) -> None:
    tensors = state()
    saving = Checkpoints(tmp_path, tensors, keep=9)
    saving.save(1)
    tensors["a"].view(-1)[3] = torch.nan
    saving.save(2)
    with pytest.raises(TrainingError, match="after step 2 a holds what is no number"):
        saving.wait()
    assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [1]


def test_a_step_is_saved_once(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, state(), keep=1) as saving:
        saving.save(1)
        saving.wait()
        before = (tmp_path / "step-00000001").stat().st_ctime_ns
        saving.save(1)
        saving.wait()
        assert (tmp_path / "step-00000001").stat().st_ctime_ns == before


def test_an_error_of_the_disk_comes_out_at_the_next_save(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, state(), keep=9) as saving:
        saving.save(1)
        saving.wait()
        assert not saving.has_failed()
        with files_of_at_most(100_000):
            saving.save(2)
            with pytest.raises(ResourceError, match="step-00000002 cannot be written"):
                saving.save(3)
        saving.save(4)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000001", "step-00000004"]
    assert torch.equal(loaded(tmp_path / "step-00000001")["a"], state()["a"])


def save_in_vain(folder: Path) -> None:
    """A checkpoint that the disk does not take, and the end of its run."""
    with files_of_at_most(100_000), Checkpoints(folder, state(), keep=1) as saving:
        saving.save(1)
        while not saving.has_failed():
            time.sleep(0.01)


def test_an_error_of_the_last_save_comes_out_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="step-00000001"):
        save_in_vain(tmp_path)
    assert list(tmp_path.iterdir()) == []


def go_wrong_while_saving(folder: Path) -> None:
    """A run that ends by an error of its own while its checkpoint meets one too."""
    with files_of_at_most(100_000), Checkpoints(folder, state(), keep=1) as saving:
        saving.save(1)
        raise TrainingError("first")


def test_an_error_of_a_save_does_not_hide_that_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TrainingError, match="first"):
        go_wrong_while_saving(tmp_path)
    assert "the last checkpoint was not written either: " in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, state(), keep=1) as saving:
        saving.save(1)
    other = Checkpoints(tmp_path, {"a": torch.zeros(3)}, keep=1)
    with other, pytest.raises(IntegrityError, match="not a checkpoint of this model"):
        other.load_newest()
    assert checkpoint.newest_step(tmp_path) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_what_a_gpu_holds_is_copied_before_it_changes(tmp_path: Path) -> None:
    tensors = {name: tensor.cuda() for name, tensor in state().items()}
    with Checkpoints(tmp_path, tensors, keep=9) as saving:
        for step in range(1, 4):
            saving.save(step)
            for tensor in tensors.values():
                tensor.add_(1)
        assert saving.load_newest() == 3
    for step in range(1, 4):
        found = loaded(tmp_path / f"step-0000000{step}")
        assert all(torch.equal(found[name], tensor + step - 1) for name, tensor in state().items())
    assert all(torch.equal(tensors[name].cpu(), tensor + 2) for name, tensor in state().items())
