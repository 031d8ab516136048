"""Plans that support grants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """The plan that an account goes back to."""
    op.add_column("accounts", sa.Column("own_plan", sa.String(length=64)))
