"""A picture of an installation (`watching.picture`) as a terminal shows it, and as lines for a log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tsuzuri.specialists.watching.picture import NO_ERRORS

WIDE = 120
"""Columns of a terminal from which on nothing is left out."""
FIGURES = 63
"""Of a narrower one, what all but the first column take."""
LABELS = (17, 40)
"""Characters of a specialist and its revision, where they share a column: the least, the most."""
NAME, REVISION = 20, 14
"""Characters of each, where they don't."""
OLD_S = 5.0
"""Age of what waits from which on it is shown as late."""
SILENT_S = 7.0
"""After which a gateway that says nothing is shown as silent."""
BARS = " ▁▂▃▄▅▆▇█"
BARRED = 10
"""Bars for the last minute."""
SHORT = {"loading": "load", "checking": "check", "refused": "refus", "draining": "drain"}
STYLES = {"ready": "green", "loading": "yellow", "checking": "yellow", "refused": "red", "draining": "cyan"}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One of the table: what it is called, what it shows, where it is left out."""

    title: str
    show: Callable[[Row], Text | str]
    is_wide: bool | None = None
    """Only on wide terminals, only on narrow ones, or on all."""
    justify: Literal["left", "right"] = "right"


COLUMNS = (
    Column("specialist", lambda row: Text(_head_of(row["specialist"], NAME), "bold"), True, "left"),
    Column("revision", lambda row: _tail(row["revision"], REVISION), True, "left"),
    Column("state", lambda row: _state(row, is_short=True), False, "left"),
    Column("state", lambda row: _state(row), True, "left"),
    Column("wrk", lambda row: _workers(row)),
    Column("share", lambda row: f"{max(row['shares'].values(), default=0.0):.0%}"),
    Column("last minute", lambda row: Text(bars(row["each"]), "cyan"), True, "left"),
    Column("req/s", lambda row: number(row["requests_per_s"])),
    Column("run", lambda row: number(row["in_flight"])),
    Column("lag", lambda row: _late(row, number(row["lag"]))),
    Column("old", lambda row: _late(row, span(row["oldest_s"]))),
    Column("first", lambda row: time_ms(row["first_ms"]["p50"])),
    Column("f.p99", lambda row: time_ms(row["first_ms"]["p99"]), True),
    Column("p50", lambda row: time_ms(row["total_ms"]["p50"])),
    Column("p99", lambda row: time_ms(row["total_ms"]["p99"])),
    Column("err", lambda row: Text(number(row["errors"]), "bold red" if row["errors"] else "")),
    Column("tok/s", lambda row: number(row["tokens_per_s"])),
)


def screen(picture: Mapping[str, Any], *, width: int, routings: int = 8) -> RenderableType:
    """The whole of it; so many of the last requests."""
    return Group(
        _head(picture, width),
        _trouble(picture),
        _revisions(picture, width),
        "",
        *_facts(picture),
        *_routings(picture["routings"][:routings]),
    )


def text(picture: Mapping[str, Any], *, width: int, is_colored: bool = False) -> str:
    """The same as a string."""
    out = StringIO()
    console = Console(file=out, width=width, force_terminal=is_colored, highlight=False)
    console.print(screen(picture, width=width), no_wrap=True, overflow="ellipsis", crop=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def lines(picture: Mapping[str, Any]) -> list[str]:
    """A line for each revision and one for the rest, each of names and values, for logs."""
    at = _clock(picture["at_ms"], "%Y-%m-%dT%H:%M:%S")
    every = {
        "broker": "up" if picture["broker"]["is_reached"] else "away",
        "controller": picture["controller"],
        "gateways": len(picture["gateways"]),
        "held": sum(one["held"] for one in picture["gateways"]),
        "dead_letters": sum(picture["dead_letters"].values()),
    }
    return [f"{at} {_pairs(every)}"] + [f"{at} {_pairs(_line(row))}" for row in shown(picture["specialists"])]


def shown(rows: Iterable[Row]) -> list[Row]:
    """Those that are of interest now: not what is gone and was only here."""
    return [row for row in rows if row["state"] != "gone" or row["workers"] or any(row["shares"].values())]


def number(value: float | None) -> str:
    """A count or a rate in at most five characters."""
    if value is None:
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            small = value / (size if unit != "k" else 1e3)
            return f"{small:.0f}{unit}"
    return f"{value:.1f}" if value % 1 and value < 1000 else f"{value:.0f}"


def time_ms(value: float | None) -> str:
    """A time in at most five characters."""
    if value is None:
        return "–"
    return f"{value:.0f}ms" if value < 999.5 else span(value / 1000)


def span(value: float | None) -> str:
    """A time in seconds in at most four characters."""
    if value is None:
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (100, "m")):
        if value >= size:
            return f"{value / (size if unit != 'm' else 60):.0f}{unit}"
    return f"{value:.1f}s" if value < 9.95 else f"{value:.0f}s"


def bars(each: Iterable[int]) -> str:
    """Counts as bars, the oldest first; none is a blank."""
    counts = list(each)
    size = max(1, len(counts) // BARRED)
    sums = [sum(counts[place : place + size]) for place in range(0, len(counts), size)]
    most = max(sums, default=0)
    return "".join(BARS[-(-count * (len(BARS) - 1) // most)] if most else " " for count in sums)


def _head(picture: Mapping[str, Any], width: int) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    aliases = [
        f"{alias} · {route['mode']} · generalist {route['generalist']}"
        for alias, route in picture["aliases"].items()
    ]
    title = Text("; ".join(aliases) or "no route yet", "bold")
    grid.add_row(title, Text(_clock(picture["at_ms"], "%H:%M:%S"), "dim"))
    return grid


def _trouble(picture: Mapping[str, Any]) -> Text:
    """What an operator has to see first; nothing where all is well."""
    broker = picture["broker"]
    if not broker["is_reached"]:
        return Text(
            f"THE BROKER IS AWAY: {broker['trouble']} – figures are the last that were heard", "bold red"
        )
    notes = [route["note"] for route in picture["aliases"].values() if route["note"]]
    return Text(f"decided last: {'; '.join(notes)}" if notes else "", "dim")


def _revisions(picture: Mapping[str, Any], width: int) -> RenderableType:
    rows = shown(picture["specialists"])
    if not rows:
        return Text("nobody is here yet: tsuzuri specialists up SPECIALISTS.yaml", "dim")
    is_wide = width >= WIDE
    columns = [column for column in COLUMNS if column.is_wide in (None, is_wide)]
    if not is_wide:
        room = min(max(width - FIGURES, LABELS[0]), LABELS[1])
        columns.insert(0, Column("specialist", lambda row: _label(row, room), justify="left"))
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for column in columns:
        grid.add_column(column.title, justify=column.justify, no_wrap=True)
    for row in rows:
        grid.add_row(*(column.show(row) for column in columns))
    return grid


def _facts(picture: Mapping[str, Any]) -> Iterable[RenderableType]:
    """Gateways, who decides, the broker, dead letters: a line each."""
    for place, one in enumerate(picture["gateways"]):
        line = Text(f"{one['name']} · {one['held']} held · {number(one['requests_per_s'])}/s")
        if one["silent_s"] >= SILENT_S:
            line.append(f" · silent for {span(one['silent_s'])}", "bold red")
        yield _fact("gateways" if not place else "", line)
    if not picture["gateways"]:
        yield _fact("gateways", Text("none is heard: tsuzuri serve --kafka …", "yellow"))
    holder = picture["controller"]
    yield _fact(
        "controller",
        Text(holder) if holder else Text("nobody decides: is `up`, or a gateway, there?", "yellow"),
    )
    yield _fact("broker", Text(picture["broker"]["address"]))
    letters = picture["dead_letters"]
    if letters:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(letters.items()))
        yield _fact("dead letters", Text(f"{reasons} → tsuzuri specialists dlq list", "red"))
    else:
        yield _fact("dead letters", Text("none"))


def _fact(name: str, value: Text) -> Text:
    return Text.assemble((f"{name:<13}", "dim"), value)


def _routings(routings: Iterable[Row]) -> Iterable[RenderableType]:
    for place, one in enumerate(routings):
        if not place:
            yield Text("\nlast requests", "dim")
        outcome = one.get("outcome") or "done"
        ended = "" if outcome == "done" else f" {outcome}"
        times = f"{time_ms(one.get('first_ms'))} {time_ms(one.get('total_ms'))}"
        yield Text.assemble(
            (_clock(one["at_ms"], "%H:%M:%S"), "dim"),
            f" {times:>12} ",
            (one["specialist"], "bold"),
            (ended, "yellow" if outcome in NO_ERRORS else "red"),
            (f" {one.get('why', '')}", "dim"),
        )


def _label(row: Row, room: int) -> Text:
    """A specialist and as much of its revision as there is room for."""
    name, revision = row["specialist"], row["revision"]
    told = _tail(revision, max(5, room - 1 - len(name)))
    return Text.assemble((_head_of(name, room - 1 - len(told)), "bold"), ("/" + told, "dim"))


def _head_of(name: str, room: int) -> str:
    return name if len(name) <= room else name[: room - 1] + "…"


def _tail(revision: str, room: int) -> str:
    """The end of a revision's name, in which revisions differ."""
    return revision if len(revision) <= room else "…" + revision[-(room - 1) :]


