"""What a run does by itself about a step that would have harmed it.

Every step is held to limits (`training.limits`). The device compares; where loss or norm is no number or not
below its limit, weights and states stay as they are (`Trainer.step`), and the host, which reads of it a step
later, writes it down with the documents of the batch (`training.incidents`):

- Of numbers that are none, the step is left out, and the run goes on.
- After a spike the device makes no further update, so that weights and states are still those before it.
  The same batch is computed on them once more: other numbers mean faulty hardware, the same ones data or
  optimisation (Megatron-LM, rerun_state_machine). Then the run goes back to its newest checkpoint, and does
  not read again what it has read since (Chowdhery et al. 2022, PaLM, arXiv 2204.02311, §5.1): the harm may
  have been done by the steps before. Where it went back to that one before, and met a spike again, it goes to
  the one before it, whose weights may still be sound. For faulty hardware the same rows are read again.
- The third such step within a thousand stops the run, with a report.

Which rows a step reads stays a function of the step and the incidents, and what is an incident a function of
the log, so a run killed during any of this ends as one that was not.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from tsuzuri.core.errors import TrainingError
from tsuzuri.data.loader import BatchLoader
from tsuzuri.training.incidents import Incidents, not_a_number, spike
from tsuzuri.training.limits import Limits, Window, is_number, is_same
from tsuzuri.training.saving import Checkpoints
from tsuzuri.training.step import Trainer

Result = TypeVar("Result")
Samples = Callable[[npt.NDArray[np.int64]], list[dict[str, Any]]]


class Rewound(Exception):  # noqa: N818 (it reports no fault)
    """The run is to be taken up again from its newest checkpoint."""


def until_not_rewound(work: Callable[[], Result]) -> Result:
    """What `work` returns once it is not interrupted by Rewound any more: the run is taken up as by a new
    process, from what is on the disk."""
    while True:
        try:
            return work()
        except Rewound:
            pass
        gc.collect()  # the model's memory, before the next takes as much


class Guard:
    """Judges the steps of a run, from where it was taken up until it is rewound."""

    def __init__(
        self,
        trainer: Trainer,
        batches: BatchLoader,
        checkpoints: Checkpoints,
        incidents: Incidents,
        samples: Samples,
        history: Iterable[Mapping[str, Any]],
    ) -> None:
        """`samples` traces rows of the data to their documents; `history` is the log of training so far."""
        self.trainer, self.batches, self.checkpoints = trainer, batches, checkpoints
        self.incidents, self.samples = incidents, samples
        self.config = trainer.config
        self.peers = incidents.peers
        warmup_steps = self.config.schedule.warmup_steps
        self.window = self.peers.first(lambda: Window(self.config.guard, warmup_steps, history))

    def limits(self, step: int) -> Limits:
        """What step `step`, counted from 1, is to be held to."""
        return self.window.limits(step)

    def judge(self, step: int, numbers: Mapping[str, float], eos_id: int) -> dict[str, Any]:
        """The numbers of a step, for its line in the log; null where they are none.

        Raises Rewound after a spike, TrainingError when there have been too many incidents.
        """
        numbers, applied = {name: numbers[name] for name in ("loss", "grad_norm")}, bool(numbers["applied"])
        if applied:
            self.window.note(step, numbers)
            return dict(numbers)
        if is_number(numbers):
            self._rewind(step, numbers, eos_id)
        self._require_sound_weights(step)
        self.incidents.add(not_a_number(step, numbers, self._samples(step)))
        finite = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
        return {**finite, "skipped": True}

    def _rewind(self, step: int, numbers: Mapping[str, float], eos_id: int) -> None:
        rows = torch.from_numpy(self.batches.read(self._first_row(step)))
        metrics = self.trainer.step(step - 1, rows, eos_id)  # makes no update since the spike
        again = {name: metrics[name].item() for name in numbers}
        same = is_same(numbers, again)
        rewound_to = self.checkpoints.rewind(self.incidents.tried() if same else ())
        read = self._first_row(step) + self.config.batch_rows
        incident = spike(
            step,
            numbers,
            again,
            asdict(self.limits(step)),
            same=same,
            rewound_to=rewound_to,
            skipped_rows=read - self.incidents.first_row(rewound_to) if same else 0,
            samples=self._samples(step),
        )
        self.incidents.add(incident)
        raise Rewound

    def _first_row(self, step: int) -> int:
        return self.incidents.first_row(step - 1)

    def _samples(self, step: int) -> list[dict[str, Any]]:
        first = self._first_row(step)
        return self.samples(np.arange(first, first + self.config.batch_rows, dtype=np.int64))

    def _require_sound_weights(self, step: int) -> None:
        """Raise TrainingError, before they could be saved, when weights are none that any step made."""

        def check() -> None:
            if not self.trainer.has_sound_weights():
                raise TrainingError(
                    f"step {step}: weights are no numbers, and no step has made them so: the hardware of "
                    f"rank {self.peers.rank} is at fault",
                    hint="test its memory and devices; the same command goes on from the newest checkpoint",
                )

        self.peers.all(check)
