"""Progress for people: a bar on a terminal, a plain line now and then in a log. Never on standard output.

Of several processes that share a run, the first one speaks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from tsuzuri.core.ranks import is_first

Item = TypeVar("Item")

LOG_EVERY_S = 15.0


def say(message: str) -> None:
    """One line for the person who started the command, on standard error."""
    if is_first():
        print(message, file=sys.stderr, flush=True)


def track(
    items: Iterable[Item], description: str | Callable[[], str], total: int | None = None
) -> Iterator[Item]:
    """The items, while showing how many of `total` have passed; a callable description is asked each time."""
    describe = description if callable(description) else lambda: description
    if sys.stderr.isatty() and is_first():
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(describe(), total=total)
            for item in items:
                yield item
                progress.update(task, advance=1, description=describe())
        return
    started = reported = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - reported >= LOG_EVERY_S:
            reported = now
            of = f" of {total}" if total else ""
            say(f"{describe()}: {count}{of} ({count / (now - started):.1f}/s)")
