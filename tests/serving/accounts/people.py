"""Accounts to test with."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, func, select

from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig, PlanTerms
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.keys import Caller, KeyTerms, NewKey, create_key, find_caller
from tsuzuri.serving.accounts.plans import set_plan
from tsuzuri.serving.accounts.service import Accounts
from tsuzuri.serving.accounts.tables import balances, holds, requests

UNLIMITED = PlanTerms(requests_per_minute=None, tokens_per_day=None, concurrent_requests=None)


def someone(
    database: Database, terms: PlanTerms = UNLIMITED, *, account: str = "me", key: KeyTerms | None = None
) -> Caller:
    """Who calls with a new key of an account, under a plan of these terms of its own."""

    def create(connection: Connection) -> NewKey:
        set_plan(connection, f"plan of {account}", terms, actor="test")
        return create_key(connection, account, key or KeyTerms(), plan=f"plan of {account}", actor="test")

    made = database.write(create)
    caller = database.read(lambda connection: find_caller(connection, made.text))
    assert caller is not None
    return caller


@asynccontextmanager
async def accounts_at(config: DatabaseConfig, **more: Any) -> AsyncIterator[Accounts]:
    """Started accounts, closed after the block."""
    accounts = Accounts(AccountsConfig(database=config, **more))
    await accounts.start()
    try:
        yield accounts
    finally:
        await accounts.close()


def check_sums(connection: Connection, *, is_settled: bool = True) -> None:
    """Balances and holds are the sums of the requests; nothing is open where all is settled."""
    sums = [func.sum(requests.c[name]) for name in ("prompt_tokens", "completion_tokens", "cost")]
    done = requests.c.settled_ms.is_not(None)
    by_day = select(requests.c.account_id, requests.c.day, func.count(), *sums).where(done)
    wanted: Counter[tuple[str, str, int]] = Counter()
    for account, day, *amounts in connection.execute(by_day.group_by(requests.c.account_id, requests.c.day)):
        for period in (day, day[:7]):
            for place, amount in enumerate(amounts):
                wanted[account, period, place] += int(amount)
    kept = {
        (row[0], row[1], place): amount
        for row in connection.execute(select(balances))
        for place, amount in enumerate(row[2:])
    }
    assert kept == wanted
    held = [func.sum(requests.c[name]) for name in ("held_tokens", "held_cost")]
    rows = connection.execute(
        select(requests.c.account_id, func.count(), *held)
        .where(requests.c.settled_ms.is_(None))
        .group_by(requests.c.account_id)
    )
    open_now = {row[0]: tuple(map(int, row[1:])) for row in rows}
    in_flight = {row[0]: tuple(row[1:]) for row in connection.execute(select(holds)) if any(row[1:])}
    assert in_flight == open_now
    assert not (is_settled and open_now)
