"""The web application: the routes of every room on one service, behind one guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from tsuzuri.core.errors import IntegrityError, ResourceError, TsuzuriError
from tsuzuri.core.manifest import code_version
from tsuzuri.serving import logs
from tsuzuri.serving.api import catalog, embeddings, operations, text
from tsuzuri.serving.config import LOOPBACK
from tsuzuri.serving.engines.base import EngineFailed, Overloaded
from tsuzuri.serving.errors import error_body, error_headers
from tsuzuri.serving.guard import Guard
from tsuzuri.serving.models import PromptTooLong
from tsuzuri.serving.service import Service

DESCRIPTION = (
    "Text from models of one's own. What OpenAI's clients send to /v1 is understood here; a parameter that "
    "this server does not have is an error, never skipped."
)
EXPOSED = ["x-request-id", "retry-after"] + [
    f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")
]
"""Headers that pages of other origins, where any are named, may read."""
NO_JSON = "the body is not a JSON object in UTF-8"
CODES = {404: "not_found", 405: "method_not_allowed", 401: "missing_api_key"}


class Guest(Protocol):
    """What lives within a server and brings models and routes of its own."""

    router: APIRouter
    page: str
    """Of the playground: the one that shows what it does."""

    def prepare(self) -> None:
        """Raise what is wrong before a server starts; it may block."""

    async def start(self, service: Service) -> None:
        """Bring models; they may come and go from now on."""

    async def close(self) -> None:
        """End; nobody asks any more."""


def application(service: Service, routers: Sequence[APIRouter] = (), guests: Sequence[Guest] = ()) -> ASGIApp:
    """The application of a service; `routers` are those of its accounts and the playground.

    The service lives as long as the application does, and guests as long as the service.
    """
    app = FastAPI(
        title="Tsuzuri",
        description=DESCRIPTION,
        version=code_version(),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to http:// behind a proxy, where a client would send its key
        lifespan=_lifespan(service, guests),
    )
    app.state.service = service
    for router in (
        text.router,
        embeddings.router,
        catalog.router,
        catalog.admin,
        operations.router,
        *routers,
        *(guest.router for guest in guests),
    ):
        app.include_router(router)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(TsuzuriError, _tsuzuri_error)
    app.add_exception_handler(Exception, _unexpected)
    app.openapi = _described(app)  # type: ignore[method-assign]
    if service.config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.config.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # OpenAI's client says in headers of its own where it runs
            expose_headers=EXPOSED,
        )
    hosts = LOOPBACK if service.config.accounts is None else None
    return Guard(app, service.config.limits, service.metrics, hosts=hosts)


def _lifespan(service: Service, guests: Sequence[Guest]) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.accounts.start()
        try:
            for guest in guests:
                await guest.start(service)
            yield
        finally:
            await service.close()
            for guest in guests:
                await guest.close()

    return lifespan


def _described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """FastAPI's description, without the 422 that no route of ours answers."""
    original = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = original()
            for methods in schema["paths"].values():
                for operation in methods.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                schema.get("components", {}).get("schemas", {}).pop(name, None)
            app.openapi_schema = schema
        return app.openapi_schema

    return described


async def _not_valid(request: Request, error: Exception) -> JSONResponse:
    """What was asked has the wrong shape: the first field at fault, what is allowed, not what was given."""
    assert isinstance(error, RequestValidationError)
    first, *others = error.errors()
    if first["type"] == "json_invalid" or first["loc"] == ("body",):
        return JSONResponse(error_body(400, "bad_json", NO_JSON), 400)
    place = [str(part) for part in first["loc"][1:]]
    param = place[0] if place else None
    code = "unknown_parameter" if first["type"] == "extra_forbidden" else "invalid_value"
    if first["type"] == "extra_forbidden":
        message = f"{'.'.join(place)[:100]} is no parameter of this request"
    elif first["type"] == "missing":
        message = f"{'.'.join(place)} is missing"
    else:
        told = [item["msg"] for item in (first, *others) if item["loc"][1:2] == (param,)]
        wanted = list(dict.fromkeys(text.removeprefix("Value error, ") for text in told))
        message = f"{param}: {'; or '.join(wanted[:6])}"
    return JSONResponse(error_body(400, code, message, param), 400)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = error.status_code
    if status == 400:  # of a body in which FastAPI finds no text, or too deep a one
        return JSONResponse(error_body(400, "bad_json", NO_JSON), 400)
    messages = {404: "there is nothing at this path", 405: "this path does not take that method"}
    message = messages.get(status, "the request can't be read" if status < 500 else "the server failed")
    headers = dict(error.headers or {})
    return JSONResponse(
        error_body(status, CODES.get(status, "bad_request"), message), status, headers=headers
    )


async def _tsuzuri_error(request: Request, error: Exception) -> JSONResponse:
    """Errors of ours: those with a status say it, others are the client's mistake or the engine's state."""
    assert isinstance(error, TsuzuriError)
    status, code = getattr(error, "status", None), getattr(error, "code", None)
    retry_after_s = getattr(error, "retry_after_s", None)
    if status is None:
        status, code = _status_of(error)
        if isinstance(error, EngineFailed):
            retry_after_s = 5.0
    message = error.message
    if status >= 500 and getattr(error, "status", None) is None:
        logs.failure("request_failed", error, request_id=request.scope["state"]["request_id"])
        message = "the server can't answer now"
    headers = error_headers(retry_after_s, getattr(error, "headers", {}))
    body = error_body(status, code, message, getattr(error, "param", None))
    return JSONResponse(body, status, headers=headers)


def _status_of(error: TsuzuriError) -> tuple[int, str]:
    if isinstance(error, Overloaded):
        return 429, "engine_overloaded"
    if isinstance(error, EngineFailed):
        return 503, "engine_failed"
    if isinstance(error, ResourceError | IntegrityError):
        return 500, "internal_error"
    return 400, "context_length_exceeded" if isinstance(error, PromptTooLong) else "invalid_value"


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(error_body(500, "internal_error", "the server failed to answer"), 500)
