"""The conductor by a clock of the test's, with what it has done by others noted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from buses import until
from standins import EVERY_S, StandIn
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.memory import MemoryBroker
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.control.conductor import FAILED_LOOKS, Conductor
from tsuzuri.specialists.control.draining import IDLE_BEATS, SETTLE_S, Drains
from tsuzuri.specialists.control.examining import Examination
from tsuzuri.specialists.control.standing import Standing
from tsuzuri.specialists.messages import Descriptor, Order, Route, State, Wanted
from tsuzuri.specialists.registry.registry import Key, Registry
from tsuzuri.specialists.topics import Topics

KEY = ("generalist", "1")


class Noted:
    """Effects that have none."""

    def __init__(self) -> None:
        self.examined: list[Key] = []
        self.told: list[tuple[str, str, str]] = []
        self.drained: list[Key] = []
        self.forgotten: list[Key] = []
        self.waits = 0

    def examine(self, task: Examination) -> None:
        self.examined.append((task.revision.specialist, task.revision.revision))

    def tell(self, order: str, text: str, state: str) -> None:
        self.told.append((order, text, state))

    def drain(self, key: Key) -> None:
        self.drained.append(key)

    def lag(self, key: Key) -> int:
        return self.waits

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)


class House:
    """A registry, a conductor, and the generalist, which says that it is to be looked at."""

    def __init__(self, broker: MemoryBroker, prefix: str) -> None:
        self.broker, self.topics = broker, Topics(prefix)
        self.config = BusConfig(prefix=prefix)
        bus = broker.bus(self.config)
        bus.ensure(self.topics.specs())
        self.registry = Registry(bus, self.topics)
        self.effects = Noted()
        self.rules = SpecialistsConfig.model_validate(
            {"alias": "kana", "specialists": [{"name": KEY[0], "release": "x"}]}
        )
        self.conductor = Conductor(self.registry, self.rules, self.effects, "test")
        self.workers = [self.worker()]

    def worker(self) -> StandIn:
        return StandIn(lambda: self.broker.bus(self.config), self.topics, *KEY)

    def state(self) -> Descriptor | None:
        return self.registry.descriptors.get(KEY)

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.registry.close()


@pytest.fixture
def house(memory_broker: MemoryBroker, prefix: str) -> Iterator[House]:
    found = House(memory_broker, prefix)
    until(lambda: found.state() and found.registry.alive(*KEY))
    yield found
    found.close()


def test_what_could_not_be_looked_at_is_looked_at_again_after_a_pause_and_refused_in_the_end(
    house: House,
) -> None:
    now, pauses = 0.0, []
    for number in range(1, FAILED_LOOKS + 1):
        began = now
        while len(house.effects.examined) < number:
            house.conductor.tick(now)
            now += 0.1
        pauses.append(now - began)
        house.conductor.decide(None, KEY, now, "it fell over")
    assert pauses == sorted(pauses), "each is longer than the one before"
    assert pauses[1] >= 1.0
    until(lambda: (found := house.state()) and found.state == "refused")
    found = house.state()
    assert found is not None
    assert found.note == f"it could not be looked at, {FAILED_LOOKS} times: it fell over"
    house.conductor.tick(now + 1000)
    assert len(house.effects.examined) == FAILED_LOOKS
    house.conductor.order("r", Order(verb="replace", specialist=KEY[0], revision=KEY[1]), now)
    house.workers.append(house.worker())

    def is_looked_at_again() -> bool:
        house.conductor.tick(now)
        return len(house.effects.examined) > FAILED_LOOKS

    until(is_looked_at_again)


def test_a_broker_that_is_away_is_held_against_nobody(house: House) -> None:
    now = 0.0
    for _ in range(3 * FAILED_LOOKS):
        house.conductor.tick(now)
        house.conductor.decide(None, KEY, now)
        now += 100
    assert house.effects.examined == [KEY] * 3 * FAILED_LOOKS
    found = house.state()
    assert found is not None
    assert found.state == "checking"


def test_of_revisions_that_went_only_the_last_are_kept(house: House) -> None:
    name = "literature"
    states: dict[str, State] = {"0": "ready"}  # the oldest of all, and it answers
    states |= {str(number): "gone" if number % 2 else "refused" for number in range(1, 13)}
    for number, state in states.items():
        house.registry.put_descriptor(Descriptor(specialist=name, revision=number, state=state))
        house.registry.put_wanted(Wanted(specialist=name, revision=number, workers=0))
    house.registry.put_wanted(Wanted(specialist=name, revision="2", workers=1))  # it is to be brought back
    house.registry.put_route("kana", Route(epoch=0, shares={name: {"0": 1.0}}, generalist=KEY[0]))
    until(lambda: house.registry.route("kana") and (name, "12") in house.registry.wanted)
    until(lambda: house.registry.wanted[name, "2"].workers)
    for now in range(0, 200, 5):
        house.conductor.tick(now)
        until(lambda: not set(house.effects.forgotten) & set(house.registry.descriptors))
    gone, refused = ["1", "3", "5"], ["4", "6"]
    assert sorted(house.effects.forgotten) == sorted((name, number) for number in gone + refused)
    left = {(name, number) for number in states if number not in gone + refused}
    until(lambda: {key for key in house.registry.descriptors if key[0] == name} == left)
    until(lambda: set(house.registry.wanted) == left)


@pytest.mark.parametrize(("asked", "gets"), [(None, {"ng_words": {"file": "/words"}}), ({}, {})])
def test_filters_stay_with_a_specialist_until_they_are_taken_away(
    house: House, asked: dict[str, Any] | None, gets: dict[str, Any]
) -> None:
    had = Wanted(specialist=KEY[0], revision=KEY[1], filters={"ng_words": {"file": "/words"}})
    house.registry.put_wanted(had)
    house.registry.put_route("kana", Route(epoch=0, shares={KEY[0]: {KEY[1]: 1.0}}, generalist=KEY[0]))
    until(lambda: house.registry.route("kana") and house.registry.wanted)
    order = Order(verb="replace", specialist=KEY[0], revision="2", source="x", filters=asked)
    house.conductor.order("r", order, 0.0)
    until(lambda: (KEY[0], "2") in house.registry.wanted)
    assert house.registry.wanted[KEY[0], "2"].filters == gets


def test_where_it_is_not_known_what_waits_workers_that_have_nothing_to_do_for_a_while_end(
    house: House,
) -> None:
    house.effects.waits = -1  # of a share group
    drains = Drains(Standing(house.registry, house.rules, "test"), house.effects, 1e9)
    drains.begin(KEY, 0.0)
    idle_s = IDLE_BEATS * EVERY_S
    for now in (0.0, SETTLE_S + 0.1, SETTLE_S + 0.1 + idle_s):
        drains.tick(now)
    assert not house.effects.drained
    house.workers[0].running = 1
    until(lambda: any(beat.running for beat in house.registry.alive(*KEY)))
    drains.tick(SETTLE_S + 0.2 + idle_s)
    house.workers[0].running = 0
    until(lambda: not any(beat.running for beat in house.registry.alive(*KEY)))
    drains.tick(100.0)
    assert not house.effects.drained
    drains.tick(100.1 + idle_s)
    assert house.effects.drained == [KEY]
