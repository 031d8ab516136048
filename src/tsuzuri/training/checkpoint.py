"""Checkpoints: torch.distributed.checkpoint folders, whole or absent, written by all ranks of a run.

Each rank writes one file of its shards (what ranks hold alike is shared out among them) and its SHA-256; the
first rank gathers the sums into `sha256.json` and gives the folder its name. Nothing is read before it is
compared. A run on another number of ranks reads the same folder: torch cuts the shards anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint import (
    api,
    default_planner,
    filesystem,
    metadata,
    planner,
    state_dict_loader,
    state_dict_saver,
    storage,
    utils,
)
from torch.distributed.checkpoint._dedup_save_plans import dedup_save_plans
from torch.futures import Future

from tsuzuri.core.errors import IntegrityError, ResourceError
from tsuzuri.core.files import (
    TEMPORARY_PREFIX,
    atomic_folder,
    disk_errors,
    fsync_file,
    sha256_file,
    write_json,
)
from tsuzuri.training.peers import Peers

SUMS = "sha256.json"


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    *,
    keep: int,
    milestone: bool = False,
    regular: bool = True,
    peers: Peers | None = None,
) -> None:
    """Write the checkpoint of `step` into `folder`, then remove all but the newest `keep` and milestones.

    One that is not `regular`, in which a run was stopped, goes when there is a newer one and counts for none.

    Raises ResourceError, on every rank, when the disk of one is full; what was there before stays as it was.
    """
    peers = peers or Peers()
    path = folder / f"step-{step:08d}"
    if not peers.first(path.exists):
        with disk_errors(path):
            _write(path, {"step": step, "milestone": milestone, "regular": regular}, tensors, peers)
    peers.first(lambda: _remove_old(folder, keep))


def own_share(tensors: Mapping[str, Tensor], peers: Peers) -> dict[str, Tensor]:
    """Those of a state's tensors of which this rank writes its part: of what several hold alike one does."""
    ranks = utils._DistWrapper(peers.group, peers.group is not None, coordinator_rank=0)
    plan: planner.SavePlan = ranks.reduce_scatter(
        "share",
        lambda: default_planner.create_default_local_save_plan(dict(tensors), is_coordinator=False),
        dedup_save_plans,
    )
    names = {item.index.fqn for item in plan.items}
    return {name: tensor for name, tensor in tensors.items() if name in names}


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob("step-*"))


