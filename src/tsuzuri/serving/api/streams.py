"""Server-sent events, and noticing that a client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tsuzuri.serving.jobs import Job

PING_S = 15.0
"""Between two signs of life to whatever stands between server and client."""
PING = b": ping\n\n"


async def watch(receive: Receive, job: Job) -> None:
    """Cancel the job when its client is gone. Runs until then, or until it is cancelled itself."""
    while (await receive())["type"] != "http.disconnect":
        pass
    job.cancel("cancelled")


class EventStream(Response):
    """The events of a job as they come. The job is settled, whatever becomes of the stream."""

    media_type = "text/event-stream"

    def __init__(self, job: Job, events: AsyncIterator[bytes], headers: Mapping[str, str]) -> None:
        self.job = job
        self.events = events
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no", **headers})

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Without a length, which a stream does not know."""
        content_type = (b"content-type", b"text/event-stream; charset=utf-8")
        given = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        self.raw_headers = [*given, content_type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        beside = [asyncio.create_task(watch(receive, self.job)), asyncio.create_task(_ping(send))]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for event in self.events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
            beside[1].cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for task in beside:
                task.cancel()
            await self.job.settle()


async def _ping(send: Send) -> None:
    while True:
        await asyncio.sleep(PING_S)
        await send({"type": "http.response.body", "body": PING, "more_body": True})
