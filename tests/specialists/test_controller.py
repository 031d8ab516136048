"""The controller, with workers without a model: the gate, the ramp, the way back, what operators ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from buses import OpenBus, until
from standins import StandIn, record
from tsuzuri.core.errors import ResourceError
from tsuzuri.specialists.bus.base import Bus, BusDown, BusFull, Record
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.memory import MemoryBroker
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.control.controller import Controller
from tsuzuri.specialists.messages import Order, Outcome, Report, State, Traffic, Wanted, decode
from tsuzuri.specialists.operators.reaching import Joined, asked
from tsuzuri.specialists.registry.leases import Held
from tsuzuri.specialists.registry.registry import CONTROLLER, Registry
from tsuzuri.specialists.topics import Topics

House = Callable[..., StandIn]


class Installation:
    """A registry, workers and a controller; everything is stopped at the end."""

    def __init__(self, open_bus: OpenBus, topics: Topics, folder: Path, **rollout: object) -> None:
        self.open_bus, self.topics = open_bus, topics
        bus = open_bus()
        bus.ensure(topics.specs())
        self.registry = Registry(bus, topics)
        texts = folder / "texts.jsonl"
        lines = [json.dumps({"text": f"第{number}の文。" * (number % 5 + 1)}) for number in range(40)]
        texts.write_text("\n".join(lines))
        self.texts = texts
        names = ("generalist", "literature", "news")
        self.config = SpecialistsConfig.model_validate(
            {
                "alias": "kana",
                "specialists": [{"name": name, "release": "x", "texts": texts} for name in names],
                "gate": {"texts": 20, "timeout_s": 60},
                "rollout": {"watch_s": 0, "least_answers": 20, "idle_s": 600, "silent_s": 600, **rollout},
            }
        )
        self.workers: list[StandIn] = []
        self.outcomes: dict[str, list[Outcome]] = {}
        bus.follow(topics.control, self._told)
        self.bus = bus
        self.controllers = [self.controller("first")]

    def controller(self, holder: str) -> Controller:
        bus = self.open_bus()
        registry = Registry(bus, self.topics)
        self.registries = [*getattr(self, "registries", []), registry]
        return Controller(bus, self.topics, registry, self.config, holder=holder, ttl_s=1.0)

    def worker(self, *args: object, **options: object) -> StandIn:
        self.workers.append(StandIn(self.open_bus, self.topics, *args, **options))  # type: ignore[arg-type]
        return self.workers[-1]

    def order(self, number: str, **fields: object) -> None:
        self.bus.send(record(self.topics.control, Order(**fields), number, id=number))  # type: ignore[arg-type]

    def end(self, number: str) -> Outcome:
        until(lambda: any(item.state != "working" for item in self.outcomes.get(number, [])))
        return self.outcomes[number][-1]

    def shares(self, name: str) -> dict[str, float] | None:
        route = self.registry.route("kana")
        return None if route is None else route.shares.get(name)

    def state(self, name: str, revision: str = "1") -> str | None:
        found = self.registry.descriptors.get((name, revision))
        return found.state if found else None

    def report(self, *traffic: Traffic) -> None:
        self.bus.send(record(self.topics.beats, Report(gateway="g", at_ms=0, traffic=traffic), "g"))

    def good(self, revision: str) -> None:
        """Enough good answers for one step."""
        traffic = Traffic(
            specialist="literature", revision=revision, finished=20, first_token_ms=(30.0,) * 20
        )
        self.report(traffic)

    def goes_well(self, number: str) -> bool:
        """Whether an order is done; some more good answers of what it put in place."""
        self.good("2")
        return any(item.state == "done" for item in self.outcomes.get(number, []))

    def close(self) -> None:
        for controller in self.controllers:
            controller.close()
        for worker in self.workers:
            worker.stop()
        for registry in [*self.registries, self.registry]:
            registry.close()

    def _told(self, records: object) -> None:
        for item in records:  # type: ignore[attr-defined]
            envelope = decode(item.value, item.headers)
            if isinstance(envelope.body, Outcome):
                self.outcomes.setdefault(envelope.id, []).append(envelope.body)


class Unled(Registry):
    """One over which no lease can be asked for, for a while."""

    is_down = True
    asked = 0

    def lease(self, name: str, *args: Any, **options: Any) -> Held:
        self.asked += 1
        if self.is_down and name == CONTROLLER:
            raise BusDown("nobody answers")
        return super().lease(name, *args, **options)


class Broken:
    """A bus with a defect."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def lag(self, *_: object) -> Any:
        raise RuntimeError("a defect")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


