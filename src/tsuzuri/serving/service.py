"""What the routes share: models, accounts, counters, and how many requests there may be."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager

from tsuzuri.serving import logs
from tsuzuri.serving.access import Accounts
from tsuzuri.serving.catalog import Catalog
from tsuzuri.serving.config import ServeConfig
from tsuzuri.serving.errors import ApiError
from tsuzuri.serving.jobs import Job
from tsuzuri.serving.metrics import Metrics


class Service:
    """One server's state. Used on one event loop."""

    def __init__(self, config: ServeConfig, catalog: Catalog, accounts: Accounts) -> None:
        self.config = config
        self.catalog = catalog
        self.accounts = accounts
        self.metrics = Metrics(lambda: list(catalog))
        self.is_draining = False
        """Whether the server was told to stop: it takes no more requests."""
        self._jobs: set[Job] = set()
        self._background: set[asyncio.Task[None]] = set()

    @contextmanager
    def admit(self, job: Job) -> Iterator[None]:
        """A request's place among those answered; ApiError where the server stops (503) or is full (429)."""
        self.check_open()
        if len(self._jobs) >= self.config.limits.requests:
            self.count_overload()
            raise ApiError(
                429, "server_overloaded", "the server answers as many requests as it may", retry_after_s=1
            )
        self._jobs.add(job)
        try:
            yield
        finally:
            self._jobs.discard(job)

    @property
    def running(self) -> int:
        """Requests that are answered."""
        return len(self._jobs)

    def check_open(self) -> None:
        """ApiError 503 once the server was told to stop."""
        if self.is_draining:
            raise ApiError(503, "server_shutting_down", "the server is being stopped", retry_after_s=5)

    def count_overload(self) -> None:
        """One more request was told to come again."""
        self.metrics.overloads.inc()

    def in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Work that ends though the request it was for is gone."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def begin_drain(self) -> None:
        """Take no more requests; hand back what still runs when the time to drain is over."""
        if not self.is_draining:
            self.is_draining = True
            logs.event("draining", running=len(self._jobs), drain_s=self.config.drain_s)
            asyncio.get_running_loop().call_later(self.config.drain_s, self._hand_back)

    async def close(self) -> None:
        """End everything: bills first, then models, then accounts."""
        self.is_draining = True
        self._hand_back()
        while self._jobs or self._background:
            await asyncio.gather(*self._background, return_exceptions=True)
            await asyncio.sleep(0.01)
        await self.catalog.close()
        await self.accounts.close()
        logs.event("stopped")

    def _hand_back(self) -> None:
        for job in list(self._jobs):
            job.cancel("handed_back")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logs.failure("background_work_failed", error)
