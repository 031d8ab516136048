"""Saving while training goes on: the state is copied between two steps, and a thread writes the copy.

The copy takes as many bytes of the host's memory as this rank writes of the state (weights and states of the
optimizer), from the first checkpoint to the end of the run; all ranks' copies are as large as one state,
however many of them hold it. torch's own `async_save` is not used: what it
calls done has neither sums nor the name that makes it visible, and it copies into new memory every time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from tsuzuri.core.errors import TrainingError
from tsuzuri.core.progress import say
from tsuzuri.training import checkpoint
from tsuzuri.training.peers import Peers
from tsuzuri.training.shards import local


class Checkpoints:
    """The checkpoints of a run, at most one of them under way; every rank makes the same calls."""

    def __init__(self, folder: Path, tensors: Mapping[str, Tensor], *, keep: int) -> None:
        """Of `tensors`, whose memory is read at every save and filled when one is loaded."""
        self.folder, self.tensors, self.keep = folder, tensors, keep
        self._peers = Peers()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._copy: HostCopy | None = None
        self._writing: Future[None] | None = None
        self._step = 0

    def save(self, step: int, *, milestone: bool = False, regular: bool = True) -> None:
        """Copy the state as it is now, after `step`, and let it be written; what was under way ends first."""
        if step == self._step:
            return
        self.wait()
        self._copy = self._copy or HostCopy(checkpoint.own_share(self.tensors, self._peers))
        copies = self._copy.take()
        self._step = step
        self._writing = self._thread.submit(self._write, step, copies, milestone=milestone, regular=regular)

    def has_failed(self) -> bool:
        """Whether `wait` would raise an error at once."""
        return self._writing is not None and self._writing.done() and bool(self._writing.exception())

    def wait(self) -> None:
        """Return when nothing is under way; raises the error that kept the last checkpoint from being."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def load_newest(self) -> int:
        """Fill the state from the newest checkpoint, if there is one; the step it was written after."""
        self.wait()
        self._step = checkpoint.load_newest(self.folder, self.tensors, peers=self._peers)
        return self._step

    def begin_with(self, path: Path, prefixes: tuple[str, ...]) -> None:
        """Fill what of the state has names that begin so from another run's checkpoint."""
        checkpoint.load(path, self.tensors, prefixes=prefixes, peers=self._peers)

    def rewind(self, but: Collection[int] = ()) -> int:
        """The newest step with a regular checkpoint, or 0; every checkpoint after it is removed.

        One that a stop was saved in is not, lest a stopped run go another way than one that never was. That
        of a step in `but` is passed over where there is an older one.
        """
        self.wait()
        self._step = self._peers.first(lambda: checkpoint.rewind(self.folder, but))
        return self._step

    def _write(self, step: int, copies: Mapping[str, Tensor], *, milestone: bool, regular: bool) -> None:
        self._peers.all(lambda: _require_numbers(step, copies, self._peers.rank))
        checkpoint.save(
            self.folder,
            step,
            copies,
            keep=self.keep,
            milestone=milestone,
            regular=regular,
            peers=self._peers,
        )

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except Exception as second:
            if error is None:
                raise
            say(f"the last checkpoint was not written either: {second}")
        finally:
            self._thread.shutdown()


class HostCopy:
    """A copy of tensors in the host's memory (pinned where a device can use that), taken again and again."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._copies: dict[str, Tensor] = {}

    def take(self) -> dict[str, Tensor]:
        """The tensors as they are now; the next call overwrites what this one returned."""
        has_device = any(tensor.device.type != "cpu" for tensor in self._tensors.values())
        if has_device:
            torch.accelerator.synchronize()  # what a step still moves to the host must have arrived
        if not self._copies:
            self._copies = {name: _on_host(tensor) for name, tensor in self._tensors.items()}
        else:
            for name, tensor in self._tensors.items():
                local(self._copies[name]).copy_(local(tensor), non_blocking=True)
        if has_device:
            torch.accelerator.synchronize()
        return self._copies


def _require_numbers(step: int, tensors: Mapping[str, Tensor], rank: int) -> None:
    """TrainingError where a tensor holds what is no number: who resumed from it could only fail again."""
    for name, tensor in tensors.items():
        own = local(tensor)
        if own.is_floating_point() and own.numel() and not torch.stack(own.aminmax()).isfinite().all():
            raise TrainingError(
                f"after step {step} {name} holds what is no number, and no step has made it so: the hardware "
                f"of rank {rank} is at fault, and no checkpoint was written",
                hint="test its memory and devices; the same command goes on from the checkpoint before",
            )


def _on_host(tensor: Tensor) -> Tensor:
    copy = tensor.detach().to("cpu", copy=True)  # of a DTensor the shards, still one
    if tensor.device.type == "cuda" and local(copy).numel():
        if isinstance(copy, DTensor):
            copy._local_tensor = copy._local_tensor.pin_memory()  # DTensor has no public way to it
        else:
            copy = copy.pin_memory()
    return copy
