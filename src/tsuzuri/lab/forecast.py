"""What a plan would say of the memory of a run that is made here and now."""

from __future__ import annotations

from dataclasses import replace

from tsuzuri.lab.devices import DEVICES, Precision
from tsuzuri.lab.memory import predict
from tsuzuri.lab.step import Step
from tsuzuri.model.config import ModelConfig
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.memory import recipe_of

ROWS = {"cuda": "h100", "cpu": "cpu"}
"""A row of the table for each kind of device: of memory they say the same."""


def predicted_bytes(
    model: ModelConfig, train: TrainConfig, kind: str, precision: Precision, compiled: bool, processes: int
) -> float | None:
    """Bytes that each process comes to hold on its device; None of a kind that nobody has measured.

    Copies of sharded weights are each like a run of its own, on its share of the batch.
    """
    if kind not in ROWS:
        return None
    replicate, shard, tensor = train.parallel.over(processes)
    copies = replicate if shard > 1 else 1
    step = Step(
        model=model,
        recipe=recipe_of(train.optimizer),
        device=replace(DEVICES[ROWS[kind]], count=processes // copies),
        precision=precision,
        batch_tokens=train.tokens_per_step // copies,
        length=train.sequence_length,
        graph="compiled" if compiled else "eager",
        rows=min(train.micro_batch_rows, train.batch_rows // (replicate * shard)),
        recompute=train.parallel.recompute == "blocks",
        sharded=shard > 1,
        tensor=tensor,
    )
    return predict(step).held_bytes
