from __future__ import annotations

import pytest

import runs
from tsuzuri.core.errors import RecipeError
from tsuzuri.training.config import TrainConfig


def test_the_defaults_construct() -> None:
    assert TrainConfig().tokens_per_step == TrainConfig().batch_rows * TrainConfig().sequence_length


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "batch_rows=5",
            r"^test: TrainConfig: batch_rows \(5\) must be a multiple of micro_batch_rows \(2\)\n",
        ),
        ("steps=1", r"schedule.warmup_steps \(1\) must be below steps \(1\)"),
        ("optimizer.learning_rate=0", "optimizer.learning_rate: Input should be greater than 0"),
        ("optimizer.kind=lion", "optimizer.kind: Input should be 'muon' or 'adamw'"),
        ("schedule.warmup=3", "unknown key 'schedule.warmup' .did you mean 'warmup_steps'"),
        ("learning_rate=1", "did you mean 'optimizer.learning_rate'"),
        ("device=tpu", "device: Input should be 'auto', 'cpu' or 'cuda'"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        runs.train_config(override)
