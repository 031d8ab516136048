"""A bad network in front of a broker: everything goes through one port, which can be slow, cut, or deaf."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar

Result = TypeVar("Result")
Mode = Literal["open", "slow", "cut", "half open", "trickle"]
"""`slow`: each piece of data comes late; `cut`: connections break, and there are no new ones; `half open`:
they stay and nothing comes through; `trickle`: a byte at a time."""
CHUNK_BYTES = 65_536


class Link:
    """Listens from its making to `close`; `to` is the port behind it, once somebody listens there."""

    def __init__(self, to: int = 0) -> None:
        self.to, self.delay_s = to, 0.0
        self._mode: Mode = "open"
        self._loop = asyncio.new_event_loop()
        self._is_passable = asyncio.Event()
        self._is_passable.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link")
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._join, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @contextmanager
    def being(self, mode: Mode, *, delay_s: float = 0.0) -> Iterator[None]:
        """The network is so while this lasts."""
        self._call(self._become(mode, delay_s))
        try:
            yield
        finally:
            self._call(self._become("open", 0.0))

    def close(self) -> None:
        """Nobody gets through any more."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _become(self, mode: Mode, delay_s: float) -> None:
        self._mode, self.delay_s = mode, delay_s
        if mode == "half open":
            self._is_passable.clear()
        else:
            self._is_passable.set()
        if mode == "cut":
            await self._break()

    async def _break(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self) -> None:
        self._server.close()
        while self._tasks:
            await self._break()
        await self._server.wait_closed()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its client's beginning to either's end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            if self._mode == "cut":
                return
            back, there = await asyncio.open_connection("127.0.0.1", self.to)
            ways = [
                asyncio.ensure_future(self._pass(reader, there)),
                asyncio.ensure_future(self._pass(back, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the broker is away, or the link was cut
        finally:
            for one in (writer, there):
                if one is not None:
                    one.close()
                    with suppress(OSError, asyncio.CancelledError):
                        await one.wait_closed()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._is_passable.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                pieces = [data[at : at + 1] for at in range(len(data))] if self._mode == "trickle" else [data]
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if self._mode == "trickle":
                        await asyncio.sleep(0)
