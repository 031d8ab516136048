"""One optimizer step: everything that is computed, and nothing of files, logs or hooks."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from tsuzuri.model.attention import Mask
from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import IGNORE, cross_entropy_sum, softmax_gradient
from tsuzuri.model.packing import document_block_mask, document_mask, document_positions
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import Device
from tsuzuri.training.schedule import learning_rate_fraction
from tsuzuri.training.update import Update


class Trainer:
    """A model with its optimizers on a device: `step` makes one optimizer step.

    Compiled are the blocks (all alike, so once), and on a GPU the loss and the making of the blocks of a
    mask: made eagerly they cost a 110M model a seventh of its tokens a second on an H100.
    """

    def __init__(
        self, model: GPT, config: TrainConfig, device: Device, *, dtype: torch.dtype, compiled: bool
    ) -> None:
        self.model, self.config, self.device = model, config, device
        self.dtype, self.compiled = dtype, compiled
        self.update = Update(model, config, dtype)
        self.gradient, self.create_block_mask = softmax_gradient, create_block_mask
        if compiled:
            for block in model.layers:
                block.compile(dynamic=False, fullgraph=True)
        if compiled and device.kind == "cuda":  # on a CPU the eager gradient is as fast
            self.gradient = torch.compile(softmax_gradient, dynamic=False)
            self.create_block_mask = torch.compile(create_block_mask, dynamic=False)

    def step(self, step: int, rows: Tensor, eos_id: int) -> dict[str, Tensor]:
        """Update the weights once from rows (batch_rows, T + 1) of token ids, as step 0 … steps − 1.

        Returns the mean loss (nats a token) and the norm of the gradient before it was clipped, both still
        on the device. The mean is over all tokens of the batch that are not IGNORE, wherever they are: how
        rows are split into micro-batches changes nothing.
        """
        rows = rows.to(self.device.kind, non_blocking=True)
        valid = (rows[:, 1:] != IGNORE).sum()
        loss = torch.zeros((), device=self.device.kind)
        for micro in torch.split(rows, self.config.micro_batch_rows):
            inputs = micro[:, :-1].clamp(min=0)  # what pads the end of a row is read as any token
            micro_loss = self.loss(inputs, micro[:, 1:], eos_id) / valid
            micro_loss.backward()  # type: ignore[no-untyped-call]
            loss += micro_loss.detach()
        norm = self.update.apply(self.learning_rate(step))
        return {"loss": loss, "grad_norm": norm}

    def loss(self, inputs: Tensor, targets: Tensor, eos_id: int) -> Tensor:
        """Summed negative log-likelihood (nats) of targets (B, T) after inputs (B, T)."""
        mask: Mask = None
        positions = None
        if self.config.document_mask:
            if self.compiled and self.device.block_masks:
                mask = document_block_mask(inputs, eos_id, self.create_block_mask)
            else:
                mask = document_mask(inputs, eos_id)
            positions = document_positions(inputs, eos_id) if self.model.config.is_classic else None
        hidden = self.model(inputs, mask=mask, positions=positions, dtype=self.dtype)
        return cross_entropy_sum(hidden.flatten(0, 1), self.model.head, targets.flatten(), self.gradient)

    def learning_rate(self, step: int) -> float:
        """The learning rate of step 0 … steps − 1."""
        config = self.config
        return config.optimizer.learning_rate * learning_rate_fraction(config.schedule, step, config.steps)

    def eager(self) -> AbstractContextManager[object]:
        """Within it nothing is compiled: other shapes than a step's are not worth compiling for."""
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()
