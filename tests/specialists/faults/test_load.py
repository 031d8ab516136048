"""Too much to do, and workers that come and go all the time, in houses of real processes. The numbers are
those of the list of fault tests (`docs/specialists.md`)."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import pytest

from buses import until
from specialists.faults.clients import PROMPTS, SEEDS, Asked
from specialists.faults.conftest import BuildHouse
from specialists.faults.house import ENGINE, RealHouse

pytestmark = [pytest.mark.large, pytest.mark.timeout(900)]
SLOTS, TOKENS = 4, 24
BUSY = {**ENGINE, "tokens_per_s": 48.0, "slots": SLOTS}
"""Half a second an answer: what is measured is not this machine."""
QUESTIONS = [(prompt, seed) for prompt in PROMPTS for seed in range(SEEDS)]
"""All that a load asks."""
ROUNDS = 3
STORMS = 12


@pytest.mark.parametrize("broker_kind", ["embedded"], indirect=True)
def test_11_five_times_too_much_is_refused_and_what_is_let_in_is_answered(real_house: BuildHouse) -> None:
    """Fault test 11: as much is answered as without it, the queue is bounded, who was let in is answered."""
    house = real_house(workers={"general": 1}, engine=BUSY)
    answer_all(house, 1)  # what each answer is has to be known first
    began = time.monotonic()
    answer_all(house, ROUNDS)
    peak_s, answers = time.monotonic() - began, ROUNDS * len(QUESTIONS)
    most = 0
    with (
        house.fault("overload"),
        house.clients.load(rate=5 * answers / peak_s, seed=11, tokens=TOKENS) as asked,
    ):
        until_s = time.monotonic() + peak_s
        while time.monotonic() < until_s:
            most = max(most, held(house))
            time.sleep(0.1)
    assert not house.judge(), "each refusal is a 429 or 503 that says when to come again"
    ends = Counter(one.how for one in asked)
    assert set(ends) <= {"done", "refused", "cancelled"}, ends
    assert ends["refused"] > answers, "it was too much"
    assert ends["done"] >= 0.8 * answers, (ends, peak_s)
    assert most <= 2 * SLOTS


def test_12_workers_that_come_and_go_lose_nothing(real_house: BuildHouse) -> None:
    """Fault test 12: again and again one joins and one leaves, asked to or killed, while clients ask."""
    house = real_house(workers={"general": 1})
    with house.clients.load(rate=4, seed=12) as asked:
        joined = [house.worker()]
        for number in range(STORMS):
            with house.fault("join and leave"):
                joined.append(house.worker())
                until(lambda: len(house.beats()) >= 2)
                leaving = joined.pop(0)
                leaving.send_signal(signal.SIGKILL if number % 2 else signal.SIGTERM)
                done = answered(asked)
                until(lambda done=done: answered(asked) > done + 3)  # type: ignore[misc]
    assert not house.judge()
    check_ends(asked)


@pytest.mark.parametrize("is_paused", [False, True])
def test_12_workers_killed_while_they_acknowledge_lose_nothing(
    real_house: BuildHouse, is_paused: bool
) -> None:
    """Fault test 12: both workers of `up` in turn, in the middle of many short answers."""
    house = real_house(workers={"general": 2})
    with house.clients.load(rate=12, seed=120, tokens=2) as asked:
        for number in range(4):
            worker = house.beats()[number % len(house.beats())]
            with house.fault("kill worker", worker.instance):
                if is_paused:
                    os.kill(worker.pid, signal.SIGSTOP)
                    time.sleep(1.0)
                os.kill(worker.pid, signal.SIGKILL)
                until(lambda gone=worker.instance: [b.instance for b in house.beats()].count(gone) == 0)  # type: ignore[misc]
                until(lambda: len(house.beats()) == 2)
    assert not house.judge()
    check_ends(asked)


def answer_all(house: RealHouse, rounds: int) -> None:
    """As many clients as the gateway lets in, each of which asks one question after another."""
    left = QUESTIONS * rounds

    def client() -> None:
        while left:
            with suppress(IndexError):
                prompt, seed = left.pop()
                done.append(house.clients.ask(prompt, TOKENS, seed=seed).wait().how)

    done: list[str] = []
    clients = [threading.Thread(target=client) for _ in range(2 * SLOTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert done == ["done"] * len(QUESTIONS) * rounds


def check_ends(asked: Sequence[Asked]) -> None:
    """All that was let in was answered whole; what one worker has no room for was refused."""
    ends = Counter(one.how for one in asked)
    assert set(ends) <= {"done", "cancelled", "refused"}, ends
    assert {one.status for one in asked if one.how == "refused"} <= {429}
    assert ends["done"] > len(asked) / 3


def answered(asked: Sequence[Asked]) -> int:
    """Requests that were answered whole."""
    return sum(one.how == "done" for one in asked)


def held(house: RealHouse) -> int:
    """Requests that the gateway has let in and not answered yet."""
    return sum(int(one["in_flight"]) for one in house.told()["specialists"])