class Mute:
    """A bus that takes nothing for a while, or loses what it takes."""

    is_mute = forgets = False
    kept = 0

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def send(self, item: Record, on_stored: Callable[[Record, BaseException | None], None]) -> None:
        if self.is_mute:
            self.kept += 1
            raise BusFull("so much waits")
        if self.forgets:
            on_stored(item, BusDown("the disk is full"))
        else:
            self._bus.send(item, on_stored)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


@pytest.fixture
def open_bus(memory_broker: MemoryBroker, prefix: str) -> OpenBus:
    """Of the broker in this process alone: what a bus does is tested where buses are."""
    return lambda: memory_broker.bus(BusConfig(prefix=prefix))


@pytest.fixture
def house(open_bus: OpenBus, prefix: str, tmp_path: Path) -> Iterator[Installation]:
    found = Installation(open_bus, Topics(prefix), tmp_path)
    yield found
    found.close()


@pytest.fixture
def running(house: Installation) -> Installation:
    """A generalist and one specialist, both admitted."""
    house.worker("generalist", bits=2.5)
    house.worker("literature", bits=2.0)
    until(lambda: house.shares("literature") == {"1": 1.0})
    return house


def test_what_beats_the_generalist_is_admitted_with_its_figures(running: Installation) -> None:
    assert running.shares("generalist") == {"1": 1.0}
    until(lambda: running.state("literature") == "ready")
    found = running.registry.descriptors["literature", "1"]
    assert found.domain_bpb == pytest.approx(2.0, abs=0.1)
    assert found.generalist_bpb == pytest.approx(2.5, abs=0.1)
    assert found.gain_low is not None
    assert found.gain_low > 0.4
    assert "bits a byte" in found.note


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bits": 2.48}, "does not beat the generalist on its own domain: 2.5"),
        ({"bits": 3.0}, "does not beat the generalist"),
        ({"answer": ""}, "is empty"),
        ({"answer": "綴り" * 60}, "ends in a loop"),
        ({"capabilities": ()}, "can't score"),
    ],
)
def test_what_does_not_is_refused_with_the_figures(
    house: Installation, options: dict[str, object], says: str
) -> None:
    house.worker("generalist", bits=2.5)
    house.worker("news", **options)
    until(lambda: house.state("news") == "refused")
    assert says in house.registry.descriptors["news", "1"].note
    assert not house.shares("news")


def test_one_that_is_let_in_by_name_is_not_measured(running: Installation) -> None:
    worker = running.worker("law", capabilities=(), announce=False)
    filters = {"personal_data": {"level": "strict"}}
    running.order(
        "a", verb="add", specialist="law", revision="1", source="x", has_gate=False, filters=filters
    )
    until(lambda: ("law", "1") in running.registry.wanted)
    assert running.registry.wanted["law", "1"].filters == filters
    worker.announce("checking")
    until(lambda: running.state("law") == "ready")
    until(lambda: running.shares("law") == {"1": 0.05})


def test_a_new_revision_is_ramped_up_and_the_old_one_drains(running: Installation) -> None:
    running.order("r", verb="replace", specialist="literature", revision="2", source="x")
    running.worker("literature", "2", bits=1.9)
    until(lambda: running.shares("literature") == {"2": 0.05, "1": 0.95})
    for share in (0.25, 0.5):
        running.good("2")
        until(lambda share=share: running.shares("literature") == {"2": share, "1": 1 - share})
    running.good("2")
    until(lambda: (running.shares("literature") or {}).get("2") == 1.0)
    running.good("2")
    assert running.end("r").state == "done"
    until(lambda: running.state("literature", "1") == "gone")
    assert not running.registry.alive("literature", "1")
    assert running.registry.wanted["literature", "2"].workers == 1
    notes = [item.text for item in running.outcomes["r"]]
    assert any("gets 25%" in note for note in notes)
    assert any("is admitted" in note for note in notes)
    assert len(set(notes)) == len(notes), "each step is told once"


