"""The registry: who lives, whose the leases are, which epochs count, what is said again after a loss."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from buses import OpenBus, store, until
from standins import record
from tsuzuri.specialists.bus.base import Record
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.memory import MemoryBroker
from tsuzuri.specialists.messages import Beat, Descriptor, Lease, Report, Route, Wanted, now_ms
from tsuzuri.specialists.registry.leases import LeaseTaken
from tsuzuri.specialists.registry.pulse import PATIENCE, STALE_BEATS
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.registry.shares import pick
from tsuzuri.specialists.registry.view import View
from tsuzuri.specialists.topics import Topics

TOPICS = Topics("t")
SECOND = 1000


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def open_bus(memory_broker: MemoryBroker, prefix: str) -> OpenBus:
    """Of the broker in this process alone: what a bus does is tested where buses are."""
    return lambda: memory_broker.bus(BusConfig(prefix=prefix))


@pytest.fixture
def topics(open_bus: OpenBus, prefix: str) -> Topics:
    found = Topics(prefix)
    open_bus().ensure(found.specs())
    return found


@pytest.fixture
def registry(open_bus: OpenBus, topics: Topics) -> Iterator[Registry]:
    found = Registry(open_bus(), topics)
    assert found.wait(60)
    yield found
    found.close()


def beat(instance: str, at_ms: int = 0, every_ms: int = 2 * SECOND) -> Beat:
    return Beat(instance=instance, specialist="literature", revision="1", at_ms=at_ms, every_ms=every_ms)


def hear(view: View, body: Beat | Lease | Route | Report, key: str = "", **fields: object) -> object:
    topic = TOPICS.routes if isinstance(body, Route) else TOPICS.beats
    return view.take(record(topic, body, key, **fields))


def test_what_one_says_another_reads_and_a_third_that_comes_later(
    open_bus: OpenBus, topics: Topics, registry: Registry
) -> None:
    registry.put_descriptor(Descriptor(specialist="literature", revision="1", state="ready"))
    registry.put_wanted(Wanted(specialist="literature", revision="1", workers=2))
    registry.put_route("kana", Route(epoch=0, shares={"literature": {"1": 1.0}}))
    assert registry.flush(60)
    later = Registry(open_bus(), topics)
    assert later.wait(60)
    assert later.descriptors["literature", "1"].state == "ready"
    assert later.wanted["literature", "1"].workers == 2
    route = later.route("kana")
    assert route is not None
    assert route.epoch == 1
    registry.drop_wanted("literature", "1")
    until(lambda: not later.wanted)
    later.close()


def test_changes_are_told_by_their_keys(registry: Registry) -> None:
    heard: list[str] = []
    registry.on_change(heard.append)
    registry.put_route("kana", Route(epoch=0))
    until(lambda: "route/kana" in heard)


def test_three_missing_beats_are_death_while_others_are_heard() -> None:
    clock = Clock()
    view = View(TOPICS.routes, clock=clock)
    hear(view, beat("a"))
    for second in range(1, 10):
        clock.now = 100.0 + second
        hear(view, beat("b", every_ms=SECOND))
        assert ("a" in view.beats.alive()) == (second <= STALE_BEATS * 2)
    assert view.beats.bury() == ["a"]
    assert list(view.beats.alive()) == ["b"]


def test_clocks_of_workers_that_are_minutes_off_kill_nobody() -> None:
    clock = Clock()
    view = View(TOPICS.routes, clock=clock)
    for second in range(0, 30, 2):
        clock.now = 100.0 + second
        hear(view, beat("early", at_ms=now_ms() - 60 * SECOND), sent_ms=now_ms() - 60 * SECOND)
        hear(view, beat("late", at_ms=now_ms() + 60 * SECOND), sent_ms=now_ms() + 60 * SECOND)
        assert set(view.beats.alive()) == {"early", "late"}


def test_a_bus_that_is_silent_as_a_whole_kills_nobody_at_once() -> None:
    clock = Clock()
    view = View(TOPICS.routes, clock=clock)
    hear(view, beat("a"))
    hear(view, Lease(holder="g", epoch=1, until_ms=6 * SECOND), "lease/replies/0", sent_ms=0)
    clock.now += 20
    assert list(view.beats.alive()) == ["a"]
    assert view.leases.holder("replies/0") == "g"
    hear(view, beat("b"))  # as a broker that was paused hands over what came meanwhile
    assert set(view.beats.alive()) == {"a", "b"}
    clock.now += PATIENCE * STALE_BEATS * 2 + 1
    assert not view.beats.alive()


def test_lower_epochs_count_for_nothing_and_are_counted() -> None:
    """Fault test 14 in short."""
    view = View(TOPICS.routes)
    assert hear(view, Route(epoch=5, note="new"), "kana") == "route/kana"
    assert hear(view, Route(epoch=4, note="old"), "kana") is None
    assert hear(view, Route(epoch=5, note="of a second writer"), "kana") is None
    assert hear(view, Route(epoch=5, note="new"), "kana") is None  # said again, no fault
    assert view.ignored == {"epoch": 2}
    assert [route.note for route in view.of(Route)] == ["new"]


def test_what_is_no_message_is_counted_and_passed_over() -> None:
    view = View(TOPICS.routes)
    assert view.take(Record(TOPICS.registry, b"{}", b"x")) is None
    assert view.take(Record(TOPICS.registry, b"{}", b"\xff")) is None
    assert view.ignored == {"no_kind": 1, "key": 1}


def test_the_first_claim_by_offset_holds() -> None:
    view = View(TOPICS.routes)
    for claim in ("one", "two"):
        lease = Lease(holder=claim, epoch=1, until_ms=6 * SECOND)
        hear(view, lease, "lease/controller", id=claim, sent_ms=0)
    assert view.leases.holder("controller") == "one"
    assert view.ignored == {"epoch": 1}
    hear(view, Lease(holder="two", epoch=2, until_ms=6 * SECOND), "lease/controller", id="two", sent_ms=0)
    assert view.leases.holder("controller") == "two"


def test_the_second_of_two_holders_is_told_who_the_first_is(
    open_bus: OpenBus, topics: Topics, registry: Registry
) -> None:
    other = Registry(open_bus(), topics)
    assert other.wait(60)
    first = registry.lease("replies/0", "gateway-a", ttl_s=60)
    until(lambda: other.holder("replies/0") == "gateway-a")
    with pytest.raises(LeaseTaken, match="'replies/0' is held by gateway-a"):
        other.lease("replies/0", "gateway-b", ttl_s=60)
    with pytest.raises(LeaseTaken):  # nor may one of the same name
        other.lease("replies/0", "gateway-a", ttl_s=60)
    first.close()
    until(lambda: other.holder("replies/0") is None)
    second = other.lease("replies/0", "gateway-b", ttl_s=60)
    assert second.epoch == first.epoch + 1
    until(lambda: not first.is_held)
    other.close()


def test_a_lease_is_taken_over_when_its_holder_is_heard_no_more(
    open_bus: OpenBus, topics: Topics, registry: Registry
) -> None:
    gone = open_bus()
    lease = Lease(holder="gone", epoch=7, until_ms=now_ms() + 200)
    store(gone, [record(topics.registry, lease, "lease/controller", id="claim")])
    until(lambda: registry.holder("controller") == "gone")
    until(lambda: registry.holder("controller") is None)
    assert registry.lease("controller", "next").epoch == 8


def test_a_held_lease_is_renewed(registry: Registry) -> None:
    held = registry.lease("controller", "me", ttl_s=0.3)
    renewed_at = held.renewed_at
    until(lambda: held.renewed_at > renewed_at + 1)
    assert held.is_held
    assert registry.holder("controller") == "me"


def test_after_an_empty_restart_everybody_says_its_own_again(
    memory_broker: MemoryBroker, open_bus: OpenBus, topics: Topics, registry: Registry
) -> None:
    worker = Registry(open_bus(), topics)
    worker.put_descriptor(Descriptor(specialist="literature", revision="1", state="checking"))
    until(lambda: registry.descriptors)
    registry.put_descriptor(Descriptor(specialist="literature", revision="1", state="ready"))
    route = registry.put_route("kana", Route(epoch=0))
    registry.put_route("kana", route)
    held = registry.lease("controller", "me")
    until(lambda: worker.descriptors["literature", "1"].state == "ready")
    memory_broker.restart(empty=True)
    later = Registry(open_bus(), topics)
    until(lambda: later.route("kana") and later.descriptors and later.holder("controller"))
    found = later.route("kana")
    assert found is not None
    assert found.epoch == 2
    assert later.descriptors["literature", "1"].state == "ready", "as decided, not as its worker began"
    assert held.is_held
    later.close()
    worker.close()


def test_what_fails_in_one_reader_of_the_registry_stops_neither_others_nor_its_own_words(
    open_bus: OpenBus, topics: Topics, registry: Registry
) -> None:
    heard: list[str] = []

    def fail(key: str) -> None:
        raise ZeroDivisionError

    registry.on_change(fail)
    registry.on_change(heard.append)
    held = registry.lease("controller", "me", ttl_s=0.6)
    open_bus().send(
        record(topics.beats, Beat(instance="w", specialist="a", revision="1", at_ms=1, every_ms=100), "w")
    )
    until(lambda: heard.count("beat/w") == 2)  # it came, and died
    renewed_at = held.renewed_at
    until(lambda: held.renewed_at > renewed_at)


def test_who_claims_a_lease_of_a_broker_that_came_back_empty_holds_it_though_its_holder_died_with_it(
    memory_broker: MemoryBroker, open_bus: OpenBus, topics: Topics, registry: Registry
) -> None:
    claim = Lease(holder="dead", epoch=3, until_ms=now_ms() + 60_000)
    open_bus().send(record(topics.registry, claim, "lease/replies/0", id="claim"))
    until(lambda: registry.holder("replies/0") == "dead")
    mine = registry.lease("controller", "me")
    memory_broker.restart(empty=True)
    later = Registry(open_bus(), topics)
    later.lease("replies/0", "new")
    until(lambda: registry.holder("replies/0") == "new")
    until(lambda: later.holder("controller") == "me")
    assert mine.is_held
    later.close()


def test_shares_hold_over_many_requests_and_one_request_always_goes_the_same_way() -> None:
    route = Route(
        epoch=1,
        generalist="general",
        shares={"general": {"1": 1.0}, "literature": {"1": 0.75, "2": 0.25}, "news": {"1": 0.05}, "law": {}},
    )
    ids = [f"request-{number}" for number in range(4000)]
    literature = [pick(route, "literature", item) for item in ids]
    assert 900 < literature.count(("literature", "2")) < 1100
    assert literature == [pick(route, "literature", item) for item in ids]
    news = [pick(route, "news", item) for item in ids]
    assert 140 < news.count(("news", "1")) < 260
    assert news.count(("general", "1")) == len(ids) - news.count(("news", "1"))
    assert {pick(route, "law", item) for item in ids} == {("general", "1")}
    assert pick(route, "unknown", "x") == ("general", "1")
    assert pick(Route(epoch=1), "unknown", "x") is None
