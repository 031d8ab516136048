"""The only training loop: packed rows, accumulated gradients, exact resume, on one device or on many.

Row i of the data is a pure function of (seed, mixture, i), so the position of a run is one integer, its step.
A run killed at any instant resumes from its newest checkpoint and, on the same machine with the same number
of threads, ends with bitwise the same weights and logs as one never stopped.

Of the ranks that share a run all make the same steps and call the same hooks; the first one writes.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsuzuri.core.boxes import METRICS, SETTINGS_FILE, TOKENIZER_FILE
from tsuzuri.core.errors import RecipeError, Stopped
from tsuzuri.core.files import sha256_file, write_text
from tsuzuri.core.manifest import Manifest, make_box
from tsuzuri.core.progress import say
from tsuzuri.core.ranks import local_rank, world
from tsuzuri.data.box import TokenBox, require_tokenizer
from tsuzuri.data.loader import BatchLoader
from tsuzuri.data.sampler import Sampler
from tsuzuri.data.trace import samples_of
from tsuzuri.model import hf
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.training import checkpoint
from tsuzuri.training.branch import Branch
from tsuzuri.training.clock import Clock, machine_facts
from tsuzuri.training.config import TrainConfig, require_context
from tsuzuri.training.devices import Choices, Device, choose, choose_device, memory_errors
from tsuzuri.training.guard import Guard, until_not_rewound
from tsuzuri.training.hooks import Hook, MakeHooks, no_hooks
from tsuzuri.training.incidents import Incidents
from tsuzuri.training.layout import Layout, layout
from tsuzuri.training.parallelize import new_model
from tsuzuri.training.peak import PeakMemory
from tsuzuri.training.peers import Votes
from tsuzuri.training.profiler import profiled
from tsuzuri.training.ranks import Ranks, ranks, started_with
from tsuzuri.training.run import CHECKPOINTS, RunLog, RunRecord, Unlogged, open_run, stop_requests
from tsuzuri.training.saving import Checkpoints
from tsuzuri.training.step import Trainer
from tsuzuri.training.watch import Watch, watching
from tsuzuri.training.whole import gathered, readable


def train(
    *,
    model: ModelConfig,
    config: TrainConfig,
    tokens: Path,
    tokenizer: Path,
    box: Path,
    hooks: MakeHooks = no_hooks,
    evaluate: Mapping[str, Any] | None = None,
    amend: Sequence[str] = (),
    watch: Watch = Watch(),  # noqa: B008 (frozen)
    branch: Branch | None = None,
) -> Manifest:
    """Train a model on a box of tokens, or go on where a killed run stopped; the run's manifest.

    In the box, `model/` is at the end a Hugging Face folder of the weights with the tokenizer beside them.
    `hooks` makes them of the configuration in force and of `evaluate`, all that they depend on beside it.
    `amend` (["train.key=value"]) changes a begun run on purpose from here on; with a larger `train.steps` a
    finished run goes on too, and what was made of it (evaluation, release) no longer belongs to it. `watch`
    is what else is shown of it. With a `branch` the weights are at first those of another run, its seed.

    Raises ResumeError when the box was begun with another recipe, IntegrityError when a shard or checkpoint
    is damaged, Stopped after SIGTERM, SIGUSR1 or Ctrl-C, TrainingError after too many steps that had
    to be left out (`training.guard`).
    """
    inputs = {"tokens": tokens, "tokenizer": tokenizer}
    asked = {"model": model.as_mapping(), "train": config.as_mapping(), "evaluate": dict(evaluate or {})}
    begins = branch.as_mapping() if branch else {}
    if branch:
        inputs["seed"] = branch.run
    with ranks() as all_ranks:
        all_ranks.agree(lambda: started_with({**asked, **begins, "amend": list(amend)}, inputs))
        record = all_ranks.first(lambda: open_run(box, model, config, amend, evaluate or {}, begins))
        with memory_errors(record.configs()[1]):
            return all_ranks.lead(
                lambda work: make_box(box, kind="run", config=record.recipe, inputs=inputs, work=work),
                lambda: _train(record, tokens, tokenizer, box, hooks, all_ranks, watch, branch),
            )


def _train(
    record: RunRecord,
    tokens: Path,
    tokenizer: Path,
    box: Path,
    make_hooks: MakeHooks,
    all_ranks: Ranks,
    watch: Watch,
    branch: Branch | None,
) -> Mapping[str, Any]:
    shape, config, evaluate = record.configs()
    hooks = make_hooks(config, evaluate)
    data = TokenBox.open(tokens, verify=local_rank() == 0)
    require_tokenizer(data, sha256_file(tokenizer / TOKENIZER_FILE))
    _require_fit(shape, config, data)
    begun_with = RunRecord(recipe=record.recipe).configs()[1]  # more steps must not draw other rows
    sampler = Sampler(
        data,
        length=config.sequence_length,
        seed=config.seed,
        mixture=config.mixture,
        budget_tokens=begun_with.steps * begun_with.tokens_per_step,
    )
    device = choose_device(config.device)
    all_ranks.join(device)
    place = layout(config, shape, device.kind, rank=all_ranks.rank, world=all_ranks.world)
    choices = all_ranks.first(lambda: choose(config, device, record.resolved))
    if record.resolved is None:  # a smaller machine that the run goes on with changes nothing for the next
        record = record.model_copy(update={"resolved": choices})
    if all_ranks.is_first:
        record.write(box)  # now that nothing of it was refused

    torch.set_num_threads(choices.threads)
    incidents = Incidents(box, config, amendments=len(record.amendments))
    stage = _Stage(shape, config, data, sampler, device, place, choices, box, hooks, watch, incidents, branch)
    with stop_requests() as stop:
        model = until_not_rewound(lambda: _go_on(stage, stop))
    whole = gathered(model, keep=all_ranks.is_first)
    if whole:
        hf.save_model(whole, box / "model", eos_id=data.eos_id)
        for name in (TOKENIZER_FILE, SETTINGS_FILE):
            write_text(box / "model" / name, (tokenizer / name).read_text(encoding="utf-8"))
    return {
        "steps": config.steps,
        "tokens": config.steps * config.tokens_per_step,
        "parameters": shape.num_parameters,
        "epochs": sampler.epochs(config.steps * config.batch_rows),
        "amendments": [amendment.as_mapping() for amendment in record.amendments],
        "milestones": checkpoint.milestones(box / CHECKPOINTS),
        "incidents": len(incidents.lines),
        **(branch.counts() if branch else {}),
    }


@dataclass(frozen=True)
class _Stage:
    """All that a run has from its beginning to its end, however often it is taken up or rewound."""

    shape: ModelConfig
    config: TrainConfig
    data: TokenBox
    sampler: Sampler
    device: Device
    place: Layout
    choices: Choices
    box: Path
    hooks: Sequence[Hook]
    watch: Watch
    incidents: Incidents
    branch: Branch | None


def _go_on(stage: _Stage, stop: Sequence[signal.Signals]) -> GPT:
    """The trained model, from the newest checkpoint on; Rewound where the guard goes back to it."""
    config, device, place, box = stage.config, stage.device, stage.place, stage.box
    precision, compiled = stage.choices.precision, stage.choices.compile
    expected = stage.watch.predicted_memory(stage.shape, config, device.kind, precision, compiled, world())
    peak = PeakMemory(device, expected)
    model = new_model(stage.shape, place, device.kind, config.seed)
    dtype = getattr(torch, precision)
    trainer = Trainer(model, config, device, dtype=dtype, compiled=compiled, layout=place)
    checkpoints = Checkpoints(box / CHECKPOINTS, trainer.update.state(), keep=config.keep_checkpoints)
    start = checkpoints.load_newest()
    if stage.branch and not start:
        stage.branch.begin(checkpoints)
    say(
        f"training {stage.shape.num_parameters:,} parameters in {stage.choices.precision} on "
        f"{place.describe(device.name())}, steps {start + 1} to {config.steps}"
    )
    with (
        RunLog(box, start) if place.rank == 0 else Unlogged() as log,
        checkpoints,
        BatchLoader(
            stage.sampler,
            batch_rows=config.batch_rows,
            start=stage.incidents.first_row(start),
            rank=place.data_rank,
            ranks=place.data_ranks,
            jumps=stage.incidents.jumps(),
        ) as batches,
    ):
        run = _Run(stage, trainer, log, checkpoints, batches, start, peak)
        with (
            closing(watching(range(start + 1, config.steps + 1), run.clock.standing)) as steps,
            profiled(box, stage.watch.profile_steps if place.rank == 0 else 0, device.kind) as profile,
        ):
            for step, (_, rows) in zip(steps, batches, strict=False):  # the batches never end
                run.step(step, torch.from_numpy(rows))
                run.heed(stop, step)
                profile()
    return model


class _Run:
    """A run from where it is taken up: steps, logs, hooks, checkpoints. Steps are counted from 1."""

    def __init__(
        self,
        stage: _Stage,
        trainer: Trainer,
        log: RunLog | Unlogged,
        checkpoints: Checkpoints,
        batches: BatchLoader,
        start: int,
        peak: PeakMemory,
    ) -> None:
        self.stage, self.trainer, self.log, self.checkpoints = stage, trainer, log, checkpoints
        self.config, self.eos_id, self.peak = stage.config, stage.data.eos_id, peak
        self.votes = Votes()
        self.unread: tuple[int, dict[str, Tensor]] | None = None
        self.guard = Guard(
            trainer,
            batches,
            checkpoints,
            stage.incidents,
            lambda indices: samples_of(stage.data, stage.sampler, indices),
            log.history,
        )
        machine = machine_facts(self.config, stage.device, stage.data, stage.sampler.shares(), start)
        speed = stage.watch.full_speed(
            stage.shape, self.config.sequence_length, machine["device"], stage.choices.precision
        )
        self.clock = Clock(stage.box, log, stage.device, machine, speed, stage.watch.report)

    def step(self, step: int, rows: Tensor) -> None:
        """One step with everything that is due after it."""
        metrics = self.trainer.step(step - 1, rows, self.eos_id, self.guard.limits(step))
        self.read_metrics()  # of the step before, now that the device has this one to do
        self.unread = (step, metrics)
        self.peak.look()
        due = [hook for hook in self.stage.hooks if hook.is_due(step, self.config.steps)]
        saves = self.config.saves_after(step)
        if due or saves:
            self.read_metrics()
            self.peak.tell(self.stage.box)
            with self.clock.paused():
                self.call(due, step)
                if saves:
                    self.save(step)
        self.clock.show()

    def call(self, hooks: Sequence[Hook], step: int) -> None:
        """Call the hooks and log what they return."""
        with self.trainer.eager(), readable(self.trainer.model, self.trainer.dtype) as model:
            for hook in hooks:
                result = hook.run(model, self.trainer.dtype)
                self.log.write(hook.log, {"step": step, hook.name: result})

    def read_metrics(self) -> None:
        """Log what is not logged yet, once the guard has judged it."""
        if self.unread is None:
            return
        (step, metrics), self.unread = self.unread, None
        numbers = self.guard.judge(step, {key: value.item() for key, value in metrics.items()}, self.eos_id)
        rate, tokens = self.trainer.learning_rate(step - 1), step * self.config.tokens_per_step
        line = {"step": step, **numbers, "learning_rate": rate, "tokens": tokens}
        self.log.write(METRICS, line)
        self.clock.note(step, line)

    def save(self, step: int) -> None:
        """Begin a checkpoint after `step`, with every line of the logs before it on the disk."""
        self.read_metrics()
        self.log.flush()
        config = self.config
        self.checkpoints.save(step, milestone=config.is_milestone(step), regular=config.saves_after(step))

    def heed(self, stop: Sequence[signal.Signals], step: int) -> None:
        """Stopped, once saved, when any rank was asked to stop; the error of a checkpoint that any could not
        write."""
        failed = signal.NSIG  # counts for more than every signal
        wish = self.votes.largest(failed if self.checkpoints.has_failed() else max(stop, default=0))
        if wish == failed:
            self.checkpoints.wait()
        elif wish:
            self.peak.tell(self.stage.box)
            self.save(step)
            self.checkpoints.wait()
            by = signal.Signals(wish)
            raise Stopped(
                f"stopped by {by.name}, saved after step {step} of {self.config.steps}",
                hint="the same command goes on",
                by=by,
            )


def _require_fit(model: ModelConfig, config: TrainConfig, data: TokenBox) -> None:
    require_context(config, model.max_position_embeddings)
    if data.vocab_size > model.vocab_size:
        raise RecipeError(
            f"{data.path} holds tokens of {data.vocab_size:,} kinds, the model's vocabulary is "
            f"{model.vocab_size:,}",
            hint="set tokenizer.vocab_size to the tokenizer's",
        )
