"""Kills runs at chosen places and lets them go on: a program of its own, for `test_killed.py`.

    python killing.py INPUTS FOLDER [KEY=VALUE…] [branch_of=SEED] PLACES…

A place is the number of an operation on files (opening for writing, making, renaming or removing) within the
run's folder: the process is killed by SIGKILL right before it. Several places joined by `+` are those of
one run's processes one after the other. After each the same command is given once more and ends the run in
peace. Prints how many operations a run makes that is never killed, then what each of the others ends with:
`same`, or the names of the files that differ from the first one's.

One process imports torch and forks the others, which takes a hundredth of the time; it computes nothing
itself, so that no thread is lost in the fork.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import runs
from processes import OPERATIONS, in_a_process
from tsuzuri.training.branch import branch_of

SEED = "branch_of="


def watch(box: Path, seen: Callable[[], object]) -> None:
    """Call `seen` before every operation on files within `box`, in this process from now on."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in OPERATIONS or not isinstance(arguments[0], str | Path):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if str(arguments[0]).startswith(str(box)):
            seen()

    sys.addaudithook(hook)


def make_run(inputs: Path, box: Path, overrides: Sequence[str]) -> None:
    """Begin a run, that of a branch where its seed is named, or go on with it."""
    seeds = [word.removeprefix(SEED) for word in overrides if word.startswith(SEED)]
    own = [word for word in overrides if not word.startswith(SEED)]
    runs.run(inputs, box, *own, branch=branch_of(Path(seeds[0])) if seeds else None)


def killed_run(inputs: Path, box: Path, overrides: Sequence[str], place: int) -> None:
    """Go on with the run until its `place`th operation from here, and die there.

    Checkpoints are written while steps go on, so what both have done by then is not always the same.
    """
    count = itertools.count()  # which two threads may ask

    def seen() -> None:
        if next(count) == place:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(box, seen)
    make_run(inputs, box, overrides)


def counted_run(inputs: Path, box: Path, overrides: Sequence[str], count_file: Path) -> None:
    """Make a whole run and write how many operations it took."""
    count = itertools.count()
    watch(box, lambda: next(count))
    make_run(inputs, box, overrides)
    count_file.write_text(str(next(count)))


def main(inputs: Path, folder: Path, overrides: Sequence[str], places: Sequence[str]) -> None:
    """Kill the runs and print how they end."""
    whole = folder / "whole"
    assert in_a_process(lambda: counted_run(inputs, whole, overrides, folder / "count")) == 0
    operations = int((folder / "count").read_text())
    print(operations, flush=True)
    expected = runs.contents(whole)
    for name in places:
        box = folder / name
        for place in map(int, name.split("+")):
            status = in_a_process(partial(killed_run, inputs, box, overrides, place % operations))
            assert status in (0, -signal.SIGKILL), status
        assert in_a_process(partial(make_run, inputs, box, overrides)) == 0
        found = runs.contents(box)
        names = sorted({*found, *expected})
        print(" ".join(name for name in names if found.get(name) != expected.get(name)) or "same", flush=True)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        [word for word in sys.argv[3:] if "=" in word],
        [word for word in sys.argv[3:] if "=" not in word],
    )
