"""Around every request: its id, its limits, headers that browsers obey, and one line of log.

The body is read here (`bodies`), before anything looks at it; one that is not JSON goes no further, so that
no web page of another origin can post to this server without asking its CORS rules first.
Paths are logged as the route that they belong to: what stands in a path or query may be a secret.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence

from pydantic_core import to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tsuzuri.serving import logs
from tsuzuri.serving.bodies import Bodies
from tsuzuri.serving.config import LOOPBACK, LimitsConfig
from tsuzuri.serving.errors import ApiError, error_body, error_headers
from tsuzuri.serving.metrics import Metrics

WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
HEADERS: Sequence[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Of every answer that does not bring its own."""
SECURE_ONLY = (b"strict-transport-security", b"max-age=31536000")


class Guard:
    """An ASGI application around another."""

    def __init__(
        self, app: ASGIApp, limits: LimitsConfig, metrics: Metrics, *, hosts: Sequence[str] | None = None
    ) -> None:
        self._app = app
        self._bodies = Bodies(limits, metrics.overloads.inc)
        self._metrics = metrics
        self._hosts = hosts
        """Names by which the server may be asked; None: any. A page on the web can make its own name mean
        this machine (DNS rebinding), so a server without keys answers to loopback's names alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        scope.setdefault("state", {})["request_id"] = answer.id
        try:
            with self._bodies.one(dict(scope["headers"])) as body:
                try:
                    self._check_host(scope)
                    content = await body.read(receive) if scope["method"] in WITH_BODY else b""
                except ApiError as error:
                    await answer.refuse(error)
                else:
                    if content is not None:
                        await self._app(scope, _after(content, receive), answer.send)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logs.failure("request_failed", error, request_id=answer.id)
            if answer.status is None:
                await answer.refuse(ApiError(500, "internal_error", "the server failed to answer"))
        finally:
            self._tell(scope, answer)

    def _check_host(self, scope: Scope) -> None:
        if self._hosts is None:
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name.strip("[]").lower() not in self._hosts:
            raise ApiError(403, "host_not_allowed", f"this server answers to {', '.join(LOOPBACK)} only")

    def _tell(self, scope: Scope, answer: _Answer) -> None:
        route = getattr(scope.get("route"), "path", "other")
        status = answer.status or 499
        self._metrics.http.labels(scope["method"], route, status).inc()
        client = scope.get("client")
        logs.event(
            "request",
            request_id=answer.id,
            method=scope["method"],
            route=route,
            status=status,
            elapsed_ms=round((time.monotonic() - answer.began_at) * 1000, 1),
            bytes_out=answer.sent_bytes,
            address=client[0] if client else None,
            key=scope["state"].get("key_id"),
        )


class _Answer:
    """What is sent for one request."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = f"req_{uuid.uuid4().hex}"
        self.began_at = time.monotonic()
        self.status: int | None = None
        self.sent_bytes = 0
        self._send = send
        self._is_secure = scope.get("scheme") == "https"

    async def send(self, message: Message) -> None:
        """Pass a message on, its headers completed."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            wanted = (*HEADERS, SECURE_ONLY) if self._is_secure else HEADERS
            headers += [item for item in wanted if item[0] not in present]
            headers.append((b"x-request-id", self.id.encode()))
            message = {**message, "headers": headers}
        else:
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, error: ApiError) -> None:
        """Answer with an error, and close: what the client still sends is not wanted."""
        body = to_json(error_body(error.status, error.code, error.message, error.param))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        told = error_headers(error.retry_after_s, error.headers)
        headers += [(name.encode(), value.encode()) for name, value in told.items()]
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _after(body: bytes, receive: Receive) -> Receive:
    """`receive` for an application whose body has been read."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed
