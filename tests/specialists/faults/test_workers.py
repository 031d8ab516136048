"""Workers that are killed, stand still, or are killed by what they are asked, in a house of real processes
judged by its history; the numbers are those of the list of fault tests in `docs/specialists.md`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from buses import until
from specialists.faults.conftest import BuildHouse
from specialists.faults.house import ENGINE, RealHouse
from specialists.faults.nemeses import paused

pytestmark = [pytest.mark.large, pytest.mark.timeout(900)]
SLOW = {**ENGINE, "tokens_per_s": 20.0}
DEADLY_SEED = 666
DEADLY = f"""
import sys
if "worker" in sys.orig_argv:
    import os
    from tsuzuri.serving.engines import mock
    write = mock.MockEngine._id
    def dying(engine, request, index):
        if index == 7 and request.sampling.seed == {DEADLY_SEED}:
            os._exit(9)
        return write(engine, request, index)
    mock.MockEngine._id = dying
"""
"""What Python reads first: a worker ends at the seventh token of such a request."""
DEADLY_PROMPT = "毒を食らわば皿まで。"
DEADLY_TO_READ = f"""
import sys
if "worker" in sys.orig_argv:
    import os
    from tsuzuri.serving.served import ServedModel
    read = ServedModel.read
    async def dying(model, prompt):
        if prompt == {DEADLY_PROMPT!r}:
            os._exit(9)
        return await read(model, prompt)
    ServedModel.read = dying
"""
"""Or as soon as it looks at its prompt."""


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


def test_2_a_worker_killed_while_idle_or_while_it_loads_loses_nothing(real_house: BuildHouse) -> None:
    """Fault test 2: who is gone is known to be, and what is asked meanwhile is answered."""
    house = real_house(workers={"general": 2})
    idle = house.beats()[0]
    with house.fault("kill idle worker", idle.instance):
        os.kill(idle.pid, signal.SIGKILL)
        until(lambda: idle.instance not in house.registry.beats)
    until(lambda: idle.pid not in house.children("worker") and len(house.children("worker")) == 2)
    pids = {beat.pid for beat in house.beats()}
    with house.fault("kill loading worker"):
        for pid in set(house.children("worker")) - pids:
            os.kill(pid, signal.SIGKILL)
    asked = [house.clients.ask(seed=seed) for seed in range(6)]
    until(lambda: len(house.beats()) == 2, patience_s=120)
    asked += [house.clients.ask(seed=seed) for seed in range(6)]
    for one in asked:
        one.wait()
    assert not house.judge()
    assert [one.how for one in asked] == ["done"] * len(asked)


@pytest.mark.parametrize("lasts_s", [5.0, 15.0])
def test_3_a_worker_that_stood_still_is_not_heard_when_it_comes_back(
    real_house: BuildHouse, lasts_s: float
) -> None:
    """Fault test 3: what the zombie still says is dropped and counted; no text comes twice."""
    house = real_house(workers={"general": 2}, engine=SLOW)
    streams = [house.clients.ask(tokens=100, seed=seed) for seed in range(6)]
    until(lambda: all(one.parts for one in streams))
    zombie = house.busy()
    with house.fault("pause worker", zombie.instance), paused(zombie.pid):
        time.sleep(lasts_s)
    for one in streams:
        one.wait()
    assert [one.how for one in streams] == ["done"] * len(streams)
    until(lambda: zombie.instance in house.registry.beats)
    until(lambda: any(house.counts()[name] for name in ("stale", "duplicate")))
    later = [house.clients.ask(seed=seed).wait() for seed in range(4)]
    assert [one.how for one in later] == ["done"] * len(later)
    assert not house.judge()


@pytest.mark.parametrize("deadly", [DEADLY, DEADLY_TO_READ], ids=["to write", "to read"])
def test_10_a_request_that_kills_workers_is_put_aside_and_nobody_with_it(
    real_house: BuildHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deadly: str
) -> None:
    """Fault test 10: its client is told, it becomes a dead letter, and everybody else is answered: what was
    lost with it twice is tried alone, so that in company it takes a third death."""
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(deadly)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "first"), prepend=os.pathsep)
    house = real_house(workers={"general": 3})
    others = [house.clients.ask(tokens=100, seed=seed) for seed in range(6)]
    with house.fault("poison request"):
        poison = house.clients.ask(DEADLY_PROMPT, seed=DEADLY_SEED).wait()
        for one in others:
            one.wait()
    assert poison.how in ("marked", "refused"), poison.how
    assert poison.code == "request_put_aside"
    until(lambda: house.letters() == {"poison": 1})
    assert [one.how for one in others] == ["done"] * len(others)
    _rests(house)
    later = [house.clients.ask(seed=seed).wait() for seed in range(6)]
    assert [one.how for one in later] == ["done"] * len(later)
    assert not house.judge()
    assert house.letters() == {"poison": 1}


def _rests(house: RealHouse) -> None:
    """Until every worker that is wanted lives and none has been started again for a while."""
    seen: list[set[int]] = []

    def is_same() -> bool:
        seen.append({beat.pid for beat in house.beats()})
        time.sleep(1.0)
        last = seen[-15:]
        return len(last) == 15 and all(
            one == last[0] and len(one) == house.workers["general"] for one in last
        )

    until(is_same, patience_s=180)
