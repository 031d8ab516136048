"""How a command reaches what runs: the broker that its options name, and whoever decides there.

`--kafka HOST:PORT`, or the folder of an `up` (`--out`), which says where its broker is, or the section `bus`
of a SPECIALISTS.yaml (`--config`), whose security settings are taken in any case.
"""

from __future__ import annotations

import getpass
import queue
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.specialists.bus.base import Bus, BusDown, Record
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.config import read_specialists
from tsuzuri.specialists.messages import Envelope, Malformed, Order, Outcome, decode, encode, new_id, now_ms
from tsuzuri.specialists.registry.registry import CONTROLLER, Registry
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.up.kept import UP, read_up

SUFFIX = ".up"
"""Of the folder that `up` makes beside SPECIALISTS.yaml, where none is named."""
DEFAULT = Path("specialists" + SUFFIX)
KNOWN_S = 10.0
LOOK_S = 0.5
"""Between two looks at who decides."""
UNLED_S = 20.0
"""Without anybody who decides, after which nobody follows an order."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A broker as a command reaches it."""

    bus: Bus
    topics: Topics
    registry: Registry
    address: str


@contextmanager
def reach(config: Path | None = None, kafka: str | None = None, out: Path | None = None) -> Iterator[Joined]:
    """The broker that options name; InputError where none is named, BusDown where none answers."""
    bus_config = where_is(config, kafka, out)
    topics = Topics(bus_config.prefix)
    bus = open_bus(bus_config)
    try:
        if topics.registry not in bus.topics():
            raise InputError(
                f"no specialists are known at {bus_config.bootstrap}: it has no topic {topics.registry}",
                hint="tsuzuri specialists up SPECIALISTS.yaml, or name their broker with --kafka",
            )
        registry = Registry(bus, topics)
        try:
            if not registry.wait(KNOWN_S):
                raise BusDown(f"the broker did not hand over {topics.registry} within {KNOWN_S:.0f} s")
            yield Joined(bus, topics, registry, bus_config.bootstrap)
        finally:
            registry.close()
    finally:
        bus.close()


def where_is(config: Path | None, kafka: str | None, out: Path | None) -> BusConfig:
    """How the broker is reached that options, or the folder of an `up`, name."""
    found = read_specialists(config).bus if config is not None else BusConfig()
    given: dict[str, Any] = {}
    if kafka is None:
        folder = out or (config.with_suffix(SUFFIX) if config is not None else DEFAULT)
        if out is not None or config is None or (folder / UP).exists():
            said = read_up(folder)
            given = {"bootstrap": said["bootstrap"], "prefix": said["prefix"]}
            if config is None and said.get("config") and Path(said["config"]).exists():
                found = read_specialists(Path(said["config"])).bus
    else:
        given = {"bootstrap": kafka}
    hint = "--kafka HOST:PORT,HOST:PORT"
    return parse_config(BusConfig, {**found.model_dump(), **given}, where="--kafka", hint=hint)


def ordered(order: Order, where: Mapping[str, Any]) -> Iterator[str]:
    """Ask for it, and tell what comes of it until its end; ResourceError where it came to nothing."""
    with reach(**where) as joined, _spinner(f"{order.verb} {order.specialist}") as turn:
        for outcome in asked(joined, _signed(order)):
            turn(outcome.text)
            if outcome.state == "failed":
                raise ResourceError(outcome.text, hint="tsuzuri specialists list")
            yield outcome.text


def asked(joined: Joined, order: Order) -> Iterator[Outcome]:
    """What comes of an order, up to its end; ResourceError where nobody is there who would say it."""
    registry, topics = joined.registry, joined.topics
    if registry.holder(CONTROLLER) is None:
        raise ResourceError(
            "nobody is there who decides about specialists",
            hint="start `tsuzuri specialists up`, or a gateway with a SPECIALISTS.yaml",
        )
    epoch = registry.epoch(CONTROLLER)
    number, heard = new_id(), queue.SimpleQueue[Outcome]()
    following = joined.bus.follow(topics.control, lambda records: _hear(records, number, heard))
    try:
        if not following.wait(KNOWN_S):
            raise BusDown(f"the broker did not hand over {topics.control} within {KNOWN_S:.0f} s")
        value, headers = encode(Envelope(order, id=number, sent_ms=now_ms()))
        _store(joined.bus, Record(topics.control, value, number.encode(), tuple(headers)))
        yield from _outcomes(registry, heard, epoch)
    finally:
        following.close()


def _store(bus: Bus, record: Record) -> None:
    """Send an order; BusDown where it is not stored."""
    stored = queue.SimpleQueue[BaseException | None]()
    bus.send(record, lambda _, error: stored.put(error))
    try:
        problem = stored.get(timeout=KNOWN_S)
    except queue.Empty:
        problem = TimeoutError(f"nothing came back in {KNOWN_S:.0f} s")
    if problem is not None:
        raise BusDown(
            f"the broker did not take the order: {problem}",
            hint="tsuzuri specialists list shows whether it was taken after all",
        ) from problem


def _outcomes(registry: Registry, heard: queue.SimpleQueue[Outcome], epoch: int) -> Iterator[Outcome]:
    led_at = time.monotonic()
    while True:
        try:
            outcome = heard.get(timeout=LOOK_S)
        except queue.Empty:
            if registry.holder(CONTROLLER) is None:
                if time.monotonic() - led_at > UNLED_S:
                    raise ResourceError(
                        "whoever decided has gone, and nobody has taken over",
                        hint="start `tsuzuri specialists up` again: it goes on where it was",
                    ) from None
                continue
            led_at = time.monotonic()
            if registry.epoch(CONTROLLER) not in (0, epoch):
                raise ResourceError(
                    "another process decides now, which goes on with what was begun but can't tell of it",
                    hint="tsuzuri specialists list, and where nothing was begun yet, the same again",
                ) from None
            continue
        yield outcome
        if outcome.state != "working":
            return


def _hear(records: Sequence[Record], number: str, heard: queue.SimpleQueue[Outcome]) -> None:
    for record in records:
        try:
            envelope = decode(record.value, record.headers)
        except Malformed:
            continue
        if envelope.id == number and isinstance(envelope.body, Outcome):
            heard.put(envelope.body)


def _signed(order: Order) -> Order:
    """An order with who asks."""
    return msgspec.structs.replace(order, actor=getpass.getuser())


@contextmanager
def _spinner(first: str) -> Iterator[Callable[[str], None]]:
    """Something that turns on a terminal while one waits; called with what to say beside it."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with Console(stderr=True).status(Text(first)) as status:
        yield lambda text: status.update(Text(text))
