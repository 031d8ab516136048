"""A node of Apache Kafka, from an unpacked distribution: its settings, and its data in a folder."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.core.files import write_text
from tsuzuri.specialists.up.brokers import HOST, Broker, free_ports, launched

HEAP = "-Xms128m -Xmx512m"


def start_apache(
    kafka_home: Path, folder: Path, *, port: int = 0, settings: Mapping[str, str] | None = None
) -> Broker:
    """A node of Apache Kafka (broker and controller in one) that answers; its data stays in the folder.

    `kafka_home` is an unpacked distribution, 4.0 or later; `settings` go over ours. InputError where it is
    none, ResourceError without Java.
    """
    home = kafka_home.resolve()
    store, server = (home / "bin" / f"kafka-{name}.sh" for name in ("storage", "server-start"))
    if not (store.is_file() and server.is_file()):
        raise InputError(
            f"{kafka_home} is no distribution of Apache Kafka: no bin/{store.name} and bin/{server.name}",
            hint="unpack kafka_2.13-4.x.tgz of kafka.apache.org and give the folder that it makes",
        )
    java = os.environ.get("JAVA_HOME")
    if not (shutil.which("java") or (java and (Path(java) / "bin" / "java").exists())):
        raise ResourceError(
            "Apache Kafka needs Java 17 or later, and there is no `java`",
            hint="apt-get install default-jre-headless, or set JAVA_HOME; the embedded broker needs none",
        )
    clients, controller = free_ports(port, 0)
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    write_text(properties, _properties(folder / "data", clients, controller, settings or {}))
    heap = os.environ.get("KAFKA_HEAP_OPTS", HEAP)
    environment = {"KAFKA_HEAP_OPTS": heap, "LOG_DIR": str(folder / "logs")}
    if not (folder / "data" / "meta.properties").exists():
        _format(store, properties, environment)
    launch = partial(launched, [str(server), str(properties)], folder, environment)
    return Broker(folder, clients, launch, is_kept=True)


def _properties(data: Path, clients: int, controller: int, settings: Mapping[str, str]) -> str:
    """Of one node whose topics are made by us alone, with groups that notice a death within seconds."""
    ours = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"CLIENTS://{HOST}:{clients},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"CLIENTS://{HOST}:{clients}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENTS",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.consumer.min.session.timeout.ms": "3000",
        "group.consumer.session.timeout.ms": "6000",
        "group.consumer.min.heartbeat.interval.ms": "500",
        "group.consumer.heartbeat.interval.ms": "1000",
    }
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        ours[f"{topic}.num.partitions"] = "4"
        ours[f"{topic}.replication.factor"] = "1"
    ours["transaction.state.log.min.isr"] = ours["share.coordinator.state.topic.min.isr"] = "1"
    return "".join(f"{name}={value}\n" for name, value in (ours | dict(settings)).items())


def _format(store: Path, properties: Path, environment: dict[str, str]) -> None:
    """Make the data folder of a new node."""
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [str(store), "format", "-t", cluster, "-c", str(properties)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    if done.returncode:
        said = " ".join((done.stderr + done.stdout).split())[-500:]
        raise ResourceError(f"Apache Kafka could not make its data folder: {said}", hint="see what it says")
