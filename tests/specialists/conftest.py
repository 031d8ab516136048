"""Brokers for the tests of specialists: one of each kind a session, and names of one's own for each test."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from buses import OpenBus
from tsuzuri.specialists.bus.base import Bus
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.memory import MemoryBroker
from tsuzuri.specialists.bus.opening import open_bus as opened
from tsuzuri.specialists.up.apache import start_apache
from tsuzuri.specialists.up.brokers import Broker, start_embedded

_NUMBERS = itertools.count()

KAFKA_CLASSES = {"kafka-storage.sh": "kafka.tools.StorageTool", "kafka-server-start.sh": "kafka.Kafka"}
JAVA = "exec java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"


@pytest.fixture
def memory_broker() -> Iterator[MemoryBroker]:
    """A broker within this process; what reaches it is closed at the end."""
    broker = MemoryBroker()
    yield broker
    for bus in list(broker.buses):
        bus.close(flush_s=0)


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The embedded broker; who kills it starts one of their own."""
    broker = start_embedded(tmp_path_factory.mktemp("embedded"))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def kafka_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distribution of Apache Kafka, put together from the jars beside the checkout."""
    shared = Path(__file__).parents[3] / "shared" / "kafka"
    if not (shared / "libs").is_dir():
        pytest.skip("../shared/kafka is absent")
    if shutil.which("java") is None:
        pytest.skip("Java is absent")
    home = tmp_path_factory.mktemp("kafka")
    (home / "bin").mkdir()
    for name, entry in KAFKA_CLASSES.items():
        script = home / "bin" / name
        log = f"-Dlog4j2.configurationFile={shared / 'log4j2.properties'}"
        script.write_text(f'#!/bin/sh\n{JAVA} {log} -cp "{shared}/libs/*" {entry} "$@"\n')
        script.chmod(0o755)
    return home


@pytest.fixture(scope="session")
def apache_broker(kafka_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A node of Apache Kafka; who kills it starts one of their own."""
    broker = start_apache(kafka_home, tmp_path_factory.mktemp("apache"))
    yield broker
    broker.stop()


@pytest.fixture
def prefix() -> str:
    """Of the topics of one test."""
    return f"test-{os.getpid()}-{next(_NUMBERS)}"


SLOW, LARGE = pytest.mark.slow, pytest.mark.large


@pytest.fixture(
    params=["memory", "embedded", pytest.param("apache", marks=SLOW), pytest.param("share", marks=LARGE)]
)
def broker_kind(request: pytest.FixtureRequest) -> str:
    """Every kind of broker in turn; `share` is Apache Kafka with share groups."""
    kind: str = request.param
    return kind


@pytest.fixture
def open_bus(request: pytest.FixtureRequest, broker_kind: str, prefix: str) -> Iterator[OpenBus]:
    """Opens buses to a broker, and closes them."""
    buses: list[Bus] = []

    def open_one() -> Bus:
        if broker_kind == "memory":
            bus: Bus = request.getfixturevalue("memory_broker").bus(BusConfig(prefix=prefix))
        else:
            is_shared = broker_kind == "share"
            name = "apache_broker" if is_shared else f"{broker_kind}_broker"
            broker: Broker = request.getfixturevalue(name)
            backend: Literal["group", "share"] = "share" if is_shared else "group"
            config = BusConfig(bootstrap=broker.address, prefix=prefix, backend=backend)
            bus = opened(config)
        buses.append(bus)
        return bus

    yield open_one
    for bus in buses:
        bus.close(flush_s=0)
