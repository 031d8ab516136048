"""Groups on the embedded broker: whoever comes and goes, the others go on, and nothing is lost."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from buses import PATIENCE_S, store, take, until
from members import MemberProcess
from tsuzuri.specialists.bus.base import Bus, Record, TopicSpec, Work, WorkQueue
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.kafka_words import KEPT, WORDS
from tsuzuri.specialists.bus.opening import open_bus as opened
from tsuzuri.specialists.up.brokers import Broker

PARTITIONS = 4
Opened = Callable[[], Bus]


@pytest.fixture
def reach(embedded_broker: Broker, prefix: str) -> Iterator[Opened]:
    """Opens buses to the embedded broker."""
    buses: list[Bus] = []

    def one() -> Bus:
        buses.append(opened(BusConfig(bootstrap=embedded_broker.address, prefix=prefix)))
        return buses[-1]

    yield one
    for bus in buses:
        bus.close(flush_s=0)


@pytest.fixture
def bus(reach: Opened) -> Bus:
    return reach()


@pytest.fixture
def topic(bus: Bus, prefix: str) -> str:
    name = f"{prefix}.t"
    bus.ensure([TopicSpec(name, partitions=PARTITIONS)])
    return name


class Start(Protocol):
    """Starts a member in a process of its own."""

    def __call__(self, *, each_s: float = 0.0) -> MemberProcess: ...


@pytest.fixture
def start(embedded_broker: Broker, prefix: str, topic: str, tmp_path: Path) -> Iterator[Start]:
    """Starts members; they are ended with the test."""
    members: list[MemberProcess] = []

    def one(*, each_s: float = 0.0) -> MemberProcess:
        file = tmp_path / f"done-{len(members)}"
        address = embedded_broker.address
        members.append(MemberProcess(address, prefix, topic, topic, file, each_s=each_s))
        return members[-1]

    yield one
    for member in members:
        member.kill()


def one_each(bus: Bus, topic: str, value: bytes = b"x") -> list[Record]:
    """A record in every partition."""
    return store(bus, [Record(topic, value, partition=number) for number in range(PARTITIONS)])


def has_all(bus: Bus, topic: str, queue: WorkQueue) -> bool:
    """Whether a member alone is given what is sent to each partition."""
    value = os.urandom(8).hex().encode()
    one_each(bus, topic, value)
    given = set()
    deadline = time.monotonic() + 2
    while len(given) < PARTITIONS and time.monotonic() < deadline:
        if work := queue.take(0.05):
            queue.ack(work)
            if work.record.value == value:
                given.add(work.record.partition)
    return len(given) == PARTITIONS


def drained(queue: WorkQueue) -> list[Work]:
    """What a member is given at once; acknowledged."""
    works = []
    while work := queue.take(0.3):
        queue.ack(work)
        works.append(work)
    return works


@pytest.mark.parametrize("is_settled", [True, False])
def test_where_one_goes_while_another_comes_that_one_gets_everything(
    reach: Opened, bus: Bus, topic: str, is_settled: bool
) -> None:
    first = bus.queue([topic], topic, capacity=PARTITIONS)
    until(lambda: has_all(bus, topic, first))
    second = reach().queue([topic], topic, capacity=PARTITIONS)
    if is_settled:
        until(lambda: one_each(bus, topic) and drained(first) and drained(second))
    first.close()
    until(lambda: has_all(bus, topic, second))
    third = bus.queue([topic], topic, capacity=PARTITIONS)
    second.close()
    until(lambda: has_all(bus, topic, third))


def test_what_is_out_is_worked_off_by_whoever_has_it_when_its_partition_moves(
    reach: Opened, bus: Bus, topic: str
) -> None:
    first = bus.queue([topic], topic, capacity=2 * PARTITIONS)
    one_each(bus, topic, b"old")
    out = [take(first) for _ in range(PARTITIONS)]
    second = reach().queue([topic], topic, capacity=2 * PARTITIONS)
    given: list[Work] = []
    until(lambda: one_each(bus, topic, b"new") and (given.extend(drained(second)) or given))
    given += drained(second)
    assert {work.record.value for work in given} == {b"new"}
    drained(first)
    for work in out:
        first.ack(work)
    until(lambda: not bus.lag(topic, [topic])[topic].records)
    first.close()
    until(lambda: has_all(bus, topic, second))
    assert not drained(second)


def test_who_drains_lets_others_have_the_rest_meanwhile(reach: Opened, bus: Bus, topic: str) -> None:
    first = bus.queue([topic], topic, capacity=1)
    one_each(bus, topic, b"old")
    out = take(first)
    leaving = threading.Thread(target=first.close, kwargs={"drain_s": PATIENCE_S})
    leaving.start()
    second = reach().queue([topic], topic, capacity=PARTITIONS)
    until(lambda: has_all(bus, topic, second))
    assert leaving.is_alive()
    assert bus.lag(topic, [topic])[topic].records >= 1
    first.ack(out)
    leaving.join()
    until(lambda: not bus.lag(topic, [topic])[topic].records)
    assert not drained(second)


def test_what_is_out_when_its_holder_dies_is_given_to_another(bus: Bus, topic: str, start: Start) -> None:
    one_each(bus, topic)
    first = bus.queue([topic], topic, capacity=2 * PARTITIONS)
    for work in [take(first) for _ in range(PARTITIONS)]:
        first.release(work)  # what it had is not worked off
    first.close()
    member = start(each_s=PATIENCE_S)
    until(lambda: member.is_working)
    queue = bus.queue([topic], topic, capacity=2 * PARTITIONS)
    member.kill()
    given = Counter(take(queue).record.partition for _ in range(PARTITIONS))
    assert given == dict.fromkeys(range(PARTITIONS), 1)
    queue.close()


def test_a_topic_that_is_removed_stays_with_its_positions_until_the_broker_begins_anew(
    reach: Opened, bus: Bus, topic: str
) -> None:
    one_each(bus, topic)
    queue = bus.queue([topic], topic, capacity=PARTITIONS)
    for work in [take(queue) for _ in range(PARTITIONS)]:
        queue.ack(work)
    queue.close()
    assert not bus.lag(topic, [topic])[topic].records
    other = reach()
    assert not other.lag(topic, [topic])[topic].records
    bus.remove([topic])
    bus.ensure([TopicSpec(topic, partitions=PARTITIONS)])
    assert not other.lag(topic, [topic])[topic].records
    one_each(bus, topic, b"again")
    assert bus.lag(topic, [topic])[topic].records == PARTITIONS
    queue = bus.queue([topic], topic, capacity=PARTITIONS)
    assert {take(queue).record.value for _ in range(PARTITIONS)} == {b"again"}
    queue.close()


def test_members_go_on_to_the_next_topic_of_words_together(reach: Opened, bus: Bus, topic: str) -> None:
    words = [f"{topic}.members.{number}" for number in (0, KEPT, KEPT + 1)]
    bus.ensure([TopicSpec(words[0]), TopicSpec(words[1])])
    store(bus, [Record(words[1], b"no word", key=b"x")] * (WORDS - 6))
    queues = [
        bus.queue([topic], topic, capacity=PARTITIONS),
        reach().queue([topic], topic, capacity=PARTITIONS),
    ]
    until(lambda: words[2] in bus.topics() and words[0] not in bus.topics())
    counts = [0, 0]

    def both() -> bool:
        one_each(bus, topic)
        for number, queue in enumerate(queues):
            counts[number] = len(drained(queue))
        return counts == [PARTITIONS // 2] * 2

    until(both)


class Storm:
    """Records without a pause, and members that come and go."""

    def __init__(self, bus: Bus, topic: str, start: Start) -> None:
        self._bus, self._topic, self._start = bus, topic, start
        self.sent: set[str] = set()
        self.members: list[MemberProcess] = []
        self._gone: list[MemberProcess] = []
        self._ended = threading.Event()
        self.changes = 0
        self.longest_s = 0.0
        """Without anything worked off."""
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._watch)]

    def join(self) -> None:
        """One more."""
        self.changes += 1
        self.members.append(self._start(each_s=0.005))

    @property
    def at_work(self) -> list[MemberProcess]:
        """Those that were given something; the others may still be starting."""
        return [member for member in self.members if member.is_working]

    def go(self, draw: random.Random) -> None:
        """One less: it leaves, or is killed, most likely while it says how far it is."""
        self.changes += 1
        member = draw.choice(self.at_work)
        self.members.remove(member)
        self._gone.append(member)
        if draw.random() < 0.5:
            member.leave()
        else:
            member.kill()

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> Counter[str]:
        """How often each record was worked off."""
        return Counter(line for member in [*self.members, *self._gone] for line in member.done)

    def end(self) -> None:
        """Send no more, wait until all is worked off; everybody leaves."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        assert self._bus.flush(PATIENCE_S)
        until(lambda: self.sent <= self.done.keys())
        until(lambda: not self._bus.lag(self._topic, [self._topic])[self._topic].records)
        for member in self.members:
            member.leave()
        for member in [*self.members, *self._gone]:
            member.wait()

    def _send(self) -> None:
        for number in itertools.count():
            if self._ended.wait(0.02):
                return
            self._bus.send(Record(self._topic, b"%d" % number, key=b"%d" % number), self._stored)

    def _stored(self, record: Record, error: BaseException | None) -> None:
        assert error is None, error
        self.sent.add((record.value or b"").decode())

    def _watch(self) -> None:
        before, since = 0, time.monotonic()
        while not self._ended.wait(0.1):
            now, count = time.monotonic(), self.done.total()
            self.longest_s = max(self.longest_s, now - since)
            if count > before:
                before, since = count, now


