"""`specialists top` over a real broker: all that it shows came over the bus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_workers import admit
from tsuzuri.cli import main
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.up.brokers import Broker

pytest.importorskip("confluent_kafka", reason="extra kafka")


@pytest.fixture
def config(embedded_broker: Broker, prefix: str, tmp_path: Path) -> Iterator[Path]:
    """A SPECIALISTS.yaml that names a broker on which a gateway and a worker have spoken, and speak again
    once somebody listens."""
    bus_config = BusConfig(bootstrap=embedded_broker.address, prefix=prefix)
    topics = Topics(prefix)
    bus = open_bus(bus_config)
    bus.ensure((*topics.specs(), *topics.request_specs("law", "r1")))
    registry = Registry(bus, topics)
    admit(registry, "kana", {"law": {"r1": 1.0}}, generalist="law")
    assert registry.flush(60)
    path = tmp_path / "s.yaml"
    path.write_text(f"bus: {{bootstrap: '{embedded_broker.address}', prefix: {prefix}}}")
    yield path
    registry.close()
    bus.close(flush_s=0)


def test_one_picture_ends_with_0(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["specialists", "top", "--once", f"--config={config}"]) == 0
    told = capsys.readouterr().out
    assert "kana · route · generalist law" in told
    assert "law/r1" in told
    assert "none is heard" in told
    assert main(["specialists", "top", "--once", "--json", f"--config={config}"]) == 0
    (law,) = json.loads(capsys.readouterr().out)["specialists"]
    assert (law["specialist"], law["state"], law["shares"], law["lag"]) == ("law", "ready", {"kana": 1.0}, 0)


@pytest.mark.parametrize("every", ["0", "-1", "soon", "inf"])
def test_a_time_that_is_none_is_refused(every: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["specialists", "top", f"--every={every}"])
    assert "is no number of seconds above 0" in capsys.readouterr().err
