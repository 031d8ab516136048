"""Shingles and their signatures against sets of strings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.duplicates.documents import edited, prose

from tsuzuri.corpus.duplicates.config import NearDuplicateConfig
from tsuzuri.corpus.duplicates.shingles import code_points, jaccard, ngram_hashes, ngram_set
from tsuzuri.corpus.duplicates.sketch import band_keys, sketch

FEW_LETTERS = st.text("あいう龍𠮷", min_size=1, max_size=30)


def numbers(text: str, length: int) -> list[int]:
    codes, _ = code_points([text])
    out = np.empty(len(text), np.uint64)
    return out[: ngram_hashes(codes, length, out)].tolist()


def strings(text: str, length: int) -> list[str]:
    return [text[place : place + length] for place in range(max(1, len(text) - length + 1))]


@settings(deadline=None)
@given(text=FEW_LETTERS, length=st.integers(1, 8))
def test_equal_ngrams_and_only_those_have_equal_numbers(text: str, length: int) -> None:
    pairs = set(zip(strings(text, length), numbers(text, length), strict=True))
    assert len({string for string, _ in pairs}) == len({number for _, number in pairs}) == len(pairs)


def test_a_short_text_is_no_ngram_of_a_long_one() -> None:
    assert not set(numbers("あああ", 5)) & set(numbers("ああああああ", 5))


@settings(deadline=None)
@given(one=FEW_LETTERS, other=FEW_LETTERS)
def test_similarity_is_that_of_the_sets(one: str, other: str) -> None:
    left, right = set(strings(one, 3)), set(strings(other, 3))
    sets = [ngram_set(code_points([text])[0], 3) for text in (one, other)]
    assert jaccard(*sets) == len(left & right) / len(left | right)


@pytest.mark.parametrize("characters", [8, 60, 400, 3000])
def test_places_are_equal_as_often_as_the_sets_are_alike(characters: int) -> None:
    """Within five standard deviations, for sets much smaller and much larger than the signature."""
    bins, pairs, equal, alike = 96, 120, 0, 0.0
    for seed in range(pairs):
        text = prose(seed, characters)
        sets = [
            ngram_set(code_points([one])[0], 5) for one in (text, edited(text, seed, characters // 50 + 1))
        ]
        signatures = np.empty((2, bins), np.uint64)
        for one, out in zip(sets, signatures, strict=True):
            sketch(one, out)
        equal += int((signatures[0] == signatures[1]).sum())
        alike += jaccard(*sets) * bins
    assert abs(equal - alike) <= 5 * np.sqrt(alike * (1 - alike / (bins * pairs)) + 1)


def test_a_single_ngram_fills_a_signature() -> None:
    out = np.empty(96, np.uint64)
    sketch(np.array([7], np.uint64), out)
    assert len(set(out.tolist())) == 96


@given(cuts=st.lists(st.integers(1, 9), max_size=3))
@settings(max_examples=20, deadline=None)
def test_keys_of_a_text_do_not_depend_on_its_batch(cuts: list[int]) -> None:
    texts = [prose(seed, 40 + seed) for seed in range(10)]
    together = band_keys(*code_points(texts), 5, 16, 6)
    alone = [band_keys(*code_points([text]), 5, 16, 6)[0] for text in texts]
    assert np.array_equal(together, alone)
    for cut in cuts:
        assert np.array_equal(together[cut:], band_keys(*code_points(texts[cut:]), 5, 16, 6))


def test_the_default_bands_compare_what_the_default_threshold_asks_for() -> None:
    config = NearDuplicateConfig()
    assert config.chance_of_comparing(config.threshold) > 0.99
    assert config.chance_of_comparing(0.3) < 0.02
