"""What a caller may be told, with the HTTP status and the code that the API answers.

AccountError
├── Unauthorized         401  no key, or none that is valid
├── Forbidden            403  a valid key that may not do this
├── NotFound             404  no such key, plan, application
├── Conflict             409  it is so already, or was done
├── Invalid              400  what was given is not allowed
├── LimitReached         429  a rate, a quota or a budget is used up for now
└── StorageUnavailable   503  the database does not answer, or its disk is full
"""

from __future__ import annotations

from collections.abc import Mapping

from tsuzuri.serving.errors import ApiError


class AccountError(ApiError):
    """Base: the message is for the caller, the hint for the command line."""

    status_of_kind = 400

    def __init__(
        self,
        message: str,
        code: str,
        *,
        param: str | None = None,
        hint: str = "",
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            self.status_of_kind, code, message, param=param, retry_after_s=retry_after_s, headers=headers
        )
        self.hint = hint


class Unauthorized(AccountError):  # noqa: N818 (named after the status)
    """No key, or none that is valid."""

    status_of_kind = 401


class Forbidden(AccountError):  # noqa: N818
    """A valid key that may not do this."""

    status_of_kind = 403


class NotFound(AccountError):  # noqa: N818
    """No such key, plan or application."""

    status_of_kind = 404


class Conflict(AccountError):  # noqa: N818
    """It is so already, or was done before."""

    status_of_kind = 409


class Invalid(AccountError):  # noqa: N818
    """What was given is not allowed."""


class LimitReached(AccountError):  # noqa: N818
    """A rate, a quota or a budget is used up; `retry_after_s` says until when."""

    status_of_kind = 429


class StorageUnavailable(AccountError):  # noqa: N818
    """The database does not answer, or its disk is full. Nothing that was acknowledged is lost."""

    status_of_kind = 503

    def __init__(self, message: str = "the accounts cannot be read or written now; try again") -> None:
        super().__init__(message, "storage_unavailable", retry_after_s=5)
