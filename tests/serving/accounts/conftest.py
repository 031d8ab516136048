"""Databases to test on: SQLite in a folder, and a real PostgreSQL where Debian's package is installed."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tsuzuri.serving.accounts.config import DatabaseConfig
from tsuzuri.serving.accounts.database import Database

SERVER_USER = "postgres"
"""Of Debian's package: PostgreSQL refuses to run as root."""
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, without a database's name."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("Debian's package postgresql is not installed")
    programs = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="tsuzuri-postgresql-"))
    user = SERVER_USER if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    make = [programs / "initdb", "-D", data, "-A", "trust", "-U", "tsuzuri", "-E", "UTF8", "--no-sync"]
    subprocess.run([*make, "--locale=C"], check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
    serve = [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(serve, user=user, cwd=folder, stdout=log, stderr=log)
    url = f"postgresql://tsuzuri@127.0.0.1:{port}"
    try:
        _wait_for(url, server, folder / "log")
        yield url
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: nothing of it is wanted any more
        server.wait(30)
        shutil.rmtree(folder)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    engine = create_engine(f"{url}/postgres".replace("postgresql:", "postgresql+pg8000:"))
    until_s = time.monotonic() + 30
    while True:
        try:
            engine.connect().close()
            break
        except Exception:
            if server.poll() is not None or time.monotonic() > until_s:
                raise AssertionError(log.read_text()) from None
            time.sleep(0.05)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'accounts.db'}"
    server = request.getfixturevalue("postgresql")
    name = f"test_{next(_numbers)}"
    engine = create_engine(f"{server}/postgres".replace("postgresql:", "postgresql+pg8000:"))
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}/{name}"


@pytest.fixture
def config(url: str, tmp_path: Path) -> DatabaseConfig:
    """Of an empty database of either kind."""
    return DatabaseConfig(url=url, state=tmp_path / "state", busy_s=30.0)


@pytest.fixture
def database(config: DatabaseConfig) -> Iterator[Database]:
    """A database of either kind, with its tables."""
    opened = Database(config)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """An SQLite database with its tables."""
    opened = Database(DatabaseConfig(url=f"sqlite:///{tmp_path / 'accounts.db'}", busy_s=0.3))
    opened.migrate()
    yield opened
    opened.close()
