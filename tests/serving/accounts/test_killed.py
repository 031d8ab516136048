"""A server killed at any instant: every key, plan and bill that was acknowledged is there, and every token
that was written before the kill is billed by the next start."""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from serving.accounts.people import UNLIMITED, accounts_at, check_sums, someone
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.accounts.config import DatabaseConfig
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.journal import SUFFIX, Journal, dead_journals
from tsuzuri.serving.accounts.keys import Caller, KeyTerms, NewKey, create_key, find_caller
from tsuzuri.serving.accounts.ledger import Ledger
from tsuzuri.serving.accounts.metering import Reserve
from tsuzuri.serving.accounts.plans import list_plans, set_plan
from tsuzuri.serving.accounts.recovery import settle_dead, settle_lost
from tsuzuri.serving.accounts.service import Accounts
from tsuzuri.serving.accounts.tables import requests
from tsuzuri.serving.engines.base import TokenRequest
from tsuzuri.serving.engines.mock import MockEngine

PROMPT = 3
IN_FLIGHT = 256
MOST_TOKENS_BEFORE_A_KILL = 2500
"""So few that the work lasts for all the kills."""
NOT_BEGUN, BEGUN, ACKNOWLEDGED = range(3)


class Truth:
    """What really happened to each request, in memory that a killed child leaves to its parent."""

    def __init__(self, count: int) -> None:
        self.written = memoryview(mmap.mmap(-1, count * 8)).cast("B").cast("Q")
        self.state = memoryview(mmap.mmap(-1, count * 8)).cast("B").cast("Q")


async def serve(accounts: Accounts, caller: Caller, engine: MockEngine, truth: Truth, number: int) -> None:
    """One request as the server runs it; about a fifth is called off."""
    drawn = random.Random(number)
    most = drawn.randint(1, 40)
    cancel_at = drawn.randint(0, 30) if drawn.random() < 0.2 else 1000
    truth.state[number] = BEGUN
    reservation = await accounts.reserve(
        caller, f"request {number}", prompt_tokens=PROMPT, max_new_tokens=most, model="mock"
    )
    written, finish = 0, "stop"
    sampling = SamplingConfig(max_new_tokens=most, seed=number)
    async for event in (generation := engine.submit(TokenRequest((1,) * PROMPT, sampling))):
        written += len(event.tokens)
        truth.written[number] = written
        reservation.produced(written)
        finish = event.finish or finish
        if written >= cancel_at:
            generation.cancel()
    outcome = "cancelled" if finish == "cancelled" else "complete"
    await accounts.settle(reservation, prompt_tokens=PROMPT, completion_tokens=written, outcome=outcome)
    truth.state[number] = ACKNOWLEDGED


def grant(connection: Connection, *, name: str) -> NewKey:
    """A new plan, and a key."""
    set_plan(connection, name, UNLIMITED, actor="test")
    return create_key(connection, "granted", KeyTerms(), plan=name, actor="test")


async def server(config: DatabaseConfig, caller: Caller, truth: Truth, pipe: int) -> None:
    """Serve every request not begun yet, and make a key and a plan now and then, which it tells."""
    engine = MockEngine(slots=IN_FLIGHT, queue=0, tokens_per_s=200)
    async with accounts_at(config) as accounts:
        places = asyncio.Semaphore(IN_FLIGHT)

        async def one(number: int) -> None:
            async with places:
                await serve(accounts, caller, engine, truth, number)

        async def administer() -> None:
            while True:
                name = f"{os.getpid()}-{time.monotonic_ns()}"
                key = await accounts.act(partial(grant, name=name))
                os.write(pipe, f"{name} {key.text}\n".encode())
                await asyncio.sleep(0.02)

        os.write(pipe, b"ready\n")
        clerk = asyncio.create_task(administer())
        await asyncio.gather(*(one(number) for number in range(len(truth.state)) if not truth.state[number]))
        clerk.cancel()
        await asyncio.gather(clerk, return_exceptions=True)
    engine.close()


