"""Accounts at their highest rate: reservations and settlements a second, on SQLite and, if given, PostgreSQL.

    python bench/metering.py [--requests 10000] [--in-flight 256] [--postgresql postgresql://…/EMPTY_DATABASE]

Each request is reserved, written by the mock engine at once, noted in the journal and settled, durably, as
the server does; there is no HTTP in it (bench/serve.py has that). The peer is the same ledger with one
transaction for each change, as a gateway writes that has no writer of its own. Billed tokens are compared
with those that the engine wrote: they are equal or the bench fails. Waiting times are those of one
reservation and one settlement; alone (one in flight) they are what metering adds to a request.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from _report import Comparison, emit, machine
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.accounts import writer
from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig, PlanTerms
from tsuzuri.serving.accounts.keys import Caller, KeyTerms, create_key
from tsuzuri.serving.accounts.plans import set_plan
from tsuzuri.serving.accounts.service import Accounts
from tsuzuri.serving.accounts.usage import totals
from tsuzuri.serving.engines.base import TokenRequest
from tsuzuri.serving.engines.mock import MockEngine

PROMPT = (1,) * 16
KEYS = 8
ALONE = 200


class Load:
    """Requests on one database, and how long each part of them took."""

    def __init__(self, accounts: Accounts, callers: list[Caller]) -> None:
        self.accounts = accounts
        self.callers = callers
        self.engine = MockEngine()
        self.reserve_ms: list[float] = []
        self.settle_ms: list[float] = []

    async def one(self, number: int) -> None:
        """One request."""
        most = 1 + number % 64
        began_s = time.perf_counter()
        reservation = await self.accounts.reserve(
            self.callers[number % KEYS],
            f"{id(self)}-{number}",
            prompt_tokens=len(PROMPT),
            max_new_tokens=most,
        )
        reserved_s = time.perf_counter()
        written = 0
        async for event in self.engine.submit(TokenRequest(PROMPT, SamplingConfig(max_new_tokens=most))):
            written += len(event.tokens)
            reservation.produced(written)
        written_s = time.perf_counter()
        await self.accounts.settle(
            reservation, prompt_tokens=len(PROMPT), completion_tokens=written, outcome="complete"
        )
        self.reserve_ms.append((reserved_s - began_s) * 1000)
        self.settle_ms.append((time.perf_counter() - written_s) * 1000)

    async def run(self, requests: int, in_flight: int) -> float:
        """Requests a second."""
        places = asyncio.Semaphore(in_flight)

        async def one(number: int) -> None:
            async with places:
                await self.one(number)

        began_s = time.perf_counter()
        await asyncio.gather(*map(one, range(requests)))
        return requests / (time.perf_counter() - began_s)


async def callers_of(accounts: Accounts) -> list[Caller]:
    """Eight keys of as many accounts, without limits."""
    free = PlanTerms(requests_per_minute=None, tokens_per_day=None, concurrent_requests=None)
    await accounts.act(lambda connection: set_plan(connection, "bench", free, actor="bench"))
    callers = []
    for number in range(KEYS):
        name = f"account {number}"
        key = await accounts.act(
            lambda connection, name=name: create_key(
                connection, name, KeyTerms(), plan="bench", actor="bench"
            )
        )
        callers.append(await accounts.authenticate(key.text, address="127.0.0.1"))
    return callers


async def measure(
    config: DatabaseConfig, requests: int, in_flight: int, together: int
) -> tuple[Load, float, Load]:
    """The load, its requests a second, and one with a single request in flight."""
    writer.MOST_TOGETHER = together
    accounts = Accounts(AccountsConfig(database=config))
    await accounts.start()
    before = await accounts.read(totals)
    callers = await callers_of(accounts)
    load, alone = Load(accounts, callers), Load(accounts, callers)
    rate = await load.run(requests, in_flight)
    await alone.run(ALONE, 1)
    after = await accounts.read(totals)
    await accounts.close()
    written = sum(one.engine.stats().generated_tokens for one in (load, alone))
    billed = after["completion_tokens"] - before["completion_tokens"]
    if billed != written:
        raise SystemExit(f"{billed} tokens were billed, {written} were written")
    print(f"  billed {billed:,} tokens of {requests + ALONE:,} requests, exactly as many as were written")
    return load, rate, alone


def quantiles(values: list[float]) -> str:
    """p50, p95 and p99 in one phrase."""
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.2f}, p95 {cuts[94]:.2f}, p99 {cuts[98]:.2f} ms"


def main() -> None:
    """Measure each database with and without shared transactions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--postgresql", help="URL of an empty database")
    options = parser.parse_args()
    print(machine(("sqlalchemy", "pg8000")))
    comparisons = []
    with tempfile.TemporaryDirectory() as folder:
        databases = {"SQLite": f"sqlite:///{folder}/accounts.db"}
        if options.postgresql:
            databases["PostgreSQL"] = options.postgresql
        for name, url in databases.items():
            config = DatabaseConfig(url=url, state=Path(folder) / name, busy_s=60)
            rates = {}
            for together in (256, 1):
                print(f"{name}, up to {together} changes a transaction, {options.in_flight} in flight")
                requests = options.requests if together > 1 else max(1, options.requests // 10)
                load, rate, alone = asyncio.run(measure(config, requests, options.in_flight, together))
                rates[together] = rate
                print(f"  {rate:,.0f} requests/s; reserve {quantiles(load.reserve_ms)}; ", end="")
                print(f"settle {quantiles(load.settle_ms)}")
                print(f"  alone: reserve {quantiles(alone.reserve_ms)}; settle {quantiles(alone.settle_ms)}")
            comparisons.append(
                Comparison(f"metering {name}", rates[256] / rates[1], rates[256], rates[1], "requests/s")
            )
    emit(comparisons)


if __name__ == "__main__":
    main()
