"""What every body is, and the words that several use."""

from __future__ import annotations

from typing import Literal

import msgspec

from tsuzuri.core.errors import InputError

SCHEMA = 1
"""Of every body written here; a record of a higher one is refused by name."""
Lane = Literal["interactive", "batch"]
"""Requests of the first are taken before any of the second."""
Finish = Literal["stop", "length", "content_filter", "cancelled", "timeout"]
State = Literal["loading", "checking", "refused", "ready", "draining", "gone"]
"""Of a revision, in the order in which it lives."""


class Malformed(InputError):  # noqa: N818 (it reports what a record is)
    """A record that is no message of ours; `reason` is a word for counters and dead letters."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Body(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What every body is."""
