"""Checkpoints: torch.distributed.checkpoint folders (also on one process), whole or absent, a SHA-256 for each file."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch.distributed.checkpoint as dcp
from torch import Tensor

from tsuzuri.core.errors import IntegrityError
from tsuzuri.core.files import atomic_folder, sha256_file, sweep_temporary, write_json

SUMS = "sha256.json"


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], *, keep: int) -> Path:
    """Write the checkpoint of `step`, then remove all but the newest `keep`."""
    path = folder / f"step-{step:08d}"
    if not path.exists():
        with atomic_folder(path) as temporary:
            _quietly_save(dict(tensors), temporary)
            sums = {file.name: sha256_file(file) for file in sorted(temporary.iterdir())}
            write_json(temporary / SUMS, {"step": step, "files": sums})
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / SUMS).exists())


def step_of(path: Path) -> int:
    """The step that the checkpoint at `path` was written after."""
    return int(path.name.removeprefix("step-"))


def load_newest(folder: Path, tensors: Mapping[str, Tensor]) -> int:
    """Fill `tensors` in place from the newest checkpoint; the step it was written after, or 0 where there is none."""
    if folder.exists():
        sweep_temporary(folder)
    found = checkpoints(folder)
    if not found:
        return 0
    load(found[-1], tensors)
    return step_of(found[-1])


def load(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill `tensors` in place from the checkpoint at `path`; IntegrityError when it is torn or another model's."""
    verify(path)
    metadata = dcp.FileSystemReader(path).read_metadata().state_dict_metadata
    wanted = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    stored = {name: tuple(getattr(item, "size", ())) for name, item in metadata.items()}
    if wanted != stored:
        name = min(name for name in {*wanted, *stored} if wanted.get(name) != stored.get(name))
        raise IntegrityError(
            f"{path} is not a checkpoint of this model: {name} is {stored.get(name)} there and {wanted.get(name)} here",
            hint="give another --out for another model",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that no process group is there is meant
        dcp.load(dict(tensors), checkpoint_id=path, no_dist=True)


def verify(path: Path) -> None:
    """Compare every file of a checkpoint with its SHA-256; IntegrityError names the first at fault."""
    hint = f"remove {path} and run the same command again: it resumes from the checkpoint before"
    try:
        sums = json.loads((path / SUMS).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        raise IntegrityError(f"{path / SUMS} is missing or damaged", hint=hint) from error
    for name, sum_ in sums.items():
        if not (path / name).exists():
            raise IntegrityError(f"{path / name} is missing", hint=hint)
        if sha256_file(path / name) != sum_:
            raise IntegrityError(f"{path / name} is damaged: its SHA-256 differs from {SUMS}", hint=hint)


def _quietly_save(tensors: dict[str, Tensor], path: Path) -> None:
    logging.getLogger("torch.distributed.checkpoint").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that no process group is there is meant
        writer = dcp.FileSystemWriter(path, thread_count=1)
        dcp.save(tensors, storage_writer=writer, no_dist=True)
