"""The tables. Moments are milliseconds since 1970 (UTC), money is whole billionths of a yen: integers, so
that sums are exact and both databases hold the same.

    plans ◄─ accounts ◄─ keys ◄─ requests          applications (waiting list)          audit
                 ▲
                 ├── holds      what is in flight: one row for each account
                 └── balances   what was used: a row for each day and each month

`holds` and `balances` are sums over `requests`, kept in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _amount(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=0)


plans = Table(
    "plans",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_day", BigInteger),
    Column("budget_month", BigInteger),
    Column("concurrent_requests", BigInteger),
    Column("prompt_price", BigInteger, nullable=False),
    Column("completion_price", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
"""What is granted: None is no limit. Prices are for one token."""

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("plan", String(64), ForeignKey("plans.name"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("own_plan", String(64)),
)
"""Whoever shares one quota, with as many keys as they like. `own_plan` is what the account goes back to when
the support ends that grants it its plan; None where none does."""

keys = Table(
    "keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("account_id", String(32), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("models", Text),
    Column("is_admin", Boolean, nullable=False),
    Column("requests_per_minute", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("rotated_to", String(16)),
)
"""`id` is the part of a key that is shown; `models` a JSON list, None for all."""

requests = Table(
    "requests",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("request_id", String(200), nullable=False, unique=True),
    Column("instance", String(32), nullable=False),
    Column("account_id", String(32), ForeignKey("accounts.id"), nullable=False),
    Column("key_id", String(16), ForeignKey("keys.id"), nullable=False),
    Column("model", String(200), nullable=False),
    Column("day", String(10), nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("held_tokens", BigInteger, nullable=False),
    Column("held_cost", BigInteger, nullable=False),
    Column("prompt_price", BigInteger, nullable=False),
    Column("completion_price", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("outcome", String(16)),
    Column("settled_ms", BigInteger),
    Index("ix_requests_account_id_day", "account_id", "day"),
)
"""One row for each request that was let in; its amounts are 0 until it is settled."""

Index(
    "ix_requests_open",
    requests.c.instance,
    sqlite_where=requests.c.settled_ms.is_(None),
    postgresql_where=requests.c.settled_ms.is_(None),
)

holds = Table(
    "holds",
    metadata,
    Column("account_id", String(32), ForeignKey("accounts.id"), primary_key=True),
    _amount("requests"),
    _amount("tokens"),
    _amount("cost"),
)

balances = Table(
    "balances",
    metadata,
    Column("account_id", String(32), ForeignKey("accounts.id"), primary_key=True),
    Column("period", String(10), primary_key=True),
    _amount("requests"),
    _amount("prompt_tokens"),
    _amount("completion_tokens"),
    _amount("cost"),
)
"""`period` is a day (2026-11-23) or a month (2026-11)."""

applications = Table(
    "applications",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("email", String(160), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("language", String(2), nullable=False),
    Column("claim_digest", String(64), nullable=False, unique=True),
    Column("applied_ms", BigInteger, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("plan", String(64), ForeignKey("plans.name")),
    Column("models", Text),
    Column("reason", Text),
    Column("decided_ms", BigInteger),
    Column("key_id", String(16), ForeignKey("keys.id")),
)
"""`status` is waiting, approved, refused or claimed."""

Index(
    "uq_applications_live_email",
    applications.c.email,
    unique=True,
    sqlite_where=applications.c.status != "refused",
    postgresql_where=applications.c.status != "refused",
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", String(200), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(320), nullable=False),
    Column("detail", Text, nullable=False),
)
"""Who did what to whom. The database refuses to change or delete its rows."""
