"""Brokers for the tests of specialists: one of each kind a session, and names of one's own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from buses import OpenBus
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.memory import MemoryBroker

_NUMBERS = itertools.count()


@pytest.fixture
def memory_broker() -> Iterator[MemoryBroker]:
    """A broker within this process; what reaches it is closed at the end."""
    broker = MemoryBroker()
    yield broker
    for bus in list(broker.buses):
        bus.close(flush_s=0)


@pytest.fixture
def prefix() -> str:
    """Of the topics of one test."""
    return f"test-{next(_NUMBERS)}"


@pytest.fixture(params=["memory"])
def open_bus(request: pytest.FixtureRequest, memory_broker: MemoryBroker, prefix: str) -> OpenBus:
    """Opens buses to a broker; every kind of broker in turn."""
    return lambda: memory_broker.bus(BusConfig(prefix=prefix))
