"""One optimizer step: everything that is computed, and nothing of files, logs or hooks."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from tsuzuri.model.attention import FLEX_LEAST_HEAD_DIM, Mask
from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import IGNORE, fusible_softmax_gradient
from tsuzuri.model.packing import document_block_mask, document_mask, document_positions
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import Device
from tsuzuri.training.layout import Layout
from tsuzuri.training.limits import NO_LIMITS, Limits
from tsuzuri.training.objective import Objective
from tsuzuri.training.parallelize import draw_parts, parallelize, reducing
from tsuzuri.training.schedule import learning_rate_fraction
from tsuzuri.training.shards import local
from tsuzuri.training.update import Update


class Trainer:
    """A model with its optimizers on a device: `step` makes one optimizer step, all ranks together.

    Compiled are the blocks (all alike, so once), and on a GPU the loss and the making of the blocks of a
    mask: made eagerly they cost a 110M model a seventh of its tokens a second on an H100.
    """

    def __init__(
        self,
        model: GPT,
        config: TrainConfig,
        device: Device,
        *,
        dtype: torch.dtype,
        compiled: bool,
        layout: Layout | None = None,
    ) -> None:
        """`model` is that of `parallelize.new_model`, for the same layout; by default one process."""
        self.model, self.config, self.device = model, config, device
        self.dtype, self.compiled, self.layout = dtype, compiled, layout or Layout()
        model.to(getattr(torch, config.optimizer.weights))  # before its gradients are shared or divided
        objective = Objective(model, dtype)
        self.masks_by_blocks = (
            compiled and device.block_masks and model.config.head_dim >= FLEX_LEAST_HEAD_DIM
        )
        self.create_block_mask = create_block_mask
        if compiled and device.kind == "cuda":  # on a CPU the eager gradient is as fast
            objective.gradient = torch.compile(fusible_softmax_gradient, dynamic=False)
            self.create_block_mask = torch.compile(create_block_mask, dynamic=False)
        self.objective = parallelize(objective, self.layout, config.parallel, compiled=compiled)
        if self.layout.is_divided:
            draw_parts(model, device.kind, config.seed)
        self.update = Update(model, config, dtype)
        self.sound = torch.ones((), dtype=torch.bool, device=device.kind)
        """Whether no step was beyond its limits yet. None after it makes an update, so that the host, which
        hears of it a step later, finds weights and states as they were before it."""

    def step(self, step: int, rows: Tensor, eos_id: int, limits: Limits = NO_LIMITS) -> dict[str, Tensor]:
        """Update the weights once from this rank's rows (n, T + 1) of token ids, as step 0 … steps − 1.

        Returns, still on the device, the mean loss (nats a token), the norm of the gradient before it was
        clipped, and whether the update was applied: where one of them is no number or not below its limit,
        nothing changes. The mean is over all tokens of the batch that are not IGNORE, wherever they are: how
        rows are split into ranks and micro-batches changes nothing.

        With `optimizer.in_backward` the norm is known too late to be held to a limit.
        """
        rows = rows.to(self.device.kind, non_blocking=True)
        valid = self.layout.sum((rows[:, 1:] != IGNORE).sum())
        loss, rate = torch.zeros((), device=self.device.kind), self.learning_rate(step)
        micros = torch.split(rows, self.config.micro_batch_rows)
        for micro in micros:
            inputs = micro[:, :-1].clamp(min=0)  # what pads the end of a row is read as any token
            with reducing(self.objective, is_last=micro is micros[-1]):
                micro_loss = self.loss(inputs, micro[:, 1:], eos_id) * self.layout.data_ranks / valid
                self.update.begin(rate, self.sound & (micro_loss < limits.loss))
                micro_loss.backward()  # type: ignore[no-untyped-call]
            loss += micro_loss.detach()
        loss = self.layout.mean(loss)
        largest = math.inf if self.config.optimizer.in_backward else limits.grad_norm
        sound = self.sound & (loss < limits.loss)
        norm = self.update.apply(rate, sound, largest)
        applied = sound & (norm < largest)
        self.sound = self.sound & (applied | ~(loss + norm).isfinite())
        return {"loss": loss, "grad_norm": norm, "applied": applied}

    def loss(self, inputs: Tensor, targets: Tensor, eos_id: int) -> Tensor:
        """Summed negative log-likelihood (nats) of targets (B, T) after inputs (B, T)."""
        mask: Mask = None
        positions = None
        if self.config.document_mask:
            if self.masks_by_blocks:
                mask = document_block_mask(inputs, eos_id, self.create_block_mask)
            else:
                mask = document_mask(inputs, eos_id)
            positions = document_positions(inputs, eos_id) if self.model.config.is_classic else None
        return self.objective(inputs, targets, mask, positions)  # type: ignore[no-any-return]

    def has_sound_weights(self) -> bool:
        """Whether every weight that this rank holds is a number. Waits for the device."""
        return all(bool(local(weights).isfinite().all()) for weights in self.model.parameters())

    def learning_rate(self, step: int) -> float:
        """The learning rate of step 0 … steps − 1."""
        config = self.config
        return config.optimizer.learning_rate * learning_rate_fraction(config.schedule, step, config.steps)

    def eager(self) -> AbstractContextManager[object]:
        """Within it nothing is compiled: other shapes than a step's are not worth compiling for."""
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()
