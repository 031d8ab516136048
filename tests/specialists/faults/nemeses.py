"""What goes wrong in a house: each fault is a function that begins it, waits, and ends it, in the history.

A kill is over when `up`, or the broker's own watch, has put somebody in the place; whatever else it takes
until requests are answered again is for the report to find.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

from buses import until
from specialists.faults.house import REVISION, RealHouse
from specialists.faults.link import Mode
from tsuzuri.specialists.bus.base import Record
from tsuzuri.specialists.messages import Beat

HEALING_S = 120.0
JUNK: tuple[bytes | None, ...] = (
    b"{",
    b"\xff\xfe\x00",
    b'{"kind": "ask", "prompt": NaN}',
    b'{"specialist": 1, "revision": []}',
    b"null",
    b"",
    '{"prompt": "あ'.encode()[:-1],
)
"""Records that are no message."""

Strike = Callable[[RealHouse, random.Random, float], None]


def kill_worker(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
    """SIGKILL one of the workers; `up` starts another."""
    beat = _anybody(house, drawn)
    with house.fault("kill worker", beat.instance):
        os.kill(beat.pid, signal.SIGKILL)
        _healed(
            lambda: len({b.instance for b in house.beats()} - {beat.instance}) >= house.workers["general"]
        )


def pause_worker(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
    """SIGSTOP one of the workers, which comes back as a zombie."""
    beat = _anybody(house, drawn)
    with house.fault("pause worker", beat.instance), paused(beat.pid):
        time.sleep(lasts_s)


def kill_broker(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
    """SIGKILL the broker: the embedded one comes back empty, Apache Kafka with its records."""
    with house.fault("kill broker"):
        before = house.broker.restarts
        os.kill(house.broker.pid, signal.SIGKILL)
        _healed(lambda: house.broker.restarts > before)


def pause_broker(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
    """SIGSTOP the broker."""
    with house.fault("pause broker"), paused(house.broker.pid):
        time.sleep(lasts_s)


def _linked(name: str, mode: Mode, delay_s: float = 0.0) -> Strike:
    def strike(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
        assert house.link is not None, "a house with a link is needed"
        with house.fault(name), house.link.being(mode, delay_s=delay_s):
            time.sleep(lasts_s)

    return strike


def duplicate(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
    """Every request and every reply comes twice while it lasts."""
    topics = [*house.topics.lanes("general", REVISION), house.topics.replies]
    with house.fault("duplicates"), doubled(house, topics):
        time.sleep(lasts_s)


def poison(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
    """Records that are no message, among the requests, the replies and everything else that is read."""
    names = house.topics
    topics = [
        *names.lanes("general", REVISION),
        names.replies,
        names.control,
        names.registry,
        names.routes,
        names.beats,
    ]
    with house.fault("poison records"):
        until_s = time.monotonic() + lasts_s
        while time.monotonic() < until_s:
            send(house, drawn.choice(topics), drawn.choice(JUNK), key=drawn.randbytes(4))
            time.sleep(0.1)


def end_gateway(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
    """SIGTERM the gateway, which drains; `up` starts another at the same address."""
    _replace_gateway(house, "end gateway", signal.SIGTERM)


def kill_gateway(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
    """SIGKILL the gateway; `up` starts another at the same address."""
    _replace_gateway(house, "kill gateway", signal.SIGKILL)


def join_and_leave(house: RealHouse, drawn: random.Random, lasts_s: float) -> None:
    """One more worker, which ends again: by SIGTERM, or killed."""
    with house.fault("join and leave"):
        process = house.worker()
        _healed(lambda: process.pid in {beat.pid for beat in house.beats()})
        time.sleep(lasts_s)
        process.send_signal(drawn.choice((signal.SIGTERM, signal.SIGKILL)))
        process.wait(HEALING_S)


STRIKES: dict[str, Strike] = {
    "kill worker": kill_worker,
    "pause worker": pause_worker,
    "kill broker": kill_broker,
    "pause broker": pause_broker,
    "slow link": _linked("slow link", "slow", 0.2),
    "cut link": _linked("cut link", "cut"),
    "half-open link": _linked("half-open link", "half open"),
    "trickling link": _linked("trickling link", "trickle"),
    "duplicates": duplicate,
    "poison records": poison,
    "end gateway": end_gateway,
    "kill gateway": kill_gateway,
    "join and leave": join_and_leave,
}


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """A process stands still while this lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # somebody has ended it meanwhile
            os.kill(pid, signal.SIGCONT)


@contextmanager
def doubled(house: RealHouse, topics: Sequence[str]) -> Iterator[list[Record]]:
    """Send again, once, what comes through these topics; yields what was sent again."""
    sent: list[Record] = []
    own: set[tuple[str, bytes | None, tuple[tuple[str, bytes], ...]]] = set()
    lock = threading.Lock()

    def take(records: Sequence[Record]) -> None:
        for record in records:
            what = (record.topic, record.value, tuple(record.headers))
            with lock:
                if what in own:
                    own.discard(what)
                    continue
                own.add(what)
            copy = Record(record.topic, record.value, record.key, record.headers, partition=record.partition)
            house.bus.send(copy)
            sent.append(copy)

    following = [house.bus.follow(topic, take) for topic in topics]
    try:
        yield sent
    finally:
        for one in following:
            one.close()


def send(
    house: RealHouse, topic: str, value: bytes | None, *, key: bytes = b"junk", partition: int = -1
) -> None:
    """A record as anybody might send it."""
    house.bus.send(Record(topic, value, key, partition=partition))


def _replace_gateway(
    house: RealHouse, name: str, number: Literal[signal.Signals.SIGTERM, signal.Signals.SIGKILL]
) -> None:
    with house.fault(name):
        pid = house.gateway()
        os.kill(pid, number)
        _healed(lambda: pid not in house.children("serve") and house.answers("general"))


def _anybody(house: RealHouse, drawn: random.Random) -> Beat:
    """A worker that lives, once one does: the fault before may have killed them all."""
    found: list[Beat] = []

    def look() -> bool:
        found[:] = house.beats()
        return bool(found)

    until(look, patience_s=HEALING_S)
    return drawn.choice(found)


def _healed(what: Callable[[], object]) -> None:
    until(what, patience_s=HEALING_S)
