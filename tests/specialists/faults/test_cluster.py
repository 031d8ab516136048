"""Three nodes of Apache Kafka, of which one after the other is killed and comes back, under workers, a
gateway and clients: nobody notices."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from buses import until
from specialists.faults.house import RealHouse

pytestmark = [pytest.mark.large, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class Cluster:
    """Three nodes: replication 3, min.insync.replicas 2."""

    address: str
    command: Path
    folder: Path

    def order(self, *words: str) -> None:
        """To the nodes."""
        command = [str(self.command), words[0], str(self.folder), *words[1:]]
        subprocess.run(command, check=True, capture_output=True)

    def stop(self) -> None:
        """End all of it."""
        subprocess.run([self.command, "stop", self.folder, "--kill"], check=False, capture_output=True)


@pytest.fixture
def cluster(kafka_home: Path, tmp_path: Path) -> Iterator[Cluster]:
    command, folder = Path(__file__).parents[4] / "shared" / "kafka" / "broker", tmp_path / "cluster"
    start = [str(command), "start", str(folder), "--nodes", "3"]
    started = subprocess.run(start, capture_output=True, text=True, check=True)
    made = Cluster(started.stdout.strip(), command, folder)
    yield made
    made.stop()


def test_each_of_three_brokers_may_be_killed_under_load_and_come_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    house = RealHouse(tmp_path, cluster, workers={"general": 2})  # type: ignore[arg-type]
    try:
        house.wait()
        with house.clients.load(rate=4, seed=3) as asked:

            def more(count: int) -> None:
                done = sum(one.how == "done" for one in asked)
                until(lambda: sum(one.how == "done" for one in asked) >= done + count, patience_s=180)

            more(10)
            for node in ("1", "2", "3"):
                with house.fault("kill broker", node):
                    cluster.order("stop", "--node", node, "--kill")
                    more(20)
                    cluster.order("restart", "--node", node)
                    more(20)
        assert not house.judge()
        ends = Counter(one.how for one in asked)
        assert set(ends) <= {"done", "cancelled"}, ends
    finally:
        house.close()
