"""A model on its way: the weights of a milestone's checkpoint, alone, as the box of a run that ended there.

Nothing of the optimizer is read. The box is one that evaluation and release take for any other run's: what it
counts is what it would have counted after that step, its logs and clock end there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsuzuri.core.boxes import METRICS, RUN_FILE, SAMPLES, SETTINGS_FILE, TOKENIZER_FILE
from tsuzuri.core.config import load_yaml, parse_config
from tsuzuri.core.errors import InputError
from tsuzuri.core.files import append_json_line, read_json_lines, readable_json_lines, write_text
from tsuzuri.core.manifest import TIMINGS, Manifest, make_box, read_manifest
from tsuzuri.model import hf
from tsuzuri.model.gpt import GPT
from tsuzuri.training import checkpoint
from tsuzuri.training.run import CHECKPOINTS, RunRecord

LOGS = (METRICS, SAMPLES)


def make_milestone(run: Path, step: int, box: Path) -> Manifest:
    """The manifest of `box`, the run as it was after `step`, of which it keeps a milestone.

    Raises InputError where it keeps none, IntegrityError where the checkpoint is damaged.
    """
    whole = read_manifest(run, "run")
    path = run / CHECKPOINTS / f"step-{step:08d}"
    if step not in checkpoint.milestones(run / CHECKPOINTS):
        raise InputError(
            f"{run} keeps no milestone of step {step}", hint="train.milestones keeps checkpoints"
        )
    record = parse_config(RunRecord, load_yaml(run / RUN_FILE), where=str(run / RUN_FILE))

    def work() -> Mapping[str, Any]:
        _write(run, path, record, step, box)
        return _counts(whole, record, step)

    return make_box(box, kind="run", config=whole.config, inputs={"run": run}, work=work)


def load_weights(path: Path) -> dict[str, Tensor]:
    """The weights in the checkpoint at `path`, by the names of GPT's parameters, compared with their sums.

    Of weights that an optimizer kept twice, those of more bits.
    """
    stored = checkpoint.load_stored(path, ("model.", "master."))
    return {
        name.removeprefix(kind): tensor
        for kind in ("model.", "master.")
        for name, tensor in stored.items()
        if name.startswith(kind)
    }


def _write(run: Path, path: Path, record: RunRecord, step: int, box: Path) -> None:
    shape = record.configs()[0]
    with torch.device("meta"):
        model = GPT(shape)
    model.load_state_dict(load_weights(path), assign=True)
    eos_id = json.loads((run / "model" / "config.json").read_text(encoding="utf-8"))["eos_token_id"]
    hf.save_model(model, box / "model", eos_id=eos_id)
    for name in (TOKENIZER_FILE, SETTINGS_FILE):
        write_text(box / "model" / name, (run / "model" / name).read_text(encoding="utf-8"))
    write_text(box / RUN_FILE, (run / RUN_FILE).read_text(encoding="utf-8"))
    for name in LOGS:
        lines = [line for line in read_json_lines(run / name) if line["step"] <= step]
        write_text(box / name, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    (box / TIMINGS).unlink(missing_ok=True)
    for reading in readable_json_lines((run / TIMINGS).read_bytes()):
        if reading.get("step", 0) <= step and reading.get("stage") != "run":
            append_json_line(box / TIMINGS, reading)


def _counts(whole: Manifest, record: RunRecord, step: int) -> dict[str, Any]:
    train, share = record.configs()[1], step / whole.counts["steps"]
    return {
        **whole.counts,
        "steps": step,
        "tokens": step * train.tokens_per_step,
        "epochs": {source: times * share for source, times in whole.counts["epochs"].items()},
        "amendments": [item.as_mapping() for item in record.amendments if item.step < step],
        "milestones": [],
        "milestone_of": whole.counts["steps"],
    }
