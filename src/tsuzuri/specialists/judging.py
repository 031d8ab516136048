"""Which of several texts is best, without anybody who reads them. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

REPEATED_CHARACTERS = 4
"""Of the n-grams whose share of repeated ones is a text's repetition."""


def judgement(
    texts: Sequence[str],
    nats: Mapping[str, Sequence[float]],
    shares: Mapping[str, float],
    *,
    repetition_weight: float,
    repetition_free: float,
) -> list[float]:
    """Of each text Σ w log p / bytes - repetition_weight · max(0, repetition - repetition_free), by judges
    (name → nats of each text) with their shares."""
    total = sum(shares[name] for name in nats)
    values = []
    for place, text in enumerate(texts):
        nats_a_text = sum(shares[name] * judged[place] for name, judged in nats.items()) / (total or 1.0)
        excess = max(0.0, repetition(text) - repetition_free)
        values.append(-nats_a_text / len(text.encode("utf-8", "replace")) - repetition_weight * excess)
    return values


def repetition(text: str) -> float:
    """The share of a text's n-grams of characters that stood in it before."""
    places = len(text) - REPEATED_CHARACTERS + 1
    if places < 1:
        return 0.0
    return 1 - len({text[place : place + REPEATED_CHARACTERS] for place in range(places)}) / places
