"""One database, SQLite or PostgreSQL, through SQLAlchemy: connections, migrations, and errors that pass.

SQLite runs with a write-ahead log and `synchronous=FULL`: what was committed survives the end of the process
and of the power (with NORMAL, where a transaction asks for no more, that of the process). A transaction that
writes takes the lock when it begins (`BEGIN IMMEDIATE`), so that it never fails half-way. PostgreSQL is
reached with pg8000 (BSD licence), on threads, as SQLite is.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from alembic import command as alembic_command
from alembic.config import Config as AlembicConfig
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, Select, Table, Text, cast, create_engine, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tsuzuri.core.errors import InputError, IntegrityError, ResourceError
from tsuzuri.serving.accounts.config import DatabaseConfig
from tsuzuri.serving.accounts.errors import StorageUnavailable

LOCK_WAIT_MS = 200
"""How long one try waits for SQLite's lock; `Database.write` tries again."""

PAUSE_S = 0.05
"""Between two tries."""

MIGRATION_LOCK = 0x7473757A
"""The advisory lock of PostgreSQL under which one process at a time brings the tables up to date."""

PASSING_STATES = ("08", "40", "53", "55", "57", "58")
"""Classes of PostgreSQL's SQLSTATE that say: not now. Connection, rollback, resources, locks, shutdown,
disk."""

_TAKE_LOCK = text("SELECT pg_advisory_xact_lock(:key)")

PASSING_CODES = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
)
"""SQLite's for the same. A table that is missing is another error of the same class, and does not pass."""

Result = TypeVar("Result")


class Database:
    """Where accounts are kept. Its methods block; they may be called from any thread."""

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self.is_sqlite = config.url.startswith("sqlite")
        if self.is_sqlite:
            file = Path(config.url.removeprefix("sqlite:///"))
            self.state = config.state or file.with_name(f"{file.name}-state")
            _make_private(file)
        else:
            self.state = config.state or Path("tsuzuri-state")
        self.engine = _engine(config, self.is_sqlite)

    def migrate(self) -> None:
        """Bring the tables to the newest revision. Raises IntegrityError where they are of a newer
        version."""

        def upgrade(connection: Connection) -> None:
            if not self.is_sqlite:
                connection.execute(_TAKE_LOCK, {"key": MIGRATION_LOCK})
            alembic_command.upgrade(alembic_config(connection), "head")

        try:
            self.write(upgrade)
        except CommandError as error:
            raise IntegrityError(
                f"the accounts in {self.shown_url} were made by a newer version: {error}",
                hint="install the newer tsuzuri, or give another database",
            ) from error
        except StorageUnavailable as error:
            raise ResourceError(
                f"the database {self.shown_url} does not answer: {_reason(error.__cause__)}",
                hint="start it, wait until nobody locks it, or give another --database",
            ) from error
        except DBAPIError as error:
            raise InputError(
                f"{self.shown_url} cannot be used for accounts: {_reason(error)}",
                hint="give another --database",
            ) from error

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return make_url(self.config.url).render_as_string(hide_password=True)

    @contextmanager
    def begin(self, *, outlives_power: bool = True) -> Iterator[Connection]:
        """A transaction that may write; SQLite need not wait for the disk where it `outlives_power` not."""
        synchronous = "FULL" if outlives_power else "NORMAL"
        with self.engine.execution_options(synchronous=synchronous).begin() as connection:
            yield connection

    def write(self, change: Callable[[Connection], Result]) -> Result:
        """What `change` returns, committed. A database that is locked or absent is tried again for a while;
        then StorageUnavailable. `change` must bear being run again."""
        until = time.monotonic() + self.config.busy_s
        while True:
            try:
                with self.begin() as connection:
                    return change(connection)
            except (DBAPIError, OSError) as error:
                if not is_passing(error):
                    raise
                if time.monotonic() > until:
                    raise StorageUnavailable from error
                time.sleep(PAUSE_S)

    def read(self, question: Callable[[Connection], Result]) -> Result:
        """What `question` returns, from one moment's state; StorageUnavailable where there is no answer."""
        for is_last in (False, True):  # the first connection may be one that the database has ended
            try:
                with self.engine.begin() as connection:
                    return question(connection)
            except (DBAPIError, OSError) as error:
                if not is_passing(error):
                    raise
                if is_last:
                    raise StorageUnavailable from error
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def alembic_config(connection: Connection) -> AlembicConfig:
    """Alembic's configuration for the migrations of this package over one connection."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def is_passing(error: Exception) -> bool:
    """Whether the same may succeed later: locked, full, unreachable, shutting down."""
    if isinstance(error, OSError):  # of a socket: pg8000 passes some on as they are
        return True
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in PASSING_CODES
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return True
    told = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return isinstance(told, dict) and str(told.get("C", "")).startswith(PASSING_STATES)


@dataclass(frozen=True)
class Gathered:
    """A query whose rows the database gathers into one JSON text; made once, because making it takes longer
    than running it.

    A driver gives up the interpreter's lock for every row that it fetches, and a busy event loop hands it
    back only after milliseconds: 256 rows took longer than all the rest of a transaction.
    """

    query: Select[Any]

    def rows(self, connection: Connection, **values: Any) -> list[list[Any]]:
        """The rows for values of the query's parameters."""
        is_sqlite = connection.dialect.name == "sqlite"
        found = connection.scalar(self._in_sqlite if is_sqlite else self._in_postgresql, values)
        return json.loads(found) if found else []

    @cached_property
    def _in_sqlite(self) -> Select[Any]:
        inner = self.query.subquery()
        return select(func.json_group_array(func.json_array(*inner.c)))

    @cached_property
    def _in_postgresql(self) -> Select[Any]:
        inner = self.query.subquery()
        return select(cast(func.json_agg(func.json_build_array(*inner.c)), Text))


def put_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    on_conflict: str = "",
) -> None:
    """Insert rows with one statement, for the reason that `Gathered` gives."""
    if not rows:
        return
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    row_marks = f"({', '.join([mark] * len(columns))})"
    marks = ", ".join([row_marks] * len(rows))
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {marks} {on_conflict}"
    connection.exec_driver_sql(statement, tuple(itertools.chain.from_iterable(rows)))


def _engine(config: DatabaseConfig, is_sqlite: bool) -> Engine:
    if not is_sqlite:
        url = make_url(config.url).set(drivername="postgresql+pg8000")
        return create_engine(url, pool_size=config.connections + 1, pool_pre_ping=True)
    engine = create_engine(config.url, pool_size=config.connections + 1)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself: `begin` below does
        for pragma in (
            "journal_mode=WAL",
            f"busy_timeout={LOCK_WAIT_MS}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        synchronous = connection.get_execution_options().get("synchronous")
        if synchronous is not None:
            connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
        connection.exec_driver_sql("BEGIN" if synchronous is None else "BEGIN IMMEDIATE")

    return engine


def _reason(error: BaseException | None) -> str:
    """The database's own words."""
    told = error.orig if isinstance(error, DBAPIError) else error
    first = told.args[0] if told is not None and told.args else told
    return str(first.get("M", first) if isinstance(first, dict) else told)


def _make_private(file: Path) -> None:
    """Create the database's file for its owner alone: it holds addresses of people and digests of keys."""
    try:
        file.absolute().parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ResourceError(
            f"{file} cannot be opened as a database: {error.strerror}", hint="give another database.url"
        ) from error
