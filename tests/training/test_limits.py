"""What a step is held to."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.training.config import GuardConfig
from tsuzuri.training.limits import NO_LIMITS, Window, is_same, limit

CONFIG = GuardConfig(window=8, deviations=10)


def line(step: int, loss: float = 3.0, norm: float = 0.5) -> dict[str, Any]:
    """A line of the log."""
    return {"step": step, "loss": loss, "grad_norm": norm}


def test_a_limit_is_so_many_deviations_above_the_median() -> None:
    assert limit([1.0, 2.0, 3.0, 4.0, 100.0], 5.0, 0.0) == 3.0 + 5.0 * 1.0
    assert limit([2.0, 2.0, 2.0], 5.0, 0.1) == 2.0 + 5.0 * 0.2, "what never changed may change a little"


@given(st.lists(st.floats(1, 10), min_size=9, max_size=9), st.floats(1e6, 1e9))
def test_one_outlier_in_the_window_hardly_moves_it(values: list[float], outlier: float) -> None:
    assert limit([*values[:-1], outlier], 3.0, 0.01) <= limit(sorted(values), 3.0, 0.01) + 4 * 9


def test_there_are_none_before_the_window_is_full_of_steps_after_the_warm_up() -> None:
    window = Window(CONFIG, 5)
    for step in range(1, 20):
        limits = window.limits(step)
        assert (limits == NO_LIMITS) == (step < 5 + 8 + 2), step
        window.note(step, line(step))


def test_the_warm_up_is_no_measure() -> None:
    window = Window(CONFIG, 5, [line(step, loss=100.0) for step in range(1, 6)])
    for step in range(6, 15):
        window.note(step, line(step, loss=3.0))
    assert window.limits(15).loss == pytest.approx(3.0 * 1.1)


def test_limits_are_the_same_whether_the_last_step_is_read_already_or_not() -> None:
    early, late = Window(CONFIG, 0), Window(CONFIG, 0)
    for step in range(1, 30):
        late.note(step, line(step, loss=5 - step / 20, norm=1 + step % 3))
        assert early.limits(step + 1) == late.limits(step + 1), step
        early.note(step, line(step, loss=5 - step / 20, norm=1 + step % 3))


def test_a_run_that_is_taken_up_holds_its_steps_to_the_same() -> None:
    lines = [line(step, loss=5 - step / 20, norm=1 + step % 3) for step in range(1, 41)]
    lines.insert(20, {"step": 20, "heldout": {}})
    lines.append({"step": 41, "loss": None, "grad_norm": None, "skipped": True})
    lines.append({"step": 42, "loss": 50.0, "grad_norm": None, "skipped": True})
    unbroken = Window(CONFIG, 3)
    for number in range(1, 41):
        unbroken.note(number, line(number, loss=5 - number / 20, norm=1 + number % 3))
    resumed = Window(CONFIG, 3, lines)
    assert resumed.limits(43) == unbroken.limits(43) != NO_LIMITS


def test_defaults_let_sound_runs_pass() -> None:
    """The furthest that sound runs went: see `LEAST_DEVIATION`."""
    window = Window(GuardConfig(), 0, [line(step, 4.0 + step % 5 * 0.04, 0.2) for step in range(1, 200)])
    limits = window.limits(200)
    assert limits.loss > 1.08 * 4.08
    assert limits.grad_norm > 2.3 * 0.2
    assert limits.loss < 1.3 * 4.08
    assert limits.grad_norm < 10 * 0.2


def test_a_number_that_is_none_is_not_the_same_as_any() -> None:
    assert is_same({"loss": 2.0, "grad_norm": 1.0}, {"loss": 2.0, "grad_norm": 1.0005})
    assert not is_same({"loss": 2.0, "grad_norm": 1.0}, {"loss": 2.0, "grad_norm": 1.1})
    assert not is_same({"loss": 9.0, "grad_norm": 1.0}, {"loss": math.nan, "grad_norm": 1.0})
