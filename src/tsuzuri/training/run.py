"""The folder of a run: what it was asked to do, what was chosen for it, and what it has written so far.

`run.yaml` holds the recipe that the run was begun with, what was chosen on the first machine (kept when the
run goes on elsewhere), and every amendment with the step it was made at. The logs are cut back to the
checkpoint that a run resumes from, so that a run killed at any step ends with the same lines as one never
stopped.
"""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import yaml
from pydantic import Field

from tsuzuri.core.boxes import METRICS, RUN_FILE, SAMPLES
from tsuzuri.core.config import Config, apply_overrides, differences, load_yaml, parse_config
from tsuzuri.core.errors import ResumeError
from tsuzuri.core.files import disk_errors, fsync_file, locked, read_json_lines, write_text
from tsuzuri.core.manifest import MANIFEST, reopen
from tsuzuri.core.progress import say
from tsuzuri.model.config import ModelConfig
from tsuzuri.training.checkpoint import newest_step
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import Choices

CHECKPOINTS = "checkpoints"
HISTORY_LINES = 10_000
FIXED = (
    "model.",
    "train.optimizer.kind",
    "train.optimizer.offload",
    "train.optimizer.weights",
    "train.seed",
    "train.batch_rows",
    "train.sequence_length",
    "train.mixture",
    "branch",
)
"""What a run keeps to its end: its tensors, and the order of its data, whose position is the step alone."""


class Amendment(Config):
    """A change of the recipe that was made on purpose while the run stood after `step`."""

    step: int = Field(ge=0)
    set: tuple[str, ...]
    """Each train.key=value."""


