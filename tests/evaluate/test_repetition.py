"""What the repetition of a set of samples says."""

from __future__ import annotations

import pytest

from tsuzuri.evaluate.repetition import repetition


def test_loops_and_distinct_ngrams_are_counted_over_samples() -> None:
    prose = "山を越えて行くと、小さな村があった。"
    loop = "ないることに" * 10
    found = repetition([prose, prose, prose, loop])
    assert found["samples"] == 4
    assert found["looped_suffix_rate"] == 0.25
    assert found["median_characters"] == len(prose)
    assert found["distinct_4"] == 1.0
    assert repetition([loop])["distinct_4"] == pytest.approx(6 / 57)


def test_silence_is_not_variety() -> None:
    found = repetition(["", "。", "", "山を越えて行くと、"])
    assert found["distinct_4"] == 0.0
    assert found["median_characters"] == 0
