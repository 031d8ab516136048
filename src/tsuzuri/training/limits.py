"""What the loss of a step and the norm of its gradient must be below: like the steps before it.

A limit is the median of the last `window` steps and so many times their median absolute deviation (MAD) above
it: unlike mean and standard deviation, a few outliers in the window move neither. OLMo takes six standard
deviations of the last 128 steps (OLMo-core, SkipStepOptimizer).

The limits of step s are those of the steps up to s − 2 alone, also where s − 1 is read already. So they are a
pure function of the log, and a resumed run holds its steps to the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from tsuzuri.training.config import GuardConfig

LEAST_DEVIATION = {"loss": 0.01, "grad_norm": 0.3}
"""The MAD that is reckoned with, at least, as a share of the median.

In seven sound runs (120 to 2,400 steps each, 7,685 together, on CPUs and an H100) no loss was more than
5 MAD or 8 % above its median. Norms were up to 92 MAD above theirs, where they had been nearly constant and
then grew with the fall of the learning rate, but never more than 2.3 times it."""
SAME = 1e-3
"""Up to this relative difference a batch that is computed twice has given the same: sums on a GPU are not
always made in the same order."""


@dataclass(frozen=True)
class Limits:
    """What the numbers of a step must be below. A number that is none is below nothing."""

    loss: float = math.inf
    grad_norm: float = math.inf


NO_LIMITS = Limits()


class Window:
    """The steps that the limits of the next are made of."""

    def __init__(
        self, config: GuardConfig, warmup_steps: int, lines: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """`lines` of the log are what the run did so far; the steps of the warm-up are no measure."""
        self.window, self.deviations, self.warmup_steps = config.window, config.deviations, warmup_steps
        self._steps: deque[tuple[int, dict[str, float]]] = deque(maxlen=config.window + 1)
        for line in lines:
            if "loss" in line and not line.get("skipped"):
                self.note(line["step"], line)

    def note(self, step: int, numbers: Mapping[str, float]) -> None:
        """Remember the numbers of a step that changed the weights."""
        if step > self.warmup_steps:
            self._steps.append((step, {name: numbers[name] for name in LEAST_DEVIATION}))

    def limits(self, step: int) -> Limits:
        """What step `step`, counted from 1, is held to; none before the window is full."""
        known = [numbers for number, numbers in self._steps if number < step - 1][-self.window :]
        if len(known) < self.window:
            return NO_LIMITS
        return Limits(
            **{
                name: limit([numbers[name] for numbers in known], self.deviations, least)
                for name, least in LEAST_DEVIATION.items()
            }
        )


def limit(values: list[float], deviations: float, least: float) -> float:
    """The median of the values and `deviations` times their MAD, which is `least` of the median at least."""
    middle = median(values)
    deviation = median(abs(value - middle) for value in values)
    return middle + deviations * max(deviation, least * middle)


def is_number(numbers: Mapping[str, float]) -> bool:
    """Whether loss and norm are both finite."""
    return all(math.isfinite(numbers[name]) for name in LEAST_DEVIATION)


def is_same(numbers: Mapping[str, float], again: Mapping[str, float]) -> bool:
    """Whether a batch that was computed twice has given the same numbers."""
    return all(math.isclose(numbers[name], again[name], rel_tol=SAME) for name in LEAST_DEVIATION)
