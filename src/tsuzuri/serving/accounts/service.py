"""`Accounts`: what the server asks before, and tells after, each request.

accounts = Accounts(AccountsConfig(...))
await accounts.start()
caller = await accounts.authenticate(bearer, address="203.0.113.7", model="kana")
reservation = await accounts.reserve(caller, request_id, prompt_tokens=12, max_new_tokens=100)
reservation.produced(1) …                  # before each token is sent: a killed server knows how far it was
await accounts.settle(reservation, prompt_tokens=12, completion_tokens=57, outcome="stop")
await accounts.close()
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection

from tsuzuri.serving.accounts.audit import record
from tsuzuri.serving.accounts.clock import HOUR_MS, now_ms
from tsuzuri.serving.accounts.config import AccountsConfig
from tsuzuri.serving.accounts.database import Database
from tsuzuri.serving.accounts.errors import Invalid, LimitReached, StorageUnavailable, Unauthorized
from tsuzuri.serving.accounts.journal import OUTCOMES, Journal, Slot
from tsuzuri.serving.accounts.keys import Caller, check_caller, digest_of, find_caller
from tsuzuri.serving.accounts.limits import RateLimiter, network_of
from tsuzuri.serving.accounts.metering import Granted, Hold, Reserve, Settle, billed
from tsuzuri.serving.accounts.plans import ensure_plan
from tsuzuri.serving.accounts.recovery import settle_dead, settle_lost
from tsuzuri.serving.accounts.usage import usage_of
from tsuzuri.serving.accounts.writer import Writer

MINUTE_S = 60.0
MOST_CACHED_KEYS = 10_000
MOST_TOKENS = 2**31
MOST_CHARACTERS = 200
Result = TypeVar("Result")


class Reservation:
    """A request that was let in. `headers` tell its caller what is left."""

    __slots__ = ("_settled", "_slot", "headers", "hold")

    def __init__(self, hold: Hold, slot: Slot, headers: dict[str, str]) -> None:
        self.hold = hold
        self.headers = headers
        self._slot = slot
        self._settled = False

    def produced(self, completion_tokens: int, *, prompt_tokens: int | None = None) -> None:
        """So many tokens have been written so far: a store or two to memory. Call it before they are sent.
        The prompt's are those reserved until whoever read it says otherwise."""
        if not self._settled:
            self._slot.note(completion_tokens, prompt_tokens)


