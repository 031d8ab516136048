"""What a router is worth: its bits beside those of routers that know all, and nothing. Imports no torch.

PGR = (bits of always the generalist - bits of the router) / (bits of always the generalist - bits of the
oracle): 0 where it might as well not be there, 1 where nobody could choose better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Routed:
    """A text that was routed, and what every specialist would have made of it."""

    domain: str
    chosen: str
    bits: Mapping[str, float]
    """By specialist, the generalist too: of the whole text."""
    characters: int


@dataclass(frozen=True)
class Worth:
    """Bits a character by each way to choose."""

    router: float
    oracle: float
    """The best for each text, known afterwards."""
    by_domain: float
    """The specialist that is best on a text's domain on the average."""
    generalist: float
    best_single: float
    """The one that would be best for all texts."""
    random: float
    """Drawn evenly for each text: the expectation."""
    shuffled: float
    """The router's choices, each for some other text: what remains is how often it chooses whom."""
    accuracy: float
    """How often it chooses as `by_domain` does."""

    @property
    def gap_recovered(self) -> float:
        """PGR; 0 where there is no gap."""
        gap = self.generalist - self.oracle
        return (self.generalist - self.router) / gap if gap > 0 else 0.0


def worth(texts: Sequence[Routed], generalist: str, *, seed: int = 0) -> Worth:
    """Of a router that has chosen for these texts."""
    names = sorted(texts[0].bits)
    bits = np.array([[text.bits[name] for name in names] for text in texts])
    chosen = np.array([names.index(text.chosen) for text in texts])
    rows, characters = np.arange(len(texts)), sum(text.characters for text in texts)
    domains = sorted({text.domain for text in texts})
    of_text = np.array([domains.index(text.domain) for text in texts])
    best = np.array([bits[of_text == place].sum(0).argmin() for place in range(len(domains))])
    others = np.random.default_rng(seed).permutation(chosen)
    totals = bits.sum(0)
    return Worth(
        router=float(bits[rows, chosen].sum()) / characters,
        oracle=float(bits.min(1).sum()) / characters,
        by_domain=float(bits[rows, best[of_text]].sum()) / characters,
        generalist=float(totals[names.index(generalist)]) / characters,
        best_single=float(totals.min()) / characters,
        random=float(totals.mean()) / characters,
        shuffled=float(bits[rows, others].sum()) / characters,
        accuracy=float((chosen == best[of_text]).mean()),
    )
