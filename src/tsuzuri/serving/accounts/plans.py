"""Plans: what an account may use, and what a token costs it. Money is whole billionths of a yen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from tsuzuri.serving.accounts.audit import record
from tsuzuri.serving.accounts.clock import now_ms
from tsuzuri.serving.accounts.config import PlanTerms
from tsuzuri.serving.accounts.errors import Invalid, NotFound
from tsuzuri.serving.accounts.tables import accounts, plans

NANO = 1_000_000_000
COLUMNS = {
    "budget_jpy_per_month": "budget_month",
    "jpy_per_1k_prompt": "prompt_price",
    "jpy_per_1k_completion": "completion_price",
}
"""Terms whose columns are called otherwise, for they count in billionths, and prices for one token."""


def yen(nano: int | None) -> float | None:
    """Billionths of a yen as yen."""
    return None if nano is None else nano / NANO


def set_plan(connection: Connection, name: str, terms: PlanTerms, *, actor: str) -> None:
    """Make a plan, or give an existing one the terms that were set, the others staying as they are; requests
    under way keep their prices."""
    if not name.isprintable() or not 0 < len(name) <= 64 or name != name.strip() or "/" in name:
        raise Invalid(f"{name!r} is no name for a plan: up to 64 characters on one line", "bad_plan_name")
    budget = terms.budget_jpy_per_month
    values: dict[str, Any] = {
        "requests_per_minute": terms.requests_per_minute,
        "tokens_per_day": terms.tokens_per_day,
        "budget_jpy_per_month": None if budget is None else int(budget * NANO),
        "concurrent_requests": terms.concurrent_requests,
        "jpy_per_1k_prompt": int(terms.jpy_per_1k_prompt * NANO) // 1000,
        "jpy_per_1k_completion": int(terms.jpy_per_1k_completion * NANO) // 1000,
    }
    told = terms.as_mapping()
    is_known = connection.scalar(select(plans.c.name).where(plans.c.name == name)) is not None
    if is_known:
        values, told = ({key: given[key] for key in terms.model_fields_set} for given in (values, told))
    columns = {COLUMNS.get(key, key): value for key, value in values.items()}
    if not is_known:
        connection.execute(plans.insert().values(name=name, created_ms=now_ms(), **columns))
    elif columns:
        connection.execute(plans.update().where(plans.c.name == name).values(columns))
    record(connection, actor, "plan.set", name, told)


def ensure_plan(connection: Connection, name: str) -> None:
    """Make the plan that the configuration names, with the default terms, where it does not exist yet."""
    if connection.scalar(select(plans.c.name).where(plans.c.name == name)) is None:
        set_plan(connection, name, PlanTerms(), actor="server")


def check_plan(connection: Connection, name: str) -> str:
    """`name`; NotFound, with the names that there are, where it is no plan's."""
    names = list(connection.scalars(select(plans.c.name).order_by(plans.c.name)))
    if name not in names:
        raise NotFound(f"there is no plan {name!r}", "plan_not_found", hint=f"plans: {', '.join(names)}")
    return name


def list_plans(connection: Connection) -> list[dict[str, Any]]:
    """Every plan with its terms."""
    rows = connection.execute(select(plans).order_by(plans.c.name)).mappings()
    return [{"name": row["name"], **terms_of(dict(row))} for row in rows]


def terms_of(row: dict[str, Any]) -> dict[str, Any]:
    """The terms in a row of `plans` as plain numbers."""
    return {
        "requests_per_minute": row["requests_per_minute"],
        "tokens_per_day": row["tokens_per_day"],
        "budget_jpy_per_month": yen(row["budget_month"]),
        "concurrent_requests": row["concurrent_requests"],
        "jpy_per_1k_prompt": yen(row["prompt_price"] * 1000),
        "jpy_per_1k_completion": yen(row["completion_price"] * 1000),
    }


def assign_plan(connection: Connection, account: str, plan: str, *, actor: str) -> None:
    """Put an account, by its name, under another plan."""
    check_plan(connection, plan)
    if (
        connection.execute(accounts.update().where(accounts.c.name == account).values(plan=plan)).rowcount
        == 0
    ):
        raise NotFound(f"there is no account {account!r}", "account_not_found", hint="tsuzuri keys list")
    record(connection, actor, "account.plan", account, {"plan": plan})


def grant_plans(connection: Connection, granted: Mapping[str, str], *, actor: str) -> dict[str, str]:
    """Give accounts, by name, the plans that their support grants, and take back those that no support
    grants any more; what changed, by account. Accounts that are not there yet are passed over."""
    for name in set(granted.values()):
        check_plan(connection, name)
    changed: dict[str, str] = {}
    for row in connection.execute(select(accounts).order_by(accounts.c.name)).mappings().all():
        wanted = granted.get(row["name"])
        own = row["own_plan"] or row["plan"]
        plan = wanted or own
        values = {"plan": plan, "own_plan": own if wanted else None}
        if values == {name: row[name] for name in values}:
            continue
        connection.execute(accounts.update().where(accounts.c.id == row["id"]).values(values))
        record(connection, actor, "account.support", row["name"], {"plan": plan})
        changed[row["name"]] = plan
    return changed
