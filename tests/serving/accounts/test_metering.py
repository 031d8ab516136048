"""What is reserved, refused, settled and billed: exact on both databases, whatever comes at once."""

from __future__ import annotations

import asyncio
import itertools
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from serving.accounts.people import UNLIMITED, accounts_at, check_sums, someone
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.accounts import clock
from tsuzuri.serving.accounts.config import DatabaseConfig, PlanTerms
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.errors import Conflict, Invalid, LimitReached, Unauthorized
from tsuzuri.serving.accounts.keys import KeyTerms, revoke_key
from tsuzuri.serving.accounts.ledger import Ledger
from tsuzuri.serving.accounts.metering import Granted, Reserve, Settle, billed
from tsuzuri.serving.accounts.plans import set_plan
from tsuzuri.serving.accounts.service import Accounts, Reservation
from tsuzuri.serving.accounts.tables import requests
from tsuzuri.serving.accounts.usage import report, totals, usage_of
from tsuzuri.serving.accounts.writer import Writer
from tsuzuri.serving.engines.base import TokenRequest
from tsuzuri.serving.engines.mock import MockEngine

_numbers = itertools.count()
PRICED = PlanTerms(
    requests_per_minute=None,
    tokens_per_day=None,
    concurrent_requests=None,
    jpy_per_1k_prompt=Decimal("0.1"),
    jpy_per_1k_completion=Decimal("0.000001"),
)


def limited(**limits: Any) -> PlanTerms:
    return UNLIMITED.model_copy(update=limits)


def test_200_calls_on_the_last_1000_tokens_never_go_over_and_settle_exactly(
    database: Database, config: DatabaseConfig
) -> None:
    caller = someone(database, limited(tokens_per_day=1000))

    async def run() -> None:
        async with accounts_at(config) as accounts:

            async def call(number: int) -> Any:
                try:
                    return await accounts.reserve(
                        caller, f"call {number}", prompt_tokens=10, max_new_tokens=40
                    )
                except LimitReached as refusal:
                    return refusal.status, refusal.retry_after_s

            answers = await asyncio.gather(*map(call, range(200)))
            granted = [item for item in answers if isinstance(item, Reservation)]
            assert len(granted) == 20
            assert answers.count((429, 1)) == 180  # only what others hold is in the way
            usage = await accounts.usage(caller)
            assert usage["in_flight"] == {"requests": 20, "tokens": 1000, "cost_jpy": 0.0}
            assert usage["remaining"]["tokens_today"] == 0
            for reservation in granted:
                await accounts.settle(reservation, prompt_tokens=10, completion_tokens=30, outcome="complete")
            usage = await accounts.usage(caller)
            assert usage["today"]["total_tokens"] == 800
            assert usage["remaining"]["tokens_today"] == 200
            last = await accounts.reserve(caller, "last", prompt_tokens=0, max_new_tokens=200)
            assert last.headers["x-ratelimit-remaining-tokens"] == "0"
            await accounts.settle(last, prompt_tokens=0, completion_tokens=200, outcome="complete")
            with pytest.raises(LimitReached) as spent:
                await accounts.reserve(caller, "over", prompt_tokens=1, max_new_tokens=0)
            assert spent.value.code == "daily_tokens_reached"
            assert 1 <= spent.value.retry_after_s <= 86_400

    asyncio.run(run())
    database.read(check_sums)


def test_a_budget_is_kept_to_the_billionth_of_a_yen(database: Database, config: DatabaseConfig) -> None:
    terms = PRICED.model_copy(update={"budget_jpy_per_month": Decimal("0.000101")})
    caller = someone(database, terms)

    async def run() -> None:
        async with accounts_at(config) as accounts:
            first = await accounts.reserve(caller, "1", prompt_tokens=1, max_new_tokens=1000)
            with pytest.raises(LimitReached) as refusal:
                await accounts.reserve(caller, "2", prompt_tokens=0, max_new_tokens=1)
            assert refusal.value.code == "monthly_budget_reached"
            await accounts.settle(first, prompt_tokens=1, completion_tokens=999, outcome="complete")
            second = await accounts.reserve(caller, "3", prompt_tokens=0, max_new_tokens=1)
            await accounts.settle(second, prompt_tokens=0, completion_tokens=1, outcome="complete")
            with pytest.raises(LimitReached) as spent:
                await accounts.reserve(caller, "4", prompt_tokens=0, max_new_tokens=1)
            assert spent.value.retry_after_s > 1
            assert (await accounts.usage(caller))["month"]["cost_jpy"] == 0.000101

    asyncio.run(run())