def test_one_that_fails_its_clients_is_rolled_back_by_itself(running: Installation) -> None:
    running.order("r", verb="replace", specialist="literature", revision="2", source="x")
    running.worker("literature", "2")
    until(lambda: (running.shares("literature") or {}).get("2") == 0.05)
    running.report(Traffic(specialist="literature", revision="2", finished=1, failed=4))
    outcome = running.end("r")
    assert outcome.state == "failed"
    assert "4 of 5 answers failed" in outcome.text
    assert [item.text for item in running.outcomes["r"]].count(outcome.text) == 1
    until(lambda: running.shares("literature") == {"1": 1.0})
    until(lambda: running.state("literature", "2") == "refused")
    until(lambda: not running.registry.alive("literature", "2"))
    assert ("literature", "2") not in running.registry.wanted
    assert running.registry.alive("literature", "1")


def test_one_that_is_worse_than_the_old_one_is_refused(running: Installation) -> None:
    running.order("r", verb="replace", specialist="literature", revision="2", source="x")
    running.worker("literature", "2", bits=2.2)
    outcome = running.end("r")
    assert outcome.state == "failed"
    assert "worse than revision 1" in outcome.text
    assert running.shares("literature") == {"1": 1.0}


def test_one_that_was_refused_is_looked_at_again_when_asked(running: Installation) -> None:
    running.order("r", verb="replace", specialist="literature", revision="2", source="x")
    running.worker("literature", "2", bits=2.2)
    assert running.end("r").state == "failed"
    running.worker("literature", "2", bits=1.9)  # which says that it begins, and is told what was decided
    until(lambda: running.state("literature", "2") == "refused" and running.registry.alive("literature", "2"))
    running.order("again", verb="replace", specialist="literature", revision="2", source="x")
    until(lambda: (running.shares("literature") or {}).get("2") == 0.05)


def test_so_is_a_generalist_though_nobody_is_there_to_beat(running: Installation) -> None:
    running.order("r", verb="replace", specialist="generalist", revision="2", source="x")
    running.worker("generalist", "2", bits=2.7)
    outcome = running.end("r")
    assert outcome.state == "failed"
    assert "worse than revision 1" in outcome.text


def test_a_later_order_waits_for_an_earlier_one(running: Installation) -> None:
    running.order("r2", verb="replace", specialist="literature", revision="2", source="x")
    running.order("r3", verb="replace", specialist="literature", revision="3", source="y")
    outcome = running.end("r3")
    assert outcome.state == "failed"
    assert "literature/2 is on its way" in outcome.text
    running.order("back", verb="rollback", specialist="literature")
    assert running.end("back").state == "done"
    assert running.end("r2").state == "failed"
    until(lambda: ("literature", "2") not in running.registry.wanted)
    running.order("again", verb="replace", specialist="literature", revision="3", source="y")
    running.worker("literature", "3", bits=1.9)
    until(lambda: running.shares("literature") == {"3": 0.05, "1": 0.95})
    running.order("x", verb="remove", specialist="literature")
    assert running.end("again") == Outcome(text="literature is removed", state="failed")
    assert running.end("x") == Outcome(text="literature is gone", state="done")


