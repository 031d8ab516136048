"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from tsuzuri.training.config import ScheduleConfig


def learning_rate_fraction(config: ScheduleConfig, step: int, steps: int) -> float:
    """The fraction of the peak learning rate at `step` (0 … steps − 1) of `steps`.

    Warm-up is linear and reaches 1 at its last step. wsd (Hu et al. 2024, MiniCPM) stays there and falls linearly
    over the last `decay_fraction` of the steps (linear is the best of the falls in Hägele et al. 2024, with 1 − √).
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.kind == "cosine":
        progress = (step - config.warmup_steps) / max(1, steps - 1 - config.warmup_steps)
        return config.final_fraction + (1 - config.final_fraction) * (1 + math.cos(math.pi * progress)) / 2
    decay_steps = round(config.decay_fraction * steps)
    left = steps - step  # 1 at the last step
    if left >= decay_steps:
        return 1.0
    return config.final_fraction + (1 - config.final_fraction) * left / (decay_steps + 1)