@contextmanager
def forked(config: DatabaseConfig, caller: Caller, truth: Truth) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its id, and a pipe of what it tells. Waited for at the end."""
    reader, pipe = os.pipe()
    process = os.fork()
    if not process:
        status = 1
        try:
            asyncio.run(server(config, caller, truth, pipe))
            status = 0
        finally:
            os._exit(status)
    os.close(pipe)
    try:
        yield process, reader
    finally:
        os.close(reader)


def wait_for(process: int, truth: Truth, tokens: int) -> None:
    """Until so many more tokens have been written by a server that lives."""
    wanted = sum(truth.written) + tokens
    while sum(truth.written) < wanted:
        ended = os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        assert ended is None, "the server ended by itself"
        time.sleep(0.001)


def told(reader: int) -> list[str]:
    """The lines that a process told before its end."""
    parts = []
    while part := os.read(reader, 65_536):
        parts.append(part)
    return b"".join(parts).decode().splitlines()


@pytest.mark.parametrize(
    ("count", "kills"),
    [(1200, 3), pytest.param(10_000, 25, marks=[pytest.mark.large, pytest.mark.timeout(900)])],
)
def test_nothing_acknowledged_is_lost_and_what_was_written_is_billed(
    database: Database, config: DatabaseConfig, count: int, kills: int
) -> None:
    caller = someone(database)
    database.close()
    truth = Truth(count)
    drawn = random.Random(count)
    granted: list[str] = []
    done = 0
    for left in range(kills, -1, -1):
        with forked(config, caller, truth) as (process, reader):
            assert os.read(reader, 6) == b"ready\n"
            if left:
                wait_for(process, truth, drawn.randint(1, MOST_TOKENS_BEFORE_A_KILL))
                time.sleep(drawn.uniform(0.0, 0.005))
                os.kill(process, signal.SIGKILL)
            granted += told(reader)
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            done += status == -signal.SIGKILL
            assert status == (-signal.SIGKILL if left else 0)
    assert done == kills

    with database.begin() as connection:
        rows = {row.request_id: row for row in connection.execute(select(requests))}
        check_sums(connection)
        plans = {plan["name"] for plan in list_plans(connection)}
        for line in granted:
            name, _, key = line.partition(" ")
            assert name in plans
            assert find_caller(connection, key) is not None
    assert granted
    gaps = killed = 0
    for number in range(count):
        row = rows.pop(f"request {number}", None)
        written, state = truth.written[number], truth.state[number]
        assert state != NOT_BEGUN
        if row is None:  # killed before it was let in
            assert (written, state) == (0, BEGUN)
            continue
        killed += row.outcome == "killed"
        if state == ACKNOWLEDGED:
            assert row.completion_tokens == written
            assert row.outcome in ("complete", "cancelled")
        gaps += written != row.completion_tokens  # a kill between our note of a token and the journal's
        assert row.prompt_tokens == (PROMPT if row.completion_tokens else 0)
    assert rows == {}
    assert gaps <= kills
    assert killed > 0
    assert not list(database.state.glob(f"*{SUFFIX}"))


def test_a_living_servers_requests_are_left_alone(database: Database, config: DatabaseConfig) -> None:
    caller = someone(database)

    async def run() -> None:
        async with accounts_at(config) as first:
            held = await first.reserve(caller, "1", prompt_tokens=1, max_new_tokens=9)
            held.produced(4)
            async with accounts_at(config) as second:
                assert (await second.usage(caller))["in_flight"]["requests"] == 1
            await first.settle(held, prompt_tokens=1, completion_tokens=5, outcome="complete")

    asyncio.run(run())
    with database.begin() as connection:
        assert [row.completion_tokens for row in connection.execute(select(requests))] == [5]
    database.read(check_sums)


def opened_by(database: Database, instance: str, caller: Caller, *, at_ms: int) -> str:
    """A request that an instance let in and did not settle."""
    id = f"{at_ms:032}"
    change = Reserve(id, id, instance, caller.account_id, caller.key_id, "mock", 5, 9, at_ms)
    with database.begin() as connection:
        Ledger(connection, 9.0).apply([change])
    return id


def test_without_a_journal_a_request_is_lost_after_its_time_and_bills_nothing(database: Database) -> None:
    caller = someone(database)
    opened_by(database, "another machine", caller, at_ms=1000)
    opened_by(database, "another machine", caller, at_ms=2000)
    assert settle_dead(database, day_offset_h=9.0) == 0
    assert settle_lost(database, 1500, day_offset_h=9.0) == 1
    assert settle_lost(database, 1500, day_offset_h=9.0) == 0
    with database.begin() as connection:
        rows = connection.execute(select(requests).order_by(requests.c.opened_ms)).all()
        assert [(row.outcome, row.prompt_tokens) for row in rows] == [("lost", 0), (None, 0)]
        check_sums(connection, is_settled=False)


def test_a_journal_cut_short_or_of_nobody_is_no_error(sqlite: Database) -> None:
    sqlite.state.mkdir()
    (sqlite.state / f"{'0' * 32}{SUFFIX}").write_bytes(b"\x01" * 100)
    assert settle_dead(sqlite, day_offset_h=9.0) == 0
    assert list(sqlite.state.iterdir()) == []


def test_the_journal_tells_the_dead_from_the_living(tmp_path: Path) -> None:
    journal = Journal(tmp_path, slots=2)
    slot = journal.open("0" * 31 + "7", 11)
    slot.note(3)
    assert list(dead_journals(tmp_path)) == []
    journal.close(keep=True)
    ((instance, progress, path),) = list(dead_journals(tmp_path))
    assert (instance, path) == (journal.instance, journal.path)
    found = progress["0" * 31 + "7"]
    assert (found.prompt_tokens, found.completion_tokens, found.outcome) == (11, 3, None)


def test_the_journal_tells_what_a_prompt_was_where_it_was_estimated(tmp_path: Path) -> None:
    journal = Journal(tmp_path, slots=1)
    journal.open("0" * 31 + "7", 40).note(3, 11)
    journal.close(keep=True)
    ((_, progress, _),) = list(dead_journals(tmp_path))
    found = progress["0" * 31 + "7"]
    assert (found.prompt_tokens, found.completion_tokens) == (11, 3)
