"""The only training loop: one device, packed rows, accumulated gradients, exact resume.

Row i of the data is a pure function of (seed, mixture, i), so the position of a run is one integer, its step. A run killed at
any instant resumes from its newest checkpoint and, on the same machine with the same number of threads, ends
with bitwise the same weights and metrics as one never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsuzuri.core.errors import Stopped, TrainingError
from tsuzuri.core.files import sha256_file, write_text
from tsuzuri.core.manifest import Manifest, make_box, record_timing
from tsuzuri.core.progress import say, track
from tsuzuri.data.loader import BatchLoader
from tsuzuri.data.sampler import Sampler
from tsuzuri.data.box import TokenBox, require_tokenizer
from tsuzuri.model import hf
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT, Mask
from tsuzuri.model.loss import IGNORE, cross_entropy_sum, softmax_gradient
from tsuzuri.model.packing import document_block_mask, document_mask, document_positions
from tsuzuri.training import checkpoint
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import Device, choose_compile, choose_device, probe_precision
from tsuzuri.training.optimizers import build_optimizers, state_tensors
from tsuzuri.training.run import METRICS, RunLog, RunRecord, open_run, stop_requests
from tsuzuri.training.schedule import learning_rate_fraction

TIMING_EVERY_S = 10.0


@dataclass(frozen=True)
class Hook:
    """Something to do with the model now and then: evaluation, samples. What it returns is logged under its name."""

    name: str
    every: int
    """Steps between two calls; 0: at the end alone. It is always called at the end."""
    run: Callable[[GPT, torch.dtype], Any]
    log: str = METRICS
    """The log of the run that its result goes to."""

    def is_due(self, step: int, steps: int) -> bool:
        """Whether it is to be called after `step` of `steps`."""
        return step == steps or (self.every > 0 and step % self.every == 0)


class Trainer:
    """A model with its optimizers on a device: `step` makes one optimizer step."""

    def __init__(
        self, model: GPT, config: TrainConfig, device: Device, *, dtype: torch.dtype, compiled: bool
    ) -> None:
        self.model, self.config, self.device, self.dtype = model, config, device, dtype
        self.optimizers = build_optimizers(model, config.optimizer, dtype)
        self.block_mask: Callable[[Tensor, int], Mask] = document_block_mask
        self.gradient = softmax_gradient
        if compiled:
            for block in model.layers:
                block.compile(dynamic=False, fullgraph=True)
            self.gradient = torch.compile(softmax_gradient, dynamic=False)

    def step(self, step: int, rows: Tensor, eos_id: int) -> dict[str, Tensor]:
        """Update the weights once from rows (batch_rows, T + 1) of token ids; loss (nats a token) and gradient norm."""
        config = self.config
        rate = config.optimizer.learning_rate * learning_rate_fraction(config.schedule, step, config.steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        rows = rows.to(self.device.kind, non_blocking=True)
        valid = (rows[:, 1:] != IGNORE).sum()
        loss = torch.zeros((), device=self.device.kind)
        for micro in rows.split(config.micro_batch_rows):
            micro_loss = self.loss(micro[:, :-1], micro[:, 1:], eos_id) / valid
            micro_loss.backward()  # type: ignore[no-untyped-call]
            loss += micro_loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return {"loss": loss, "grad_norm": norm}

    def loss(self, inputs: Tensor, targets: Tensor, eos_id: int) -> Tensor:
        """Summed negative log-likelihood (nats) of targets (B, T) after inputs (B, T)."""
        mask: Mask = None
        positions = None
        if self.config.document_mask:
            mask = (
                self.block_mask(inputs, eos_id) if self.device.block_masks else document_mask(inputs, eos_id)
            )
            positions = document_positions(inputs, eos_id) if self.model.config.is_classic else None
        hidden = self.model(inputs, mask=mask, positions=positions, dtype=self.dtype)
        return cross_entropy_sum(hidden.flatten(0, 1), self.model.head, targets.flatten(), self.gradient)


def train(
    *,
    model: ModelConfig,
    config: TrainConfig,
    tokens: Path,
    tokenizer: Path,
    box: Path,
    hooks: Sequence[Hook] = (),
    amend: Sequence[str] = (),
) -> Manifest:
    """Train a model on a box of tokens, or go on where a killed run stopped; the run's manifest.

    In the box, `model/` is at the end a Hugging Face folder of the weights with the tokenizer beside them.

    Raises ResumeError when the box was begun with another recipe, IntegrityError when a shard or checkpoint is
    damaged, Stopped after SIGTERM or Ctrl-C, TrainingError when the loss is no number any more.
    """
    found = checkpoint.checkpoints(box / "checkpoints")
    record = open_run(box, model, config, amend, step=checkpoint.step_of(found[-1]) if found else 0)
    return make_box(
        box,
        kind="run",
        config=record.recipe,
        inputs={"tokens": tokens, "tokenizer": tokenizer},
        work=lambda: _train(record, tokens, tokenizer, box, hooks),
    )


def _train(
    record: RunRecord, tokens: Path, tokenizer: Path, box: Path, hooks: Sequence[Hook]
) -> Mapping[str, Any]:
    model_config, config = record.configs()
    device = choose_device(config.device)
    _resolve(record, config, device)
    record.write(box)
    torch.manual_seed(config.seed)
    data = TokenBox.open(tokens)
    require_tokenizer(data, sha256_file(tokenizer / "tokenizer.json"))
    model = GPT(model_config, torch.Generator().manual_seed(config.seed)).to(device.kind)
    dtype = getattr(torch, record.resolved["precision"])
    trainer = Trainer(model, config, device, dtype=dtype, compiled=record.resolved["compile"])
    state = state_tensors(model, trainer.optimizers)
    step = checkpoint.load_newest(box / "checkpoints", state)
    sampler = Sampler(data, length=config.sequence_length, seed=config.seed, weights=config.mixture)
    log = RunLog(box, step)
    record_timing(box, "machine", device=device.name(), torch=torch.__version__)
    say(
        f"training {model_config.num_parameters:,} parameters on {device.name()}, {record.resolved['precision']}, from step {step}"
    )
    run = _Run(trainer, log, box, hooks, state)
    with (
        stop_requests() as stop,
        BatchLoader(sampler, batch_rows=config.batch_rows, start=step * config.batch_rows) as batches,
    ):
        for now, (_, rows) in zip(
            track(range(step, config.steps), run.describe, config.steps - step), batches, strict=False
        ):
            run.step(now, torch.from_numpy(rows), data.eos_id)
            if stop:
                run.save(now + 1)
                raise Stopped(
                    f"stopped by {stop[0]} after step {now + 1} of {config.steps}, saved",
                    hint="the same command goes on",
                )
    hf.save_model(model, box / "model", eos_id=data.eos_id)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        write_text(box / "model" / name, (tokenizer / name).read_text(encoding="utf-8"))
    log.close()
    trained = config.steps * config.tokens_per_step
    return {
        "steps": config.steps,
        "tokens": trained,
        "parameters": model_config.num_parameters,
        "epochs": sampler.epochs(config.steps * config.batch_rows),
        "amendments": record.amendments,
    }


class _Run:
    """One run as it goes: steps, logs, hooks, checkpoints."""

    def __init__(
        self, trainer: Trainer, log: RunLog, box: Path, hooks: Sequence[Hook], state: dict[str, Tensor]
    ) -> None:
        self.trainer, self.log, self.box, self.hooks, self.state = trainer, log, box, hooks, state
        self.config = trainer.config
        self.pending: tuple[int, dict[str, Tensor]] | None = None
        self.last_loss = math.nan
        self.timed_at, self.timed_step = time.perf_counter(), -1

    def describe(self) -> str:
        """One line on how the run stands."""
        return f"training, loss {self.last_loss:.3f}"

    def step(self, step: int, rows: Tensor, eos_id: int) -> None:
        """One step with everything that is due after it."""
        metrics = self.trainer.step(step, rows, eos_id)
        self.write_pending()  # of the step before: reading a number waits for the device
        self.pending = (step + 1, metrics)
        done, steps = step + 1, self.config.steps
        due = [hook for hook in self.hooks if hook.is_due(done, steps)]
        if due:
            self.write_pending()
            with torch.compiler.set_stance(
                "force_eager"
            ):  # other shapes than a step's: not worth compiling for
                for hook in due:
                    self.log.write(
                        hook.log, {"step": done, hook.name: hook.run(self.trainer.model, self.trainer.dtype)}
                    )
        if done % self.config.checkpoint_every == 0 or done == steps:
            self.save(done)

    def write_pending(self) -> None:
        """Log the metrics of the last step; TrainingError when they are no numbers."""
        if self.pending is None:
            return
        (step, metrics), self.pending = self.pending, None
        numbers = {key: value.item() for key, value in metrics.items()}
        if not all(map(math.isfinite, numbers.values())):
            raise TrainingError(
                f"step {step}: {numbers}: the loss or its gradient is no number any more",
                hint="--amend a lower train.optimizer.learning_rate: the run goes on from its last good checkpoint",
            )
        self.last_loss = numbers["loss"]
        rate = self.config.optimizer.learning_rate
        rate *= learning_rate_fraction(self.config.schedule, step - 1, self.config.steps)
        self.log.write(
            METRICS,
            {"step": step, **numbers, "learning_rate": rate, "tokens": step * self.config.tokens_per_step},
        )
        self.time(step)

    def time(self, step: int) -> None:
        """Record the speed now and then."""
        elapsed_s = time.perf_counter() - self.timed_at
        if self.timed_step < 0:
            self.timed_at, self.timed_step = time.perf_counter(), step  # the first step warms up
        elif elapsed_s >= TIMING_EVERY_S or step == self.config.steps:
            speed = (step - self.timed_step) * self.config.tokens_per_step / elapsed_s
            memory = self.trainer.device.peak_memory_bytes()
            record_timing(
                self.box,
                "train",
                step=step,
                tokens_per_s=speed,
                elapsed_s=elapsed_s,
                peak_memory_bytes=memory,
            )
            self.timed_at, self.timed_step = time.perf_counter(), step

    def save(self, step: int) -> None:
        """Write a checkpoint after `step`."""
        self.write_pending()
        self.log.flush()
        checkpoint.save(self.box / "checkpoints", step, self.state, keep=self.config.keep_checkpoints)


def _resolve(record: RunRecord, config: TrainConfig, device: Device) -> None:
    """Let the machine choose what the recipe leaves open; what a run has once chosen is kept."""
    run_tokens = config.steps * config.tokens_per_step
    if record.resolved:
        say(f"resuming with the choices made at the start: {record.resolved}")
    else:
        record.resolved["precision"] = (
            probe_precision(device) if config.precision == "auto" else config.precision
        )
        record.resolved["compile"] = choose_compile(config.compile, device, run_tokens)
        record.resolved["threads"] = torch.get_num_threads()
    torch.set_num_threads(record.resolved["threads"])
