"""Questions of whoever decides, whose answers never come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from buses import until
from tsuzuri.specialists.bus.base import BusDown, Record
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.memory import MemoryBroker
from tsuzuri.specialists.control.asking import Asker
from tsuzuri.specialists.messages import Beat, Envelope, encode, now_ms
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics

KEY = ("law", "r1")


@pytest.mark.parametrize("end", ["lost", "stopped"])
def test_what_cannot_be_answered_any_more_is_not_waited_for(
    end: str, memory_broker: MemoryBroker, prefix: str
) -> None:
    bus, topics, closing = memory_broker.bus(BusConfig(prefix=prefix)), Topics(prefix), threading.Event()
    bus.ensure((*topics.specs(), *topics.request_specs(*KEY)))
    registry = Registry(bus, topics)
    beat = Beat(instance="idle", specialist="law", revision="r1", at_ms=now_ms(), every_ms=60_000)
    value, headers = encode(Envelope(beat, sent_ms=beat.at_ms))
    bus.send(Record(topics.beats, value, b"idle", tuple(headers)))  # it lives, and answers nobody
    until(lambda: registry.alive(*KEY))
    asker = Asker(bus, topics, registry, "controller", closing)
    ends: dict[str, Callable[[], object]] = {
        "lost": lambda: memory_broker.restart(empty=True),
        "stopped": closing.set,
    }
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(asker.score, KEY, ["朝"], 3600.0)
        until(lambda: bus.lag(topics.group(*KEY), topics.lanes(*KEY))[topics.requests(*KEY, "batch")].records)
        ends[end]()
        with pytest.raises(BusDown, match=end):
            asked.result(60)
    asker.close()
    registry.close()
    bus.close(flush_s=0)
