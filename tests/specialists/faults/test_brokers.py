"""Brokers and networks that fail, and records that are none, or come twice or in disorder, in a house of real
processes judged by its history; the numbers are those of the list of fault tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buses import until
from fake_workers import FakeWorker, admit
from specialists.faults.conftest import BuildHouse
from specialists.faults.house import REVISION
from specialists.faults.link import Mode
from specialists.faults.nemeses import JUNK, doubled, paused, send
from standins import record
from tsuzuri.core.processes import cpu_seconds
from tsuzuri.specialists.bus.base import Record
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.messages import Ask, Body, Delta, Envelope, Final, Malformed, decode, new_id

pytestmark = [pytest.mark.large, pytest.mark.timeout(900)]
ALIAS = "odd"
"""Of specialists that the house's own file does not know."""


def test_4_a_broker_that_is_killed_and_comes_back_is_told_everything_again(
    real_house: BuildHouse, broker_kind: str
) -> None:
    """Fault test 4: whoever is refused is told when to come again; then all is as it was, topics too."""
    house = real_house(workers={"general": 2}, with_link=True)
    assert house.link is not None
    declared = house.bus.topics()
    streams = [house.clients.ask(tokens=120, seed=seed) for seed in range(4)]
    until(lambda: all(one.parts for one in streams))
    with house.clients.load(rate=3, seed=4) as asked:
        for away_s in (0.0, 12.0):
            with house.fault("kill broker"), house.link.being("cut" if away_s else "open"):
                before = house.broker.restarts
                os.kill(house.broker.pid, signal.SIGKILL)
                until(lambda before=before: house.broker.restarts > before)  # type: ignore[misc]
                time.sleep(away_s)
            until(lambda: house.answers("general"), patience_s=120)
    assert not house.judge()
    assert [one.how for one in streams] == ["done"] * 4
    assert not [one for one in asked if one.how not in ("done", "refused", "cancelled")]
    there = house.bus.topics()
    assert {name: there.get(name) for name in declared} == declared


@pytest.mark.parametrize("lasts_s", [4.0, 20.0])
def test_5_a_broker_that_stands_still_goes_on_without_a_loss(real_house: BuildHouse, lasts_s: float) -> None:
    """Fault test 5: what has a deadline meanwhile ends by it, in words; the rest is answered."""
    house = real_house(workers={"general": 2}, **_limited(10.0))
    streams = [house.clients.ask(tokens=120, seed=seed) for seed in range(4)]
    until(lambda: all(one.parts for one in streams))
    with house.clients.load(rate=2, seed=5) as asked:
        with house.fault("pause broker"), paused(house.broker.pid):
            time.sleep(lasts_s)
        until(lambda: house.answers("general"), patience_s=120)
        after = [house.clients.ask(seed=seed) for seed in range(4)]
    for one in after:
        one.wait()
    assert not house.judge()
    assert [one.how for one in after] == ["done"] * 4
    ended = {(one.how, one.code) for one in (*streams, *asked) if one.how not in ("done", "cancelled")}
    assert {how for how, _ in ended} <= {"marked", "refused"}
    if lasts_s < 10:
        assert not ended, "nobody's time was over"


@pytest.mark.parametrize(
    ("mode", "delay_s"), [("slow", 0.3), ("cut", 0.0), ("half open", 0.0), ("trickle", 0.0)]
)
def test_6_a_bad_network_loses_nothing_and_keeps_nobody_busy(
    real_house: BuildHouse, mode: Mode, delay_s: float
) -> None:
    """Fault test 6: waits are bounded, and nobody spins while nothing comes through."""
    house = real_house(workers={"general": 2}, with_link=True)
    assert house.link is not None
    lasts_s = 8.0
    with house.clients.load(rate=2, seed=6):
        with house.fault(f"{mode} link"), house.link.being(mode, delay_s=delay_s):
            before = {pid: cpu_seconds(pid) for pid in (house.gateway(), *house.children("worker"))}
            time.sleep(lasts_s)
            spent = {pid: cpu_seconds(pid) - used_s for pid, used_s in before.items()}
        until(lambda: house.answers("general"), patience_s=120)
        after = [house.clients.ask(seed=seed) for seed in range(4)]
    for one in after:
        one.wait()
    assert not house.judge()
    assert [one.how for one in after] == ["done"] * 4
    if mode in ("cut", "half open"):
        assert max(spent.values()) < 0.6 * lasts_s, "somebody is busy with nothing"


def test_7_what_comes_twice_is_shown_and_billed_once(real_house: BuildHouse) -> None:
    """Fault test 7: every request and every reply twice at once, and all of them once more later."""
    house = real_house(workers={"general": 2})
    requests = house.topics.lanes("general", REVISION)
    with house.fault("duplicates"):
        with doubled(house, [*requests, house.topics.replies]) as sent:
            asked = [house.clients.ask(tokens=60, seed=seed % 3) for seed in range(8)]
            for one in asked:
                one.wait()
        assert len(sent) > len(asked)
        again: list[Record] = []
        following = house.bus.follow(requests[0], again.extend, begin="beginning")
        assert following.wait(60)
        following.close()
        for old in again:
            copy = Record(old.topic, old.value, old.key, old.headers, partition=old.partition)
            house.bus.send(copy)
        later = house.clients.ask(tokens=10).wait()
    assert [one.how for one in (*asked, later)] == ["done"] * 9
    assert sum(house.counts()[name] for name in ("stale", "duplicate")) >= len(asked)
    assert not house.judge()


@pytest.mark.parametrize("lie", ["gap", "order", "sum"])
def test_8_parts_that_are_missing_or_in_disorder_are_noticed(real_house: BuildHouse, lie: str) -> None:
    """Fault test 8: mended by another attempt where that can be, else told; never passed on."""
    house = real_house(workers={"general": 1})
    worker = FakeWorker(
        house.bus, house.topics, "liar", "r1", "liar-1", stop_after=12, at_stop=LIES[lie], step_s=0.01
    )
    try:
        house.clients.oracle.others["liar"] = lambda prompt, most: f"liar:{TEXT}"[:most]
        admit(house.registry, ALIAS, {"liar": {"r1": 1.0}}, generalist="liar")
        until(lambda: ALIAS in house.told()["aliases"])
        one = house.clients.ask(tokens=24, model=ALIAS).wait()
        assert not house.judge()
        counts = house.counts()
    finally:
        worker.die()
    if lie == "sum":
        assert (one.how, counts["damaged"]) == ("marked", 1)
    else:
        assert (one.how, counts["gap"]) == ("done", 1)


def test_9_records_that_are_no_messages_become_dead_letters_and_hold_nobody_up(
    real_house: BuildHouse,
) -> None:
    """Fault test 9: what cannot be read is put aside with its reason; the next request is answered."""
    house = real_house(workers={"general": 2})
    topic = house.topics.requests("general", REVISION, "interactive")
    sent = list[str]()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_records(topic))
    def throw(one: Record) -> None:
        try:
            decode(one.value, one.headers)
        except Malformed as error:
            sent.append(error.reason)
        house.bus.send(one)

    with house.fault("poison records"):
        throw()
        huge = open_bus(BusConfig(bootstrap=house.kafka, record_bytes=4_000_000, settings=HUGE))
        stored: list[BaseException | None] = []
        huge.send(Record(topic, b"x" * 2_000_000, b"huge"), lambda _, error: stored.append(error))
        names = house.topics
        for value in JUNK:
            for name in (names.replies, names.control, names.registry, names.routes):
                send(house, name, value, partition=0)
        asked = [house.clients.ask(seed=seed) for seed in range(8)]
        for one in asked:
            one.wait()
        until(lambda: stored)
        huge.close(flush_s=0)
        sent += ["no_kind"] * (stored[0] is None)
    assert [one.how for one in asked] == ["done"] * 8
    assert sent
    until(lambda: sum(house.letters().values()) == len(sent), patience_s=60)
    assert set(house.letters()) == set(sent)
    assert house.counts()["malformed"] >= 1, "replies that are none are counted"
    assert not house.judge()


TEXT = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
HUGE = {"message.max.bytes": "5000000"}


def _gap(worker: FakeWorker, to: Envelope) -> Body:
    worker.stop_after = None
    worker.say(Delta(text="あ", ids=(1,)), to, seq=14)
    return Delta(text="い", ids=(2,))


def _order(worker: FakeWorker, to: Envelope) -> Body:
    worker.stop_after = None
    worker.say(Delta(text="あ", ids=(1,)), to, seq=13)
    return Delta(text="い", ids=(2,))


def _sum(worker: FakeWorker, to: Envelope) -> Body:
    worker.stop_after = None
    return Final(finish="length", completion_tokens=12, sha256="0" * 64)


LIES: dict[str, Callable[[FakeWorker, Envelope], Body]] = {"gap": _gap, "order": _order, "sum": _sum}
"""What the worker says after twelve characters, once: a part too few, two in disorder, a wrong sum."""


def _limited(request_s: float) -> dict[str, Any]:
    """Settings of a house whose requests may take so long."""
    return {"server": {"limits": {"request_s": request_s}}}


def _records(topic: str) -> st.SearchStrategy[Record]:
    """Any bytes under any headers, and requests of ours that were damaged."""
    ask = Ask(specialist="general", revision=REVISION, prompt="あ", sampling={"max_new_tokens": 1})
    sound = record(topic, ask, id=new_id(), attempt=1)
    assert sound.value is not None
    value = sound.value
    damaged = [value[:-1], value.replace(b"1}", b"NaN}"), value.replace("あ".encode(), b"\xe3\x81")]
    kinds = st.sampled_from([b"ask", b"score", b"delta", b"nothing", b"\xff", b""])
    schemas = st.sampled_from([b"1", b"2", b"999", b"x", b""])
    headers = st.builds(
        lambda kind, schema: tuple(
            (name, kind if name.endswith("kind") else schema if name.endswith("schema") else old)
            for name, old in sound.headers
        ),
        kinds,
        schemas,
    )
    bodies = st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda at, by: value[:at] + by + value[at:],
            st.integers(0, len(value)),
            st.binary(min_size=1, max_size=3),
        ),
        st.sampled_from(damaged),
    )
    broken = st.builds(
        lambda body, of: Record(topic, body, b"junk", of), bodies, st.one_of(headers, st.just(()))
    )
    return broken.filter(_is_none)


def _is_none(one: Record) -> bool:
    try:
        decode(one.value, one.headers)
    except Malformed:
        return True
    return False