@pytest.mark.parametrize("changes", [4, pytest.param(30, marks=pytest.mark.large)])
def test_members_come_and_go_once_a_second_and_the_rest_goes_on(
    bus: Bus, topic: str, start: Start, changes: int, record_property: Callable[[str, object], None]
) -> None:
    storm, draw = Storm(bus, topic, start), random.Random(changes)
    for _ in range(2):
        storm.join()
    one_each(bus, topic, b"first")
    until(lambda: storm.done["first"] == PARTITIONS)
    storm.sent.add("first")
    storm.changes = 0
    storm.begin()
    while storm.changes < changes:
        time.sleep(1.0)
        if len(storm.at_work) < 2 or (len(storm.members) < 5 and draw.random() < 0.5):
            if len(storm.members) < 5:
                storm.join()
        else:
            storm.go(draw)
    storm.end()
    done = storm.done
    assert done.keys() == storm.sent
    twice = sum(count > 1 for record, count in done.items() if record != "first")
    for name, value in ("records", len(done)), ("twice", twice), ("longest pause, s", storm.longest_s):
        record_property(name, value)
    print(f"{len(done)} records, {twice} more than once, longest pause {storm.longest_s:.1f} s")


def test_who_stood_still_gives_up_what_another_has_by_now(bus: Bus, topic: str, start: Start) -> None:
    member = start()
    one_each(bus, topic, b"before")
    until(lambda: len(member.done) == PARTITIONS)
    os.kill(member.pid, signal.SIGSTOP)
    queue = bus.queue([topic], topic, capacity=PARTITIONS)
    until(lambda: has_all(bus, topic, queue))
    os.kill(member.pid, signal.SIGCONT)
    until(lambda: one_each(bus, topic, b"after") and drained(queue) and "after" in member.done)
    until(lambda: not bus.lag(topic, [topic])[topic].records)
    member.leave()
    member.wait()
