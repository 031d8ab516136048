"""Work on an event loop that others start, from its own thread or another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress


class Background:
    """The loop of the one who makes this, and what runs on it meanwhile."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Let it run; on the loop."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def soon(self, work: Callable[[], object]) -> None:
        """Do it on the loop; from any thread."""
        with suppress(RuntimeError):  # the loop is closed: so is everything that waits
            self._loop.call_soon_threadsafe(work)

    def cancel(self) -> None:
        """End what runs."""
        for task in self._tasks:
            task.cancel()
