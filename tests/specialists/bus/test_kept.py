"""Apache Kafka is killed and comes back with its records: what was stored is there, once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from buses import PATIENCE_S, until
from tsuzuri.specialists.bus.base import Bus, BusFull, Record, TopicSpec
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.up.apache import start_apache


class Load:
    """Records, sent without a pause, and whether each was stored."""

    def __init__(self, bus: Bus, topic: str) -> None:
        self.stored: set[bytes] = set()
        self.failed: list[BaseException] = []
        self._bus, self._topic = bus, topic
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._ended.wait(0.002):
            value = b"%d" % number
            try:
                self._bus.send(Record(self._topic, value, key=value), self._told)
                number += 1
            except BusFull:
                continue

    def _told(self, record: Record, error: BaseException | None) -> None:
        if error is None:
            self.stored.add(record.value or b"")
        else:
            self.failed.append(error)

    def end(self) -> None:
        """Send no more, and wait until all is stored."""
        self._ended.set()
        self._thread.join()
        assert self._bus.flush(PATIENCE_S)


def check(bus: Bus, topic: str, load: Load) -> None:
    """Everything that was stored is there, and nothing twice; a group is given all of it."""
    seen: list[bytes | None] = []
    following = bus.follow(topic, lambda records: seen.extend(r.value for r in records), begin="beginning")
    assert following.wait(PATIENCE_S)
    assert max(Counter(seen).values()) == 1
    assert load.stored <= set(seen)
    assert not load.failed
    queue = bus.queue([topic], "afterwards", capacity=100)
    given: set[bytes | None] = set()
    deadline = time.monotonic() + PATIENCE_S
    while not load.stored <= given:
        assert time.monotonic() < deadline
        if work := queue.take(1.0):
            given.add(work.record.value)
            queue.ack(work)


@pytest.mark.large
def test_a_broker_that_is_killed_under_load_loses_nothing(kafka_home: Path, tmp_path: Path) -> None:
    broker = start_apache(kafka_home, tmp_path)
    bus = open_bus(BusConfig(bootstrap=broker.address, delivery_s=60))
    bus.ensure([TopicSpec("t", partitions=4)])
    lost: list[str] = []
    bus.on_lost(lost.append)
    load = Load(bus, "t")
    until(lambda: len(load.stored) > 200)
    os.kill(broker.pid, signal.SIGKILL)
    until(lambda: broker.restarts == 1)
    before = len(load.stored)
    until(lambda: len(load.stored) > before + 200)
    load.end()
    check(bus, "t", load)
    assert not lost
    bus.close()
    broker.stop()


@pytest.fixture
def cluster(kafka_home: Path, tmp_path: Path) -> Iterator[tuple[str, Path, Path]]:
    """(addresses, the command, its folder) of three nodes: replication 3, min.insync.replicas 2."""
    command, folder = Path(__file__).parents[4] / "shared" / "kafka" / "broker", tmp_path / "cluster"
    started = subprocess.run(
        [command, "start", folder, "--nodes", "3"], capture_output=True, text=True, check=True
    )
    yield started.stdout.strip(), command, folder
    subprocess.run([command, "stop", folder, "--kill"], check=True)


@pytest.mark.large
def test_one_of_three_brokers_killed_under_load_and_brought_back_loses_nothing(
    cluster: tuple[str, Path, Path],
) -> None:
    addresses, command, folder = cluster
    bus = open_bus(BusConfig(bootstrap=addresses, delivery_s=60))
    bus.ensure([TopicSpec("t", partitions=6)])
    load = Load(bus, "t")
    until(lambda: len(load.stored) > 200)
    subprocess.run([command, "stop", folder, "--node", "2", "--kill"], check=True)
    before = len(load.stored)
    until(lambda: len(load.stored) > before + 500)
    subprocess.run([command, "restart", folder, "--node", "2"], check=True)
    before = len(load.stored)
    until(lambda: len(load.stored) > before + 500)
    load.end()
    check(bus, "t", load)
    bus.close()
