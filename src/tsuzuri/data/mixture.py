"""Which source row i of the training set is drawn from, and as which of that source's rows, in constant time.

The shares become integer counts in a block of at most BLOCK_ROWS slots that repeats for ever. In a block, a
source with n of P slots gets its j-th one (from 0) between slots ⌊j·P/n⌋ and ⌈(j+1)·P/n⌉, earliest deadline
first: the windows of proportionate scheduling (Baruah, Cohen, Plaxton and Varvel, Algorithmica 1996), which
one server can always keep, as the shares sum to one. So after any number of rows each source is less than one
row away from its share.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BLOCK_ROWS = 16_384
"""Shares are kept to one part in this many; a source with any share at all gets one slot."""

Integers = npt.NDArray[np.int64]


class Mixture:
    """The endless sequence of components 0 … k − 1 in given shares."""

    def __init__(self, parts: list[float]) -> None:
        """`parts` are the components' shares, 0 or more, of sum 1."""
        self.counts: Integers = _block_counts(parts)
        """Slots of each component in a block."""
        self.block_rows = int(self.counts.sum())
        self._components: Integers = _interleave(self.counts.tolist())
        slots = [np.flatnonzero(self._components == component) for component in range(len(parts))]
        self._slots: list[Integers] = slots
        self._ranks: Integers = np.empty(self.block_rows, np.int64)
        for own in slots:
            self._ranks[own] = np.arange(len(own))

    def place(self, indices: Integers) -> tuple[Integers, Integers]:
        """(component, how many rows of that component came before) of each row of `indices` (n,)."""
        blocks, slots = np.divmod(indices, self.block_rows)
        components = self._components[slots]
        return components, blocks * self.counts[components] + self._ranks[slots]

    def drawn(self, rows: int) -> list[int]:
        """How many of the first `rows` rows each component has."""
        blocks, rest = divmod(rows, self.block_rows)
        return [
            blocks * int(count) + int(np.searchsorted(slots, rest))
            for count, slots in zip(self.counts, self._slots, strict=True)
        ]


def _block_counts(parts: list[float]) -> Integers:
    """Integers in the ratio of `parts` by largest remainder, 1 or more for any part, in lowest terms."""
    ideal = np.array(parts) * BLOCK_ROWS
    counts = np.floor(ideal).astype(np.int64)
    most_due = np.argsort(counts - ideal, kind="stable")
    counts[most_due[: BLOCK_ROWS - int(counts.sum())]] += 1
    counts[(counts == 0) & (ideal > 0)] = 1
    lowest: Integers = counts // np.gcd.reduce(counts)
    return lowest


def _interleave(counts: list[int]) -> Integers:
    """The component of each slot of a block: of those whose window has begun, the one whose ends first."""
    block_rows = sum(counts)
    drawn = [0] * len(counts)
    active = [component for component, count in enumerate(counts) if count]
    sequence = np.empty(block_rows, np.int64)
    for slot in range(block_rows):
        begun = (c for c in active if drawn[c] * block_rows < (slot + 1) * counts[c])
        chosen = min(begun, key=lambda c: -(-(drawn[c] + 1) * block_rows // counts[c]))
        sequence[slot] = chosen
        drawn[chosen] += 1
    return sequence
