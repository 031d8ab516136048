"""Processes that share a run: the first one's word, what they must agree on, what is refused, who dies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import runs
from tsuzuri.core.errors import RecipeError
from tsuzuri.model.ladder import model_config
from tsuzuri.training.config import ParallelConfig
from tsuzuri.training.layout import require_shares


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `together.py` found, and under "errors" what it said."""
    root = Path(__file__).parents[2]
    places = (str(root / "tests"), str(root / "bench"), os.environ.get("PYTHONPATH", ""))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), "OMP_NUM_THREADS": "1"}
    program = Path(__file__).with_name("together.py")
    command = [sys.executable, str(program), str(tmp_path_factory.mktemp("together"))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "errors": done.stderr}


def test_the_first_rank_works_and_all_hear_what_came_of_it(told: dict[str, Any]) -> None:
    first, second = told["heard"]
    nothing = "InputError: there is nothing"
    assert first == [0, nothing, "box of 0", "box that was there", nothing, ["made", "joined", "made"]]
    assert second == [*first[:5], ["joined"]]
    assert told["alone"] == "done"


def test_ranks_that_were_started_alike_agree(told: dict[str, Any]) -> None:
    assert told["agreed"] == ["none: None"] * 2


def test_a_rank_with_another_recipe_or_data_is_named_on_every_rank(told: dict[str, Any]) -> None:
    first, second = told["disagreed"]
    assert first == second
    assert re.fullmatch(
        "RecipeError: rank 1 was not started as rank 0: "
        r"data.tokens: '\w{64}' → '.*/nowhere does not exist'; train.steps: 6 → 7",
        first,
    )


def test_a_rank_whose_peer_died_says_so_and_ends(told: dict[str, Any]) -> None:
    first, second = told["left alone"]
    assert second == 3
    assert first.startswith("ResourceError: rank 0 has lost the others: ")


def test_an_error_of_all_ranks_is_said_by_the_first(told: dict[str, Any]) -> None:
    assert told["ended"] == [[False, True], [False, False]]


def test_only_the_first_rank_speaks(told: dict[str, Any]) -> None:
    assert "rank 0 of 2\n" in told["errors"]
    assert "rank 1 of 2" not in told["errors"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("mesh", "train.parallel: replicate any × shard 3 × tensor 1 does not make 2 processes"),
        ("heads", "num_attention_heads of 2 cannot be shared equally by train.parallel.tensor=4"),
        ("rows", "train.batch_rows of 4 cannot be shared equally by 3 ranks"),
        (
            "backward",
            "train.optimizer.in_backward is for one process: others would miss the gradients it frees",
        ),
        (
            "offload",
            "train.optimizer.offload is for weights that are whole on one device, and these are sharded",
        ),
    ],
)
def test_what_ranks_cannot_share_is_refused_on_every_rank(told: dict[str, Any], what: str, said: str) -> None:
    assert told[what] == [f"RecipeError: {said}"] * len(told[what])
    assert told["left"] == []  # a run that was refused is as if never begun


@pytest.mark.parametrize(
    ("size", "columns"), [("gpt3-1.3b", "intermediate_size of 5504"), ("gpt3-125m", "× head_dim of 768")]
)
def test_no_block_of_8_bit_moments_is_divided(size: str, columns: str) -> None:
    """Of 5,504 columns 22 scales are as many as twice 11 of 2,752: by other ranks they would be misread."""
    model = model_config(size, vocab_size=32_000)
    shared = runs.train_config("optimizer.kind=adamw-8bit", "parallel.tensor=2")
    with pytest.raises(RecipeError, match=f"{columns} cannot be shared by .*tensor=2 in whole blocks"):
        require_shares(shared, model, 4)
    require_shares(shared, model_config("gpt3-760m", vocab_size=32_000), 4)
    require_shares(runs.train_config("optimizer.kind=adamw-8bit"), model, 4)


@pytest.mark.parametrize(
    ("values", "processes", "expected"),
    [
        ({}, 1, (1, 1, 1)),
        ({}, 8, (8, 1, 1)),
        ({"shard": 4}, 8, (2, 4, 1)),
        ({"replicate": 2, "shard": 2, "tensor": 2}, 8, (2, 2, 2)),
    ],
)
def test_what_is_left_open_is_replicated(
    values: dict[str, int], processes: int, expected: tuple[int, int, int]
) -> None:
    assert ParallelConfig.model_validate(values).over(processes) == expected


@pytest.mark.parametrize(
    ("values", "processes"), [({"shard": 2}, 1), ({"shard": 3}, 8), ({"replicate": 2}, 8), ({"tensor": 8}, 4)]
)
def test_what_does_not_make_the_processes_is_refused(values: dict[str, int], processes: int) -> None:
    with pytest.raises(RecipeError, match=f"does not make {processes} processes"):
        ParallelConfig.model_validate(values).over(processes)