def _state(row: Row, *, is_short: bool = False) -> Text:
    states = [worker["state"] for worker in row["workers"]]
    state = row["state"] or (states[0] if states else "–")
    return Text(SHORT.get(state, state) if is_short else state, STYLES.get(state, "dim"))


def _workers(row: Row) -> Text:
    there, wanted = len(row["workers"]), row["wanted"] or 0
    is_few = there < wanted or (not there and any(row["shares"].values()))
    return Text(f"{there}/{wanted}" if there < wanted else str(there), "bold red" if is_few else "")


def _late(row: Row, value: str) -> Text:
    return Text(value, "bold yellow" if (row["oldest_s"] or 0) > OLD_S else "")


def _clock(at_ms: int, form: str) -> str:
    return datetime.fromtimestamp(at_ms / 1000).strftime(form)


def _line(row: Row) -> dict[str, Any]:
    return {
        "specialist": row["specialist"],
        "revision": row["revision"],
        "state": row["state"],
        "workers": len(row["workers"]),
        "share": max(row["shares"].values(), default=0.0),
        "requests_per_s": row["requests_per_s"],
        "in_flight": row["in_flight"],
        "lag": row["lag"],
        "oldest_s": row["oldest_s"],
        "first_ms_p50": row["first_ms"]["p50"],
        "first_ms_p99": row["first_ms"]["p99"],
        "total_ms_p50": row["total_ms"]["p50"],
        "total_ms_p99": row["total_ms"]["p99"],
        "errors": row["errors"],
        "tokens_per_s": row["tokens_per_s"],
    }


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={'-' if value is None else value}" for name, value in values.items())
