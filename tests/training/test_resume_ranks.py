"""Runs and checkpoints of several ranks: another number of them goes on, and what is wrong is said by all."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def output_of(program: str, *arguments: str) -> Any:
    """What a program beside this file prints, as JSON."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join(
        filter(None, (str(root / "tests"), str(root / "bench"), os.environ.get("PYTHONPATH")))
    )
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `sharing.py` found."""
    found: dict[str, Any] = output_of("sharing.py", str(tmp_path_factory.mktemp("shared")))
    return found


WORLDS = [1, 2, 4, 1, 4]


def test_another_number_of_ranks_reads_the_same_tensors(shared: dict[str, Any]) -> None:
    assert [[right for right, *_ in ranks] for ranks in shared["taken over"]] == [[True] * n for n in WORLDS]


def test_every_rank_writes_its_own_file(shared: dict[str, Any]) -> None:
    for world, ranks in zip(WORLDS, shared["taken over"], strict=True):
        files = [".metadata", *(f"__{rank}_0.distcp" for rank in range(world)), "sha256.json"]
        assert [found for _, found, _ in ranks] == [files] * world


def test_ranks_copy_together_what_one_would_alone(shared: dict[str, Any]) -> None:
    numbers = 35 + 35 + 6 + 1  # of float32, however many ranks hold them alike
    for ranks in shared["taken over"]:
        copied = [size for _, _, size in ranks]
        assert sum(copied) == 4 * numbers
        assert max(copied) < 4 * numbers or len(ranks) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            "full disk",
            "ResourceError: .*/step-00000009 cannot be written: it is larger than a file may be here",
        ),
        (
            "another model",
            "IntegrityError: .*/step-00000005 is not a checkpoint of this model: "
            r"plain is float32 \(\) there and absent here",
        ),
        ("missing shard", r"IntegrityError: .*/step-00000005/__1_0\.distcp is missing"),
    ],
)
def test_what_is_wrong_for_one_rank_is_said_by_all(shared: dict[str, Any], wrong: str, said: str) -> None:
    first, second = (rank[wrong] for rank in shared["gone wrong"])
    assert re.fullmatch(said, first)
    assert second == first


def test_a_full_disk_leaves_the_checkpoints_before(shared: dict[str, Any]) -> None:
    assert shared["gone wrong"][0]["left"] == [f"step-0000000{step}" for step in range(1, 6)]


def test_the_largest_wish_of_any_rank_is_heard_by_all_at_the_same_step(shared: dict[str, Any]) -> None:
    assert [rank["votes"] for rank in shared["gone wrong"]] == [[0, 0, 15, 0]] * 2


def test_ranks_hear_each_other(shared: dict[str, Any]) -> None:
    heard = [[0, 10], "word of 0", "TsuzuriError: of the second rank"]
    assert [rank["agreed"] for rank in shared["gone wrong"]] == [heard] * 2


@pytest.fixture(scope="module")
def resumed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `sharing_runs.py` found."""
    folder = tmp_path_factory.mktemp("resumed")
    found: dict[str, Any] = output_of("sharing_runs.py", str(inputs), str(folder))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copies", "parts"])
def test_another_number_of_ranks_goes_on_with_the_same_rows(resumed: dict[str, Any], way: str) -> None:
    """Ranks beyond the first hear of a stop one step later, so that none waits for another."""
    assert resumed[f"{way} ended"] == [
        [f"stopped by SIGTERM, saved after step {step} of 6"] * world
        for world, step in ((1, 1), (2, 3), (4, 5))
    ] + [["ended"]]
    assert resumed["losses"][way] == pytest.approx(resumed["losses"]["alone"], rel=0, abs=1e-6)


@pytest.mark.slow
def test_the_same_ranks_go_on_to_the_same_bytes(resumed: dict[str, Any]) -> None:
    assert resumed["stopped ended"] == ["stopped by SIGUSR1, saved after step 4 of 6"] * 2
    assert resumed["stopped went on"] == ["ended"] * 2
    assert resumed["stopped differs in"] == []


@pytest.mark.slow
def test_a_killed_rank_ends_the_others_and_the_same_command_goes_on(resumed: dict[str, Any]) -> None:
    """Whether the rank died before the checkpoint under way was whole or after it."""
    other, killed = resumed["killed ended"]
    assert killed == -signal.SIGKILL
    assert other == 1
    assert resumed["killed went on"] == ["ended"] * 2
    assert resumed["killed differs in"] == []
