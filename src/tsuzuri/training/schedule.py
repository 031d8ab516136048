"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from tsuzuri.training.config import ScheduleConfig


def learning_rate_fraction(config: ScheduleConfig, step: int, steps: int) -> float:
    """The fraction of the peak learning rate at `step` (0 … steps − 1) of `steps`.

    Warm-up is linear and reaches 1 at its last step. wsd (Hu et al. 2024, MiniCPM) stays there and falls
    linearly over the last `decay_fraction` of the steps (of the falls in Hägele et al. 2024 one of the best).
    Both falls aim at `final_fraction` for the step after the last, so that no step is made at rate 0.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    left = steps - step
    if config.kind == "cosine":
        height = (1 - math.cos(math.pi * left / (steps - config.warmup_steps + 1))) / 2
    else:
        height = min(1.0, left / (config.decay_steps(steps) + 1))
    return config.final_fraction + (1 - config.final_fraction) * height
