"""A run killed by SIGKILL, at any operation on its files, ends with the same bytes as one never stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import runs

OPERATIONS = 75
"""About as many as a run makes; places beyond the last begin again with the first."""
GUARDED_OPERATIONS = 172
"""As many as one makes that is rewound twice."""
PLAIN = ("keep_checkpoints=1",)


def endings(
    inputs: Path,
    folder: Path,
    places: Sequence[str],
    overrides: Sequence[str] = PLAIN,
    usual: int = OPERATIONS,
) -> list[str]:
    """What `killing.py` says of the run killed at each place; without being killed it makes the `usual`
    number of operations."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, (str(tests), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    program = str(Path(__file__).with_name("killing.py"))
    command = [sys.executable, program, str(inputs), str(folder), *overrides, *places]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    operations, *found = done.stdout.splitlines()
    assert 0.9 * usual < int(operations) < 1.1 * usual, "the places no longer cover a run"
    return found


@pytest.mark.slow
def test_a_run_killed_here_and_there(inputs: Path, tmp_path: Path) -> None:
    places = [*map(str, range(2, OPERATIONS, 6)), "30+10+25+4"]
    assert endings(inputs, tmp_path, places) == ["same"] * len(places)


@pytest.mark.large
@pytest.mark.timeout(1800)
def test_a_run_killed_everywhere(inputs: Path, tmp_path: Path) -> None:
    places = list(map(str, range(OPERATIONS + 8)))
    assert endings(inputs, tmp_path, places) == ["same"] * len(places)


@pytest.mark.slow
def test_a_run_killed_about_its_spikes(odd: Path, tmp_path: Path) -> None:
    """From the first spike on: the batch computed again, the incident written down, the run rewound."""
    places = [*map(str, range(90, GUARDED_OPERATIONS, 8)), "100+30+20"]
    found = endings(odd, tmp_path, places, runs.GUARDED, GUARDED_OPERATIONS)
    assert found == ["same"] * len(places)
    assert len(runs.lines(tmp_path / "whole", "incidents.jsonl")) == 2


@pytest.mark.slow
def test_a_branch_killed_here_and_there(inputs: Path, tmp_path: Path) -> None:
    """It begins with its seed's weights again as long as it has no checkpoint of its own."""
    runs.run(inputs, tmp_path / "seed")
    places = [*map(str, range(2, OPERATIONS, 8)), "30+10+25+4"]
    found = endings(inputs, tmp_path, places, (*PLAIN, f"branch_of={tmp_path / 'seed'}"))
    assert found == ["same"] * len(places)
