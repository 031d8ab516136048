"""The waiting list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Applications, of which an address has one that is not refused."""
    op.create_table(
        "applications",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=160), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("claim_digest", sa.String(length=64), nullable=False),
        sa.Column("applied_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("plan", sa.String(length=64)),
        sa.Column("models", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("decided_ms", sa.BigInteger()),
        sa.Column("key_id", sa.String(length=16)),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_applications_key_id"),
        sa.ForeignKeyConstraint(["plan"], ["plans.name"], name="fk_applications_plan"),
        sa.PrimaryKeyConstraint("id", name="pk_applications"),
        sa.UniqueConstraint("claim_digest", name="uq_applications_claim_digest"),
    )
    op.create_index("ix_applications_status", "applications", ["status"])
    op.create_index(
        "uq_applications_live_email",
        "applications",
        ["email"],
        unique=True,
        sqlite_where=sa.text("status != 'refused'"),
        postgresql_where=sa.text("status != 'refused'"),
    )
