"""A broker that comes back without its records: every bus goes on, with the topics as they were declared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from buses import PATIENCE_S, store, take, until
from tsuzuri.specialists.bus.base import Bus, BusDown, Record, TopicSpec
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.kafka import KafkaBus
from tsuzuri.specialists.bus.memory import MemoryBroker
from tsuzuri.specialists.bus.opening import open_bus as opened
from tsuzuri.specialists.dead_letters import list_letters
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.up.brokers import start_embedded

Losing = tuple[Callable[[], Bus], Callable[[], None]]
"""Open a bus; let the broker lose everything."""


@pytest.fixture(params=["memory", "embedded"])
def losing(request: pytest.FixtureRequest, memory_broker: MemoryBroker, tmp_path: Path) -> Iterator[Losing]:
    """A broker of one's own that may die."""
    if request.param == "memory":
        yield memory_broker.bus, memory_broker.restart
        return
    broker = start_embedded(tmp_path)
    buses: list[Bus] = []

    def open_one() -> Bus:
        buses.append(opened(BusConfig(bootstrap=broker.address, delivery_s=3)))
        return buses[-1]

    yield open_one, lambda: os.kill(broker.pid, signal.SIGKILL)
    for bus in buses:
        bus.close(flush_s=0)
    broker.stop()


def test_every_bus_goes_on_with_the_topics_that_it_declared(losing: Losing) -> None:
    open_one, lose = losing
    gateway, worker = open_one(), open_one()
    topics = Topics()
    specs = [*topics.specs(gateways=3), *topics.request_specs("novel", "r1", partitions=2)]
    for bus in (gateway, worker):
        bus.ensure(specs)
    name, replies = topics.requests("novel", "r1", "interactive"), topics.replies
    queue = worker.queue([name], "g", capacity=4)
    seen: list[Record] = []
    gateway.follow(replies, seen.extend, partitions=[1])
    before, told = gateway.identity(), list[tuple[str, str]]()
    gateway.on_lost(lambda identity: told.append(("gateway", identity)))
    worker.on_lost(lambda identity: told.append(("worker", identity)))
    store(gateway, [Record(name, b"1"), Record(name, b"2")])
    queue.ack(take(queue))
    held = take(queue)

    lose()
    until(lambda: {who for who, _ in told} == {"gateway", "worker"})
    assert {identity for _, identity in told} == {gateway.identity()} == {worker.identity()} != {before}
    there = gateway.topics()
    assert {spec.name: there.get(spec.name) for spec in specs} == {
        spec.name: spec.partitions for spec in specs
    }
    gateway.ensure(specs)  # compacted where they were

    queue.ack(held)  # of a broker that is gone: it says nothing
    store(gateway, [Record(name, b"3")])
    again = take(queue)
    assert (again.record.value, again.record.offset) == (b"3", 0)
    store(worker, [Record(replies, b"answer", partition=1)])
    until(lambda: seen)
    assert [(record.value, record.offset) for record in seen] == [(b"answer", 0)]
    queue.ack(again)
    assert queue.take(0.3) is None


def test_what_is_forgotten_or_removed_is_not_made_again(losing: Losing) -> None:
    open_one, lose = losing
    gateway, controller = open_one(), open_one()
    gateway.ensure([TopicSpec("kept"), TopicSpec("forgotten"), TopicSpec("removed")])
    controller.ensure([TopicSpec("removed")])
    gateway.forget(["forgotten", "removed", "never"])
    controller.remove(["removed"])
    lost: list[str] = []
    gateway.on_lost(lost.append)
    lose()
    until(lambda: lost)
    assert {"kept", "forgotten", "removed"} & set(gateway.topics()) == {"kept"}


def test_a_broker_that_dies_again_and_again_comes_back(tmp_path: Path) -> None:
    broker = start_embedded(tmp_path)
    bus = opened(BusConfig(bootstrap=broker.address, delivery_s=3))
    identities = {bus.identity()}
    bus.ensure([TopicSpec("t")])
    bus.on_lost(identities.add)
    for count in (2, 3, 4):
        os.kill(broker.pid, signal.SIGKILL)
        until(lambda count=count: len(identities) == count)
        store(bus, [Record("t", b"x")])
    assert broker.alive
    assert broker.restarts == 3
    bus.close()
    broker.stop()
    assert not broker.alive


def test_what_is_too_large_for_a_dead_letter_is_put_aside_in_part(tmp_path: Path) -> None:
    broker = start_embedded(tmp_path)
    bus, huge = (
        opened(BusConfig(bootstrap=broker.address, record_bytes=most)) for most in (1_000_000, 4_000_000)
    )
    bus.ensure([*Topics().specs(), TopicSpec("t")])
    queue = bus.queue(["t"], "g", capacity=1)
    store(huge, [Record("t", b"x" * 2_000_000), Record("t", b"next")])
    queue.reject(take(queue), reason="body", message="no message")
    queue.ack(take(queue))
    until(lambda: list_letters(bus, Topics().dead_letters))
    (letter,) = list_letters(bus, Topics().dead_letters)
    assert letter.record.value == b"x" * 65_536
    assert letter.message == "the first 65,536 of 2,000,000 bytes: no message"
    for one in (bus, huge):
        one.close()
    broker.stop()


