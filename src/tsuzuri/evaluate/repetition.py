"""How much sampled texts repeat themselves: endless loops are the known failure of small Japanese GPTs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TypedDict

from tsuzuri.generation.loops import distinct_ngrams, looped_suffix


class Repetition(TypedDict):
    """Repetition over a set of samples."""

    distinct_4: float
    """Median over the samples of different 4-grams of characters over all of them."""
    looped_suffix_rate: float
    """Share of the samples that end in a loop (see `generation.loops`)."""
    samples: int


def repetition(texts: Sequence[str]) -> Repetition:
    """The repetition of some sampled texts, each without its prompt."""
    return Repetition(
        distinct_4=statistics.median(distinct_ngrams(text, 4) for text in texts),
        looped_suffix_rate=sum(bool(looped_suffix(text)) for text in texts) / len(texts),
        samples=len(texts),
    )
