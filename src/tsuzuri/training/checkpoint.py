"""Checkpoints: torch.distributed.checkpoint folders (also on one process), whole or absent.

Beside torch's own files lies `sha256.json` with the SHA-256 of each; nothing is read before it is compared.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor
from torch.distributed.checkpoint import api, filesystem, state_dict_loader, state_dict_saver

from tsuzuri.core.errors import IntegrityError
from tsuzuri.core.files import TEMPORARY_PREFIX, atomic_folder, sha256_file, write_json

SUMS = "sha256.json"


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], *, keep: int) -> None:
    """Write the checkpoint of `step` into `folder`, then remove all but the newest `keep`.

    Raises ResourceError when the disk is full; what was there before is left as it was.
    """
    path = folder / f"step-{step:08d}"
    if not path.exists():
        with atomic_folder(path) as temporary:
            writer = filesystem.FileSystemWriter(temporary, thread_count=1, sync_files=False)
            with _plainly():
                state_dict_saver.save(dict(tensors), storage_writer=writer, no_dist=True)
            sums = {file.name: sha256_file(file) for file in sorted(temporary.iterdir())}
            write_json(temporary / SUMS, {"step": step, "files": sums})
    for old in checkpoints(folder)[:-keep]:
        doomed = old.with_name(f"{TEMPORARY_PREFIX}{old.name}")  # never seen half removed
        old.rename(doomed)
        shutil.rmtree(doomed)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob("step-*"))


def newest_step(folder: Path) -> int:
    """The step that the newest checkpoint in `folder` was written after; 0 where there is none."""
    found = checkpoints(folder)
    return int(found[-1].name.removeprefix("step-")) if found else 0


def load_newest(folder: Path, tensors: Mapping[str, Tensor]) -> int:
    """Fill `tensors` in place from the newest checkpoint, if there is one; the step it was written after."""
    found = checkpoints(folder)
    if found:
        load(found[-1], tensors)
    return newest_step(folder)


def load(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill `tensors` in place from the checkpoint at `path`.

    Raises IntegrityError when it is damaged or another model's.
    """
    verify(path)
    metadata = filesystem.FileSystemReader(path).read_metadata().state_dict_metadata
    wanted = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    stored = {name: tuple(getattr(item, "size", ())) for name, item in metadata.items()}
    if wanted != stored:
        name = min(name for name in {*wanted, *stored} if wanted.get(name) != stored.get(name))
        raise IntegrityError(
            f"{path} is not a checkpoint of this model: "
            f"{name} is {stored.get(name, 'absent')} there and {wanted.get(name, 'absent')} here",
            hint="give another --out for another model",
        )
    with _plainly():
        state_dict_loader.load(dict(tensors), checkpoint_id=path, no_dist=True)


def verify(path: Path) -> None:
    """Compare every file of a checkpoint with its SHA-256; IntegrityError names the first at fault."""
    hint = f"remove {path} and run the same command again: it goes on from the checkpoint before"
    try:
        sums = json.loads((path / SUMS).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        raise IntegrityError(f"{path / SUMS} is missing or damaged", hint=hint) from error
    for name, expected in sums.items():
        if not (path / name).exists():
            raise IntegrityError(f"{path / name} is missing", hint=hint)
        if sha256_file(path / name) != expected:
            raise IntegrityError(f"{path / name} is damaged: its SHA-256 differs from {SUMS}", hint=hint)


@contextmanager
def _plainly() -> Iterator[None]:
    """Let torch say nothing of the absent process group, and let an OSError inside its wrappers out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    except api.CheckpointException as wrapper:
        found: BaseException | None = next(iter(wrapper.failures.values()))[0]
        while found is not None:
            if isinstance(found, OSError):
                raise found from wrapper
            found = found.__context__
        raise