def test_requests_at_the_same_time_and_a_minute(sqlite: Database) -> None:
    caller = someone(sqlite, limited(concurrent_requests=2, requests_per_minute=4))
    other = someone(sqlite, account="other", key=KeyTerms(requests_per_minute=1))

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:

            async def reserve(number: int, who: Any = caller) -> Any:
                return await accounts.reserve(who, f"{number}", prompt_tokens=1, max_new_tokens=1)

            held = [await reserve(number) for number in range(2)]
            assert held[1].headers["x-ratelimit-limit-requests"] == "4"
            assert held[1].headers["x-ratelimit-remaining-requests"] == "2"
            with pytest.raises(LimitReached) as busy:
                await reserve(2)
            assert (busy.value.code, busy.value.retry_after_s) == ("concurrency_limit_reached", 1)
            await accounts.settle(held[0], prompt_tokens=1, completion_tokens=1, outcome="complete")
            held[0] = await reserve(3)
            with pytest.raises(LimitReached) as fast:
                await reserve(4)
            assert fast.value.code == "rate_limit_reached"
            assert 0 < fast.value.retry_after_s <= 15
            assert fast.value.headers["x-ratelimit-remaining-requests"] == "0"
            held.append(await reserve(5, other))
            with pytest.raises(LimitReached, match="this key allows 1"):
                await reserve(6, other)
            for reservation in held:
                await accounts.settle(reservation, prompt_tokens=1, completion_tokens=1, outcome="complete")

    asyncio.run(run())
    sqlite.read(check_sums)


def test_a_request_is_counted_once_however_often_it_is_told(
    database: Database, config: DatabaseConfig
) -> None:
    caller = someone(database)

    async def run() -> None:
        async with accounts_at(config) as accounts:
            reservation = await accounts.reserve(caller, "same", prompt_tokens=3, max_new_tokens=9)
            with pytest.raises(Conflict) as twice:
                await accounts.reserve(caller, "same", prompt_tokens=3, max_new_tokens=9)
            assert twice.value.code == "duplicate_request_id"
            settle = {"prompt_tokens": 3, "completion_tokens": 4, "outcome": "complete"}
            await asyncio.gather(*(accounts.settle(reservation, **settle) for _ in range(5)))
            await accounts.settle(reservation, prompt_tokens=3, completion_tokens=9, outcome="cancelled")
            with pytest.raises(Conflict):
                await accounts.reserve(caller, "same", prompt_tokens=3, max_new_tokens=9)

    asyncio.run(run())
    assert database.read(totals) == {"requests": 1, "prompt_tokens": 3, "completion_tokens": 4, "cost": 0}


@pytest.mark.parametrize(
    ("outcome", "prompt", "completion", "bill"),
    [
        ("complete", 5, 7, (5, 7)),
        ("complete", 5, 0, (5, 0)),
        ("cancelled", 5, 7, (5, 7)),
        ("cancelled", 5, 0, (0, 0)),
        ("timeout", 5, 1, (5, 1)),
        ("failed", 5, 0, (0, 0)),
        ("handed_back", 5, 2, (5, 2)),
        ("refused", 5, 3, (0, 0)),
        ("killed", 5, 2, (5, 2)),
    ],
)
def test_what_was_written_is_billed_and_nothing_without_a_token(
    outcome: str, prompt: int, completion: int, bill: tuple[int, int]
) -> None:
    assert billed(prompt, completion, outcome) == bill


def test_a_key_that_ended_since_it_was_looked_up_lets_nothing_in(sqlite: Database) -> None:
    caller = someone(sqlite)
    sqlite.write(lambda connection: revoke_key(connection, caller.key_id, actor="test"))

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:
            with pytest.raises(Unauthorized):
                await accounts.reserve(caller, "1", prompt_tokens=1, max_new_tokens=1)

    asyncio.run(run())


