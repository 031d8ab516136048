"""Reports of usage: one account's as its holder sees it, and everybody's by account, key, model or day."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, select

from tsuzuri.serving.accounts.clock import day_of, next_day_ms, next_month_ms, now_ms, seconds
from tsuzuri.serving.accounts.keys import Caller
from tsuzuri.serving.accounts.plans import terms_of, yen
from tsuzuri.serving.accounts.tables import accounts, balances, holds, keys, plans, requests

By = Literal["account", "key", "model", "day", "outcome"]

GROUPS: dict[By, ColumnElement[Any]] = {
    "account": accounts.c.name,
    "key": requests.c.key_id,
    "model": requests.c.model,
    "day": requests.c.day,
    "outcome": requests.c.outcome,
}
AMOUNTS = ("requests", "prompt_tokens", "completion_tokens", "cost")


def usage_of(connection: Connection, caller: Caller, *, day_offset_h: float) -> dict[str, Any]:
    """What a caller's account used today and this month, what its plan grants and what is left of it."""
    now = now_ms()
    day = day_of(now, day_offset_h)
    plan = connection.execute(
        select(plans).join_from(accounts, plans).where(accounts.c.id == caller.account_id)
    )
    terms = dict(plan.mappings().one())
    mine = balances.c.account_id == caller.account_id
    rows = connection.execute(select(balances).where(mine, balances.c.period.in_((day, day[:7])))).mappings()
    used = {row["period"]: {name: row[name] for name in AMOUNTS} for row in rows}
    today, month = (used.get(period, dict.fromkeys(AMOUNTS, 0)) for period in (day, day[:7]))
    held = connection.execute(select(holds).where(holds.c.account_id == caller.account_id)).mappings().one()
    limit, budget = terms["tokens_per_day"], terms["budget_month"]
    spent = today["prompt_tokens"] + today["completion_tokens"] + held["tokens"]
    return {
        "object": "account.usage",
        "account": caller.account,
        "key": {
            "prefix": f"tsz_{caller.key_id}",
            "name": caller.key_name,
            "models": caller.models,
            "is_admin": caller.is_admin,
            "expires_at": seconds(caller.expires_ms),
        },
        "plan": {"name": terms["name"], **terms_of(terms)},
        "today": {"date": day, **_shown(today)},
        "month": {"month": day[:7], **_shown(month)},
        "in_flight": {"requests": held["requests"], "tokens": held["tokens"], "cost_jpy": yen(held["cost"])},
        "remaining": {
            "tokens_today": None if limit is None else max(0, limit - spent),
            "budget_jpy_this_month": None
            if budget is None
            else yen(max(0, budget - month["cost"] - held["cost"])),
        },
        "day_ends_at": next_day_ms(now, day_offset_h) // 1000,
        "month_ends_at": next_month_ms(now, day_offset_h) // 1000,
    }


def report(
    connection: Connection,
    *,
    by: By = "account",
    since: str | None = None,
    until: str | None = None,
    account: str | None = None,
) -> list[dict[str, Any]]:
    """Settled usage, one row for each value of `by`; days as 2026-11-23, both ends included."""
    group = GROUPS[by]
    query = (
        select(
            group.label(by),
            func.count().label("requests"),
            func.sum(requests.c.prompt_tokens).label("prompt_tokens"),
            func.sum(requests.c.completion_tokens).label("completion_tokens"),
            func.sum(requests.c.cost).label("cost"),
        )
        .join_from(requests, accounts)
        .join(keys, keys.c.id == requests.c.key_id)
        .where(requests.c.settled_ms.is_not(None))
        .group_by(group)
        .order_by(group)
    )
    if since is not None:
        query = query.where(requests.c.day >= since)
    if until is not None:
        query = query.where(requests.c.day <= until)
    if account is not None:
        query = query.where(accounts.c.name == account)
    rows = connection.execute(query).mappings()
    return [{by: row[by], **_shown({name: int(row[name]) for name in AMOUNTS})} for row in rows]


def totals(connection: Connection) -> dict[str, int]:
    """Everything ever settled: requests, tokens, cost in billionths of a yen."""
    sums = [func.coalesce(func.sum(requests.c[name]), 0) for name in AMOUNTS[1:]]
    row = connection.execute(select(func.count(), *sums).where(requests.c.settled_ms.is_not(None))).one()
    return {name: int(value) for name, value in zip(AMOUNTS, row, strict=True)}


def _shown(amounts: dict[str, Any]) -> dict[str, Any]:
    told = {name: amounts[name] for name in AMOUNTS[:-1]}
    return {
        **told,
        "total_tokens": amounts["prompt_tokens"] + amounts["completion_tokens"],
        "cost_jpy": yen(amounts["cost"]),
    }
