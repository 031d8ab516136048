"""The set-up of `deploy/kafka`, its own settings on three real nodes: who is let in, and who may do what."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

pytest.importorskip(
    "confluent_kafka", reason="confluent-kafka is not installed: pip install 'tsuzuri[kafka]'"
)
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.specialists.operators.permissions import grants, permit, permit_users
from tsuzuri.specialists.topics import Topics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "kafka"
LIBRARIES = ROOT.parent / "shared" / "kafka" / "libs"
TOPICS = Topics("test")


@dataclass(frozen=True)
class Cluster:
    """Three nodes that run."""

    bootstrap: str
    folder: Path
    nodes: list[subprocess.Popen[bytes]]

    def settings(self, user: str, password: str | None = None) -> dict[str, str | int | float | bool]:
        """How a client is let in."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.folder / "certificates" / "ca.pem"),
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": f"{user}-secret" if password is None else password,
            "log_level": 0,
        }

    def denial(self, user: str, topic: str) -> str | None:
        """What the cluster says to a user who writes to a topic; none where it is stored."""
        said: list[str | None] = []
        producer = Producer({**self.settings(user), "acks": "all", "message.timeout.ms": 60_000})
        producer.produce(
            topic, b"x", on_delivery=lambda error, _: said.append(error.name() if error else None)
        )
        assert producer.flush(90) == 0
        return said[0]


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens at now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def properties(environment: dict[str, object], folder: Path, ports: dict[tuple[str, str], int]) -> str:
    """A node's settings as the container makes them of its environment, with addresses of this machine."""
    lines = []
    for name, value in environment.items():
        if not name.startswith("KAFKA_") or name == "KAFKA_HEAP_OPTS":
            continue
        text = str(value).replace("CLIENTS://:", "CLIENTS://localhost:")  # of all addresses: of loopback's
        for (host, port), here in ports.items():
            text = text.replace(f"{host}:{port}", f"127.0.0.1:{here}")
        text = text.replace("/etc/kafka/secrets", str(folder / "secrets")).replace(
            "/var/lib/kafka/data", str(folder / "data")
        )
        lines.append(f"{name[6:].lower().replace('_', '.')}={text}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not LIBRARIES.is_dir():
        pytest.skip("../shared/kafka is absent")
    if not (shutil.which("java") and shutil.which("openssl")):
        pytest.skip("java or openssl is not installed")
    folder = tmp_path_factory.mktemp("cluster")
    command = ["sh", str(DEPLOY / "certificates.sh"), str(folder / "certificates"), "kafka.example.jp"]
    subprocess.run(command, check=True)
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    name, _, users = (DEPLOY / "passwords.example").read_text().splitlines()[-1].partition("=")
    inner = [(host, port) for host in services for port in ("9092", "9093")]
    outer = [("localhost", re.findall(r":(\d+)", services[host]["ports"][0])[0]) for host in services]
    ports = dict(zip([*inner, *outer], free_ports(9), strict=True))
    java = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{LIBRARIES}/*"]
    nodes = []
    try:
        for host, service in services.items():
            node = folder / host
            node.mkdir()
            shutil.copytree(folder / "certificates" / host, node / "secrets")
            file = node / "server.properties"
            text = properties({**service["environment"], name: users}, node, ports)
            file.write_text(text)
            format = ["kafka.tools.StorageTool", "format", "-t", service["environment"]["CLUSTER_ID"]]
            done = subprocess.run(
                [*java, *format, "-c", str(file)], capture_output=True, check=False, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
            with (node / "log").open("wb") as log:
                nodes.append(
                    subprocess.Popen([*java, "kafka.Kafka", str(file)], stdout=log, stderr=subprocess.STDOUT)
                )
        bootstrap = ",".join(f"127.0.0.1:{ports[place]}" for place in outer)
        started = Cluster(bootstrap, folder, nodes)
        wait_for_all(started)
        yield started
    finally:
        for process in nodes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def wait_for_all(cluster: Cluster) -> None:
    """Until the three know one another."""
    admin = AdminClient(cluster.settings("admin"))
    until = time.monotonic() + 120
    while True:
        assert time.monotonic() < until
        assert all(node.poll() is None for node in cluster.nodes), [
            path.read_text()[-3000:] for path in cluster.folder.glob("*/log")
        ]
        try:
            if len(admin.list_topics(timeout=5).brokers) == 3:
                return
        except KafkaException:
            time.sleep(0.2)


