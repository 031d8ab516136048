"""Which of the processes that torchrun started this one is; without torchrun, the first and only one.

torchrun says it in the environment, so that even what imports no torch knows whether it speaks for all.
"""

from __future__ import annotations

import os


def world() -> int:
    """The number of processes that share a run."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def local_rank() -> int:
    """Its number among those of its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if world() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that speaks, and writes what all of them share."""
    return rank() == 0
