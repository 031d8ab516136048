"""Metering exact to the token: every request is let in against its account's limits and settled once.

A request *reserves* what it may use at most (its prompt and all that it may write); it is let in only where
that fits into what is left of the day's tokens and the month's budget beside everything in flight. *Settling*
replaces the reservation by what was used. Both are one transaction (`ledger`), together with as many others
as came meanwhile (`writer`).

The bill of a request: its prompt and every token that was written for it, however it ended; nothing where it
failed, was killed or was called off before the first, nor where it was refused though some of its samples had
begun. What a killed server had written is in its `journal`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reserve:
    """Wants to be let in."""

    id: str
    request_id: str
    instance: str
    account_id: str
    key_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    """At most."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class Hold:
    """What was let in: the row of `requests`, but for what is settled."""

    id: str
    request_id: str
    instance: str
    account_id: str
    key_id: str
    model: str
    day: str
    opened_ms: int
    held_tokens: int
    held_cost: int
    prompt_price: int
    completion_price: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer to a Reserve, with what is left of the day's tokens (None: no limit)."""

    hold: Hold
    limit_tokens: int | None
    left_tokens: int | None
    day_ends_ms: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Says what a request has used."""

    hold: Hold
    prompt_tokens: int
    completion_tokens: int
    outcome: str
    at_ms: int


def billed(prompt_tokens: int, completion_tokens: int, outcome: str) -> tuple[int, int]:
    """What a request is billed that ended so; one that was answered may have asked for no more than
    scores."""
    if outcome == "refused":
        return 0, 0
    return (prompt_tokens, completion_tokens) if completion_tokens or outcome == "complete" else (0, 0)