def test_by_hand_it_goes_back_in_the_middle_and_after_the_end(running: Installation) -> None:
    running.order("r", verb="replace", specialist="literature", revision="2", source="x")
    running.worker("literature", "2", bits=1.9)
    until(lambda: (running.shares("literature") or {}).get("2") == 0.05)
    running.order("back", verb="rollback", specialist="literature", actor="花子")
    assert "花子 asked for it" in running.end("r").text
    assert running.end("back").state == "done"
    until(lambda: running.shares("literature") == {"1": 1.0})
    until(lambda: not running.registry.alive("literature", "2"))
    running.order("again", verb="replace", specialist="literature", revision="2", source="x")
    running.worker("literature", "2", bits=1.9)
    until(lambda: running.goes_well("again"))
    assert running.end("again").state == "done"
    until(lambda: running.state("literature", "1") == "gone")
    running.order("hand", verb="rollback", specialist="literature")
    until(lambda: running.registry.wanted.get(("literature", "1")) is not None)
    running.worker("literature", "1")
    assert running.end("hand").state == "done"
    until(lambda: running.shares("literature") == {"1": 1.0})


@pytest.mark.parametrize("state", ["loading", "checking"])
def test_by_hand_one_that_was_not_let_in_yet_is_called_off(running: Installation, state: State) -> None:
    running.order("r", verb="replace", specialist="literature", revision="2", source="x")
    worker = running.worker("literature", "2", announce=False)
    worker.stop()  # nothing can be found out about it
    until(lambda: not running.registry.alive("literature", "2"))
    worker.announce(state)
    until(lambda: running.state("literature", "2") == state)
    running.order("back", verb="rollback", specialist="literature", actor="花子")
    assert running.end("back") == Outcome(text="literature stays at 1: 2 is called off", state="done")
    outcome = running.end("r")
    assert outcome.state == "failed"
    assert "花子 asked for it" in outcome.text
    until(lambda: running.state("literature", "2") == "refused")
    running.worker("literature", "2", bits=1.9)  # says that it begins, and is told what was decided
    until(lambda: running.state("literature", "2") == "refused" and running.registry.alive("literature", "2"))
    assert ("literature", "2") not in running.registry.wanted
    assert running.shares("literature") == {"1": 1.0}


def test_so_is_one_that_is_to_be_added(running: Installation) -> None:
    running.order("a", verb="add", specialist="law", revision="1", source="x")
    until(lambda: ("law", "1") in running.registry.wanted)
    running.order("back", verb="rollback", specialist="law")
    assert running.end("back") == Outcome(text="law does not answer: 1 is called off", state="done")
    assert running.end("a").state == "failed"
    until(lambda: ("law", "1") not in running.registry.wanted)


def test_one_that_was_never_let_in_is_nothing_to_go_back_to(running: Installation) -> None:
    running.worker("literature", "2", announce=False).announce("loading")
    until(lambda: running.state("literature", "2") == "loading")
    running.order("d", verb="drain", specialist="literature")
    assert running.end("d").state == "done"
    until(lambda: running.state("literature", "2") == "refused")
    running.order("back", verb="rollback", specialist="literature")
    until(lambda: running.registry.wanted.get(("literature", "1")))
    assert ("literature", "2") not in running.registry.wanted


def test_what_an_order_leaves_out_is_as_it_was(running: Installation) -> None:
    was = Wanted(
        specialist="literature",
        revision="1",
        source="x",
        workers=3,
        engine={"kind": "mock"},
        title="文学",
        texts=str(running.texts),
        has_gate=False,
    )
    running.registry.put_wanted(was)
    running.order("r", verb="replace", specialist="literature", revision="2", source="y", title="文藝")
    until(lambda: ("literature", "2") in running.registry.wanted)
    found = running.registry.wanted["literature", "2"]
    changed = {"revision": "2", "source": "y", "title": "文藝", "has_gate": True}  # which is never left out
    assert found == msgspec.structs.replace(was, **changed)


@pytest.mark.parametrize("is_drained", [False, True])
def test_what_is_brought_back_has_as_many_workers(running: Installation, is_drained: bool) -> None:
    four = Wanted(specialist="literature", revision="1", source="x", workers=4)
    running.registry.put_wanted(four)
    if is_drained:
        running.order("d", verb="drain", specialist="literature")
        assert running.end("d").state == "done"
    else:
        running.order("r", verb="replace", specialist="literature", revision="2", source="x", workers=5)
        running.worker("literature", "2", bits=1.9)
        until(lambda: running.goes_well("r"))
    until(lambda: running.state("literature", "1") == "gone")
    assert running.registry.wanted["literature", "1"] == msgspec.structs.replace(four, workers=0, had=4)
    running.order("back", verb="rollback", specialist="literature")
    until(lambda: running.registry.wanted["literature", "1"].workers == (4 if is_drained else 5))


