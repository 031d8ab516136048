"""Three nodes of Apache Kafka, of which one after the other is killed and comes back, under workers, a
gateway and clients: nobody notices."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from buses import until
from specialists.faults.house import RealHouse

pytestmark = [pytest.mark.large, pytest.mark.timeout(1800)]
TRIES = 4
PATIENT = {
    "broker.session.timeout.ms": "20000",
    "controller.quorum.fetch.timeout.ms": "10000",
    "controller.quorum.election.timeout.ms": "5000",
}
"""So that a node of a busy machine does not count as dead."""


@dataclass(frozen=True)
class Cluster:
    """Three nodes: replication 3, min.insync.replicas 2."""

    address: str
    command: Path
    folder: Path

    def order(self, *words: str) -> str:
        """To the nodes; what the command prints."""
        return subprocess.run(
            [str(self.command), words[0], str(self.folder), *words[1:]],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def bring_back(self, *words: str) -> str:
        """Start what does not run, and wait until it answers, longer than the command does; the addresses."""
        for _ in range(TRIES):
            with suppress(subprocess.CalledProcessError):
                return self.order("restart", *words)
        return self.order("restart", *words)

    def stop(self) -> None:
        """End all of it; again, nothing."""
        with suppress(subprocess.CalledProcessError):
            self.order("stop", "--kill")


@pytest.fixture
def cluster(kafka_home: Path, tmp_path: Path) -> Iterator[Cluster]:
    command, folder = Path(__file__).parents[4] / "shared" / "kafka" / "broker", tmp_path / "cluster"
    made = Cluster("", command, folder)
    try:
        with suppress(subprocess.CalledProcessError):  # on a busy machine they come up later
            made.order("start", "--nodes", "3", *(f"--set={name}={value}" for name, value in PATIENT.items()))
        yield replace(made, address=made.bring_back())
    finally:
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
                    cluster.bring_back("--node", node)
                    more(20)
        assert not house.judge()
        ends = Counter(one.how for one in asked)
        assert set(ends) <= {"done", "cancelled"}, ends
    finally:
        house.close()