def test_a_producer_that_the_broker_disowns_is_made_anew(tmp_path: Path) -> None:
    broker = start_embedded(tmp_path)
    bus = KafkaBus(BusConfig(bootstrap=broker.address))
    bus.ensure([TopicSpec("t")])
    before = bus._sender._producer
    told: list[BaseException | None] = []
    fenced = KafkaError(KafkaError.PRODUCER_FENCED)
    bus._sender._delivered(Record("t", b"x"), lambda _, error: told.append(error), fenced, None)  # type: ignore[arg-type]
    assert isinstance(told[0], BusDown)
    until(lambda: bus._sender._producer is not before)
    store(bus, [Record("t", b"x")])
    bus.close()
    broker.stop()


def test_a_broker_that_is_away_fails_what_is_sent_and_then_takes_it_again(tmp_path: Path) -> None:
    broker = start_embedded(tmp_path / "first")
    bus = opened(BusConfig(bootstrap=broker.address, delivery_s=3, request_s=1))
    bus.ensure([TopicSpec("t")])
    lost: list[str] = []
    bus.on_lost(lost.append)
    broker.stop()
    errors: list[BaseException | None] = []
    bus.send(Record("t", b"x"), lambda _, error: errors.append(error))
    until(lambda: errors)
    assert isinstance(errors[0], BusDown)
    assert f"no broker answers at {broker.address}" in str(errors[0])
    with pytest.raises(BusDown, match="no broker answers"):
        bus.topics()
    again = start_embedded(tmp_path / "second", port=int(broker.address.rpartition(":")[2]))
    until(lambda: lost)
    store(bus, [Record("t", b"x")])
    queue = bus.queue(["t"], "g", capacity=1)
    queue.ack(take(queue))
    again.stop()
    bus.close(flush_s=0)  # it ends, though nobody can be told


def test_a_paused_broker_loses_nothing(tmp_path: Path) -> None:
    broker = start_embedded(tmp_path)
    bus = opened(BusConfig(bootstrap=broker.address))
    bus.ensure([TopicSpec("t")])
    queue = bus.queue(["t"], "g", capacity=1)
    store(bus, [Record("t", b"0")])
    queue.ack(take(queue))
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        stored: list[BaseException | None] = []
        for number in range(1, 4):
            bus.send(Record("t", b"%d" % number), lambda _, error: stored.append(error))
        time.sleep(2)
        assert not stored
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    until(lambda: stored == [None] * 3)
    seen = set()
    deadline = time.monotonic() + PATIENCE_S
    while seen < {b"1", b"2", b"3"}:
        assert time.monotonic() < deadline
        if work := queue.take(0.1):
            seen.add(work.record.value)
            queue.ack(work)
    bus.close()
    broker.stop()


def test_a_bus_ends_though_a_paused_broker_owes_it_an_answer(tmp_path: Path) -> None:
    broker = start_embedded(tmp_path)
    bus = opened(BusConfig(bootstrap=broker.address))
    bus.ensure([TopicSpec("t")])
    queue = bus.queue(["t"], "g", capacity=1)
    store(bus, [Record("t", b"0"), Record("t", b"1")])
    queue.ack(take(queue))
    until(lambda: not bus.lag("g", ["t"])["t"].records - 1)
    work = take(queue)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        queue.ack(work)
        ending = threading.Thread(target=bus.close, kwargs={"flush_s": 0}, daemon=True)
        ending.start()
        ending.join(PATIENCE_S)
        assert not ending.is_alive()
    finally:
        os.kill(broker.pid, signal.SIGCONT)
        broker.stop()


def test_a_broker_ends_with_whoever_started_it(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from tsuzuri.specialists.up.brokers import start_embedded\n"
        "print(start_embedded(pathlib.Path(sys.argv[1])).pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    left = int(done.stdout)
    until(lambda: not _runs(left))
    start_embedded(tmp_path).stop()  # the folder is free


def test_what_is_left_running_all_the_same_is_ended(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as left:
        started = Path(f"/proc/{left.pid}/stat").read_text().rpartition(")")[2].split()[19]
        (tmp_path / "broker.json").write_text(json.dumps({"pid": left.pid, "started": started}))
        broker = start_embedded(tmp_path)
        assert left.wait(PATIENCE_S) == -signal.SIGKILL
        broker.stop()


def _runs(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
