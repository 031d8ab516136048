"""The transaction of metering: what was asked for together is decided, in order, and written together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select

from tsuzuri.serving.accounts.clock import day_of, next_day_ms, next_month_ms
from tsuzuri.serving.accounts.database import Gathered, put_rows
from tsuzuri.serving.accounts.errors import AccountError, Conflict, LimitReached, Unauthorized
from tsuzuri.serving.accounts.metering import Granted, Hold, Reserve, Settle
from tsuzuri.serving.accounts.plans import NANO
from tsuzuri.serving.accounts.tables import accounts, balances, holds, keys, plans, requests


@dataclass(slots=True)
class _Account:
    """Limits (None: none), prices, and what is in flight."""

    tokens_per_day: int | None
    budget_month: int | None
    concurrent_requests: int | None
    prompt_price: int
    completion_price: int
    held_requests: int
    held_tokens: int
    held_cost: int


HOLD = tuple(field.name for field in fields(Hold))
USED = ("prompt_tokens", "completion_tokens", "cost")
SETTLED = (*USED, "outcome", "settled_ms")
values_of = attrgetter(*HOLD)

_hold_columns = [requests.c[name] for name in HOLD]

_LOCK = Gathered(
    select(
        holds.c.account_id,
        plans.c.tokens_per_day,
        plans.c.budget_month,
        plans.c.concurrent_requests,
        plans.c.prompt_price,
        plans.c.completion_price,
        holds.c.requests,
        holds.c.tokens,
        holds.c.cost,
    )
    .join_from(holds, accounts)
    .join(plans)
    .where(holds.c.account_id.in_(bindparam("accounts", expanding=True)))
    .order_by(holds.c.account_id)
    .with_for_update(of=holds)
)
"""Accounts, which no other process may touch until the transaction ends."""

_SETTLED = Gathered(
    select(requests.c.id).where(
        requests.c.id.in_(bindparam("ids", expanding=True)), requests.c.settled_ms.is_not(None)
    )
)
_KNOWN = Gathered(select(*_hold_columns).where(requests.c.request_id.in_(bindparam("names", expanding=True))))
_VALID = Gathered(
    select(keys.c.id, keys.c.revoked_ms, keys.c.expires_ms).where(
        keys.c.id.in_(bindparam("keys", expanding=True))
    )
)
_USED = Gathered(
    select(
        balances.c.account_id,
        balances.c.period,
        balances.c.prompt_tokens + balances.c.completion_tokens,
        balances.c.cost,
    ).where(
        balances.c.account_id.in_(bindparam("accounts", expanding=True)),
        balances.c.period.in_(bindparam("periods", expanding=True)),
    )
)


class Ledger:
    """One transaction's view of the accounts that it touches."""

    def __init__(self, connection: Connection, day_offset_h: float) -> None:
        self._connection = connection
        self._offset_h = day_offset_h
        self._accounts: dict[str, _Account] = {}
        self._used: dict[tuple[str, str], tuple[int, int]] = {}  # (account, period): tokens, cost
        self._keys: dict[str, tuple[int | None, int | None]] = {}  # revoked_ms, expires_ms
        self._known: dict[str, Hold] = {}  # by request id
        self._settled: set[str] = set()
        self._opened: list[Hold] = []
        self._closed: list[tuple[Any, ...]] = []
        self._added: dict[tuple[str, str], list[int]] = {}

    def apply(self, changes: Sequence[Reserve | Settle]) -> list[Granted | AccountError | None]:
        """The answer to each change, in order: what was granted or why not; None for what is settled."""
        reserves = [change for change in changes if isinstance(change, Reserve)]
        settles = [change for change in changes if isinstance(change, Settle)]
        mine = {change.account_id for change in reserves} | {change.hold.account_id for change in settles}
        rows = _LOCK.rows(self._connection, accounts=sorted(mine))
        self._accounts = {row[0]: _Account(*row[1:]) for row in rows}
        if settles:
            ids = [change.hold.id for change in settles]
            self._settled = {row[0] for row in _SETTLED.rows(self._connection, ids=ids)}
        if reserves:
            self._read(reserves)
        answers: list[Granted | AccountError | None] = []
        for change in changes:
            if isinstance(change, Settle):
                self._settle(change)
                answers.append(None)
            else:
                answers.append(self._answer(change))
        self._store()
        return answers

    def _read(self, reserves: Sequence[Reserve]) -> None:
        """Read what decides whether these may come in."""
        known = _KNOWN.rows(self._connection, names=[change.request_id for change in reserves])
        self._known = {hold.request_id: hold for hold in (Hold(*row) for row in known)}
        valid = _VALID.rows(self._connection, keys=sorted({change.key_id for change in reserves}))
        self._keys = {row[0]: (row[1], row[2]) for row in valid}
        days = {day_of(change.at_ms, self._offset_h) for change in reserves}
        used = _USED.rows(
            self._connection,
            accounts=sorted({change.account_id for change in reserves}),
            periods=sorted(days | {day[:7] for day in days}),
        )
        self._used = {(row[0], row[1]): (row[2], row[3]) for row in used}

    def _answer(self, change: Reserve) -> Granted | AccountError:
        known = self._known.get(change.request_id)
        if known is not None and known.id != change.id:
            return Conflict(f"a request {change.request_id!r} was counted before", "duplicate_request_id")
        account = self._accounts.get(change.account_id)
        revoked_ms, expires_ms = self._keys.get(change.key_id, (0, None))
        if account is None or revoked_ms is not None or (expires_ms or change.at_ms) < change.at_ms:
            return Unauthorized("this API key is not valid any more", "invalid_api_key")
        day = day_of(change.at_ms, self._offset_h)
        tokens = change.prompt_tokens + change.completion_tokens
        cost = (
            change.prompt_tokens * account.prompt_price + change.completion_tokens * account.completion_price
        )
        left = None
        if account.tokens_per_day is not None:
            used = self._used.get((change.account_id, day), (0, 0))[0]
            left = max(0, account.tokens_per_day - used - account.held_tokens)
        if known is None:
            refused = self._refusal(change, account, tokens, cost, day)
            if refused is not None:
                return refused
            known = Hold(
                change.id,
                change.request_id,
                change.instance,
                change.account_id,
                change.key_id,
                change.model,
                day,
                change.at_ms,
                tokens,
                cost,
                account.prompt_price,
                account.completion_price,
            )
            account.held_requests += 1
            account.held_tokens += tokens
            account.held_cost += cost
            left = None if left is None else left - tokens
            self._opened.append(known)
            self._known[change.request_id] = known
        ends_ms = next_day_ms(change.at_ms, self._offset_h)
        return Granted(known, account.tokens_per_day, left, ends_ms)

    def _refusal(
        self, change: Reserve, account: _Account, tokens: int, cost: int, day: str
    ) -> LimitReached | None:
        """Why this request does not fit, and when it may."""
        most = account.concurrent_requests
        if most is not None and account.held_requests >= most:
            message = f"{most} requests are running, which is as many as your plan allows"
            return LimitReached(message, "concurrency_limit_reached", retry_after_s=1)
        limit = account.tokens_per_day
        used_tokens = self._used.get((change.account_id, day), (0, 0))[0]
        if limit is not None and used_tokens + account.held_tokens + tokens > limit:
            left = max(0, limit - used_tokens - account.held_tokens)
            is_spent = used_tokens + tokens > limit  # else it may come in once others are settled
            wait_ms = next_day_ms(change.at_ms, self._offset_h) - change.at_ms if is_spent else 1000
            return LimitReached(
                f"this request may use {tokens} tokens ({change.prompt_tokens} of the prompt, "
                f"{change.completion_tokens} to write), and {left} of your {limit} a day are left",
                "daily_tokens_reached",
                retry_after_s=wait_ms / 1000,
            )
        budget = account.budget_month
        spent = self._used.get((change.account_id, day[:7]), (0, 0))[1]
        if budget is not None and spent + account.held_cost + cost > budget:
            left_yen = max(0, budget - spent - account.held_cost) / NANO
            wait_ms = next_month_ms(change.at_ms, self._offset_h) - change.at_ms
            return LimitReached(
                f"this request may cost {cost / NANO:g} yen, and {left_yen:g} of your {budget / NANO:g} "
                "a month are left",
                "monthly_budget_reached",
                retry_after_s=wait_ms / 1000 if spent + cost > budget else 1,
            )
        return None

    def _settle(self, change: Settle) -> None:
        hold = change.hold
        if hold.id in self._settled:
            return
        self._settled.add(hold.id)
        account = self._accounts[hold.account_id]
        account.held_requests -= 1
        account.held_tokens -= hold.held_tokens
        account.held_cost -= hold.held_cost
        prompt, completion = change.prompt_tokens, change.completion_tokens
        cost = prompt * hold.prompt_price + completion * hold.completion_price
        self._closed.append((*values_of(hold), prompt, completion, cost, change.outcome, change.at_ms))
        for period in (hold.day, hold.day[:7]):
            tokens, spent = self._used.get((hold.account_id, period), (0, 0))
            self._used[hold.account_id, period] = (tokens + prompt + completion, spent + cost)
            sums = self._added.setdefault((hold.account_id, period), [0, 0, 0, 0])
            for place, amount in enumerate((1, prompt, completion, cost)):
                sums[place] += amount

    def _store(self) -> None:
        opened = [(*values_of(hold), 0, 0, 0) for hold in self._opened]
        put_rows(self._connection, requests, (*HOLD, *USED), opened)
        put_rows(
            self._connection, requests, (*HOLD, *SETTLED), self._closed, on_conflict=_replacing("id", SETTLED)
        )
        names = ("requests", *USED)
        sums = ", ".join(f"{name} = balances.{name} + excluded.{name}" for name in names)
        put_rows(
            self._connection,
            balances,
            ("account_id", "period", *names),
            [(*key, *self._added[key]) for key in sorted(self._added)],
            on_conflict=f"ON CONFLICT (account_id, period) DO UPDATE SET {sums}",
        )
        held = ("requests", "tokens", "cost")
        put_rows(
            self._connection,
            holds,
            ("account_id", *held),
            [(id, row.held_requests, row.held_tokens, row.held_cost) for id, row in self._accounts.items()],
            on_conflict=_replacing("account_id", held),
        )


def _replacing(key: str, names: Sequence[str]) -> str:
    values = ", ".join(f"{name} = excluded.{name}" for name in names)
    return f"ON CONFLICT ({key}) DO UPDATE SET {values}"


def open_holds(connection: Connection, *conditions: ColumnElement[bool]) -> list[Hold]:
    """The requests that were let in and not settled, of those that meet the conditions."""
    rows = connection.execute(select(*_hold_columns).where(requests.c.settled_ms.is_(None), *conditions))
    return [Hold(*row) for row in rows]
