"""What the boxes of one build say of themselves: manifests, metrics, samples, readings and scores.

A build may be unfinished. A box that was begun but has no manifest yet is known by its `pending.json`: its
configuration is there, its counts are not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsuzuri.core.boxes import INCIDENTS, METRICS, RUN_FILE, SAMPLES, SCORES, STAGES
from tsuzuri.core.config import load_yaml
from tsuzuri.core.errors import IntegrityError
from tsuzuri.core.files import read_json_lines, readable_json_lines
from tsuzuri.core.manifest import MANIFEST, PENDING, TIMINGS, Manifest, read_manifest


@dataclass(frozen=True)
class Build:
    """One build as far as it has come; what is not there yet is empty."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    """stage → manifest; an unfinished box has one without counts and files."""
    finished: frozenset[str] = frozenset()
    """The stages whose box is complete."""
    run: dict[str, Any] = field(default_factory=dict)
    """run.yaml: the recipe, what the machine's probes chose, amendments."""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    """Lines of training and of held-out evaluation, by step."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """Text written through training: step, prompt, text."""
    incidents: list[dict[str, Any]] = field(default_factory=list)
    """Steps that were left out: because a number was none, or far from those before."""
    readings: list[dict[str, Any]] = field(default_factory=list)
    """The run's clock readings."""
    scores: dict[str, Any] = field(default_factory=dict)
    """The final evaluation."""

    def counts(self, stage: str) -> dict[str, Any]:
        """What a stage counted; empty when it is not finished."""
        manifest = self.manifests.get(stage)
        return manifest.counts if manifest else {}

    def config(self, stage: str) -> dict[str, Any]:
        """The configuration of a stage; empty when it was not begun."""
        manifest = self.manifests.get(stage)
        return manifest.config if manifest else {}

    @property
    def model(self) -> dict[str, Any]:
        """The model's configuration."""
        values: dict[str, Any] = self.config("run").get("model", {})
        return values

    @property
    def resolved(self) -> dict[str, Any]:
        """What the machine chose where the recipe left it open: precision, compile, threads; and its name."""
        values: dict[str, Any] = self.run.get("resolved", {})
        return values

    @property
    def machines(self) -> list[str]:
        """The devices that the run was trained on, each once, in order."""
        return list(dict.fromkeys(str(line["device"]) for line in self.readings if "device" in line))

    @property
    def training_lines(self) -> list[dict[str, Any]]:
        """The metrics of single steps."""
        return [line for line in self.metrics if "loss" in line]

    @property
    def heldout_lines(self) -> list[dict[str, Any]]:
        """The metrics of evaluations on held-out documents."""
        return [line for line in self.metrics if "heldout" in line]

    @property
    def speed_lines(self) -> list[dict[str, Any]]:
        """The clock readings of training steps."""
        return [line for line in self.readings if "tokens_per_s" in line and "step" in line]

    @property
    def elapsed_s(self) -> float:
        """Seconds spent in training, those of killed processes too."""
        return sum(float(line.get("elapsed_s", 0.0)) for line in self.speed_lines)

    @property
    def tokens_per_s(self) -> float:
        """The median speed of training, 0 without readings."""
        speeds = sorted(float(line["tokens_per_s"]) for line in self.speed_lines)
        return speeds[len(speeds) // 2] if speeds else 0.0


def read_build(folders: Mapping[str, Path]) -> Build:
    """What the boxes in `folders` (stage → path; some may not exist) say; IntegrityError on a damaged one."""
    manifests = {}
    finished = set()
    for stage, folder in folders.items():
        if (folder / MANIFEST).exists():
            manifests[stage] = read_manifest(folder, stage)
            finished.add(stage)
        elif (folder / PENDING).exists():
            manifests[stage] = Manifest(**_read_json(folder / PENDING))
    run = folders.get("run", Path("run"))
    return Build(
        manifests=manifests,
        finished=frozenset(finished),
        run=load_yaml(run / RUN_FILE) if (run / RUN_FILE).exists() else {},
        metrics=_last_of_each_step(_read_lines(run / METRICS)),
        samples=[sample for line in _read_lines(run / SAMPLES) for sample in _samples_of(line)],
        incidents=_read_lines(run / INCIDENTS),
        readings=_read_clock(run / TIMINGS),
        scores=_read_json(folders["evaluation"] / SCORES) if "evaluation" in finished else {},
    )


def boxes_of(out: Path) -> dict[str, Path]:
    """stage → folder of the build in `out`."""
    return {stage: Path(out) / stage for stage in STAGES}


def _last_of_each_step(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines by step; of two for one step (a run that was resumed) the later."""
    kept = {(line.get("step"), "heldout" in line): line for line in lines}
    return sorted(kept.values(), key=lambda line: (line.get("step") or 0, "heldout" in line))


def _samples_of(line: dict[str, Any]) -> list[dict[str, Any]]:
    """The samples of one line of samples.jsonl, which holds all of one step."""
    return [{"step": line["step"], **sample} for sample in line.get("samples", [])]


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [line for line in read_json_lines(path) if isinstance(line, dict)]
    except ValueError as error:
        raise IntegrityError(
            f"{path} is damaged: {error}", hint="restore it, or run the training again"
        ) from error


def _read_clock(path: Path) -> list[dict[str, Any]]:
    """The clock readings that can be read: nothing depends on them, so a damaged one is passed over."""
    return readable_json_lines(path.read_bytes()) if path.exists() else []


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(
            f"{path} is damaged", hint=f"remove {path.parent} and run its command again"
        ) from error
    if not isinstance(values, dict):
        raise IntegrityError(
            f"{path} holds no JSON object", hint=f"remove {path.parent} and run its command again"
        )
    return values
