"""What every route needs: the service, the request's id, and who asks."""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from tsuzuri.serving.access import Caller
from tsuzuri.serving.api.schemas import ErrorAnswer
from tsuzuri.serving.config import LOOPBACK
from tsuzuri.serving.errors import ApiError
from tsuzuri.serving.service import Service

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": what}
    for status, what in {
        400: "What was asked is not allowed",
        401: "No key, or none that is valid",
        403: "The key may not do this",
        404: "There is no such thing",
        408: "The request did not arrive in time",
        409: "It is so already, or was done before",
        413: "The request is too large",
        415: "The body is not JSON",
        429: "A limit was reached: see Retry-After",
        500: "The server failed",
        503: "The server can't answer now: see Retry-After",
    }.items()
}
"""The errors of every route, for its description."""

TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")

_bearer = HTTPBearer(auto_error=False, description="Authorization: Bearer KEY")


def service_of(request: Request) -> Service:
    """The server's state."""
    service: Service = request.app.state.service
    return service


def request_id_of(request: Request) -> str:
    """The id that the answer carries."""
    return str(request.scope["state"]["request_id"])


def trace_of(request: Request) -> dict[str, str]:
    """The trace that a request belongs to: the client's, or one that begins here (W3C Trace Context)."""
    parent, state = request.headers.get("traceparent", ""), request.headers.get("tracestate", "")
    if not TRACEPARENT.fullmatch(parent) or parent.startswith("ff"):
        return {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"}
    return {"traceparent": parent, **({"tracestate": state} if TRACESTATE.fullmatch(state) else {})}


async def signed(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """Who asks; an error with its status where nobody who may."""
    bearer = credentials.credentials if credentials else None
    address = request.client.host if request.client else ""
    caller: Caller = await service_of(request).accounts.authenticate(bearer, address=address)
    request.scope["state"]["key_id"] = caller.key_id
    return caller


async def administrator(caller: Annotated[Caller, Depends(signed)]) -> Caller:
    """Who asks, with an administrator's key."""
    if not caller.is_admin:
        raise ApiError(403, "admin_key_required", "this needs an administrator's key")
    return caller


async def operator(request: Request) -> None:
    """This machine, or an administrator's key from elsewhere; ApiError for anybody else."""
    host = request.client.host if request.client else ""
    if host in LOOPBACK and not any(name in request.headers for name in FORWARDED):
        return
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    bearer = key if scheme.lower() == "bearer" else None
    caller = await service_of(request).accounts.authenticate(bearer, address=host)
    if not caller.is_admin:
        raise ApiError(403, "admin_key_required", "this needs an administrator's key")


Signed = Annotated[Caller, Depends(signed)]
Administrator = Annotated[Caller, Depends(administrator)]


def permit(caller: Caller, model: str) -> None:
    """ApiError 403 where the key may not use the model."""
    if not caller.allows(model):
        raise ApiError(403, "model_not_allowed", f"your key may not use {model[:100]!r}", param="model")