def test_a_specialist_can_be_removed_and_its_requests_go_to_the_generalist(running: Installation) -> None:
    running.order("x", verb="remove", specialist="literature")
    assert running.end("x").state == "done"
    until(lambda: running.shares("literature") is None)
    until(lambda: running.state("literature") is None)
    assert not running.registry.alive("literature", "1")


@pytest.mark.parametrize("times", [1, 2])
def test_one_whose_workers_are_dead_is_drained_too(running: Installation, times: int) -> None:
    running.workers[1].stop()
    until(lambda: not running.registry.alive("literature", "1"))
    for time in range(times):  # the second time there is nothing left to do
        running.order(f"d{time}", verb="drain", specialist="literature")
        assert running.end(f"d{time}") == Outcome(text="literature is gone", state="done")
    until(lambda: running.state("literature", "1") == "gone")
    assert running.shares("literature") == {}


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (
            {"verb": "add", "specialist": "literature", "revision": "9"},
            "there is a specialist literature already",
        ),
        ({"verb": "replace", "specialist": "law", "revision": "9"}, "there is no specialist law"),
        ({"verb": "replace", "specialist": "literature", "revision": "1"}, "at revision 1 already"),
        ({"verb": "rollback", "specialist": "literature"}, "no revision before this one"),
        ({"verb": "remove", "specialist": "law"}, "there is no specialist law"),
        ({"verb": "remove", "specialist": "generalist"}, "is the generalist"),
    ],
)
def test_orders_that_can_not_be_followed_are_told_so(
    running: Installation, order: dict[str, object], says: str
) -> None:
    running.order("o", **order)
    outcome = running.end("o")
    assert outcome.state == "failed"
    assert says in outcome.text


def follow_up(house: Installation) -> Controller:
    """Another controller, after the one that there was has ended."""
    second = house.controller("second")
    assert not second.is_leading
    house.controllers.append(second)
    house.controllers[0].close()
    until(lambda: second.is_leading)
    until(lambda: house.registry.holder(CONTROLLER) == "second")  # it has a view of its own
    return second


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_another_controller_goes_on_where_one_has_ended(running: Installation, share: float) -> None:
    old = Wanted(specialist="literature", revision="1", source="x")
    running.registry.put_wanted(old)
    running.order("r", verb="replace", specialist="literature", revision="2", source="x")
    running.worker("literature", "2", bits=1.9)
    until(lambda: (running.shares("literature") or {}).get("2") == 0.05)
    for _ in range(3 if share == 1.0 else 0):
        before = running.shares("literature")
        running.good("2")
        until(lambda before=before: running.shares("literature") != before)
    assert (running.shares("literature") or {})["2"] == share
    running.workers[1].announce("loading")  # an old worker that begins again is no newer revision
    follow_up(running)

    def has_ended() -> bool:
        running.good("2")
        return running.state("literature", "1") == "gone"

    until(has_ended)
    assert running.shares("literature") == {"2": 1.0}


@pytest.mark.parametrize("is_good", [True, False])
def test_so_it_does_with_a_specialist_that_is_new(running: Installation, is_good: bool) -> None:
    running.order("a", verb="add", specialist="news", revision="1", source="x")
    running.worker("news", bits=1.9)
    until(lambda: running.shares("news") == {"1": 0.05})
    follow_up(running)
    seen = {"finished": 20} if is_good else {"finished": 20, "failed": 20}

    def has_ended() -> bool:
        running.report(Traffic(specialist="news", revision="1", **seen))  # type: ignore[arg-type]
        return running.shares("news") == ({"1": 1.0} if is_good else {})

    until(has_ended)


def test_who_waits_is_told_that_another_decides(running: Installation) -> None:
    joined = Joined(running.bus, running.topics, running.registry, "")
    steps = asked(joined, Order(verb="add", specialist="law", revision="1", source="x"))
    assert "its workers load" in next(steps).text
    follow_up(running)
    with pytest.raises(ResourceError, match="another process decides"):
        next(steps)


