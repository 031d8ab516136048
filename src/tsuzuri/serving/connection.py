"""One connection: uvicorn's, which waits for nobody forever and answers everybody in JSON.

Beyond uvicorn's own protocol: headers have a time and a size (slow-loris), a client that does not read is cut
off, connections are counted, and what is no HTTP is refused in the API's shape.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tsuzuri.serving.config import LimitsConfig
from tsuzuri.serving.errors import error_body


class PatientConnection(HttpToolsProtocol):
    """A connection with limits; `bound` makes the class of one server."""

    limits: LimitsConfig
    _header_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _header_bytes: int | None = 0
    """So far; None between the headers and the next request."""

    @classmethod
    def bound(cls, limits: LimitsConfig) -> type[PatientConnection]:
        """The class for a server of these limits."""
        return type("Connection", (cls,), {"limits": limits})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
        else:
            self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """More of a request; refused where its headers have no end."""
        if self._header_bytes is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._header_bytes is not None and self._header_bytes > self.limits.header_bytes:
            self._refuse(431, "headers_too_large", "the headers of a request are too large")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        if self._header_timer is None:
            self._wait_for_headers()

    def on_headers_complete(self) -> None:
        """The headers are there."""
        if self._header_timer is not None:
            self._header_timer.cancel()
        self._header_timer = self._header_bytes = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """The client does not read: it has a while to go on."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.limits.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, "bad_http", "that is no HTTP request")

    def _wait_for_headers(self) -> None:
        self._header_bytes = 0
        self._header_timer = self.loop.call_later(self.limits.header_s, self._give_up)

    def _give_up(self) -> None:
        self._refuse(408, "request_timeout", "the headers of a request did not arrive in time")

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._cancel_timers()
        if self.transport.is_closing():
            return
        body = to_json(error_body(status, code, message))
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _cancel_timers(self) -> None:
        for timer in (self._header_timer, self._write_timer):
            if timer is not None:
                timer.cancel()


def connection_class(limits: LimitsConfig) -> Any:
    """What uvicorn takes as its `http`."""
    return PatientConnection.bound(limits)
