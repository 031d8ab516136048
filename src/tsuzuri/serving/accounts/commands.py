"""`tsuzuri keys`, `waitlist`, `plans`, `usage`: the accounts at the command line, on the database itself.

They may be used while a server runs: what they change holds for its next request.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any, TypeVar, cast, get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, MissingExtraError
from tsuzuri.serving.accounts.config import DEFAULT_PLAN, DatabaseConfig, PlanTerms

try:
    from sqlalchemy import Connection

    from tsuzuri.serving.accounts.audit import read_audit
    from tsuzuri.serving.accounts.database import Database
    from tsuzuri.serving.accounts.keys import (
        KeyTerms,
        NewKey,
        create_key,
        list_keys,
        models_of,
        revoke_account,
        revoke_key,
        rotate_key,
    )
    from tsuzuri.serving.accounts.plans import assign_plan, ensure_plan, grant_plans, list_plans, set_plan
    from tsuzuri.serving.accounts.usage import By, report
    from tsuzuri.serving.accounts.waitlist import approve, forget, list_applications, refuse
except ModuleNotFoundError as error:
    if error.name and error.name.startswith("tsuzuri"):
        raise
    raise MissingExtraError(error.name or "sqlalchemy", "serve") from error

DATABASE_VARIABLE = "TSUZURI_DATABASE"
"""Names the database where `--database` does not: a URL may hold a password, which others would see in the
list of processes."""
MOMENTS = ("created_at", "expires_at", "applied_at", "decided_at", "at")
Result = TypeVar("Result")


def keys_create(
    account: str,
    *,
    database: str | None = None,
    name: str | None = None,
    plan: str | None = None,
    models: Sequence[str] = (),
    expires_days: float | None = None,
    requests_per_minute: int | None = None,
    admin: bool = False,
    as_json: bool = False,
) -> str:
    """A new key, shown once."""
    terms = KeyTerms(models_of(models), expires_days, admin, requests_per_minute)

    def create(connection: Connection) -> NewKey:
        ensure_plan(connection, DEFAULT_PLAN)
        return create_key(connection, account, terms, plan=plan, name=name or "", actor=_actor())

    return _new(_write(database, create, makes=True), as_json)


def keys_rotate(
    key: str, *, database: str | None = None, overlap_hours: float = 24.0, as_json: bool = False
) -> str:
    """A new key in place of another, shown once."""
    made = _write(
        database, lambda connection: rotate_key(connection, key, overlap_h=overlap_hours, actor=_actor())
    )
    return _new(made, as_json)


def keys_list(*, database: str | None = None, account: str | None = None, as_json: bool = False) -> str:
    """Every key, without its secret."""
    rows = _read(database, lambda connection: list_keys(connection, account=account))
    columns = (
        "prefix",
        "name",
        "account",
        "plan",
        "status",
        "is_admin",
        "models",
        "created_at",
        "expires_at",
    )
    return _shown(rows, columns, as_json)


def keys_revoke(keys: Sequence[str] = (), *, database: str | None = None, account: str | None = None) -> str:
    """End keys by their names, or all of an account's."""
    if bool(keys) == bool(account):
        raise InputError("nothing to revoke, or too much", hint="name keys, or --account NAME")

    def revoke(connection: Connection) -> int:
        for key in keys:
            revoke_key(connection, key, actor=_actor())
        return len(keys) + (revoke_account(connection, account, actor=_actor()) if account else 0)

    return f"revoked: {_write(database, revoke)}"


def waitlist_list(*, database: str | None = None, status: str | None = None, as_json: bool = False) -> str:
    """Applications, the oldest first."""
    rows = _read(database, lambda connection: list_applications(connection, status=status))
    columns = ("id", "status", "position", "name", "email", "purpose", "applied_at", "plan", "reason")
    return _shown(rows, columns, as_json)


def waitlist_approve(
    application: str,
    *,
    database: str | None = None,
    plan: str = DEFAULT_PLAN,
    models: Sequence[str] = (),
    reason: str | None = None,
) -> str:
    """Let an applicant have a key, which they fetch on the page that they were shown when they applied."""

    def grant(connection: Connection) -> dict[str, Any]:
        if plan == DEFAULT_PLAN:
            ensure_plan(connection, plan)
        return approve(connection, application, plan=plan, models=models, reason=reason, actor=_actor())

    row = _write(database, grant)
    return f"{row['name']} <{row['email']}> may fetch a key under the plan {row['plan']}"


def waitlist_refuse(application: str, *, reason: str, database: str | None = None) -> str:
    """Refuse an applicant, who reads the reason."""
    row = _write(database, lambda connection: refuse(connection, application, reason=reason, actor=_actor()))
    return f"{row['name']} <{row['email']}> is refused"


