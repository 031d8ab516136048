from __future__ import annotations

from typing import Any

import pytest

import runs
from tsuzuri.core.errors import RecipeError
from tsuzuri.training.config import ScheduleConfig, TrainConfig
from tsuzuri.training.schedule import learning_rate_fraction


def test_the_defaults_construct() -> None:
    assert TrainConfig().tokens_per_step == TrainConfig().batch_rows * TrainConfig().sequence_length


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "batch_rows=5",
            r"^test: batch_rows \(5\) must be a multiple of micro_batch_rows \(2\)\n",
        ),
        ("steps=1", r"schedule.warmup_steps \(1\) must be below steps \(1\)"),
        ("optimizer.learning_rate=0", "optimizer.learning_rate: Input should be greater than 0"),
        ("optimizer.kind=lion", "optimizer.kind: Input should be 'muon', 'adamw'"),
        ("schedule.warmup=3", "unknown key 'schedule.warmup' .did you mean 'warmup_steps'"),
        ("learning_rate=1", "did you mean 'optimizer.learning_rate'"),
        ("device=gpu", "device: Input should be 'auto', 'cpu', 'cuda' or 'tpu'"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        runs.train_config(override)


def test_the_last_step_before_the_fall_is_a_milestone() -> None:
    config = TrainConfig(steps=100, schedule=ScheduleConfig(decay_fraction=0.3))
    fractions = [learning_rate_fraction(config.schedule, step, 100) for step in range(100)]
    assert fractions[69] == 1 > fractions[70]
    assert [step for step in range(1, 101) if config.is_milestone(step)] == [70]


@pytest.mark.parametrize("schedule", [{"kind": "cosine"}, {"decay_fraction": 0.0}])
def test_milestones_are_those_that_are_asked_for(schedule: dict[str, Any]) -> None:
    config = TrainConfig(
        steps=10,
        schedule=ScheduleConfig(warmup_steps=1, **schedule),
        milestones=(3, 5),
        milestone_every=4,
    )
    assert [step for step in range(1, 11) if config.is_milestone(step)] == [3, 4, 5, 8]


def test_a_milestone_beyond_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="milestones holds 11, which is no step of 1 to 10"):
        TrainConfig(steps=10, schedule=ScheduleConfig(warmup_steps=1), milestones=(3, 11))
