"""The counted language model of the benches: a proper distribution, equal to the definition of Kneser-Ney."""

from __future__ import annotations

from collections import Counter
from math import log2

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from _ngram import END, FALLBACK_DISCOUNTS, OUTCOMES, KneserNey, bits_per_character

TEXTS = ["今日は日曜。", "今日は雨。", "明日は日曜の次の日。", "", "あああああ"]
END_TEXT = "\0"
"""The end symbol of the definition below, in which texts are strings."""


def probability(model: KneserNey, context: str, following: int) -> float:
    """p of a code point after a document's opening and `context`."""
    codes = [END] * (model.order - 1) + [ord(character) for character in context] + [following]
    return float(model.probabilities(model.character_ids[np.array(codes)])[-1])


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("context", ["", "今", "今日は", "ああああああ", "日曜の次", "見知らぬ"])
def test_the_outcomes_of_a_context_sum_to_one(order: int, context: str) -> None:
    model = KneserNey(TEXTS, order)
    seen = {ord(character) for text in TEXTS for character in text} | {END}
    total = sum(probability(model, context, code) for code in seen)
    unseen = probability(model, context, ord("鬱"))
    assert unseen > 0
    assert total + unseen * (OUTCOMES - len(seen)) == pytest.approx(1, abs=1e-6)


def discounts(counts: Counter[str]) -> list[float]:
    """Chen and Goodman's equation 26, or the fallback where a count of counts or a discount is zero."""
    n = Counter(counts.values())
    if not all(n[i] for i in (1, 2, 3, 4)):
        return list(FALLBACK_DISCOUNTS)
    y = n[1] / (n[1] + 2 * n[2])
    found = [0.0, *(i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3))]
    if min(found[1:]) <= 0:
        return list(FALLBACK_DISCOUNTS)
    return [min(value, i) for i, value in enumerate(found)]


def by_definition(texts: list[str], order: int, context: str, following: str) -> float:
    """p(following | context) from n-grams as strings, order by order."""
    opening = END_TEXT * (order - 1)
    padded = [opening + text + END_TEXT for text in texts]
    counts = {
        order: Counter(text[i - order + 1 : i + 1] for text in padded for i in range(order - 1, len(text)))
    }
    for length in range(order - 1, 0, -1):
        counts[length] = Counter(gram[1:] for gram in counts[length + 1])
    result = 1 / OUTCOMES
    for length in range(1, order + 1):
        history = (opening + context)[len(opening + context) - length + 1 :]
        after = {gram[-1]: count for gram, count in counts[length].items() if gram[:-1] == history}
        if not after:
            continue
        taken = discounts(counts[length])
        own = after.get(following, 0)
        freed = sum(taken[min(count, 3)] for count in after.values())
        result = (own - taken[min(own, 3)] + freed * result) / sum(after.values())
    return result


def check_bits(texts: list[str], heldout: str, order: int) -> None:
    """The model's bits are the definition's."""
    outcomes = [*heldout, END_TEXT]
    wanted = [by_definition(texts, order, heldout[:i], outcome) for i, outcome in enumerate(outcomes)]
    bits, characters = KneserNey(texts, order).bits([heldout])
    assert characters == len(heldout)
    assert bits == pytest.approx(-sum(map(log2, wanted)), rel=1e-5)


@settings(deadline=None)
@given(
    texts=st.lists(st.text("あいう", max_size=6), min_size=1, max_size=4),
    heldout=st.text("あいうえ", max_size=6),
    order=st.integers(1, 4),
)
@example(texts=["うあ", "うあ", "うあい", "ういああ"], heldout="", order=3)  # whose third discount would be 0
def test_bits_of_small_texts_are_those_of_the_definition(texts: list[str], heldout: str, order: int) -> None:
    check_bits(texts, heldout, order)


def test_bits_with_estimated_discounts_are_those_of_the_definition() -> None:
    draws = np.random.default_rng(0).zipf(1.3, 3000).clip(max=200)
    texts = ["".join(chr(0x4E00 + draw) for draw in part) for part in np.split(draws, 30)]
    assert discounts(Counter(texts[0])) == list(FALLBACK_DISCOUNTS) != discounts(Counter("".join(texts)))
    check_bits(texts[:-1], texts[-1], 3)


def test_more_text_and_longer_contexts_predict_better() -> None:
    texts = ["むかしむかし、あるところに、おじいさんとおばあさんがいました。" * 4] * 3
    assert bits_per_character(texts, texts, 5) < bits_per_character(texts, texts, 2)
    assert bits_per_character(texts, texts) < bits_per_character(texts[:1], texts)