def waitlist_forget(
    applications: Sequence[str] = (), *, decided_before: str | None = None, database: str | None = None
) -> str:
    """Take out decided applications: those named, and those decided before a day (in UTC)."""
    if not applications and decided_before is None:
        raise InputError("nothing to forget", hint="name applications, or --decided-before DAY")
    before_ms = None
    if decided_before is not None:
        before = datetime.combine(parse_day(decided_before), datetime.min.time(), UTC)
        before_ms = round(before.timestamp() * 1000)

    def change(connection: Connection) -> int:
        return forget(connection, ids=applications, decided_before_ms=before_ms, actor=_actor())

    return f"forgotten: {_write(database, change)}"


def plans_list(*, database: str | None = None, as_json: bool = False) -> str:
    """Every plan."""
    rows = _read(database, list_plans)
    return _shown(rows, ("name", *PlanTerms.model_fields), as_json)


def plans_set(plan: str, *, database: str | None = None, **terms: Any) -> str:
    """Make a plan, or give it other terms; those not given stay, in a new plan the default's."""
    given = {name: None if value == "none" else value for name, value in terms.items()}
    parsed = parse_config(PlanTerms, given, where=f"plan {plan}", hint="tsuzuri plans set --help")
    _write(database, lambda connection: set_plan(connection, plan, parsed, actor=_actor()), makes=True)
    return f"the plan {plan} is set"


def plans_assign(account: str, plan: str, *, database: str | None = None) -> str:
    """Put an account under another plan."""
    _write(database, lambda connection: assign_plan(connection, account, plan, actor=_actor()))
    return f"{account} is under the plan {plan}"


def plans_grant(granted: Mapping[str, str], *, database: str | None = None) -> str:
    """Give accounts the plans that their support grants (account → plan), and take back what none does."""
    changed = _write(database, lambda connection: grant_plans(connection, granted, actor=_actor()))
    lines = [f"{account} is under the plan {plan}" for account, plan in changed.items()]
    return "\n".join(lines) or "(nothing changes)"


def usage(
    *,
    database: str | None = None,
    by: str = "account",
    since: str | None = None,
    until: str | None = None,
    account: str | None = None,
    as_json: bool = False,
) -> str:
    """What was used, by account, key, model, day or outcome."""
    for day in filter(None, (since, until)):
        parse_day(day)
    if by not in get_args(By):
        raise InputError(f"--by {by!r} is none of {', '.join(get_args(By))}")
    group = cast(By, by)
    rows = _read(
        database, lambda connection: report(connection, by=group, since=since, until=until, account=account)
    )
    amounts = ("requests", "prompt_tokens", "completion_tokens", "total_tokens", "cost_jpy")
    return _shown(rows, (by, *amounts), as_json)


def audit(*, database: str | None = None, limit: int = 100, as_json: bool = False) -> str:
    """The newest lines of the audit log."""
    rows = _read(database, lambda connection: read_audit(connection, limit=limit))
    return _shown(rows, ("at", "actor", "action", "subject", "detail"), as_json)


@contextmanager
def _opened(given: str | None, *, makes: bool = False) -> Iterator[Database]:
    """The database, which is made where it `makes` one: elsewhere a mistyped name is an error."""
    url = given or os.environ.get(DATABASE_VARIABLE) or DatabaseConfig().url
    kind, _, file = url.partition(":///")
    if kind == "sqlite" and not makes and not os.path.exists(file):
        raise InputError(f"there is no database {url}", hint="--database URL, or begin: tsuzuri keys create")
    database = Database(parse_config(DatabaseConfig, {"url": url}, where="--database", hint="--database URL"))
    try:
        database.migrate()
        yield database
    finally:
        database.close()


def _write(url: str | None, change: Callable[[Connection], Result], *, makes: bool = False) -> Result:
    with _opened(url, makes=makes) as database:
        return database.write(change)


def _read(url: str | None, question: Callable[[Connection], Result]) -> Result:
    with _opened(url) as database:
        return database.read(question)


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


def _new(key: NewKey, as_json: bool) -> str:
    if as_json:
        return json.dumps(key.shown(), ensure_ascii=False)
    return f"{key.text}\n(shown this once; it is listed as tsz_{key.id})"


def _shown(rows: Iterable[dict[str, Any]], columns: Sequence[str], as_json: bool) -> str:
    if as_json:
        return json.dumps(list(rows), ensure_ascii=False, indent=2)
    grid = Table(*columns, box=None, pad_edge=False, header_style="")
    for row in rows:
        grid.add_row(*(Text(_cell(name, row.get(name))) for name in columns))
    if not grid.row_count:
        return "(none)"
    out = StringIO()
    Console(file=out, width=100_000, no_color=True).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name in MOMENTS:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else " ".join(str(value).split())


def parse_day(day: str) -> date:
    """The day that an argument is."""
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        raise InputError(f"{day!r} is no day", hint="for example 2026-11-23") from error
