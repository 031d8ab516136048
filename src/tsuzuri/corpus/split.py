"""Which groups are held out: decided by a hash of the group, never of the document.

Near-duplicates (versions of a page, chapters of a book, works of an author) share a group and so stay on
one side. A group's place does not move when the corpus grows. A source with few groups may have none under
the fraction: then its group of smallest hash that is not most of the source is held out.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

MOST_OF_A_SOURCE = 0.5


def group_number(group: str) -> int:
    """A group's fixed 64-bit number; divided by 2^64 it is the group's place in [0, 1)."""
    return int.from_bytes(hashlib.sha256(f"heldout:{group}".encode()).digest()[:8], "big")


def heldout(
    groups: npt.NDArray[np.uint64], characters: npt.NDArray[np.int64], fraction: float
) -> npt.NDArray[np.bool_]:
    """(n,) which of one source's documents are held out, given each one's group and size."""
    if fraction <= 0 or not len(groups):
        return np.zeros(len(groups), bool)
    chosen: npt.NDArray[np.bool_] = groups / 2.0**64 < fraction
    if chosen.any():
        return chosen
    numbers, members = np.unique(groups, return_inverse=True)
    sizes = np.bincount(members, weights=characters)
    small = numbers[sizes <= MOST_OF_A_SOURCE * sizes.sum()]
    return groups == small[0] if len(small) else chosen