def test_a_request_keeps_the_prices_that_it_began_with(sqlite: Database) -> None:
    caller = someone(sqlite, PRICED)

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:
            held = await accounts.reserve(caller, "1", prompt_tokens=1000, max_new_tokens=1)
            dear = PRICED.model_copy(update={"jpy_per_1k_prompt": Decimal(100)})
            await accounts.act(lambda c: set_plan(c, caller.plan, dear, actor="test"))
            await accounts.settle(held, prompt_tokens=1000, completion_tokens=0, outcome="complete")
            assert (await accounts.usage(caller))["today"]["cost_jpy"] == 0.1

    asyncio.run(run())


def test_who_gives_up_while_waiting_to_be_let_in_leaves_nothing_open(sqlite: Database) -> None:
    caller = someone(sqlite)

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:
            tasks = [
                asyncio.create_task(accounts.reserve(caller, f"{number}", prompt_tokens=1, max_new_tokens=1))
                for number in range(20)
            ]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            while (await accounts.usage(caller))["today"]["requests"] < len(tasks):
                await asyncio.sleep(0.01)

    asyncio.run(run())
    sqlite.read(check_sums)


async def _serve(accounts: Accounts, callers: list[Any], engine: MockEngine, number: int) -> tuple[int, int]:
    """One request, perhaps called off; what it was billed."""
    drawn = random.Random(number)
    prompt = tuple(range(drawn.randint(1, 9)))
    most = drawn.randint(1, 60)
    cancel_at = drawn.randint(0, 40) if drawn.random() < 0.3 else None
    caller = callers[number % len(callers)]
    reservation = await accounts.reserve(
        caller, f"request {number}", prompt_tokens=len(prompt), max_new_tokens=most, model="mock"
    )
    written, finish = 0, "stop"
    with engine.submit(TokenRequest(prompt, SamplingConfig(max_new_tokens=most, seed=number))) as generation:
        async for event in generation:
            written += len(event.tokens)
            reservation.produced(written)
            finish = event.finish or finish
            if cancel_at is not None and written >= cancel_at:
                generation.cancel()
    outcome = "cancelled" if finish == "cancelled" else "complete"
    await accounts.settle(reservation, prompt_tokens=len(prompt), completion_tokens=written, outcome=outcome)
    return billed(len(prompt), written, outcome)


@pytest.mark.parametrize(
    "count", [400, pytest.param(10_000, marks=[pytest.mark.large, pytest.mark.timeout(900)])]
)
def test_billed_tokens_are_the_tokens_produced(
    database: Database, config: DatabaseConfig, count: int
) -> None:
    callers = [someone(database, PRICED, account=f"account {number % 5}") for number in range(10)]
    engine = MockEngine(slots=256, queue=0, tokens_per_s=500)

    async def run() -> list[tuple[int, int]]:
        places = asyncio.Semaphore(256)

        async def one(number: int) -> tuple[int, int]:
            async with places:
                return await _serve(accounts, callers, engine, number)

        async with accounts_at(config) as accounts:
            return await asyncio.gather(*map(one, range(count)))

    bills = asyncio.run(run())
    produced = engine.stats().generated_tokens
    engine.close()
    prompts, completions = (sum(column) for column in zip(*bills, strict=True))
    assert database.read(totals) == {
        "requests": count,
        "prompt_tokens": prompts,
        "completion_tokens": produced,
        "cost": prompts * 100_000 + completions,
    }
    database.read(check_sums)
    by_account = database.read(lambda connection: report(connection, by="account"))
    assert sum(row["completion_tokens"] for row in by_account) == produced
    outcomes = {row["outcome"]: row["requests"] for row in database.read(lambda c: report(c, by="outcome"))}
    assert set(outcomes) == {"cancelled", "complete"}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_order_of_changes_breaks_a_limit_or_a_sum(sqlite: Database, data: st.DataObject) -> None:
    """Groups of reservations and settlements, some of them told twice, against a model of ten lines."""
    limit = data.draw(st.integers(50, 300))
    name = f"account {next(_numbers)}"
    caller = someone(sqlite, limited(tokens_per_day=limit), account=name)
    used = 0
    held: dict[str, Granted] = {}
    settled: list[Settle] = []
    for round_number in range(data.draw(st.integers(1, 5))):
        changes: list[Reserve | Settle] = []
        for number, tokens in enumerate(data.draw(st.lists(st.integers(0, 60), max_size=8))):
            id = f"{name}-{round_number}-{number}"
            now_ms = 1_700_000_000_000
            ids = (caller.account_id, caller.key_id)
            changes.append(Reserve(id[-32:], id, "instance", *ids, "model", tokens, tokens, now_ms))
        for id in data.draw(st.lists(st.sampled_from(sorted(held)), unique=True)) if held else []:
            hold = held.pop(id).hold
            settle = Settle(hold, data.draw(st.integers(0, hold.held_tokens)), 0, "complete", 1)
            changes.append(settle)
            settled.append(settle)
        again = data.draw(st.lists(st.sampled_from(settled), max_size=2)) if settled else []
        changes = data.draw(st.permutations([*changes, *again]))
        with sqlite.begin() as connection:
            answers = Ledger(connection, 9.0).apply(changes)
        for change, answer in zip(changes, answers, strict=True):
            if isinstance(answer, Granted):
                held[change.request_id] = answer
            else:
                assert answer is None or isinstance(answer, LimitReached)
        used = sum(settle.prompt_tokens for settle in settled)
        assert used + sum(item.hold.held_tokens for item in held.values()) <= limit
    with sqlite.begin() as connection:
        rows = connection.execute(select(requests).where(requests.c.account_id == caller.account_id))
        assert sum(row.prompt_tokens for row in rows) == used
        check_sums(connection, is_settled=False)


