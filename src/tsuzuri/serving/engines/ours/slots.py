"""The slots of the cache: which tokens each holds, who writes in it, and whose beginning serves another.

A slot keeps its tokens when its request is over. A new request begins with the longest beginning that any
slot shares with it, a running one's too: in that slot itself where it is free and little else would be lost,
else in the one unused for longest, to which the common part is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MOST_LOST = 0.5
"""Of a free slot's tokens: where more would be lost, the common part is copied and the slot stays."""


@dataclass(slots=True)
class Slot:
    """One row of the cache."""

    number: int
    tokens: list[int] = field(default_factory=list)
    """What it holds, position by position."""
    planned: Sequence[int] = ()
    """What its request will have read before it writes; nothing once it has."""
    is_free: bool = True
    used: int = 0
    """When it was last given away: larger is later."""


class Slots:
    """All slots, and `copy(source, target, length)`, which copies the cache's first positions."""

    def __init__(self, count: int, copy: Callable[[int, int, int], None]) -> None:
        self._slots = [Slot(number) for number in range(count)]
        self._copy = copy
        self._given = 0

    @property
    def held_tokens(self) -> int:
        """Positions that hold something."""
        return sum(len(slot.tokens) for slot in self._slots)

    def has_room(self) -> bool:
        """Whether any slot is free."""
        return any(slot.is_free for slot in self._slots)

    def take(self, tokens: Sequence[int], *, reuse: bool) -> Slot | None:
        """A slot that holds a beginning of `tokens`, never all of them; None: another request is about
        to have read more of it, or there is no room."""
        shared = [(common_length(slot.tokens, tokens), slot.is_free, slot) for slot in self._slots if reuse]
        common, _, best = max(shared, key=lambda found: found[:2], default=(0, False, None))
        coming = max((common_length(slot.planned, tokens) for slot in self._slots if reuse), default=0)
        if coming > common:
            return None
        common = min(common, len(tokens) - 1)
        free = [slot for slot in self._slots if slot.is_free]
        if not free:
            return None
        target = min(free, key=lambda slot: slot.used)
        if best is not None and best.is_free and common >= (1 - MOST_LOST) * len(best.tokens):
            target = best
        elif best is not None and common:
            self._copy(best.number, target.number, common)
        self._given += 1
        target.tokens, target.planned = list(tokens[:common]), tokens
        target.is_free, target.used = False, self._given
        return target

    def give_back(self, slot: Slot) -> None:
        """Its request is over; what it holds stays until the slot is taken for something else."""
        slot.is_free, slot.planned = True, ()

    def forget(self) -> None:
        """What the slots hold is not to be trusted."""
        for slot in self._slots:
            slot.tokens = []


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    length = min(len(one), len(other))
    return next((place for place in range(length) if one[place] != other[place]), length)
