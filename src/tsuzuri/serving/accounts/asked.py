"""What is asked of the accounts over HTTP, field by field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tsuzuri.serving.accounts.waitlist import EMAIL_CHARACTERS, PURPOSE_CHARACTERS
from tsuzuri.serving.api.schemas import Asked

WHOLE = r"^[^\x00]*$"
"""PostgreSQL keeps no text with a NUL in it."""
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=WHOLE)]
Text = Annotated[str, Field(max_length=PURPOSE_CHARACTERS, pattern=WHOLE)]
Models = Annotated[list[Line], Field(max_length=1000)]
Days = Annotated[float, Field(gt=0, le=36_500)]


class ApplicationAsked(Asked):
    """An application to the waiting list."""

    name: Line
    """What the applicant is called."""
    email: Annotated[str, Field(max_length=EMAIL_CHARACTERS)]
    """Where the operator reaches them."""
    purpose: Text
    """What the key is for."""
    consent: bool
    """Whether name, address and purpose may be kept for the decision: must be true."""
    language: Literal["ja", "en"] = "ja"
    """Of the applicant."""
    claim: Annotated[str, Field(max_length=128)] | None = None
    """A secret of the applicant's making (32 to 128 of A-Z a-z 0-9 _ -), with which a form may be sent
    twice."""


class ApprovalAsked(Asked):
    """What an applicant is granted."""

    plan: Line | None = None
    """Left out: the plan for applicants."""
    models: Models | None = None
    """Left out: every model."""
    reason: Text | None = None
    """Told to the applicant."""


class RefusalAsked(Asked):
    """Why an applicant is refused."""

    reason: Text
    """Told to the applicant."""


class KeyAsked(Asked):
    """A key to be made."""

    account: Line
    """Whose it is; a new name makes a new account."""
    name: Line | None = None
    """What the key is called; left out: as the account."""
    plan: Line | None = None
    """Of a new account; left out: the plan for applicants."""
    models: Models | None = None
    """Left out: every model."""
    expires_days: Days | None = None
    """Left out: no end."""
    is_admin: bool = False
    """Whether it may do all this."""
    requests_per_minute: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    """Its share of the plan's rate; left out: all of it."""


class RotationAsked(Asked):
    """How keys overlap."""

    overlap_hours: Annotated[float, Field(ge=0, le=8760)] = 24.0
    """For which the old key goes on."""


class PlanAsked(Asked):
    """The terms of a plan; those left out are the default's, null is no limit."""

    requests_per_minute: Annotated[int, Field(ge=1, lt=2**31)] | None = 60
    """Of an account, over all its keys."""
    tokens_per_day: Annotated[int, Field(ge=0, lt=2**53)] | None = 200_000
    """Of prompts and answers together."""
    budget_jpy_per_month: Annotated[float, Field(ge=0, le=10**9)] | None = None
    """In yen."""
    concurrent_requests: Annotated[int, Field(ge=1, lt=2**31)] | None = 8
    """At the same time."""
    jpy_per_1k_prompt: Annotated[float, Field(ge=0, le=10**6)] = 0
    """Price of a thousand tokens of prompts, in yen."""
    jpy_per_1k_completion: Annotated[float, Field(ge=0, le=10**6)] = 0
    """Price of a thousand tokens written, in yen."""


class AssignmentAsked(Asked):
    """Another plan for an account."""

    plan: Line
    """Its name."""
