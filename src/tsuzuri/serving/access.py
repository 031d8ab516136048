"""What the API asks of the accounts, and the answer where there are none: everybody on this machine may.

Without a database no key is asked for, nothing is counted for anybody, and only loopback is served
(`ServeConfig` sees to it): whoever tries a model at home needs no key, and nobody opens a server to others by
forgetting one. Models are then loaded and unloaded by the configuration alone: nobody is an administrator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Caller(Protocol):
    """Who asks."""

    @property
    def key_id(self) -> str:
        """Tells keys apart in the log, and gives nothing away."""

    @property
    def is_admin(self) -> bool:
        """Whether models may be loaded and unloaded."""

    def allows(self, model: str) -> bool:
        """Whether the model may be used."""


class Reservation(Protocol):
    """A request that was let in."""

    headers: dict[str, str]
    """What is left to the caller (`x-ratelimit-…`)."""

    def produced(self, completion_tokens: int, *, prompt_tokens: int | None = None) -> None:
        """So many tokens have been written so far, of a prompt of so many where that is known better now than
        it was; called before they are sent."""


class Accounts(Protocol):
    """Who may, how much, and what it came to. Errors have `status` and `code`; `accounts.service` is one."""

    def prepare(self) -> None:
        """Raise what is wrong before a server starts; it may block."""

    async def start(self) -> None:
        """Before anything else is asked."""

    async def authenticate(self, bearer: str | None, *, address: str, model: str | None = None) -> Any:
        """The caller of a key, who may use the model if one is named."""

    async def reserve(
        self,
        caller: Any,
        request_id: str,
        *,
        prompt_tokens: int,
        max_new_tokens: int,
        model: str | None = None,
    ) -> Any:
        """Let a request in within what its caller may use."""

    async def settle(
        self, reservation: Any, *, prompt_tokens: int, completion_tokens: int, outcome: str
    ) -> None:
        """Count what it came to, once, durably."""

    async def note(
        self, caller: Any, action: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Keep in the audit log what an administrator did."""

    async def close(self) -> None:
        """Nothing more is asked."""


@dataclass(frozen=True, slots=True)
class Anybody:
    """A caller of whom nothing is asked."""

    key_id: str = "open"
    is_admin: bool = False

    def allows(self, model: str) -> bool:
        """Every model."""
        return True


@dataclass(frozen=True, slots=True)
class Unmetered:
    """A request that counts for nobody."""

    headers: Mapping[str, str] = field(default_factory=dict)

    def produced(self, completion_tokens: int, *, prompt_tokens: int | None = None) -> None:
        """Nothing is noted."""


class OpenAccess:
    """`Accounts` without any."""

    def prepare(self) -> None:
        """Nothing can be wrong."""

    async def start(self) -> None:
        """Nothing is opened."""

    async def authenticate(self, bearer: str | None, *, address: str, model: str | None = None) -> Anybody:
        """Anybody."""
        return Anybody()

    async def reserve(
        self,
        caller: Any,
        request_id: str,
        *,
        prompt_tokens: int,
        max_new_tokens: int,
        model: str | None = None,
    ) -> Unmetered:
        """Nothing is reserved."""
        return Unmetered()

    async def settle(
        self, reservation: Any, *, prompt_tokens: int, completion_tokens: int, outcome: str
    ) -> None:
        """Nothing is counted."""

    async def note(
        self, caller: Any, action: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Nobody is an administrator."""

    async def close(self) -> None:
        """Nothing was open."""
