"""One picture of everybody: what gateways say adds up, and who is silent is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from buses import Deaf, store, until
from fake_workers import admit
from standins import record
from tsuzuri.specialists.bus.base import Record
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.memory import MemoryBroker, MemoryBus
from tsuzuri.specialists.dead_letters import MARK, dead_letter
from tsuzuri.specialists.messages import Beat, Figures, Recent, Routed, now_ms
from tsuzuri.specialists.registry.registry import CONTROLLER, Registry
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.watching.look import FORGOTTEN_S, Look
from tsuzuri.specialists.watching.picture import picture
from tsuzuri.specialists.watching.recent import bucket_of


class Watched:
    """An installation in which everybody says what a test has them say."""

    def __init__(self, broker: MemoryBroker, prefix: str) -> None:
        self.topics = Topics(prefix)
        self.bus: MemoryBus = broker.bus(BusConfig(prefix=prefix))
        self.bus.ensure(self.topics.specs())
        self.now = 100.0
        self.registry = Registry(self.bus, self.topics)
        self.deaf = Deaf(self.bus)
        self.look = Look(self.deaf, self.topics, self.registry, clock=lambda: self.now)

    def beat(self, instance: str, specialist: str, **fields: Any) -> None:
        fields = {"revision": "r1", "at_ms": now_ms(), "every_ms": 60_000, "slots": 4, **fields}
        body = Beat(instance=instance, specialist=specialist, **fields)
        store(self.bus, [record(self.topics.beats, body, instance)])

    def says(self, gateway: str, *recent: Recent, **fields: Any) -> None:
        body = Figures(gateway=gateway, at_ms=now_ms(), part_ms=2000, recent=recent, **fields)
        store(self.bus, [record(self.topics.beats, body, gateway)])

    def seen(self) -> dict[str, Any]:
        assert self.registry.wait(60)
        return picture(self.registry, self.look, address="kafka:9092")

    def of(self, specialist: str) -> dict[str, Any]:
        """Its row, once it is there."""
        rows: dict[str, Any] = {}

        def is_there() -> bool:
            rows.update({row["specialist"]: row for row in self.seen()["specialists"]})
            return specialist in rows

        until(is_there)
        return dict(rows[specialist])


@pytest.fixture
def watched(memory_broker: MemoryBroker, prefix: str) -> Iterator[Watched]:
    found = Watched(memory_broker, prefix)
    yield found
    found.look.close()
    found.registry.close()


def recent(specialist: str = "law", **fields: Any) -> Recent:
    return Recent(specialist=specialist, revision="r1", **fields)


def test_where_nobody_is_the_picture_is_empty(watched: Watched) -> None:
    seen = watched.seen()
    assert (seen["specialists"], seen["gateways"], seen["routings"]) == ([], [], [])
    assert (seen["controller"], seen["dead_letters"], seen["aliases"]) == (None, {}, {})
    assert seen["broker"] == {"address": "kafka:9092", "is_reached": True, "trouble": ""}


def test_what_gateways_saw_adds_up(watched: Watched) -> None:
    admit(watched.registry, "kana", {"general": {"r1": 1.0}, "law": {"r1": 1.0}})
    slow = {bucket_of(800): 1}
    watched.says(
        "g1",
        recent(in_flight=2, outcomes={"done": 19}, each=(9, 10, 5), total_ms={bucket_of(100): 19}, tokens=90),
        held=2,
    )
    watched.says(
        "g2",
        recent(in_flight=1, outcomes={"done": 2, "stalled": 1, "cancelled": 1}, each=(4, 0), total_ms=slow),
        held=3,
    )
    until(lambda: len(watched.seen()["gateways"]) == 2)
    law = watched.of("law")
    assert (law["in_flight"], law["errors"]) == (3, 1)
    assert law["minute"] == {"done": 21, "stalled": 1, "cancelled": 1}
    assert law["requests_per_s"] == 19 / 4 + 4 / 2, "of the parts that are over"
    assert law["tokens_per_s"] == 90 / 6
    assert law["each"][-3:] == [9, 14, 5]
    assert 96 < law["total_ms"]["p50"] < 104
    assert 760 < law["total_ms"]["p99"] < 840
    assert law["first_ms"] == {"p50": None, "p99": None}
    assert law["shares"] == {"kana": 1.0}
    assert (watched.of("general")["requests_per_s"], watched.of("general")["is_generalist"]) == (0, True)
    assert [one["requests_per_s"] for one in watched.seen()["gateways"]] == [19 / 4, 2]


def test_a_gateway_that_says_nothing_is_told_of_and_then_forgotten(watched: Watched) -> None:
    watched.says("g1", recent(in_flight=1))
    until(lambda: watched.seen()["gateways"])
    watched.now += FORGOTTEN_S - 1
    assert watched.seen()["gateways"][0]["silent_s"] == FORGOTTEN_S - 1
    watched.now += 1
    assert watched.seen()["gateways"] == []


def test_workers_and_the_controller_are_who_is_heard(watched: Watched) -> None:
    admit(watched.registry, "kana", {"law": {"r1": 1.0}})
    watched.beat("w1", "law", running=2, tokens_per_s=40.0)
    watched.beat("w2", "law", running=1, tokens_per_s=2.5)
    until(lambda: len(watched.of("law")["workers"]) == 2)
    law = watched.of("law")
    assert (law["running"], law["slots"], law["state"], law["is_generalist"]) == (3, 8, "ready", False)
    assert sum(one["tokens_per_s"] for one in law["workers"]) == 42.5
    held = watched.registry.lease(CONTROLLER, "up-1")
    assert watched.seen()["controller"] == "up-1"
    held.close()


def test_what_waits_and_what_is_dead_comes_from_the_broker(watched: Watched) -> None:
    admit(watched.registry, "kana", {"law": {"r1": 1.0}})
    watched.bus.ensure(watched.topics.request_specs("law", "r1"))
    watched.of("law")
    lane = watched.topics.lanes("law", "r1")[0]
    (waits,) = store(watched.bus, [Record(lane, b"x", b"1")])
    watched.look.measure()
    assert watched.of("law")["lag"] == 1
    assert watched.of("law")["oldest_s"] >= 0
    letters = [
        dead_letter(waits, topic=watched.topics.dead_letters, group="g", reason=reason)
        for reason in ("poison", "poison", "schema")
    ]
    first, *_ = store(watched.bus, letters)
    until(lambda: watched.seen()["dead_letters"] == {"poison": 2, "schema": 1})
    mark = Record(first.topic, headers=((MARK, f"{first.partition}-{first.offset}".encode()),))
    store(watched.bus, [mark])
    until(lambda: watched.seen()["dead_letters"] == {"poison": 1, "schema": 1})


def test_a_broker_that_does_not_answer_is_told_and_what_was_known_stays(watched: Watched) -> None:
    admit(watched.registry, "kana", {"law": {"r1": 1.0}})
    watched.of("law")
    watched.look.measure()
    watched.deaf.is_deaf = True
    watched.look.measure()
    seen = watched.seen()
    assert seen["broker"] == {"address": "kafka:9092", "is_reached": False, "trouble": "nobody answers"}
    assert [row["specialist"] for row in seen["specialists"]] == ["law"]
    watched.deaf.is_deaf = False
    watched.look.measure()
    assert watched.seen()["broker"]["is_reached"]


def test_the_last_routings_are_those_of_all_gateways_the_newest_first(watched: Watched) -> None:
    watched.says("g1", routed=(Routed(at_ms=30, specialist="law"), Routed(at_ms=10, specialist="law")))
    watched.says("g2", routed=(Routed(at_ms=20, specialist="general", why="no rule is met"),))
    until(lambda: len(watched.seen()["routings"]) == 3)
    routings = watched.seen()["routings"]
    assert [(one["gateway"], one["at_ms"]) for one in routings] == [("g1", 30), ("g2", 20), ("g1", 10)]
    assert routings[1]["why"] == "no rule is met"
