"""What the ranks of a run tell each other beside the training itself: over gloo, in a group of its own.

Of another device's group neither the order nor the streams are touched, so that a thread may hold such a
group while the next step is made. In a run of one process everything here is trivial.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist

Result = TypeVar("Result")

PATIENCE = datetime.timedelta(days=1)
"""For a rank whose disk is slow. That one has died is noticed at once, and that one hangs by the training."""


class Peers:
    """The ranks of a run, for work that they do together; every rank makes the same calls in one order."""

    def __init__(self) -> None:
        is_alone = not (dist.is_available() and dist.is_initialized())
        self.group = None if is_alone else dist.new_group(backend="gloo", timeout=PATIENCE)
        self.rank = 0 if is_alone else dist.get_rank()
        self.count = 1 if is_alone else dist.get_world_size()

    def all(self, work: Callable[[], Result]) -> list[Result]:
        """What `work` returns on each rank. Where it raises an error on one, that is raised on all."""
        outcomes = [_outcome(work)]
        if self.group is not None:
            outcomes *= self.count
            dist.all_gather_object(outcomes, outcomes[self.rank], group=self.group)
        return [_result(outcome) for outcome in outcomes]

    def first(self, work: Callable[[], Result]) -> Result:
        """What `work` returns on the first rank, which alone does it; its error is raised on all."""
        outcomes = [_outcome(work) if self.rank == 0 else None]
        if self.group is not None:
            dist.broadcast_object_list(outcomes, src=0, group=self.group)
        assert outcomes[0], "the first rank always has an outcome"
        return _result(outcomes[0])


class Votes:
    """What any rank wishes, known to all of them after the same step, and none waits for another."""

    def __init__(self) -> None:
        self._group = Peers().group
        self._largest = torch.zeros(1, dtype=torch.int32)
        self._reduction: dist.Work | None = None

    def largest(self, wish: int) -> int:
        """The largest wish of all ranks: in one process of this call, otherwise of the call before (or 0)."""
        if self._group is None:
            return wish
        if self._reduction:
            self._reduction.wait()
        known = int(self._largest)
        self._largest.fill_(wish)
        self._reduction = dist.all_reduce(self._largest, dist.ReduceOp.MAX, group=self._group, async_op=True)
        return known


def _outcome(work: Callable[[], Result]) -> tuple[Result | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        return None, error


def _result(outcome: tuple[Result | None, Exception | None]) -> Result:
    result, error = outcome
    if error:
        raise error
    return result  # type: ignore[return-value]  # of work that may itself return None