class Accounts:
    """Keys, limits and metering over one database. Call it on one event loop."""

    def __init__(self, config: AccountsConfig) -> None:
        self.config = config
        self.database = Database(config.database)
        self._limiter = RateLimiter(time.monotonic)
        self._callers: dict[str, tuple[Caller, float]] = {}
        self._readers = ThreadPoolExecutor(config.database.connections, thread_name_prefix="accounts-reader")

    async def start(self) -> None:
        """Bring the tables up to date, settle what a killed server left open, begin to write."""
        await asyncio.to_thread(self.prepare)
        self._journal = Journal(self.database.state, slots=self.config.open_at_most)
        self._writer = Writer(self.database, day_offset_h=self.config.day_offset_h)
        self._open = 0

    def prepare(self) -> None:
        """What `start` does first, which may take a while and tells what is wrong with the database."""
        self.database.migrate()
        self.database.write(lambda connection: ensure_plan(connection, self.config.plan))
        settle_dead(self.database, day_offset_h=self.config.day_offset_h)
        opened_before_ms = now_ms() - round(self.config.lost_after_h * HOUR_MS)
        settle_lost(self.database, opened_before_ms, day_offset_h=self.config.day_offset_h)

    async def close(self) -> None:
        """Write what is outstanding. What is still open is settled by the next start."""
        await self._writer.close()
        self._journal.close(keep=self._open > 0)
        self._readers.shutdown()
        self.database.close()

    async def authenticate(self, bearer: str | None, *, address: str, model: str | None = None) -> Caller:
        """Whose key it is, which is valid and may use the model.

        Raises Unauthorized, Forbidden, LimitReached for an address that asks or guesses too often,
        StorageUnavailable.
        """
        network = network_of(address)
        self.limit_address(network)
        guesses, name = self.config.address_failures_per_minute, f"failure {network}"
        if self._limiter.left(name, many=guesses, per_s=MINUTE_S) < 1:
            raise LimitReached(
                "too many wrong keys came from your address", "address_blocked", retry_after_s=60
            )
        if not bearer:
            raise Unauthorized("give your API key: Authorization: Bearer tsz_…", "missing_api_key")
        caller = await self._find(bearer)
        if caller is None:
            self._limiter.take(name, many=guesses, per_s=MINUTE_S)
        check_caller(caller, model or "")
        assert caller is not None
        return dataclasses.replace(caller, model=model or "")

    def limit_address(self, address: str) -> None:
        """Count a request of an address; LimitReached where it makes too many."""
        many = self.config.address_requests_per_minute
        wait_s = self._limiter.take(f"address {network_of(address)}", many=many, per_s=MINUTE_S)
        if wait_s:
            message = f"your address may make {many} requests a minute"
            raise LimitReached(message, "address_rate_limit_reached", retry_after_s=wait_s)

    def limit_applications(self, address: str) -> None:
        """Count an application of an address; LimitReached where it sends too many."""
        many = self.config.applications_per_hour
        wait_s = self._limiter.take(f"application {network_of(address)}", many=many, per_s=3600)
        if wait_s:
            message = f"your address may send {many} applications an hour"
            raise LimitReached(message, "application_rate_limit_reached", retry_after_s=wait_s)

    async def reserve(
        self,
        caller: Caller,
        request_id: str,
        *,
        prompt_tokens: int,
        max_new_tokens: int,
        model: str | None = None,
    ) -> Reservation:
        """Let a request in that may use so many tokens (of all its samples together). The id is counted once.

        Raises LimitReached with what is left and when there is more, Unauthorized where the key has ended
        since, Conflict for an id that was counted before, StorageUnavailable.
        """
        model = caller.model if model is None else model
        for name in (request_id, model):
            if not name.isprintable() or len(name) > MOST_CHARACTERS:
                raise Invalid(f"an id has up to {MOST_CHARACTERS} printable characters", "bad_id")
        if not (0 <= prompt_tokens <= MOST_TOKENS and 0 <= max_new_tokens <= MOST_TOKENS):
            raise Invalid(f"a request may use up to {MOST_TOKENS} tokens", "bad_token_count")
        headers = self._take_rate(caller)
        wanted = Reserve(
            uuid.uuid4().hex,
            request_id,
            self._journal.instance,
            caller.account_id,
            caller.key_id,
            model,
            prompt_tokens,
            max_new_tokens,
            now_ms(),
        )
        slot = self._journal.open(wanted.id, prompt_tokens)
        self._open += 1
        asked = asyncio.ensure_future(self._writer.reserve(wanted, lambda: self._release(slot)))
        try:
            granted = await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(lambda done: self._drop(done, slot))
            raise
        except BaseException as error:
            if not isinstance(error, StorageUnavailable):  # else the writer makes sure first
                self._release(slot)
            raise
        return Reservation(granted.hold, slot, {**headers, **_token_headers(granted)})

    async def settle(
        self, reservation: Reservation, *, prompt_tokens: int, completion_tokens: int, outcome: str
    ) -> None:
        """Count what a request used; durable on return, and the same for a second call.

        On StorageUnavailable nothing is lost: it is written as soon as the database is back, or by the
        next start.
        """
        if reservation._settled:
            return
        if outcome not in OUTCOMES:
            raise Invalid(f"{outcome!r} is none of {', '.join(OUTCOMES)}", "bad_outcome")
        reservation._settled = True
        used = billed(prompt_tokens, completion_tokens, outcome)
        reservation._slot.end(*used, outcome)
        change = Settle(reservation.hold, *used, outcome, now_ms())
        await self._writer.settle(change, lambda: self._release(reservation._slot))

    async def usage(self, caller: Caller) -> dict[str, Any]:
        """What the caller's account has used, and what is left."""
        offset_h = self.config.day_offset_h
        return await self.read(lambda connection: usage_of(connection, caller, day_offset_h=offset_h))

    async def read(self, question: Callable[[Connection], Result]) -> Result:
        """What `question` returns about the database, on a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self.database.read, question)

    async def act(self, change: Callable[[Connection], Result]) -> Result:
        """What `change` returns, written. Keys are looked up anew after it."""
        try:
            return await self._writer.act(change)
        finally:
            self._callers.clear()

    async def note(
        self, caller: Caller, action: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Keep in the audit log what an administrator did beside the accounts."""
        actor = f"key:{caller.key_id}"
        await self._writer.act(lambda connection: record(connection, actor, action, subject, detail))

    @property
    def waiting(self) -> int:
        """Changes that are not written yet: for /metrics and for /ready."""
        return self._writer.waiting

    async def _find(self, bearer: str) -> Caller | None:
        digest = digest_of(bearer)
        cached, until_s = self._callers.get(digest, (None, 0.0))
        if time.monotonic() < until_s:
            return cached
        found = await self.read(lambda connection: find_caller(connection, bearer))
        if len(self._callers) >= MOST_CACHED_KEYS:
            self._callers.clear()
        if found is not None:
            self._callers[digest] = (found, time.monotonic() + self.config.key_cache_s)
        return found

    def _take_rate(self, caller: Caller) -> dict[str, str]:
        """Count a request of the account and of the key; what is left of the narrower, as headers."""
        headers: dict[str, str] = {}
        rates = (
            (f"account {caller.account_id}", caller.requests_per_minute, "your plan"),
            (f"key {caller.key_id}", caller.key_requests_per_minute, "this key"),
        )
        for name, many, whose in rates:
            if many is None:
                continue
            wait_s = self._limiter.take(name, many=many, per_s=MINUTE_S)
            left = self._limiter.left(name, many=many, per_s=MINUTE_S)
            if wait_s or left <= int(headers.get("x-ratelimit-remaining-requests", left)):
                headers = _rate_headers(many, left)
            if wait_s:
                message = f"{whose} allows {many} requests a minute"
                raise LimitReached(message, "rate_limit_reached", retry_after_s=wait_s, headers=headers)
        return headers

    def _drop(self, done: asyncio.Future[Granted], slot: Slot) -> None:
        """Settle a request whose caller has gone while it was let in."""
        if done.cancelled() or isinstance(done.exception(), StorageUnavailable):
            return
        if done.exception() is not None:
            self._release(slot)
            return
        change = Settle(done.result().hold, 0, 0, "cancelled", now_ms())
        settling = asyncio.ensure_future(self._writer.settle(change, lambda: self._release(slot)))
        settling.add_done_callback(lambda task: task.cancelled() or task.exception())

    def _release(self, slot: Slot) -> None:
        self._journal.free(slot)
        self._open -= 1


def _rate_headers(many: int, left: int) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(many),
        "x-ratelimit-remaining-requests": str(left),
        "x-ratelimit-reset-requests": f"{(many - left) * MINUTE_S / many:.3f}s",
    }


def _token_headers(granted: Granted) -> dict[str, str]:
    if granted.limit_tokens is None:
        return {}
    return {
        "x-ratelimit-limit-tokens": str(granted.limit_tokens),
        "x-ratelimit-remaining-tokens": str(granted.left_tokens),
        "x-ratelimit-reset-tokens": f"{max(0, granted.day_ends_ms - now_ms()) / 1000:.0f}s",
    }
