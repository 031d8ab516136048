from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.training.config import ScheduleConfig
from tsuzuri.training.schedule import learning_rate_fraction


def fractions(steps: int, **fields: object) -> list[float]:
    """The schedule of a run of `steps`."""
    config = ScheduleConfig.model_validate(fields)
    return [learning_rate_fraction(config, step, steps) for step in range(steps)]


def test_wsd_warms_up_stays_and_falls() -> None:
    found = fractions(10, kind="wsd", warmup_steps=2, decay_fraction=0.4)
    assert found == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_wsd_falls_to_a_fraction() -> None:
    found = fractions(10, kind="wsd", warmup_steps=0, decay_fraction=0.4, final_fraction=0.5)
    assert found == pytest.approx([1, 1, 1, 1, 1, 1, 0.9, 0.8, 0.7, 0.6])


def test_cosine_falls_from_the_end_of_warm_up() -> None:
    found = fractions(8, kind="cosine", warmup_steps=3)
    half = 0.75**0.5  # the cosine of a sixth of half a turn
    assert found == pytest.approx([1 / 3, 2 / 3, 1, (1 + half) / 2, 0.75, 0.5, 0.25, (1 - half) / 2])


def test_without_decay_the_rate_stays() -> None:
    assert fractions(5, kind="wsd", warmup_steps=0, decay_fraction=0) == [1.0] * 5


@given(
    kind=st.sampled_from(["wsd", "cosine"]),
    steps=st.integers(1, 200),
    warmup=st.floats(0, 0.99),
    decay=st.floats(0, 1),
    final=st.floats(0, 1),
)
def test_every_schedule_rises_to_the_peak_and_never_rises_again(
    kind: str, steps: int, warmup: float, decay: float, final: float
) -> None:
    warmup_steps = int(warmup * steps)
    found = fractions(steps, kind=kind, warmup_steps=warmup_steps, decay_fraction=decay, final_fraction=final)
    rise, fall = found[:warmup_steps], found[warmup_steps:]
    assert rise == sorted(rise)
    assert not rise or rise[-1] == 1
    assert fall == sorted(fall, reverse=True)
    assert all(0 < value <= 1 for value in found)
    assert all(value >= final - 1e-12 for value in fall)
