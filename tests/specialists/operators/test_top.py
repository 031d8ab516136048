"""`specialists top` over a real broker: all that it shows came over the bus."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_workers import admit
from standins import record
from tsuzuri.cli import main
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.messages import Beat, Figures, Recent, Routed, now_ms
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.up.brokers import Broker

pytest.importorskip("confluent_kafka", reason="extra kafka")
EVERY_S = 0.2


@pytest.fixture
def config(embedded_broker: Broker, prefix: str, tmp_path: Path) -> Iterator[Path]:
    """A SPECIALISTS.yaml that names a broker over which a worker and a gateway speak."""
    topics = Topics(prefix)
    bus = open_bus(BusConfig(bootstrap=embedded_broker.address, prefix=prefix))
    bus.ensure((*topics.specs(), *topics.request_specs("law", "r1")))
    registry = Registry(bus, topics)
    admit(registry, "kana", {"law": {"r1": 1.0}}, generalist="law")
    assert registry.flush(60)
    is_over = threading.Event()

    def speak() -> None:
        recent = Recent(specialist="law", revision="r1", outcomes={"done": 9, "stalled": 1}, each=(10, 0))
        routed = Routed(at_ms=now_ms(), specialist="law", why="rule 0 is met", total_ms=20.0)
        while not is_over.wait(EVERY_S):
            beat = Beat(instance="w1", specialist="law", revision="r1", at_ms=now_ms(), every_ms=60_000)
            said = Figures(gateway="g1", at_ms=now_ms(), held=2, recent=(recent,), routed=(routed,))
            bus.send(record(topics.beats, beat, "w1"))
            bus.send(record(topics.beats, said, "g1"))

    thread = threading.Thread(target=speak)
    thread.start()
    path = tmp_path / "s.yaml"
    path.write_text(f"bus: {{bootstrap: '{embedded_broker.address}', prefix: {prefix}}}")
    yield path
    is_over.set()
    thread.join()
    registry.close()
    bus.close(flush_s=0)


def test_one_picture_ends_with_0(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["specialists", "top", "--once", f"--config={config}"]) == 0
    told = capsys.readouterr().out
    assert "kana · route · generalist law" in told
    assert "g1 · 2 held · 5/s" in told
    assert "law rule 0 is met" in told
    assert main(["specialists", "top", "--once", "--json", f"--config={config}"]) == 0
    seen = json.loads(capsys.readouterr().out)
    (law,) = seen["specialists"]
    assert (law["specialist"], law["state"], law["shares"], law["lag"]) == ("law", "ready", {"kana": 1.0}, 0)
    assert (len(law["workers"]), law["errors"], law["requests_per_s"]) == (1, 1, 5.0)
    assert seen["broker"]["is_reached"]


@pytest.mark.parametrize("every", ["0", "-1", "soon", "inf"])
def test_a_time_that_is_none_is_refused(every: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["specialists", "top", f"--every={every}"])
    assert "is no number of seconds above 0" in capsys.readouterr().err
