"""Revisions that take each other's place under load, and specialists with tokenizers of their own, in houses
of real processes. The numbers are those of the list of fault tests (`docs/specialists.md`)."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest

from buses import until
from specialists.faults.conftest import BuildHouse
from specialists.faults.house import ENGINE
from tsuzuri.cli import main

pytestmark = [pytest.mark.large, pytest.mark.timeout(3000)]
SWAPS, BACK_EVERY, RATE = 20, 4, 5
USER_ERROR = 2
"""The status of a command that was not even begun."""


def test_13_twenty_swaps_under_load_fail_nobody(real_house: BuildHouse) -> None:
    """Fault test 13, with two specialists of different tokenizers: every fourth swap is taken back, so that
    the revision before comes again; each answer is whole, and of one revision."""
    roomy = {**ENGINE, "slots": 64}  # what is refused for want of room is no matter of swaps
    house = real_house(workers={"general": 1, "other": 1}, engine=roomy, beat_s=2.0)

    def command(*words: str) -> int:
        """Its status; a broker that is too busy to answer is asked again."""
        return next(status for _ in range(10) if (status := tsuzuri(*words)) != USER_ERROR)

    def tsuzuri(*words: str) -> int:
        return main(["specialists", *words, f"--out={house.out}"])

    undone = []
    with house.clients.load(rate=RATE, seed=13, tokens=8) as asked:
        for number in range(SWAPS):
            name = ("general", "other")[number % 2]
            release, revision = str(house.releases[name]), f"--revision=s{number}"
            with house.fault("swap", f"{name}/s{number}"):
                if command("replace", name, release, revision, "--no-gate"):
                    undone.append(number)
            if number % BACK_EVERY == BACK_EVERY - 1:
                with house.fault("rollback", name):
                    assert command("rollback", name) == 0
    assert not house.judge()
    assert not undone
    ends = Counter(one.how for one in asked)
    assert set(ends) <= {"done", "cancelled"}, ends
    wrote = {f"{one.about['specialist']}/{one.about['revision']}" for one in asked if one.how == "done"}
    assert wrote > {"general/r1", "other/r1"}
    assert len(wrote) > SWAPS // 2


def test_1_a_specialist_that_is_lost_is_followed_by_another_tokenizer(real_house: BuildHouse) -> None:
    """Fault test 1 with two tokenizers: the generalist goes on from the text. (`up` is paused meanwhile, so
    that nobody starts the lost worker again.)"""
    house = real_house(workers={"general": 1, "other": 1}, engine={**ENGINE, "tokens_per_s": 20.0})
    streams = [house.clients.ask("東京の朝は", tokens=100, seed=seed) for seed in range(4)]
    until(lambda: all(one.parts for one in streams))
    with house.fault("kill worker"):
        os.kill(house.up.pid, signal.SIGSTOP)
        os.kill(house.beats("other")[0].pid, signal.SIGKILL)
        shown = [one.text for one in streams]
        for one in streams:
            one.wait()
        os.kill(house.up.pid, signal.SIGCONT)
    until(lambda: house.answers("other"))
    assert not house.judge()
    assert [one.how for one in streams] == ["done"] * 4
    for one, begun in zip(streams, shown, strict=True):
        assert house.clients.oracle.text(one, "other").startswith(begun)
        assert len(one.text) > len(begun)
        assert one.about["specialist"] == "general"
        assert one.billed == 100