def test_a_value_that_cannot_be_written_fails_alone(database: Database) -> None:
    caller = someone(database)
    model: Any = None  # as no caller gives it: the database refuses the row
    asked = [
        Reserve(f"{number:032}", f"{number}", "instance", caller.account_id, caller.key_id, name, 1, 1, 1)
        for number, name in enumerate(("one", model, "three"))
    ]

    async def run() -> list[Any]:
        writer = Writer(database, day_offset_h=9.0)
        answers = await asyncio.gather(
            *(writer.reserve(change, lambda: None) for change in asked), return_exceptions=True
        )
        await writer.close()
        return answers

    first, second, third = asyncio.run(run())
    assert isinstance(first, Granted)
    assert isinstance(second, DBAPIError)
    assert isinstance(third, Granted)


@pytest.mark.parametrize(
    "wrong",
    [
        {"request_id": "x" * 201},
        {"request_id": "two \ud800"},
        {"model": "a\x00b"},
        {"prompt_tokens": -1},
        {"max_new_tokens": 2**40},
    ],
)
def test_what_cannot_be_reserved_is_refused(sqlite: Database, wrong: dict[str, Any]) -> None:
    caller = someone(sqlite)
    given = {"request_id": "1", "prompt_tokens": 1, "max_new_tokens": 1, "model": "mock", **wrong}

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:
            with pytest.raises(Invalid):
                await accounts.reserve(caller, **given)
            held = await accounts.reserve(caller, "1", prompt_tokens=1, max_new_tokens=1)
            with pytest.raises(Invalid, match="none of"):
                await accounts.settle(held, prompt_tokens=1, completion_tokens=1, outcome="odd")

    asyncio.run(run())


def test_days_and_months_begin_by_the_configured_clock(sqlite: Database) -> None:
    at_ms = 1_798_729_200_000  # 2026-12-31 15:00 UTC: midnight in Japan
    assert clock.day_of(at_ms - 1, 9.0) == "2026-12-31"
    assert clock.day_of(at_ms, 9.0) == "2027-01-01"
    assert clock.next_day_ms(at_ms - 1, 9.0) == clock.next_month_ms(at_ms - 1, 9.0) == at_ms
    assert clock.next_day_ms(at_ms, 9.0) == at_ms + clock.DAY_MS
    assert clock.next_month_ms(at_ms, 9.0) == at_ms + 31 * clock.DAY_MS
    assert clock.day_of(at_ms, -3.5) == "2026-12-31"
    caller = someone(sqlite)
    assert sqlite.read(lambda c: usage_of(c, caller, day_offset_h=9.0))["today"]["requests"] == 0
