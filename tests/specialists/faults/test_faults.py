"""Faults of a house of real processes, each judged by its history; the numbers are those of the list of fault
tests in `docs/specialists.md`."""

from __future__ import annotations

import os
import signal

import pytest

from buses import until
from specialists.faults.conftest import BuildHouse

pytestmark = [pytest.mark.large, pytest.mark.timeout(900)]


def test_1_a_worker_killed_in_mid_answer_is_followed_by_another(real_house: BuildHouse) -> None:
    """Fault test 1: the text is that of an uninterrupted run, and there is one bill for it."""
    house = real_house(workers={"general": 2})
    streams = [house.clients.ask(tokens=120, seed=seed) for seed in range(4)]
    until(lambda: all(one.parts for one in streams))
    with house.fault("kill worker"):
        os.kill(house.busy().pid, signal.SIGKILL)
        for one in streams:
            one.wait()
    assert not house.judge()
    assert [one.how for one in streams] == ["done"] * 4
    assert [one.text for one in streams] == [house.clients.oracle.text(one, "general") for one in streams]
