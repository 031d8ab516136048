"""Steps in a folder: shared out or not, stopped by an error or a death, and taken up again."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError, ResourceError, ResumeError
from tsuzuri.corpus.work import Workers, in_folder


@dataclass(frozen=True)
class Task:
    """A file that says which process wrote it; some tasks end badly as long as a file `fault` is there."""

    out: Path
    fault: Path
    is_bad: bool = False

    def write(self) -> None:
        if self.out.exists():
            return
        if self.is_bad and self.fault.exists():
            if self.fault.read_text() == "refused":
                raise InputError("this task is refused", hint="leave it out")
            os.kill(os.getpid(), signal.SIGKILL)
        self.out.write_text(str(os.getpid()))


def tasks(folder: Path, name: str, count: int, bad: int = -1) -> list[Task]:
    return [Task(folder / f"{name}-{n}", folder.parent.parent / "fault", n == bad) for n in range(count)]


def pids(of: list[Task]) -> set[int]:
    return {int(task.out.read_text()) for task in of}


def two_steps(bad: int, folder: Path, workers: Workers) -> dict[str, int]:
    """How many processes each step was done by, and whether this one was among them."""
    one, two = tasks(folder, "one", 4), tasks(folder, "two", 4, bad)
    workers.each(methodcaller("write"), one, "first steps")
    workers.each(methodcaller("write"), two, "second steps")
    return {
        "one": len(pids(one)),
        "both": len(pids(one) | pids(two)),
        "here": os.getpid() in pids(one) | pids(two),
    }


def test_one_worker_is_this_process(tmp_path: Path) -> None:
    assert in_folder(tmp_path / "out", {}, partial(two_steps, -1), 1) == {"one": 1, "both": 1, "here": True}


def test_workers_stay_for_the_next_step(tmp_path: Path) -> None:
    counts = in_folder(tmp_path / "out", {}, partial(two_steps, -1), 2)
    assert counts == {"one": 2, "both": 2, "here": False}


def test_a_single_task_is_done_in_this_process(tmp_path: Path) -> None:
    def make(folder: Path, workers: Workers) -> dict[str, int]:
        only = tasks(folder, "only", 1)
        workers.each(methodcaller("write"), only, "a step")
        return {"here": pids(only) == {os.getpid()}}

    assert in_folder(tmp_path / "out", {}, make, 2) == {"here": True}


def test_a_worker_that_dies_ends_the_work_which_goes_on_in_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "fault").write_text("died")
    with pytest.raises(
        ResourceError, match=r"second steps: a worker process crashed \(SIGKILL\) at piece 2"
    ) as caught:
        in_folder(tmp_path / "out", {}, partial(two_steps, 2), 2)
    assert "fewer corpus.workers" in caught.value.hint
    first = {path.name: path.read_text() for path in (tmp_path / "out").rglob("one-*")}
    (tmp_path / "fault").unlink()
    counts = in_folder(tmp_path / "out", {}, partial(two_steps, 2), 2)
    assert len(first) == 4
    assert counts["both"] > counts["one"] == len(set(first.values()))


def test_an_error_for_the_user_ends_the_work(tmp_path: Path) -> None:
    (tmp_path / "fault").write_text("refused")
    with pytest.raises(InputError, match="this task is refused") as caught:
        in_folder(tmp_path / "out", {}, partial(two_steps, 2), 2)
    assert caught.value.hint == "leave it out"


def test_what_has_ended_is_not_done_again(tmp_path: Path) -> None:
    def refuse(folder: Path, workers: Workers) -> dict[str, int]:
        raise AssertionError

    counts = in_folder(tmp_path / "out", {"of": (1, 2)}, lambda *_: {"made": 3}, 1)
    assert in_folder(tmp_path / "out", {"of": (1, 2)}, refuse, 1) == counts == {"made": 3}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock",
        "counts.json",
        "facts.json",
    ]
    with pytest.raises(ResumeError, match="begun with other documents"):
        in_folder(tmp_path / "out", {"of": (1, 3)}, refuse, 1)
