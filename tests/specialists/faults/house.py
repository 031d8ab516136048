"""A house of real processes: a broker, `tsuzuri specialists up` with a gateway and workers, keys and bills in
SQLite, and clients; everything that happens in it is written to a history.

    Clients ──HTTP──► gateway ┐
                              ├──► (Link) ──► broker: embedded, or Apache Kafka
    up ──starts──► workers    ┘

`up` keeps its children running, so whoever is killed comes back by itself; so does the broker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

import servers
from buses import until
from specialists.faults.books import CLIENTS, HOUSE, Books
from specialists.faults.checker import Violation, check
from specialists.faults.clients import Clients, Oracle
from specialists.faults.history import History
from specialists.faults.link import Link
from specialists.faults.witness import Witness
from tsuzuri.core.files import write_text
from tsuzuri.core.processes import resident_bytes, tied
from tsuzuri.specialists.bus.base import Bus
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.messages import Beat
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.up.apache import start_apache
from tsuzuri.specialists.up.brokers import Broker, start_embedded
from tsuzuri.specialists.up.kept import UP, read_up

ALIAS = "kana"
REVISION = "r1"
VOCABULARIES = {"general": 512, "law": 512, "other": 520}
"""By specialist: `other` has a tokenizer of its own."""
KEYWORDS = {"law": "民法", "other": "東京"}
ENGINE = {"kind": "mock", "tokens_per_s": 100.0, "slots": 8}
PATIENCE_S = 180.0
BEAT_S = 0.5


class RealHouse:
    """Runs from its making to `close`. `workers`: processes of each specialist, of which `general` is one."""

    def __init__(
        self,
        folder: Path,
        broker: Broker,
        *,
        link: Link | None = None,
        workers: Mapping[str, int] | None = None,
        engine: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """`link`: through which everybody reaches the broker; `settings` go over those of the file."""
        self.folder, self.broker, self.topics = folder, broker, Topics()
        self.workers = dict(workers or {"general": 2})
        self.out, self.books = folder / "out", Books(folder / "accounts.db")
        self.link = link
        self.kafka = f"127.0.0.1:{link.port}" if link is not None else broker.address
        self.history = History(folder / "history.jsonl")
        self._started: list[subprocess.Popen[bytes]] = []
        self._faults = 0
        self.releases = {
            name: servers.write_release(folder / name, vocabulary=VOCABULARIES[name]) for name in self.workers
        }
        self.engine = dict(engine or ENGINE)
        self.file = folder / "specialists.yaml"
        write_text(self.file, yaml.safe_dump(self._values(settings), allow_unicode=True))
        self.bus: Bus = open_bus(BusConfig(bootstrap=self.kafka))
        self.bus.ensure(self.topics.specs())
        self.registry = Registry(self.bus, self.topics)
        self._witness = Witness(self.bus, self.topics, self.history)
        self.up = self.start(
            "up", "specialists", "up", str(self.file), f"--out={self.out}", f"--kafka={self.kafka}"
        )
        oracle = Oracle(self.releases, self.history)
        self.clients = Clients(lambda: self.address, self.books.keys[CLIENTS], ALIAS, oracle, self.history)

    # Its parts

    @property
    def address(self) -> str:
        """Of the API."""
        return str(read_up(self.out)["address"])

    @property
    def logs(self) -> Path:
        """Of what `up` started."""
        return self.out / "logs"

    def wait(self) -> RealHouse:
        """Until every specialist answers what is asked of it."""
        until(lambda: self._is_up() and (self.out / UP).exists() and self.address, patience_s=PATIENCE_S)
        for name in self.workers:
            until(lambda name=name: self._is_up() and self.answers(name), patience_s=PATIENCE_S)  # type: ignore[misc]
            until(lambda name=name: len(self.beats(name)) >= self.workers[name], patience_s=PATIENCE_S)  # type: ignore[misc]
        return self

    def answers(self, name: str, prompt: str = "") -> bool:
        """Whether a specialist answers, on the house's own account."""
        body = {"model": ALIAS, "prompt": prompt or KEYWORDS.get(name, "本"), "max_tokens": 1}
        try:
            status, _, answer = servers.ask(self.address, "/v1/completions", body, key=self.books.keys[HOUSE])
        except OSError:
            return False
        return status == 200 and answer["tsuzuri"]["specialist"] == name

    def beats(self, name: str = "general") -> list[Beat]:
        """Of the workers of a specialist that live, each with its process and what it writes just now."""
        own = [beat for beat in self.registry.beats.values() if beat.specialist == name]
        return sorted((beat for beat in own if beat.state == "ready"), key=lambda beat: beat.instance)

    def busy(self, name: str = "general") -> Beat:
        """A worker that writes."""
        found: list[Beat] = []

        def look() -> bool:
            found[:] = [beat for beat in self.beats(name) if beat.running]
            return bool(found)

        until(look)
        return found[0]

    def gateway(self) -> int:
        """The process of the API that `up` has started."""
        return self.children("serve")[0]

    def children(self, word: str) -> list[int]:
        """Processes that `up` has started, by a word of their command."""
        return [pid for pid in _children(self.up.pid) if word in _command(pid)]

    def start(self, name: str, *words: str, script: str = "") -> subprocess.Popen[bytes]:
        """One more process, which ends with the house: of `tsuzuri`, or of a script of Python's."""
        command = [sys.executable, *(("-c", script) if script else ("-m", "tsuzuri")), *words]
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                tied(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def worker(self, name: str = "general", *more: str, revision: str = REVISION) -> subprocess.Popen[bytes]:
        """One more worker, which `up` does not know of."""
        words = [
            str(self.releases[name]),
            f"--name={name}",
            f"--revision={revision}",
            f"--kafka={self.kafka}",
        ]
        settings = {**{f"engine.{key}": value for key, value in self.engine.items()}, "beat_s": BEAT_S}
        given = [f"--set={key}={value}" for key, value in settings.items()]
        return self.start(f"worker-{len(self._started)}", "specialists", "worker", *words, *given, *more)

    def note_memory(self) -> None:
        """Into the history, of every process of the house."""
        named = {"up": self.up.pid, "broker": self.broker.pid}
        named |= {f"gateway {pid}": pid for pid in self.children("serve")}
        named |= {f"worker {beat.instance}": beat.pid for name in self.workers for beat in self.beats(name)}
        for name, pid in named.items():
            if size := resident_bytes(pid):
                self.history.note("memory", process=name, bytes=size)

    # Faults and the end

    def fault(self, name: str, target: str = "") -> Fault:
        """One that begins now, and is over when its `with` is."""
        self._faults += 1
        return Fault(self.history, self._faults, name, target)

    def judge(self) -> list[Violation]:
        """Wait for the last to be settled, read the books, and judge the history."""
        for one in self.clients.asked:
            one.wait()
        with suppress(AssertionError):  # what stays reserved is a violation
            until(lambda: not any(self.books.held()))
        self.books.copy(self.history, self.log_lines())
        self.history.note("letters", reasons=self.letters())
        self.history.note("over")
        return check(self.history.read())

    def close(self) -> None:
        """End every process."""
        self.clients.close()
        if self.up.poll() is None:
            os.kill(self.up.pid, signal.SIGCONT)
            self.up.terminate()
        try:
            self.up.wait(60)
        finally:
            for process in self._started:
                process.kill()
                process.wait()
            self._witness.close()
            self.registry.close()
            self.bus.close(flush_s=0)
            self.broker.stop()
            if self.link is not None:
                self.link.close()
            self.history.close()

    def log_lines(self, path: Path | None = None) -> list[dict[str, Any]]:
        """Of a log of JSON, the gateway's by default."""
        text = (path or self.logs / "gateway.log").read_text(encoding="utf-8", errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    def _is_up(self) -> bool:
        assert self.up.poll() is None, (self.folder / "up.log").read_text()
        return True

    def _values(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Of SPECIALISTS.yaml."""
        named = [
            {"name": name, "release": name, "revision": REVISION, "gate": "none", "workers": count}
            for name, count in self.workers.items()
        ]
        rules = [
            {"specialist": name, "keywords": [KEYWORDS[name]]} for name in self.workers if name in KEYWORDS
        ]
        accounts = {"database": {"url": self.books.url}, "address_requests_per_minute": 10**9}
        values: dict[str, Any] = {
            "alias": ALIAS,
            "generalist": "general",
            "specialists": [{**one, "engine": self.engine} for one in named],
            "router": {"method": "table", "rules": rules},
            "gate": {"tokens": 4, "prompts": ["昔々"]},
            "rollout": {"watch_s": 0.5, "least_answers": 3, "idle_s": 5},
            "server": {"port": 0, "accounts": accounts, "playground": False, "drain_s": 5.0},
            "beat_s": BEAT_S,
        }
        for name, value in settings.items():
            values[name] = {**values.get(name, {}), **value} if isinstance(value, Mapping) else value
        return values

    def letters(self) -> dict[str, int]:
        """Dead letters by reason, as the gateway counts them."""
        found: dict[str, int] = self.told()["dead_letters"]
        return found

    def counts(self) -> Counter[str]:
        """What the gateway has noticed and dropped since it began: `stale`, `duplicate`, `gap`, …"""
        told = self.told()["gateway"]
        return Counter({**told["counts"], "malformed": told["malformed"]})

    def told(self) -> dict[str, Any]:
        """What the gateway tells administrators."""
        status, _, told = servers.ask(self.address, "/admin/specialists", key=self.books.keys[HOUSE])
        assert status == 200, told
        found: dict[str, Any] = told
        return found


class Fault:
    """A fault, in a `with`."""

    def __init__(self, history: History, number: int, name: str, target: str) -> None:
        self._history, self._number, self._name, self._target = history, number, name, target

    def __enter__(self) -> Fault:
        self._history.note("fault", number=self._number, name=self._name, target=self._target)
        return self

    def __exit__(self, *exception: object) -> None:
        self._history.note("fault_over", number=self._number)


def build_house(
    kind: str, folder: Path, *, kafka_home: Path | None = None, with_link: bool = False, **settings: Any
) -> RealHouse:
    """A house with a broker of its own; `settings` go to `RealHouse`. With a link everything that anybody
    says to the broker goes through it."""
    link = Link() if with_link else None
    try:
        broker = _start_broker(kind, folder / "broker", kafka_home, seen_at=link.port if link else None)
    except BaseException:
        if link is not None:
            link.close()
        raise
    if link is not None:
        link.to = int(broker.address.rpartition(":")[2])
    return RealHouse(folder, broker, link=link, **settings)


def _start_broker(kind: str, folder: Path, kafka_home: Path | None, *, seen_at: int | None) -> Broker:
    if kind == "embedded":
        return start_embedded(folder, seen_at=seen_at)
    assert kafka_home is not None
    seen = {"advertised.listeners": f"CLIENTS://127.0.0.1:{seen_at}"} if seen_at else {}
    return start_apache(kafka_home, folder, settings=seen)


def _children(pid: int) -> Sequence[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            found += map(int, (task / "children").read_text().split())
    return found


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []
