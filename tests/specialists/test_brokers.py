"""Brokers are started, watched and reached; what is wrong with one is one sentence, without secrets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from buses import store, take, until
from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, RecipeError, ResourceError, TsuzuriError
from tsuzuri.specialists.bus.base import BusDown, BusFull, Record, TopicSpec
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.up.apache import start_apache
from tsuzuri.specialists.up.brokers import Broker, start_embedded

PASSWORD = "correct-horse-battery"


def test_a_folder_is_one_brokers_alone(tmp_path: Path) -> None:
    broker = start_embedded(tmp_path)
    with pytest.raises(InputError, match="another broker runs with the folder"):
        start_embedded(tmp_path)
    assert broker.alive
    broker.stop()
    start_embedded(tmp_path).stop()


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ResourceError, match=f"something already listens on 127.0.0.1:{port}"):
            start_embedded(tmp_path, port=port)


def test_no_kafka_where_there_should_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no distribution of Apache Kafka") as refusal:
        start_apache(tmp_path, tmp_path / "data")
    assert "kafka.apache.org" in refusal.value.hint


def test_kafka_without_java_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("kafka-storage.sh", "kafka-server-start.sh"):
        (tmp_path / "bin" / name).touch()
    code = (
        "import sys, pathlib; from tsuzuri.specialists.up.apache import start_apache\n"
        "start_apache(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]) / 'data')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "Apache Kafka needs Java 17 or later, and there is no `java`" in done.stderr


def test_an_absent_broker_is_said_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = rf"^no broker answers at 127.0.0.1:{port}: nobody listens there \(Connection refused\)\n"
    with pytest.raises(BusDown, match=message) as refusal:  # long before ten minutes are over
        open_bus(BusConfig(bootstrap=f"127.0.0.1:{port}", request_s=600))
    assert "tsuzuri specialists up" in refusal.value.hint


def test_a_host_that_is_none_is_said() -> None:
    with pytest.raises(BusDown, match=r"no broker answers at .*: there is no host 'nowhere\.invalid'\n"):
        open_bus(BusConfig(bootstrap="nowhere.invalid:9092", request_s=600))


def test_what_is_no_broker_is_as_good_as_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(BusDown, match="somebody listens there and does not answer as a broker does"):
            open_bus(BusConfig(bootstrap=f"127.0.0.1:{port}", request_s=1))


def test_who_speaks_tls_to_one_who_does_not_is_told(embedded_broker: Broker) -> None:
    values = {"bootstrap": embedded_broker.address, "security": {"security.protocol": "SSL"}}
    with pytest.raises(BusDown, match="it is spoken to by TLS, and does not speak it"):
        open_bus(parse_config(BusConfig, values | {"request_s": 600}, where="bus"))


def test_who_speaks_no_tls_to_one_who_does_is_told(certificates: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "ca.pem", certificates / "ca.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                with contextlib.suppress(OSError), listener.accept()[0] as caller:
                    context.wrap_socket(caller, server_side=True).close()
                if listener.fileno() < 0:
                    return

        threading.Thread(target=greet, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(BusDown, match="it speaks TLS, and is spoken to without") as refusal:
            open_bus(BusConfig(bootstrap=address, request_s=600))
        assert "security.protocol" in refusal.value.hint
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("address", ["", "broker", "broker:", ":9092", "broker:0", "broker:99999", "a:1,b"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(RecipeError, match="is no host:port"):
        parse_config(BusConfig, {"bootstrap": address}, where="bus")


@pytest.mark.parametrize(
    "name", ["", "小説", "a b", "-a", "a/b", "a" * 65, "a.b", "a\n"], ids=lambda name: f"{name!r:.10}"
)
def test_a_name_that_cannot_be_part_of_a_topics_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="can't be the name of a specialist"):
        Topics().requests(name, "r1", "batch")
    if name != "a.b":
        with pytest.raises(InputError, match="can't be the name of a revision"):
            Topics().requests("novel", name, "batch")


def test_what_the_client_does_not_know_is_refused_without_secrets(embedded_broker: Broker) -> None:
    address = embedded_broker.address
    with pytest.raises(InputError, match=r"sasl\.pasword"):
        open_bus(BusConfig(bootstrap=address, security={"sasl.pasword": PASSWORD}))  # type: ignore[dict-item]
    security = {"security.protocol": "SASL_SSL", "ssl.ca.location": "/nowhere.pem", "sasl.password": PASSWORD}
    config = parse_config(BusConfig, {"bootstrap": address, "security": security}, where="bus")
    assert PASSWORD not in repr(config) + str(config.as_mapping())
    with pytest.raises(TsuzuriError) as refusal:
        open_bus(config)
    assert PASSWORD not in str(refusal.value)


def test_what_the_embedded_broker_has_not_is_refused(embedded_broker: Broker, prefix: str) -> None:
    values = {"bootstrap": embedded_broker.address, "prefix": prefix, "request_s": 5, "backend": "share"}
    bus = open_bus(parse_config(BusConfig, values, where="bus"))
    bus.ensure([TopicSpec(f"{prefix}.t")])
    with pytest.raises(InputError, match="KIP-932"):
        bus.queue([f"{prefix}.t"], "g", capacity=1)
    bus.close()


def test_a_bus_holds_no_more_than_it_may(tmp_path: Path) -> None:

    broker = start_embedded(tmp_path)
    bus = open_bus(BusConfig(bootstrap=broker.address, unsent=5, delivery_s=30))
    bus.ensure([TopicSpec("t")])
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        stored: list[BaseException | None] = []
        for _ in range(5):
            bus.send(Record("t", b"x"), lambda _, error: stored.append(error))
        with pytest.raises(BusFull, match="5 records wait for the broker"):
            bus.send(Record("t", b"x"))
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    until(lambda: stored == [None] * 5)
    store(bus, [Record("t", b"x")])
    bus.close()
    broker.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, which signed itself for 127.0.0.1, its `ca.key`, and a stranger's."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test",
        ]
        command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("openssl is absent")
    return folder


@pytest.fixture(scope="module")
def guarded(
    kafka_home: Path, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """A node of Apache Kafka with TLS and a password."""
    chain, key = (
        (certificates / name).read_text().strip().replace("\n", "\\n") for name in ("ca.pem", "ca.key")
    )
    listener = "listener.name.clients"
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    settings = {
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        f"{listener}.ssl.keystore.type": "PEM",
        f"{listener}.ssl.keystore.certificate.chain": chain,
        f"{listener}.ssl.keystore.key": key,
        f"{listener}.ssl.truststore.type": "PEM",
        f"{listener}.ssl.truststore.certificates": chain,
        f"{listener}.plain.sasl.jaas.config": (
            f'{module} username="worker" password="{PASSWORD}" user_worker="{PASSWORD}";'
        ),
    }
    broker = start_apache(kafka_home, tmp_path_factory.mktemp("guarded"), settings=settings)
    yield broker
    broker.stop()


def secured(broker: Broker, folder: Path, **changes: str) -> BusConfig:
    security = {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(folder / "ca.pem"),
        "sasl.mechanism": "PLAIN",
        "sasl.username": "worker",
        "sasl.password": PASSWORD,
    }
    chosen = security | {name.replace("__", "."): value for name, value in changes.items()}
    values = {"bootstrap": broker.address, "security": chosen, "request_s": 5}
    return parse_config(BusConfig, values, where="bus")


@pytest.mark.slow
def test_who_has_the_password_is_let_in(guarded: Broker, certificates: Path) -> None:
    bus = open_bus(secured(guarded, certificates))
    bus.ensure([TopicSpec("t")])
    store(bus, [Record("t", b"x")])
    queue = bus.queue(["t"], "g", capacity=1)
    assert take(queue).record.value == b"x"
    bus.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sasl__password": "wrong-" + PASSWORD}, "refuses us: .*Authentication failed"),
        ({"ssl__ca__location": "other.pem"}, "refuses us: .*certificate verify failed"),
        ({"security__protocol": "PLAINTEXT"}, "it speaks TLS, and is spoken to without"),
    ],
)
def test_who_has_not_is_told_without_the_password(
    guarded: Broker, certificates: Path, change: dict[str, str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    if "ssl__ca__location" in change:
        change = {"ssl__ca__location": str(certificates / change["ssl__ca__location"])}
    with pytest.raises(BusDown, match=words) as refusal:
        open_bus(secured(guarded, certificates, **change))
    assert PASSWORD not in str(refusal.value) + caplog.text
