"""The folder of a run: what it was asked to do, what was chosen for it, and what it has written so far.

`run.yaml` holds the recipe that the run was begun with, what the machine's probes chose (kept when the run goes on
elsewhere), and every amendment with the step it was made at. The logs are cut back to the checkpoint that a run resumes
from, so that a run killed at any step ends with the same lines as one never stopped.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from tsuzuri.core.config import apply_overrides, differences, load_yaml, parse_config
from tsuzuri.core.errors import ResumeError
from tsuzuri.core.files import read_json_lines, write_text
from tsuzuri.core.manifest import MANIFEST
from tsuzuri.core.progress import say
from tsuzuri.model.config import ModelConfig
from tsuzuri.training.config import TrainConfig

RUN_FILE = "run.yaml"
METRICS = "metrics.jsonl"
SAMPLES = "samples.jsonl"


@dataclass
class RunRecord:
    """What `run.yaml` holds."""

    recipe: dict[str, Any]
    """{model, train} as the run was begun with."""
    resolved: dict[str, Any] = field(default_factory=dict)
    """precision, compile, threads: what the probes chose."""
    amendments: list[dict[str, Any]] = field(default_factory=list)
    """[{step, set: ["train.key=value", …]}], in the order they were made."""

    def configs(self) -> tuple[ModelConfig, TrainConfig]:
        """The configurations in force: the recipe with every amendment."""
        values = apply_overrides(self.recipe, [change for item in self.amendments for change in item["set"]])
        model = parse_config(ModelConfig, values["model"], where="model")
        return model, parse_config(TrainConfig, values["train"], where="train")

    def write(self, box: Path) -> None:
        """Write `run.yaml` into the box."""
        write_text(box / RUN_FILE, yaml.safe_dump(self.__dict__, sort_keys=False, allow_unicode=True))


def open_run(box: Path, model: ModelConfig, train: TrainConfig, amend: Sequence[str], step: int) -> RunRecord:
    """The record of the run in `box`, begun now or before; `step` is where it stands.

    Raises ResumeError, naming the keys, when it was begun with another recipe and they were not amended.
    """
    asked = {"model": model.as_mapping(), "train": train.as_mapping()}
    if not (box / RUN_FILE).exists():
        record = RunRecord(apply_overrides(asked, amend))
        record.configs()
        return record
    record = RunRecord(**load_yaml(box / RUN_FILE))
    changed = differences(record.recipe, asked)
    if changed:
        keys = " ".join(f"--amend {line.split(':')[0]}=…" for line in changed)
        raise ResumeError(
            f"{box} was begun with another recipe: {'; '.join(changed)}",
            hint=f"give another --out, or change it on purpose from step {step} on: {keys}",
        )
    before = [config.as_mapping() for config in record.configs()]
    record.amendments.append({"step": step, "set": list(amend)})
    if [config.as_mapping() for config in record.configs()] == before:
        record.amendments.pop()  # nothing new: the same command given again
        return record
    if before[0] != record.configs()[0].as_mapping():
        raise ResumeError("the model of a run cannot be amended", hint="give another --out for another model")
    (box / MANIFEST).unlink(missing_ok=True)  # a finished run that is to go on
    return record


class RunLog:
    """`metrics.jsonl`, `samples.jsonl` and TensorBoard's events of a run, from `step` on."""

    def __init__(self, box: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.box = box
        for name in (METRICS, SAMPLES):
            kept = [line for line in read_json_lines(box / name) if line["step"] <= step]
            write_text(box / name, "".join(map(_line, kept)))
        self.files = {name: open(box / name, "a", encoding="utf-8") for name in (METRICS, SAMPLES)}  # noqa: SIM115
        self.events = SummaryWriter(str(box / "tensorboard"), purge_step=step or None)

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Append a line to the log `name`; its numbers go to TensorBoard too."""
        self.files[name].write(_line(value))
        for key, number in _numbers(value):
            if key != "step":
                self.events.add_scalar(key, number, value["step"])

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        for file in self.files.values():
            file.flush()

    def close(self) -> None:
        """Close the files."""
        for file in self.files.values():
            file.close()
        self.events.close()


@contextmanager
def stop_requests() -> Iterator[list[str]]:
    """A list that stays empty until SIGTERM or Ctrl-C arrives; it then holds the signal's name."""
    received: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)
        say(f"{received[-1]} received: saving after this step")

    old = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _numbers(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _numbers(item, f"{prefix}{key}/")
        elif isinstance(item, int | float):
            yield f"{prefix}{key}", item
