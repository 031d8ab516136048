"""A rollout: what lets it go on and what sends it back, by an injected clock."""

from __future__ import annotations

import pytest

from tsuzuri.specialists.config import RolloutConfig
from tsuzuri.specialists.control.rollout import Rollout, lowest_share
from tsuzuri.specialists.messages import Report, Traffic

NEW, OLD = ("literature", "2"), ("literature", "1")
CONFIG = RolloutConfig(watch_s=10, least_answers=20, idle_s=60, silent_s=6)
FAST, SLOW = tuple(float(50 + at % 7) for at in range(30)), tuple(float(400 + at % 7) for at in range(30))


def report(new: Traffic | None = None, old: Traffic | None = None) -> Report:
    return Report(gateway="g", at_ms=0, traffic=tuple(item for item in (new, old) if item is not None))


def traffic(key: tuple[str, str], **figures: object) -> Traffic:
    return Traffic(specialist=key[0], revision=key[1], **figures)  # type: ignore[arg-type]


GOOD = report(traffic(NEW, finished=40, first_token_ms=FAST), traffic(OLD, finished=400, first_token_ms=FAST))


def test_each_step_is_watched_and_wants_answers() -> None:
    rollout = Rollout(CONFIG, NEW, OLD, now=0)
    assert rollout.share == 0.05
    assert not rollout.look(11, is_alive=True), "nobody has asked yet"
    rollout.take(GOOD)
    assert rollout.look(12, is_alive=True)
    assert rollout.share == 0.25
    rollout.take(GOOD)
    assert not rollout.look(13, is_alive=True), "it has not been watched for long enough"
    shares = []
    for now in (23, 34, 45):
        assert rollout.look(now, is_alive=True)
        shares.append(rollout.share)
        rollout.take(GOOD)
    assert shares == [0.5, 1.0, 1.0]
    assert rollout.state == "done"


def test_a_step_without_requests_ends_too() -> None:
    rollout = Rollout(CONFIG, NEW, OLD, now=0)
    assert not rollout.look(59, is_alive=True)
    assert rollout.look(60, is_alive=True)
    assert rollout.share == 0.25


@pytest.mark.parametrize("seen", [{"sent": 3}, {"sent": 1, "failed": 1}])
def test_a_step_in_which_nobody_was_answered_does_not(seen: dict[str, int]) -> None:
    rollout = Rollout(CONFIG, NEW, OLD, now=0)
    rollout.take(report(traffic(NEW, **seen)))
    assert not rollout.look(1000, is_alive=True)
    assert rollout.share == 0.05
    rollout.take(report(traffic(NEW, finished=1)))
    assert rollout.look(1001, is_alive=True)
    assert rollout.share == 0.25


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (
            report(traffic(NEW, finished=5, failed=5), traffic(OLD, finished=95, failed=1)),
            "5 of 10 answers failed",
        ),
        (report(traffic(NEW, finished=10, poor=8), traffic(OLD, finished=100)), "8 of 10 answers was empty"),
        (
            report(
                traffic(NEW, finished=30, first_token_ms=SLOW), traffic(OLD, finished=30, first_token_ms=FAST)
            ),
            "the median of the time to the first text is 403 ms, 53 ms before",
        ),
        (
            report(
                traffic(NEW, finished=30, first_token_ms=FAST[:26] + SLOW[:4]),
                traffic(OLD, finished=30, first_token_ms=FAST),
            ),
            "the 95 % point",
        ),
    ],
)
def test_what_is_surely_worse_goes_back_at_once(bad: Report, reason: str) -> None:
    rollout = Rollout(CONFIG, NEW, OLD, now=0)
    rollout.take(bad)
    assert rollout.look(0.1, is_alive=True)
    assert rollout.state == "back"
    assert rollout.share == 0
    assert reason in rollout.reason
    assert not rollout.look(100, is_alive=True), "it is over"


@pytest.mark.parametrize(
    "fine",
    [
        report(traffic(NEW, finished=19, failed=1), traffic(OLD, finished=100)),
        report(traffic(NEW, finished=50, failed=50), traffic(OLD, finished=500, failed=500)),
        report(traffic(NEW, finished=19, first_token_ms=SLOW[:19]), traffic(OLD, first_token_ms=FAST)),
        report(traffic(NEW, finished=30, first_token_ms=FAST), traffic(OLD, first_token_ms=SLOW)),
        report(traffic(("news", "2"), failed=100)),
    ],
    ids=["one failure", "both fail alike", "few times", "faster", "another specialist"],
)
def test_what_is_not_surely_worse_stays(fine: Report) -> None:
    rollout = Rollout(CONFIG, NEW, OLD, now=0)
    rollout.take(fine)
    assert not rollout.look(1, is_alive=True)
    assert rollout.state == "ramping"


def test_a_revision_whose_workers_died_goes_back() -> None:
    rollout = Rollout(CONFIG, NEW, OLD, now=0)
    assert not rollout.look(5, is_alive=False)
    assert not rollout.look(6, is_alive=True)
    assert not rollout.look(12, is_alive=False)
    assert rollout.look(12.5, is_alive=False)
    assert rollout.state == "back"


def test_it_goes_on_with_the_share_that_it_had() -> None:
    assert Rollout(CONFIG, NEW, OLD, now=0, share=0.5).share == 0.5
    assert Rollout(CONFIG, NEW, OLD, now=0, share=0.3).share == 0.5


def test_the_lower_end_of_a_share() -> None:
    assert lowest_share(0, 0) == 0
    assert lowest_share(0, 100) == 0
    assert lowest_share(5, 10) == pytest.approx(0.2366, abs=1e-4)  # Wilson's interval, by hand
    assert lowest_share(100, 100) == pytest.approx(0.9630, abs=1e-4)
