"""Fault test 20: mixed faults by a seed under an open load, judged by the history; here in its short form.
`bench/soak.py` is the long one."""

from __future__ import annotations

from collections import Counter

import pytest

from specialists.faults.checker import Violation
from specialists.faults.conftest import BuildHouse
from specialists.faults.history import Event
from specialists.faults.report import in_markdown, report
from specialists.faults.schedule import SOAK, Planned, plan
from specialists.faults.soak import soak
from specialists.faults.test_checker import history, sound

SHORT = (
    Planned(1.0, "kill worker", 0.0, 1),
    Planned(0.5, "duplicates", 1.0, 2),
    Planned(0.5, "kill broker", 0.0, 3),
    Planned(0.5, "poison records", 1.0, 4),
)


def test_a_seed_gives_one_schedule_of_which_each_kind_has_its_part() -> None:
    planned = plan(7, 600)
    assert planned == plan(7, 600) != plan(8, 600)
    often = Counter(one.name for one in planned)
    assert set(often) == set(SOAK)
    assert max(often.values()) - min(often.values()) <= 1
    assert 400 < sum(one.after_s + one.lasts_s for one in planned) <= 600


def test_the_table_says_what_the_history_does() -> None:
    events = history(sound())
    events[1:1] = [Event(0.0 + n, "memory", {"process": "up", "bytes": 2**20 * (1 + n)}) for n in range(8)]
    told = report(events, [Violation("text", "a", "made up")], {"seed": 7})
    requests = told["requests"]
    names = ("asked", "done", "marked", "refused", "left", "pending")
    assert [requests[name] for name in names] == [6, 2, 1, 2, 1, 0]
    assert (requests["tokens_shown"], requests["tokens_billed"], requests["tokens_of_others"]) == (6, 6, 3)
    assert told["violations"] == {"text": 1}
    (fault,) = told["faults"]
    assert (fault["name"], fault["next_answer_s"]) == ("kill worker", 5.0)
    assert told["memory"]["up"]["slope_mib_min"] == pytest.approx(60.0)
    table = in_markdown(told)
    assert "| kill worker | 1 |" in table
    assert "- text a: made up" in table


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_soak_breaks_no_promise(real_house: BuildHouse) -> None:
    house = real_house(workers={"general": 2})
    told, violations = soak(house, seconds=12, seed=1, rate=4.0, faults=SHORT)
    assert not violations, violations
    assert told["requests"]["pending"] == 0
    assert told["requests"]["done"] > 10
    assert [fault["name"] for fault in told["faults"]] == [one.name for one in SHORT]
    assert told["requests"]["tokens_shown"] == told["requests"]["tokens_billed"]


@pytest.mark.large
@pytest.mark.timeout(1200)
def test_a_soak_of_two_minutes_breaks_no_promise(real_house: BuildHouse) -> None:
    house = real_house(workers={"general": 2, "law": 1}, with_link=True)
    told, violations = soak(house, seconds=120, seed=2, rate=4.0)
    assert not violations, violations
    assert told["requests"]["pending"] == 0
