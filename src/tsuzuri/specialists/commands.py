"""`tsuzuri specialists up|list|add|replace|rollback|remove|drain|dlq`: what an operator types.

Where the broker is: `--kafka HOST:PORT`, or the folder of an `up` (`--out`), which says so, or the section
`bus` of a SPECIALISTS.yaml (`--config`), whose security settings are taken in any case. What an order comes
to is told step by step until its end; who stops listening stops nothing.
"""

from __future__ import annotations

import getpass
import json
import queue
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tsuzuri.core.config import apply_overrides, parse_config
from tsuzuri.core.errors import InputError, ResourceError, closest
from tsuzuri.serving import logs
from tsuzuri.specialists.bus.base import Bus, BusDown, Record
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.config import SpecialistConfig, read_specialists
from tsuzuri.specialists.dead_letters import (
    DeadLetter,
    drop_letters,
    list_letters,
    replay_letters,
    show_letter,
)
from tsuzuri.specialists.kept import read_up
from tsuzuri.specialists.messages import Envelope, Malformed, Order, Outcome, decode, encode, new_id, now_ms
from tsuzuri.specialists.registry import CONTROLLER, Registry
from tsuzuri.specialists.supervisor import Up
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.worker.naming import revision_of

SUFFIX = ".up"
"""Of the folder that `up` makes beside SPECIALISTS.yaml, where none is named."""
DEFAULT = Path("specialists" + SUFFIX)
KNOWN_S = 10.0
BEATS_S = 2.5
"""For the workers that live to be heard of."""
UNLED_S = 20.0
"""Without anybody who decides, after which nobody follows an order."""
SHOWN_BYTES = 4000