class RunRecord(Config):
    """What `run.yaml` holds."""

    recipe: dict[str, Any]
    """{model, train, evaluate} as the run was begun with; evaluate is what its hooks depend on. One that
    began with the weights of another also has `branch`: which checkpoint they are of."""
    resolved: Choices | None = None
    """What was chosen where the recipe leaves it open."""
    amendments: tuple[Amendment, ...] = ()
    """In the order they were made."""

    def configs(self) -> tuple[ModelConfig, TrainConfig, dict[str, Any]]:
        """The configurations in force: the recipe with every amendment."""
        values = apply_overrides(self.recipe, [change for item in self.amendments for change in item.set])
        hint = "correct the --amend option" if self.amendments else "give another --out"
        model = parse_config(ModelConfig, values.pop("model"), where="model", hint=hint)
        train = parse_config(TrainConfig, values.pop("train"), where="train", hint=hint)
        evaluate = values.pop("evaluate", {})
        own = [key for key in values if key != "branch" or values[key] != self.recipe.get(key)]
        foreign = [*own, *_new_keys(self.recipe.get("evaluate", {}), evaluate, "evaluate.")]
        if foreign:
            raise ResumeError(f"a run has no {min(foreign)!r} to amend", hint="amend a key of train")
        return model, train, evaluate

    def amended(self, changes: Sequence[str], step: int) -> RunRecord:
        """The record with `changes` in force from `step` on; itself when they are in force already.

        Raises ResumeError for what a run keeps to its end, or when the run would have to go backwards.
        """
        amendment = Amendment(step=step, set=tuple(changes))
        record = self.model_copy(update={"amendments": (*self.amendments, amendment)})
        changed = differences(_mapping(*self.configs()), _mapping(*record.configs()))
        if not changed:
            return self
        refused = [line for line in changed if line.startswith(FIXED)]
        if refused:
            raise ResumeError(
                f"not to be changed within a run: {'; '.join(refused)}", hint="give another --out for it"
            )
        steps = record.configs()[1].steps
        if steps <= step:
            raise ResumeError(
                f"the run stands after step {step} and is to end after {steps}: it has nowhere to go on to",
                hint=f"--amend train.steps=N with more than {step}",
            )
        say(f"from step {step} on: {'; '.join(changed)}")
        return record

    def write(self, box: Path) -> None:
        """Write `run.yaml` into the box."""
        values = self.model_dump(mode="json", exclude=None if self.resolved else {"resolved"})
        write_text(box / RUN_FILE, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def open_run(
    box: Path,
    model: ModelConfig,
    train: TrainConfig,
    amend: Sequence[str],
    evaluate: Mapping[str, Any],
    branch: Mapping[str, Any] | None = None,
) -> RunRecord:
    """The record of the run in `box`, begun now or before, with what is amended now.

    `branch` is {branch: …} of a run that begins with another's weights. Raises ResumeError, naming the keys,
    when it was begun with another recipe.
    """
    asked = {**_mapping(model, train, evaluate), **(branch or {})}
    with locked(box):
        step = newest_step(box / CHECKPOINTS)
        if not (box / RUN_FILE).exists():
            return RunRecord(recipe=asked).amended(amend, step)
        record = parse_config(RunRecord, load_yaml(box / RUN_FILE), where=str(box / RUN_FILE))
        amended = record.amended(amend, step)
        seed = {key: value for key, value in record.recipe.items() if key == "branch"}
        in_force = set(map(_key, differences({**_mapping(*amended.configs()), **seed}, asked)))
        begun_with = {
            **_mapping(*RunRecord(recipe=record.recipe).configs()),
            **seed,
        }  # and keys younger than it
        changed = [line for line in differences(begun_with, asked) if _key(line) in in_force]
        if changed:
            raise ResumeError(
                f"{box} was begun with another recipe: {'; '.join(changed)}",
                hint=_ways_out(changed, step, amended.configs()[1].steps),
            )
        if amended is not record and (box / MANIFEST).exists():
            reopen(box)
        return amended


class RunLog:
    """`metrics.jsonl`, `samples.jsonl` and TensorBoard's events, cut back to `step`, then added to."""

    def __init__(self, box: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._paths = {name: box / name for name in (METRICS, SAMPLES)}
        self.history: list[dict[str, Any]] = []
        """The last of the lines of steps that are kept."""
        for name, path in self._paths.items():
            kept = [line for line in read_json_lines(path) if line["step"] <= step]
            write_text(path, "".join(map(_line, kept)))
            if name == METRICS:
                self.history = [line for line in kept if "loss" in line][-HISTORY_LINES:]
        self._files = {name: open(path, "a", encoding="utf-8") for name, path in self._paths.items()}  # noqa: SIM115
        self._events = SummaryWriter(str(box / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Append a line to the log `name`; its numbers go to TensorBoard too."""
        with disk_errors(self._paths[name]):
            self._files[name].write(_line(value))
            self.draw(value)

    def draw(self, value: Mapping[str, Any]) -> None:
        """Let TensorBoard have the numbers of a step."""
        for key, number in _numbers(value):
            if key != "step":
                self._events.add_scalar(key, number, value["step"])

    def publish(self) -> None:
        """Let others see what was written so far."""
        for name, path in self._paths.items():
            with disk_errors(path):
                self._files[name].flush()

    def flush(self) -> None:
        """Bring everything written so far to the disk."""
        for name, path in self._paths.items():
            with disk_errors(path):
                self._files[name].flush()
                fsync_file(path)
                self._events.flush()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, path in self._paths.items():
            with disk_errors(path):
                self._files[name].close()
                self._events.close()


class Unlogged:
    """The logs of a rank that writes none."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Nothing: the first rank writes the same."""

    def draw(self, value: Mapping[str, Any]) -> None:
        """Nothing."""

    def publish(self) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def __enter__(self) -> Unlogged:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing."""


@contextmanager
def stop_requests() -> Iterator[list[signal.Signals]]:
    """A list that stays empty until SIGTERM, SIGUSR1 or Ctrl-C arrives; it then holds that signal.

    The first request is noted, for the loop to save and stop; a second one ends the process as usual. SIGUSR1
    is a scheduler's warning (Slurm: --signal=USR1@120), which may come to a process by two ways: it is noted
    however often it comes.
    """
    received: list[signal.Signals] = []
    old = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        again = "" if number == signal.SIGUSR1 else " (once more: stop at once)"
        say(f"{received[-1].name} received: saving after this step{again}")
        if number != signal.SIGUSR1:
            signal.signal(number, old[received[-1]])

    for number in old:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _key(difference: str) -> str:
    return difference.partition(": ")[0]


def _ways_out(changed: Sequence[str], step: int, steps: int) -> str:
    """What a run that stands after `step` of `steps` may be told instead: options that work as they are
    typed."""
    wanted = {_key(line): line.rpartition(" → ")[2] for line in changed}
    goes_on = int(wanted.get("train.steps", steps)) > step
    if any(line.startswith(FIXED) for line in changed) or (list(wanted) == ["train.steps"] and not goes_on):
        return "give another --out"
    if not goes_on:
        wanted["train.steps"] = str(step + steps)
    amend = " ".join(f"--amend {shlex.quote(f'{key}={value}')}" for key, value in wanted.items())
    return f"give another --out, or change it on purpose from step {step} on: {amend}"


def _mapping(model: ModelConfig, train: TrainConfig, evaluate: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": model.as_mapping(), "train": train.as_mapping(), "evaluate": dict(evaluate)}


def _new_keys(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in new.items():
        if key not in old:
            yield f"{prefix}{key}"
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            yield from _new_keys(old[key], value, f"{prefix}{key}.")


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _numbers(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _numbers(item, f"{prefix}{key}/")
        elif isinstance(item, int | float):
            yield f"{prefix}{key}", item
