"""A house of specialists for the bench over Kafka: workers with mock engines and a server, as users start
them; and what processes take, as the system counts it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from _kafka_ways import ALIAS, IN_FLIGHT, PATIENCE_S
from _mock_release import write_release
from tsuzuri.core.processes import cpu_seconds
from tsuzuri.specialists.bus.base import TopicSpec
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.messages import Route
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics

REVISION = "r1"
CONTEXT = 1024
SHORT_TOKENS, STREAM_TOKENS = 4, 64
WORKERS: Mapping[str, Mapping[str, object]] = {
    "short": {"tokens": SHORT_TOKENS, "slots": IN_FLIGHT},
    "streaming": {"tokens_per_s": 50, "slots": IN_FLIGHT},
}
"""Their engines: answers that are there at once, and answers that are written."""


@contextmanager
def process(command: Sequence[str], log: Path) -> Iterator[tuple[int, str]]:
    """Its number and the first line that it prints, while this lasts."""
    with open(log, "ab") as errors:
        running = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        yield running.pid, first_line(running)
    finally:
        running.kill()
        running.wait()
        if running.stdout:
            running.stdout.close()


def first_line(running: subprocess.Popen[str]) -> str:
    """What it prints first; none where it is a worker, which prints nothing."""
    assert running.stdout
    is_worker = isinstance(running.args, list) and "worker" in running.args
    return "" if is_worker else running.stdout.readline().strip()


class House:
    """Two specialists, each with a worker, and a server before them."""

    def __init__(self, stack: ExitStack, config: BusConfig, folder: Path, *, has_logs: bool) -> None:
        level = "info" if has_logs else "warning"
        self.pids: dict[str, int] = {}
        release = write_release(folder, "release", context=CONTEXT)
        for name, engine in WORKERS.items():
            settings = [f"--set=engine.{key}={value}" for key, value in {"kind": "mock", **engine}.items()]
            command = [
                *("-m", "tsuzuri", "specialists", "worker", str(release), f"--kafka={config.bootstrap}"),
                *(f"--name={name}", f"--revision={REVISION}", f"--set=log_level={level}", *settings),
            ]
            self.pids[name], _ = stack.enter_context(process(command, folder / f"{name}.log"))
        topics, bus = Topics(config.prefix), open_bus(config)
        bus.ensure(topics.specs())
        registry = Registry(bus, topics)
        _admit(registry)
        file = folder / "serve.yaml"
        file.write_text(json.dumps({"log_level": level, "playground": False}), encoding="utf-8")
        command = ["-m", "tsuzuri", "serve", f"--config={file}", f"--kafka={config.bootstrap}", "--port=0"]
        self.pids["server"], self.address = stack.enter_context(process(command, folder / "server.log"))
        registry.close()
        bus.close()


def _admit(registry: Registry) -> None:
    """Say of the workers' revisions that they are ready, once they are there, and let them answer."""
    keys = [(name, REVISION) for name in WORKERS]

    def are_there() -> bool:
        known = registry.descriptors
        return all(key in known and known[key].state == "checking" for key in keys)

    if not registry.wait_for(are_there, PATIENCE_S):
        raise SystemExit("the workers did not load: see their logs")
    for key in keys:
        registry.put_descriptor(msgspec.structs.replace(registry.descriptors[key], state="ready"))
    shares = {name: {REVISION: 1.0} for name in WORKERS}
    registry.put_route(ALIAS, Route(epoch=0, shares=shares, generalist=next(iter(WORKERS))))
    if not registry.wait_for(lambda: all(b.state == "ready" for b in registry.beats.values()), PATIENCE_S):
        raise SystemExit("the workers do not answer: see their logs")


def make_topics(config: BusConfig, names: Sequence[str]) -> None:
    """Those of the ways that have no house."""
    bus = open_bus(config)
    bus.ensure([TopicSpec(f"{name}-{end}") for name in names for end in ("asked", "answered")])
    bus.close()


def wire_bytes(port: str) -> Counter[int]:
    """By process: bytes that have gone to a port of this machine and come from there, as `ss` tells them."""
    found: Counter[int] = Counter()
    try:
        told = subprocess.run(
            ["ss", "-tinpHO", f"dport = :{port}"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return found
    for line in told.splitlines():
        owner = re.search(r"pid=(\d+)", line)
        if owner:
            found[int(owner[1])] += sum(map(int, re.findall(r"bytes_(?:sent|received):(\d+)", line)))
    return found


class Meter:
    """What processes take while something goes on."""

    def __init__(self, pids: Mapping[str, int], port: str, idle: Mapping[str, float] | None = None) -> None:
        """`idle`: percent of one core that each takes in any case, which is no part of what it does."""
        self._pids, self._port, self._idle = dict(pids), port, idle or {}
        self._before = self._look()

    def _look(self) -> tuple[dict[str, float], Counter[int], float]:
        cpu = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        return cpu, wire_bytes(self._port), time.monotonic()

    def per(self, count: int) -> dict[str, tuple[float, float]]:
        """name → (microseconds of processor, bytes to and from the broker) of each of so many."""
        (before, sent, began), (now, more, ended) = self._before, self._look()
        taken_s = {
            name: now[name] - before[name] - self._idle.get(name, 0.0) / 100 * (ended - began) for name in now
        }
        return {
            name: (1e6 * taken_s[name] / count, (more[pid] - sent[pid]) / count)
            for name, pid in self._pids.items()
        }

    def shares(self) -> dict[str, float]:
        """name → percent of one core since it began."""
        (before, _, began), (now, _, ended) = self._before, self._look()
        return {name: 100 * (now[name] - before[name]) / (ended - began) for name in now}