def test_an_order_that_comes_while_nobody_decides_is_for_whoever_is_next(running: Installation) -> None:
    running.controllers[0].close()
    until(lambda: running.registry.holder(CONTROLLER) is None)
    bus = running.open_bus()
    registry = Unled(bus, running.topics)
    running.registries.append(registry)
    running.controllers.append(
        Controller(bus, running.topics, registry, running.config, holder="second", ttl_s=1.0)
    )
    until(lambda: registry.asked)
    running.order("d", verb="drain", specialist="literature")
    asked_before = registry.asked
    until(lambda: registry.asked > asked_before + 1)
    registry.is_down = False
    assert running.end("d").state == "done"


def test_one_that_only_fails_lets_another_decide(running: Installation) -> None:
    running.controllers[0].close()
    for holder in ("broken", "second"):
        bus = Broken(running.open_bus()) if holder == "broken" else running.open_bus()
        registry = Registry(bus, running.topics)
        running.registries.append(registry)
        running.controllers.append(
            Controller(bus, running.topics, registry, running.config, holder=holder, ttl_s=1.0)
        )
        until(lambda: running.registry.holder(CONTROLLER) == "broken")
    running.order("d", verb="drain", specialist="literature")
    until(lambda: running.registry.holder(CONTROLLER) == "second")
    until(lambda: running.state("literature") == "gone")


def test_what_can_not_be_said_now_is_said_later(running: Installation) -> None:
    running.controllers[0].close()
    bus = Mute(running.open_bus())
    registry = Registry(running.open_bus(), running.topics)
    running.registries.append(registry)
    second = Controller(bus, running.topics, registry, running.config, holder="second", ttl_s=1.0)  # type: ignore[arg-type]
    running.controllers.append(second)
    until(lambda: second.is_leading)
    bus.is_mute = True
    running.order("x", verb="remove", specialist="literature")
    until(lambda: running.shares("literature") is None)
    until(lambda: bus.kept > 3)
    assert "x" not in running.outcomes
    bus.is_mute = False
    assert running.end("x").state == "done"
    assert not running.registry.alive("literature", "1"), "and its workers were told"


def test_an_order_that_is_not_stored_is_told(running: Installation) -> None:
    bus = Mute(running.open_bus())
    joined = Joined(bus, running.topics, running.registry, "")  # type: ignore[arg-type]
    bus.forgets = True
    with pytest.raises(BusDown, match="did not take the order: the disk is full"):
        next(asked(joined, Order(verb="drain", specialist="literature")))


def test_a_worker_that_begins_again_keeps_what_was_decided(running: Installation) -> None:
    until(lambda: running.state("literature") == "ready")
    running.workers[1].announce("loading")
    until(lambda: running.state("literature") == "ready")
    assert running.registry.descriptors["literature", "1"].domain_bpb is not None
    assert running.shares("literature") == {"1": 1.0}


def test_a_worker_with_other_weights_under_the_same_revision_changes_nothing(running: Installation) -> None:
    until(lambda: running.state("literature") == "ready")
    wrong = running.worker("literature", announce=False)
    wrong.descriptor = msgspec.structs.replace(wrong.descriptor, model_sha256="other weights", context=77)
    wrong.announce("checking")
    until(lambda: running.state("literature") == "ready")
    assert running.registry.descriptors["literature", "1"].context == 1024


def test_after_an_empty_restart_of_the_broker_everything_is_as_it_was(
    running: Installation, memory_broker: MemoryBroker
) -> None:
    until(lambda: running.state("literature") == "ready")
    memory_broker.restart(empty=True)
    later = Registry(running.open_bus(), running.topics)
    until(lambda: later.route("kana") and later.descriptors.get(("literature", "1")))
    route = later.route("kana")
    assert route is not None
    assert route.shares == {"generalist": {"1": 1.0}, "literature": {"1": 1.0}}
    until(lambda: later.holder(CONTROLLER))
    later.close()
