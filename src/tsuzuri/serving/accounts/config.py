"""Configuration of the accounts: where they are kept, and what is asked of everybody. Imports no torch."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from pydantic import Field, field_validator

from tsuzuri.core.config import Config


class DatabaseConfig(Config):
    """Where accounts are kept."""

    url: str = "sqlite:///tsuzuri.db"
    """SQLite as sqlite:///FILE, or PostgreSQL as postgresql://USER:PASSWORD@HOST/DATABASE."""
    state: Path | None = None
    """Folder of the progress records of running requests; default: beside the SQLite file, or
    ./tsuzuri-state."""
    busy_s: float = Field(default=5.0, gt=0)
    """Seconds for which a locked, full or absent database is tried again before a request gets a 503."""
    connections: int = Field(default=4, ge=1)
    """Connections for reading, beside the one that writes."""

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        if not url.startswith(("sqlite:///", "postgresql://")):
            scheme = url.partition(":")[0]  # the rest may hold a password
            raise ValueError(f"{scheme!r} is none of the known databases: sqlite:///FILE, postgresql://…")
        return url


class PlanTerms(Config):
    """What a plan grants."""

    requests_per_minute: int | None = Field(default=60, ge=1)
    """Requests a minute of one account, over all its keys; none for no limit."""
    tokens_per_day: int | None = Field(default=200_000, ge=0)
    """Tokens a day, of prompts and answers together; none for no limit."""
    budget_jpy_per_month: Decimal | None = Field(default=None, ge=0, le=10**9, decimal_places=6)
    """What may be spent a month, in yen; none for no limit."""
    concurrent_requests: int | None = Field(default=8, ge=1)
    """Requests that may run at the same time; none for no limit."""
    jpy_per_1k_prompt: Decimal = Field(default=Decimal(0), ge=0, le=10**6, decimal_places=6)
    """Price of a thousand tokens of a prompt, in yen."""
    jpy_per_1k_completion: Decimal = Field(default=Decimal(0), ge=0, le=10**6, decimal_places=6)
    """Price of a thousand tokens written, in yen."""


DEFAULT_PLAN = "standard"
"""The plan of who is given none by name; made with the default terms where it does not exist."""


class AccountsConfig(Config):
    """What the accounts ask of every caller; what a plan grants stands in the database."""

    database: DatabaseConfig = DatabaseConfig()
    """Where accounts are kept."""
    day_offset_h: float = Field(default=9.0, ge=-12, le=14)
    """Hours from UTC of the clock by which days and months of usage begin; 9 is Japan."""
    address_requests_per_minute: int = Field(default=600, ge=1)
    """Requests of any kind that one address may make a minute, with or without a key."""
    address_failures_per_minute: int = Field(default=20, ge=1)
    """Wrong keys that one address may try a minute."""
    applications_per_hour: int = Field(default=5, ge=1)
    """Applications to the waiting list that one address may send an hour."""
    waiting_at_most: int = Field(default=10_000, ge=0)
    """Applications that may wait at the same time; 0 closes the waiting list."""
    claim_days: int = Field(default=30, ge=1)
    """Days in which a granted key has to be fetched."""
    plan: str = DEFAULT_PLAN
    """The plan of an approved applicant where none is named."""
    key_cache_s: float = Field(default=1.0, ge=0)
    """Seconds for which a key that was looked up need not be looked up again. What another process changed is
    seen after them by requests that use no tokens; those that do are checked in the database each time."""
    open_at_most: int = Field(default=65_536, ge=1)
    """Requests that may be running in one process; the next gets a 503."""
    lost_after_h: float = Field(default=24.0, gt=0)
    """Hours after which a request of another machine's server counts as lost and is settled."""
