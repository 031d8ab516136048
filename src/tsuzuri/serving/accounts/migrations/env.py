"""How Alembic reaches the tables: over the connection that it is handed, within one transaction."""

from __future__ import annotations

from alembic import context

from tsuzuri.serving.accounts.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
