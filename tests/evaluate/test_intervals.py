"""Intervals against what is known: a normal mean, one document, Wilson's own example."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tsuzuri.evaluate.bits import Sums
from tsuzuri.evaluate.intervals import intervals


def documents(count: int, spread: float, seed: int) -> Sums:
    """Documents of 100 characters and 300 bytes, whose bits per character have mean 4 and that deviation."""
    bits = np.random.default_rng(seed).normal(4, spread, count) * 100
    columns = (bits * math.log(2), np.full(count, 50.0), np.full(count, 300.0), np.full(count, 100.0))
    return np.stack(columns, axis=1)


def test_an_interval_is_that_of_the_mean_where_documents_are_alike() -> None:
    found = intervals({"books": documents(400, 0.5, seed=3)}, ["あいうえお"], 0.0)["bits"]["books"]
    low, high = found["bits_per_character"]
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(400), rel=0.15)
    assert low < 4 < high
    assert found["bits_per_byte"] == [pytest.approx(low / 3), pytest.approx(high / 3)]
    assert found["documents"] == 400


def test_all_is_drawn_source_by_source() -> None:
    found = intervals({"a": documents(100, 0.0, 1), "b": 2 * documents(1, 0.0, 1)}, ["あ"], 0.0)["bits"]
    assert found["all"]["bits_per_character"] == [pytest.approx(4), pytest.approx(4)]
    assert found["all"]["documents"] == 101


def test_long_documents_weigh_as_much_as_they_hold() -> None:
    short, long = documents(1, 0.0, 1), 99 * documents(1, 0.0, 1)
    short[:, 0] *= 2
    low, high = intervals({"a": np.concatenate([short, long])}, ["あ"], 0.0)["bits"]["a"][
        "bits_per_character"
    ]
    assert (low, high) == (pytest.approx(4), pytest.approx(8))  # the one twice, or the other


def test_what_is_drawn_is_the_same_each_time() -> None:
    sums = {"a": documents(20, 1.0, 5)}
    assert intervals(sums, ["あいうえお", "ああああああ"], 0.5) == intervals(
        sums, ["あいうえお", "ああああああ"], 0.5
    )


def test_a_rate_of_nothing_is_not_certain() -> None:
    found = intervals({"a": documents(2, 1.0, 5)}, ["あいうえお"] * 10, 0.0)["repetition"]
    assert found["looped_suffix_rate"] == pytest.approx([0.0, 0.2775], abs=1e-4)
    assert found["distinct_4"] == [1.0, 1.0]
