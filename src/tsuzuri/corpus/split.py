"""Which groups are held out: decided by a hash of the group, never of the document.

Near-duplicates (versions of a page, chapters of a book, works of an author) share a group and so stay on
one side. A group's place does not move when the corpus grows. A source with few groups may have none under
the fraction: then its group of smallest hash that is not most of the source is held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

MOST_OF_A_SOURCE = 0.5


def position(group: str) -> float:
    """A group's fixed place in [0, 1): it is held out by every fraction above it."""
    digest = hashlib.sha256(f"heldout:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def heldout_groups(characters: Mapping[str, int], fraction: float) -> set[str]:
    """The groups of one source to hold out, given the characters in each."""
    if fraction <= 0:
        return set()
    chosen = {group for group in characters if position(group) < fraction}
    if chosen:
        return chosen
    limit = MOST_OF_A_SOURCE * sum(characters.values())
    small = [group for group, count in characters.items() if count <= limit]
    return {min(small, key=position)} if small else set()
