"""What a run does beside its steps now and then: evaluation and samples, of which training knows nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from tsuzuri.core.boxes import METRICS
from tsuzuri.model.gpt import GPT
from tsuzuri.training.config import TrainConfig


@dataclass(frozen=True)
class Hook:
    """Something to do with the model now and then: evaluation, samples. Its result is logged by its name."""

    name: str
    every: int
    """Steps between two calls; 0: at the end alone. It is always called at the end."""
    run: Callable[[GPT, torch.dtype], Any]
    """Its result must depend on the model alone, or a resumed run would log something else."""
    log: str = METRICS
    """The log of the run that its result goes to."""

    def is_due(self, step: int, steps: int) -> bool:
        """Whether it is to be called after `step` of `steps`."""
        return step == steps or (self.every > 0 and step % self.every == 0)


MakeHooks: TypeAlias = Callable[[TrainConfig, Mapping[str, Any]], Sequence[Hook]]


def no_hooks(config: TrainConfig, evaluate: Mapping[str, Any]) -> Sequence[Hook]:
    """The hooks of a run that is only trained."""
    return ()
