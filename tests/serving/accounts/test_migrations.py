"""The tables come from every revision to what the code expects, on both databases."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from tsuzuri.core.errors import IntegrityError, ResourceError
from tsuzuri.serving.accounts.config import DatabaseConfig
from tsuzuri.serving.accounts.database import Database, alembic_config
from tsuzuri.serving.accounts.keys import KeyTerms, create_key, list_keys
from tsuzuri.serving.accounts.plans import ensure_plan
from tsuzuri.serving.accounts.tables import metadata


def revisions(database: Database) -> list[str]:
    """From the oldest to the newest."""
    with database.begin() as connection:
        script = ScriptDirectory.from_config(alembic_config(connection))
        return [item.revision for item in script.walk_revisions()][::-1]


def test_every_revision_goes_on_to_the_newest_and_keeps_its_rows(database: Database, url: str) -> None:
    for revision in revisions(database):
        with database.begin() as connection:
            for table in [*reversed(metadata.sorted_tables), None]:
                name = table.name if table is not None else "alembic_version"
                connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
            if not database.is_sqlite:
                connection.execute(text("DROP FUNCTION IF EXISTS audit_is_append_only"))
        with database.begin() as connection:
            command.upgrade(alembic_config(connection), revision)
            connection.execute(text("INSERT INTO plans VALUES ('old', 1, 2, 3, 4, 5, 6, 7)"))
        database.migrate()
        with database.begin() as connection:
            assert connection.execute(text("SELECT * FROM plans")).all() == [("old", 1, 2, 3, 4, 5, 6, 7)]
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_migrations_make_what_the_code_expects(database: Database) -> None:
    with database.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        found = inspect(connection)
        for table in metadata.sorted_tables:
            made = {index["name"] for index in found.get_indexes(table.name)}
            assert {index.name for index in table.indexes} <= made


def test_processes_that_start_together_migrate_once(config: DatabaseConfig) -> None:
    failed: list[BaseException] = []

    def start() -> None:
        database = Database(config)
        try:
            database.write(lambda connection: None)
            database.migrate()
        except BaseException as error:
            failed.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_tables_of_a_newer_version_are_left_alone(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(IntegrityError, match="newer version"):
        database.migrate()


def test_the_file_is_its_owners_alone_and_the_url_is_told_without_its_password(tmp_path: Path) -> None:
    database = Database(DatabaseConfig(url=f"sqlite:///{tmp_path}/new/accounts.db"))
    database.migrate()
    database.close()
    assert (tmp_path / "new/accounts.db").stat().st_mode & 0o777 == 0o600
    hidden = Database(DatabaseConfig(url="postgresql://me:secret@127.0.0.1:1/none"))
    assert "secret" not in hidden.shown_url
    hidden.close()


def test_a_file_that_cannot_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be opened"):
        Database(DatabaseConfig(url=f"sqlite:///{tmp_path}/file/accounts.db"))


def test_what_was_written_is_there_after_opening_again(config: DatabaseConfig) -> None:
    for _ in range(2):
        database = Database(config)
        database.migrate()

        def create(connection):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            ensure_plan(connection, "standard")
            return create_key(connection, "me", KeyTerms(), plan="standard", actor="test")

        database.write(create)
        found = len(database.read(list_keys))
        database.close()
    assert found == 2
