"""What operators read: a line for each revision, for each dead letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tsuzuri.specialists.dead_letters import DeadLetter
from tsuzuri.specialists.registry.registry import Key, Registry

SHOWN_BYTES = 4000
"""Of a dead letter's body."""


def routed(registry: Registry) -> list[Key]:
    """The revisions that a route gives requests to."""
    return [
        (name, revision)
        for route in registry.routes.values()
        for name, shares in route.shares.items()
        for revision, share in shares.items()
        if share > 0
    ]


def revision_row(registry: Registry, key: Key) -> dict[str, Any]:
    """A revision in one line."""
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


def letter_row(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter in one line."""
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


def shown_letter(letter: DeadLetter) -> str:
    """A letter in full, its body cut; an operator asks for it by its place."""
    headers = [f"  {name}: {content.decode('utf-8', 'replace')}" for name, content in letter.record.headers]
    value = letter.record.value or b""
    body = value[:SHOWN_BYTES].decode("utf-8", "replace")
    cut = f" … ({len(value):,} bytes)" if len(value) > SHOWN_BYTES else ""
    facts = [f"{name}: {content}" for name, content in letter_row(letter).items()]
    return "\n".join([*facts, "headers:", *headers, "body:", body + cut])


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same names, for people."""
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
