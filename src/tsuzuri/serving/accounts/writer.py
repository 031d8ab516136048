"""The one writer: a thread that takes what has come and commits it together.

One commit costs a wait for the disk, whatever it holds: with hundreds of requests in flight, dozens share it.
SQLite waits for none where all that came wants to be let in: only the power could undo it, and with the power
go the requests themselves.
While the database is locked, full or away, requests that ask to be let in are refused after `busy_s`; what is
to be settled is kept and tried until it is written, though nobody may be waiting for it any more.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sqlalchemy import Connection

from tsuzuri.serving.accounts.database import PAUSE_S, Database, is_passing
from tsuzuri.serving.accounts.errors import StorageUnavailable
from tsuzuri.serving.accounts.ledger import Ledger, open_holds
from tsuzuri.serving.accounts.metering import Granted, Reserve, Settle
from tsuzuri.serving.accounts.tables import requests

logger = logging.getLogger(__name__)

MOST_TOGETHER = 256
"""Changes in one transaction."""

Result = TypeVar("Result")
Change = Reserve | Settle | Callable[[Connection], Any]


class _Asked:
    """A change, and who waits for its answer until when."""

    __slots__ = ("answer", "change", "loop", "must_be_written", "then", "until_s", "waiter")

    def __init__(self, change: Change, until_s: float, then: Callable[[], object] | None) -> None:
        self.change = change
        self.must_be_written = isinstance(change, Settle)
        self.until_s = until_s
        self.then = then
        self.loop = asyncio.get_running_loop()
        self.waiter: asyncio.Future[Any] | None = self.loop.create_future()
        self.answer: Any = None


class Writer:
    """The thread. `ask` is called on event loops; `close` waits until all that was asked is answered."""

    def __init__(self, database: Database, *, day_offset_h: float) -> None:
        self._database = database
        self._day_offset_h = day_offset_h
        self._asked: deque[_Asked] = deque()
        self._wake = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="accounts-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Changes that are not written yet."""
        return len(self._asked)

    async def reserve(self, change: Reserve, on_abandoned: Callable[[], object]) -> Granted:
        """Let a request in, or raise why not; `on_abandoned` is called once it is certain, after
        StorageUnavailable, that it is not in."""
        granted: Granted = await self._ask(change, on_abandoned)
        return granted

    async def settle(self, change: Settle, on_written: Callable[[], object]) -> None:
        """Return once it is durable. On StorageUnavailable it is still kept, and `on_written` called
        later."""
        await self._ask(change, on_written)

    async def act(self, change: Callable[[Connection], Result]) -> Result:
        """What `change` returns, in a transaction of its own."""
        result: Result = await self._ask(change)
        return result

    async def close(self) -> None:
        """Write what was asked; what cannot be written within `busy_s` stays in the journal."""
        self._is_closing = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join)

    async def _ask(self, change: Change, then: Callable[[], object] | None = None) -> Any:
        if self._is_closing:
            raise StorageUnavailable("the server is shutting down")
        asked = _Asked(change, time.monotonic() + self._database.config.busy_s, then)
        waiter = asked.waiter
        assert waiter is not None
        self._asked.append(asked)
        self._wake.set()
        return await asyncio.shield(
            waiter
        )  # who is cancelled meanwhile changes nothing about what is written

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._asked:
                group = self._next_group()
                if not self._try(group):
                    self._give_up_late(group)
                    if self._is_closing and all(asked.waiter is None for asked in self._asked):
                        return  # what is left is in the journal
                    time.sleep(PAUSE_S)
            if self._is_closing:
                return

    def _next_group(self) -> list[_Asked]:
        """The first changes, of one kind: what is metered goes together, anything else alone."""
        group = [self._asked.popleft()]
        while (
            self._asked
            and len(group) < MOST_TOGETHER
            and _is_metered(group[0])
            and _is_metered(self._asked[0])
        ):
            group.append(self._asked.popleft())
        return group

    def _try(self, group: list[_Asked]) -> bool:
        """Whether the group was answered: written, or refused for good."""
        try:
            outlives_power = not all(isinstance(asked.change, Reserve) for asked in group)
            with self._database.begin(outlives_power=outlives_power) as connection:
                if _is_metered(group[0]):
                    changes: Any = [asked.change for asked in group]
                    answers: list[Any] = list(Ledger(connection, self._day_offset_h).apply(changes))
                else:
                    answers = [group[0].change(connection)]  # type: ignore[operator]
        except Exception as error:
            if is_passing(error):
                return False
            if len(group) > 1:  # one that cannot be written must not fail the others
                tried = [self._try([asked]) for asked in group]
                return all(tried)
            answers = [error]
        for asked, answer in zip(group, answers, strict=True):
            asked.answer = answer
            if asked.then is not None and asked.must_be_written and not isinstance(answer, Exception):
                asked.then()
            asked.must_be_written = False
        _tell(group)
        return True

    def _give_up_late(self, group: list[_Asked]) -> None:
        """Refuse those whose time is up; the others, and all that must be written, come first again."""
        now_s = time.monotonic()
        everything = list(group)
        while self._asked:
            everything.append(self._asked.popleft())
        late = [asked for asked in everything if asked.waiter is not None and asked.until_s < now_s]
        if late:
            logger.warning("the accounts cannot be written; %d changes wait", len(everything))
        for asked in late:
            asked.answer = StorageUnavailable()
            if isinstance(
                asked.change, Reserve
            ):  # its commit may have arrived, and only the answer been lost
                asked.change, asked.must_be_written = _abandon(asked.change, self._day_offset_h), True
        _tell(late)
        again = [asked for asked in everything if asked.waiter is not None or asked.must_be_written]
        self._asked.extendleft(reversed(again))


def _abandon(change: Reserve, day_offset_h: float) -> Callable[[Connection], None]:
    """Settles a request, should it have been let in, whose caller was told that it was not."""

    def settle(connection: Connection) -> None:
        found = open_holds(connection, requests.c.id == change.id)
        Ledger(connection, day_offset_h).apply(
            [Settle(hold, 0, 0, "refused", change.at_ms) for hold in found]
        )

    return settle


def _is_metered(asked: _Asked) -> bool:
    return isinstance(asked.change, Reserve | Settle)


def _tell(group: Iterable[_Asked]) -> None:
    """Hand the answers over, with one call to each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for asked in group:
        if asked.waiter is not None:
            loops.setdefault(asked.loop, []).append((asked.waiter, asked.answer))
            asked.waiter = None
    for loop, answers in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, answers)
        except RuntimeError:  # the loop is closed: nobody waits
            if not loop.is_closed():
                raise


def _resolve(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for waiter, answer in answers:
        if waiter.done():
            continue
        if isinstance(answer, Exception):
            waiter.set_exception(answer)
            waiter.exception()  # seen, even where who asked has gone
        else:
            waiter.set_result(answer)