def up(
    config: Path,
    *,
    out: Path | None = None,
    kafka: str | None = None,
    kafka_home: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Run specialists on this machine until told to stop."""
    logs.start_log("warning")
    folder = out if out is not None else config.with_suffix(SUFFIX)
    Up(
        config,
        folder,
        kafka=kafka,
        kafka_home=kafka_home,
        host=host,
        port=port,
        overrides=overrides,
    ).run()


def list_specialists(
    *, config: Path | None = None, kafka: str | None = None, out: Path | None = None, as_json: bool = False
) -> str:
    """Every revision: its state, share, workers, and what it showed."""
    with reach(config, kafka, out) as joined:
        registry = joined.registry
        registry.wait_for(lambda: all(_has_beats(registry, key) for key in _routed(registry)), BEATS_S)
        rows = [_row(registry, key) for key in sorted({*registry.descriptors, *_routed(registry)})]
    if as_json:
        return json.dumps(rows, ensure_ascii=False, indent=2)
    return _table([{name: value for name, value in row.items() if name != "source"} for row in rows])


def add(
    name: str,
    release: Path,
    *,
    title: str = "",
    revision: str = "",
    texts: Path | None = None,
    workers: int = 1,
    gate: bool = True,
    overrides: Sequence[str] = (),
    **where: Any,
) -> Iterator[str]:
    """Let a new specialist in: its workers are started by whoever runs `up`."""
    yield from _want("add", name, release, title, revision, texts, workers, gate, overrides, where)


def replace(
    name: str,
    release: Path,
    *,
    title: str = "",
    revision: str = "",
    texts: Path | None = None,
    workers: int = 1,
    gate: bool = True,
    overrides: Sequence[str] = (),
    **where: Any,
) -> Iterator[str]:
    """Put a revision in place of the one that answers, step by step."""
    yield from _want("replace", name, release, title, revision, texts, workers, gate, overrides, where)


def rollback(name: str, *, revision: str = "", **where: Any) -> Iterator[str]:
    """Back to the revision before, or to another one."""
    yield from _ordered(Order(verb="rollback", specialist=name, revision=revision), where)


def remove(name: str, **where: Any) -> Iterator[str]:
    """Give a specialist no more requests, let it finish, and forget it."""
    yield from _ordered(Order(verb="remove", specialist=name), where)


def drain(name: str, **where: Any) -> Iterator[str]:
    """Give a specialist no more requests and let it finish; `rollback` brings it back."""
    yield from _ordered(Order(verb="drain", specialist=name), where)


def dead_letters(
    action: Literal["list", "show", "replay", "drop"],
    places: Sequence[str] = (),
    *,
    every: bool = False,
    as_json: bool = False,
    **where: Any,
) -> str:
    """What nobody could work off: all of it, one in full, or sent again, or dropped."""
    with reach(**where) as joined:
        bus, topic = joined.bus, joined.topics.dead_letters
        letters = list_letters(bus, topic)
        if action == "list":
            rows = [_letter(letter) for letter in letters]
            return json.dumps(rows, ensure_ascii=False, indent=2) if as_json else _table(rows)
        if not places and not every:
            raise InputError(
                "no dead letter is named", hint=f"tsuzuri specialists dlq {action} PLACE, or --all"
            )
        known = {letter.place: letter for letter in letters}
        for place in places:
            if place not in known:
                raise InputError(
                    f"there is no dead letter {place!r}{closest(place, known)}",
                    hint="tsuzuri specialists dlq list",
                )
        chosen = letters if every else [known[place] for place in places]
        if action == "show":
            return "\n\n".join(_shown(show_letter(bus, topic, letter.place)) for letter in chosen)
        done = (replay_letters if action == "replay" else drop_letters)(bus, topic, chosen)
        return f"{done} {'sent again' if action == 'replay' else 'dropped'}"


@dataclass(frozen=True, slots=True)
class Joined:
    """A broker as a command reaches it."""

    bus: Bus
    topics: Topics
    registry: Registry


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
            yield Joined(bus, topics, registry)
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
        if out is not None or config is None or folder.exists():
            said = read_up(folder)
            given = {"bootstrap": said["bootstrap"], "prefix": said["prefix"]}
            if config is None and said.get("config") and Path(said["config"]).exists():
                found = read_specialists(Path(said["config"])).bus
    else:
        given = {"bootstrap": kafka}
    hint = "--kafka HOST:PORT,HOST:PORT"
    return parse_config(BusConfig, {**found.model_dump(), **given}, where="--kafka", hint=hint)


# Orders


def _want(
    verb: Literal["add", "replace"],
    name: str,
    release: Path,
    title: str,
    revision: str,
    texts: Path | None,
    workers: int,
    gate: bool,
    overrides: Sequence[str],
    where: Mapping[str, Any],
) -> Iterator[str]:
    """Have a revision let in; what is wrong with it as far as can be seen here is told before it is asked."""
    values: dict[str, Any] = {
        "name": name,
        "title": title,
        "release": str(release),
        "revision": revision,
        "texts": str(texts) if texts else None,
        "workers": workers,
        "gate": "generalist" if gate else "none",
    }
    wanted = parse_config(SpecialistConfig, apply_overrides(values, overrides), where=f"specialists {verb}")
    for path in (wanted.release, wanted.texts):
        if path is not None and not path.exists():
            raise InputError(
                f"there is nothing at {path}", hint="give the path as the workers' machine has it"
            )
    order = Order(
        verb=verb,
        specialist=name,
        revision=wanted.revision or revision_of(wanted.release, wanted.engine),
        source=str(wanted.release.absolute()),
        engine=dict(wanted.engine),
        workers=wanted.workers,
        title=title,
        texts=str(wanted.texts.absolute()) if wanted.texts else "",
        has_gate=gate,
    )
    yield from _ordered(order, where)


def _ordered(order: Order, where: Mapping[str, Any]) -> Iterator[str]:
    """Ask for it, and tell what comes of it until its end; ResourceError where it came to nothing."""
    with reach(**where) as joined:
        if joined.registry.holder(CONTROLLER) is None:
            raise ResourceError(
                "nobody is there who decides about specialists",
                hint="start `tsuzuri specialists up`, or a gateway with a SPECIALISTS.yaml",
            )
        number, heard = new_id(), queue.SimpleQueue[Outcome]()
        following = joined.bus.follow(joined.topics.control, lambda records: _hear(records, number, heard))
        if not following.wait(KNOWN_S):
            raise BusDown(f"the broker did not hand over {joined.topics.control} within {KNOWN_S:.0f} s")
        asked = Envelope(_signed(order), id=number, sent_ms=now_ms())
        value, headers = encode(asked)
        joined.bus.send(Record(joined.topics.control, value, number.encode(), tuple(headers)))
        with _spinner(f"{order.verb} {order.specialist}") as turn:
            for outcome in _outcomes(joined.registry, heard):
                turn(outcome.text)
                if outcome.state == "failed":
                    raise ResourceError(outcome.text, hint="tsuzuri specialists list")
                yield outcome.text


def _outcomes(registry: Registry, heard: queue.SimpleQueue[Outcome]) -> Iterator[Outcome]:
    led_at = time.monotonic()
    while True:
        try:
            outcome = heard.get(timeout=0.5)
        except queue.Empty:
            if registry.holder(CONTROLLER) is not None:
                led_at = time.monotonic()
            elif time.monotonic() - led_at > UNLED_S:
                raise ResourceError(
                    "whoever decided has gone, and nobody has taken over",
                    hint="start `tsuzuri specialists up` again: it goes on where it was",
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
def _spinner(first: str) -> Iterator[Any]:
    """Something that turns on a terminal while one waits; called with what to say beside it."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    with Console(stderr=True).status(Text(first)) as status:
        yield lambda text: status.update(Text(text))


# Tables


def _routed(registry: Registry) -> list[tuple[str, str]]:
    return [
        (name, revision)
        for route in registry.routes.values()
        for name, shares in route.shares.items()
        for revision, share in shares.items()
        if share > 0
    ]


def _has_beats(registry: Registry, key: tuple[str, str]) -> bool:
    return bool(registry.alive(*key))


def _row(registry: Registry, key: tuple[str, str]) -> dict[str, Any]:
    found, beats = registry.descriptors.get(key), registry.alive(*key)
    shares = [route.shares.get(key[0], {}).get(key[1], 0.0) for route in registry.routes.values()]
    gain = None
    if found is not None and found.domain_bpb is not None and found.generalist_bpb:
        gain = round(1 - found.domain_bpb / found.generalist_bpb, 4)
    return {
        "specialist": key[0],
        "title": found.title if found else None,
        "revision": key[1],
        "state": found.state if found else None,
        "share": max(shares, default=0.0),
        "workers": len(beats),
        "running": sum(beat.running for beat in beats),
        "slots": sum(beat.slots for beat in beats),
        "domain_bpb": found.domain_bpb if found else None,
        "gain": gain,
        "note": found.note if found else None,
        "source": found.source if found else None,
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    died = datetime.fromtimestamp(letter.died_ms / 1000).strftime("%Y-%m-%d %H:%M:%S")
    return {
        "place": letter.place,
        "died": died,
        "reason": letter.reason,
        "deaths": letter.deaths,
        "topic": letter.record.topic,
        "bytes": len(letter.record.value or b""),
        "message": letter.message,
    }


def _shown(letter: DeadLetter) -> str:
    """A letter in full, its body cut; an operator asks for it by its place."""
    headers = [f"  {name}: {content.decode('utf-8', 'replace')}" for name, content in letter.record.headers]
    value = letter.record.value or b""
    body = value[:SHOWN_BYTES].decode("utf-8", "replace")
    cut = f" … ({len(value):,} bytes)" if len(value) > SHOWN_BYTES else ""
    facts = [f"{name}: {content}" for name, content in _letter(letter).items()]
    return "\n".join([*facts, "headers:", *headers, "body:", body + cut])


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "(none)"
    grid = Table(*rows[0], box=None, pad_edge=False, header_style="")
    for row in rows:
        grid.add_row(*(Text(_cell(name, value)) for name, value in row.items()))
    out = StringIO()
    Console(file=out, width=100_000, no_color=True).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _cell(name: str, value: Any) -> str:
    if value is None or value == "":
        return "–"
    if name == "share":
        return f"{value:.0%}"
    if name == "gain":
        return f"{value:+.1%}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