@pytest.mark.large
def test_the_set_up_of_three_nodes_lets_each_role_do_what_it_needs_and_no_more(cluster: Cluster) -> None:
    admin = AdminClient(cluster.settings("admin"))
    users = {"gateway": ["gateway"], "worker/literature": ["worker"], "operator": ["operator"]}
    assert permit(admin, users, TOPICS) > 30
    config = cluster.folder / "specialists.yaml"
    secret = {
        "security": {
            k: v for k, v in cluster.settings("admin").items() if "." in k and k != "bootstrap.servers"
        }
    }
    config.write_text(yaml.safe_dump({"bus": {"bootstrap": cluster.bootstrap, **secret}}))
    assert "rules stand for operator=operator" in permit_users(
        ["operator=operator"], config=config, kafka=cluster.bootstrap
    )
    secret["security"] |= {"sasl.username": "worker", "sasl.password": "worker-secret"}
    config.write_text(yaml.safe_dump({"bus": {"bootstrap": cluster.bootstrap, **secret}}))
    with pytest.raises(ResourceError, match="grants nothing"):
        permit_users(["worker=worker"], config=config, kafka=cluster.bootstrap)
    own, others = (TOPICS.requests(name, "1", "interactive") for name in ("literature", "news"))
    # any role makes topics of the installation, three copies of each; nobody makes others
    worker, gateway = (AdminClient(cluster.settings(user)) for user in ("worker", "gateway"))
    made = worker.create_topics(
        [NewTopic(name, 1) for name in (own, others, TOPICS.replies, TOPICS.routes, TOPICS.registry)]
    )
    for future in made.values():
        future.result(60)
    refused = gateway.create_topics([NewTopic("elsewhere", 1)])
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        refused["elsewhere"].result(60)
    told = admin.list_topics(own, timeout=60).topics[own].partitions[0]
    assert len(told.replicas) == 3
    for user, topic in (
        ("worker", TOPICS.replies),
        ("worker", TOPICS.registry),
        ("gateway", own),
        ("gateway", TOPICS.routes),
        ("operator", TOPICS.routes),
    ):
        assert cluster.denial(user, topic) is None, (user, topic)
    for user, topic in (("worker", TOPICS.routes), ("worker", others), ("gateway", TOPICS.replies)):
        assert cluster.denial(user, topic) == "TOPIC_AUTHORIZATION_FAILED", (user, topic)
    # one node dies: two have every record, and nothing stands still
    cluster.nodes[0].send_signal(signal.SIGKILL)
    assert cluster.denial("gateway", own) is None


@pytest.mark.large
def test_who_has_no_password_or_no_trust_is_not_let_in(cluster: Cluster) -> None:
    for changed in (
        {"sasl.password": "wrong"},
        {"security.protocol": "SASL_PLAINTEXT"},
        {"ssl.ca.location": "/etc/ssl/certs/ca-certificates.crt"},
    ):
        client = AdminClient({**cluster.settings("gateway"), **changed})
        with pytest.raises(KafkaException):
            client.list_topics(timeout=5)


def test_an_unknown_role_is_named_with_the_closest() -> None:
    with pytest.raises(InputError, match="worker"):
        permit(None, {"workers": ["x"]}, TOPICS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is no ROLE=USER"):
        permit_users(["worker"], kafka="127.0.0.1:9")
    with pytest.raises(InputError, match="no role 'gateway/x'"):
        permit(None, {"gateway/x": ["x"]}, TOPICS)  # type: ignore[arg-type]


def test_a_worker_of_one_specialist_reads_no_other_ones_requests() -> None:
    read = {grant.name for grant in grants("worker", TOPICS, specialist="news") if "read" in grant.operations}
    assert "test.req.news." in read
    assert "test.req." not in read
    assert TOPICS.replies not in read
    assert not any("delete" in grant.operations for grant in grants("worker", TOPICS))
