"""The bodies of requests: each read whole within its size and time, before anything looks at it.

What all of them hold together is bounded too, those of answers that are still being written included: whoever
comes beyond that is told to come again. What is refused is read on for a while and thrown away, since who
still sends does not hear the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from starlette.types import Receive

from tsuzuri.serving.config import LimitsConfig
from tsuzuri.serving.errors import ApiError

UNHEARD_BODIES = 16
"""Times the largest body that is read, and thrown away, of one that is refused."""


class Bodies:
    """Those of one server. `on_full` is called for each request that finds no room."""

    def __init__(self, limits: LimitsConfig, on_full: Callable[[], object]) -> None:
        self.limits = limits
        self._on_full = on_full
        self._held_bytes = 0

    @contextmanager
    def one(self, headers: Mapping[bytes, bytes]) -> Iterator[Body]:
        """The body of a request with these headers, held while this lasts."""
        body = Body(self, headers)
        try:
            yield body
        finally:
            self._held_bytes -= body.held_bytes

    def hold(self, size: int) -> None:
        """So many bytes more are held; ApiError 429 where there is no room for them."""
        if self._held_bytes + size > self.limits.bodies_bytes:
            self._on_full()
            message = "the server holds as many requests as it may"
            raise ApiError(429, "server_overloaded", message, retry_after_s=1)
        self._held_bytes += size


class Body:
    """One body, as far as it has come."""

    def __init__(self, bodies: Bodies, headers: Mapping[bytes, bytes]) -> None:
        self.held_bytes = 0
        self._bodies = bodies
        self._is_json = _is_json(headers.get(b"content-type", b""))
        self._size = 0
        self._parts: list[bytes] = []
        self._refused: ApiError | None = None
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit():
            self._check_size(int(declared[:20]))

    async def read(self, receive: Receive) -> bytes | None:
        """All of it; None where the client went away before its end. ApiError for what goes no further."""
        limits = self._bodies.limits
        try:
            async with asyncio.timeout(limits.body_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    self._add(message.get("body", b""))
                    if not message.get("more_body") or self._size > UNHEARD_BODIES * limits.body_bytes:
                        break
        except TimeoutError as error:
            message_s = f"the body did not arrive within {limits.body_s:.0f} s"
            raise ApiError(408, "request_timeout", message_s) from error
        if self._refused is not None:
            raise self._refused
        if self._size and not self._is_json:
            raise ApiError(415, "not_json", "send the body as Content-Type: application/json")
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole

    def _add(self, part: bytes) -> None:
        """Keep a part, unless it is refused."""
        self._size += len(part)
        self._check_size(self._size)
        if self._refused is None:
            try:
                self._bodies.hold(len(part))
            except ApiError as error:
                self._refused = error
            else:
                self.held_bytes += len(part)
                self._parts.append(part)

    def _check_size(self, size: int) -> None:
        limit = self._bodies.limits.body_bytes
        if self._refused is None and size > limit:
            self._refused = ApiError(413, "body_too_large", f"a request may have {limit:,} bytes")


def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"
