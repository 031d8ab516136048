"""`tsuzuri specialists up|list|add|replace|rollback|remove|drain|dlq`: what an operator types.

What an order comes to is told step by step until its end; who stops listening stops nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from tsuzuri.core.config import apply_overrides, parse_config
from tsuzuri.core.errors import InputError, closest
from tsuzuri.serving import logs
from tsuzuri.specialists.config import SpecialistConfig, placed
from tsuzuri.specialists.control.succession import COMING
from tsuzuri.specialists.dead_letters import drop_letters, list_letters, replay_letters, show_letter
from tsuzuri.specialists.messages import Order
from tsuzuri.specialists.operators.reaching import SUFFIX, Joined, ordered, reach
from tsuzuri.specialists.operators.tables import letter_row, revision_row, routed, shown_letter, table
from tsuzuri.specialists.up.supervisor import Up
from tsuzuri.specialists.worker.naming import revision_of

BEATS_S = 2.5
"""For the workers that live to be heard of."""


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
        registry.wait_for(lambda: all(registry.alive(*key) for key in routed(registry)), BEATS_S)
        rows = [revision_row(registry, key) for key in sorted({*registry.descriptors, *routed(registry)})]
    if as_json:
        return json.dumps(rows, ensure_ascii=False, indent=2)
    return table([{name: value for name, value in row.items() if name != "source"} for row in rows])


def add(name: str, release: Path, **asked: Any) -> Iterator[str]:
    """Let a new specialist in: its workers are started by whoever runs `up`."""
    yield from _want("add", name, release, **asked)


def replace(name: str, release: Path, **asked: Any) -> Iterator[str]:
    """Put a revision in place of the one that answers, step by step."""
    yield from _want("replace", name, release, **asked)


def rollback(name: str, *, revision: str = "", **where: Any) -> Iterator[str]:
    """Back to the revision before, or to another one."""
    yield from ordered(Order(verb="rollback", specialist=name, revision=revision), where)


def remove(name: str, **where: Any) -> Iterator[str]:
    """Give a specialist no more requests, let it finish, and forget it."""
    yield from ordered(Order(verb="remove", specialist=name), where)


def drain(name: str, **where: Any) -> Iterator[str]:
    """Give a specialist no more requests and let it finish; `rollback` brings it back."""
    yield from ordered(Order(verb="drain", specialist=name), where)


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
            rows = [letter_row(letter) for letter in letters]
            return json.dumps(rows, ensure_ascii=False, indent=2) if as_json else table(rows)
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
            return "\n\n".join(shown_letter(show_letter(bus, topic, letter.place)) for letter in chosen)
        if action == "replay":
            return f"{replay_letters(bus, topic, chosen, read=_read(joined))} sent again"
        return f"{drop_letters(bus, topic, chosen)} dropped"


def _read(joined: Joined) -> set[str]:
    """The topics of requests whose revision has workers, or gets them."""
    found = joined.registry.descriptors.values()
    keys = {(item.specialist, item.revision) for item in found if item.state in COMING}
    return {lane for key in keys for lane in joined.topics.lanes(*key)}


def _want(
    verb: Literal["add", "replace"],
    name: str,
    release: Path,
    *,
    title: str = "",
    revision: str = "",
    texts: Path | None = None,
    workers: int = 0,
    gate: bool = True,
    overrides: Sequence[str] = (),
    **where: Any,
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
    values = apply_overrides(values, overrides)
    wanted = parse_config(SpecialistConfig, values, where=f"specialists {verb}")
    for path in (wanted.release, wanted.texts):
        is_elsewhere = path is not None and bool(wanted.revision) and path.is_absolute()
        if path is not None and not (is_elsewhere or path.exists()):
            raise InputError(
                f"there is nothing at {path}",
                hint="what only another machine has: give its path there from / on, and --revision TEXT",
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
        filters=placed(Path.cwd(), wanted).said_filters if "filters" in values else None,
    )
    yield from ordered(order, where)
