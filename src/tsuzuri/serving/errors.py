"""What a client is told when a request fails: a status and one JSON shape, OpenAI's.

    {"error": {"message": …, "type": …, "param": …, "code": …}}

Any error that carries a `status` (HTTP's) and a `code` (a word for programs) is answered so, whichever room
raised it. A message names what was wrong and what is allowed; it never repeats a prompt, a key or a path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tsuzuri.core.errors import TsuzuriError

TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""OpenAI's type of an error by its status; other 4xx are `invalid_request_error`, 5xx `server_error`."""


class ApiError(TsuzuriError):
    """A request that cannot be answered as asked."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})


def invalid(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """The request itself is wrong (400)."""
    return ApiError(400, code, message, param=param)


def error_type(status: int) -> str:
    """OpenAI's `type` for a status."""
    return TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def error_body(status: int, code: str | None, message: str, param: str | None = None) -> dict[str, Any]:
    """The JSON of an error."""
    return {"error": {"message": message, "type": error_type(status), "param": param, "code": code}}


def error_headers(retry_after_s: float | None, others: Mapping[str, str]) -> dict[str, str]:
    """The headers of an error; `Retry-After` is in whole seconds, never 0."""
    headers = dict(others)
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    return headers
