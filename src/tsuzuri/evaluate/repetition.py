"""How much sampled texts repeat themselves: endless loops are the known failure of small Japanese GPTs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TypedDict

from tsuzuri.generation.loops import distinct_ngrams, looped_suffix

NGRAM_CHARACTERS = 4


class Repetition(TypedDict):
    """Repetition over a set of samples."""

    distinct_4: float
    """Median over the samples of different 4-grams of characters over all of them; a sample too short for
    one counts 0, lest a model that stays silent look lively."""
    looped_suffix_rate: float
    """Share of the samples that end in a loop (see `generation.loops`)."""
    median_characters: int
    """Median length of the samples in characters."""
    samples: int


def repetition(texts: Sequence[str]) -> Repetition:
    """The repetition of some sampled texts, each without its prompt."""
    return Repetition(
        distinct_4=statistics.median(map(distinct, texts)),
        looped_suffix_rate=sum(bool(looped_suffix(text)) for text in texts) / len(texts),
        median_characters=statistics.median_low(map(len, texts)),
        samples=len(texts),
    )


def distinct(text: str) -> float:
    """The share of different 4-grams in one sample."""
    return distinct_ngrams(text, NGRAM_CHARACTERS) if len(text) >= NGRAM_CHARACTERS else 0.0
