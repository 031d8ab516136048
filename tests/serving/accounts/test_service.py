"""Who is let in; what happens while the database is locked, full or away."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError

from serving.accounts.people import accounts_at, check_sums, someone
from tsuzuri.core.errors import ResourceError
from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.errors import Forbidden, LimitReached, StorageUnavailable, Unauthorized
from tsuzuri.serving.accounts.keys import KeyTerms, NewKey, create_key, revoke_key
from tsuzuri.serving.accounts.plans import ensure_plan
from tsuzuri.serving.accounts.service import Accounts
from tsuzuri.serving.accounts.usage import totals
from tsuzuri.serving.errors import error_body


def new_key(database: Database, terms: KeyTerms | None = None) -> NewKey:
    def create(connection: Connection) -> NewKey:
        ensure_plan(connection, "standard")
        return create_key(connection, "me", terms or KeyTerms(), plan="standard", actor="test")

    return database.write(create)


def test_a_key_lets_in_by_all_of_it_for_its_models(sqlite: Database) -> None:
    key = new_key(sqlite, KeyTerms(models=("kana",)))

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:
            for _ in range(2):  # looked up, then known
                caller = await accounts.authenticate(key.text, address="203.0.113.7", model="kana")
                assert (caller.account, caller.model, caller.is_admin) == ("me", "kana", False)
                with pytest.raises(Forbidden):
                    await accounts.authenticate(key.text, address="203.0.113.7", model="kanji")
            for nothing in (None, ""):
                with pytest.raises(Unauthorized) as missing:
                    await accounts.authenticate(nothing, address="203.0.113.7")
                assert missing.value.code == "missing_api_key"
            wrong = key.text[:-1] + ("a" if key.text[-1] != "a" else "b")
            with pytest.raises(Unauthorized) as unknown:
                await accounts.authenticate(wrong, address="203.0.113.7")
            error = unknown.value
            told = str(error_body(error.status, error.code, error.message))
            assert key.id not in told
            assert wrong not in told

    asyncio.run(run())


def test_only_what_was_used_waits_for_the_disk(sqlite: Database) -> None:
    caller = someone(sqlite)
    committed: list[int] = []
    full, normal = 2, 1

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:

            @event.listens_for(accounts.database.engine, "commit")
            def note(connection: Connection) -> None:
                committed.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

            one = await accounts.reserve(caller, "one", prompt_tokens=1, max_new_tokens=1, model="kana")
            await accounts.settle(one, prompt_tokens=1, completion_tokens=1, outcome="complete")
            await accounts.act(lambda connection: ensure_plan(connection, "other"))
            await accounts.reserve(caller, "two", prompt_tokens=1, max_new_tokens=1, model="kana")

    asyncio.run(run())
    assert committed == [normal, full, full, normal]


def test_what_another_process_revokes_ends_within_the_cache_and_what_this_one_revokes_at_once(
    sqlite: Database,
) -> None:
    first, second = new_key(sqlite), new_key(sqlite)

    async def run() -> None:
        async with accounts_at(sqlite.config, key_cache_s=0.2) as accounts:
            await accounts.authenticate(first.text, address="")
            sqlite.write(lambda connection: revoke_key(connection, first.id, actor="test"))
            await asyncio.sleep(0.25)
            with pytest.raises(Unauthorized) as ended:
                await accounts.authenticate(first.text, address="")
            assert ended.value.code == "revoked_api_key"
        async with accounts_at(sqlite.config, key_cache_s=1e6) as accounts:
            await accounts.authenticate(second.text, address="")
            await accounts.act(lambda connection: revoke_key(connection, second.id, actor="test"))
            with pytest.raises(Unauthorized):
                await accounts.authenticate(second.text, address="")

    asyncio.run(run())


def test_an_address_asks_guesses_and_applies_so_often_and_others_are_not_touched(sqlite: Database) -> None:
    key = new_key(sqlite)
    limits = {
        "address_requests_per_minute": 20,
        "address_failures_per_minute": 3,
        "applications_per_hour": 2,
    }

    async def run() -> None:
        async with accounts_at(sqlite.config, **limits) as accounts:
            for number in range(3):
                with pytest.raises(Unauthorized):
                    await accounts.authenticate(f"tsz_{number}", address="2001:db8::1")
            with pytest.raises(LimitReached) as blocked:
                await accounts.authenticate(key.text, address="2001:db8::2")
            assert blocked.value.code == "address_blocked"
            for _ in range(20):
                await accounts.authenticate(key.text, address="203.0.113.7")
            with pytest.raises(LimitReached) as often:
                await accounts.authenticate(key.text, address="203.0.113.7")
            assert often.value.code == "address_rate_limit_reached"
            await accounts.authenticate(key.text, address="203.0.113.8")
            for _ in range(2):
                accounts.limit_applications("203.0.113.7")
            with pytest.raises(LimitReached, match="2 applications an hour"):
                accounts.limit_applications("203.0.113.7")
            accounts.limit_applications("203.0.113.8")

    asyncio.run(run())


def test_while_the_database_is_locked_requests_wait_then_get_503_and_nothing_settled_is_lost(
    sqlite: Database, tmp_path: Path
) -> None:
    caller = someone(sqlite)

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:
            held = await accounts.reserve(caller, "before", prompt_tokens=1, max_new_tokens=9)
            briefly = await accounts.reserve(caller, "briefly", prompt_tokens=1, max_new_tokens=9)
            lock = sqlite3.connect(tmp_path / "accounts.db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(
                accounts.settle(briefly, prompt_tokens=1, completion_tokens=2, outcome="complete")
            )
            await asyncio.sleep(0.05)
            lock.execute("ROLLBACK")
            await waiting  # a lock shorter than busy_s is only a delay
            lock.execute("BEGIN IMMEDIATE")
            began_s = time.monotonic()
            answers = await asyncio.gather(
                accounts.settle(held, prompt_tokens=1, completion_tokens=7, outcome="complete"),
                accounts.reserve(caller, "during", prompt_tokens=1, max_new_tokens=1),
                accounts.act(lambda connection: connection.execute(text("SELECT 1")).scalar()),
                return_exceptions=True,
            )
            assert all(isinstance(answer, StorageUnavailable) for answer in answers)
            assert isinstance(answers[0], StorageUnavailable)
            assert (answers[0].status, answers[0].retry_after_s) == (503, 5)
            assert time.monotonic() - began_s >= sqlite.config.busy_s
            await accounts.usage(caller)  # reading goes on
            lock.execute("ROLLBACK")
            lock.close()
            while accounts.waiting or (await accounts.read(totals))["requests"] < 2:
                await asyncio.sleep(0.02)
            again = await accounts.reserve(caller, "during", prompt_tokens=1, max_new_tokens=1)
            await accounts.settle(again, prompt_tokens=1, completion_tokens=1, outcome="complete")

    asyncio.run(run())
    assert sqlite.read(totals) == {"requests": 3, "prompt_tokens": 3, "completion_tokens": 10, "cost": 0}
    sqlite.read(check_sums)
    assert list(sqlite.state.iterdir()) == []


def test_what_could_not_be_written_before_the_end_is_written_by_the_next_start(
    sqlite: Database, tmp_path: Path
) -> None:
    caller = someone(sqlite)

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:
            held = await accounts.reserve(caller, "1", prompt_tokens=5, max_new_tokens=9)
            lock = sqlite3.connect(tmp_path / "accounts.db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageUnavailable):
                await accounts.settle(held, prompt_tokens=5, completion_tokens=8, outcome="timeout")
        lock.close()
        assert sqlite.read(totals)["requests"] == 0
        async with accounts_at(sqlite.config) as accounts:
            assert (await accounts.read(totals))["completion_tokens"] == 8

    asyncio.run(run())
    with sqlite.begin() as connection:
        assert connection.scalar(text("SELECT outcome FROM requests")) == "timeout"


def test_a_full_disk_refuses_and_goes_on_once_there_is_room(sqlite: Database) -> None:
    caller = someone(sqlite)

    async def run() -> None:
        async with accounts_at(sqlite.config) as accounts:
            held = await accounts.reserve(caller, "1", prompt_tokens=1, max_new_tokens=9)

            def set_pages(most: int) -> Any:
                def set_them(connection: Connection) -> None:
                    connection.exec_driver_sql(f"PRAGMA max_page_count = {most}")

                return set_them

            # as many pages as there are: SQLite answers "database or disk is full" when it needs another
            await accounts.act(set_pages(1))
            full = None
            for number in range(2000):
                try:
                    one = await accounts.reserve(caller, f"more {number}", prompt_tokens=1, max_new_tokens=1)
                    await accounts.settle(one, prompt_tokens=1, completion_tokens=1, outcome="complete")
                except StorageUnavailable as error:
                    full = error
                    break
            assert full is not None
            accounts.database.engine.dispose()  # the next connection knows no such limit: there is room
            await accounts.settle(held, prompt_tokens=1, completion_tokens=3, outcome="complete")
            while accounts.waiting:
                await asyncio.sleep(0.02)

    asyncio.run(run())
    sqlite.read(check_sums)


def test_a_mistake_of_ours_is_no_state_that_passes(database: Database) -> None:
    for ask in (database.read, database.write):
        with pytest.raises(DBAPIError):
            ask(lambda connection: connection.execute(text("SELECT nothing FROM nowhere")))


def test_a_postgresql_that_is_away_is_a_clear_error(tmp_path: Path) -> None:
    config = DatabaseConfig(url="postgresql://me:secret@127.0.0.1:1/none", state=tmp_path, busy_s=0.2)

    async def run() -> None:
        with pytest.raises(ResourceError, match="does not answer") as away:
            await Accounts(AccountsConfig(database=config)).start()
        assert "secret" not in str(away.value)

    asyncio.run(run())


def test_connections_that_postgresql_ends_are_made_again(postgresql: str, tmp_path: Path) -> None:
    config = DatabaseConfig(url=f"{postgresql}/postgres", state=tmp_path, busy_s=5)
    database = Database(config)
    database.migrate()
    caller = someone(database)

    async def run() -> None:
        async with accounts_at(config) as accounts:
            held = [
                await accounts.reserve(caller, f"{number}", prompt_tokens=1, max_new_tokens=1)
                for number in range(3)
            ]
            for reservation in held:
                database.engine.dispose()
                with database.begin() as connection:
                    connection.execute(
                        text(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                        )
                    )
                await accounts.settle(reservation, prompt_tokens=1, completion_tokens=1, outcome="complete")

    asyncio.run(run())
    assert database.read(totals)["completion_tokens"] == 3
    database.read(check_sums)
    database.close()


def test_a_server_holds_so_many_requests_and_no_more(sqlite: Database) -> None:
    caller = someone(sqlite)

    async def run() -> None:
        async with accounts_at(sqlite.config, open_at_most=2) as accounts:
            held = [
                await accounts.reserve(caller, f"{number}", prompt_tokens=1, max_new_tokens=1)
                for number in range(2)
            ]
            with pytest.raises(StorageUnavailable, match="as many requests"):
                await accounts.reserve(caller, "3", prompt_tokens=1, max_new_tokens=1)
            for reservation in held:
                await accounts.settle(reservation, prompt_tokens=1, completion_tokens=1, outcome="complete")
            again = await accounts.reserve(caller, "4", prompt_tokens=1, max_new_tokens=1)
            await accounts.settle(again, prompt_tokens=1, completion_tokens=1, outcome="complete")

    asyncio.run(run())