def milestones(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder that are never removed, oldest first."""
    return [step_of(path) for path in checkpoints(folder) if _is(path, "milestone")]


def step_of(path: Path) -> int:
    """The step that the checkpoint at `path` was written after."""
    return int(path.name.removeprefix("step-"))


def newest_step(folder: Path) -> int:
    """The step that the newest checkpoint in `folder` was written after; 0 where there is none."""
    return max(map(step_of, checkpoints(folder)), default=0)


def load_newest(folder: Path, tensors: Mapping[str, Tensor], *, peers: Peers | None = None) -> int:
    """Fill `tensors` in place from the newest checkpoint, if there is one; the step it was written after."""
    peers = peers or Peers()
    found = peers.first(lambda: checkpoints(folder))
    if not found:
        return 0
    load(found[-1], tensors, peers=peers)
    return step_of(found[-1])


def load(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    prefixes: tuple[str, ...] = ("",),
    peers: Peers | None = None,
) -> None:
    """Fill those of `tensors` whose names begin so in place from the checkpoint at `path`.

    Raises IntegrityError, on every rank, when it is damaged or another model's.
    """
    peers = peers or Peers()
    verify(path, peers=peers)
    tensors = {name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
    stored = peers.first(lambda: _stored(path, prefixes))
    wanted = {name: _kind(tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    if wanted != stored:
        name = min(name for name in {*wanted, *stored} if wanted.get(name) != stored.get(name))
        raise IntegrityError(
            f"{path} is not a checkpoint of this model: "
            f"{name} is {stored.get(name, 'absent')} there and {wanted.get(name, 'absent')} here",
            hint="give another --out for another model",
        )
    with _errors_of_ranks():
        state_dict_loader._load_state_dict(
            dict(sorted(tensors.items())),  # in one order on every rank
            filesystem.FileSystemReader(path),
            process_group=peers.group,
            no_dist=peers.group is None,
        )


def load_stored(path: Path, prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of a checkpoint whose names begin so, whole; IntegrityError when it is damaged."""
    verify(path)
    items = filesystem.FileSystemReader(path).read_metadata().state_dict_metadata
    tensors = {
        name: torch.empty(item.size, dtype=item.properties.dtype)
        for name, item in sorted(items.items())
        if isinstance(item, metadata.TensorStorageMetadata) and name.startswith(prefixes)
    }
    state_dict_loader._load_state_dict(dict(tensors), filesystem.FileSystemReader(path), no_dist=True)
    return tensors


def verify(path: Path, *, peers: Peers | None = None) -> None:
    """Compare every file of a checkpoint with its SHA-256; IntegrityError names the first at fault.

    Every rank compares its share of them.
    """
    peers = peers or Peers()
    hint = f"remove {path} and run the same command again: it goes on from the checkpoint before"
    sums = sorted(peers.first(lambda: _facts(path, hint)["files"]).items())

    def compare() -> None:
        for name, expected in sums[peers.rank :: peers.count]:
            if not (path / name).exists():
                raise IntegrityError(f"{path / name} is missing", hint=hint)
            if sha256_file(path / name) != expected:
                raise IntegrityError(f"{path / name} is damaged: its SHA-256 differs from {SUMS}", hint=hint)

    peers.all(compare)


def rewind(folder: Path, but: Collection[int] = ()) -> int:
    """The newest step with a regular checkpoint in `folder`, or 0; every checkpoint after it is removed.

    Steps in `but` are passed over where there is an older one.
    """
    regular = [step_of(path) for path in checkpoints(folder) if _is(path, "regular")]
    untried = [step for step in regular if step not in but]
    found = max(untried or regular, default=0)
    for path in checkpoints(folder):  # the newest last: a run killed meanwhile comes here again
        if step_of(path) > found:
            remove(path)
    return found


def remove(path: Path) -> None:
    """Remove a checkpoint, which is never seen half removed."""
    doomed = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    path.rename(doomed)
    shutil.rmtree(doomed)


class _Writer(filesystem.FileSystemWriter):
    """torch's writer of one file a rank, without clock readings and paths in what it writes."""

    def storage_meta(self) -> metadata.StorageMeta:
        """Nothing: torch's default holds the temporary folder's path and a random number."""
        return metadata.StorageMeta()

    def write_data(
        self, plan: planner.SavePlan, planner: planner.SavePlanner
    ) -> Future[list[storage.WriteResult]]:
        """As torch's; a disk's error leaves it as what it is, which torch loses on the way between ranks."""
        try:
            return super().write_data(plan, planner)
        except Exception as error:
            found: BaseException | None = error
            while found is not None and not isinstance(found, OSError):
                found = found.__context__
            raise found or error from error


def _write(path: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor], peers: Peers) -> None:
    with ExitStack() as folder:  # of the first rank: its temporary folder becomes the checkpoint, or goes
        temporary = peers.first(lambda: folder.enter_context(atomic_folder(path)))
        with _errors_of_ranks():
            # torch's public function warns where there is no process group, and no thread can silence a
            # warning for itself alone
            state_dict_saver._save_state_dict(
                dict(tensors),
                _Writer(temporary, thread_count=1, sync_files=False),
                process_group=peers.group,
                no_dist=peers.group is None,
            )
        sums = peers.all(lambda: _own_sums(temporary, peers.rank))

        def complete() -> None:
            files = {name: sum_ for part in sums for name, sum_ in part.items()}
            unseen = [name for name in files if not (temporary / name).exists()]
            if unseen:
                raise ResourceError(
                    f"{path} cannot be written: the first rank does not see {unseen[0]}, which another wrote",
                    hint="give an --out on a file system that all nodes share",
                )
            write_json(temporary / SUMS, {**facts, "files": dict(sorted(files.items()))})
            folder.close()

        peers.first(complete)


def _own_sums(folder: Path, rank: int) -> dict[str, str]:
    """The SHA-256 of each file that a rank has written, once it is on the disk."""
    sums = {}
    for path in (*folder.glob(f"__{rank}_*"), *(folder.glob(".metadata") if rank == 0 else ())):
        fsync_file(path)
        sums[path.name] = sha256_file(path)
    return sums


def _remove_old(folder: Path, keep: int) -> None:
    found = checkpoints(folder)
    regular = [path for path in found if _is(path, "regular")]
    kept = {found[-1], *regular[-keep:]}
    for path in found:
        if path not in kept and not _is(path, "milestone"):
            remove(path)


def _is(path: Path, fact: str) -> bool:
    try:
        return bool(_facts(path)[fact])
    except IntegrityError:  # of no use to anybody
        return False


def _facts(path: Path, hint: str = "") -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((path / SUMS).read_text(encoding="utf-8"))
        return {"milestone": False, "regular": True, **facts, "files": dict(facts["files"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path / SUMS} is missing or damaged", hint=hint) from error


def _stored(path: Path, prefixes: tuple[str, ...]) -> dict[str, str]:
    """What is stored in a checkpoint, by names that begin so."""
    items = filesystem.FileSystemReader(path).read_metadata().state_dict_metadata
    return {
        name: _kind(item.size, item.properties.dtype)
        for name, item in items.items()
        if isinstance(item, metadata.TensorStorageMetadata) and name.startswith(prefixes)
    }


def _kind(shape: torch.Size, dtype: torch.dtype) -> str:
    return f"{str(dtype).removeprefix('torch.')} {tuple(shape)}"


@contextmanager
def _errors_of_ranks() -> Iterator[None]:
    """Within it, what torch wraps into one error for all ranks comes out as the first rank's own."""
    try:
        yield
    except api.CheckpointException as wrapper:
        raise next(iter(wrapper.failures.values()))[0] from wrapper
