"""`tsuzuri specialists top`: who is up, what goes through, what waits, and how the last requests were routed.

All of it comes over the bus, so it works wherever the broker can be reached: workers say how they are,
gateways what they saw in the last minute, the broker what waits.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from tsuzuri.specialists.operators.reaching import reach
from tsuzuri.specialists.operators.screen import lines, screen, shown, text
from tsuzuri.specialists.operators.tables import routed
from tsuzuri.specialists.watching.look import Look
from tsuzuri.specialists.watching.picture import picture

HEARD_S = 2.5
"""For workers and gateways that live to be heard of."""
AROUND = 9
"""Lines of the screen that are neither revisions nor requests."""


def top(
    *,
    config: Path | None = None,
    kafka: str | None = None,
    out: Path | None = None,
    once: bool = False,
    every: float = 2.0,
    as_json: bool = False,
) -> Iterator[str]:
    """The picture again and again, on a terminal in one place, until Ctrl-C; or once."""
    with reach(config, kafka, out) as joined:
        registry = joined.registry
        look = Look(joined.bus, joined.topics, registry)
        try:
            look.measure()
            registry.wait_for(
                lambda: bool(look.figures) and all(registry.alive(*key) for key in routed(registry)), HEARD_S
            )

            def taken() -> dict[str, Any]:
                return picture(registry, look, address=joined.address)

            if once:
                yield _once(taken(), as_json=as_json)
                return
            with _measured(look, every):
                yield from _again(taken, every, as_json=as_json)
        except KeyboardInterrupt:  # whoever watched has seen enough
            return
        finally:
            look.close()


def _once(seen: dict[str, Any], *, as_json: bool) -> str:
    if as_json:
        return json.dumps(seen, ensure_ascii=False, indent=2)
    return text(seen, width=Console().width, is_colored=sys.stdout.isatty())


def _again(taken: Callable[[], dict[str, Any]], every_s: float, *, as_json: bool) -> Iterator[str]:
    if as_json or not sys.stdout.isatty():
        while True:
            seen = taken()
            yield json.dumps(seen, ensure_ascii=False) if as_json else "\n".join(lines(seen))
            time.sleep(every_s)
    console = Console(highlight=False)
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            seen = taken()
            left = console.height - AROUND - len(shown(seen["specialists"])) - len(seen["gateways"])
            live.update(screen(seen, width=console.width, routings=max(1, left)), refresh=True)
            time.sleep(every_s)


@contextmanager
def _measured(look: Look, every_s: float) -> Iterator[None]:
    """Ask the broker meanwhile, which may take its time to say that it is away."""
    is_over = threading.Event()

    def measure() -> None:
        while not is_over.wait(every_s):
            look.measure()

    thread = threading.Thread(target=measure, name="look", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
