"""Faults of gateways, of who decides, of clients and of clocks, in houses of real processes, each judged by
its history. The numbers are those of the list of fault tests (`docs/specialists.md`)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from buses import until
from specialists.faults.conftest import BuildHouse
from specialists.faults.house import ALIAS, ENGINE, RealHouse
from standins import record
from tsuzuri.cli import main
from tsuzuri.specialists.registry.registry import CONTROLLER

pytestmark = [pytest.mark.large, pytest.mark.timeout(900)]
ENDLESS = 200
"""Tokens; none of these tests waits for the last of them."""
SLOW = {**ENGINE, "tokens_per_s": 10.0}
SKEWED = """
import sys
for number, ahead_ms in enumerate((60_000, -60_000)):
    if any(word.endswith(f"general-r1-{number}.yaml") for word in sys.orig_argv):
        from tsuzuri.specialists import messages
        right = messages.now_ms
        messages.now_ms = lambda: right() + ahead_ms
"""
"""What Python reads first: one worker's clock is a minute ahead, the other's a minute behind."""


def test_14_who_stood_still_decides_no_more_and_an_older_route_moves_nobody(
    real_house: BuildHouse,
) -> None:
    """Fault test 14: `up` decides, and the gateway takes over while it is paused: one writes routes."""
    house = real_house(workers={"general": 1})
    first, old = house.registry.holder(CONTROLLER), house.registry.route(ALIAS)
    assert first is not None
    assert old is not None
    with house.clients.load(rate=3, seed=14):
        with house.fault("pause up"):
            os.kill(house.up.pid, signal.SIGSTOP)
            until(lambda: house.registry.holder(CONTROLLER) not in (None, first))
            os.kill(house.up.pid, signal.SIGCONT)
        swap = ["replace", "general", str(house.releases["general"]), "--revision=r2", "--no-gate"]
        assert main(["specialists", *swap, f"--out={house.out}"]) == 0
        route = house.registry.route(ALIAS)
        assert route is not None
        assert route.writer == house.registry.holder(CONTROLLER) != first
        assert route.shares["general"]["r2"] == 1.0
        with house.fault("older route"):
            house.bus.send(record(house.topics.routes, old, ALIAS))
            until(lambda: house.registry.ignored.get("epoch"))
        again = [house.clients.ask(tokens=4, seed=seed).wait() for seed in range(4)]
    assert not house.judge()
    assert {one.about["revision"] for one in again} == {"r2"}


def test_15_a_gateway_that_is_told_to_end_answers_what_it_has(real_house: BuildHouse) -> None:
    """Fault test 15, SIGTERM: what runs is answered whole; another gateway answers at the same address."""
    house = real_house(workers={"general": 1})
    asked = [house.clients.ask(tokens=100, seed=seed, is_stream=seed > 0) for seed in range(4)]
    until(lambda: all(one.parts for one in asked[1:]) and house.busy().running == 4)
    gateway = house.gateway()
    with house.fault("end gateway"):
        os.kill(gateway, signal.SIGTERM)
        for one in asked:
            one.wait()
        until(lambda: house.children("serve") not in ([], [gateway]) and house.answers("general"))
    after = house.clients.ask(tokens=8).wait()
    assert not house.judge()
    assert [one.how for one in (*asked, after)] == ["done"] * 5


def test_15_a_gateway_that_is_killed_leaves_neither_orphans_nor_quota(real_house: BuildHouse) -> None:
    """Fault test 15, SIGKILL: its worker gives up what nobody waits for, by the lease; what was reserved is
    settled by the gateway that follows, and what was shown is billed."""
    house = real_house(workers={"general": 1}, engine=SLOW)
    streams = [house.clients.ask(tokens=ENDLESS, seed=seed) for seed in range(4)]
    until(lambda: all(one.parts for one in streams))
    with house.fault("kill gateway"):
        os.kill(house.gateway(), signal.SIGKILL)
        for one in streams:
            one.wait()
        until(lambda: len(logged(house, "orphaned")) == 4)
        until(lambda: house.answers("general"))
    assert not house.judge()
    assert [one.how for one in streams] == ["cut"] * 4
    assert len(house.beats()) == 1, "the worker itself goes on"


def test_16_who_goes_away_is_written_for_no_more_and_pays_for_what_there_was(real_house: BuildHouse) -> None:
    """Fault test 16: a stream, and a request whose answer would have come whole."""
    house = real_house(workers={"general": 1}, engine=SLOW)
    asked = [house.clients.ask(tokens=ENDLESS, seed=seed, is_stream=seed > 0) for seed in range(2)]
    until(lambda: asked[1].parts and house.busy().running == 2)
    with house.fault("clients leave"):
        for one in asked:
            one.leave()
        until(lambda: not any(beat.running for beat in house.beats()))
    assert not house.judge()
    ends = [line["end"] for line in logged(house, "answered")]
    assert ends.count("cancelled") == 2
    billed = [event["tokens"] for event in house.history.read() if event.kind == "usage"]
    assert len(billed) == 2
    assert all(0 < tokens < ENDLESS for tokens in billed)


def test_17_clocks_a_minute_apart_end_nothing_early(
    real_house: BuildHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault test 17: one worker's clock is a minute ahead, the other's behind; the gateway's counts."""
    (tmp_path / "clocks").mkdir()
    (tmp_path / "clocks" / "sitecustomize.py").write_text(SKEWED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "clocks"), prepend=os.pathsep)
    accounts = {"database": {"url": f"sqlite:///{tmp_path / 'accounts.db'}"}}
    server = {"port": 0, "accounts": accounts, "playground": False, "limits": {"request_s": 10.0}}
    house = real_house(workers={"general": 2}, engine=SLOW, server=server)

    def both_have_answered() -> bool:
        house.clients.ask(tokens=2).wait()
        lines = [line for line in house.log_lines() if line["event"] == "specialist_request"]
        return len({line["worker"] for line in lines}) == 2

    until(both_have_answered)
    short = [house.clients.ask(tokens=10, seed=seed) for seed in range(4)]
    long = [house.clients.ask(tokens=ENDLESS, seed=seed) for seed in range(8)]
    assert not house.judge()
    assert [one.how for one in short] == ["done"] * 4
    assert [one.code for one in long] == ["timeout"] * 8
    assert all(len(one.parts) > 20 for one in long), "each was written until its deadline"


def logged(house: RealHouse, event: str) -> list[dict[str, object]]:
    """What the first worker has said of something."""
    lines = house.log_lines(house.logs / "general-r1-0.log")
    return [line for line in lines if line["event"] == event]
